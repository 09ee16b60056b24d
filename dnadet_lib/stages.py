"""The two stages on the pocket zoo: which images go in, what comes out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor

from dnadet_lib.changed_images import (
    best_temperature,
    changed_traces,
    dev_copies,
    fit_calibrations,
)
from dnadet_lib.data import ImageSet, load_images
from dnadet_lib.discriminant import fit_discriminant
from dnadet_lib.evaluation import image_features, predict
from dnadet_lib.files import locked
from dnadet_lib.model import (
    BLOCKS,
    DNADet,
    join_backbones,
    load_model,
    relative_distance,
    shipped_file,
    transfer_backbone,
)
from dnadet_lib.open_set import (
    LabelledTraces,
    held_out_distances,
    reference_traces,
    trace_distances,
)
from dnadet_lib.paths import build_folder
from dnadet_lib.photos import cut_crops, load_photographs
from dnadet_lib.preflight import check_before_training
from dnadet_lib.presets import Preset, get_preset, require_stage
from dnadet_lib.runs import RunFolder, RunKey, keep, network_digest
from dnadet_lib.trainable import (
    require_patch,
    require_trainable,
    require_variety,
    training_key,
)
from dnadet_lib.training import (
    PatchBatches,
    TransformationBatches,
    apply_transformations,
    dev_figures,
    fit,
    write_history,
)
from dnadet_lib.transforms import image_transformations
from dnadet_lib.zoo import load_jittered, load_setup

PRETRAINING_CROPS = {"pocket": 6000, "smoke": 60}
IMAGES_A_TRANSFORMATION = {"pocket": 10, "smoke": 1}
KNOWN_SHARE = 0.95


@dataclass(frozen=True)
class TransformationSet:
    """Transformed crops of unseen photographs: (N, 64, 64, 3) and transformation numbers (N,)."""

    images: np.ndarray
    labels: np.ndarray


def build_model(
    classes: tuple[str, ...], preset: Preset, seed: int, backbones: int = 1
) -> DNADet:
    """Make a model with weights drawn from the seed, on the GPU where there is one."""
    torch.manual_seed(seed)
    model = DNADet(
        len(classes), preset.width, classes=classes, input=preset.input,
        blocks=preset.discriminant or BLOCKS, discriminant=preset.discriminant > 0,
        backbones=backbones,
        changes=preset.changes if preset.discriminant else (),
    )  # fmt: skip
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def photograph_crops(contents: Sequence[str], group: str, count: int, seed: int) -> np.ndarray:
    """Cut `count` crops from a group's photographs of some contents, equally many of each."""
    counts = [len(part) for part in np.array_split(np.arange(count), len(contents))]
    sets = [load_photographs(content, group) for content in contents]
    pairs = zip(sets, counts, strict=True)
    return np.concatenate([cut_crops(own, number, seed)[0] for own, number in pairs])


def transformation_set(
    group: str, size: int, each: int, seed: int = 0, contents: Sequence[str] = ("meadow",)
) -> TransformationSet:
    """Put `each` crops of a photograph group through every one of the 170 transformations.

    Args:
        group: "train", "dev" or "test" photographs.
        size: Side of the crops in pixels; 64.
        each: Crops a transformation.
        seed: Of crops and noise.
        contents: Of the photographs; equally many crops of each.
    """
    transformations = image_transformations(size)
    labels = np.tile(np.arange(len(transformations)), each)
    crops = photograph_crops(contents, group, len(labels), seed)
    rng = np.random.default_rng(seed)
    crops = crops[rng.permutation(len(crops))]
    return TransformationSet(apply_transformations(crops, labels, transformations, rng), labels)


def predict_transformations(model: DNADet, data: TransformationSet) -> np.ndarray:
    """Predict transformation numbers (N,), by the model's vote over patches."""
    features = image_features(model, list(data.images))
    return model.probabilities(features.embeddings).argmax(dim=1).cpu().numpy()


