"""How good a generator is: sliced Wasserstein distance by frequency band, and diversity."""

import cv2
import numpy as np
import pandas as pd

PATCH = 7
PATCHES_PER_IMAGE = 64
PROJECTIONS = 256
LEVELS = (64, 32, 16)
LEAST_DIVERSITY = 0.5  # of the photographs'
TIMES_THE_BEST = 3.0  # sliced Wasserstein distance, of the best generator of the same content


def laplacian_pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Split images into bands of 64, 32 and 16 pixels (Burt and Adelson 1983).

    Args:
        images: uint8 (N, 64, 64, 3).

    Returns:
        float32 bands (N, 64, 64, 3), (N, 32, 32, 3) and the remainder (N, 16, 16, 3).
    """
    bands: list[list[np.ndarray]] = [[] for _ in LEVELS]
    for image in images:
        current = image.astype(np.float32)
        for band in bands[:-1]:
            smaller = cv2.pyrDown(current)
            band.append(current - cv2.pyrUp(smaller))
            current = smaller
        bands[-1].append(current)
    return [np.stack(band) for band in bands]


def _descriptors(band: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw 7x7 patches: (N * PATCHES_PER_IMAGE, 7, 7, 3), each channel standardised."""
    count, side = band.shape[:2]
    image = np.repeat(np.arange(count), PATCHES_PER_IMAGE)[:, None, None]
    rows, columns = rng.integers(0, side - PATCH + 1, (2, len(image), 1, 1))
    offset = np.arange(PATCH)
    patches = band[image, rows + offset[:, None], columns + offset]
    return (patches - patches.mean((0, 1, 2))) / (patches.std((0, 1, 2)) + 1e-8)


def sliced_wasserstein(first: np.ndarray, second: np.ndarray, seed: int = 0) -> dict[int, float]:
    """Sliced Wasserstein distance between two image sets, per Laplacian level, times 1000.

    Args:
        first: uint8 (N, 64, 64, 3).
        second: uint8 (M, 64, 64, 3); the first min(N, M) images of both are compared.
        seed: Of patches and projections.

    Returns:
        {64: finest band, 32: ..., 16: coarsest}, each the distance times 1000.

    Source:
        Karras et al. 2018, section 5.
    """
    count = min(len(first), len(second))
    rng = np.random.default_rng(seed)
    distances = {}
    pyramids = zip(laplacian_pyramid(first[:count]), laplacian_pyramid(second[:count]), strict=True)
    for level, (band_a, band_b) in zip(LEVELS, pyramids, strict=True):
        a = _descriptors(band_a, rng).reshape(-1, PATCH * PATCH * 3).astype(np.float32)
        b = _descriptors(band_b, rng).reshape(-1, PATCH * PATCH * 3).astype(np.float32)
        directions = rng.standard_normal((a.shape[1], PROJECTIONS)).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=0)
        total = 0.0
        for block in np.array_split(directions, 16, axis=1):
            total += np.abs(np.sort(a @ block, axis=0) - np.sort(b @ block, axis=0)).mean() / 16
        distances[level] = float(1000 * total)
    return distances


def mean_pairwise_distance(images: np.ndarray, pairs: int = 5000, seed: int = 0) -> float:
    """Mean root-mean-square pixel difference (0 to 255) between two images drawn at random."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(images), pairs)
    second = (first + rng.integers(1, len(images), pairs)) % len(images)
    differences = images[first].astype(np.float32) - images[second]
    return float(np.sqrt(np.square(differences).mean((1, 2, 3))).mean())


def below_the_line(table: pd.DataFrame) -> list[str]:
    """Say which generators are not good enough to be worth attributing, and why.

    Args:
        table: One row per generator: name, content, swd_64, swd_32, swd_16, diversity.

    Returns:
        A sentence for every figure that is worse than `LEAST_DIVERSITY`, or than
        `TIMES_THE_BEST` times the best of its content.
    """
    sentences = []
    for level in (f"swd_{n}" for n in LEVELS):
        limits = TIMES_THE_BEST * table.groupby("content")[level].transform("min")
        sentences += [
            f"{row['name']}: {level} is {row[level]}, more than {limit:.1f}"
            for (_, row), limit in zip(table.iterrows(), limits, strict=True)
            if row[level] > limit
        ]
    dull = table[table["diversity"] < LEAST_DIVERSITY]
    return sentences + [
        f"{name}: diversity is {value}, less than {LEAST_DIVERSITY}"
        for name, value in zip(dull["name"], dull["diversity"], strict=True)
    ]
