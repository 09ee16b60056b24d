"""Convolutions as matrix products: quicker on a CPU where the maps are small."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SMALL = 4  # pixels a side of the output
MANY = 256  # channels of the output


def convolve(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve maps (B, C_in, H, W) with square kernels (C_out, C_in, k, k): `F.conv2d`.

    For a small map, forward and backward, PyTorch takes two to seven times as long in bfloat16 on a
    CPU as for the matrix products that it amounts to, and 1.2 to 1.5 times in float32 where there
    are many channels. They differ by rounding. `benchmarks/speed.py` compares the two.
    """
    side = (max(x.shape[2:]) + 2 * padding - weight.shape[2]) // stride + 1
    pays = torch.is_autocast_enabled("cpu") or len(weight) >= MANY
    if side > SMALL or not pays or x.device.type != "cpu":
        return F.conv2d(x, weight, bias, stride, padding)
    return Unfolded.apply(x, weight, bias, stride, padding)


class Unfolded(torch.autograd.Function):
    """A convolution and its gradients as products of two matrices.

    The rows of one are the windows of the input that the kernel sees, those of the other the
    kernels.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int
    ) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W'); weights are (C_out, C_in, k, k)."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        seen, kernels = windows(x, weight.shape[2], stride, padding), rows(weight)
        made = torch.addmm(bias, seen.reshape(-1, kernels.shape[1]), kernels.T)
        return made.view(*seen.shape[:3], -1).permute(0, 3, 1, 2)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Map the gradient of the output to those of the input, the weights and the bias."""
        x, weight = ctx.saved_tensors
        kernels = rows(weight)
        seen = windows(x, weight.shape[2], ctx.stride, ctx.padding)
        made = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))
        of_weight = (made.T @ seen.reshape(-1, kernels.shape[1])).view(len(weight), *seen.shape[3:])
        of_x = add_windows((made @ kernels).view(seen.shape), x.shape, ctx.stride, ctx.padding)
        return of_x, of_weight.permute(0, 3, 1, 2), made.sum(dim=0), None, None


def rows(weight: Tensor) -> Tensor:
    """Write each kernel of (C_out, C_in, k, k) as a row, channels last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def windows(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """View the windows of maps (B, C, H, W): (B, H', W', kernel, kernel, C)."""
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, *[padding] * 4))
    return padded.unfold(1, kernel, stride).unfold(2, kernel, stride).permute(0, 1, 2, 4, 5, 3)


def add_windows(values: Tensor, shape: torch.Size, stride: int, padding: int) -> Tensor:
    """Add up windows (B, H', W', kernel, kernel, C) where they lie in maps (B, C, H, W)."""
    batch, channels, height, width = shape
    _, down, across, kernel = values.shape[:4]
    padded = values.new_zeros(batch, height + 2 * padding, width + 2 * padding, channels)
    for i in range(kernel):
        for j in range(kernel):
            lower, right = i + stride * (down - 1) + 1, j + stride * (across - 1) + 1
            padded[:, i:lower:stride, j:right:stride] += values[:, :, :, i, j]
    return padded[:, padding : padding + height, padding : padding + width].permute(0, 3, 1, 2)
