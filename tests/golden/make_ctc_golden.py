"""Writes tests/golden/ctc.safetensors, which tests/ops/ctc_extra.cpp compares ctc_loss with: what PyTorch computes, in
float64.

    python tests/golden/make_ctc_golden.py [FOLDER]        (default: the folder of this script)

Needs torch and safetensors. Of each CASE "ctc.NAME", with B examples, T frames, V classes (0 the blank) and at most U
labels:
    CASE.x               float64 [B, T, V]  logits, exact in float32
    CASE.lengths         int64 [B]          frames of each example
    CASE.labels          int64 [B, U]       targets; -1 behind the last label of each
    CASE.label_counts    int64 [B]
    CASE.dy              float64 [B]        a random cotangent
    CASE.y, CASE.dx      float64            losses, and the gradient of sum(dy * y); an infinite loss where a target does
                                            not fit, and then NaN for the gradient in the example's frames
"""

import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file


def ctc(x, lengths, targets, dy):
    x = x.clone().requires_grad_()
    counts = torch.tensor([len(t) for t in targets])
    width = max(1, int(counts.max()))
    padded = torch.tensor([t + [1] * (width - len(t)) for t in targets])
    lengths = torch.tensor(lengths)
    losses = F.ctc_loss(F.log_softmax(x, -1).transpose(0, 1), padded, lengths, counts, blank=0, reduction="none",
                        zero_infinity=False)
    (dx,) = torch.autograd.grad((dy * losses).sum(), x)
    behind = torch.arange(width) >= counts[:, None]
    return {"x": x.detach(), "lengths": lengths, "labels": padded.masked_fill(behind, -1)[:, : int(counts.max())],
            "label_counts": counts, "dy": dy, "y": losses.detach(), "dx": dx}


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    generator = torch.Generator().manual_seed(20)

    def label_row(n, classes):
        return torch.randint(1, classes, (n,), generator=generator).tolist()

    cases = {
        # frames, classes, lengths, targets, scale of the logits
        "distinct": (8, 6, [8, 7, 6], [[1, 2, 3, 4], [5, 3, 1], [2, 4]], 1.0),
        "repeats": (9, 3, [9, 9, 7, 5, 4], [[1, 1, 1, 1], [2, 2, 1, 1, 2], [1, 1, 2, 2], [2, 2, 2], [1, 1]], 1.0),
        "tight": (7, 4, [3, 7, 5, 1], [[1, 2, 3], [1, 1, 1, 1], [3, 3, 2, 1], [2]], 1.0),
        "empty": (5, 3, [5, 1, 3], [[], [], [1]], 1.0),
        "all_empty": (4, 5, [4, 2], [[], []], 1.0),
        "too_long": (4, 4, [4, 3, 4, 2, 0], [[1, 2], [1, 1, 2], [3, 2, 1, 2], [1, 1], [1]], 1.0),
        "one_letter": (12, 2, [12, 9, 8], [[1] * 6, [1] * 5, [1]], 2.0),
        "long": (60, 30, [60, 51, 40], [label_row(25, 30), label_row(18, 30), label_row(11, 5)], 3.0),
        "confident": (20, 5, [20, 17], [label_row(8, 5), label_row(6, 5)], 30.0),
    }
    tensors = {}
    for name, (frames, classes, lengths, targets, scale) in cases.items():
        x = scale * torch.randn(len(targets), frames, classes, generator=generator)
        dy = torch.randn(len(targets), dtype=torch.float64, generator=generator)
        for key, value in ctc(x.double(), lengths, targets, dy).items():
            tensors[f"ctc.{name}.{key}"] = value.contiguous()
    save_file(tensors, folder / "ctc.safetensors")


main()
