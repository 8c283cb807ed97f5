"""Writes the golden files of the residual nets, ConvNeXt and the ViT's options, which tests/golden_models.cpp compares
with: torchvision's and timm's own layers in float64, at small widths.

    python tests/golden/make_model_golden.py [FOLDER]        (default: the folder of this script)

Needs torch, torchvision, timm and safetensors. The files hold what make_golden.py says of its models, with these
differences, which come with BatchNorm: `param.` names the running statistics, too; logits64 and losses64 are those of
evaluation; bN.losses (float64 [B]) are those of training in micro-batches of N, each normalised by itself;
bN.statistics.NAME are the running statistics after such a step, in which each micro-batch moves them by
1 - 0.9^(its share of the batch); and b2.none.update is sum_j |G_j| / B g_j.

model_tensors.txt: "MODEL NAME SHAPE", the state dicts of the full-size models.
"""

import math
import pathlib
import sys

import timm
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from timm.models.convnext import ConvNeXt
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

MARGIN = 3e-5  # of every ReLU and max pool from its kink: far more than float32 rounds


class SmallResNet(ResNet):
    """torchvision's layers with two stages of the given width."""

    def __init__(self, block, width, classes, small_stem):
        super().__init__(block, [1, 1, 1, 1], num_classes=classes)
        self.inplanes = width
        stem = (3, 1, 1) if small_stem else (7, 2, 3)
        self.conv1 = nn.Conv2d(3, width, *stem, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        if small_stem:
            self.maxpool = nn.Identity()
        self.layer1 = self._make_layer(block, width, 1)
        self.layer2 = self._make_layer(block, 2 * width, 2, stride=2)
        self.layer3 = self.layer4 = nn.Identity()
        self.fc = nn.Linear(2 * width * block.expansion, classes)


class PreactivationBlock(nn.Module):
    def __init__(self, inside, out, stride, norm):
        super().__init__()
        self.bn1, self.conv1 = norm(inside), nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = norm(out), nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.downsample = nn.Conv2d(inside, out, 1, stride, bias=False) if stride != 1 or inside != out else None
        self.relu = nn.ReLU()

    def forward(self, x):
        active = self.relu(self.bn1(x))
        h = self.conv2(self.relu(self.bn2(self.conv1(active))))
        return h + (x if self.downsample is None else self.downsample(active))


class WideResNet(nn.Module):
    """Depth 10, widened by 1, with GroupNorm of 8 groups."""

    def __init__(self, classes):
        super().__init__()
        norm = lambda channels: nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.layer1 = nn.Sequential(PreactivationBlock(16, 16, 1, norm))
        self.layer2 = nn.Sequential(PreactivationBlock(16, 32, 2, norm))
        self.layer3 = nn.Sequential(PreactivationBlock(32, 64, 2, norm))
        self.bn, self.relu, self.fc = norm(64), nn.ReLU(), nn.Linear(64, classes)

    def forward(self, x):
        h = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.fc(self.relu(self.bn(h)).mean((2, 3)))


def watch_kinks(model, margins):
    """Appends the distance of every ReLU's and max pool's input from a kink, whenever the model runs."""

    def relu(_, inputs):
        margins.append(inputs[0].detach().abs().min().item())

    def pool(module, inputs):
        x = F.pad(inputs[0].detach(), [module.padding] * 4, value=-1.0)  # what is pooled is never negative
        windows = F.unfold(x.flatten(0, 1).unsqueeze(1), module.kernel_size, stride=module.stride)
        top = windows.topk(2, dim=1).values
        margins.append(torch.where(top[:, 0] > 0, top[:, 0] - top[:, 1], math.inf).min().item())

    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
            module.register_forward_pre_hook(relu)
        if isinstance(module, nn.MaxPool2d):
            module.register_forward_pre_hook(pool)


def float32_values(tensor):
    return tensor.float().double()


def state(model):
    return {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}


def rerandomise(model, generator):
    """Moves everything away from zero and one, so that no term of a gradient vanishes; variances stay positive."""
    with torch.no_grad():
        for name, value in state(model).items():
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            value.copy_(float32_values(value * (0.3 * noise).exp() if name.endswith("var") else value + 0.1 * noise))


def norm(gradient):
    return torch.sqrt(sum(g.square().sum() for g in gradient.values()))


def grouped_step(model, inputs, labels, b):
    """Gradients and losses of every micro-batch, run alone in training mode; the statistics afterwards."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients, losses = [], []
    for x, y in zip(inputs.split(b), labels.split(b)):
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1 - 0.9 ** (len(x) / len(inputs))
        model.zero_grad()
        loss = F.cross_entropy(model(x), y, reduction="none")
        loss.mean().backward()
        losses.append(loss.detach())
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    statistics = {n: v.clone() for n, v in state(model).items() if "running_" in n}
    model.load_state_dict(before)
    return gradients, torch.cat(losses), statistics


def model_golden(model, inputs, labels, micro_batches):
    model.eval()
    logits = model(inputs).detach()
    tensors = {f"param.{name}": value.detach().float().clone() for name, value in state(model).items()}
    tensors |= {
        "input": inputs.float(),
        "labels": labels,
        "logits64": logits,
        "losses64": F.cross_entropy(logits, labels, reduction="none"),
    }
    model.train()
    for b in micro_batches:
        groups, losses, statistics = grouped_step(model, inputs, labels, b)
        norms = torch.stack([norm(g) for g in groups])
        tensors |= {f"b{b}.norms": norms, f"b{b}.losses": losses}
        tensors |= {f"b{b}.statistics.{name}": value for name, value in statistics.items()}
        for name in groups[0]:
            terms = [norms.min() / n * g[name] for n, g in zip(norms, groups)]
            tensors[f"b{b}.update.{name}"] = (sum(terms) / len(terms)).float()
    groups, _, _ = grouped_step(model, inputs, labels, 2)
    sizes = [len(y) for y in labels.split(2)]
    for name in groups[0]:
        tensors[f"b2.none.update.{name}"] = sum(n / len(labels) * g[name] for n, g in zip(sizes, groups)).float()
    return tensors


def golden(make, side, examples, micro_batches):
    for seed in range(2000):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        model, margins = make().double(), []
        watch_kinks(model, margins)
        rerandomise(model, generator)
        inputs = float32_values(torch.randn(examples, 3, side, side, generator=generator, dtype=torch.float64))
        labels = torch.randint(0, 4, (examples,), generator=generator)
        tensors = model_golden(model, inputs, labels, micro_batches)
        if not margins or min(margins) > MARGIN:
            print(f"seed {seed}, margin {min(margins, default=math.inf):.1e}")
            return tensors
    raise SystemExit("no seed keeps the activations clear of the kinks")


def full_size():
    models = {name: getattr(torchvision.models, name)(num_classes=1000) for name in ("resnet18", "resnet50")}
    models |= {name: timm.create_model(name) for name in ("deit_tiny_patch16_224", "convnext_tiny")}
    for model, module in models.items():
        for name, value in state(module).items():
            yield f"{model} {name} {','.join(map(str, value.shape))}\n"


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_num_threads(1)
    vit = dict(img_size=8, patch_size=4, embed_dim=16, depth=2, num_heads=2, num_classes=4)
    files = {
        "resnet_basic_test": golden(lambda: SmallResNet(BasicBlock, 6, 4, False), 17, 5, (1, 2, 4, 5)),
        "resnet_bottleneck_test": golden(lambda: SmallResNet(Bottleneck, 3, 4, True), 6, 5, (1, 2, 4, 5)),
        "wide_resnet_test": golden(lambda: WideResNet(4), 5, 4, (2, 4)),
        "convnext_test": golden(lambda: ConvNeXt(num_classes=4, depths=(1, 1, 2, 1), dims=(4, 8, 16, 32), patch_size=4,
                                                 ls_init_value=0.2), 32, 5, (1, 2, 5)),
    }
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        files["vit_options_test"] = golden(
            lambda: VisionTransformer(**vit, qkv_bias=False, init_values=0.2, global_pool="avg"), 8, 5, (1, 2, 5))
    for name, tensors in files.items():
        path = folder / f"{name}.safetensors"
        save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"made by": "make_model_golden.py"})
        path.chmod(0o644)
    (folder / "model_tensors.txt").write_text("".join(full_size()))


if __name__ == "__main__":
    main()
