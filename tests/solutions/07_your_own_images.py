"""Solutions to the exercises of lesson 07."""

from __future__ import annotations

import re


def posterior(base_rate, sensitivity, false_alarm):
    """Probability that an image named as a class is of that class (Bayes)."""
    hits = base_rate * sensitivity
    return hits / (hits + (1 - base_rate) * false_alarm)


def parse_annotation(text):
    """Read `path<TAB>label` lines: a list of pairs (path, class number)."""
    pairs = []
    for number, line in enumerate(text.split("\n"), 1):  # splitlines() would split inside names
        if not line.strip():
            continue
        path, tab, label = line.rpartition("\t")
        if not tab or not re.fullmatch("[0-9]+", label.strip()):  # isdigit() would take ²
            raise ValueError(f"line {number}: {line!r} is not a path, a tab and a class number")
        pairs.append((path, int(label)))
    return pairs


def largest_rate(images):
    """The error rate at which no error in that many images has a probability of 5%."""
    return 1 - 0.05 ** (1 / images)
