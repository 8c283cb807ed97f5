#!/usr/bin/env python3
"""Time training steps of a Conformer with a CTC head in Minnow and in PyTorch, one after the other in turn.

    PYTHON bench/conformer_step.py build/release/bench_conformer [--rounds N] [--threads N] [--channels N]

Both are forward + backward + AdamW, float32: 80 features, two subsampling convolutions, 8 layers of torchaudio's Conformer
(D 144, 4 heads, 576 hidden units, kernel 31, GroupNorm), 32 classes, 16 utterances of 20 letters, whose lengths are spread
evenly between two bounds. torchaudio's convolutions read the padding, ours don't. A round is one step of PyTorch and one of
every kind of ours, in an order that rotates; the ratios are taken within a round, so that a machine that slows down slows
both sides, and shown as median (first quartile - third quartile). With two threads on cores that other programs use,
OMP_WAIT_POLICY=passive keeps both sides from spinning. Needs PyTorch and torchaudio.
"""
import argparse
import os
import statistics
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional

BATCH, LETTERS, CLASSES, DIM = 16, 20, 32, 144


def torchaudio_conformer():
    torch.version.cuda = "13.0"  # torchaudio 2.11 refuses a PyTorch made for another CUDA than its own, even on a CPU
    from torchaudio.models import Conformer
    return Conformer(DIM, 4, 4 * DIM, 8, 31, use_group_norm=True)


def halved(frames):
    return (frames - 3) // 2 + 1


class Recogniser(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, channels, 3, 2), nn.Conv2d(channels, channels, 3, 2)
        self.out = nn.Linear(channels * halved(halved(80)), DIM)
        self.encoder, self.head = torchaudio_conformer(), nn.Linear(DIM, CLASSES)

    def forward(self, x, lengths):
        h = self.conv2(self.conv1(x[:, None]).relu()).relu()
        h = self.out(h.transpose(1, 2).flatten(2)) * DIM ** 0.5
        return self.head(self.encoder(h, lengths)[0])


def torch_step(a):
    torch.manual_seed(1)
    model = Recogniser(a.channels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x = torch.randn(BATCH, a.longest, 80)
    lengths = torch.linspace(a.shortest, a.longest, BATCH).long()[torch.arange(BATCH) * 7 % BATCH]
    ends = halved(halved(lengths))
    targets = 1 + (torch.arange(BATCH * LETTERS) * 5 % (CLASSES - 1)).view(BATCH, LETTERS)
    letters = torch.full((BATCH,), LETTERS)

    def step():
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        scores = functional.log_softmax(model(x, ends), dim=2).transpose(0, 1)
        functional.ctc_loss(scores, targets, ends, letters, reduction="sum").div(BATCH).backward()
        optimizer.step()
        return 1e3 * (time.perf_counter() - start)
    return step


def our_steps(a):
    """By name; every step also adds to `memory` what it took."""
    command = [a.program, "serve", str(a.channels), str(a.shortest), str(a.longest)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(a.threads)}
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    memory = {}

    def step(name, b):
        program.stdin.write(f"{b}\n")
        program.stdin.flush()
        ms, peak = program.stdout.readline().split()
        memory[name] = int(peak)
        return float(ms)
    kinds = {"plain": 0, f"b={BATCH}": BATCH, "b=4": 4, "b=1": 1}
    return {name: lambda name=name, b=b: step(name, b) for name, b in kinds.items()}, memory


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} - {high:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of either side")
    parser.add_argument("--channels", type=int, default=DIM, help="of the subsampling convolutions")
    parser.add_argument("--shortest", type=int, default=270, help="frames")
    parser.add_argument("--longest", type=int, default=300, help="frames")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    steps, memory = our_steps(a)
    steps["PyTorch"] = torch_step(a)
    times = {name: [] for name in steps}
    for round_ in range(-1, a.rounds):
        names = list(steps)
        for name in names[round_ % len(names):] + names[:round_ % len(names)]:
            ms = steps[name]()
            if round_ >= 0:  # the first one warms up
                times[name].append(ms)
    print(f"{BATCH} utterances of {a.shortest} .. {a.longest} frames, {a.channels} subsampling channels, {a.threads} of "
          f"{os.cpu_count()} cores, {a.rounds} rounds")
    for name, values in times.items():
        shown = f"{name:8}{statistics.median(values):8.1f} ms"
        for base in ("plain", "PyTorch"):
            if name != base:
                shown += f"; / {base} {spread([ms / other for ms, other in zip(values, times[base])])}"
        if name in memory:
            shown += f"; {memory[name] / 2 ** 20:.0f} MiB, {memory[name] / memory['plain']:.2f} of plain"
        print(shown)


if __name__ == "__main__":
    main()
