"""Encodings of photographs: what the generators of a content get their layout and colours from.

A photograph is box-averaged to 16x16 and written in principal components. The encoder is linear,
fitted once for a content, and common to all generators: what a thumbnail shows is then the same
for every class, and what a class adds is the detail.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 16  # pixels of the thumbnail that is encoded
CODE = 128  # numbers of a code; the last is constant
CONSTANT = 8.0  # tells a generator that normalises its code how strong the rest is
FITTED_ON = 8000  # crops


def thumbnails(images: Tensor) -> Tensor:
    """Box-average images (B, 3, 64, 64) to (B, 3 * 16 * 16)."""
    return F.avg_pool2d(images, images.shape[-1] // SIDE).flatten(1)


class Encoder(nn.Module):
    """Principal components of 16x16 thumbnails, half whitened, and a constant.

    A component is divided by the square root of its deviation: large ones stay larger than small
    ones, but not by as much, and a generator learns from both. All 127 have a mean square of 1.

    Args:
        crops: uint8 (N, 64, 64, 3) that the components are fitted on.
    """

    def __init__(self, crops: np.ndarray) -> None:
        super().__init__()
        images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
        flat = thumbnails(images).double()
        centred = flat - flat.mean(dim=0)
        variances, vectors = torch.linalg.eigh(centred.T @ centred / len(flat))
        kept = slice(-(CODE - 1), None)
        self.register_buffer("mean", flat.mean(dim=0).float())
        self.register_buffer("basis", vectors[:, kept].flip(1).float())
        deviations = variances[kept].flip(0).clamp(min=1e-8).sqrt().float()
        self.register_buffer("scale", (deviations * deviations.mean()).sqrt())

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, 64, 64) in [-1, 1] to codes (B, 128)."""
        components = (thumbnails(images) - self.mean) @ self.basis / self.scale
        return F.pad(components, (0, 1), value=CONSTANT)

    def distance(self, images: Tensor, codes: Tensor) -> Tensor:
        """Mean absolute difference between what codes say and the thumbnails of images.

        Only along the components: what the code leaves out is the generator's own.
        """
        found = (thumbnails(images) - self.mean) @ self.basis
        return ((found - codes[:, :-1] * self.scale) @ self.basis.T).abs().mean()
