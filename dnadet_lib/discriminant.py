"""A linear discriminant on a pre-trained network: stage 2 without training a weight by descent.

The pre-training has made channels that show how an image was processed. What is left to learn is
which directions tell architectures apart. Fisher's discriminant says it in closed form: whiten by
the covariance within the classes, then take the nearest class mean.
"""

import copy
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from dnadet_lib.data import ImageSet, some_of_each
from dnadet_lib.images.changes import changed_copies
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet

CHANGED_AT_MOST = 1000  # images of a class, in each way
SMALLEST = 1e-12  # variance, as a share of the largest, by which is still divided


def fit_discriminant(model: DNADet, train: ImageSet, seed: int = 0) -> None:
    """Solve for whitening and classifier of a model whose blocks are pre-trained.

    The covariance within classes is shrunk as Ledoit and Wolf say; all classes count alike. With
    changes, each class has a mean of its images as they are and one of the copies that are changed
    in each way.

    Args:
        model: With `discriminant`; its changes are made, its whitening and classifier set.
        train: Labelled images, of every class of the model.
        seed: Of the changes, and of which images are changed: at most 1,000 of each class.

    Raises:
        ValueError: the images of the classes are too few or do not vary.

    Source:
        Fisher 1936; Hastie and Tibshirani 1996 (several means); Ledoit and Wolf 2004 (shrinkage).
    """
    upright, last, changes = copy.copy(model), len(model.main) - 1, model.changes
    # Turned copies vote, but would blur what is learned.
    upright.input, upright.trace_blocks = replace(model.input, vote="patches"), (last,)
    some = train.take(some_of_each(train.labels, CHANGED_AT_MOST, seed)) if changes else train
    sets: list[Iterable] = [train.paths]
    sets += [changed_copies(some.paths, name, seed) for name in changes]
    traces = torch.cat([image_features(upright, images).traces.cpu() for images in sets])
    numbers = [train.labels]  # of class and change
    numbers += [some.labels + len(model.classes) * (1 + k) for k in range(len(changes))]
    scaler, count = StandardScaler(), len(model.classes) * len(sets)
    scaled = scaler.fit_transform(traces.double().numpy())
    discriminant = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(count, 1 / count)
    ).fit(scaled, np.concatenate(numbers))
    variances, directions = np.linalg.eigh(discriminant.covariance_)
    if not variances.min() > variances.max() * SMALLEST:
        raise ValueError(
            "the images of a class are too few or too much alike to solve a discriminant: in some "
            "direction they do not vary; give three or more of each, and no copies"
        )
    whiten = directions / np.sqrt(variances) @ directions.T
    centre = discriminant.means_.mean(axis=0)
    means = (discriminant.means_ - centre) @ whiten
    weight = whiten / scaler.scale_
    set_linear(model.whitening, weight, -weight @ scaler.mean_ - whiten @ centre)
    set_linear(model.classification_head[1], means, -np.sum(means**2, axis=1) / 2)


def set_linear(layer: torch.nn.Module, weight: np.ndarray, bias: np.ndarray) -> None:
    """Set weight (out, in) and bias (out,) of a linear layer."""
    values = {"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
    layer.load_state_dict(values)
