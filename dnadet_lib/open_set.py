"""Unknown architectures: scores that say "none of these", and how well they do.

A score is high where an image looks unlike what the model was trained on. The images that it has to
pass are of *unseen instances* of known architectures: against the training generators it would
measure a new instance, not a new architecture.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score
from torch import Tensor

from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation import image_features, origins
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


class LabelledTraces(NamedTuple):
    """Traces (N, T) of images and their class numbers (N,)."""

    values: Tensor
    labels: np.ndarray

    def take(self, chosen: np.ndarray) -> LabelledTraces:
        """Keep the images that a mask (N,) chooses."""
        return LabelledTraces(self.values[torch.from_numpy(chosen)], self.labels[chosen])

    def joined(self, other: LabelledTraces) -> LabelledTraces:
        """Return these images and then others."""
        labels = np.concatenate([self.labels, other.labels])
        return LabelledTraces(torch.cat([self.values, other.values]), labels)


def trace_distances(traces: LabelledTraces) -> Distances:
    """Describe known images by the means and covariances of their classes.

    Training images show how images of one generator vary; those of dev generators, how instances of
    one architecture do. Covariances are shrunk as Ledoit and Wolf (2004) say, channels at unit
    deviation.
    """
    points, labels = traces.values.double().cpu().numpy(), traces.labels
    deviation = points.std(axis=0) + 1e-6
    scaled = points / deviation
    numbers = np.unique(labels)
    means = np.stack([scaled[labels == k].mean(axis=0) for k in numbers] + [scaled.mean(axis=0)])
    around = scaled - means[np.searchsorted(numbers, labels)], scaled - means[-1]
    covariances = [ledoit_wolf(part, assume_centered=True)[0] for part in around]
    precisions = np.stack([np.linalg.inv(c) / np.outer(deviation, deviation) for c in covariances])
    parts = (means * deviation, precisions)
    return Distances(*(torch.from_numpy(part).float() for part in parts))


def held_out_scores(
    model: DNADet, train: LabelledTraces, dev: LabelledTraces, sources: np.ndarray
) -> np.ndarray:
    """Score dev images (N,), each by distances that know nothing of its own generator.

    Args:
        model: Its distances are left those of the last generator.
        train: Of the training generators.
        dev: Of the dev generators.
        sources: (N,) generator of each dev image, or `real/CONTENT/PHOTOGRAPH`.
    """
    names, scores = origins(sources), np.empty(len(dev.labels))
    for name in np.unique(names):
        own = names == name
        model.reference = trace_distances(train.joined(dev.take(~own)))
        scores[own] = model.unknown_score(dev.take(own).values).cpu().numpy()
    return scores


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

    One unknown architecture says little, so every class but the first is left out in turn and
    stands for another. (Where those classes trained the blocks, that flatters the later ones.) No
    image of a known generator is scored by distances that know this generator.

    Args:
        model: Is left as it was.
        train: At most 400 images a class are taken.
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
        learned, instances, others = (image_features(own, paths).traces for paths in sets)
        row = {}
        every = LabelledTraces(learned, chosen.labels), LabelledTraces(instances, known.labels)
        for number, name in [(-1, "unknown"), *list(enumerate(train.classes))[1:]]:
            kept, dev = (traces.take(traces.labels != number) for traces in every)
            makers = np.array(known.makers)[known.labels != number]
            scores = held_out_scores(own, kept, dev, makers)
            own.reference = trace_distances(kept.joined(dev))
            strange = others if number < 0 else every[1].take(known.labels == number).values
            far = own.unknown_score(strange).cpu().numpy()
            row[name] = open_set_figures(scores, np.ones(len(scores), bool), far).auroc
        left_out = [row[name] for name in train.classes[1:]]
        mean = (row["unknown"] + np.mean(left_out)) / 2
        rows.append({"block": block, **row, "mean": mean})
    return pd.DataFrame(rows)


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
