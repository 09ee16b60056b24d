"""What an attribution is worth: error rates, base rates, and the probability of being right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta


def posterior(base_rate: float, sensitivity: float, false_alarm: float) -> float:
    """Probability that an image which was called a class is of that class (Bayes' rule).

    Args:
        base_rate: Share of images of the class among all that are checked.
        sensitivity: Share of images of the class that are called so.
        false_alarm: Share of the other images that are called so too.

    Returns:
        NaN where no image at all would be called so.
    """
    hits = base_rate * sensitivity
    alarms = hits + (1 - base_rate) * false_alarm
    return hits / alarms if alarms > 0 else float("nan")


def upper_bound(errors: int, count: int, level: float = 0.95) -> float:
    """One-sided upper confidence bound of an error rate, for independent trials.

    Raises:
        ValueError: no trial, or more errors than trials.

    Source:
        Clopper and Pearson 1934.
    """
    if not 0 <= errors <= count or count == 0:
        raise ValueError(f"{errors} errors in {count} trials: at least one trial, and no more")
    return 1.0 if errors == count else float(beta.ppf(level, errors + 1, count - errors))


@dataclass(frozen=True)
class Alarms:
    """How often images of other makers are called a class.

    Attributes:
        makers: Who made the images.
        alarms: How many of them are called the class, as known.
        images: How many there are.
    """

    makers: str
    alarms: int
    images: int

    @property
    def rate(self) -> float:
        """Share of the images."""
        return self.alarms / self.images

    @property
    def worst(self) -> float:
        """Upper bound of the share."""
        return upper_bound(self.alarms, self.images)

    @classmethod
    def count(cls, makers: str, called: np.ndarray) -> Alarms:
        """Count (N,) booleans."""
        return cls(makers, int(np.sum(called)), len(called))


def error_section(suspect: str, sensitivity: float, images: int, rest: Sequence[Alarms]) -> str:
    """Write the section of a report that says how often a model is wrong, in Markdown.

    Args:
        suspect: The class.
        sensitivity: Share of its images, from generators not trained on, that are called so.
        images: How many those are.
        rest: False alarms, by maker.
    """
    lines = [
        f"## How often a verdict of {suspect} is wrong",
        "",
        f"- {suspect} images of generators not trained on: {round(sensitivity * images)} of "
        f"{images} pass as known and are called {suspect} (share {sensitivity:.3f})",
        *(
            f"- {r.makers}: {r.alarms} of {r.images} are called {suspect} too (share {r.rate:.4f}, "
            f"upper bound {r.worst:.4f})"
            for r in rest
        ),
        "",
        "A class is the nearest of those the model knows. It names no person and no single model:",
        "many share an architecture. Resizing or compression on the way may change the answer.",
    ]
    return "\n".join(lines) + "\n"
