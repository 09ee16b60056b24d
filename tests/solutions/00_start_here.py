"""Solutions to the exercises of lesson 00."""

from __future__ import annotations

import numpy as np


def chance_accuracy(counts):
    """Accuracy of always naming the most frequent class."""
    return max(counts) / sum(counts)


def top_two(probabilities, classes):
    """Names of the two most probable classes, best first."""
    return [classes[k] for k in np.argsort(probabilities)[::-1][:2]]


def unknown_score(traces, means, middle, within, overall):
    """Squared distance to the nearest class less that to the middle of all, divided by T."""
    nearest = min(d @ within @ d for d in traces - means)
    away = traces - middle
    return (nearest - away @ overall @ away) / len(traces)
