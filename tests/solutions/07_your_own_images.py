"""Solutions to the exercises of lesson 07."""

from __future__ import annotations


def posterior(base_rate, sensitivity, false_alarm):
    """Probability that an image named as a class is of that class (Bayes)."""
    hits = base_rate * sensitivity
    return hits / (hits + (1 - base_rate) * false_alarm)


def block_score(traces, means, middle, within, overall):
    """Squared distance to the nearest class less that to the middle of all, divided by T."""
    nearest = min(d @ within @ d for d in traces - means)
    away = traces - middle
    return (nearest - away @ overall @ away) / len(traces)


def largest_rate(images):
    """The error rate at which no error in that many images has a probability of 5%."""
    return 1 - 0.05 ** (1 / images)
