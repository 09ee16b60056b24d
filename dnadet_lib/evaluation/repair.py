"""Lists matched between classes, so that neither format nor size nor number gives a class away."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.audit import STATISTICS, Audit, trivial_accuracy
from dnadet_lib.evaluation.results import markdown_table
from dnadet_lib.images.lists import write_list
from dnadet_lib.plumbing.text import storable

UNREADABLE = "cannot be read"


@dataclass(frozen=True)
class Repaired:
    """A matched list."""

    images: ImageSet  # that are kept
    facts: pd.DataFrame  # of them
    left_out: dict[str, Counter[str]]  # class -> reason -> images
    total: dict[str, int]  # class -> images before

    def as_dict(self) -> dict[str, dict[str, object]]:
        """Say per class how many images there were, and which were left out, for JSON."""
        return {
            name: {"images": count, "kept": count - self.left_out[name].total(),
                   "left_out": dict(self.left_out[name])}
            for name, count in self.total.items()
        }  # fmt: skip


def repair(images: ImageSet, facts: pd.DataFrame, dropped: pd.Series, seed: int = 0) -> Repaired:
    """Match a list: of each kind of file, every class keeps as many images as the others.

    A kind is a format with mode, size and, of a JPEG, the mean step of its quantisation table.

    Args:
        images: The list.
        facts: What was measured of the images that can be read (`audit.image_facts`).
        dropped: For each of these a reason to leave it out in any case, or "".
        seed: Of the draw, where a class has more.

    Raises:
        ValueError: no kind is in every class; the kinds of each are named.
    """
    read = set(facts["path"])
    places = np.array([i for i, path in enumerate(images.paths) if storable(path) in read], int)
    reasons = np.full(len(images), UNREADABLE, object)
    reasons[places] = dropped
    free = facts[dropped.to_numpy() == ""]
    reasons[places[free.index]] = _unmatched(free, seed)
    kept = np.flatnonzero(reasons == "")
    if not len(kept):
        kinds = free.groupby("class")["format"].agg(lambda own: ", ".join(sorted(set(own))))
        told = "; ".join(f"{name}: {own}" for name, own in kinds.items())
        raise ValueError(f"no format and size stands in every class, so nothing can be matched "
                         f"({told}); save the images of all classes in one way")  # fmt: skip
    names = np.array(images.classes)[images.labels]
    lost = {name: Counter(reasons[(names == name) & (reasons != "")].tolist())
            for name in images.classes}  # fmt: skip
    total = {name: int(np.sum(names == name)) for name in images.classes}
    return Repaired(images.take(kept), facts[np.isin(places, kept)], lost, total)


def _unmatched(facts: pd.DataFrame, seed: int) -> pd.Series:
    """Say for each image why it is left out to match the classes, or "", by the facts' index."""
    tables = facts["jpeg_table"].round().astype(int)
    kinds = facts["format"].where(tables == 0, facts["format"] + ", JPEG step " + tables.map(str))
    quotas = pd.crosstab(kinds, facts["class"]).min(axis=1)
    found, rng = pd.Series("", facts.index, dtype=object), np.random.default_rng(seed)
    for (kind, _), own in facts.groupby([kinds, facts["class"]]):
        quota = int(quotas[kind])
        reason = f"more of {kind} than another class has" if quota else f"{kind} not in every class"
        found[own.index[rng.permutation(len(own))[quota:]]] = reason
    return found


def repair_both(train: ImageSet, test: ImageSet, report: Audit) -> dict[str, Repaired]:
    """Match a train and a test list; from the second, images that the audit found twice go too."""
    none = pd.Series("", report.train.index, dtype=object)
    dropped = pd.Series("", report.test.index, dtype=object)
    dropped[report.test["exact"].duplicated()] = "stands in the list before"
    dropped[report.test["path"].isin(report.near)] = "a near duplicate is in the train list"
    dropped[report.test["path"].isin(report.exact)] = "stands in the train list, too"
    return {
        "train": repair(train, report.train, none), "test": repair(test, report.test, dropped),
    }  # fmt: skip


def write_repaired(lists: Mapping[str, Repaired], folder: Path) -> None:
    """Write `train.txt` and `test.txt` with classes and sources."""
    for name, found in lists.items():
        images = found.images
        labels = images.labels.tolist()
        write_list(folder / f"{name}.txt", images.paths, labels, images.classes, images.makers)


def repair_markdown(lists: Mapping[str, Repaired], report: Audit) -> str:
    """Write per list and class what was left out and why, and what file statistics still give."""
    rows = [
        [name, own, counts["images"], counts["kept"],
         "; ".join(f"{n}: {why}" for why, n in found.left_out[own].most_common())]
        for name, found in lists.items()
        for own, counts in found.as_dict().items()
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["list", "class", "images", "kept", "left out"])
    lines = ["### Repaired lists", "", markdown_table(table)]
    train, test = lists["train"].facts, lists["test"].facts
    if "file" in report.trivial and train["class"].nunique() > 1:
        after = trivial_accuracy(train, test, STATISTICS["file"])
        lines += ["", f"A linear classifier on file statistics alone: {report.trivial['file']} "
                      f"before, {after} after."]  # fmt: skip
    return "\n".join(lines) + "\n"
