"""What critics see is shifted at random, real and generated images alike.

With a few thousand photographs a critic otherwise learns them by heart, and where their edges lie.

Source: the translation of Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN
training". Colours are left alone, and nothing is cut out: layouts have the colours of photographs
anyway.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shift(images: Tensor, share: float = 0.125) -> Tensor:
    """Shift each image (B, C, H, W) by whole pixels, at most a share of its side.

    What comes in at the edges is zero. Gradients pass.
    """
    most = int(images.shape[-1] * share)
    padded = F.pad(images, (most,) * 4)
    corners = torch.randint(0, 2 * most + 1, (len(images), 2)).tolist()
    height, width = images.shape[-2:]
    parts = [p[:, y : y + height, x : x + width] for p, (y, x) in zip(padded, corners, strict=True)]
    return torch.stack(parts).contiguous(memory_format=torch.channels_last)
