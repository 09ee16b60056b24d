"""Rivals of DNA-Det, as scikit-learn estimators.

They map uint8 images (N, H, W, 3) of one size to class names or numbers, as in
`AttNet(seed=0).fit(images, labels).predict(test_images)`; those that are networks stand in
`networks`. DNA-Det's backbone on whole images, the fifth, is a preset of `stages.stage_2`.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import dctn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from dnadet_lib.fingerprints.residual import Denoiser, residuals

CHUNK = 500  # images that are filtered or transformed at a time


def check_images(images: np.ndarray, like: tuple[int, ...] | None = None) -> np.ndarray:
    """Return images; a ValueError unless they are uint8 (N, H, W, 3), and of the size `like`."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not len(images):
        raise ValueError(
            f"images are {images.dtype} {images.shape}: expected uint8 (N, H, W, 3), N above 0"
        )
    if like is not None and images.shape[1:] != like:
        raise ValueError(
            f"images of {images.shape[2]}x{images.shape[1]} pixels, but the classifier was fitted "
            f"on {like[1]}x{like[0]}"
        )
    return images


def check_labels(images: np.ndarray, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted classes and numbers (N,) of two classes or more, a label per image."""
    classes, numbers = np.unique(np.asarray(labels), return_inverse=True)
    if len(numbers) != len(images):
        raise ValueError(f"{len(images)} images, but {len(numbers)} labels")
    if len(classes) < 2:
        raise ValueError(f"one class only, '{classes[0]}': give images of two or more")
    return classes, numbers


class ResidualCorrelation(ClassifierMixin, BaseEstimator):
    """A class's fingerprint is its mean residual; the highest normalised correlation names it.

    The denoiser is one of `residual.residuals`; `fingerprints_` are float32 (K, H, W, 3). Source:
    Marra et al. 2019, section 2.
    """

    def __init__(self, denoiser: str | Denoiser = "wavelet") -> None:
        self.denoiser = denoiser

    def fit(self, images: np.ndarray, labels: ArrayLike) -> "ResidualCorrelation":
        """Average the residuals of uint8 images (N, H, W, 3), class by class."""
        images = check_images(images)
        self.classes_, numbers = check_labels(images, labels)
        sums = np.zeros((len(self.classes_), *images.shape[1:]))
        for start in range(0, len(images), CHUNK):
            part = residuals(images[start : start + CHUNK], self.denoiser)
            np.add.at(sums, numbers[start : start + CHUNK], part)
        counts = np.bincount(numbers)[:, None, None, None]
        self.fingerprints_ = (sums / counts).astype(np.float32)
        return self

    def decision_function(self, images: np.ndarray) -> np.ndarray:
        """Normalised correlation of every image's residual with every fingerprint: (N, K)."""
        check_is_fitted(self)
        images = check_images(images, self.fingerprints_.shape[1:])
        prints = _unit_rows(self.fingerprints_)
        return np.concatenate([
            _unit_rows(residuals(images[start : start + CHUNK], self.denoiser)) @ prints.T
            for start in range(0, len(images), CHUNK)
        ])

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Name the class of each uint8 image (N, H, W, 3)."""
        scores = self.decision_function(images)
        return self.classes_[scores.argmax(axis=1)]


def _unit_rows(images: np.ndarray) -> np.ndarray:
    """Flatten (N, ...), take off each row's mean and scale it to length 1."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-8)


def log_dct(images: np.ndarray, high_pass: bool = False) -> np.ndarray:
    """Log magnitudes log(|D| + 1e-12) of the orthonormal 2-D DCT-II of every channel.

    Images are uint8 (N, H, W, 3), the result is float32 of that shape. With `high_pass`, the
    high-pass front end's output is transformed instead of the pixels. Source: Frank et al. 2020,
    section 3.
    """
    output = np.empty(images.shape, np.float32)
    for start in range(0, len(images), CHUNK):
        part = images[start : start + CHUNK]
        pixels = residuals(part, "high-pass") if high_pass else part.astype(np.float32)
        spectrum = dctn(pixels, type=2, axes=(1, 2), norm="ortho")
        output[start : start + CHUNK] = np.log(np.abs(spectrum) + 1e-12)
    return output


def spectrum_scaler(images: np.ndarray, high_pass: bool) -> StandardScaler:
    """Fit mean and deviation of every log DCT coefficient of uint8 images (N, H, W, 3)."""
    scaler = StandardScaler(copy=False)
    for start in range(0, len(images), CHUNK):
        spectra = log_dct(images[start : start + CHUNK], high_pass)
        scaler.partial_fit(spectra.reshape(len(spectra), -1))
    return scaler


def scaled_spectra(images: np.ndarray, high_pass: bool, scaler: StandardScaler) -> np.ndarray:
    """Standardised log DCT coefficients (N, H * W * 3), float32."""
    return scaler.transform(log_dct(images, high_pass).reshape(len(images), -1))


class DCTRegression(ClassifierMixin, BaseEstimator):
    """Standardised log DCT coefficients and L2-regularised logistic regression.

    Args:
        C: Inverse strength of the regularisation.
        high_pass: Whether the fixed high-pass front end comes first.
        max_iter: Steps of the solver, at most.

    Source: Frank et al. 2020, sections 3 and 5.
    """

    def __init__(self, C: float = 1e-3, high_pass: bool = False, max_iter: int = 300) -> None:
        self.C = C
        self.high_pass = high_pass
        self.max_iter = max_iter

    def fit(self, images: np.ndarray, labels: ArrayLike) -> "DCTRegression":
        """Learn the classes of uint8 images (N, H, W, 3)."""
        images = check_images(images)
        check_labels(images, labels)
        self.size_ = images.shape[1:]
        self.scaler_ = spectrum_scaler(images, self.high_pass)
        spectra = scaled_spectra(images, self.high_pass, self.scaler_)
        self.regression_ = LogisticRegression(C=self.C, max_iter=self.max_iter)
        self.regression_.fit(spectra, np.asarray(labels))
        self.classes_ = self.regression_.classes_
        return self

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) of uint8 images (N, H, W, 3)."""
        check_is_fitted(self)
        images = check_images(images, self.size_)
        return self.regression_.predict_proba(
            scaled_spectra(images, self.high_pass, self.scaler_)
        )

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Name the class of each uint8 image (N, H, W, 3)."""
        probabilities = self.predict_proba(images)
        return self.classes_[probabilities.argmax(axis=1)]
