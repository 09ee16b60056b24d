"""Crops of somebody's own photographs, from which stage 1 learns."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dnadet_lib.data import list_images
from dnadet_lib.images.reading import read_image
from dnadet_lib.patches import random_patches
from dnadet_lib.plumbing.files import sha256_of
from dnadet_lib.plumbing.notes import note

DEV_SHARE = 0.1  # of the photographs


class Counts(NamedTuple):
    """How many crops are cut: to train on one per photograph within limits, and for dev."""

    least: int
    most: int
    dev: int

    def of(self, photographs: int) -> int:
        """Return the number of crops to train on, of so many photographs."""
        return min(max(self.least, photographs), self.most)


class Crops(NamedTuple):
    """Crops (N, S, S, 3) of photographs to train on, and of others for dev."""

    train: np.ndarray
    dev: np.ndarray


CROPS = Counts(6_000, 20_000, 1_700)  # 1 GB at 128 pixels; ten of each transformation


def split_photographs(folder: Path, seed: int) -> tuple[list[Path], list[Path]]:
    """Split the images of a folder at random: photographs to train on, and one in ten for dev.

    Files with the same bytes count once. A ValueError refuses fewer than two photographs.
    """
    paths = list_images(folder)
    distinct = list({sha256_of(path): path for path in reversed(paths)}.values())[::-1]
    if len(distinct) < 2:
        raise ValueError(f"{folder}: {len(distinct)} photograph: give two or more that differ")
    order = np.random.default_rng(seed).permutation(len(distinct))
    mixed = [distinct[k] for k in order]
    kept = max(1, round(DEV_SHARE * len(mixed)))
    return mixed[kept:], mixed[:kept]


def cut_photographs(
    paths: list[Path], count: int, size: int, seed: int, errors: list[str]
) -> list[np.ndarray]:
    """Cut crops of `size` pixels at random places, equally many from each photograph.

    `errors` gets a line for each one that cannot be read or is smaller than a crop.
    """
    crops: list[np.ndarray] = []
    each = -(-count // len(paths))
    for number, path in enumerate(paths[:count]):
        try:
            image = read_image(path)
        except (OSError, ValueError) as error:
            errors.append(str(error))
            continue
        height, width = image.shape[:2]
        if min(height, width) < size:
            errors.append(
                f"{path}: {width}x{height} pixels, smaller than the crops of {size}x{size}"
            )
            continue
        rng = np.random.default_rng([seed, number])
        crops.extend(random_patches(image[None], size, each, rng)[0])
    return crops


def own_crops(folder: Path, size: int, counts: Counts, seed: int, errors: list[str]) -> Crops:
    """Cut crops of `size` pixels of a folder's photographs; no photograph is in train and dev.

    `errors` is as in `cut_photographs`. A FileNotFoundError if there is no image, a ValueError if
    there are no two that can be cut, or all of either part fail.
    """
    train, dev = split_photographs(folder, seed)
    count = counts.of(len(train))
    parts = []
    for what, paths, wanted in (("train", train, count), ("dev", dev, counts.dev)):
        crops = cut_photographs(paths, wanted, size, seed, errors)
        if not crops:
            raise ValueError(
                f"{folder}: none of {len(paths)} photographs for {what} can be cut: "
                f"{errors[-1]}; give more, or another --seed"
            )
        parts.append(np.stack([crops[k % len(crops)] for k in range(wanted)]))
    note(
        f"{folder}: {len(train)} photographs to train on ({count} crops of {size}x{size} pixels), "
        f"{len(dev)} for dev"
    )
    return Crops(*parts)
