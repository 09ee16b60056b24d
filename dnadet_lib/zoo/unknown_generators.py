"""Generators that the closed set does not know: their ways of upsampling are none of the four.

============= ====================================================== ==================
class         upsampling                                             role
============= ====================================================== ==================
SubPixelGAN   convolution to four times the channels, pixel shuffle  dev
TransposedGAN transposed convolution 3x3, stride 2                   dev
VAE           nearest neighbour, group norm, SiLU, linear output     dev
FastGAN       nearest neighbour, gated linear units                  dev
WaveletGAN    convolution to four bands, inverse Haar transform      test
StyleGAN2     modulated transposed convolution 3x3, binomial blur    test
BicubicGAN    bicubic in residual blocks (`generators.ResNetGenerator`)    test
ViTGAN        none: a transformer draws patches of 8x8 pixels        test
============= ====================================================== ==================
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.zoo.layers import CHANNELS, SEEN, EqualizedConv2d, ModulatedConv2d, PixelNorm, blur


class RearrangingGenerator(nn.Module):
    """SubPixelGAN (Shi et al. 2016) and WaveletGAN (Gal et al. 2021): channels become pixels."""

    def __init__(self, rearrange: nn.Module, channels: Sequence[int] = (48, 24)) -> None:
        super().__init__()
        self.first = nn.Conv2d(SEEN, channels[0], 3, padding=1)
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

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64) in [-1, 1]."""
        return self.to_rgb(self.blocks(self.first(x)))


def start_as_nearest_neighbour(convolution: nn.Conv2d, rearrange: nn.Module) -> None:
    """Make the four pixels of rearranged channels equal at first (Aitken et al. 2017)."""
    for parameter in convolution.parameters():  # weight and bias
        fours = parameter.data.unflatten(0, (-1, 4))  # pixels, or one mean and three details
        fours[:, 1:] = fours[:, :1] if isinstance(rearrange, nn.PixelShuffle) else 0


class TransposedGenerator(nn.Module):
    """TransposedGAN: transposed convolutions 3x3 with stride 2 (Zhu et al. 2017, appendix)."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(SEEN, channels[0], 3, padding=1), nn.BatchNorm2d(channels[0]), nn.ReLU(),
        ]  # fmt: skip
        for c_in, c_out in pairwise(channels):
            layers += [
                nn.ConvTranspose2d(c_in, c_out, 3, 2, 1, output_padding=1),
                nn.BatchNorm2d(c_out), nn.ReLU(),
            ]  # fmt: skip
        layers += [nn.Conv2d(channels[-1], 3, 7, padding=3), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64) in [-1, 1]."""
        return self.layers(x)


class VAEDecoder(nn.Module):
    """VAE: an image compressor's decoder, without attention (Esser et al. 2021, table 7)."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(SEEN, channels[0], 3, padding=1)]
        for c_in, c_out in pairwise(channels):
            layers += [
                nn.GroupNorm(8, c_in), nn.SiLU(), nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(c_in, c_out, 3, padding=1),
                nn.GroupNorm(8, c_out), nn.SiLU(), nn.Conv2d(c_out, c_out, 3, padding=1),
            ]  # fmt: skip
        layers += [nn.GroupNorm(8, channels[-1]), nn.SiLU()]
        layers += [nn.Conv2d(channels[-1], 3, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64), about [-1, 1], not clipped."""
        return self.layers(x)


class FastGANGenerator(nn.Module):
    """FastGAN: gated linear units, without skip-layer excitation (Liu et al. 2021)."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(SEEN, 2 * channels[0], 3, padding=1), nn.BatchNorm2d(2 * channels[0]),
            nn.GLU(dim=1),
        ]  # fmt: skip
        for c_in, c_out in pairwise(channels):
            layers += [
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(c_in, 2 * c_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(2 * c_out), nn.GLU(dim=1),
            ]  # fmt: skip
        layers += [nn.Conv2d(channels[-1], 3, 3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64) in [-1, 1]."""
        return self.layers(x)


class ViTGenerator(nn.Module):
    """ViTGAN: a transformer over 8x8 tokens, each drawn linearly as 8x8 pixels (Lee 2022)."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.PixelUnshuffle(2), nn.Flatten(2))
        self.widen = nn.Linear(4 * SEEN, width)
        self.position = nn.Parameter(0.02 * torch.randn(64, width))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, 4, 2 * width, dropout=0.0, activation="gelu", batch_first=True,
                    norm_first=True,
                )
                for _ in range(4)
            )
        )  # fmt: skip
        self.to_rgb = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3 * 64), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64) in [-1, 1]."""
        tokens = self.widen(self.first(x).transpose(1, 2)) + self.position
        patches = self.to_rgb(self.blocks(tokens))
        return F.pixel_shuffle(patches.transpose(1, 2).unflatten(2, (8, 8)), 8)


class StyleGAN2Generator(nn.Module):
    """StyleGAN2 at 64 pixels, skip outputs, no noise inputs (Karras et al. 2020, section 4)."""

    def __init__(self, channels: Sequence[int] = CHANNELS, style: int = 64) -> None:
        super().__init__()
        self.mapping = nn.Sequential(
            PixelNorm(), EqualizedConv2d(4 * SEEN, style, 1), nn.LeakyReLU(0.2),
            EqualizedConv2d(style, style, 1), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.first = EqualizedConv2d(SEEN, channels[0], 3, padding=1)
        pairs = list(zip(channels[:-1], channels[1:], strict=True))
        self.ups = nn.ModuleList(ModulatedConv2d(i, o, 3, style, up=True) for i, o in pairs)
        self.convolutions = nn.ModuleList(ModulatedConv2d(c, c, 3, style) for c in channels)
        self.to_rgb = nn.ModuleList(EqualizedConv2d(c, 3, 1) for c in channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64), about [-1, 1], not clipped.

        A map's quarters, averaged, make the style.
        """
        quarters = F.adaptive_avg_pool2d(x, 2).flatten(1)
        style, x = self.mapping(quarters[:, :, None, None]), self.first(x)
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
