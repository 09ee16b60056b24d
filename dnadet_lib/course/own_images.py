"""What lesson 07 does: a folder of examples, the command line, and how far verdicts are right."""

import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from dnadet_lib.attribution import Attribution
from dnadet_lib.data import ImageSet, load_images
from dnadet_lib.evaluation.base_rates import STRANGE, Alarms, Hits
from dnadet_lib.evaluation.intervals import mean_interval
from dnadet_lib.evaluation.robustness import degrade, parse_change
from dnadet_lib.inference import Source, answers
from dnadet_lib.model import DNADet


def write_examples(folder: Path, parts: Sequence[ImageSet], seed: int = 0) -> dict[str, str]:
    """Copy images into a folder, in an order that is drawn, under names that say nothing.

    Returns:
        File name -> class. Examples of an earlier run are removed; other files stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("image_[0-9][0-9].png"):
        old.unlink()
    picked = [(p, s.classes[k]) for s in parts for p, k in zip(s.paths, s.labels, strict=True)]
    order = np.random.default_rng(seed).permutation(len(picked))
    made = {}
    for number, (path, maker) in enumerate([picked[i] for i in order]):
        name = f"image_{number:02d}.png"
        (folder / name).write_bytes(path.read_bytes())
        made[name] = maker
    return made


def dnadet(folder: Path, *arguments: object) -> tuple[str, str]:
    """Run the command line in a folder; return what it prints, and its complaints."""
    command = [sys.executable, "-m", "dnadet_lib.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


def on_unchanged(model: DNADet, images: ImageSet) -> str:
    """Say how often a model finds a history, or cannot tell, of images that nobody changed."""
    told = list(answers(model, images.paths, []))
    found = Counter(result["history"]["found"] for result in told)
    nothing = found.pop("", 0)
    kinds = "".join(
        f", {count} ({count / len(told):.1%}) {text!r}" for text, count in found.most_common()
    )
    untold = sum(result["label"] is None for result in told)
    return (
        f"{len(told) - nothing} of {len(told)} get a history all the same{kinds}; of {untold} it "
        "cannot tell"
    )


def results_table(results: Sequence[Mapping[str, Any]], truth: Mapping[str, str]) -> pd.DataFrame:
    """Show what `dnadet attribute --json` says of images beside who made them.

    Args:
        results: What it says of each.
        truth: File name -> class; of others it is "?".

    Returns:
        A row for each file name.
    """
    table = pd.DataFrame(list(results))
    table["label"] = [result["label"] or "cannot tell" for result in results]
    table.index = pd.Index([Path(path).name for path in table["path"]])
    table["truth"] = [truth.get(name, "?") for name in table.index]
    columns = ["truth", "label", "nearest", "confidence", "unknown_score", "known"]
    return table[columns]


def histories(results: Sequence[Mapping[str, Any]]) -> str:
    """Write a line for each image of which `dnadet attribute --json` gives a history."""
    lines = [
        f"history of {Path(result['path']).name}: {result['history']['found']}"
        for result in results
        if result["history"]["found"]
    ]
    return "\n".join(lines) or "no image has a history"


def calls(
    makers: np.ndarray, said: np.ndarray, classes: Sequence[str], refused: np.ndarray
) -> pd.DataFrame:
    """Show what images are called, as shares: a row for each maker.

    Args:
        makers: (N,) who made them.
        said: (N,) class numbers, -1 for what cannot be told.
        classes: Names of the classes.
        refused: (N,) whether an image is refused as unknown.
    """
    names = np.array([*classes, "cannot tell"], dtype=object)[said]
    names[refused] = "refused"
    table = pd.crosstab(makers, names, normalize="index")
    return table.rename_axis(index=None, columns=None)


def is_called(model: DNADet, suspect: str, images: Sequence[Source]) -> np.ndarray:
    """Whether `dnadet attribute` names each of N images as a class, and takes it as known."""
    return called_as(model.attribute(images), suspect)


def called_as(found: Attribution, suspect: str) -> np.ndarray:
    """Whether each of N images that were attributed is named as a class, and taken as known."""
    named = np.array([verdict == suspect for verdict in found.verdicts])
    return named & np.ma.filled(found.known, True)


def changed_copies(images: ImageSet, change: str, seed: int = 0) -> list[np.ndarray]:
    """Degrade images of one size: uint8 (H, W, 3) each; a change is such as "JPEG:80"."""
    kind, strength = parse_change(change)
    return list(degrade(load_images(images.paths), kind, strength, seed))


def hits(
    model: DNADet, suspect: str, sets: Mapping[str, ImageSet], changes: Sequence[str] = (),
    seed: int = 0,
) -> list[Hits]:  # fmt: skip
    """Count how often images of a class are called so.

    Args:
        model: Names them.
        suspect: Name of the class.
        sets: By what is told of them; images of other classes are left out.
        changes: Of the first set, copies changed in each of these ways are counted, too.
        seed: Of what a change draws.

    Returns:
        A row for each set, then one for each change, which says of what share it cannot tell.
    """
    own = {
        name: images.take(np.flatnonzero(images.labels == images.classes.index(suspect)))
        for name, images in sets.items()
    }
    rows = [
        Hits.count(name, is_called(model, suspect, images.paths), images.sources)
        for name, images in own.items()
    ]
    for change in changes:
        name, images = next(iter(own.items()))
        found = model.attribute(changed_copies(images, change, seed))
        untold = np.mean([verdict is None for verdict in found.verdicts])
        what = f"{name}, {parse_change(change)} (cannot tell: {untold:.3f})"
        rows.append(Hits.count(what, called_as(found, suspect), images.sources))
    return rows


def alarms(
    model: DNADet, suspect: str, makers: str, images: ImageSet, changes: Sequence[str],
    seed: int = 0,
) -> list[Alarms]:  # fmt: skip
    """Count how often images of other makers are called a class, changed in each of some ways."""
    return [
        Alarms.count(
            f"{makers}, {parse_change(change)}",
            is_called(model, suspect, changed_copies(images, change, seed)),
        )
        for change in changes
    ]


def false_alarms(
    suspect: str, groups: Mapping[str, ImageSet], called: Mapping[str, np.ndarray]
) -> list[Alarms]:
    """Count how often images of other classes are called a class, by group and by architecture.

    Args:
        suspect: Name of the class; its own images are left out.
        groups: By what is told of them.
        called: (N,) for each group, whether an image is called the class, as known.
    """
    rows = []
    for name, images in groups.items():
        makers = np.array(images.classes)[images.labels]
        others = makers != suspect
        sources = np.array(images.sources)[others]
        rows.append(Alarms.count(name, called[name][others], sources, makers[others]))
    return rows


def alarms_by_maker(rest: Sequence[Alarms]) -> pd.DataFrame:
    """Show false alarms by true architecture, in each group of images.

    Returns:
        A row for each group and architecture, the most alarms first: share, its 95% interval, what
        that is over, and how many images there are.
    """
    rows = {
        (maker, row.makers): (
            part.value, f"[{part.low:.3f}, {part.high:.3f}]", part.over, part.images,
        )
        for row in rest for maker, part in row.parts
    }  # fmt: skip
    columns = ["share", "95% interval", "over", "images"]
    table = pd.DataFrame.from_dict(rows, "index", columns=columns)
    table.index = pd.MultiIndex.from_tuples(table.index)
    return table.sort_values("share", ascending=False, kind="stable")


Scores = Mapping[str, np.ndarray]  # unknown scores (N,) by their kind


def rankings(scores: Mapping[str, Scores], makers: np.ndarray) -> pd.DataFrame:
    """Measure how well scores rank images of unknown architectures above others.

    Args:
        scores: For each group of images, its scores; of `STRANGE` they ought to be high.
        makers: (N,) who made each of the unknown images; a generator each.

    Returns:
        Probability that an unknown image scores above another (half of ties): a row for each other
        group and kind of score, a column for each maker.
    """
    rows = {}
    for group, own in scores.items():
        for kind, known in own.items() if group != STRANGE else ():
            strange, truth = scores[STRANGE][kind], np.zeros(len(known))
            rows[group, kind] = {
                maker: roc_auc_score(
                    np.append(truth, np.ones(np.sum(makers == maker))),
                    np.append(known, strange[makers == maker]),
                )
                for maker in np.unique(makers)
            }
    return pd.DataFrame.from_dict(rows, "index")


def better_ranking(table: pd.DataFrame, first: str, second: str) -> str:
    """Say for each group of a table of `rankings` whether one score ranks better than another.

    The 95% t-interval is over generators, of the difference for each; it must leave 0 out. Its ends
    are cut at -1 and 1.
    """
    lines = []
    for group in table.index.unique(0):
        gain = table.loc[(group, first)] - table.loc[(group, second)]
        mean, low, high = mean_interval(gain.tolist())
        verdict = "not settled by so few generators"
        if low > 0 or high < 0:
            verdict = "better" if low > 0 else "worse"
        low, high = max(low, -1.0), min(high, 1.0)
        lines.append(
            f"{first} less {second}, above {group}: {mean:+.2f} [{low:+.2f}, {high:+.2f}] over "
            f"{len(gain)} generators: {verdict}"
        )
    return "\n".join(lines)
