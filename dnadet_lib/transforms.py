"""The 170 image transformations whose recognition is the pretext task."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

FAMILIES = ("JPEG", "double JPEG", "Gaussian blur", "median blur", "resize", "Gaussian noise")
JPEG_QUALITIES = tuple(range(30, 100, 3))
SECOND_QUALITIES = (
    39, 99, 36, 93, 60, 75, 81, 39, 63, 69, 60, 87, 90, 48, 81, 75, 72, 78, 54, 33, 81, 30, 36, 99,
)  # fmt: skip
KERNELS = tuple(range(3, 30, 2))
SCALES = tuple(round(0.15 + 0.05 * step, 2) for step in range(16))
NOISE_VARIANCES = tuple(range(10, 50, 3))
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA, "Lanczos": cv2.INTER_LANCZOS4,
}  # fmt: skip


@dataclass(frozen=True)
class Transformation:
    """One of the 170, a class of the pretext task: call it with a uint8 RGB image (H, W, 3)."""

    name: str
    family: str
    apply: Callable[[np.ndarray, np.random.Generator], np.ndarray]

    def __call__(self, image: np.ndarray, rng: np.random.Generator | int = 0) -> np.ndarray:
        """Transform a uint8 (H, W, 3) image into a new one of the same shape."""
        return self.apply(image, np.random.default_rng(rng))


def jpeg(image: np.ndarray, rng: np.random.Generator, *, quality: int) -> np.ndarray:
    """Compress and decompress: baseline JPEG, chroma at half resolution."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None  # it was encoded one line above
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def double_jpeg(
    image: np.ndarray, rng: np.random.Generator, *, first: int, second: int
) -> np.ndarray:
    """Compress twice, with two qualities."""
    return jpeg(jpeg(image, rng, quality=first), rng, quality=second)


def gaussian_blur(image: np.ndarray, rng: np.random.Generator, *, kernel: int) -> np.ndarray:
    """Blur; sigma = 0.3 ((kernel - 1) / 2 - 1) + 0.8, OpenCV's rule."""
    return cv2.GaussianBlur(image, (kernel, kernel), 0)


def median_blur(image: np.ndarray, rng: np.random.Generator, *, kernel: int) -> np.ndarray:
    """Replace each value by the median of its kernel x kernel neighbours, a channel at a time."""
    return cv2.medianBlur(image, kernel)


def down_up(
    image: np.ndarray, rng: np.random.Generator, *, scale: float, interpolation: int, size: int
) -> np.ndarray:
    """Shrink to `scale` of `size` and enlarge back, both with one interpolation."""
    side = max(1, int(size * scale))
    small = cv2.resize(image, (side, side), interpolation=interpolation)
    return cv2.resize(small, image.shape[1::-1], interpolation=interpolation)


def gaussian_noise(image: np.ndarray, rng: np.random.Generator, *, variance: float) -> np.ndarray:
    """Add independent normal noise, variance on the 0 to 255 scale, round and clip."""
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(variance**0.5)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def image_transformations(size: int) -> list[Transformation]:
    """List the 170 transformations in the order that numbers the classes.

    Args:
        size: Side of the images in pixels; the down-sizing scales refer to it.

    Raises:
        ValueError: the size is under 8 pixels, where shrinking leaves nothing.

    Source:
        Yang et al. 2022, section 4.1, with the parameters of its public release.
    """
    if size < 8:
        raise ValueError(f"size is {size} pixels: the transformations need at least 8")
    make = Transformation
    jpegs = [make(f"JPEG {q}", "JPEG", partial(jpeg, quality=q)) for q in JPEG_QUALITIES]
    doubles = [
        make(f"JPEG {a} then {b}", "double JPEG", partial(double_jpeg, first=a, second=b))
        for a, b in zip(JPEG_QUALITIES, SECOND_QUALITIES, strict=True)
    ]
    gaussian = [
        make(f"Gaussian blur {k}", "Gaussian blur", partial(gaussian_blur, kernel=k))
        for k in KERNELS
    ]
    median = [
        make(f"median blur {k}", "median blur", partial(median_blur, kernel=k)) for k in KERNELS
    ]
    resizes = [
        make(
            f"resize {scale:.2f} {name}",
            "resize",
            partial(down_up, scale=scale, interpolation=code, size=size),
        )
        for name, code in INTERPOLATIONS.items()
        for scale in SCALES
    ]
    noise = [
        make(f"Gaussian noise {v}", "Gaussian noise", partial(gaussian_noise, variance=v))
        for v in NOISE_VARIANCES
    ]
    return jpegs + doubles + gaussian + median + resizes + noise
