"""Patches of enlarged images by PyTorch: as Pillow makes them, pixel for pixel, but quicker.

Both resample bytes with whole-number weights, PyTorch with fewer bits. Where an image is enlarged
2, 4 or 8 times, the weights of these filters are multiples of 1/8192, which both hold without
rounding, except where the image's border cuts the filter short.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

FACTORS = 2, 4, 8
FILTERS = "bilinear", "bicubic"
MARGIN = 2  # pixels of the image that the wider filter needs on either side


def times_enlarged(shape: tuple[int, ...], side: int, resize_filter: str) -> int | None:
    """How many times an image (H, W, 3) is enlarged; None where Pillow has to do it."""
    height, width = shape[:2]
    possible = height == width and side % height == 0 and side // height in FACTORS
    return side // height if possible and resize_filter.lower() in FILTERS else None


def off_border(corners: np.ndarray, side: int, patch: int, times: int) -> np.ndarray:
    """Tell which patches (..., 2) of images enlarged to a side do not reach the border's pixels."""
    first, count = _windows(corners, patch, times)
    return (first.min(axis=-1) >= 0) & (first.max(axis=-1) + count <= side // times)


def enlarged_patches(
    images: np.ndarray | Sequence[np.ndarray], number: np.ndarray, corners: np.ndarray, patch: int,
    times: int, resize_filter: str,
) -> np.ndarray:  # fmt: skip
    """Cut patches that are `off_border` from enlarged images.

    Args:
        images: B uint8 images (S, S, 3).
        number: Of the image that each patch is cut from (N,).
        corners: Top left corners in the enlarged image (N, 2).
        patch: Side in pixels.
        times: From `times_enlarged`.
        resize_filter: "bilinear" or "bicubic".

    Returns:
        uint8 (N, patch, patch, 3).
    """
    first, count = _windows(corners, patch, times)
    windows = np.empty((len(corners), count, count, 3), np.uint8)
    for out, image, (top, left) in zip(windows, number.tolist(), first.tolist(), strict=True):
        out[:] = images[image][top : top + count, left : left + count]
    maps, size = torch.from_numpy(windows).permute(0, 3, 1, 2), (times * count, times * count)
    # Pillow's filter comes with `antialias` alone; it does not blur what is enlarged.
    large = interpolate(maps, size, mode=resize_filter.lower(), antialias=True)
    patches = np.empty((len(corners), patch, patch, 3), np.uint8)
    offsets = (corners - times * first).tolist()
    for out, window, (top, left) in zip(
        patches, large.permute(0, 2, 3, 1).numpy(), offsets, strict=True
    ):
        out[:] = window[top : top + patch, left : left + patch]
    return patches


def _windows(corners: np.ndarray, patch: int, times: int) -> tuple[np.ndarray, int]:
    """Find what of the image each patch is made of: where it begins, and its side in pixels."""
    return corners // times - MARGIN, (patch - 1) // times + 2 + 2 * MARGIN
