"""Solutions to the exercises of lesson 01."""

from __future__ import annotations

import numpy as np


def two_spectra(residuals):
    """Power of the mean of the complex spectra, and mean of the powers: two (H, W) arrays."""
    spectra = np.fft.fft2(residuals)
    pixels = residuals[0].size
    return np.abs(spectra.mean(axis=0)) ** 2 / pixels, (np.abs(spectra) ** 2).mean(axis=0) / pixels


def coverage(length, kernel):
    """How many inputs reach each output of a transposed convolution of stride 2."""
    counts = np.zeros(2 * (length - 1) + kernel)
    for place in range(length):
        counts[2 * place : 2 * place + kernel] += 1
    return counts


def locked_share(locked_power, power, count):
    """Share of the power that is locked in position, less what chance leaves in the mean.

    With a share s, the mean has s + (1 - s) / N of the power. Solved for s.
    """
    ratio = locked_power.sum() / power.sum()
    return (count * ratio - 1) / (count - 1)
