"""From an image's views to its class: the votes, probabilities and unknown score.

These functions ask a model; `inference` feeds them images of any kind in batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dnadet_lib.images.history import History
from dnadet_lib.images.reading import NO_FILE, Coding, as_rgb, read_coded
from dnadet_lib.patches import grid_patches, grid_share, normalise, turned
from dnadet_lib.unknown import relative_distance, squared_distances

if TYPE_CHECKING:
    from dnadet_lib.model import DNADet

LEAST_ACCURACY = 0.6  # on changed dev images of a kind, for a class to be named at all
LEAST_CONFIDENCE = 0.35  # with which a class is named: all but some unchanged dev images have it
TURNS = 4  # copies of a view that vote where the input is "turned"

Look = Callable[[np.ndarray, Coding], History]


@dataclass(frozen=True)
class Attribution:
    """What `DNADet.attribute` says of N images.

    Attributes:
        probabilities: float (N, K), calibrated for what seems to have happened to the image.
        labels: The most probable class of each image, also where it cannot be told.
        verdicts: The class of each image, or None where it cannot be told.
        changes: What each image seems to have undergone, one of the model's changes or "".
        embeddings: float (N, D), mean over the image's patches.
        unknown_scores: (N,) relative Mahalanobis distance to the known images, or NaN where the
            checkpoint does not know it. High means: unlike anything the model was fitted to.
        known: (N,) whether the score is under the threshold that was chosen on dev generators; all
            masked where the checkpoint holds no distances, so that `tolist()` gives None.
    """

    probabilities: np.ndarray
    labels: list[str]
    verdicts: list[str | None]
    changes: list[str]
    embeddings: np.ndarray
    unknown_scores: np.ndarray
    known: np.ndarray


class Views(NamedTuple):
    """What the network sees of an image: uint8 views (V, h, w, 3), over which it votes.

    `looked_at` is the share of the image's area that some view shows, `history` what happened to
    the image, if somebody looked.
    """

    views: np.ndarray
    looked_at: float
    history: History = History()


class Features(NamedTuple):
    """What the network makes of N images, each the mean over an image's patches.

    Embeddings (N, D) are what the classifier sees; traces (N, T), statistics of some blocks, are
    what the unknown score goes by.
    """

    embeddings: Tensor
    traces: Tensor


def prepare(model: DNADet, image: np.ndarray) -> np.ndarray:
    """Turn one uint8 image (H, W, 3) into the views (V, h, w, 3) that the network votes over.

    Raises:
        ValueError: the image is smaller than a patch, or than the network can take.
    """
    image = model.input.resized(image)
    if model.input.vote == "whole":
        require_size(model, *image.shape[:2])
        return image[None]
    patches = grid_patches(image, model.input.patch)
    if model.input.vote == "patches":
        return patches
    return np.concatenate([turned(patches, copy) for copy in range(TURNS)])


def require_size(model: DNADet, height: int, width: int) -> None:
    """Raise a ValueError if the network cannot take an image of that size."""
    if min(height, width) < model.smallest:
        raise ValueError(
            f"image is {width}x{height} pixels, smaller than the {model.smallest}x"
            f"{model.smallest} that this model needs; use a larger image"
        )


@torch.no_grad()
def infer(model: DNADet, views: Sequence[np.ndarray], batch_pixels: int = 2**17) -> Features:
    """Make the features of N images' views, in one stream of batches.

    The scores are linear, so the mean embedding of an image's patches gives the mean of their
    scores: the vote.

    Args:
        model: A network.
        views: For each image, uint8 (V, h, w, 3); those of one h and w run together.
        batch_pixels: Pixels a forward pass, about: what bounds the memory.

    Returns:
        Means over the views of each image.

    Raises:
        ValueError: views are smaller than the network can take.
    """
    model.eval()
    for view in views:
        require_size(model, *view.shape[1:3])
    if len(sizes := dict.fromkeys(v.shape[1:3] for v in views)) > 1:
        groups = [[i for i, v in enumerate(views) if v.shape[1:3] == size] for size in sizes]
        parts = [infer(model, [views[i] for i in group], batch_pixels) for group in groups]
        order = np.argsort(np.concatenate(groups))
        return Features(*(part[order] for part in join_features(parts)))
    device = next(model.classification_head.parameters()).device
    stacked = np.concatenate(list(views))
    batch_size = max(1, batch_pixels // (stacked.shape[1] * stacked.shape[2]))
    chunks = [
        model.features(normalise(torch.from_numpy(part).to(device)))
        for part in np.array_split(stacked, math.ceil(len(stacked) / batch_size))
    ]
    counts = [len(v) for v in views]
    return Features(
        *(
            torch.stack([views_of_one.mean(dim=0) for views_of_one in part.split(counts)])
            for part in join_features(chunks)
        )
    )


@torch.no_grad()
def probabilities_of(model: DNADet, embeddings: Tensor) -> Tensor:
    """Map embeddings (N, D) to class probabilities (N, K), calibrated for the change seen."""
    logits = model.logits(embeddings)
    if not model.calibrations:
        return (logits / model.temperature).softmax(dim=1)
    temperatures = logits.new_tensor([found.temperature for found in model.calibrations])
    return (logits / temperatures[model.change_numbers(embeddings), None]).softmax(dim=1)


@torch.no_grad()
def may_name(model: DNADet, embeddings: Tensor) -> np.ndarray:
    """Whether the most probable class of N images may be named: booleans (N,).

    It may not where dev images of that look are named rightly too seldom, or its probability is too
    small.
    """
    if not model.calibrations:
        return np.ones(len(embeddings), bool)
    accuracies = np.array([found.accuracy for found in model.calibrations])
    numbers = model.change_numbers(embeddings).cpu().numpy()
    confidence = probabilities_of(model, embeddings).max(dim=1).values.cpu().numpy()
    return (accuracies[numbers] >= LEAST_ACCURACY) & (confidence >= LEAST_CONFIDENCE)


@torch.no_grad()
def are_finite(model: DNADet, found: Features) -> np.ndarray:
    """Whether all that follows from the features of N images is finite: booleans (N,)."""
    logits = model.logits(found.embeddings) / model.temperature
    rows = torch.cat([found.embeddings, found.traces, logits], dim=1).isfinite().all(dim=1)
    if model.reference is not None and model.reference.means.shape[1] == found.traces.shape[1]:
        rows &= unknown_score(model, found.traces).isfinite()
    return rows.cpu().numpy()


def overflow(model: DNADet, image: object, number: int = 0) -> str:
    """Say that the numbers of an image are not finite, so that there is no answer."""
    name = image if isinstance(image, Path | str) else f"image {number}"
    lost = not all(part.isfinite().all() for part in model.state_dict().values())
    reason = "its weights are too large; train it anew or use another checkpoint"
    if lost:
        reason = "its training diverged; lower the learning rate"
    origin = model.origin if model.sha256 else "the model"
    return f"{name}: {origin} gives numbers that are not finite, so no answer: {reason}"


def attribution(model: DNADet, found: Features) -> Attribution:
    """Say of the features of N images which classes they come from."""
    probabilities = probabilities_of(model, found.embeddings).cpu().numpy()
    scores = unknown_score(model, found.traces).cpu().numpy()
    labels = [model.classes[k] for k in probabilities.argmax(axis=1)]
    tells = may_name(model, found.embeddings).tolist()
    numbers = model.change_numbers(found.embeddings).tolist()
    return Attribution(
        probabilities, labels,
        [name if told else None for name, told in zip(labels, tells, strict=True)],
        [("", *model.changes)[number] for number in numbers], found.embeddings.cpu().numpy(),
        scores, are_known(model, scores),
    )  # fmt: skip


def are_known(model: DNADet, scores: np.ndarray) -> np.ndarray:
    """Whether unknown scores (N,) are under the threshold; masked where there is no score."""
    known = ~(scores > model.threshold)
    return known if model.reference is not None else np.ma.masked_array(known, True)


def views_of(model: DNADet, image: Path | str | Image.Image | np.ndarray) -> np.ndarray:
    """Prepare an image of any kind: uint8 views (V, h, w, 3); errors name its file."""
    return views_and_share(model, image).views


def views_and_share(
    model: DNADet, image: Path | str | Image.Image | np.ndarray, look: Look | None = None
) -> Views:
    """Prepare an image of any kind, and say how much of it the views show.

    Args:
        model: Sees the views.
        image: Path, PIL image or uint8 array (H, W, 3).
        look: Finds out what happened to the image, which costs some milliseconds.

    Raises:
        ValueError: as `attribute`; the file is named.
        OSError: as `attribute`.
    """
    if isinstance(image, Path | str):
        try:
            return _views(model, *read_coded(Path(image)), look)
        except ValueError as error:
            raise ValueError(f"{image}: {error}") from error
    if isinstance(image, Image.Image):
        image = as_rgb(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"array of {image.dtype} {image.shape}: expected uint8 (H, W, 3), red first"
        )
    return _views(model, image, NO_FILE, look)


def _views(model: DNADet, image: np.ndarray, coding: Coding, look: Look | None) -> Views:
    views, history = prepare(model, image), look(image, coding) if look else History()
    if model.input.vote == "whole":
        return Views(views, 1.0, history)
    side = model.input.resize or model.input.resize_first
    height, width = (side, side) if side is not None else image.shape[:2]
    return Views(views, grid_share(height, width, model.input.patch), history)


def unknown_score(model: DNADet, traces: Tensor) -> Tensor:
    """Relative Mahalanobis distance of traces (N, T) to those of the known images.

    The squared distance to the nearest class mean, in deviations within the classes, less the
    squared distance to the mean of all, in deviations over all; mean over traces and blocks. An
    image of odd content is far in both, an image of a new architecture in the first alone.

    Returns:
        (N,) scores, NaN where the checkpoint holds no distances.

    Source: Lee et al. 2018 (Mahalanobis distance); Ren et al. 2021 (relative to that of all).
    """
    if model.reference is None:
        return torch.full((len(traces),), float("nan"))
    return relative_distance(squared_distances(traces, model.reference))


def join_features(parts: Sequence[Features]) -> Features:
    """Join the features of batches."""
    return Features(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
