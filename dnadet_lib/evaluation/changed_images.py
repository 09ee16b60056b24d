"""How far a model can be trusted on images that were changed, measured on changed dev images."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dnadet_lib.attribution import Features, join_features
from dnadet_lib.data import ImageSet, origins, some_of_each
from dnadet_lib.images.changes import changed_copies
from dnadet_lib.inference import image_features
from dnadet_lib.model import Calibration, DNADet
from dnadet_lib.unknown import LabelledTraces

EACH_SOURCE = 60  # images of a dev generator, or of a content's photographs, in each way
EACH_CLASS = 80  # training images, in each way, for the unknown score
FEWEST = 30  # images by which a change is calibrated by itself


class Copies(NamedTuple):
    """Changed copies of labelled images; labels and makers (generators or photographs) are (N,)."""

    features: Features
    labels: np.ndarray
    makers: np.ndarray


def dev_copies(model: DNADet, dev: ImageSet, seed: int = 0) -> Copies:
    """Change some images of each dev generator, in the ways of the model."""
    sources = np.unique(origins(np.array(dev.makers)), return_inverse=True)[1]
    some = dev.take(some_of_each(sources, EACH_SOURCE, seed))
    parts = [image_features(model, changed_copies(some.paths, n, seed)) for n in model.changes]
    labels, makers = some.labels, np.array(some.makers)
    return Copies(join_features(parts), np.tile(labels, len(parts)), np.tile(makers, len(parts)))


def changed_traces(model: DNADet, train: ImageSet, seed: int = 0) -> LabelledTraces:
    """Make the traces of changed copies of some training images, in the ways of the model."""
    some = train.take(some_of_each(train.labels, EACH_CLASS, seed))
    parts = [image_features(model, changed_copies(some.paths, n, seed)) for n in model.changes]
    return LabelledTraces(join_features(parts).traces, np.tile(some.labels, len(parts)))


def fit_calibrations(
    model: DNADet, embeddings: Tensor, labels: np.ndarray, copies: Copies
) -> tuple[Calibration, ...]:
    """Fit a temperature, and measure the accuracy, on the dev images that look changed in each way.

    Images as they are, with embeddings (N, D) and labels (N,), count as much as all copies
    together.

    Returns:
        For images that look as they were, then for each of the model's changes.
    """
    every = torch.cat([embeddings, copies.features.embeddings])
    truth = np.concatenate([labels, copies.labels])
    share = len(copies.labels) / len(labels)
    weights = np.concatenate([np.full(len(labels), share), np.ones(len(copies.labels))])
    with torch.no_grad():
        logits, looks = model.logits(every).cpu(), model.change_numbers(every).cpu().numpy()
    right = logits.argmax(dim=1).numpy() == truth
    found = []
    for number in range(1 + len(model.changes)):
        own = looks == number
        if own.sum() < FEWEST:
            own = np.ones(len(truth), bool)
        temperature = best_temperature(logits[own], truth[own], weights[own])
        found.append(Calibration(temperature, float(np.average(right[own], weights=weights[own]))))
    return tuple(found)


def best_temperature(
    logits: Tensor, truth: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the temperature of least weighted log loss, for logits (N, K) (Guo 2017, 4.2)."""
    labels = torch.from_numpy(truth).long()
    shares = torch.ones(len(truth)) if weights is None else torch.from_numpy(weights).float()
    shares = shares / shares.sum()
    candidates = np.geomspace(0.25, 64, 161)
    losses = [
        float((F.cross_entropy(logits / t, labels, reduction="none") * shares).sum())
        for t in candidates
    ]
    return float(candidates[int(np.argmin(losses))])
