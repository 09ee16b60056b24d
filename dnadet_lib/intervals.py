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


def mean_of_groups(groups: Sequence[Sequence[float]]) -> Figures:
    """Mean of the groups' means and its 95% interval, each group being a sample of its own.

    Args:
        groups: For each group (set-up), a figure a generator.

    Returns:
        Mean and ends; the ends are NaN where a group has fewer than two.

    Source:
        Satterthwaite 1946, for the degrees of freedom.
    """
    mean = float(np.mean([np.mean(group) for group in groups]))
    sizes = np.array([len(group) for group in groups])
    if sizes.min() < 2:
        return mean, float("nan"), float("nan")
    parts = np.array([np.var(group, ddof=1) for group in groups]) / sizes / len(groups) ** 2
    if parts.sum() == 0:
        return mean, mean, mean
    freedom = parts.sum() ** 2 / np.sum(parts**2 / (sizes - 1))
    half = float(stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum()))
    return mean, mean - half, mean + half
