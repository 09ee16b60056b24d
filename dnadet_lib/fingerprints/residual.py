"""Residuals: an image less its content, in which generators and cameras leave their traces."""

from collections.abc import Callable

import cv2
import numpy as np
import pywt
import torch
from scipy.ndimage import uniform_filter

from dnadet_lib.model import HighPass

Denoiser = Callable[[np.ndarray], np.ndarray]
NOISE = 5.0  # standard deviation on the 0-255 scale that the wavelet filter takes for noise
WINDOWS = (3, 5, 7, 9)


def wavelet_denoise(images: np.ndarray) -> np.ndarray:
    """Denoise float images (N, H, W, 3), 0 to 255, by a Wiener filter of db4 wavelet coefficients.

    The variance of the content under a coefficient is the smallest of its estimates in four
    windows; coefficients are shrunk by content / (content + noise). Source: Mihcak et al. 1999;
    Lukas et al. 2006, appendix A.
    """
    height, width = images.shape[1:3]
    levels = min(4, pywt.dwt_max_level(min(height, width), "db4"))
    coarse, *details = pywt.wavedec2(
        images.astype(np.float32), "db4", "periodization", levels, axes=(1, 2)
    )
    shrunk = [tuple(_shrink(band) for band in bands) for bands in details]
    restored = pywt.waverec2([coarse, *shrunk], "db4", "periodization", axes=(1, 2))
    return restored[:, :height, :width]


def _shrink(band: np.ndarray) -> np.ndarray:
    energy = band**2
    estimates = [uniform_filter(energy, (1, side, side, 1)) - NOISE**2 for side in WINDOWS]
    content = np.maximum(np.min(estimates, axis=0), 0)
    return band * content / (content + NOISE**2)


def median_denoise(images: np.ndarray) -> np.ndarray:
    """Denoise float images (N, H, W, 3) by a 3x3 median."""
    return np.stack([cv2.medianBlur(image.astype(np.float32), 3) for image in images])


def high_pass_denoise(images: np.ndarray) -> np.ndarray:
    """Take the second-order difference of the high-pass front end off float images (N, H, W, 3)."""
    pixels = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2)
    difference = HighPass()(pixels) / 4  # its kernel's centre is -1
    return images + difference.permute(0, 2, 3, 1).numpy()


DENOISERS: dict[str, Denoiser] = {
    "wavelet": wavelet_denoise, "median": median_denoise, "high-pass": high_pass_denoise,
}  # fmt: skip


def residuals(images: np.ndarray, denoiser: str | Denoiser = "wavelet") -> np.ndarray:
    """Subtract from uint8 images (N, H, W, 3) what a denoiser leaves of them: float32.

    Args:
        images: uint8 (N, H, W, 3).
        denoiser: "wavelet", "median", "high-pass", or a function that maps float32 images
            (N, H, W, 3), 0 to 255, to denoised ones; a ValueError if it is none of these.

    Source: Marra et al. 2019, section 2.
    """
    if isinstance(denoiser, str):
        if denoiser not in DENOISERS:
            raise ValueError(f"denoiser {denoiser!r}: choose one of {', '.join(DENOISERS)}")
        denoiser = DENOISERS[denoiser]
    noisy = images.astype(np.float32)
    clean = denoiser(noisy)
    if clean.shape != noisy.shape:
        raise ValueError(f"denoiser gave {clean.shape} for images of {noisy.shape}")
    return (noisy - clean).astype(np.float32)
