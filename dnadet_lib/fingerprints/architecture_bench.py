"""The architecture bench: untrained generators, in which one thing at a time can be switched.

Every generator maps a latent to a 4x4 map and enlarges it four times: upsampling, convolution,
normalisation, ReLU. The weights stay random, so what traces there are, the structure has left.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dnadet_lib.fingerprints.residual import residuals
from dnadet_lib.fingerprints.spectra import Spectra, decibels, spectra_of
from dnadet_lib.zoo.generators import sample_images
from dnadet_lib.zoo.layers import LATENT, PixelNorm

WIDTH = 32  # channels throughout
STAGES = 4  # from 4 to 64 pixels
CONTRAST = 0.4  # standard deviation of the output; the range is [-1, 1]

UPSAMPLINGS: dict[str, Callable[[], list[nn.Module]]] = {
    "nearest": lambda: [nn.Upsample(scale_factor=2, mode="nearest")],
    "bilinear": lambda: [nn.Upsample(scale_factor=2, mode="bilinear")],
    "transposed 4x4": lambda: [nn.ConvTranspose2d(WIDTH, WIDTH, 4, 2, 1)],
    "transposed 3x3": lambda: [nn.ConvTranspose2d(WIDTH, WIDTH, 3, 2, 1, 1)],
    "sub-pixel": lambda: [nn.Conv2d(WIDTH, 4 * WIDTH, 3, padding=1), nn.PixelShuffle(2)],
}
NORMALISATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "batch": lambda: nn.BatchNorm2d(WIDTH, track_running_stats=False),  # nothing was trained
    "pixel": PixelNorm,
}
KERNELS = (3, 5)


class Structure(NamedTuple):
    """What can be switched in a generator of the bench."""

    upsampling: str
    normalisation: str
    kernel: int


STRUCTURES = tuple(
    Structure(upsampling, normalisation, kernel)
    for upsampling in UPSAMPLINGS
    for normalisation in NORMALISATIONS
    for kernel in KERNELS
)


class BenchGenerator(nn.Module):
    """An untrained generator; see `bench_generator`."""

    def __init__(self, upsampling: str, normalisation: str, kernel: int) -> None:
        super().__init__()
        normalise = NORMALISATIONS[normalisation]
        layers: list[nn.Module] = [
            nn.Linear(LATENT, 16 * WIDTH), nn.Unflatten(1, (WIDTH, 4, 4)), normalise(), nn.ReLU(),
        ]  # fmt: skip
        for _ in range(STAGES):
            layers += UPSAMPLINGS[upsampling]()
            layers += [_convolution(WIDTH, kernel), normalise(), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _convolution(3, kernel))

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, 64) to images (B, 3, 64, 64), each channel of the same contrast."""
        x = self.layers(z)
        mean = x.mean(dim=(0, 2, 3), keepdim=True)
        return CONTRAST * (x - mean) / x.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-8)


def _convolution(channels: int, kernel: int) -> nn.Module:
    return nn.Conv2d(WIDTH, channels, kernel, padding=kernel // 2)


def bench_generator(upsampling: str, normalisation: str, kernel: int, seed: int) -> nn.Module:
    """Build a generator with random weights, normal with He's deviation; biases are zero.

    Choices are of `UPSAMPLINGS`, `NORMALISATIONS` and `KERNELS`, the side of the convolutions
    between the upsamplings; else a ValueError. It maps latents (B, 64) to images (B, 3, 64, 64),
    about [-1, 1].

    Sources: Odena et al. 2016 (upsampling and its traces); Shi et al. 2016 (sub-pixel convolution).
    """
    choices: dict[str, tuple[object, Sequence[object]]] = {
        "upsampling": (upsampling, tuple(UPSAMPLINGS)),
        "normalisation": (normalisation, tuple(NORMALISATIONS)),
        "kernel": (kernel, KERNELS),
    }
    for name, (given, known) in choices.items():
        if given not in known:
            raise ValueError(f"{name} {given!r}: choose one of {', '.join(map(str, known))}")
    network = BenchGenerator(upsampling, normalisation, kernel)
    source = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            _draw_weights(layer, source)
    return network


def _draw_weights(
    layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, source: torch.Generator
) -> None:
    inputs: float = layer.weight[0].numel()
    if isinstance(layer, nn.ConvTranspose2d):  # with stride 2, a quarter of its taps meet an input
        inputs = layer.weight[:, 0].numel() / 4
    nn.init.normal_(layer.weight, 0, (2 / inputs) ** 0.5, generator=source)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def bench_spectra(
    structures: Sequence[Structure], draws: int, count: int = 24, seed: int = 0
) -> dict[Structure, list[Spectra]]:
    """Sample untrained generators, which share nothing, and measure their residuals' spectra."""
    found: dict[Structure, list[Spectra]] = {}
    for number, structure in enumerate(structures):
        for draw in range(draws):
            own = (seed * len(STRUCTURES) + number) * draws + draw
            latents = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(own))
            images = sample_images(bench_generator(*structure, own), latents, count).numpy()
            found.setdefault(structure, []).append(spectra_of(residuals(images)))
    return found


def look_alikes(
    bench: Mapping[Structure, Sequence[Spectra]],
) -> list[tuple[Structure, Structure]]:
    """For every generator, find the most similar other one by mean power: pairs of structures.

    Compared is the logarithm of the power, relative to its mean over the map and to the mean of all
    generators, by correlation.
    """
    owners = [structure for structure, members in bench.items() for _ in members]
    powers = [s.power for members in bench.values() for s in members]
    logs = np.stack([decibels(power, power.mean()).ravel() for power in powers])
    table = np.corrcoef(logs - logs.mean(axis=0))
    np.fill_diagonal(table, -np.inf)
    return [(own, owners[k]) for own, k in zip(owners, table.argmax(axis=1), strict=True)]


def upsampling_confusion(pairs: Sequence[tuple[Structure, Structure]]) -> pd.DataFrame:
    """Share of each upsampling (rows) whose look-alike has each one (columns); rows add up to 1."""
    own, other = (pd.Series([s.upsampling for s in side]) for side in zip(*pairs, strict=True))
    shares, names = pd.crosstab(own, other, normalize="index"), list(UPSAMPLINGS)
    return shares.reindex(index=names, columns=names, fill_value=0.0)
