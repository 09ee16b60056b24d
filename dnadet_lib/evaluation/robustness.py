"""Robustness: images degraded at five strengths."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.predictions import Predictions, predict_images
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.notes import listening
from dnadet_lib.plumbing.text import shown
from dnadet_lib.transforms import gaussian_noise, jpeg
from dnadet_lib.zoo.manifest import CLASSES

Operation = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Degradation:
    """A way to degrade an image."""

    name: str  # as printed
    unit: str  # what a strength says
    strengths: tuple[float, ...]  # five, the smallest change of the pixels first
    apply: Operation  # maps uint8 (H, W, 3), a strength and a random generator to another
    pretrained: bool  # whether pre-training has classes of its kind


def compress(image: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Compress as JPEG of a quality and decompress."""
    return jpeg(image, rng, quality=int(quality))


def blur(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian of sigma pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def add_noise(image: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Add normal noise of a standard deviation on the 0 to 255 scale."""
    return gaussian_noise(image, rng, variance=deviation**2)


def resize_back(image: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Resize by a factor and back, bilinear; smaller with area averaging."""
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smaller = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(cv2.resize(image, size, interpolation=smaller), (width, height))


def crop_and_resize(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Cut a random window of a share of either side and enlarge it to the image's size."""
    height, width = image.shape[:2]
    inner = max(1, round(height * share)), max(1, round(width * share))
    top = int(rng.integers(0, height - inner[0] + 1))
    left = int(rng.integers(0, width - inner[1] + 1))
    window = image[top : top + inner[0], left : left + inner[1]]
    return cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)


def shift(image: np.ndarray, pixels: float, rng: np.random.Generator) -> np.ndarray:
    """Move the image right and down by whole pixels; the border is mirrored."""
    step = int(pixels)
    padded = np.pad(image, ((step, 0), (step, 0), (0, 0)), mode="symmetric")
    return padded[: image.shape[0], : image.shape[1]]


def jitter_colour(image: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Scale brightness, contrast and saturation by random factors within 1 +- strength."""
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3)
    pixels = image.astype(np.float32) * brightness
    pixels = (pixels - pixels.mean()) * contrast + pixels.mean()
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pixels = (pixels - grey[..., None]) * saturation + grey[..., None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


DEGRADATIONS = (
    Degradation("JPEG", "quality", (95, 90, 80, 65, 50), compress, True),
    Degradation("blur", "sigma, pixels", (0.3, 0.5, 0.7, 1.0, 1.5), blur, True),
    Degradation("noise", "standard deviation, of 255", (1, 2, 4, 7, 12), add_noise, True),
    Degradation("resize", "factor", (1.5, 1.25, 0.9, 0.75, 0.5), resize_back, True),
    Degradation("crop and resize", "side kept", (0.95, 0.9, 0.8, 0.7, 0.5), crop_and_resize, False),
    Degradation("shift", "pixels", (1, 2, 3, 4, 8), shift, False),
    Degradation("colour jitter", "factors, +-", (0.05, 0.1, 0.2, 0.35, 0.5), jitter_colour, False),
)


def degrade(
    images: np.ndarray, degradation: Degradation, strength: float, seed: int = 0
) -> np.ndarray:
    """Degrade uint8 images (N, H, W, 3) by one of its strengths; randomness is by seed and i."""
    if strength not in degradation.strengths:
        raise ValueError(
            f"{degradation.name}, {degradation.unit} {strength}: choose one of "
            f"{', '.join(map(str, degradation.strengths))}"
        )
    return np.stack([
        degradation.apply(image, strength, np.random.default_rng([seed, number]))
        for number, image in enumerate(images)
    ])


class Change(NamedTuple):
    """A degradation of some strength."""

    kind: Degradation
    strength: float

    def __str__(self) -> str:
        return f"{self.kind.name} {self.strength:g}"


def parse_change(text: str) -> Change:
    """Read a degradation and its strength, such as `jpeg:90`; the start of a name will do.

    Raises:
        ValueError: there is no such degradation, or the strength lies outside those of the table.
    """
    name, _, strength = text.partition(":")
    kinds = [kind for kind in DEGRADATIONS if kind.name.casefold().startswith(name.casefold())]
    if len(kinds) != 1 or not name:
        known = ", ".join(f"{k.name.split()[0].casefold()} ({k.unit})" for k in DEGRADATIONS)
        raise ValueError(f"degradation {shown(text)}: write NAME:STRENGTH, with one of {known}")
    low, high = min(kinds[0].strengths), max(kinds[0].strengths)
    try:
        value = float(strength)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ValueError(
            f"degradation {shown(text)}: its strength, {kinds[0].unit}, must be {low:g} to {high:g}"
        )
    return Change(kinds[0], value)


def predict_changed(model: DNADet, images: ImageSet, change: Change, seed: int = 0) -> Predictions:
    """Run a model over degraded copies of readable images; randomness is by seed and position."""

    def copies() -> Iterator[np.ndarray]:
        for number, path in enumerate(images.paths):
            with listening():  # what is to be noted was noted of the images as they are
                image = read_image(path)
            rng = np.random.default_rng([seed, number])
            yield np.ascontiguousarray(change.kind.apply(image, change.strength, rng))

    return predict_images(model, images, copies())


def answer_shares(
    name: Callable[[np.ndarray], Sequence[str]],
    images: np.ndarray,
    truth: np.ndarray,
    degradations: Sequence[Degradation],
    seed: int = 0,
) -> pd.DataFrame:
    """Count what degraded images are called: an accuracy may rise because the answers change.

    Args:
        name: Maps uint8 images (N, H, W, 3) to N names of classes.
        images: uint8 (N, H, W, 3).
        truth: (N,) names of their classes.
        degradations: By which to degrade them.
        seed: Of noise, crops and colours.

    Returns:
        Indexed by (degradation, strength), "none" first; a column per class of `CLASSES`, with the
        share of images that are called so, and `right`, the share named rightly.
    """

    def shares(changed: np.ndarray) -> pd.Series:
        said = pd.Series(list(name(changed)))
        counted = said.value_counts(normalize=True).reindex(CLASSES, fill_value=0.0)
        return pd.concat([counted, pd.Series({"right": float(np.mean(said == truth))})])

    untouched, found = shares(images), {}
    for kind in degradations:
        found[kind.name, "none"] = untouched
        for strength in kind.strengths:
            found[kind.name, f"{strength:g}"] = shares(degrade(images, kind, strength, seed))
    return pd.DataFrame(found).T
