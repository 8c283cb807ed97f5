#!/usr/bin/env python3
"""Pictures a second that Pillow and torchvision deliver in one process: what bench_loader times, done by them.

    python3 bench/loader.py FOLDER [--pictures N] [--rounds N] [--cpu]

FOLDER holds train/CLASS/*.jpg of 32 x 32 pixels. Every picture is read, decoded, augmented, normalised and stacked
into a batch of 64; the figures are medians.
"""
import argparse
import pathlib
import random
import statistics
import time

import torch
from PIL import Image
from torchvision import transforms as T


def pipelines():
    end = [T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)]
    crop_flip = [T.RandomCrop(32, padding=4), T.RandomHorizontalFlip()]
    return {
        "none": T.Compose(end),
        "crop_flip": T.Compose(crop_flip + end),
        "deit": T.Compose(crop_flip + [T.RandAugment(2, 9)] + end + [T.RandomErasing(0.25, value="random")]),
    }


def deliver(files, pipeline, clock):
    start = clock()
    for begin in range(0, len(files), 64):
        images = (Image.open(f).convert("RGB") for f in files[begin : begin + 64])
        torch.stack([pipeline(image) for image in images])
    return len(files) / (clock() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="per second of processor time, on a machine that is busy")
    a = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(a.folder.glob("train/*/*.jpg"))
    files = random.Random(0).sample(files, min(a.pictures, len(files)))
    for name, pipeline in pipelines().items():
        clock = time.process_time if a.cpu else time.perf_counter
        rate = statistics.median(deliver(files, pipeline, clock) for _ in range(a.rounds))
        print(f"{name:10} {rate:9.0f} pictures/s")


if __name__ == "__main__":
    main()
