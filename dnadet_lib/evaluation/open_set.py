"""Unknown architectures: scores that say "none of these", and how well they do.

A score is high where an image looks unlike the training images. It has to let images of *unseen
instances* of known architectures pass: against the training generators it would measure a new
instance, not a new architecture.
"""

from dataclasses import asdict, dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from dnadet_lib.data import ImageSet, origins, some_of_each
from dnadet_lib.evaluation.intervals import (
    Interval,
    drawn_together,
    percentiles,
    resampled_positions,
)
from dnadet_lib.evaluation.predictions import Predictions
from dnadet_lib.evaluation.results import Row, setup_accuracy
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.unknown import LabelledTraces

TRUE_POSITIVES = 0.95
REFERENCES_A_CLASS = 400
DRAWS = 200  # of the bootstrap


def reference_traces(model: DNADet, train: ImageSet, seed: int = 0) -> LabelledTraces:
    """Make the traces of at most 400 training images of each class, chosen at random."""
    chosen = train.take(some_of_each(train.labels, REFERENCES_A_CLASS, seed))
    return LabelledTraces(image_features(model, chosen.paths).traces, chosen.labels)


@dataclass(frozen=True)
class OpenSetFigures:
    """How well a score tells unknown architectures from known ones."""

    auroc: float  # probability that an unknown image scores above a known one
    fpr95: float  # share of unknown images that pass where 95% of the known ones do
    oscr: float  # area under known images that pass and are right, against unknown ones that pass


def open_set_figures(
    known: np.ndarray, correct: np.ndarray, unknown: np.ndarray
) -> OpenSetFigures:
    """Measure a score, of which there must be some of either kind (OSCR: Dhamija 2018, section 3).

    Args:
        known: (N,) scores of images of known architectures.
        correct: (N,) whether each of them is named rightly.
        unknown: (M,) scores of images of unknown architectures.
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


def open_set_rows(
    method: str, setup: str, known: Predictions, unknown: Predictions, seed: int = 0
) -> list[Row]:
    """Make the rows AUROC, FPR95 and OSCR, of each unknown source and as mean over sources.

    Intervals of a source are over images, known and unknown, drawn as `drawn_together` says; of the
    mean as `setup_accuracy` says. Labels of the unknown images are not looked at.

    Raises:
        ValueError: the checkpoint has no unknown score.
    """
    if np.isnan(known.unknown_scores).any():
        raise ValueError(f"{method}: the checkpoint holds no distances, so it has no unknown score")
    rng, names = np.random.default_rng(seed), origins(unknown.sources)
    groups = drawn_together(known.sources)
    found: dict[str, dict[str, Interval]] = {}
    rows = []
    for name in sorted(set(names.tolist())):
        scores = unknown.unknown_scores[names == name]
        own = drawn_together(unknown.sources[names == name])

        def figures(some: np.ndarray, others: np.ndarray, scores: np.ndarray = scores) -> dict:
            values = known.unknown_scores[some], known.correct[some], scores[others]
            return asdict(open_set_figures(*values))

        every = figures(np.arange(len(groups)), np.arange(len(own)))
        draws = [
            figures(resampled_positions(groups, rng), resampled_positions(own, rng))
            for _ in range(DRAWS)
        ]
        for key, value in every.items():
            interval = Interval(value, *percentiles([draw[key] for draw in draws]), "images")
            found.setdefault(key.upper(), {})[name] = interval
    for metric, each in found.items():
        mean = setup_accuracy(each.values())
        rows.append(Row(method, setup, metric, mean.value, mean.low, mean.high,
                        len(names), len(each)))  # fmt: skip
        for name, one in each.items():
            size = int(np.sum(names == name))
            rows.append(Row(method, setup, f"{metric} {name}", one.value, one.low, one.high,
                            size, 1))  # fmt: skip
    return rows
