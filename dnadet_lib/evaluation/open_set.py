"""Unknown architectures: scores that say "none of these", and how well they do.

A score is high where an image looks unlike what the model was trained on. The images that it has to
pass are of *unseen instances* of known architectures: against the training generators it would
measure a new instance, not a new architecture.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from dnadet_lib.attribution import Features, unknown_score
from dnadet_lib.data import ImageSet, some_of_each
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.unknown import (
    LabelledTraces,
    held_out_distances,
    relative_distance,
    squared_distances,
    trace_distances,
)

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
    logits = model.logits(features.embeddings).cpu().numpy()
    distance = unknown_score(model, features.traces).cpu().numpy()
    return dict(zip(SCORES, (maximum_logit(logits), energy(logits), distance), strict=True))


def reference_traces(model: DNADet, train: ImageSet, seed: int = 0) -> LabelledTraces:
    """Make the traces of at most 400 training images of each class, chosen at random."""
    chosen = train.take(references(train.labels, seed))
    return LabelledTraces(image_features(model, chosen.paths).traces, chosen.labels)


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
    """Measure the unknown score in the features of every block, and of every two.

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


def references(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Choose at most 400 images of each class at random: their positions."""
    return some_of_each(labels, REFERENCES_A_CLASS, seed)


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
