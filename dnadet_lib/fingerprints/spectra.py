"""Spectra of residuals: which traces a generator leaves at the same place, and which anywhere.

All maps are centred: frequency zero stands at [H // 2, W // 2], and column k belongs to the
frequency (k - W // 2) / W in cycles per pixel. Power is in squared grey levels and scaled so that
white noise has its variance at every frequency.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

EDGE = 8  # pixels: a denoiser that wraps around leaves a frame on any image, photographs too
CORNER = math.sqrt(0.5)  # the highest frequency of a square grid, along the diagonal


@dataclass(frozen=True)
class Spectra:
    """What `spectra_of` measures on the residuals of one generator.

    Attributes:
        mean_residual: (H, W, C), grey levels.
        locked_power: (H, W), power of the mean residual: of traces at the same pixels in every
            image.
        power: (H, W), mean of the power spectra: also of traces whose place changes.
        count: Residuals that were averaged.
    """

    mean_residual: np.ndarray
    locked_power: np.ndarray
    power: np.ndarray
    count: int

    @property
    def locked_share(self) -> float:
        """Share of the power that is locked in position; about 0 if nothing is, 1 if all is.

        The 1/N of the power is taken off that is in the mean of N residuals by chance.
        """
        if self.count < 2 or not self.power.any():
            return math.nan
        ratio = float(self.locked_power.sum() / self.power.sum())
        return (self.count * ratio - 1) / (self.count - 1)


def spectra_of(residuals: np.ndarray) -> Spectra:
    """Average the spectra of residuals, float (N, H, W, C), as complex numbers and as powers.

    Source: Marra et al. 2019, section 2 (the mean residual); Zhang et al. 2019, section 3
    (spectra).
    """
    if residuals.ndim != 4 or not len(residuals):
        raise ValueError(f"residuals are {residuals.shape}: expected (N, H, W, C), N above 0")
    mean = residuals.mean(axis=0, dtype=np.float64)
    height, width = mean.shape[:2]
    spectra = fft.fft2(residuals, axes=(1, 2))
    power = (spectra.real**2 + spectra.imag**2).mean(axis=(0, 3), dtype=np.float64)
    locked = (np.abs(fft.fft2(mean, axes=(0, 1))) ** 2).mean(axis=2)
    locked, power = (fft.fftshift(p) / (height * width) for p in (locked, power))
    return Spectra(mean, locked, power, len(residuals))


def lock_controls(
    residuals: np.ndarray, found: Spectra, seed: int = 0, edge: int = EDGE
) -> tuple[float, float]:
    """Measure two controls of what is locked in position.

    Args:
        residuals: float (N, H, W, C), N above 1.
        found: `spectra_of` them.
        seed: Of the places that residuals are moved to; edges wrap around.
        edge: Pixels at the border that the halves leave out.

    Returns:
        Correlation of the mean residuals of two halves, 1 if they agree on a pattern and 0 if there
        is none; and the locked share once each residual was moved to a random place, about 0.
    """
    halves = [residuals[start::2].mean(axis=0) for start in (0, 1)]
    places = np.random.default_rng(seed).integers(0, residuals.shape[1:3], (len(residuals), 2))
    mean = np.mean([np.roll(r, p, (0, 1)) for r, p in zip(residuals, places, strict=True)], axis=0)
    locked = spectra_of(mean[None]).power  # moving residuals changes no power but the mean's
    return _correlation(halves, edge), replace(found, locked_power=locked).locked_share


def resemblance(one: Spectra, two: Spectra, edge: int = EDGE) -> float:
    """Correlation of two mean residuals, without `edge` pixels at the border."""
    return _correlation([one.mean_residual, two.mean_residual], edge)


def _correlation(means: Sequence[np.ndarray], edge: int) -> float:
    inner = slice(edge, -edge or None)
    found = np.corrcoef([mean[inner, inner].ravel() for mean in means])[0, 1]
    return round(float(found), 3) + 0.0  # never -0.0


def decibels(power: np.ndarray, reference: float | np.ndarray = 1.0) -> np.ndarray:
    """Power relative to a reference, in decibels: 10 is ten times as much, 0 is the same."""
    return 10 * np.log10(np.maximum(power, 1e-6) / np.maximum(reference, 1e-6))


def level_map(found: Sequence[Spectra]) -> np.ndarray:
    """Average the powers of some spectra: a map (H, W) in decibels around its own mean."""
    power = np.mean([one.power for one in found], axis=0)
    return decibels(power, power.mean())


def autocorrelation(power: np.ndarray, reach: int = 32) -> np.ndarray:
    """Correlation of a residual with its own shifted copies, from its mean power spectrum (H, W).

    Shifts wrap around the image; `reach` is the largest in pixels, cut to what fits into half an
    image. Returns (2 * reach + 1, 2 * reach + 1): 1 in the middle, where nothing is shifted. A
    ValueError if the power is zero everywhere. Source: Wiener-Khinchin theorem; Corvi et al. 2023.
    """
    if not power.any():
        raise ValueError("power is zero everywhere: a residual of nothing has no autocorrelation")
    values = fft.fftshift(fft.ifft2(fft.ifftshift(power)).real)
    row, column = (side // 2 for side in power.shape)
    reach = min(reach, *((side - 1) // 2 for side in power.shape))
    part = values[row - reach : row + reach + 1, column - reach : column + reach + 1]
    return part / values[row, column]


def frequencies(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies of a centred map: down (H, 1) and across (1, W), cycles per pixel."""
    down, across = (fft.fftshift(fft.fftfreq(side)) for side in shape)
    return down[:, None], across[None]


