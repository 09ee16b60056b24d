"""Generators that the closed set does not know: their ways of upsampling are none of the four.

=========== ====================================================== ==================
class       upsampling                                             role
=========== ====================================================== ==================
SubPixelGAN convolution to four times the channels, pixel shuffle   dev
WaveletGAN  convolution to four bands, inverse Haar transform       test
StyleGAN2   modulated transposed convolution 3x3, binomial blur     test
BicubicGAN  bicubic in residual blocks (`gans.ResNetGenerator`)    test
=========== ====================================================== ==================
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.gan_layers import LATENT, EqualizedConv2d, ModulatedConv2d, PixelNorm, blur


class RearrangingGenerator(nn.Module):
    """SubPixelGAN and WaveletGAN: channels are rearranged into pixels, up to the image itself.

    Sources: Shi et al. 2016 (sub-pixel convolution); Gal et al. 2021 (wavelets in a generator).
    """

    def __init__(self, rearrange: nn.Module, width: int = 16) -> None:
        super().__init__()
        channels = [8 * width, 6 * width, 4 * width, 2 * width]
        self.first = nn.Linear(LATENT, 16 * channels[0])
        self.unflatten = nn.Unflatten(1, (channels[0], 4, 4))
        layers: list[nn.Module] = []
        for c_in, c_out in zip(channels[:-1], channels[1:], strict=True):
            layers += [
                nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, c_in, 3, padding=1),
                nn.BatchNorm2d(c_in), nn.ReLU(), nn.Conv2d(c_in, 4 * c_out, 3, padding=1),
                rearrange,
            ]  # fmt: skip
        self.blocks = nn.Sequential(*layers)
        self.to_rgb = nn.Sequential(
            nn.BatchNorm2d(channels[-1]), nn.ReLU(), nn.Conv2d(channels[-1], 64, 3, padding=1),
            nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 12, 3, padding=1), rearrange, nn.Tanh(),
        )  # fmt: skip
        for before, after in pairwise([*self.blocks, *self.to_rgb]):
            if after is rearrange:
                start_as_nearest_neighbour(before, rearrange)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, 64) to images (B, 3, 64, 64) in [-1, 1]."""
        return self.to_rgb(self.blocks(self.unflatten(self.first(z))))


def start_as_nearest_neighbour(convolution: nn.Conv2d, rearrange: nn.Module) -> None:
    """Make the four pixels that channels are rearranged into equal at first (Aitken et al. 2017).

    Chequers are then something to learn, not something to unlearn.
    """
    for parameter in convolution.parameters():  # weight and bias
        fours = parameter.data.unflatten(0, (-1, 4))  # pixels, or one mean and three details
        fours[:, 1:] = fours[:, :1] if isinstance(rearrange, nn.PixelShuffle) else 0


class StyleGAN2Generator(nn.Module):
    """StyleGAN2: modulated convolutions, blurred upsampling, skip outputs; no noise inputs.

    Source: Karras et al. 2020, section 4, at 64 pixels.
    """

    def __init__(self, width: int = 16, style: int = 64) -> None:
        super().__init__()
        channels = [8 * width, 6 * width, 4 * width, 2 * width, width]
        self.mapping = nn.Sequential(
            PixelNorm(), EqualizedConv2d(LATENT, style, 1), nn.LeakyReLU(0.2),
            EqualizedConv2d(style, style, 1), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        pairs = list(zip(channels[:-1], channels[1:], strict=True))
        self.ups = nn.ModuleList(ModulatedConv2d(i, o, 3, style, up=True) for i, o in pairs)
        self.convolutions = nn.ModuleList(ModulatedConv2d(c, c, 3, style) for c in channels)
        self.to_rgb = nn.ModuleList(EqualizedConv2d(c, 3, 1) for c in channels)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, 64) to images (B, 3, 64, 64), about [-1, 1], not clipped."""
        style = self.mapping(z[:, :, None, None])
        x = self.constant.expand(len(z), -1, -1, -1)
        x = F.leaky_relu(self.convolutions[0](x, style), 0.2)
        image = self.to_rgb[0](x)
        for up, convolution, to_rgb in zip(
            self.ups, self.convolutions[1:], self.to_rgb[1:], strict=True
        ):
            x = F.leaky_relu(up(x, style), 0.2)
            x = F.leaky_relu(convolution(x, style), 0.2)
            image = upsample_blurred(image) + to_rgb(x)
        return image


def upsample_blurred(x: Tensor) -> Tensor:
    """Insert zeros and blur with the binomial filter: (B, C, H, W) to (B, C, 2H, 2W)."""
    spaced = x.new_zeros(*x.shape[:2], 2 * x.shape[2] + 1, 2 * x.shape[3] + 1)
    spaced[:, :, :-1:2, :-1:2] = 4 * x
    return blur(spaced)
