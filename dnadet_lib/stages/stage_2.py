"""Stage 2: a network learns the architectures of labelled images."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dnadet_lib.attribution import probabilities_of
from dnadet_lib.checkpoints.starting import transfer_backbone
from dnadet_lib.data import ImageSet
from dnadet_lib.discriminant import fit_discriminant
from dnadet_lib.evaluation.changed_images import (
    best_temperature,
    changed_traces,
    dev_copies,
    fit_calibrations,
)
from dnadet_lib.evaluation.open_set import reference_traces
from dnadet_lib.evaluation.predictions import predict_images
from dnadet_lib.images.kept import ImageFiles
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.ranks import is_first, ranks, world_size
from dnadet_lib.presets import Preset
from dnadet_lib.stages.batches import PatchBatches
from dnadet_lib.stages.checks import require_trainable, training_key
from dnadet_lib.stages.folder import RunFolder
from dnadet_lib.stages.stage_1 import build_model
from dnadet_lib.training import dev_figures, fit, write_history
from dnadet_lib.unknown import (
    LabelledTraces,
    held_out_distances,
    relative_distance,
    trace_distances,
)
from dnadet_lib.zoo.setups import load_setup

KNOWN_SHARE = 0.95
KEPT_APART = 10.0  # time between two models that are kept, over the time that keeping one takes


def dev_validation(dev: ImageSet) -> Callable[[DNADet], tuple[np.ndarray, np.ndarray]]:
    """Make the function that scores a model on labelled dev images."""
    images = ImageFiles(dev.paths)  # decoded once, as far as they may be kept

    def validate(model: DNADet) -> tuple[np.ndarray, np.ndarray]:
        predictions = predict_images(model, dev, images)
        return predictions.truth, predictions.predicted

    return validate


@ranks()
def run_training(
    preset: Preset, train: ImageSet, dev: ImageSet, *, pretrained: DNADet | None = None,
    seed: int = 0, folder: Path | None = None,
) -> tuple[DNADet, list[dict[str, float]]]:  # fmt: skip
    """Stage 2: learn the classes of labelled images.

    Args:
        preset: A stage 2 preset.
        train: Training images, of one size unless the preset resizes; every class must have some.
        dev: Images of dev generators: scores an epoch, the temperature and the unknown threshold.
        pretrained: Stage 1 model, or None for random weights; a discriminant needs one.
        seed: Of weights, order and patches.
        folder: For history, state and model; a run of the same key goes on there.

    Returns:
        The calibrated model with the weights of the epoch that the preset keeps, and the history.

    Raises:
        FileNotFoundError: images are missing; named.
        ValueError: what `checks.require_trainable` and `checks.training_key` refuse.
        OtherRunError: the folder holds another run; what differs is said.
    """
    dev = require_trainable(preset, train, dev, pretrained)
    model = build_model(train.classes, preset, seed)
    if pretrained is not None:
        transfer_backbone(model, pretrained)
    key = training_key(preset, train, dev, pretrained=pretrained, seed=seed)
    run = RunFolder(folder, key) if folder else None
    if run is not None and run.is_finished():
        return run.finished()
    if preset.discriminant and world_size() > 1:
        raise ValueError(f"preset {preset.name} trains no network: start it as one process")
    make = solve if preset.discriminant else learn
    history = make(model, preset, train, dev, seed, run)
    if run is not None and is_first():
        run.finish(model)
    return model, history


def learn(
    model: DNADet, preset: Preset, train: ImageSet, dev: ImageSet, seed: int, run: RunFolder | None
) -> list[dict[str, float]]:
    """Train and calibrate a network, which is kept ready to use when it gets better.

    Calibrating takes its time: where epochs are short, at most a tenth of the time goes into it.
    """
    due = 0.0

    def keep(best: DNADet) -> None:
        nonlocal due
        if run is None or (start := monotonic()) < due:
            return
        calibrate(best, train, dev, seed)
        run.keep(best)
        due = monotonic() + KEPT_APART * (monotonic() - start)

    batches = PatchBatches(ImageFiles(train.paths), train.labels, preset)
    history = fit(
        model, batches, dev_validation(dev), preset, seed=seed, run_folder=run, keep=keep
    )
    if is_first():
        calibrate(model, train, dev, seed)
    return history


def solve(
    model: DNADet, preset: Preset, train: ImageSet, dev: ImageSet, seed: int, run: RunFolder | None
) -> list[dict[str, float]]:
    """Solve and calibrate a discriminant; return a history of one row."""
    fit_discriminant(model, train, seed)
    history = [{"epoch": 1, **dev_figures(*calibrate(model, train, dev, seed))}]
    if run is not None:
        write_history(history, run.history)
        run.save({})  # nothing to go on from, but the key in full
    return history


def calibrate(
    model: DNADet, train: ImageSet, dev: ImageSet, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Fit what `attribute` needs beyond weights: temperatures, distances of traces, threshold.

    A temperature minimises the log loss on dev after the vote over patches. The threshold lets 95%
    of dev images pass as known, each scored as if its generator were not known. A model with
    changes knows changed copies too, and has a temperature for each change.

    Returns:
        True and predicted class numbers of the dev images, (N,) each.
    """
    learned, dev = reference_traces(model, train, seed), dev.with_classes(model.classes)
    features = image_features(model, dev.paths)
    model.temperature = fit_temperature(model, features.embeddings, dev.labels)
    instances, makers = LabelledTraces(features.traces, dev.labels), np.array(dev.makers)
    if model.changes:
        copies = dev_copies(model, dev, seed)
        model.calibrations = fit_calibrations(model, features.embeddings, dev.labels, copies)
        model.temperature = model.calibrations[0].temperature
        learned = learned.joined(changed_traces(model, train, seed))
        instances = instances.joined(LabelledTraces(copies.features.traces, copies.labels))
        makers = np.concatenate([makers, copies.makers])
    squares = held_out_distances(learned, instances, makers, model.trace_sizes)[:, : len(dev)]
    model.threshold = float(np.quantile(relative_distance(squares).numpy(), KNOWN_SHARE))
    model.reference = trace_distances(learned.joined(instances), model.trace_sizes)
    return dev.labels, probabilities_of(model, features.embeddings).argmax(dim=1).cpu().numpy()


def fit_temperature(model: DNADet, embeddings: Tensor, truth: np.ndarray) -> float:
    """Return the temperature that minimises the log loss of embeddings (N, D) of classes (N,)."""
    with torch.no_grad():
        return best_temperature(model.logits(embeddings).cpu(), truth)


def training_data(root: Path | None = None) -> tuple[ImageSet, ImageSet]:
    """Return the pocket zoo's training images (closed set) and its dev set-up.

    `root` is a rendered tree, the pocket profile's by default.
    """
    return load_setup("closed", "train", root), load_setup("dev", root=root)


def history_frame(history: list[dict[str, float]]) -> pd.DataFrame:
    """Return a training history as a table, one row an epoch."""
    return pd.DataFrame(history).set_index("epoch")
