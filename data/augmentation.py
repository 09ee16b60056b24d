"""Differentiable augmentation: what a critic sees is changed at random, real and generated alike.

With a few thousand photographs a critic otherwise learns them by heart.

Source: Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training".
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(images: Tensor) -> Tensor:
    """Change the colours of images (B, 3, H, W), shift them and cut a square out."""
    return cut_out(shift(change_colours(images)))


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high)


def change_colours(images: Tensor) -> Tensor:
    """Draw brightness, saturation and contrast anew for each image."""
    images = images + _uniform(images, -0.5, 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * _uniform(images, 0.0, 2.0)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _uniform(images, 0.5, 1.5)


def shift(images: Tensor, share: float = 0.125) -> Tensor:
    """Shift each image by whole pixels, at most a share of its side, and fill up with zeros."""
    most = int(images.shape[-1] * share)
    padded = F.pad(images, (most,) * 4)
    corners = torch.randint(0, 2 * most + 1, (len(images), 2)).tolist()
    height, width = images.shape[-2:]
    parts = [p[:, y : y + height, x : x + width] for p, (y, x) in zip(padded, corners, strict=True)]
    return torch.stack(parts).contiguous(memory_format=torch.channels_last)


def cut_out(images: Tensor) -> Tensor:
    """Set a square of half the side, at a random place, to zero in each image."""
    height, width = images.shape[-2:]
    rows = torch.arange(height)[None, :] - torch.randint(0, height + 1, (len(images), 1))
    columns = torch.arange(width)[None, :] - torch.randint(0, width + 1, (len(images), 1))
    inside = (rows.abs() <= height // 4)[:, :, None] & (columns.abs() <= width // 4)[:, None, :]
    return images * (~inside)[:, None].to(images.device)
