"""Intervals over images, and over generators."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

Figures = tuple[float, float, float]  # value, lower and upper end


def mean_interval(values: Sequence[float]) -> Figures:
    """Mean and its 95% t-interval; the ends are NaN for fewer than three values."""
    mean, half = float(np.mean(values)), float("nan")
    if len(values) >= 3:
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        half = float(stats.t.ppf(0.975, len(values) - 1) * error)
    return mean, mean - half, mean + half


def mean_of_setups(setups: Sequence[np.ndarray]) -> Figures:
    """Mean over set-ups, generators and training seeds, and its 95% interval.

    Each set-up is (generators, seeds), the same seeds throughout. Generators and seeds are samples
    of what might have been drawn: their variances add up. What is left of a single run is counted
    with both, which widens the interval. The ends are NaN where a set-up has a single generator.
    Source: Satterthwaite 1946, for the degrees of freedom.
    """
    mean = float(np.mean([values.mean() for values in setups]))
    sizes = [len(values) for values in setups]
    if min(sizes) < 2:
        return mean, float("nan"), float("nan")
    share = 1 / len(setups) ** 2
    parts = [
        share * values.mean(axis=1).var(ddof=1) / size
        for values, size in zip(setups, sizes, strict=True)
    ]
    freedoms = [size - 1 for size in sizes]
    seeds = np.mean([values.mean(axis=0) for values in setups], axis=0)
    if len(seeds) > 1:
        parts.append(seeds.var(ddof=1) / len(seeds))
        freedoms.append(len(seeds) - 1)
    variance = sum(parts)
    if variance == 0:
        return mean, mean, mean
    freedom = variance**2 / sum(v**2 / f for v, f in zip(parts, freedoms, strict=True))
    half = float(stats.t.ppf(0.975, freedom) * np.sqrt(variance))
    return mean, mean - half, mean + half


def difference_interval(first: Sequence[float], second: Sequence[float]) -> Figures:
    """Mean of some values less that of others, and the 95% interval of the difference.

    The ends are NaN where there is but one value on a side.

    Source:
        Welch 1947.
    """
    setups = [np.array(first, float)[:, None], -np.array(second, float)[:, None]]
    mean, low, high = mean_of_setups(setups)  # half of their sum
    return 2 * mean, 2 * low, 2 * high


BOOTSTRAPS = 1000
DRAWN_AT_ONCE = 2**20  # groups, which bounds the memory and changes no figure


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval, and what the interval is over."""

    value: float
    low: float
    high: float
    kind: str

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def percentiles(draws: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """95% percentile interval of a bootstrap's draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def bootstrap_accuracy(correct: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    """Accuracy of (N,) booleans with a percentile bootstrap that draws whole groups.

    `groups` (N,) says what is drawn together: the photograph for crops, the image itself else.
    """
    _, number = np.unique(groups, return_inverse=True)
    hits = np.bincount(number, weights=correct)
    sizes = np.bincount(number)
    rng = np.random.default_rng(seed)
    rows = max(1, DRAWN_AT_ONCE // len(sizes))
    accuracies = []
    for start in range(0, BOOTSTRAPS, rows):
        draws = rng.integers(0, len(sizes), (min(rows, BOOTSTRAPS - start), len(sizes)))
        accuracies.append(hits[draws].sum(axis=1) / sizes[draws].sum(axis=1))
    return Interval(float(np.mean(correct)), *percentiles(np.concatenate(accuracies)), "images")


def resampled_positions(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw as many groups as there are, with replacement: the positions of their members."""
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.unique(groups[order], return_index=True)[1][1:])
    return np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])


def drawn_together(sources: np.ndarray) -> np.ndarray:
    """Number what a bootstrap draws as one: the crops of a photograph, else each image alone."""
    names = [
        name if name.startswith("real/") and name.count("/") > 1 else str(i)
        for i, name in enumerate(sources.astype(str).tolist())
    ]
    return np.unique(names, return_inverse=True)[1]
