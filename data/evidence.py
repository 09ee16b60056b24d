"""Measurements and figures of the evidence that nothing but `make_results.py` needs."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from dnadet_lib.attribution import Features, unknown_score
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.open_set import open_set_figures, reference_traces
from dnadet_lib.evaluation.robustness import DEGRADATIONS, Degradation, degrade
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.plots.style import LINE_COLOURS
from dnadet_lib.plumbing.text import for_title
from dnadet_lib.unknown import (
    LabelledTraces,
    held_out_distances,
    relative_distance,
    squared_distances,
    trace_distances,
)

SCORES = ("maximum logit", "energy", "relative distance")
INTERPOLATING = ("ProGAN", "SNGAN", "InfoMaxGAN")  # enlarge by a fixed formula, then convolve


def maximum_logit(logits: np.ndarray) -> np.ndarray:
    """Minus the largest of the logits (N, K): (N,) (Hendrycks 2022)."""
    return -logits.max(axis=1)


def energy(logits: np.ndarray) -> np.ndarray:
    """Minus the log of the summed exponentials of the logits (N, K): (N,) (Liu 2020)."""
    return -logsumexp(logits, axis=1)


def enlargement_table(confused: pd.DataFrame) -> pd.DataFrame:
    """Ask less of the answers: only how a generator enlarges its feature maps.

    MMDGAN's transposed convolutions are one way, the fixed interpolation of the other three classes
    another, and a photograph has none.

    Args:
        confused: Columns method, generator, class, predicted, share (of a generator's images).

    Returns:
        Of every method, means over generators: the share of MMDGAN's images that are named so; of
        the others' that get one of the three, and of those the share with the right name (a third
        by guessing); and of all generated images that are called photographs.
    """
    rows = []
    for method, part in confused.groupby("method", sort=False):
        named = part.pivot_table(
            index=["class", "generator"], columns="predicted", values="share", fill_value=0.0
        ).reindex(columns=["Real", "MMDGAN", *INTERPOLATING], fill_value=0.0)
        interpolating = named[named.index.isin(INTERPOLATING, level="class")]
        alike = interpolating[list(INTERPOLATING)].sum(axis=1)
        right = [row[kind] for (kind, _), row in interpolating.iterrows()]
        rows.append({
            "method": method,
            "transposed convolution": named.loc["MMDGAN", "MMDGAN"].mean(),
            "interpolation": alike.mean(),
            "right among those": np.sum(right) / alike.sum() if alike.any() else np.nan,
            "called photographs": named["Real"].mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


@torch.no_grad()
def unknown_scores(model: DNADet, features: Features) -> dict[str, np.ndarray]:
    """Score the features of N images in all three ways; high means unknown. Each is (N,)."""
    model.eval()
    logits = model.logits(features.embeddings).cpu().numpy()
    distance = unknown_score(model, features.traces).cpu().numpy()
    return dict(zip(SCORES, (maximum_logit(logits), energy(logits), distance), strict=True))


def block_table(
    model: DNADet, train: ImageSet, known: ImageSet, unknown: ImageSet, seed: int = 0
) -> pd.DataFrame:
    """Measure the unknown score in the features of every block, and of every two.

    One unknown architecture says little, so every class but the first is left out in turn and
    stands for another. (Where those classes trained the blocks, that flatters the later ones.) No
    image of a known generator is scored by distances that know this generator.

    Args:
        model: Is left as it was.
        train: At most 400 images per class are taken.
        known: Unseen instances of known architectures; class 0 is Real.
        unknown: Images of unknown architectures.
        seed: Of which training images are taken.

    Returns:
        Columns blocks, such as "0" or "0, 4"; unknown, the AUROC of those images; one a class that
        is left out; mean, of unknown and of the mean of the classes.
    """
    own = copy.copy(model)
    own.trace_blocks = blocks = tuple(range(len(own.main)))
    instances, others = (image_features(own, images.paths).traces for images in (known, unknown))
    every = reference_traces(own, train, seed), LabelledTraces(instances, known.labels)
    some = [*combinations(blocks, 1), *combinations(blocks, 2)]
    table = pd.DataFrame({"blocks": [", ".join(map(str, taken)) for taken in some]})
    for number, name in [(-1, "unknown"), *list(enumerate(train.classes))[1:]]:
        kept, dev = (traces.take(traces.labels != number) for traces in every)
        makers = np.array(known.makers)[known.labels != number]
        near = held_out_distances(kept, dev, makers, own.trace_sizes)
        strange = others if number < 0 else every[1].take(known.labels == number).values
        far = squared_distances(strange, trace_distances(kept.joined(dev), own.trace_sizes)).cpu()
        both = torch.cat([near, far], dim=1)
        truth = np.repeat([0, 1], [near.shape[1], far.shape[1]])
        table[name] = [
            roc_auc_score(truth, relative_distance(both[list(taken)]).numpy()) for taken in some
        ]
    table["mean"] = (table["unknown"] + table[list(train.classes[1:])].mean(axis=1)) / 2
    return table


def open_set_table(
    known: Mapping[str, np.ndarray],
    correct: np.ndarray,
    unknown: Mapping[str, np.ndarray],
    generators: np.ndarray,
) -> pd.DataFrame:
    """Measure every score on every unknown generator.

    Args:
        known: (N,) of each score, of unseen instances of known architectures.
        correct: (N,) whether each of those is named rightly.
        unknown: (M,) of each score, of unknown architectures.
        generators: (M,) generator of each of those.

    Returns:
        Columns score, generator, auroc, fpr95, oscr.
    """
    return pd.DataFrame(
        [
            {
                "score": score,
                "generator": name,
                **asdict(open_set_figures(known[score], correct, values[generators == name])),
            }
            for score, values in unknown.items()
            for name in np.unique(generators)
        ]
    )


def accuracy_curves(
    classify: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    truth: np.ndarray,
    generators: np.ndarray,
    degradations: Sequence[Degradation] = DEGRADATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure accuracy on degraded images, generator by generator.

    Args:
        classify: Maps uint8 images (N, H, W, 3) to class numbers (N,).
        images: uint8 (N, H, W, 3).
        truth: (N,) class numbers.
        generators: (N,) generator of each image.
        degradations: All by default.
        seed: Of noise, crops and colours.

    Returns:
        Columns degradation, strength, generator, accuracy; "none" and 0 for the images as they are.
    """
    plain = Degradation("none", "", (0.0,), lambda image, *_: image, False)
    parts = []
    for degradation in (plain, *degradations):
        for strength in degradation.strengths:
            correct = classify(degrade(images, degradation, strength, seed)) == truth
            table = pd.DataFrame({"generator": generators, "accuracy": correct})
            table = table.groupby("generator", as_index=False).mean()
            parts.append(table.assign(degradation=degradation.name, strength=strength))
    return pd.concat(parts, ignore_index=True)