def radial_profile(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average a centred power spectrum (H, W) over rings around frequency zero.

    Returns the rings' frequencies (R,) in cycles per pixel, from 0 to the corner at about 0.7, and
    their mean power (R,). Source: Durall et al. 2020, section 3 (azimuthal average); Corvi et al.
    2023.
    """
    side = min(power.shape)
    distance = np.hypot(*frequencies(power.shape))
    ring = np.rint(distance * side).astype(int).ravel()
    sums, counts = np.bincount(ring, power.ravel()), np.bincount(ring)
    return np.arange(len(counts)) / side, sums / counts


def fine_level(power: np.ndarray, low: float = 0.4) -> float:
    """Mean of a radial profile beyond a frequency in cycles per pixel, in decibels."""
    frequency, radial = radial_profile(power)
    return float(decibels(radial[frequency > low].mean()))


def angular_profile(
    power: np.ndarray, directions: int = 24, low: float = 0.1, high: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Average a centred power spectrum (H, W) by direction, over a band of frequencies.

    The half turn has so many `directions`, the band goes from `low` to `high` cycles per pixel; up
    to 0.5, every direction has the same share of it. Returns directions (D,) in degrees, and their
    mean power (D,). At 0 degrees the pattern changes along a row, at 90 degrees along a column. A
    ValueError if a wedge holds no frequency of so small a map. Source: Corvi et al. 2023.
    """
    down, across = frequencies(power.shape)
    distance = np.hypot(down, across)
    band = (distance >= low) & (distance <= high)
    step = 180 / directions
    wedge = np.rint(np.degrees(np.arctan2(down, across))[band] / step).astype(int) % directions
    counts = np.bincount(wedge, minlength=directions)
    if not counts.all():
        raise ValueError(f"{directions} directions are too many for a map of {power.shape}")
    return np.arange(directions) * step, np.bincount(wedge, power[band], directions) / counts


def period_level(power: np.ndarray, period: int = 2) -> float:
    """How far the power at a period's frequencies stands above that of their surroundings.

    The frequencies are multiples of 1 / period that no shorter period has: for period 2 stripes
    down, stripes across and a chequerboard. Surroundings are two and three steps away in the same
    row and column, so that an axis of high power is no peak. The power (H, W) is centred, the
    period in pixels divides H and W, else a ValueError. Returns decibels: 0 for no peak, 20 for a
    hundred times the surroundings.
    """
    height, width = power.shape
    if period < 2 or height % period or width % period:
        raise ValueError(f"period {period} does not divide a map of {power.shape}")
    plain = fft.ifftshift(power)
    peaks, around = [], []
    for i, j in np.ndindex(period, period):
        if math.gcd(i, j, period) != 1:
            continue  # a shorter period has it, or it is frequency zero
        row, column = i * height // period, j * width // period
        peaks.append(plain[row, column])
        for step in (-3, -2, 2, 3):
            around += [plain[(row + step) % height, column], plain[row, (column + step) % width]]
    return float(decibels(np.mean(peaks), np.mean(around)))
