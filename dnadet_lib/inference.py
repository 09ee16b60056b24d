"""From images to features: the one path, in batches over all cores, a stream that takes what comes.

Workers, one per core, each take some images, decode them and run the network on one thread. Nobody
waits at the barriers inside an operation, which costs half the speed on two cores; threads do,
since Pillow and the network release Python's lock. Results come in the order of the images. What is
kept does not grow with their number.

The network runs in float32. In bfloat16 the largest difference in a probability was 0.59 on 1,000
images of the zoo, and two classes changed: the front end takes differences of neighbouring pixels.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from dnadet_lib.attribution import (
    LEAST_ACCURACY,
    Features,
    Look,
    are_finite,
    attribution,
    infer,
    join_features,
    overflow,
    views_and_share,
)
from dnadet_lib.images.history import History, history_of
from dnadet_lib.plumbing.notes import listening, note
from dnadet_lib.plumbing.workers import growing_windows, on_workers

if TYPE_CHECKING:
    from dnadet_lib.model import DNADet

BATCH = 32  # images that a worker takes at a time
VIEW_BYTES = 2**22  # of views that a worker holds before the network sees them
WORKERS_FOR_GPU = 4  # they decode

Source = Path | str | Image.Image | np.ndarray
Item = tuple[int, Source]


@dataclass(frozen=True)
class Failure:
    """An image without an answer: position in the input, as it was given, the error naming it."""

    number: int
    image: Source
    error: Exception


@dataclass
class Batch:
    """Some images that follow on each other: features of those that could be read, and failures."""

    numbers: list[int] = field(default_factory=list)  # (n,) positions in the input, rising
    images: list[Source] = field(default_factory=list)  # (n,) the images as they were given
    looked_at: list[float] = field(default_factory=list)  # (n,) share of each image that is seen
    histories: list[History] = field(default_factory=list)  # (n,) if somebody looked
    features: Features | None = None  # of these n images; None if there is none
    failures: list[Failure] = field(default_factory=list)  # the others
    notes: list[str] = field(default_factory=list)  # of what was done to the images


def stream(
    model: DNADet, images: Iterable[Source], batch: int | None = None, look: Look | None = None
) -> Iterator[Batch]:
    """Make the features of images, in the order of the images.

    The first batches are small, so that the first results come soon; of large images, too, a batch
    holds few. At most (2 * workers + 2) * batch images are taken from `images` ahead of what was
    given back. Where the caller stops early, so do the workers.

    Args:
        model: Makes the features.
        images: Paths, PIL images or uint8 arrays (H, W, 3), of any sizes; also an endless iterator.
        batch: Images that a worker takes at a time, at most (default: 32).
        look: Finds out what happened to an image.

    Raises:
        Exception: whatever goes wrong but for images that cannot be read or are too small, and
            numbers that are not finite, which are failures.
    """
    workers = _workers(model)
    windows = growing_windows(enumerate(images), workers, batch or BATCH)
    for piece in on_workers(partial(_work, model, look), windows, workers):
        for text in piece.notes:
            note(text)
        yield piece


def _workers(model: DNADet) -> int:
    """Choose how many threads run at a time: on a CPU as many as PyTorch would use."""
    if next(model.parameters()).device.type == "cpu":
        return torch.get_num_threads()
    return min(WORKERS_FOR_GPU, os.cpu_count() or 1)


def _work(
    model: DNADet, look: Look | None, window: list[Item], stop: threading.Event
) -> Iterator[Batch]:
    """Decode images, and run the network whenever enough views have come together."""
    batch, views = Batch(), []
    for number, image in window:
        if stop.is_set():
            return
        try:
            with listening(batch.notes.append):  # notes are told in the caller's thread, in order
                prepared = views_and_share(model, image, look)
        except (OSError, ValueError) as error:
            batch.failures.append(Failure(number, image, error))
            continue
        batch.numbers.append(number)
        batch.images.append(image)
        batch.looked_at.append(prepared.looked_at)
        batch.histories.append(prepared.history)
        views.append(prepared.views)
        if sum(view.nbytes for view in views) >= VIEW_BYTES:
            yield _finished(model, batch, views)
            batch, views = Batch(), []
    if batch.numbers or batch.failures:
        yield _finished(model, batch, views)


def _finished(model: DNADet, batch: Batch, views: list[np.ndarray]) -> Batch:
    """Add the features; images whose numbers are not finite become failures."""
    if not views:
        return batch
    features = infer(model, views)
    good = are_finite(model, features)
    for place in np.flatnonzero(~good):
        number, image = batch.numbers[place], batch.images[place]
        failure = Failure(number, image, ValueError(overflow(model, image, number)))
        batch.failures.append(failure)
    if not good.all():
        chosen = torch.from_numpy(good).to(features.embeddings.device)
        features = Features(*(part[chosen] for part in features))
        for values in (batch.numbers, batch.images, batch.looked_at, batch.histories):
            values[:] = [v for v, fine in zip(values, good, strict=True) if fine]  # type: ignore
        batch.failures.sort(key=lambda failure: failure.number)
    batch.features = features if batch.numbers else None
    return batch


def feature_batches(
    model: DNADet, images: Iterable[Source]
) -> Iterator[tuple[list[int], Features]]:
    """Make the features of images that must all be readable: positions and features, in batches.

    Raises:
        ValueError: no images, one is smaller than a patch, or its numbers are not finite.
        OSError: a file cannot be read. The first image at fault is named.
    """
    empty = True
    for batch in stream(model, images):
        if batch.failures:
            raise batch.failures[0].error
        if batch.features is not None:
            empty = False
            yield batch.numbers, batch.features
    if empty:
        raise ValueError("no images given: at least one is needed")


def image_features(model: DNADet, images: Iterable[Source]) -> Features:
    """Make the features of all images, which must be readable; errors as `feature_batches`."""
    return join_features([features for _, features in feature_batches(model, images)])


def answers(
    model: DNADet, images: Iterable[Source], errors: list[dict[str, str]], force: bool = False
) -> Iterator[dict]:
    """Attribute images one after another, as they become known.

    Args:
        model: Attributes them.
        images: Paths, PIL images or uint8 arrays, of any sizes.
        errors: Gets "path" and "error" of each image that cannot be read, before the results of
            images that follow it.
        force: Name the most probable class all the same where it cannot be told.

    Yields:
        "path"; "label", the class, or None where it cannot be told, unless forced; "cannot_tell",
        why, or None; "nearest", the most probable class; "confidence", its probability;
        "probabilities", class -> probability; "unknown_score" and "known", both None where the
        checkpoint holds no distances; "history", what happened to the image, as plain values;
        "looked_at", the share of the image that some patch shows; "embedding", (D,).
    """
    for batch in stream(model, images, look=history_of):
        failures = deque(batch.failures)
        for number, result in zip(batch.numbers, _results(model, batch, force), strict=True):
            while failures and failures[0].number < number:
                errors.append(_told(failures.popleft()))
            yield result
        errors.extend(map(_told, failures))


def _told(failure: Failure) -> dict[str, str]:
    return {"path": _name(failure.image, failure.number), "error": str(failure.error)}


def _name(image: Source, number: int) -> str:
    return str(image) if isinstance(image, Path | str) else f"image {number}"


def _results(model: DNADet, batch: Batch, force: bool) -> Iterator[dict]:
    if batch.features is None:
        return
    found = attribution(model, batch.features)
    for place, known in enumerate(found.known.tolist()):
        values, seen = found.probabilities[place].tolist(), found.changes[place]
        history = batch.histories[place].seen_as(seen)
        score = float(found.unknown_scores[place])
        label, nearest = found.verdicts[place], found.labels[place]
        reason = None if label else why_not(model, seen)
        yield {
            "path": _name(batch.images[place], batch.numbers[place]),
            "label": nearest if force else label, "cannot_tell": reason, "nearest": nearest,
            "confidence": max(values),
            "probabilities": dict(zip(model.classes, values, strict=True)),
            "unknown_score": None if score != score else score, "known": known,
            "history": history.as_dict(), "looked_at": batch.looked_at[place],
            "embedding": found.embeddings[place],
        }  # fmt: skip


def why_not(model: DNADet, seen: str) -> str:
    """Say why no class of an image is named that seems to be changed in some way."""
    accuracy = model.calibrations[("", *model.changes).index(seen)].accuracy
    if accuracy < LEAST_ACCURACY:
        return f"of dev images changed like this, only {accuracy:.0%} are named rightly"
    return "no class is probable enough"


def readable_features(
    model: DNADet, paths: Sequence[Path], errors: list[str]
) -> Iterator[tuple[list[int], Features]]:
    """Make the features of the images that can be read: positions and features, batch by batch.

    Args:
        model: Makes them.
        paths: Image files.
        errors: Gets a line for each file that cannot be read or is smaller than a patch, or for
            which the model's numbers are not finite.
    """
    for batch in stream(model, paths):
        errors += [str(failure.error) for failure in batch.failures]
        if batch.features is not None:
            yield batch.numbers, batch.features


def read_features(model: DNADet, paths: Sequence[Path]) -> tuple[list[int], Features, list[str]]:
    """Make the features of the images that can be read, in batches.

    Returns:
        Their positions, their features, and a line for each other file.
    """
    kept: list[int] = []
    errors: list[str] = []
    device = next(model.parameters()).device
    sizes = model.embedding_size, sum(model.trace_sizes)
    made = [Features(*(torch.empty(0, size, device=device) for size in sizes))]
    for positions, features in readable_features(model, paths, errors):
        kept += positions
        made.append(features)
    return kept, join_features(made), errors


def embed_images(model: DNADet, images: Sequence[Path | np.ndarray]) -> np.ndarray:
    """Embed images, in batches: (N, D). Errors are those of `image_features`."""
    return image_features(model, images).embeddings.cpu().numpy()
