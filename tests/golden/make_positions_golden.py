"""Writes positions.safetensors, which tests/train/positions.cpp compares with: position embeddings for other grids.

    python tests/golden/make_positions_golden.py [FOLDER]        (default: the folder of this script)

Needs torch, timm and safetensors.

    gN       float32 [1, 1 + N N, 5]   the embedding of a class token and of a grid of N x N patches
    gN.gM    float64 [1, 1 + M M, 5]   the same for M x M, by PyTorch's antialiased bicubic interpolation in float64.
                                       timm's resample_abs_pos_embed, in float32, agrees (checked here).
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

PAIRS = [(2, 3), (4, 7), (7, 4), (6, 2), (3, 1), (1, 3), (5, 5)]


def resized(p, new):
    token, grid = p[:, :1].double(), p[:, 1:].double()
    old = round(grid.shape[1] ** 0.5)
    grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", antialias=True)
    return torch.cat([token, grid.permute(0, 2, 3, 1).reshape(1, new * new, -1)], dim=1)


def main(folder):
    torch.manual_seed(0)
    tensors = {}
    for old, new in PAIRS:
        p = tensors.setdefault(f"g{old}", torch.rand(1, 1 + old * old, 5) * 2 - 1)
        expected = resized(p, new)
        torch.testing.assert_close(resample_abs_pos_embed(p, (new, new), (old, old)).double(), expected, rtol=0, atol=2e-6)
        tensors[f"g{old}.g{new}"] = expected.contiguous()
    save_file(tensors, folder / "positions.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
