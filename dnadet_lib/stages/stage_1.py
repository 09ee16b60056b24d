"""Stage 1: a network learns to tell 170 image transformations apart."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score

from dnadet_lib.attribution import probabilities_of
from dnadet_lib.checkpoints.models import load_model, shipped_file
from dnadet_lib.inference import image_features
from dnadet_lib.model import BLOCKS, DNADet
from dnadet_lib.plumbing.devices import chosen_device
from dnadet_lib.plumbing.files import locked
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.plumbing.ranks import is_first, ranks
from dnadet_lib.presets import Preset, get_preset, pocket_pretrain, require_stage
from dnadet_lib.stages.batches import TransformationBatches, apply_transformations
from dnadet_lib.stages.folder import RunFolder
from dnadet_lib.stages.key import RunKey, keep, network_digest
from dnadet_lib.stages.own_photographs import Crops
from dnadet_lib.training import fit
from dnadet_lib.transforms import image_transformations
from dnadet_lib.zoo.photographs import CROP_SIZE, cut_crops, load_photographs

PRETRAINING_CROPS = {"pocket": 6000, "smoke": 60}
IMAGES_A_TRANSFORMATION = {"pocket": 10, "smoke": 1}


@dataclass(frozen=True)
class TransformationSet:
    """Transformed crops of unseen photographs: (N, 64, 64, 3) and transformation numbers (N,)."""

    images: np.ndarray
    labels: np.ndarray


def build_model(classes: tuple[str, ...], preset: Preset, seed: int) -> DNADet:
    """Make a model with weights drawn from the seed, on the chosen device."""
    torch.manual_seed(seed)
    model = DNADet(
        len(classes), preset.width, classes=classes, input=preset.input,
        blocks=preset.discriminant or BLOCKS, discriminant=preset.discriminant > 0,
        changes=preset.changes if preset.discriminant else (),
    )  # fmt: skip
    return model.to(chosen_device())


def photograph_crops(contents: Sequence[str], group: str, count: int, seed: int) -> np.ndarray:
    """Cut `count` crops from a group's photographs of some contents, equally many of each."""
    counts = [len(part) for part in np.array_split(np.arange(count), len(contents))]
    sets = [load_photographs(content, group) for content in contents]
    pairs = zip(sets, counts, strict=True)
    return np.concatenate([cut_crops(own, number, seed)[0] for own, number in pairs])


def transformation_set(
    group: str, size: int, each: int, seed: int = 0,
    contents: Sequence[str] = pocket_pretrain.contents,
) -> TransformationSet:
    """Put `each` crops of a photograph group through every one of the 170 transformations.

    The group is "train", "dev" or "test"; crops have `size` pixels a side, 64, equally many of each
    content.
    """
    count = len(image_transformations(size)) * each
    return transformed_set(photograph_crops(contents, group, count, seed), size, seed)


def transformed_set(crops: np.ndarray, size: int, seed: int = 0) -> TransformationSet:
    """Put crops (N, S, S, 3) through the 170 transformations of a size, as many through each."""
    transformations = image_transformations(size)
    labels = np.arange(len(crops)) % len(transformations)
    rng = np.random.default_rng(seed)
    crops = crops[rng.permutation(len(crops))]
    return TransformationSet(apply_transformations(crops, labels, transformations, rng), labels)


def predict_transformations(model: DNADet, data: TransformationSet) -> np.ndarray:
    """Predict transformation numbers (N,), by the model's vote over patches."""
    features = image_features(model, list(data.images))
    return probabilities_of(model, features.embeddings).argmax(dim=1).cpu().numpy()


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
    preset: Preset, profile: str = "pocket", seed: int = 0, start_from: DNADet | None = None,
    own: Crops | None = None,
) -> PretrainingMaterial:  # fmt: skip
    """Cut the crops of a run of stage 1 and make its key; arguments as in `run_pretraining`."""
    names = tuple(t.name for t in image_transformations(preset.transform_size))
    each, size = IMAGES_A_TRANSFORMATION[profile], preset.transform_size
    if own is not None:
        crops, dev = own.train, transformed_set(own.dev, size)
    elif size > CROP_SIZE:
        raise ValueError(
            f"preset {preset.name} transforms crops of {size}x{size} pixels, and the zoo's have "
            f"{CROP_SIZE}x{CROP_SIZE}: give photographs of your own with --photos"
        )
    else:
        crops = photograph_crops(preset.contents, "train", PRETRAINING_CROPS[profile], seed)
        dev = transformation_set("dev", size, each, contents=preset.contents)
    start = "" if start_from is None else network_digest(start_from)
    kept = keep(crops, np.zeros(len(crops))), keep(dev.images, dev.labels)
    return PretrainingMaterial(crops, dev, RunKey(preset, seed, names, start, *kept))


@ranks()
def run_pretraining(
    preset: Preset, *, profile: str = "pocket", seed: int = 0, folder: Path | None = None,
    start_from: DNADet | None = None, own: Crops | None = None,
) -> tuple[DNADet, list[dict[str, float]]]:  # fmt: skip
    """Stage 1: learn to tell the 170 transformations apart on train photographs.

    Args:
        preset: A pre-training preset; a ValueError refuses one of stage 2.
        profile: "pocket", or "smoke" for a few crops.
        seed: Of weights, crops and training.
        folder: For history, state and model; a run of the same key found there goes on, and a
            finished one is returned. An OtherRunError refuses another run.
        start_from: A pre-trained model to continue from.
        own: Crops of photographs of one's own (`own_photographs`), in place of the zoo's.

    Returns:
        The model with its best dev epoch's weights, and the history.
    """
    require_stage(preset, 1)
    crops, dev, key = pretraining_material(preset, profile, seed, start_from, own)
    run = RunFolder(folder, key) if folder else None
    if run is not None and run.is_finished():
        return run.finished()
    model = build_model(key.classes, preset, seed)
    if start_from is not None:
        model.load_state_dict(start_from.state_dict())

    def validate(candidate: DNADet) -> tuple[np.ndarray, np.ndarray]:
        return dev.labels, predict_transformations(candidate, dev)

    batches = TransformationBatches(crops, preset)
    keep_best = run.keep if run else None
    history = fit(model, batches, validate, preset, seed=seed, run_folder=run, keep=keep_best)
    if run is not None and is_first():
        run.finish(model)
    return model, history


def pretrained_model(name: str, seed: int = 0) -> DNADet:
    """Return what stage 1 makes by a preset and a seed.

    A checkpoint of seed 0 is read where it is shipped. Others are trained, which takes a quarter
    of an hour, in `build/checkpoints/NAME_seed_S`; a run found there goes on, and a finished one is
    read.
    """
    if seed == 0 and (Path(name).is_file() or shipped_file(name).is_file()):
        return load_model(name)
    folder = build_folder() / "checkpoints" / f"{name}_seed_{seed}"
    with locked(folder):
        print(f"stage 1: {name}, seed {seed}", file=sys.stderr, flush=True)
        run_pretraining(get_preset(name), seed=seed, folder=folder)
        return load_model(folder / "model.safetensors")
