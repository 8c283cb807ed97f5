"""Writes optim.safetensors, which tests/train/optimizer.cpp compares with: PyTorch's optimizers over five steps.

    python tests/golden/make_optim_golden.py [FOLDER]        (default: the folder of this script)

Needs torch and safetensors. Parameters and updates are float32 values; results are computed in float64.

    pI              float32    parameter I of 0 .. 3; sizes 1, 3, 17 and 1000. Weight decay holds for the odd ones
    sI.pJ           float32    its update in step I of 0 .. 4. Magnitudes lie in [0.5, 2], so that the sum of an update
                               and an L2 decay below 0.25 is at no place a small difference of large numbers
    lrs             float64 [5]
    CASE.settings   float64 [6]: weight_decay, momentum, nesterov, beta1, beta2, eps
    CASE.pI         float64    parameter I after the five steps
    CASE.pI.STATE   float64    for I in 0 .. 2: momentum, or exp_avg and exp_avg_sq
"""

import pathlib
import sys

import torch
from safetensors.torch import save_file

SHAPES = [(1,), (3,), (17,), (10, 100)]
LRS = [0.02, 0.1, 0.07, 0.05, 0.01]
STEPS = len(LRS)

# name: (optimizer, weight_decay, momentum, nesterov, beta1, beta2, eps)
CASES = {
    "sgd": ("sgd", 0.0, 0.0, False, 0.9, 0.999, 1e-8),
    "sgd_decay": ("sgd", 0.05, 0.0, False, 0.9, 0.999, 1e-8),
    "sgd_momentum": ("sgd", 0.05, 0.9, False, 0.9, 0.999, 1e-8),
    "sgd_nesterov": ("sgd", 0.05, 0.8, True, 0.9, 0.999, 1e-8),
    "adam": ("adam", 0.0, 0.9, False, 0.9, 0.999, 1e-8),
    "adam_decay": ("adam", 0.05, 0.9, False, 0.8, 0.99, 1e-8),
    "adam_eps": ("adam", 0.0, 0.9, False, 0.9, 0.999, 0.3),
    "adamw": ("adamw", 0.05, 0.9, False, 0.9, 0.999, 1e-8),
    "adamw_eps": ("adamw", 0.2, 0.9, False, 0.8, 0.99, 0.3),
}


def make_optimizer(settings, parameters):
    name, weight_decay, momentum, nesterov, beta1, beta2, eps = settings
    groups = [
        {"params": parameters[0::2], "weight_decay": 0.0},
        {"params": parameters[1::2], "weight_decay": weight_decay},
    ]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov)
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(groups, lr=0.0, betas=(beta1, beta2), eps=eps)


def run_case(settings, start, updates):
    parameters = [torch.nn.Parameter(p.double()) for p in start]
    optimizer = make_optimizer(settings, parameters)
    for lr, update in zip(LRS, updates):
        for group in optimizer.param_groups:
            group["lr"] = lr
        for parameter, u in zip(parameters, update):
            parameter.grad = u.double()
        optimizer.step()
    result = {f"p{i}": p.detach() for i, p in enumerate(parameters)}
    for i, parameter in enumerate(parameters[:3]):
        state = optimizer.state[parameter]
        for theirs, ours in [("momentum_buffer", "momentum"), ("exp_avg", "exp_avg"), ("exp_avg_sq", "exp_avg_sq")]:
            if state.get(theirs) is not None:
                result[f"p{i}.{ours}"] = state[theirs]
    return result


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    generator = torch.Generator().manual_seed(5)

    def uniform(shape, low, high):
        return (low + (high - low) * torch.rand(shape, generator=generator)).float()

    def signs(shape):
        return torch.randint(0, 2, shape, generator=generator) * 2.0 - 1.0

    start = [uniform(s, -1.0, 1.0) for s in SHAPES]
    updates = [[uniform(s, 0.5, 2.0) * signs(s) for s in SHAPES] for _ in range(STEPS)]
    tensors = {f"p{i}": p for i, p in enumerate(start)}
    tensors |= {f"s{k}.p{i}": u for k, update in enumerate(updates) for i, u in enumerate(update)}
    tensors["lrs"] = torch.tensor(LRS, dtype=torch.float64)
    for name, settings in CASES.items():
        tensors[f"{name}.settings"] = torch.tensor(settings[1:], dtype=torch.float64)
        tensors |= {f"{name}.{key}": value for key, value in run_case(settings, start, updates).items()}
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "optim.safetensors")


if __name__ == "__main__":
    main()
