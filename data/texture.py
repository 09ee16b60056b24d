"""What generated batches should have in common with photographs, beside what a critic says.

Critics alone took thousands of steps to teach detail, and the way there led through regular grids.
Statistics of batches lead there in some hundred: the distribution of small patches, and how much
images have in common. They are the same for all generators, so they name no class. A third, the
power at every frequency, is left out on purpose: it teaches generators to hide what their
upsampling leaves.

Source: Elnekave and Weiss 2022, "Generating natural images with direct patch distributions
matching" (sliced Wasserstein distance of patches).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PROJECTIONS = 32
PATCH = 7  # pixels
STRIDE = 3  # pixels between patches
LEVELS = 2  # of a Laplacian pyramid


def patch_distance(generated: Tensor, real: Tensor) -> Tensor:
    """Sliced Wasserstein distance of the patches of two batches (B, 3, H, W), summed over levels.

    Random projections without a mean, anew at each call; each is divided by the deviation of what
    it gives on the real images, so that faint detail counts as much as strong edges.
    """
    total = generated.new_zeros(())
    for _ in range(LEVELS):
        smaller = F.avg_pool2d(generated, 2), F.avg_pool2d(real, 2)
        total = total + _band_distance(*map(_band, (generated, real), smaller))
        generated, real = smaller
    return total


def _band(images: Tensor, smaller: Tensor) -> Tensor:
    return images - F.interpolate(smaller, scale_factor=2, mode="bilinear")


def _band_distance(generated: Tensor, real: Tensor) -> Tensor:
    directions = torch.randn(PROJECTIONS, 3, PATCH, PATCH).to(generated.device)
    directions = directions - directions.mean(dim=(2, 3), keepdim=True)
    directions = directions / directions.flatten(1).norm(dim=1)[:, None, None, None]
    top, left = torch.randint(0, STRIDE, (2,)).tolist()
    ours, theirs = (
        F.conv2d(band[:, :, top:, left:], directions, stride=STRIDE)
        .transpose(0, 1).flatten(1).sort(dim=1).values
        for band in (generated, real)
    )  # fmt: skip
    return ((ours - theirs).abs().mean(dim=1) / theirs.std(dim=1)).mean()


def likeness(details: Tensor) -> Tensor:
    """Mean squared correlation between the details (B, C, H, W) of two images of a batch.

    A generator that has learned one mark draws it everywhere; photographs' details agree in
    nothing. The sign does not matter, nor does the strength.
    """
    unit = F.normalize(details.flatten(1), dim=1)
    squares = (unit @ unit.T).square()
    return (squares.sum() - squares.trace()) / (len(unit) * (len(unit) - 1))
