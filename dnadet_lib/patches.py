"""Patches: cutting them, resizing images, and normalising both for the network."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dnadet_lib.plumbing.enlarging import enlarged_patches, off_border, times_enlarged
from dnadet_lib.plumbing.workers import MOST, in_threads

Images = np.ndarray | Sequence[np.ndarray]  # B uint8 images (H, W, 3), as a list of any sizes
Corners = np.ndarray | Sequence[tuple[int, int]]  # V top left corners
FILTERS = tuple(resampling.name.lower() for resampling in Image.Resampling)


def resize(image: np.ndarray, side: int, resize_filter: str = "bicubic") -> np.ndarray:
    """Resize a uint8 image (H, W, 3) to (side, side, 3) with a named Pillow filter.

    Raises:
        ValueError: Pillow has no filter of that name.
    """
    check_filter(resize_filter)
    resampling = Image.Resampling[resize_filter.upper()]
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), resampling))


def check_filter(name: str) -> None:
    """Raise a ValueError if Pillow has no filter of that name."""
    if name.lower() not in FILTERS:
        raise ValueError(f"resize filter {name!r}: choose one of {', '.join(FILTERS)}")


def check_patch_fits(height: int, width: int, patch: int) -> None:
    """Raise a ValueError if an image of that size is smaller than a patch."""
    if min(height, width) < patch:
        raise ValueError(
            f"image is {width}x{height} pixels, smaller than a patch of {patch}x{patch}; "
            "use a larger image or a model with smaller patches"
        )


def random_corners(
    height: int, width: int, patch: int, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Draw top left corners (B, count, 2) of patches in images of that size; shape is (B, count).

    Raises:
        ValueError: the images are smaller than a patch.
    """
    check_patch_fits(height, width, patch)
    return np.stack([rng.integers(0, side - patch + 1, shape) for side in (height, width)], axis=2)


