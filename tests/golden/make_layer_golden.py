"""Writes layers.safetensors, which tests/golden_layers.cpp compares with: the gradients of every single example of
single layers, by torch.func.vmap(torch.func.grad) in float64.

    python tests/golden/make_layer_golden.py [FOLDER]        (default: the folder of this script)

Needs torch and safetensors. The shapes are those of Opacus' tests of its own per-example gradients, for the layers that
both have, with fewer examples and channels: of each family's product space so many cases that every two values of two
axes that can meet do so in one of them. The loss of an example is sum(dy * y), y the layer's output. CASE is
FAMILY.AXES, with the axes' values in its name:

    CASE.x            float32 [B, ...], for embeddings int64
    CASE.param.NAME   float32
    CASE.dy           float32, as y
    CASE.grad.NAME    float64 [B, shape...]
    CASE.norms        float64 [B]: over all parameters
    CASE.attributes   int64: conv1d.*, conv2d.* [stride, padding, dilation, groups]; groupnorm.*,
                      instancenorm.* [groups]; attention.* [heads]

Tensors have the shapes of this engine's layers: a one-dimensional convolution is one of height 1 whose x holds its
padding; instance norm is group norm with a group for every channel; a layer norm over several axes is one over their
product; the indices of an example stand in one row.
"""

import itertools
import pathlib
import random
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.func import functional_call, grad, vmap


def float32_values(tensor):
    return tensor.float().double()


def covering(axes, count, valid=lambda case: True):
    """`count` cases of the product of the axes, in which every pair of values that can meet does meet."""
    cases = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
    cases = [case for case in cases if valid(case)]
    random.Random(1).shuffle(cases)
    pairs = [frozenset(itertools.combinations(case.items(), 2)) for case in cases]
    missing, chosen = frozenset().union(*pairs), []
    left = list(range(len(cases)))
    while len(chosen) < count:
        best = max(left, key=lambda i: len(pairs[i] & missing))
        left.remove(best)
        missing -= pairs[best]
        chosen.append(cases[best])
    assert not missing, f"{len(missing)} pairs of values do not fit {count} cases"
    return chosen


def gradients(module, parameters, x, dy):
    """One gradient for each example, which a loop over the examples confirms."""

    def loss(parameters, x, dy):
        return (functional_call(module, parameters, (x.unsqueeze(0),)) * dy).sum()

    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, dy)
    for i in range(len(x)):
        leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
        for name, g in zip(leaves, torch.autograd.grad(loss(leaves, x[i], dy[i]), list(leaves.values()))):
            torch.testing.assert_close(found[name][i], g, rtol=1e-12, atol=1e-12)
    return found


class Layers:
    def __init__(self):
        self.tensors = {}
        self.generator = torch.Generator().manual_seed(1)

    def random(self, *shape):
        return float32_values(torch.randn(shape, generator=self.generator, dtype=torch.float64))

    def case(self, family, axes, module, x, attributes=(), reshape=lambda name, value: value):
        """`reshape` gives x, and a parameter or its gradient of one example, the shape that this engine knows."""
        module = module.double()
        parameters = {name: float32_values(p.detach() + 0.1 * self.random(*p.shape))
                      for name, p in module.named_parameters()}
        y = functional_call(module, parameters, (x,))
        # No largest element of a gradient is smaller than its terms: its rounding errors would not be.
        for _ in range(1000):
            dy = self.random(*y.shape)
            found = gradients(module, parameters, x, dy)
            if min(g.flatten(1).abs().amax(1).min() for g in found.values()) >= 1:
                break
        else:
            raise SystemExit(f"{family} {axes}: no dy gives large gradients")
        name = f"{family}." + "_".join(f"{key}{value}" for key, value in axes.items())
        own = {f"param.{key}": reshape(key, value).float() for key, value in parameters.items()}
        own |= {f"grad.{key}": torch.stack([reshape(key, one) for one in g]) for key, g in found.items()}
        own |= {"x": reshape("x", x if x.dtype == torch.int64 else x.float()), "dy": dy.float()}
        own["norms"] = torch.stack([g.flatten(1).square().sum(1) for g in found.values()]).sum(0).sqrt()
        if attributes:
            own["attributes"] = torch.tensor(attributes)
        self.tensors |= {f"{name}.{key}": value.clone() for key, value in own.items()}


def linear(layers):
    axes = {"dims": (2, 3, 4), "bias": (0, 1), "B": (1, 2, 4), "Z": (1, 2, 4), "H": (1, 3), "W": (10, 13, 17)}
    for a in covering(axes, 14):
        shape = (a["B"], a["Z"], a["H"])[: a["dims"] - 1] + (a["W"],)
        layers.case("linear", a, nn.Linear(a["W"], a["W"] + 2, bias=bool(a["bias"])), layers.random(*shape))


