"""Solutions to the exercises of lesson 03."""

from __future__ import annotations

import numpy as np


def positive_pairs(labels, views):
    """Which pairs of patches are positives of each other: (B * views, B * views) booleans."""
    owners = np.repeat(labels, views)
    same = owners[:, None] == owners[None]
    np.fill_diagonal(same, False)
    return same


def weighted_total(losses, scales):
    """Sum of 0.5 / s^2 * L + log(1 + s^2)."""
    return sum(
        0.5 / scale**2 * loss + np.log(1 + scale**2)
        for loss, scale in zip(losses, scales, strict=True)
    )


def best_squared_scale(loss):
    """The squared scale at which 0.5 / u * loss + log(1 + u) is smallest.

    The derivative -0.5 L / u^2 + 1 / (1 + u) is zero where u^2 - 0.5 L u - 0.5 L = 0.
    """
    half = 0.5 * loss
    return (half + np.sqrt(half**2 + 4 * half)) / 2