def pretraining_scores(data: TransformationSet, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy and macro F1 over the 170 classes, and accuracy over their six families."""
    families = np.array([t.family for t in image_transformations(data.images.shape[1])])
    return {
        "accuracy": float(accuracy_score(data.labels, predicted)),
        "macro F1": float(f1_score(data.labels, predicted, average="macro")),
        "family accuracy": float(np.mean(families[data.labels] == families[predicted])),
    }


class PretrainingMaterial(NamedTuple):
    """What stage 1 learns from, crops (N, 64, 64, 3), what scores it, and the key of the run."""

    crops: np.ndarray
    dev: TransformationSet
    key: RunKey


def pretraining_material(
    preset: Preset, profile: str = "pocket", seed: int = 0, start_from: DNADet | None = None
) -> PretrainingMaterial:
    """Cut the crops of a run of stage 1 and make its key; arguments as in `run_pretraining`."""
    names = tuple(t.name for t in image_transformations(preset.transform_size))
    crops = photograph_crops(preset.contents, "train", PRETRAINING_CROPS[profile], seed)
    each, size = IMAGES_A_TRANSFORMATION[profile], preset.transform_size
    dev = transformation_set("dev", size, each, contents=preset.contents)
    start = "" if start_from is None else network_digest(start_from)
    kept = keep(crops, np.zeros(len(crops))), keep(dev.images, dev.labels)
    return PretrainingMaterial(crops, dev, RunKey(preset, seed, names, start, *kept))


def run_pretraining(
    preset: Preset,
    *,
    profile: str = "pocket",
    seed: int = 0,
    folder: Path | None = None,
    start_from: DNADet | None = None,
) -> tuple[DNADet, list[dict[str, float]]]:
    """Stage 1: learn to tell the 170 transformations apart on train photographs.

    Args:
        preset: A pre-training preset.
        profile: "pocket", or "smoke" for a few crops.
        seed: Of weights, crops and training.
        folder: For history, state and model; a run of the same key found there goes on, and a
            finished one is returned as it is.
        start_from: A pre-trained model to continue from.

    Returns:
        The model with its best dev epoch's weights, and the history.

    Raises:
        ValueError: the preset is of stage 2.
        OtherRunError: the folder holds another run; what differs is said.
    """
    require_stage(preset, 1)
    crops, dev, key = pretraining_material(preset, profile, seed, start_from)
    run = RunFolder(folder, key) if folder else None
    if run is not None and run.is_finished():
        return run.finished()
    model = build_model(key.classes, preset, seed)
    if start_from is not None:
        model.load_state_dict(start_from.state_dict())

    def validate(candidate: DNADet) -> tuple[np.ndarray, np.ndarray]:
        return dev.labels, predict_transformations(candidate, dev)

    batches = TransformationBatches(crops, preset)
    history = fit(model, batches, validate, preset, seed=seed, run_folder=run)
    if run is not None:
        run.finish(model)
    return model, history


def pretrained_model(names: Sequence[str], seed: int = 0) -> DNADet:
    """Return what stage 1 makes by some presets and a seed, side by side in one model.

    That of seed 0 is shipped, where it is; others are trained, which takes a quarter of an hour, in
    `build/checkpoints/NAME_seed_S`; a run found there goes on, and a finished one is read.

    Raises:
        OtherRunError: that folder holds a run of another preset or of other photographs.
    """
    return join_backbones([_one_pretrained(name, seed) for name in names])


def _one_pretrained(name: str, seed: int) -> DNADet:
    if seed == 0 and (Path(name).is_file() or shipped_file(name).is_file()):
        return load_model(name)
    folder = build_folder() / "checkpoints" / f"{name}_seed_{seed}"
    with locked(folder):
        print(f"stage 1: {name}, seed {seed}", file=sys.stderr, flush=True)
        run_pretraining(get_preset(name), seed=seed, folder=folder)
        return load_model(folder / "model.safetensors")


def dev_validation(dev: ImageSet) -> Callable[[DNADet], tuple[np.ndarray, np.ndarray]]:
    """Make the function that scores a model on labelled dev images."""

    def validate(model: DNADet) -> tuple[np.ndarray, np.ndarray]:
        predictions = predict(model, dev)
        return predictions.truth, predictions.predicted

    return validate


def run_training(
    preset: Preset,
    train: ImageSet,
    dev: ImageSet,
    *,
    pretrained: DNADet | None = None,
    seed: int = 0,
    folder: Path | None = None,
) -> tuple[DNADet, list[dict[str, float]]]:
    """Stage 2: learn the classes of labelled images.

    Args:
        preset: A stage 2 preset.
        train: Training images, of one size; every class must have some.
        dev: Images of dev generators: scores an epoch, the temperature and the unknown threshold.
        pretrained: Stage 1 model, of one or several backbones, or None for random weights; a
            discriminant needs one.
        seed: Of weights, order and patches.
        folder: For history, state and model; a run of the same key found there goes on, and a
            finished one is returned as it is.

    Returns:
        The calibrated model with the weights of the epoch that the preset keeps, and the history.

    Raises:
        FileNotFoundError: images are missing; named.
        ValueError: what `preflight.check_before_training` and `trainable.require_trainable` refuse,
            or a class has copies of one image alone.
        OtherRunError: the folder holds another run; what differs is said.
    """
    check_before_training(preset, train, dev)
    dev = require_trainable(preset, train, dev, pretrained)
    model = build_model(
        train.classes, preset, seed, pretrained.backbones if pretrained is not None else 1
    )
    if pretrained is not None:
        transfer_backbone(model, pretrained)
    cache = folder / "cache" if folder else None
    images = None if preset.discriminant else load_images(train.paths, cache)
    if images is not None:
        require_patch(images[0], preset.input, train.paths[0])
    key = training_key(preset, train, dev, pretrained=pretrained, seed=seed, images=images)
    require_variety(train, key.train)
    run = RunFolder(folder, key) if folder else None
    if run is not None and run.is_finished():
        return run.finished()
    if images is None:
        history = solve(model, preset, train, dev, seed, run)
    else:
        batches = PatchBatches(images, train.labels, preset)
        history = fit(model, batches, dev_validation(dev), preset, seed=seed, run_folder=run)
        calibrate(model, train, dev, seed)
    if run is not None:
        run.finish(model)
    return model, history


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
    of dev images pass as known, each scored as if its generator were not known. What a model with
    changes knows includes changed copies, and there is a temperature for each change.

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
        own = LabelledTraces(copies.features.traces, copies.labels).take(copies.seen)
        instances = instances.joined(own)
        makers = np.concatenate([makers, copies.makers[copies.seen]])
    squares = held_out_distances(learned, instances, makers, model.trace_sizes)[:, : len(dev)]
    model.threshold = float(np.quantile(relative_distance(squares).numpy(), KNOWN_SHARE))
    model.reference = trace_distances(learned.joined(instances), model.trace_sizes)
    return dev.labels, model.probabilities(features.embeddings).argmax(dim=1).cpu().numpy()


def fit_temperature(model: DNADet, embeddings: Tensor, truth: np.ndarray) -> float:
    """Return the temperature that minimises the log loss of embeddings (N, D) of classes (N,)."""
    with torch.no_grad():
        return best_temperature(model.logits(embeddings).cpu(), truth)


def training_data(
    root: Path | None = None, *, jittered: bool = False
) -> tuple[ImageSet, ImageSet]:
    """Return the pocket zoo's training images (closed set) and its dev set-up.

    Args:
        root: Rendered tree; the pocket profile's by default.
        jittered: Whether images of jittered copies of the training generators are added.
    """
    train = load_setup("closed", "train", root)
    if jittered:
        train = train.joined(load_jittered(root))
    return train, load_setup("dev", root=root)


def history_frame(history: list[dict[str, float]]) -> pd.DataFrame:
    """Return a training history as a table, one row an epoch."""
    return pd.DataFrame(history).set_index("epoch")
