"""Do labels say what they seem to say? Counts, paths that name another class, swapped classes.

A list that numbers the classes in another order, or holds other architectures, gives a figure all
the same; these checks show it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dnadet_lib.data import ImageSet, origins
from dnadet_lib.evaluation.predictions import Predictions
from dnadet_lib.evaluation.results import resampled
from dnadet_lib.images.lists import folder_sources
from dnadet_lib.images.names import listed, numbered
from dnadet_lib.plumbing.text import one_line
from dnadet_lib.zoo.generators import UNKNOWN_ARCHITECTURES
from dnadet_lib.zoo.manifest import CLASSES

SAME_GENERATOR = {"CramerGAN": "MMDGAN", "SSGAN": "InfoMaxGAN"}  # another loss, not another class
NEARLY_ALL = 0.9
FEWEST = 3  # images of a class, below which chance could make a permutation
ROWS = 20  # folders in a printed table
ABOVE = 2  # folders above the common root whose names count
WORDS = re.compile(r"[0-9a-z]+")


@dataclass(frozen=True)
class Count:
    """Images of a class or folder, and the share refused as unknown (None: cannot be said)."""

    images: int
    refused: float | None


@dataclass(frozen=True)
class SetChecks:
    """What is said of a labelled set beside its figures."""

    interval: str  # what the interval of the accuracy is over
    total: Count  # of all images
    classes: dict[str, Count]  # class -> its images
    folders: dict[str, Count]  # folder, as seen from the root of all -> its images
    warnings: list[str]  # what contradicts the labels

    def as_dict(self) -> dict[str, object]:
        """Say it in plain values, for JSON."""
        parts = {"classes": self.classes, "folders": self.folders}
        return {
            "interval": self.interval,
            **vars(self.total),
            **{key: {k: vars(c) for k, c in part.items()} for key, part in parts.items()},
            "warnings": self.warnings,
        }


def check_labels(images: ImageSet, predictions: Predictions, threshold: float) -> SetChecks:
    """Count a set's images and look for what contradicts its labels.

    The set has class names in its own order; predictions are of these images, in order; the
    threshold is that of the model's unknown score.
    """
    known = ~(predictions.unknown_scores > threshold)
    refused = None if np.isnan(predictions.unknown_scores).all() else ~known
    names = [images.classes[k] for k in images.labels]
    return SetChecks(
        resampled(len(set(origins(predictions.sources)))),
        _count(np.arange(len(images)), refused),
        _counts(names, refused, order=images.classes),
        _counts(folder_sources(images.paths), refused),
        [*contradicted_paths(images), *permuted_labels(images, predictions)],
    )


def _count(index: np.ndarray, refused: np.ndarray | None) -> Count:
    return Count(len(index), None if refused is None else float(refused[index].mean()))


def _counts(
    names: list[str], refused: np.ndarray | None, order: tuple[str, ...] = ()
) -> dict[str, Count]:
    groups = pd.Series(range(len(names))).groupby(np.array(names, object)).indices
    keys = sorted(groups, key=lambda name: order.index(name) if order else name)
    return {str(name): _count(groups[name], refused) for name in keys}


def contradicted_paths(images: ImageSet) -> list[str]:
    """Remark on images whose path names another architecture than their label.

    The deepest folder or file counts that is the name of a class of the set or of an architecture
    of the zoo, or has it as a word, whatever its case. CramerGAN and SSGAN, losses that share a
    generator, stand for its class; `real` counts as a whole folder only. A label that is no
    architecture of the zoo can be contradicted by the set's other classes alone.
    """
    zoo = {name.casefold(): name for name in (*CLASSES, *UNKNOWN_ARCHITECTURES)}
    zoo |= {name.casefold(): own for name, own in SAME_GENERATOR.items()}
    own = {name.casefold(): name for name in images.classes if not name.isdecimal()}
    found: dict[tuple[str, str], list[Path]] = {}
    for path, above, label in zip(images.paths, _folders(images.paths), images.labels, strict=True):
        name = images.classes[label]
        known = zoo | own if name.casefold() in zoo else own
        named = _named((*above, path.stem), known)
        if named and not named & {name, known.get(name.casefold(), name)}:
            found.setdefault((name, min(named)), []).append(path)
    return [
        f"{len(paths)} images labelled {one_line(name)} lie under a path that names "
        f"{one_line(other)}, such as {one_line(paths[0])}"
        for (name, other), paths in found.items()
    ]


def _folders(paths: list[Path]) -> list[tuple[str, ...]]:
    """List the folders above each image: those under the root of all, and its last two."""
    parents = {path.parent: Path(os.path.abspath(path.parent)).parts for path in paths}
    shared = len(os.path.commonprefix(list(parents.values())))
    return [parents[path.parent][max(0, shared - ABOVE) :] for path in paths]


def _named(parts: tuple[str, ...], known: dict[str, str]) -> set[str]:
    """Return what the deepest part that names an architecture names."""
    for depth, part in enumerate(reversed(parts)):
        whole = part.casefold()
        if depth and whole in known:
            return {known[whole]}
        words = {word for word in WORDS.findall(whole) if len(word) > 2} - {"real"}
        if named := {known[word] for word in words if word in known}:
            return named
    return set()


def permuted_labels(images: ImageSet, predictions: Predictions) -> list[str]:
    """Remark on predictions that are, for nearly all images, a permutation of the labels."""
    truth, predicted = predictions.truth, predictions.predicted
    count = len(predictions.classes)
    matrix = np.bincount(truth * count + predicted, minlength=count**2).reshape(count, count)
    present = np.flatnonzero(matrix.sum(axis=1))
    called = matrix[present].argmax(axis=1)
    hits = matrix[present, called]
    if (
        np.sum(called != present) < 2
        or len(set(called)) < len(called)
        or matrix[present].sum(axis=1).min() < FEWEST
        or hits.sum() < NEARLY_ALL * len(truth)
    ):
        return []
    names = np.array(predictions.classes)
    fits = dict(zip(names[present].tolist(), names[called].tolist(), strict=True))
    free = [name for name in images.classes if name not in fits.values()]
    order = [fits.get(name) or (name if name in free else "") for name in images.classes]
    free = [name for name in free if name not in order]
    order = [name or free.pop(0) for name in order]
    moved = [f"{name} images are called {other}" for name, other in fits.items() if name != other]
    return [
        f"confusion is a permutation: for {hits.sum() / len(truth):.0%} of images the class is "
        f"another one, always in the same way ({listed(moved)}), so the labels probably number "
        f"the classes in another order; this one would fit: {numbered(order)}"
    ]


def checks_text(name: str, checks: SetChecks, *, tables: bool) -> str:
    """Write checks for the terminal: a line, and with `tables` counts per class and folder."""
    share = checks.total.refused
    said = "the checkpoint cannot say which are unknown"
    said = said if share is None else f"{share:.3f} refused as unknown"
    start = f"{one_line(name)}: {checks.total.images} images, {said}"
    lines = [f"{start}; accuracy: {checks.interval}"]
    for what, counts in (("class", checks.classes), ("folder", checks.folders)) if tables else ():
        shown = {one_line(key): count for key, count in list(counts.items())[:ROWS]}
        width = max(len(key) for key in (what, *shown))
        lines += ["", f"{what:<{width}}  images  refused as unknown"]
        cells = ["" if c.refused is None else f"{c.refused:.3f}" for c in shown.values()]
        lines += [
            f"{key:<{width}}  {count.images:>6}  {cell:>18}"
            for (key, count), cell in zip(shown.items(), cells, strict=True)
        ]
        if len(counts) > ROWS:
            lines.append(f"and {len(counts) - ROWS} folders more (all with --json)")
    return "\n".join(lines) + "\n"
