"""Layers that generators and critics of the pocket zoo share and PyTorch does not bring."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENT = 64  # numbers that a generator makes an image from
NOISE = 8  # maps of noise that a generator sees
SEEN = 3 + NOISE  # channels of what it starts from: a layout, and noise
CHANNELS = (48, 24, 16)  # at 16, 32 and 64 pixels


class PixelNorm(nn.Module):
    """Scales every pixel's feature vector to unit mean square (Karras 2018, section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, ...) over C."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class EqualizedConv2d(nn.Conv2d):
    """Convolution with N(0, 1) weights, scaled by He's constant at run time (Karras 2018, 4.1)."""

    def reset_parameters(self) -> None:
        """Draw standard normal weights; the scale is applied in `forward`."""
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C_in, H, W) to (B, C_out, H, W)."""
        scale = math.sqrt(2.0 / self.weight[0].numel())
        return self._conv_forward(x, self.weight * scale, self.bias)


class ModulatedConv2d(nn.Module):
    """Convolution whose input channels a style scales; demodulated to unit variance.

    Without noise inputs it is the same to scale the input and the output as to scale the weights,
    and one convolution serves the whole batch. Source: Karras et al. 2020, section 2.2.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int, style: int, *, up: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.to_scale = EqualizedConv2d(style, c_in, 1)
        self.to_scale.bias = nn.Parameter(torch.ones(c_in))
        self.up = up

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (B, C_in, H, W) and styles (B, S, 1, 1) to (B, C_out, H, W); `up` doubles H, W."""
        weight = self.weight / math.sqrt(self.weight[0].numel())
        scale = self.to_scale(style)
        x = x * scale.to(x.dtype)
        if self.up:
            x = blur(F.conv_transpose2d(x, 4 * weight.transpose(0, 1), stride=2, padding=0))
        else:
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        power = (scale * scale).flatten(1) @ (weight * weight).sum((2, 3)).T
        deviation = torch.rsqrt(power + 1e-8)[:, :, None, None]
        return x * deviation.to(x.dtype) + self.bias[:, None, None].to(x.dtype)


def blur(x: Tensor) -> Tensor:
    """Filter with [1, 3, 3, 1] / 8, three averages of neighbours: to (B, C, H - 1, W - 1)."""
    x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 2, stride=1)
    return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1), 2, stride=1)


class InverseHaar(nn.Module):
    """Inverse Haar wavelet transform: four bands of channels become one of twice the size."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 4 * C, H, W) to (B, C, 2H, 2W)."""
        low, across, down, both = x.unflatten(1, (-1, 4)).unbind(2)
        corners = (
            low + across + down + both, low - across + down - both, low + across - down - both,
            low - across - down + both,
        )  # fmt: skip
        return F.pixel_shuffle(torch.stack(corners, dim=2).flatten(1, 2) / 2, 2)
