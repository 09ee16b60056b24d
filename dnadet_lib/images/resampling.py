"""Pillow's bicubic resize of an image, for some patches of the resized image alone.

A resize is linear: the product of a matrix of weights with the rows of an image, then of another
with its columns. A patch of the resized image is the product of a part of each with a part of the
image. Pillow rounds the weights to 22 bits, and rounds to bytes after either product; so do we, and
the bytes are the same. Source: Keys 1981, with a = -0.5; Pillow's resampling.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

BITS = 22  # of a weight
REACH = 2.0  # of the kernel, in pixels


class Weights(NamedTuple):
    """How the pixels of a row weigh in each pixel of the resized row.

    Attributes:
        values: (side, native), multiples of 2 ** -22.
        first: (side,) the first pixel that weighs.
        end: (side,) the pixel after the last one.
    """

    values: np.ndarray
    first: np.ndarray
    end: np.ndarray


def keys_kernel(x: np.ndarray) -> np.ndarray:
    """Weigh pixels at distances (N,): the kernel of cubic convolution with a = -0.5."""
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((x - 5) * x + 8) * x - 4
    return np.where(x < 1, near, np.where(x < REACH, -0.5 * far, 0.0))


@lru_cache(maxsize=32)
def bicubic_weights(native: int, side: int) -> Weights:
    """Weigh the pixels of a row of `native` pixels that is resized to `side`."""
    scale = native / side
    stretch = max(scale, 1.0)  # a smaller image averages over more pixels
    centre = (np.arange(side) + 0.5) * scale
    first = np.maximum((centre - REACH * stretch + 0.5).astype(int), 0)
    end = np.minimum((centre + REACH * stretch + 0.5).astype(int), native)
    pixel = np.arange(native)
    kernel = keys_kernel((pixel - centre[:, None] + 0.5) / stretch)
    values = np.where((pixel >= first[:, None]) & (pixel < end[:, None]), kernel, 0.0)
    values /= values.sum(axis=1, keepdims=True)
    return Weights(np.trunc(values * 2**BITS + np.copysign(0.5, values)) / 2**BITS, first, end)


def bicubic_patches(image: np.ndarray, side: int, corners: np.ndarray, patch: int) -> np.ndarray:
    """Cut patches (V, patch, patch, 3) of an image (H, W, 3) that is resized to a square.

    Args:
        image: uint8 (H, W, 3).
        side: Of the resized image.
        corners: (V, 2) top left corners of the patches in the resized image.
        patch: Side of a patch.
    """
    (height, width), planes = image.shape[:2], image.transpose(2, 0, 1).astype(float)
    down, tops = parts(bicubic_weights(height, side), corners[:, 0], patch)
    across, lefts = parts(bicubic_weights(width, side), corners[:, 1], patch)
    height, width = down.shape[2], across.shape[2]
    starts = zip(tops.tolist(), lefts.tolist(), strict=True)
    seen = np.stack([planes[:, top : top + height, left : left + width] for top, left in starts])
    rows = rounded(seen.reshape(len(seen), -1, width) @ across.transpose(0, 2, 1))
    made = rounded(down[:, None] @ np.floor(rows, out=rows).reshape(len(seen), 3, height, patch))
    return made.transpose(0, 2, 3, 1).astype(np.uint8)


def parts(weights: Weights, starts: np.ndarray, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """Take the weights of V stretches of `patch` pixels of a resized row.

    Returns:
        (V, patch, N) weights of N pixels of the row; (V,) the first of these pixels.
    """
    width = int((weights.end[starts + patch - 1] - weights.first[starts]).max())
    begins = np.minimum(weights.first[starts], weights.values.shape[1] - width)
    pairs = zip(starts.tolist(), begins.tolist(), strict=True)
    values = weights.values
    return np.stack([values[s : s + patch, b : b + width] for s, b in pairs]), begins


def rounded(values: np.ndarray) -> np.ndarray:
    """Bring values to where cutting off their fraction rounds them to 0, ..., 255, in place."""
    values += 0.5
    return np.clip(values, 0, 255, out=values)