def random_patches(
    images: np.ndarray, patch: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Cut `count` patches at random positions from each image.

    Args:
        images: uint8 (B, H, W, 3).
        patch: Side in pixels.
        count: Patches per image.
        rng: Random generator.

    Returns:
        uint8 (B, count, patch, patch, 3).

    Raises:
        ValueError: an image is smaller than a patch.
    """
    batch, height, width = images.shape[:3]
    corners = random_corners(height, width, patch, (batch, count), rng)
    return np.stack([cut(image, own, patch) for image, own in zip(images, corners, strict=True)])


def cut(image: np.ndarray, corners: Corners, patch: int) -> np.ndarray:
    """Cut the patches (V, patch, patch, 3) of an image (H, W, 3) at V top left corners."""
    return np.stack([image[top : top + patch, left : left + patch] for top, left in corners])


def cut_resized(
    images: Images, side: int, corners: np.ndarray, patch: int, resize_filter: str = "bicubic"
) -> np.ndarray:
    """Cut patches from what `resize` makes of images, pixel for pixel, but make no other pixel.

    A patch of 64 of a fourfold enlargement needs 16 pixels of the image and a margin. Where sixteen
    patches of 64 are cut from an image of 512, that saves most of the work.

    Args:
        images: B uint8 images (H, W, 3).
        side: Side of the resized images, in pixels.
        corners: (B, V, 2) top left corners of the patches in the resized images.
        patch: Side of a patch, in pixels.
        resize_filter: Pillow's name of the filter.

    Returns:
        uint8 (B, V, patch, patch, 3).

    Raises:
        ValueError: Pillow has no filter of that name.
    """
    check_filter(resize_filter)
    patches = np.empty((*corners.shape[:2], patch, patch, 3), np.uint8)
    left = np.ones(corners.shape[:2], bool)
    same_size = len({image.shape for image in images}) == 1
    if same_size and (times := times_enlarged(images[0].shape, side, resize_filter)):
        left = ~off_border(corners, side, patch, times)

        def fill(rows: np.ndarray, columns: np.ndarray) -> None:
            own = corners[rows, columns]
            patches[rows, columns] = enlarged_patches(
                images, rows, own, patch, times, resize_filter
            )

        in_threads(fill, *(np.array_split(index, MOST) for index in np.nonzero(~left)))

    def fill_by_pillow(row: int) -> None:
        own = corners[row, left[row]]
        patches[row, left[row]] = _cut_by_pillow(images[row], side, own, patch, resize_filter)

    in_threads(fill_by_pillow, np.flatnonzero(left.any(axis=1)).tolist())
    return patches


def _cut_by_pillow(
    image: np.ndarray, side: int, corners: np.ndarray, patch: int, resize_filter: str
) -> np.ndarray:
    """Cut patches (V, patch, patch, 3) from what `resize` makes of one image (H, W, 3)."""
    exact = side & (side - 1) == 0  # Pillow takes boxes in float32: only there, none is rounded
    if side in image.shape[:2] or not exact:
        return cut(resize(image, side, resize_filter), corners, patch)
    resampling, whole = Image.Resampling[resize_filter.upper()], Image.fromarray(image)
    down, across = image.shape[0] / side, image.shape[1] / side
    boxes = [
        (left * across, top * down, (left + patch) * across, (top + patch) * down)
        for top, left in corners.tolist()
    ]
    column = Image.new("RGB", (patch, patch * len(boxes)))  # one array is made quicker than many
    for number, box in enumerate(boxes):
        column.paste(whole.resize((patch, patch), resampling, box), (0, patch * number))
    return np.asarray(column).reshape(-1, patch, patch, 3)


def random_turns(images: Images, rng: np.random.Generator) -> list[np.ndarray]:
    """Mirror and turn each image (H, W, 3) at random, in one of the eight ways of a square."""
    turned = [np.rot90(image, int(rng.integers(4))) for image in images]
    return [image[:, ::-1] if rng.random() < 0.5 else image for image in turned]


def turned(images: np.ndarray, copy: int) -> np.ndarray:
    """Turn images (B, H, W, ...) by `copy` quarters; the first and third turn are mirrored, too."""
    quarters = np.rot90(images, copy, axes=(1, 2))
    return quarters[:, :, ::-1] if copy % 2 else quarters


def turned_back(images: np.ndarray, copy: int) -> np.ndarray:
    """Undo `turned`."""
    return np.rot90(images[:, :, ::-1] if copy % 2 else images, -copy, axes=(1, 2))


def grid_corners(
    height: int, width: int, patch: int, max_per_side: int = 8, density: int = 2
) -> list[tuple[int, int]]:
    """List the top left corners of a regular grid of patches that covers an image, row by row.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        patch: Side in pixels.
        max_per_side: At most this many rows and columns; on large images they are spread evenly
            and leave gaps.
        density: Patches that begin within one patch's side, or more; 2 overlap by half.

    Raises:
        ValueError: the image is smaller than a patch.
    """
    check_patch_fits(height, width, patch)
    sides = height - patch, width - patch
    numbers = [min(max_per_side, 1 + math.ceil(density * free / patch)) for free in sides]
    tops, lefts = (
        np.linspace(0, free, number) for free, number in zip(sides, numbers, strict=True)
    )
    return [(int(top), int(left)) for top in tops for left in lefts]


def grid_patches(image: np.ndarray, patch: int, max_per_side: int = 8) -> np.ndarray:
    """Cut a regular grid of patches that covers one image, overlapping by half or more.

    Args:
        image: uint8 (H, W, 3).
        patch: Side in pixels.
        max_per_side: As in `grid_corners`.

    Returns:
        uint8 (V, patch, patch, 3), row by row.

    Raises:
        ValueError: the image is smaller than a patch.
    """
    height, width = image.shape[:2]
    return cut(image, grid_corners(height, width, patch, max_per_side), patch)


def grid_share(height: int, width: int, patch: int, max_per_side: int = 8) -> float:
    """Share of an image's area that `grid_patches` shows: 1 unless the grid leaves gaps."""
    corners = grid_corners(height, width, patch, max_per_side)
    shares = []
    for side, starts in zip((height, width), zip(*corners, strict=True), strict=True):
        shown = np.zeros(side, bool)
        for start in set(starts):
            shown[start : start + patch] = True
        shares.append(float(shown.mean()))
    return shares[0] * shares[1]


def normalise(images: Tensor) -> Tensor:
    """Map uint8 images (B, H, W, 3) to float (B, 3, H, W) in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).to(torch.float32, copy=True).div_(127.5).sub_(1)
