"""Writes the golden files of the Conformer, which tests/golden_conformer.cpp compares with: torchaudio's own layers in
float64, with the padding masked, at small widths.

    python tests/golden/make_conformer_golden.py [FOLDER]        (default: the folder of this script)

Needs torch, torchaudio and safetensors. conformer_NAME_test.safetensors, where NAME is a norm of the convolution
modules, or "middle": "layer" with a share of the loss from the middle layer:

    param.NAME                float32
    input                     float32 [B, T, F], with numbers in the padding, too
    lengths, output_lengths   int64 [B]
    targets, target_lengths   int64 [B, U], [B]
    logits64                  float64 [B, T', V], zeros beyond each output length; "batch": with running statistics
    losses64                  float64 [B], CTC, or (1 - SHARE) CTC + SHARE CTC of the middle layer
    bN.losses64               "batch": likewise, each micro-batch normalised by its own statistics
    bN.norms                  float64 [K]: micro-batches of N examples, each run alone
    bN.update.NAME            float32: (1/K) sum_j (min_i n_i / n_j) g_j

conformer_tensors.txt: "NAME SHAPE", the state dict of torchaudio's Conformer at full size.
"""

import math
import pathlib
import sys

import torch

torch.version.cuda = "13.0"  # torchaudio asks for the version that it was built for, of which nothing here is used

import torch.nn.functional as F
import torchaudio
from safetensors.torch import save_file
from torch import nn

DIM, HEADS, HIDDEN, DEPTH, KERNEL = 16, 2, 32, 2, 7
FEATURES, CHANNELS, CLASSES = 15, 4, 6
LENGTHS = [31, 18, 43, 27, 43]
TARGETS = [[1, 2, 2], [3], [], [5, 4, 1], [2, 1, 2, 5]]
SHARE = 0.3
MARGIN = 3e-5  # of every ReLU from its kink


def float32_values(tensor):
    return tensor.float().double()


def halved(lengths):
    return (lengths - 3).div(2, rounding_mode="floor") + 1


def padding(lengths, frames):
    return torch.arange(frames) >= lengths.unsqueeze(1)


class Model(nn.Module):
    def __init__(self, norm, share):
        super().__init__()
        bands = halved(halved(torch.tensor(FEATURES))).item()
        self.subsample = nn.Module()
        self.subsample.conv1 = nn.Conv2d(1, CHANNELS, 3, 2)
        self.subsample.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 3, 2)
        self.subsample.out = nn.Linear(bands * CHANNELS, DIM)
        encoder = torchaudio.models.Conformer(DIM, HEADS, HIDDEN, DEPTH, KERNEL, use_group_norm=norm == "group")
        self.conformer_layers = encoder.conformer_layers
        self.head = nn.Linear(DIM, CLASSES)
        self.norm, self.share, self.margin = norm, share, math.inf
        if norm == "layer":
            for layer in self.conformer_layers:
                layer.conv_module.sequential[3] = nn.LayerNorm(DIM)

    def relu(self, x):
        self.margin = min(self.margin, x.detach().abs().min().item())
        return x.relu()

    def normalised(self, module, h, lengths):
        """h [B, C, T] over each example's own frames; "batch": over those of all examples."""
        if self.norm == "layer":
            return module(h.transpose(1, 2)).transpose(1, 2)
        own = [one[:, :n].unsqueeze(0) for one, n in zip(h, lengths.tolist())]
        if self.norm == "batch":
            rows = module(torch.cat(own, 2)).split(lengths.tolist(), 2)
        else:
            rows = [module(row) for row in own]
        return torch.cat([F.pad(row, (0, h.shape[2] - row.shape[2])) for row in rows])

    def convolution(self, module, x, lengths):
        s = module.sequential
        h = s[1](s[0](module.layer_norm(x).transpose(1, 2)))
        h = s[2](h.masked_fill(padding(lengths, h.shape[2]).unsqueeze(1), 0))
        return s[5](s[4](self.normalised(s[3], h, lengths))).transpose(1, 2)

    def layer(self, module, x, lengths):
        """torchaudio's ConformerLayer.forward with the batch first."""
        h = x + 0.5 * module.ffn1(x)
        a = module.self_attn_layer_norm(h).transpose(0, 1)
        h = h + module.self_attn(a, a, a, key_padding_mask=padding(lengths, h.shape[1]), need_weights=False)[0] \
            .transpose(0, 1)
        h = h + self.convolution(module.conv_module, h, lengths)
        return module.final_layer_norm(h + 0.5 * module.ffn2(h))

    def forward(self, x, lengths):
        x = x.masked_fill(padding(lengths, x.shape[1]).unsqueeze(2), 0)
        h = self.relu(self.subsample.conv2(self.relu(self.subsample.conv1(x.unsqueeze(1)))))  # [B, S, T', F']
        h = self.subsample.out(h.permute(0, 2, 3, 1).flatten(2))
        angles = torch.arange(h.shape[1])[:, None] / 10000 ** (torch.arange(0, DIM, 2, dtype=torch.float64) / DIM)
        h = h * math.sqrt(DIM) + torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
        lengths = halved(halved(lengths))
        for i, module in enumerate(self.conformer_layers):
            h = self.layer(module, h, lengths)
            if i + 1 == DEPTH // 2:
                middle = self.head(h)
        return self.head(h), middle, lengths


