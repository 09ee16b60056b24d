"""What happens to images on their way, at random: a discriminant that has seen it looks past it.

Every change keeps the image's size, and 8 bits per channel.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from dnadet_lib.images.reading import read_image
from dnadet_lib.transforms import jpeg

Operation = Callable[[np.ndarray, np.random.Generator], np.ndarray]
SMALLER = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
LARGER = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
MIXED_SHARE = 0.35  # of each other change, where several come together


def _rounded(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw log-uniformly."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def tone(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale the contrast by 0.15 to 1.2, shift the brightness, and blur or sharpen at times."""
    pixels: np.ndarray = image.astype(np.float32)
    if rng.random() < 0.8:
        middle = pixels.mean()
        pixels = (pixels - middle) * _between(rng, 0.15, 1.2) + middle + rng.uniform(-30, 30)
    way = rng.random()
    if way < 0.5:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.2, 0.7))
    elif way < 0.65:
        pixels += rng.uniform(0.2, 1.2) * (pixels - cv2.GaussianBlur(pixels, (0, 0), 1))
    return _rounded(pixels)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian of 0.3 to 1.2 pixels."""
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))


def smaller(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduce by 0.6 to 0.95 and bring back to size."""
    height, width = image.shape[:2]
    factor = _between(rng, 0.6, 0.95)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, interpolation=int(rng.choice(SMALLER)))
    return cv2.resize(small, (width, height), interpolation=int(rng.choice(LARGER)))


def larger(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Enlarge by 1.1 to 2 and bring back to size."""
    height, width = image.shape[:2]
    factor = _between(rng, 1.1, 2)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    large = cv2.resize(image, size, interpolation=int(rng.choice(LARGER)))
    return cv2.resize(large, (width, height), interpolation=int(rng.choice(SMALLER)))


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise of a deviation of 1 to 8, of 255."""
    return _rounded(image + rng.standard_normal(image.shape) * _between(rng, 1, 8))


def _as_jpeg(image: np.ndarray, rng: np.random.Generator, low: int, high: int) -> np.ndarray:
    once = jpeg(image, rng, quality=int(rng.integers(low, high)))
    return jpeg(once, rng, quality=int(rng.integers(low, high))) if rng.random() < 0.2 else once


def fine_jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compress as JPEG of quality 85 to 99; a fifth of the images twice."""
    return _as_jpeg(image, rng, 85, 100)


def coarse_jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compress as JPEG of quality 50 to 84; a fifth of the images twice."""
    return _as_jpeg(image, rng, 50, 85)


def webp(image: np.ndarray, quality: int) -> np.ndarray:
    """Compress a uint8 image (H, W, 3) as lossy WebP of a quality and decompress."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def as_webp(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compress as WebP of quality 50 to 99."""
    return webp(image, int(rng.integers(50, 100)))


SINGLE: dict[str, Operation] = {  # in the order in which a mixed copy undergoes them
    "tone": tone, "smaller": smaller, "larger": larger, "blur": blur, "noise": noise,
    "fine JPEG": fine_jpeg, "coarse JPEG": coarse_jpeg, "WebP": as_webp,
}  # fmt: skip


def mixed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change in several ways, one after another."""
    for change in SINGLE.values():
        if rng.random() < MIXED_SHARE:
            image = np.ascontiguousarray(change(image, rng))
    return image


CHANGES: dict[str, Operation] = {**SINGLE, "mixed": mixed}
GROUPS: dict[str, tuple[str, ...]] = {  # short names of several
    "jpeg": ("fine JPEG", "coarse JPEG"), "resize": ("smaller", "larger"), "contrast": ("tone",),
    "none": (),
}  # fmt: skip


def change_named(name: str) -> Operation:
    """Return a change of uint8 (H, W, 3) with a random generator; a ValueError if there is none."""
    if name not in CHANGES:
        raise ValueError(f"unknown change {name!r}: choose of {', '.join(CHANGES)}")
    return CHANGES[name]


def changes_of(text: str) -> tuple[str, ...]:
    """Return the changes of a list such as "jpeg, WebP, tone", in capitals or not, each once.

    A ValueError names one that is none.
    """
    known = GROUPS | {name.lower(): (name,) for name in CHANGES}
    named = [part.strip().lower() for part in text.split(",")]
    if unknown := [name for name in named if name not in known]:
        raise ValueError(
            f"unknown change {unknown[0]!r}: choose of {', '.join([*CHANGES, *GROUPS])}"
        )
    return tuple(dict.fromkeys(name for part in named for name in known[part]))


def changed_copies(paths: Sequence[Path], name: str, seed: int = 0) -> Iterator[np.ndarray]:
    """Read images and change each in one way; how far follows from the seed and its position."""
    change, own = change_named(name), list(CHANGES).index(name)
    for number, path in enumerate(paths):
        yield change(read_image(path), np.random.default_rng([seed, own, number]))
