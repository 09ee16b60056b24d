"""Solutions to the exercises of lesson 02."""

from __future__ import annotations

import cv2
import numpy as np


def shrink_and_enlarge(image, scale):
    """Shrink a uint8 (64, 64, 3) image to `scale` of its side, and enlarge it back."""
    side = int(64 * scale)
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(small, (64, 64), interpolation=cv2.INTER_LINEAR)


def family_accuracy(truth, predicted, families):
    """Share of predictions whose family is the true one."""
    families = np.asarray(families)
    return np.mean(families[truth] == families[predicted])


def high_pass(grey):
    """Second differences of a grey image (H, W): an array (H - 2, W - 2)."""
    kernel = np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
    height, width = grey.shape
    return sum(
        kernel[i, j] * grey[i : height - 2 + i, j : width - 2 + j]
        for i in range(3)
        for j in range(3)
    )
