"""Solutions to the exercises of lesson 00."""

from __future__ import annotations

import numpy as np


def chance_accuracy(counts):
    """Accuracy of always naming the most frequent class."""
    return max(counts) / sum(counts)


def top_two(probabilities, classes):
    """Names of the two most probable classes, best first."""
    return [classes[k] for k in np.argsort(probabilities)[::-1][:2]]


def two_scores(guesses, truth):
    """Share told rightly as photograph or fake, and share of the fakes whose class is right."""
    told, named = [], []
    for guess, true in zip(guesses, truth, strict=True):
        told.append((guess == "Real") == (true == "Real"))
        if true != "Real":
            named.append(guess == true)
    return sum(told) / len(told), sum(named) / len(named)