def out_channels(a):
    return 2 * a["C"] if a["out"] == "twice" else max(1, a["C"] // 2)


def groups_fit(a):
    return a["C"] % a["groups"] == 0 and out_channels(a) % a["groups"] == 0


def conv1d(layers):
    axes = {"B": (1, 2, 4), "C": (1, 3, 8), "W": (6, 7, 10), "out": ("twice", "half"), "k": (2, 3), "stride": (1, 2),
            "pad": (0, 1, 2), "groups": (1, 2, 3, 4)}
    for a in covering(axes, 16, groups_fit):
        module = nn.Conv1d(a["C"], out_channels(a), a["k"], a["stride"], a["pad"], groups=a["groups"])

        def reshape(name, value, pad=a["pad"]):
            if name == "x":
                value = F.pad(value, (pad, pad))
            return value if name == "bias" else value.unsqueeze(2)

        layers.case("conv1d", a, module, layers.random(a["B"], a["C"], a["W"]), (a["stride"], 0, 1, a["groups"]),
                    reshape)


def conv2d(layers):
    axes = {"B": (1, 2, 3), "C": (1, 3, 8), "H": (11, 12), "W": (11, 13), "out": ("twice", "half"), "k": (2, 3, 4),
            "stride": (1, 2), "pad": (0, 2, "same"), "dilation": (1, 2, 3), "groups": (1, 2, 3, 4)}

    def valid(a):  # "same" as PyTorch has it, where both sides get as much
        return groups_fit(a) and (a["pad"] != "same" or (a["stride"] == 1 and a["dilation"] * (a["k"] - 1) % 2 == 0))

    for a in covering(axes, 32, valid):
        module = nn.Conv2d(a["C"], out_channels(a), a["k"], a["stride"], a["pad"], a["dilation"], a["groups"])
        pad = a["dilation"] * (a["k"] - 1) // 2 if a["pad"] == "same" else a["pad"]
        layers.case("conv2d", a, module, layers.random(a["B"], a["C"], a["H"], a["W"]),
                    (a["stride"], pad, a["dilation"], a["groups"]))


def norms(layers):
    for a in covering({"B": (1, 2, 4), "C": (16,), "H": (3, 8), "W": (5, 10), "groups": (1, 4, 16)}, 9):
        layers.case("groupnorm", a, nn.GroupNorm(a["groups"], a["C"]), layers.random(a["B"], a["C"], a["H"], a["W"]),
                    (a["groups"],))
    for a in covering({"dims": (3, 4), "B": (1, 3, 6), "C": (1, 2, 3), "H": (4, 8), "W": (5, 10)}, 10):
        kind, rest = (nn.InstanceNorm1d, ()) if a["dims"] == 3 else (nn.InstanceNorm2d, (a["H"],))
        layers.case("instancenorm", a, kind(a["C"], affine=True), layers.random(a["B"], a["C"], *rest, a["W"]),
                    (a["C"],))
    axes = {"dims": (2, 3, 4), "normed": (1, 2, 3), "B": (1, 2, 4), "Z": (1, 4), "H": (1, 3), "W": (5, 10)}
    for a in covering(axes, 12, lambda a: a["normed"] < a["dims"]):
        shape = (a["B"],) + {2: (), 3: (a["Z"],), 4: (a["Z"], a["H"])}[a["dims"]] + (a["W"],)
        normed = shape[-a["normed"]:]

        def reshape(name, value, axes=a["normed"]):
            return value.flatten(-axes)

        layers.case("layernorm", a, nn.LayerNorm(normed), layers.random(*shape), (), reshape)


def embedding(layers):
    axes = {"dims": (1, 2, 3, 4), "B": (1, 2, 4), "T": (5, 12), "Q": (1, 4), "R": (1, 2), "V": (2, 9, 32),
            "D": (10, 17)}
    for a in covering(axes, 16):
        shape = (a["B"], a["T"], a["Q"], a["R"])[: a["dims"]]
        ids = torch.randint(0, a["V"], shape, generator=layers.generator)
        layers.case("embedding", a, nn.Embedding(a["V"], a["D"]), ids, (),
                    lambda name, value: value.reshape(len(value), -1) if name == "x" else value)


class SelfAttention(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, bias=bias, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


def attention(layers):
    for a in covering({"B": (1, 2, 4), "T": (16, 17, 20), "D": (4, 12), "heads": (1, 2), "bias": (0, 1)}, 10):
        layers.case("attention", a, SelfAttention(a["D"], a["heads"], bool(a["bias"])),
                    layers.random(a["B"], a["T"], a["D"]), (a["heads"],))


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    layers = Layers()
    # The fused kernels of attention differ in the last bits; the plain formula does not.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        for family in (linear, conv1d, conv2d, norms, embedding, attention):
            family(layers)
    path = folder / "layers.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in layers.tensors.items()}
    save_file(tensors, path, metadata={"made by": "make_layer_golden.py"})
    path.chmod(0o644)


if __name__ == "__main__":
    main()
