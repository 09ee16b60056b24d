"""Generators as their papers give them, of any width and size: what a stranger would write.

They share no line with the zoo's own classes, so that habits of ours do not pass for traces of an
architecture. The publicly known implementations agree with them in what enlarges a feature map.
"""

from __future__ import annotations

from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def dcgan(latent: int, width: int, size: int, bias: bool) -> nn.Module:
    """DCGAN (Radford et al. 2016, figure 1): 4x4 transposed convolutions, each with stride 2.

    Args:
        latent: Length of the latent.
        width: Channels before the last layer; they double with every halving of the side.
        size: Pixels of the square image, a power of two.
        bias: Of the convolutions before a batch norm.
    """
    count = int(log2(size)) - 3
    channels = width * 2**count
    layers = [nn.Unflatten(1, (latent, 1, 1)), nn.ConvTranspose2d(latent, channels, 4, bias=bias)]
    for _ in range(count):
        layers += [nn.BatchNorm2d(channels), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1, bias=bias)]
        channels //= 2
    layers += [nn.BatchNorm2d(channels), nn.ReLU(True), nn.ConvTranspose2d(channels, 3, 4, 2, 1)]
    module = nn.Sequential(*layers, nn.Tanh())
    for layer in module:
        if isinstance(layer, nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0, 0.02)
    return module


class ResidualGenerator(nn.Module):
    """SNGAN's residual generator (Miyato et al. 2018, table 4), or InfoMax-GAN's (bilinear).

    Args:
        latent: Length of the latent.
        width: Channels of the last block, doubled towards the first, at most 256.
        size: Pixels of the square image, a power of two.
        bias: Of the convolutions inside the blocks.
        mode: Of the interpolation: "nearest" or "bilinear".
    """

    def __init__(self, latent: int, width: int, size: int, bias: bool, mode: str) -> None:
        super().__init__()
        count = int(log2(size)) - 2
        channels = [min(256, width * 2 ** (count - i)) for i in range(count + 1)]
        self.project = nn.Linear(latent, 16 * channels[0])
        self.blocks = nn.ModuleList(
            _Block(c_in, c_out, bias, mode)
            for c_in, c_out in zip(channels, channels[1:], strict=False)
        )
        self.norm = nn.BatchNorm2d(channels[-1])
        self.last = nn.Conv2d(channels[-1], 3, 3, 1, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, latent) to images (B, 3, size, size) in [-1, 1]."""
        x = self.project(z)
        x = x.view(len(x), -1, 4, 4)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.last(F.relu(self.norm(x))))


class _Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, bias: bool, mode: str) -> None:
        super().__init__()
        self.mode = {"mode": mode} | ({"align_corners": False} if mode == "bilinear" else {})
        self.b1, self.b2 = nn.BatchNorm2d(c_in), nn.BatchNorm2d(c_in)
        self.c1 = nn.Conv2d(c_in, c_in, 3, 1, 1, bias=bias)
        self.c2 = nn.Conv2d(c_in, c_out, 3, 1, 1, bias=bias)
        self.skip = nn.Conv2d(c_in, c_out, 1)

    def _larger(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, **self.mode)

    def forward(self, x: Tensor) -> Tensor:
        h = self.c1(self._larger(F.relu(self.b1(x))))
        return self.c2(F.relu(self.b2(h))) + self.skip(self._larger(x))


class ProgressiveGenerator(nn.Module):
    """ProGAN's generator (Karras et al. 2018, table 2), grown already.

    Args:
        latent: Length of the latent, which is normalised.
        width: Channels of the last block, doubled towards the first, at most 256.
        size: Pixels of the square image, a power of two.
        bias: Of the convolutions.
    """

    def __init__(self, latent: int, width: int, size: int, bias: bool) -> None:
        super().__init__()
        count = int(log2(size)) - 2
        channels = [min(256, width * 2 ** (count - i)) for i in range(count + 1)]
        self.start = _Scaled(latent, channels[0], 4, 3, bias)
        self.after_start = _Scaled(channels[0], channels[0], 3, 1, bias)
        self.pairs = nn.ModuleList(
            nn.ModuleList([_Scaled(c_in, c_out, 3, 1, bias), _Scaled(c_out, c_out, 3, 1, bias)])
            for c_in, c_out in zip(channels, channels[1:], strict=False)
        )
        self.to_rgb = _Scaled(channels[-1], 3, 1, 0, True, gain=1.0)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, latent) to images (B, 3, size, size), about [-1, 1], not clipped."""
        x = _unit(z)[:, :, None, None]
        for layer in (self.start, self.after_start):
            x = _unit(F.leaky_relu(layer(x), 0.2))
        for pair in self.pairs:
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            for layer in pair:
                x = _unit(F.leaky_relu(layer(x), 0.2))
        return self.to_rgb(x)


def _unit(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class _Scaled(nn.Module):
    """A convolution whose unit-normal weights are scaled by He's constant at run time."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, padding: int, bias: bool, gain: float = 2**0.5
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out)) if bias else None
        self.scale, self.padding = gain / (c_in * kernel**2) ** 0.5, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


def build(architecture: str, **options) -> nn.Module:
    """Return an untrained generator of a class.

    Raises:
        ValueError: there is no such class.
    """
    if architecture == "MMDGAN":
        return dcgan(**options)
    if architecture == "ProGAN":
        return ProgressiveGenerator(**options)
    if architecture in ("SNGAN", "InfoMaxGAN"):
        mode = "nearest" if architecture == "SNGAN" else "bilinear"
        return ResidualGenerator(**options, mode=mode)
    raise ValueError(
        f"no architecture {architecture!r}: choose one of ProGAN, MMDGAN, SNGAN, InfoMaxGAN"
    )


def critic(width: int, size: int, norm: str) -> nn.Module:
    """Strided convolutions down to 4 pixels, then one score (B, 1).

    Args:
        width: Channels of the first layer; they double with every halving of the side.
        size: Pixels of the square image.
        norm: "spectral", "batch" or "none".
    """
    layers, channels = [], 3
    for index in range(int(log2(size)) - 2):
        c_out = min(256, width * 2**index)
        convolution = nn.Conv2d(channels, c_out, 4, 2, 1)
        layers.append(nn.utils.parametrizations.spectral_norm(convolution)
                      if norm == "spectral" else convolution)  # fmt: skip
        if norm == "batch" and index:
            layers.append(nn.BatchNorm2d(c_out))
        layers.append(nn.LeakyReLU(0.2))
        channels = c_out
    score = nn.Linear(16 * channels, 1)
    score = nn.utils.parametrizations.spectral_norm(score) if norm == "spectral" else score
    return nn.Sequential(*layers, nn.Flatten(), score)
