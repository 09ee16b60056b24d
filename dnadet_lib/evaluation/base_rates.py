"""What an attribution is worth: error rates, base rates, and the probability of being right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import beta, binomtest

from dnadet_lib.evaluation.intervals import mean_interval


def posterior(base_rate: float, sensitivity: float, false_alarm: float) -> float:
    """Probability that an image which was called a class is of that class (Bayes' rule).

    Args:
        base_rate: Share of images of the class among all that are checked.
        sensitivity: Share of images of the class that are called so.
        false_alarm: Share of the other images that are called so too.

    Returns NaN where no image at all would be called so.
    """
    hits = base_rate * sensitivity
    alarms = hits + (1 - base_rate) * false_alarm
    return hits / alarms if alarms > 0 else float("nan")


def upper_bound(errors: int, count: int, level: float = 0.95) -> float:
    """One-sided upper bound of errors in one trial or more (Clopper and Pearson 1934)."""
    if not 0 <= errors <= count or count == 0:
        raise ValueError(f"{errors} errors in {count} trials: at least one trial, and no more")
    return 1.0 if errors == count else float(beta.ppf(level, errors + 1, count - errors))


@dataclass(frozen=True)
class Share:
    """Share of some images that are called a class, as known, and its 95% interval.

    The interval is over generators where three or more differ in it, and cut to [0, 1]; else it is
    over the images.
    """

    value: float
    low: float
    high: float
    images: int
    generators: int  # 0 of photographs
    spread: bool  # whether the interval is over generators

    @classmethod
    def count(
        cls, called: np.ndarray, sources: Sequence[str] | np.ndarray, generated: bool = True
    ) -> "Share":
        """Count (N,) booleans by the images' N sources, which are generators or photographs."""
        each = Hits.count("", called, sources)
        if generated and each.generators >= 3 and each.low < each.high:
            return cls(each.share, each.low, each.high, len(called), each.generators, True)
        found = binomtest(int(np.sum(called)), len(called))
        low, high = found.proportion_ci(0.95)
        generators = each.generators if generated else 0
        return cls(float(found.statistic), low, high, len(called), generators, False)

    @property
    def over(self) -> str:
        """What the interval is over."""
        some = f"{self.generators} generator" + "s" * (self.generators > 1)
        if self.spread or not self.generators:
            return some if self.spread else "images"
        return f"images, {some}"

    def __str__(self) -> str:
        if self.spread:
            why = f"over {self.generators} generators"
        elif self.generators == 1:
            why = "one generator: this bound is over its images alone"
        elif self.generators:
            why = "no spread seen between" if self.generators > 2 else "too few for a bound:"
            why = f"over images; {why} {self.generators} generators"
        else:
            why = "over images"
        return f"{self.value:.3f}, up to {self.high:.3f} ({why})"


@dataclass(frozen=True)
class Alarms:
    """How often images of other makers are called a class, as known: so many of these images."""

    makers: str
    alarms: int
    images: int
    whole: Share | None = None  # of all of them, where it is known who made them
    parts: tuple[tuple[str, Share], ...] = ()  # of each architecture, the most alarms first

    def __str__(self) -> str:
        found = f"share {self.rate:.4f}, upper bound {self.worst:.4f} over {self.over}"
        return f"{self.makers}: {self.alarms} of {self.images} ({found})"

    @property
    def rate(self) -> float:
        """Share of the images."""
        return self.alarms / self.images

    @property
    def worst(self) -> float:
        """Upper bound of the share: over images, or over generators where that is higher."""
        over_images = upper_bound(self.alarms, self.images)
        return max(over_images, self.whole.high if self.whole and self.whole.spread else 0.0)

    @property
    def over(self) -> str:
        """What the upper bound is over."""
        if self.whole and self.worst > upper_bound(self.alarms, self.images):
            return self.whole.over
        return "images"

    @classmethod
    def count(
        cls, makers: str, called: np.ndarray, sources: Sequence[str] | np.ndarray = (),
        architectures: Sequence[str] | np.ndarray = (),
    ) -> "Alarms":  # fmt: skip
        """Count (N,) booleans, by the images' N sources and architectures if these are given."""
        alarms, count = int(np.sum(called)), len(called)
        if not len(sources):
            return cls(makers, alarms, count)
        names, origin = np.array(architectures), np.array(sources)
        parts = [
            (str(name), Share.count(called[names == name], origin[names == name], name != "Real"))
            for name in np.unique(names)
        ]
        parts.sort(key=lambda part: -part[1].value)
        whole = Share.count(called, origin, "Real" not in names)
        return cls(makers, alarms, count, whole, tuple(parts))


@dataclass(frozen=True)
class Hits:
    """How often images of a class are called so, as known: a mean over generators.

    The 95% interval is over generators and cut to [0, 1]; of fewer than three, its ends are NaN.
    """

    makers: str
    share: float
    low: float
    high: float
    images: int
    generators: int

    @classmethod
    def count(cls, makers: str, called: np.ndarray, sources: Sequence[str] | np.ndarray) -> "Hits":
        """Count (N,) booleans by the images' N generators."""
        names = np.array(sources)
        each = [float(called[names == name].mean()) for name in np.unique(names)]
        share, low, high = mean_interval(each)
        return cls(makers, share, max(low, 0.0), min(high, 1.0), len(called), len(each))

    def __str__(self) -> str:
        over = f"{self.images} images of {self.generators} generator" + "s" * (self.generators > 1)
        if np.isnan(self.low):
            return f"{self.share:.3f} (no interval over generators), {over}"
        if self.low == self.high:
            return f"{self.share:.3f} (no spread seen between generators), {over}"
        return f"{self.share:.3f} [{self.low:.3f}, {self.high:.3f}], {over}"


BASE_RATES = (0.5, 0.1, 0.01, 0.001)


def posterior_table(rest: Sequence[Alarms], sensitivity: Sequence[float]) -> pd.DataFrame:
    """Show the share of alarms that are right, at the upper bound of false alarms.

    Args:
        rest: What the other images are, a row each.
        sensitivity: Of each row, the one that was measured under its conditions.

    Returns:
        Also the sensitivity and the bound, rounded to three digits; a column for each base rate.
    """
    rows = {
        row.makers: {"sensitivity": round(own, 3), "bound": round(row.worst, 3), "over": row.over}
        | {f"{rate:g}": round(posterior(rate, own, row.worst), 2) for rate in BASE_RATES}
        for row, own in zip(rest, sensitivity, strict=True)
    }
    return pd.DataFrame.from_dict(rows, "index")


def error_section(
    suspect: str, hits: Sequence[Hits], rest: Sequence[Alarms],
    refused: Mapping[str, np.ndarray] | None = None,
) -> str:  # fmt: skip
    """Write in Markdown how often a model is right and wrong about a class, by makers.

    Args:
        suspect: Name of the class.
        hits: How often its images are called so.
        rest: How often other images are, each group split by architecture where that is known.
        refused: Which images of each group of makers are refused, (N,) booleans each.
    """
    lines = [
        f"## How far a verdict of {suspect} can be trusted",
        "",
        f"Of images of {suspect}, these shares pass as known and are called {suspect} (mean over "
        "generators and its 95% interval, cut at 0 and 1):",
        "",
        *(f"- {row.makers}: {row}" for row in hits),
        "",
        f"Of other images, these are called {suspect} too (bounds at 95%):",
        "",
    ]
    for row in rest:
        lines.append(f"- {row}")
        lines += [f"    - {name}: {part}" for name, part in row.parts if len(row.parts) > 1]
    lines += [
        "",
        "A bound over images takes them as independent. Crops of one photograph and images of one",
        "generator are not, and the next generator may differ: the truth can be worse.",
        "",
    ]
    if refused:
        lines += ["Refused as outside what the model knows:", ""]
        lines += [f"- {name}: {np.mean(own):.3f}" for name, own in refused.items()]
        lines += ["", guard(refused), ""]
    lines += [
        "A class is the nearest of those the model knows. It names no person and no single model:",
        "many share an architecture. Resizing or compression on the way can hide the traces.",
    ]
    return "\n".join(lines) + "\n"


STRANGE = "unknown architectures"  # the group of images that ought to be refused
GUARDS_FROM = 0.5  # share of them that is refused, below which a score is called no guard


def guard(refused: Mapping[str, np.ndarray]) -> str:
    """Say whether refusals, (N,) booleans of each group, guard against unknown architectures."""
    shares = {name: float(np.mean(own)) for name, own in refused.items()}
    if STRANGE not in shares or len(shares) < 2:
        return "No unknown architecture was tried: what a refusal is worth is not known."
    strange = shares.pop(STRANGE)
    most = max(shares, key=lambda name: shares[name])
    text = f"At this threshold {strange:.1%} of the images of unknown architectures are refused"
    if strange < GUARDS_FROM:
        text += ": the score is no guard against them"
    if strange <= shares[most]:
        text += (
            f". It refuses no fewer of '{most}' ({shares[most]:.1%}): a refusal may as well be due "
            "to these"
        )
    return f"{text}."
