"""What an attribution is worth: error rates, base rates, and the probability of being right."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta

from dnadet_lib.evaluation.intervals import mean_interval
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.files import sha256_of
from dnadet_lib.plumbing.paths import data_folder


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
class Alarms:
    """How often images of other makers are called a class, as known: so many of these images."""

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
    def count(cls, makers: str, called: np.ndarray) -> "Alarms":
        """Count (N,) booleans."""
        return cls(makers, int(np.sum(called)), len(called))


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
    def count(cls, makers: str, called: np.ndarray, sources: Sequence[str]) -> "Hits":
        """Count (N,) booleans by the images' N generators."""
        names = np.array(sources)
        each = [float(called[names == name].mean()) for name in np.unique(names)]
        share, low, high = mean_interval(each)
        return cls(makers, share, max(low, 0.0), min(high, 1.0), len(called), len(each))

    def __str__(self) -> str:
        over = f"{self.images} images of {self.generators} generator" + "s" * (self.generators > 1)
        if np.isnan(self.low):
            return f"{self.share:.3f} (no interval over generators), {over}"
        return f"{self.share:.3f} [{self.low:.3f}, {self.high:.3f}], {over}"


def error_section(suspect: str, hits: Sequence[Hits], rest: Sequence[Alarms]) -> str:
    """Write in Markdown how often a model is right and wrong about a class, by makers."""
    lines = [
        f"## How far a verdict of {suspect} can be trusted",
        "",
        f"Of images of {suspect}, these shares pass as known and are called {suspect} (mean over "
        "generators and its 95% interval, cut at 0 and 1):",
        "",
        *(f"- {row.makers}: {row}" for row in hits),
        "",
        f"Of other images, these are called {suspect} too:",
        "",
        *(
            f"- {r.makers}: {r.alarms} of {r.images} (share {r.rate:.4f}, upper bound "
            f"{r.worst:.4f})"
            for r in rest
        ),
        "",
        "A class is the nearest of those the model knows. It names no person and no single model:",
        "many share an architecture. Resizing or compression on the way may change the answer.",
    ]
    return "\n".join(lines) + "\n"


RARE = 0.01  # base rate of the example
NEW = {  # what is new in each set-up
    "closed": "nothing: new images of the generators it was fitted to",
    "seed": "the random start of the generator's training",
    "loss": "the loss that the generator was trained with",
    "finetune": "the generator was trained further, on other photographs",
    "dataset": "the pictures: animals and fruit on plain grounds",
}


@dataclass(frozen=True)
class Measured:
    """Error rates of a shipped checkpoint; rows as `dnadet evaluate --json` gives them."""

    name: str
    rows: list[dict[str, Any]]

    def row(self, setup: str, metric: str = "accuracy") -> dict[str, Any] | None:
        """Return the figure of a set-up, or None."""
        own = (r for r in self.rows if (r["setup"], r["metric"]) == (setup, metric))
        return next(own, None)

    def worst(self, setup: str) -> tuple[str, float]:
        """Return the generator of a set-up that is named rightly least often, and how often."""
        start = "accuracy "
        own = [r for r in self.rows if r["setup"] == setup and r["metric"].startswith(start)]
        worst = min(own, key=lambda row: row["value"])
        return worst["metric"].removeprefix(start), worst["value"]


def measured_of(model: DNADet) -> Measured | None:
    """Find the error rates of a checkpoint by its hash; None for one that is not shipped."""
    with suppress(FileNotFoundError):
        folder = data_folder() / "checkpoints"
        text = (folder / "results.json").read_text(encoding="utf-8")
        for file in sorted(folder.glob("*.safetensors")):
            if sha256_of(file) == model.sha256:
                rows = [r for r in json.loads(text)["rows"] if r["method"] == file.stem]
                return Measured(file.stem, rows) if rows else None
    return None


def worth(measured: Measured) -> str:
    """Say by an example what the model's word is worth where few images are generated, or ""."""
    named, real = measured.row("seed"), measured.row("closed", "recall Real")
    if named is None or real is None:
        return ""
    alarms = upper_bound(round((1 - real["value"]) * real["images"]), real["images"])
    right = posterior(RARE, named["value"], alarms)
    return (
        f"Suppose that 1 image in {1 / RARE:.0f} of a collection comes from generators like those "
        f"tested, which are named rightly in {named['value']:.0%} of cases where only the random "
        f"start is new, and that the rest are photographs like those tested, of which up to "
        f"{alarms:.1%} are called generated by mistake. Then only {100 * right:.0f} in 100 of the "
        "images that are called generated really are."
    )