def losses(model, batch):
    last, middle, lengths = model(batch["input"], batch["lengths"])

    def ctc(logits):
        return F.ctc_loss(logits.log_softmax(2).transpose(0, 1), batch["targets"], lengths, batch["target_lengths"],
                          reduction="none")

    return ctc(last) if model.share == 0 else (1 - model.share) * ctc(last) + model.share * ctc(middle)


def gradient(model, batch):
    model.zero_grad()
    losses(model, batch).mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def agrees_with_torchaudio(model):
    """On an unpadded batch the layers above are torchaudio's own."""
    lengths = torch.tensor([9, 9])
    x = torch.randn(2, 9, DIM, dtype=torch.float64)
    ours, theirs = x, x.transpose(0, 1)
    for module in model.conformer_layers:
        ours, theirs = model.layer(module, ours, lengths), module(theirs, None)
    torch.testing.assert_close(ours, theirs.transpose(0, 1), rtol=1e-13, atol=1e-13)


def golden(norm, share):
    for seed in range(100):
        torch.manual_seed(seed)
        model = Model(norm, share).double()
        with torch.no_grad():  # away from zero and one, so that no term of a gradient vanishes
            for p in model.parameters():
                p.copy_(float32_values(p + 0.1 * torch.randn_like(p)))
        if norm != "layer":
            agrees_with_torchaudio(model)
        statistics = {name: value for name, value in model.named_buffers() if "running" in name}
        for statistic in statistics.values():
            statistic.copy_(float32_values(statistic + 0.1 * torch.rand_like(statistic)))
        whole = {
            "input": float32_values(torch.randn(len(LENGTHS), max(LENGTHS), FEATURES, dtype=torch.float64)),
            "lengths": torch.tensor(LENGTHS),
            "targets": nn.utils.rnn.pad_sequence([torch.tensor(t, dtype=torch.int64) for t in TARGETS], True),
            "target_lengths": torch.tensor([len(t) for t in TARGETS]),
        }
        model.margin = math.inf
        tensors = {f"param.{name}": p.detach().float()
                   for name, p in (dict(model.named_parameters()) | statistics).items()}
        model.eval()  # with the running statistics
        logits, _, lengths = model(whole["input"], whole["lengths"])
        model.train()
        tensors |= whole | {
            "input": whole["input"].float(),
            "output_lengths": lengths,
            "logits64": logits.detach().masked_fill(padding(lengths, logits.shape[1]).unsqueeze(2), 0),
            "losses64": losses(model, whole).detach(),
        }
        for b in (1, 2, 4):
            groups = [gradient(model, {key: value[i : i + b] for key, value in whole.items()})
                      for i in range(0, len(LENGTHS), b)]
            norms = torch.stack([torch.sqrt(sum(g.square().sum() for g in one.values())) for one in groups])
            tensors[f"b{b}.norms"] = norms
            if norm == "batch":
                tensors[f"b{b}.losses64"] = torch.cat(
                    [losses(model, {key: value[i : i + b] for key, value in whole.items()}).detach()
                     for i in range(0, len(LENGTHS), b)])
            for name in groups[0]:
                terms = [norms.min() / n * g[name] for n, g in zip(norms, groups)]
                tensors[f"b{b}.update.{name}"] = (sum(terms) / len(terms)).float()
        if model.margin > MARGIN:
            print(f"{norm}: seed {seed}, margin {model.margin:.1e}, losses {tensors['losses64'].tolist()}")
            return tensors
    raise SystemExit("no seed keeps the activations clear of the kinks")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_num_threads(1)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        for name, norm, share in (("layer", "layer", 0), ("group", "group", 0), ("batch", "batch", 0),
                                  ("middle", "layer", SHARE)):
            path = folder / f"conformer_{name}_test.safetensors"
            save_file({k: v.contiguous() for k, v in golden(norm, share).items()}, path,
                      metadata={"made by": "make_conformer_golden.py"})
            path.chmod(0o644)
    full = torchaudio.models.Conformer(144, 4, 576, 4, 31, use_group_norm=True)
    names = (f"{name} {','.join(map(str, value.shape))}\n" for name, value in full.state_dict().items())
    (folder / "conformer_tensors.txt").write_text("".join(names))


if __name__ == "__main__":
    main()
