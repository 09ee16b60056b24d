"""A new class from a few images, without training a weight: a class mean in whitened space.

A discriminant takes the nearest class mean in a space in which images of one class vary alike in
every direction, whatever the class. So a new class needs its mean alone. From K images that mean is
known up to a K-th of that variance, which adds up over many directions; so it is drawn towards the
middle of the known classes, the more, the fewer images there are and the nearer to the middle the
known classes lie.

Source: Mensink et al. 2013 and Snell et al. 2017 (a class from the mean of a few images); Efron and
Morris 1973 (means drawn towards their middle by their own spread).
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dnadet_lib.attribution import join_features
from dnadet_lib.discriminant import set_linear
from dnadet_lib.images.changes import changed_copies
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.text import check_class_names, storable
from dnadet_lib.unknown import Distances

MOST = 500  # images of a new class
# Variance of a class's images in whitened space, where that of single views is 1: the mean of an
# image's turned views varies less. Chosen on the unknown dev architecture.
NOISE = 0.5


class Shots(NamedTuple):
    """Images of a new class: embeddings (C, K, D) and traces (C, K, T).

    The first of the C parts has the images as they are, each other one copies that are changed in
    one of the model's ways.
    """

    embeddings: Tensor
    traces: Tensor

    def take(self, chosen: np.ndarray) -> "Shots":
        """Keep some of the K images."""
        return Shots(self.embeddings[:, chosen], self.traces[:, chosen])


class NewClass(NamedTuple):
    """What a discriminant needs of a new class: weights (C, D) and biases (C,), a trace mean (T,).

    The trace mean is None where the model has no unknown score.
    """

    weights: Tensor
    biases: Tensor
    traces: Tensor | None


def require_new_name(model: DNADet, name: str) -> tuple[str, ...]:
    """Return the classes with a new one; a ValueError if the name is empty or a class has it."""
    if name in model.classes:
        raise ValueError(f"{model.origin} has a class {name!r}: give the new one another name")
    return check_class_names([*model.classes, storable(name)])


def take_shots(
    model: DNADet, paths: Sequence[Path], changes: Sequence[str], seed: int = 0
) -> Shots:
    """Run a model over images, and copies changed in some ways; errors as `image_features`.

    Raises:
        ValueError: the model has no discriminant, so a class mean would not make a class of it.
    """
    if not model.discriminant:
        raise ValueError(
            f"{model.origin}: no discriminant, so a class cannot be added without training: use "
            "pocket, or make one with `dnadet train --preset pocket`"
        )
    parts = [image_features(model, paths)]
    parts += [image_features(model, changed_copies(paths, name, seed)) for name in changes]
    every = join_features(parts)
    return Shots(*(part.cpu().unflatten(0, (len(parts), len(paths))) for part in every))


def new_class(model: DNADet, shots: Shots) -> NewClass:
    """Estimate a new class from K images, one or more; its C are the first of the model's."""
    count, known = shots.embeddings.shape[1], head(model)[0][: len(shots.embeddings)]
    middle = known.mean(dim=1)
    spread = ((known - middle[:, None]) ** 2).sum(dim=(1, 2)) / known[0, 1:].numel()
    means = drawn_in(shots.embeddings.mean(dim=1), middle, spread[:, None], count)
    biases = -(means**2).sum(dim=1) / 2
    if model.reference is None:
        return NewClass(means, biases, None)
    trace, parts = shots.traces.mean(dim=1), []
    if len(trace) > 1:  # the known classes' means, too, are in half of changed copies
        trace = torch.stack([trace[0], trace[1:].mean(dim=0)])
    own_parts = trace.mean(dim=0).split(model.trace_sizes)
    known_parts = model.reference.means.split(model.trace_sizes, dim=1)
    blocks = zip(own_parts, known_parts, model.reference.precisions, strict=True)
    for own, rows, precisions in blocks:
        away = rows[:-1] - rows[:-1].mean(dim=0)
        squares = torch.einsum("kt,tu,ku->", away, precisions[0], away)
        parts.append(drawn_in(own, rows[-1], squares / away[1:].numel(), count))
    return NewClass(means, biases, torch.cat(parts))


def head(model: DNADet) -> tuple[Tensor, Tensor]:
    """Return means (C, K, D) and biases (C, K) of no change, then each, and class."""
    parts = 1 + len(model.changes), len(model.classes)
    weights, biases = (p.detach().cpu() for p in model.classification_head[1].parameters())
    return weights.unflatten(0, parts), biases.unflatten(0, parts)


def drawn_in(mean: Tensor, middle: Tensor, spread: Tensor, count: int) -> Tensor:
    """Draw the mean of some images towards a middle around which class means have a spread."""
    return middle + spread / (spread + NOISE / count) * (mean - middle)


def enrol(model: DNADet, name: str, shots: Shots) -> DNADet:
    """Return a copy of a model that knows one class more; no weight but the new one's is changed.

    Temperatures and the threshold of the unknown score stay; a ValueError as `require_new_name`.
    """
    found, (weights, biases) = new_class(model, shots), head(model)
    enrolled = copy.deepcopy(model)
    enrolled.classes = require_new_name(model, name)
    weights = torch.cat([weights, found.weights[:, None]], dim=1).flatten(0, 1)
    biases = torch.cat([biases, found.biases[:, None]], dim=1).flatten()
    enrolled.classification_head[1] = nn.Linear(weights.shape[1], len(weights))
    set_linear(enrolled.classification_head[1], weights.numpy(), biases.numpy())
    if model.reference is not None and found.traces is not None:
        means = model.reference.means
        rows = torch.cat([means[:-1], found.traces[None], means[-1:]])
        enrolled.reference = Distances(rows, model.reference.precisions)
    return enrolled.to(next(model.parameters()).device).eval()
