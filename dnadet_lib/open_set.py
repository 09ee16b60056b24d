"""Unknown architectures: scores that say "none of these", and how well they do.

A score is high where an image looks unlike what the model was trained on. The images that it has to
pass are of *unseen instances* of known architectures: against the training generators it would
measure a new instance, not a new architecture.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from torch import Tensor

from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation import image_features
from dnadet_lib.model import Distances, DNADet, Features

SCORES = ("maximum logit", "energy", "relative distance")
TRUE_POSITIVES = 0.95
REFERENCES_A_CLASS = 400


def maximum_logit(logits: np.ndarray) -> np.ndarray:
    """Minus the largest of the logits (N, K): (N,) (Hendrycks 2022)."""
    return -logits.max(axis=1)


def energy(logits: np.ndarray) -> np.ndarray:
    """Minus the log of the summed exponentials of the logits (N, K): (N,) (Liu 2020)."""
    return -logsumexp(logits, axis=1)


@torch.no_grad()
def unknown_scores(model: DNADet, features: Features) -> dict[str, np.ndarray]:
    """Score the features of N images in all three ways; high means unknown. Each is (N,)."""
    model.eval()
    logits = model.classification_head(features.embeddings).cpu().numpy()
    distance = model.unknown_score(features.traces).cpu().numpy()
    return dict(zip(SCORES, (maximum_logit(logits), energy(logits), distance), strict=True))


def trace_distances(traces: Tensor, labels: np.ndarray) -> Distances:
    """Describe training images' traces (N, T) by the means and covariances of their classes.

    Covariances are shrunk as Ledoit and Wolf (2004) say, channels at unit deviation.
    """
    points = traces.double().cpu().numpy()
    deviation = points.std(axis=0) + 1e-6
    scaled = points / deviation
    numbers = np.unique(labels)
    means = np.stack([scaled[labels == k].mean(axis=0) for k in numbers] + [scaled.mean(axis=0)])
    around = scaled - means[np.searchsorted(numbers, labels)], scaled - means[-1]
    covariances = [ledoit_wolf(part, assume_centered=True)[0] for part in around]
    precisions = np.stack([np.linalg.inv(c) / np.outer(deviation, deviation) for c in covariances])
    parts = (means * deviation, precisions)
    return Distances(*(torch.from_numpy(part).float() for part in parts))


@dataclass(frozen=True)
class OpenSetFigures:
    """How well a score tells unknown architectures from known ones.

    Attributes:
        auroc: Probability that an unknown image scores above a known one.
        fpr95: Share of unknown images that pass where 95% of the known ones do.
        oscr: Area under the share of known images that pass and are named rightly, against the
            share of unknown images that pass.
    """

    auroc: float
    fpr95: float
    oscr: float


def open_set_figures(
    known: np.ndarray, correct: np.ndarray, unknown: np.ndarray
) -> OpenSetFigures:
    """Measure a score.

    Args:
        known: (N,) scores of images of known architectures.
        correct: (N,) whether each of them is named rightly.
        unknown: (M,) scores of images of unknown architectures.

    Raises:
        ValueError: there are no scores of one kind.

    Source:
        Dhamija et al. 2018, section 3 (OSCR).
    """
    if not len(known) or not len(unknown):
        raise ValueError(f"{len(known)} known and {len(unknown)} unknown images: both are needed")
    truth = np.repeat([0, 1], [len(known), len(unknown)])
    threshold = np.quantile(known, TRUE_POSITIVES)
    right = np.sort(known[correct])
    # Of each unknown image: known ones that are right and pass where it just fails; half of ties.
    below = (np.searchsorted(right, unknown, "left") + np.searchsorted(right, unknown, "right")) / 2
    return OpenSetFigures(
        float(roc_auc_score(truth, np.concatenate([known, unknown]))),
        float(np.mean(unknown <= threshold)),
        float(np.mean(below) / len(known)),
    )


def block_table(
    model: DNADet, train: ImageSet, known: ImageSet, unknown: ImageSet, seed: int = 0
) -> pd.DataFrame:
    """Measure the unknown score in the features of every block.

    One unknown architecture says little, so every class but the first is left out of the training
    images in turn and stands for another. (Where those classes trained the blocks, that flatters
    the later ones.)

    Args:
        model: Is left as it was.
        train: At most 400 images a class are taken as the reference.
        known: Unseen instances of known architectures; class 0 is Real.
        unknown: Images of unknown architectures.
        seed: Of which training images are taken.

    Returns:
        Columns block; unknown, the AUROC of those images; one a class that is left out; mean, of
        unknown and of the mean of the classes.
    """
    own, rows = copy.deepcopy(model), []
    chosen = train.take(references(train.labels, seed))
    for block in range(len(own.main)):
        own.trace_block = block
        sets = (images.paths for images in (chosen, known, unknown))
        every, instances, others = (image_features(own, paths).traces for paths in sets)
        own.reference = trace_distances(every, chosen.labels)
        row = {"unknown": scores_auroc(own, instances, others)}
        for number, name in list(enumerate(train.classes))[1:]:
            kept = chosen.labels != number
            own.reference = trace_distances(every[kept], chosen.labels[kept])
            out = known.labels == number
            row[name] = scores_auroc(own, instances[~out], instances[out])
        left_out = [row[name] for name in train.classes[1:]]
        mean = (row["unknown"] + np.mean(left_out)) / 2
        rows.append({"block": block, **row, "mean": mean})
    return pd.DataFrame(rows)


def scores_auroc(model: DNADet, known: Tensor, unknown: Tensor) -> float:
    """AUROC of the model's unknown score on traces of known and unknown images."""
    scores = [model.unknown_score(traces).cpu().numpy() for traces in (known, unknown)]
    truth = np.repeat([0, 1], [len(part) for part in scores])
    return float(roc_auc_score(truth, np.concatenate(scores)))


def references(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Choose at most 400 images of each class at random: their positions."""
    rng = np.random.default_rng(seed)
    classes = [rng.permutation(np.flatnonzero(labels == k)) for k in np.unique(labels)]
    return np.concatenate([own[:REFERENCES_A_CLASS] for own in classes])


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