def reliability_curve(axis: Axes, table: pd.DataFrame, title: str = "") -> None:
    """Draw accuracy against confidence, a dot a bin, and the line where both are equal.

    Args:
        axis: Where.
        table: Of `calibration.reliability`.
        title: Of the axis.
    """
    axis.plot([0, 1], [0, 1], color="#999999", linestyle=":")
    axis.plot(table["confidence"], table["accuracy"], "o-", color=LINE_COLOURS[0], clip_on=False)
    low = min(table["confidence"].min(), table["accuracy"].min()) // 0.1 / 10
    axis.set(xlim=(low, 1), ylim=(low, 1), aspect="equal", title=for_title(title))
    axis.set(xlabel="confidence", ylabel="accuracy")


def degradation_curves(table: pd.DataFrame, marked: Mapping[str, str]) -> Figure:
    """Draw mean accuracy over generators against the strength of each degradation.

    Args:
        table: Columns degradation, strength, value, low, high; "none" is drawn as a line across.
        marked: Degradation -> label of the horizontal axis, in the order of the panels.
    """
    columns = 4
    lines = math.ceil(len(marked) / columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.4 * columns, 3.1 * lines), sharey=True, squeeze=False
    )
    plain = table.loc[table["degradation"] == "none", "value"].item()
    for axis, (name, label) in zip(axes.flat, marked.items(), strict=False):
        part = table[table["degradation"] == name]
        places = range(1, len(part) + 1)
        axis.axhline(plain, color="#999999", linestyle=":")
        axis.fill_between(places, part["low"], part["high"], color=LINE_COLOURS[0], alpha=0.2)
        axis.plot(places, part["value"], "o-", color=LINE_COLOURS[0])
        axis.set_xticks(places, [f"{strength:g}" for strength in part["strength"]])
        axis.set(title=name, xlabel=label, ylim=(0, 1.02))
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy")
    for axis in axes.flat[len(marked) :]:
        axis.set_visible(False)
    return figure


def with_repeated_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Switch the release's fault A on: its cross-seed list holds the first seed over and over.

    Args:
        table: As `generator_table` returns it.

    Returns:
        The table with every class's first generator of set-up "seed" in place of its others.
    """
    method, setup, names = (table.index.get_level_values(k) for k in table.index.names)
    classes = names.str.split("_").str[0]
    first = table.groupby([method, setup, classes]).transform("first")
    return table.where(pd.Series(setup != "seed", table.index), first, axis=0)
