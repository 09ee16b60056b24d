"""The critics: what each loss trains a generator against. They are not part of the benchmark.

A critic sees the spread of its batch (`minibatch_std`) where the generator has no batch norm: such
generators otherwise settle on a few images.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dnadet_lib.zoo.layers import EqualizedConv2d


class MinibatchStd(nn.Module):
    """Appends the batch's mean standard deviation as one more channel (Karras 2018, section 3)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C + 1, H, W)."""
        deviation = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        return torch.cat([x, deviation.expand(len(x), 1, *x.shape[2:])], dim=1)


class WassersteinCritic(nn.Module):
    """Strided convolutions with equalised learning rate."""

    def __init__(self, width: int = 32, *, channels: int = 3, minibatch_std: bool) -> None:
        super().__init__()
        top = 8 * width
        self.layers = nn.Sequential(
            *_strided_convolutions(channels, width, EqualizedConv2d),
            MinibatchStd() if minibatch_std else nn.Identity(),
            EqualizedConv2d(top + minibatch_std, top, 3, padding=1),
            nn.LeakyReLU(0.2),
            EqualizedConv2d(top, 1, 4),
            nn.Flatten(0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, 64, 64) to scores (B,)."""
        return self.layers(x)


def _strided_convolutions(
    channels: int, width: int, convolution: type[nn.Conv2d]
) -> list[nn.Module]:
    """Four 4x4 convolutions with stride 2, from some channels at 64 pixels to 8 * width at 4."""
    pairs = pairwise([channels, width, 2 * width, 4 * width, 8 * width])
    return [m for i, o in pairs for m in (convolution(i, o, 4, 2, 1), nn.LeakyReLU(0.2))]


class SpectralCritic(nn.Module):
    """Strided convolutions with spectral norm; it also gives local and global features.

    Source: Miyato et al. 2018 (spectral norm); Lee et al. 2021 (the two projections).
    """

    def __init__(
        self, outputs: int = 1, width: int = 32, projection: int = 128, *, channels: int = 3,
        minibatch_std: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        stages = _strided_convolutions(channels, width, nn.Conv2d)
        size = 16 * (8 * width + minibatch_std)
        self.to_local = spectrally_normalised(nn.Sequential(*stages[:6]))
        self.to_global = spectrally_normalised(nn.Sequential(*stages[6:]))
        self.spread = MinibatchStd() if minibatch_std else nn.Identity()
        self.score = spectral_norm(nn.Linear(size, outputs))
        self.project_local = spectral_norm(nn.Conv2d(4 * width, projection, 1))
        self.project_global = spectral_norm(nn.Linear(size, projection))

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to the local map (B, 4 * width, 8, 8) and the global vector (B, D)."""
        local = self.to_local(x)
        return local, self.spread(self.to_global(local)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, 64, 64) to (B, outputs)."""
        return self.score(self.features(x)[1])


def spectrally_normalised(layers: nn.Sequential) -> nn.Sequential:
    """Put spectral norm on every convolution."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            spectral_norm(layer)
    return layers
