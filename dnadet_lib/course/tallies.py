"""What lesson 04 shows and counts: mistakes by kind, refused images, answers to degraded images."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dnadet_lib.data import ImageSet, load_images
from dnadet_lib.evaluation.predictions import Predictions
from dnadet_lib.evaluation.robustness import DEGRADATIONS, answer_shares
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet
from dnadet_lib.zoo.manifest import CLASSES

RIGHT = {"rightly": True, "wrongly": False}


def one_of_each(
    setups: Mapping[str, ImageSet], seed: int = 0
) -> tuple[list[np.ndarray], list[str]]:
    """Read an image of every class in every set-up, uint8 (64, 64, 3), and write its title.

    Where a set-up lacks a class, the image is white and has no title.
    """
    shown, titles = [], []
    for name, images in setups.items():
        for number, label in enumerate(CLASSES):
            member = np.flatnonzero(images.labels == number)
            there = len(member) > 0
            shown.append(
                read_image(images.paths[member[seed % len(member)]])
                if there
                else np.full((64, 64, 3), 255, np.uint8)
            )
            titles.append(f"{name}\n{label}" * there)
    return shown, titles


def mistakes(found: Predictions, asked: Sequence[str], commonest: int = 3) -> str:
    """Count wrong answers by kind, such as "SNGAN called ProGAN".

    Args:
        found: Answers to the images of a set-up.
        asked: Kinds that are told in any case, the first ones.
        commonest: So many kinds follow, the most frequent ones.

    Returns:
        The number of mistakes, what an even spread over all kinds would give, and the counts.
    """
    wrong = ~found.correct
    names = (np.array(found.classes)[numbers[wrong]] for numbers in (found.truth, found.predicted))
    counts = pd.Series(map(" called ".join, zip(*names, strict=True)), dtype=str).value_counts()
    even = wrong.sum() / (len(np.unique(found.truth)) * (len(found.classes) - 1))
    kinds = dict.fromkeys([*asked, *counts.index[:commonest]])
    told = ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in kinds)
    return f"{wrong.sum()} mistakes, {even:.0f} of each kind if all were alike; {told}"


def refused(
    scores: np.ndarray, threshold: float, strict: float, correct: np.ndarray | None = None
) -> dict[str, float]:
    """Give the shares of unknown scores (N,) past a threshold, and past a strict one.

    With `correct`, whether each image is named rightly (N,), also the shares of those that are and
    of those that are not; NaN where there are none.
    """
    past = pd.Series(scores > threshold)
    shares = {"of all": float(past.mean()), "of all, strict": float(np.mean(scores > strict))}
    if correct is not None:
        right = past.groupby(correct).mean()
        shares |= {f"named {k}": right.get(v, np.nan) for k, v in RIGHT.items()}
        named_rightly = np.asarray(scores)[np.asarray(correct, bool)]
        shares["named rightly, strict"] = _mean(named_rightly > strict)
    return shares


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def guard_lines(shares: pd.DataFrame, unknown: str, setup: str) -> list[str]:
    """Say of each model where its unknown score guards against its own mistakes, and at what price.

    Args:
        shares: Indexed by (model, set-up), with the columns of `refused`.
        unknown: The row of unknown architectures, if there is one.
        setup: Whose right answers say what the strict threshold costs.
    """
    lines = []
    for model, own in shares.groupby(level=0, sort=False):
        part = own.droplevel(0)
        named = part.dropna(subset=["named rightly", "named wrongly"])
        worse = [
            f"{name} ({row['named wrongly']:.3f} against {row['named rightly']:.3f})"
            for name, row in named.iterrows() if not row["named wrongly"] > row["named rightly"]
        ]  # fmt: skip
        line = (
            f"{model}: wrong names are refused no more often than right ones in {len(worse)} of "
            f"{len(named)} set-ups with mistakes"
        )
        line += f": {', '.join(worse)}." if worse else "."
        if 0 < len(named) == len(worse):
            line += " It guards no better than chance would."
        lines.append(line)
        if unknown in part.index and setup in part.index:
            lines.append(
                f"   Strict, it refuses {part.loc[unknown, 'of all, strict']:.3f} of {unknown} "
                f"and {part.loc[setup, 'named rightly, strict']:.3f} of right answers in {setup}."
            )
    return lines


def degraded_answers(model: DNADet, images: ImageSet, seed: int = 0) -> pd.DataFrame:
    """Count what images are called after each change that pre-training has classes of.

    The table is one of `answer_shares`. That counts the most probable class, also of an image of
    which it cannot be told.
    """
    kinds = [kind for kind in DEGRADATIONS if kind.pretrained]
    truth = np.array(images.classes)[images.labels]
    return answer_shares(
        lambda changed: model.attribute(list(changed)).labels, load_images(images.paths), truth,
        kinds, seed,
    )  # fmt: skip
