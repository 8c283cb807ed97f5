#!/usr/bin/env python3
"""Seconds of sound a second of one core, with torchaudio: what bench_audio times, done by it.

    python3 bench/audio.py [--rounds N]

The figures are medians.
"""
import argparse
import statistics
import time

import torch
import torchaudio

RATE, SECONDS = 16000, 15


def steps():
    sound = 0.2 * torch.rand(1, RATE * SECONDS) - 0.1
    features = torchaudio.compliance.kaldi.fbank(sound, num_mel_bins=80, window_type="hanning")
    masks = [torchaudio.transforms.FrequencyMasking(27), torchaudio.transforms.TimeMasking(75)]
    return {
        "change_speed 0.9": lambda: torchaudio.functional.resample(sound, 9, 10),
        "change_speed 1.1": lambda: torchaudio.functional.resample(sound, 11, 10),
        "resample to 8000": lambda: torchaudio.functional.resample(sound, RATE, 8000),
        "resample to 44100": lambda: torchaudio.functional.resample(sound, RATE, 44100),
        "add_noise": lambda: torchaudio.functional.add_noise(sound, torch.randn_like(sound), torch.tensor([30.0])),
        "log_mel": lambda: torchaudio.compliance.kaldi.fbank(
            sound, num_mel_bins=80, window_type="hanning", remove_dc_offset=False, preemphasis_coefficient=0.0
        ),
        "normalise_bins": lambda: (features - features.mean(0)) / features.std(0, correction=0),
        "spec_augment": lambda: [mask(features.T.unsqueeze(0)) for mask in masks + masks],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    for name, step in steps().items():
        step()
        times = []
        for _ in range(rounds):
            start = time.process_time()
            step()
            times.append(time.process_time() - start)
        print(f"{name:20}{SECONDS / statistics.median(times):12.0f}")


if __name__ == "__main__":
    main()
