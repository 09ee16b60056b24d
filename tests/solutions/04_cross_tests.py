"""Solutions to the exercises of lesson 04."""

from __future__ import annotations

import numpy as np
from scipy import stats


def recall(truth, predicted, k):
    """Share of class k's images that are predicted as class k."""
    return np.mean(predicted[truth == k] == k)


def paired_difference(first, second):
    """Mean of first - second over generators, and its 95% t-interval: (mean, low, high)."""
    differences = np.array([first[name] - second[name] for name in first])
    count = len(differences)
    half = stats.t.ppf(0.975, count - 1) * differences.std(ddof=1) / np.sqrt(count)
    return differences.mean(), differences.mean() - half, differences.mean() + half


def setup_mean(correct, generators):
    """Mean of the generators' accuracies: each generator counts once."""
    return np.mean([correct[generators == name].mean() for name in np.unique(generators)])
