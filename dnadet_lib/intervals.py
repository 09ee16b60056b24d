"""Intervals over generators: what to expect of another draw of such generators."""

from __future__ import annotations

from collections.abc import Sequence

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

    Generators of a set-up, and training seeds, are samples of what might have been drawn. Their
    variances add up; what is left of a single run is counted with both, which widens the interval
    a little.

    Args:
        setups: For each set-up, (generators, seeds): a figure of each, the same seeds throughout.

    Returns:
        Mean and ends; the ends are NaN where a set-up has a single generator.

    Source:
        Satterthwaite 1946, for the degrees of freedom.
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
