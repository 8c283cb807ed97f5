#!/usr/bin/env python3
"""Pictures a second that Pillow and torchvision deliver: what bench_loader times, done by them.

    python3 bench/loader.py FOLDER [--pictures N] [--rounds N] [--workers N ...] [--cpu]

FOLDER holds train/CLASS/*.jpg of 32 x 32 pixels. Every picture is read, decoded, augmented, normalised and stacked
into a batch of 64; the figures are medians. 0 workers: in this process; more: processes of PyTorch's DataLoader, timed
over an epoch after the one in which they start.
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


class Pictures(torch.utils.data.Dataset):
    def __init__(self, files, pipeline):
        self.files, self.pipeline = files, pipeline

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return self.pipeline(Image.open(self.files[i]).convert("RGB"))


def rates(dataset, workers, rounds, clock):
    """Pictures a second of `rounds` epochs."""
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=64, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    if workers:
        list(loader)
    for _ in range(rounds):
        start = clock()
        for _ in loader:
            pass
        yield len(dataset) / (clock() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cpu", action="store_true", help="per second of processor time; without workers only")
    a = parser.parse_args()
    if a.cpu:
        a.workers = [0]
    clock = time.process_time if a.cpu else time.perf_counter
    torch.set_num_threads(1)
    files = sorted(a.folder.glob("train/*/*.jpg"))
    files = random.Random(0).sample(files, min(a.pictures, len(files)))
    for name, pipeline in pipelines().items():
        for workers in a.workers:
            rate = statistics.median(rates(Pictures(files, pipeline), workers, a.rounds, clock))
            print(f"{name:10} workers {workers} {rate:9.0f} pictures/s", flush=True)


if __name__ == "__main__":
    main()
