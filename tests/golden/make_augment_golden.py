"""Writes augment.safetensors, which tests/data/picture_ops.cpp compares with: torchvision's RandAugment operations
and its resized crop, on Pillow images.

    python tests/golden/make_augment_golden.py [FOLDER]        (default: the folder of this script)

Needs torch, torchvision, Pillow and safetensors. NAME is a picture: colour, long, grey, plain (of one colour), tiny.

    NAME               uint8 [C, H, W]
    magnitudes.NAME    float32 [14, 31]  what RandAugment makes of strength 0 .. 30 on it, 0 where it means nothing
    OP.NAME            uint8 [M, C, H, W]  the picture after OP (torchvision's name, e.g. ShearX) with magnitude
    OP.NAME.magnitude  float64 [M]
    crop.NAME          uint8 [M, C, H, W]  parts of it, resized to its own size, bilinear
    crop.NAME.window   int64 [M, 4]        their top, left, height and width
"""

import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import InterpolationMode, RandAugment
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import _apply_op

STRENGTHS = [0, 9, 17, 30]


def make_pictures():
    """Smooth colours under noise, in part of the range, so that every operation has something to do."""
    random = np.random.default_rng(3)

    def picture(channels, height, width, low, high):
        y, x, c = np.mgrid[0:height, 0:width, 0:channels]
        smooth = 0.5 + 0.4 * np.sin(x / 4 + 2 * c) * np.cos(y / 5 - c)
        noisy = np.clip(smooth + 0.1 * random.standard_normal(smooth.shape), 0, 1)
        return np.round(low + (high - low) * noisy).astype(np.uint8)

    plain = np.empty((9, 9, 3), np.uint8)
    plain[:] = (200, 17, 90)
    return {
        "colour": picture(3, 28, 28, 20, 230),
        "long": picture(3, 13, 22, 0, 255),
        "grey": picture(1, 20, 20, 5, 180),
        "plain": plain,
        "tiny": picture(3, 2, 2, 0, 255),
    }


def to_image(pixels):
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def to_tensor(image):
    pixels = torch.from_numpy(np.array(image))
    return (pixels.unsqueeze(2) if pixels.ndim == 2 else pixels).permute(2, 0, 1).contiguous()


def signed_values(magnitudes, signed, strengths):
    if magnitudes.ndim == 0:
        return [0.0]
    values = [float(magnitudes[s]) for s in strengths]
    return values + [-v for v in values if v != 0] if signed else values


def run_ops(name, image, tensors):
    space = RandAugment()._augmentation_space(31, (image.height, image.width))
    table = []
    for op, (magnitudes, signed) in space.items():
        # More where a pixel that is nearest may change with the last bit of a fixed-point number.
        strengths = range(31) if name == "grey" and op in ("ShearX", "ShearY", "Rotate") else STRENGTHS
        values = signed_values(magnitudes, signed, strengths)
        table.append(magnitudes.float().expand(31))
        results = [_apply_op(image, op, v, InterpolationMode.NEAREST, None) for v in values]
        tensors[f"{op}.{name}"] = torch.stack([to_tensor(r) for r in results])
        tensors[f"{op}.{name}.magnitude"] = torch.tensor(values, dtype=torch.float64)
    tensors[f"magnitudes.{name}"] = torch.stack(table).contiguous()


def run_crops(name, image, tensors):
    h, w = image.height, image.width
    parts = [(0, 0, h, w), (0, 0, 1, 1), (h - 1, 0, 1, w), (h // 4, w // 3, h // 2, w // 2)]
    parts += [(1, w // 5, h - 1, w - w // 5), (h // 2, 0, h - h // 2, w - 1)]
    results = [F.resized_crop(image, *p, [h, w], InterpolationMode.BILINEAR) for p in parts]
    tensors[f"crop.{name}"] = torch.stack([to_tensor(r) for r in results])
    tensors[f"crop.{name}.window"] = torch.tensor(parts)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    tensors = {}
    for name, pixels in make_pictures().items():
        image = to_image(pixels)
        tensors[name] = to_tensor(image)
        run_ops(name, image, tensors)
        run_crops(name, image, tensors)
    save_file(tensors, folder / "augment.safetensors")


if __name__ == "__main__":
    main()
