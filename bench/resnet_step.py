#!/usr/bin/env python3
"""Time one training step of a ResNet-20 with GroupNorm in PyTorch, plain and with gradients of single examples.

The work is that of bench_step's resnet20_group: 32x32x3 pictures, three stages of three blocks with 16, 32 and 64
channels, projections where the shape changes, GroupNorm of 8 groups, 10 classes; float32; AdamW; cross-entropy. Every
row is forward + backward + update of one batch. The rows are timed in turn, round by round, so that a machine that
slows down slows them all; one JSON line a row gives the median, and its ratio to the plain step.

  plain        loss.backward()
  loop b=...   one backward pass for each micro-batch, then the minimum norm rule
  vmap b=1     torch.func.vmap(grad(...)), then the minimum norm rule
  opacus b=1   the hooks of Opacus' GradSampleModule, then the minimum norm rule

bench/beside.py runs it beside bench_step. Needs PyTorch and, for its row, Opacus.
"""
import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn import functional


def norm(channels):
    return nn.GroupNorm(8, channels)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = norm(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm(outputs))

    def forward(self, x):
        h = functional.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        return functional.relu(h + (x if self.downsample is None else self.downsample(x)))


def resnet20(device):
    torch.manual_seed(1)
    layers, inputs = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), norm(16), nn.ReLU()], 16
    for outputs in (16, 32, 64):
        for _ in range(3):
            layers.append(Block(inputs, outputs, 1 if inputs == outputs else 2))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).to(device)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def clipped_mean(gradients):
    """gradients: for each parameter [K, shape...]; the mean of the K after clipping to the smallest norm."""
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)  # [K]
    factors = norms.min() / norms / norms.numel()
    return [torch.tensordot(factors, g, dims=1) for g in gradients]


def plain(model, x, y, _):
    optimizer = adamw(model)

    def step():
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return step


def loop(model, x, y, micro):
    """Adds up the directions g / |g| and keeps the smallest norm: no more than two gradients are held."""
    optimizer, parameters = adamw(model), list(model.parameters())

    def step():
        total, smallest = None, None
        for xs, ys in zip(x.split(micro), y.split(micro)):
            g = torch.autograd.grad(functional.cross_entropy(model(xs), ys), parameters)
            length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(g)))
            smallest = length if smallest is None else torch.minimum(smallest, length)
            g = torch._foreach_div(g, length)
            if total is None:
                total = list(g)
            else:
                torch._foreach_add_(total, g)
        torch._foreach_mul_(total, smallest * micro / len(x))
        for p, g in zip(parameters, total):
            p.grad = g
        optimizer.step()
    return step


def vmap(model, x, y, _):
    optimizer, names = adamw(model), [name for name, _ in model.named_parameters()]

    def loss(parameters, picture, label):
        logits = torch.func.functional_call(model, parameters, (picture[None],))
        return functional.cross_entropy(logits, label[None])

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

    def step():
        found = gradients({name: p.detach() for name, p in model.named_parameters()}, x, y)
        for p, g in zip(model.parameters(), clipped_mean([found[name] for name in names])):
            p.grad = g
        optimizer.step()
    return step


def opacus(model, x, y, _):
    from opacus.grad_sample import GradSampleModule
    hooked = GradSampleModule(model, loss_reduction="mean")
    optimizer, parameters = adamw(hooked), list(hooked.parameters())

    def step():
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(hooked(x), y).backward()
        for p, g in zip(parameters, clipped_mean([p.grad_sample for p in parameters])):
            p.grad, p.grad_sample = g, None
        optimizer.step()
    return step


def make_rows(a):
    """The steps by label, each after one step that warms it up; a row that cannot run says why."""
    device = torch.device(a.device)
    x = torch.randn(a.batch, 3, a.image, a.image, device=device)
    y = torch.arange(a.batch, device=device) % 10
    makers = {"plain": (plain, "plain"), "loop": (loop, f"loop b={a.micro}"), "vmap": (vmap, "vmap b=1"),
              "opacus": (opacus, "opacus b=1")}
    rows = {}
    for name in a.rows.split(","):
        make, label = makers[name]
        try:
            step = make(resnet20(device), x, y, a.micro)
            step()
            rows[label] = step
        except (ImportError, RuntimeError) as error:
            print(json.dumps({"row": label, "error": f"{type(error).__name__}: {str(error)[:160]}"}), flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--image", type=int, default=32, help="side of the pictures")
    parser.add_argument("--micro", type=int, default=8, help="examples in a micro-batch of the row loop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="plain,loop,vmap,opacus")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    a = parser.parse_args()
    rows = make_rows(a)
    times = {label: [] for label in rows}
    for _ in range(a.rounds):
        for label, step in rows.items():
            if a.device == "cuda":
                torch.cuda.synchronize()
            start = time.perf_counter()
            step()
            if a.device == "cuda":
                torch.cuda.synchronize()
            times[label].append(1e3 * (time.perf_counter() - start))
    base = statistics.median(times["plain"]) if "plain" in times else None
    for label, values in times.items():
        ms = statistics.median(values)
        print(json.dumps({"row": label, "ms": round(ms, 2), "ratio": round(ms / base, 3) if base else None,
                          "batch": a.batch, "threads": torch.get_num_threads(), "device": a.device}), flush=True)


if __name__ == "__main__":
    main()
