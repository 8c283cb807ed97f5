"""Writes log_mel.safetensors, which tests/data/log_mel.cpp compares with: torchaudio's fbank, Kaldi's features.

    python tests/golden/make_log_mel_golden.py [FOLDER]        (default: the folder of this script)

Needs torch, torchaudio and safetensors. NAME is a case:

    NAME.samples   float32 [N]
    NAME.features  float32 [T, bins]
    NAME.options   float64 [6]  rate, bins, window and hop (seconds), fft, preemphasis
"""

import pathlib
import sys

import torch
import torchaudio.compliance.kaldi as kaldi
from safetensors.torch import save_file

# Rate, bins, window, hop, preemphasis, samples.
CASES = {
    "speech": (16000, 80, 0.025, 0.010, 0.0, 6000),
    "preemphasis": (16000, 80, 0.025, 0.010, 0.97, 4000),
    "telephone": (8000, 40, 0.025, 0.010, 0.97, 2500),
    "odd_rate": (11025, 23, 0.025, 0.010, 0.0, 2000),
    "long_window": (16000, 64, 0.064, 0.016, 0.0, 5000),
}


def make_samples(rate, count, generator):
    """A glide with overtones over noise, then silence, so that the floor of the energies is met too."""
    t = torch.arange(count, dtype=torch.float64) / rate
    phase = 2 * torch.pi * (150 + 400 * t) * t
    sound = sum(0.2 / k * torch.sin(k * phase) for k in range(1, 8))
    sound += 0.01 * torch.randn(count, dtype=torch.float64, generator=generator)
    sound[3 * count // 4 :] = 0
    return sound.float()


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_default_dtype(torch.float64)  # of torchaudio's filters; in float32 narrow ones are off by 2e-4
    generator = torch.Generator().manual_seed(5)
    tensors = {}
    for name, (rate, bins, window, hop, preemphasis, count) in CASES.items():
        samples = make_samples(rate, count, generator)
        features = kaldi.fbank(
            samples.double().unsqueeze(0),
            sample_frequency=rate,
            num_mel_bins=bins,
            frame_length=1000 * window,
            frame_shift=1000 * hop,
            preemphasis_coefficient=preemphasis,
            window_type="hanning",
            remove_dc_offset=False,
        )
        fft = 2 ** (int(rate * window) - 1).bit_length()
        tensors[f"{name}.samples"] = samples
        tensors[f"{name}.features"] = features.float()
        tensors[f"{name}.options"] = torch.tensor([rate, bins, window, hop, fft, preemphasis], dtype=torch.float64)
    save_file(tensors, folder / "log_mel.safetensors")


if __name__ == "__main__":
    main()
