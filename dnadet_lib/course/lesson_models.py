"""The models that lessons train, and hand on to later lessons."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from dnadet_lib import presets
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.course.lessons import Lesson, LessonError
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.paths import data_folder
from dnadet_lib.presets import Preset
from dnadet_lib.stages.checks import training_key
from dnadet_lib.stages.folder import HISTORY, MODEL, STATE, made_by
from dnadet_lib.stages.key import RunKey, keep
from dnadet_lib.stages.stage_1 import pretraining_material, run_pretraining
from dnadet_lib.stages.stage_2 import run_training, training_data

DEFAULT_MODELS = ("pocket", "whole_raw")  # profile smoke may put a tiny model in their place


# What is trained, by profile ---------------------------------------------------------------------


def pretraining_preset(profile: str) -> Preset:
    """Return the preset of a short continuation of stage 1: few steps, small learning rate."""
    if profile == "smoke":
        return presets.smoke_pretrain
    return replace(
        presets.pocket_pretrain,
        name="pocket_pretrain_continued",
        epochs=3,
        steps_per_epoch=50,
        learning_rate=1e-4,
    )


def training_preset(profile: str) -> Preset:
    """Return the preset of stage 2 as the paper has it: patches and the contrastive loss.

    The two passes of the table's rows are cut into six epochs, so that curves have points.
    """
    if profile == "smoke":
        return presets.smoke
    return replace(presets.rung, name="rung_in_six", epochs=6, steps_per_epoch=15)


def discriminant_preset(profile: str) -> Preset:
    """Return a preset for a discriminant on frozen channels, solved on images as they are."""
    plain = presets.pocket_plain
    return replace(plain, width=presets.smoke.width if profile == "smoke" else plain.width)


def baseline_preset(profile: str) -> Preset:
    """Return the preset of the baseline: whole raw images, cross-entropy alone."""
    if profile != "smoke":
        return presets.whole_raw
    raw = presets.whole_raw
    return replace(presets.smoke, name="smoke_raw", input=raw.input, patches=0, contrast=False)


def fresh(folder: Path) -> Path:
    """Return a run's folder, made if need be, without an earlier run's state and model.

    Raises:
        LessonError: what stands in the state's place is none of a training run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / STATE
    if state.exists() and not _is_training_state(state):
        raise LessonError(f"{state}: is no state of a training run. Move it elsewhere.")
    for name in (STATE, MODEL, HISTORY):
        (folder / name).unlink(missing_ok=True)
    return folder


def _is_training_state(file: Path) -> bool:
    try:
        return "history" in torch.load(file, weights_only=True, map_location="cpu")
    except Exception:  # on bytes of another kind torch's unpickler can raise anything
        return False


# Models that lessons hand on ---------------------------------------------------------------------


def shipped(name: str) -> DNADet:
    """Load a checkpoint that comes with the data, or a file.

    Raises:
        LessonError: there is none; the message says what to type.
    """
    try:
        return load_model(name)
    except (FileNotFoundError, ValueError) as error:
        raise LessonError(
            f"{error}\nIn the parameters cell, model names a checkpoint. To get the shipped ones "
            "back, type:\n    git checkout -- data/checkpoints\nWithout any, set profile = "
            '"smoke": there the lesson trains a tiny model in seconds.'
        ) from error


def shipped_or_tiny(lesson: Lesson, name: str = "pocket") -> tuple[DNADet, str]:
    """Return the shipped checkpoint; at profile smoke, if there is none, a tiny one."""
    if lesson.profile == "smoke" and name in DEFAULT_MODELS and not _is_shipped(name):
        return _tiny(lesson, "detector", presets.smoke, stage_one(lesson)[0])
    return shipped(name), f"shipped checkpoint {name}"


def _is_shipped(name: str) -> bool:
    return Path(name).is_file() or (data_folder() / "checkpoints" / f"{name}.safetensors").is_file()


def stage_one(lesson: Lesson, name: str = "pocket") -> tuple[DNADet, str]:
    """Return the pre-trained model, and where it comes from.

    Profile pocket: the shipped `NAME_pretrain`. Profile smoke: a tiny one trained in seconds.
    """
    if lesson.profile != "smoke":
        return shipped(f"{name}_pretrain"), f"shipped checkpoint {name}_pretrain"
    file, preset = lesson.folder / "stage1.safetensors", presets.smoke_pretrain
    material = pretraining_material(preset, "smoke", lesson.seed)
    if not _is_of(file, material.key.parts):
        print("Training a tiny stage 1, which profile smoke needs ...", flush=True)
        model, _ = run_pretraining(preset, profile="smoke", seed=lesson.seed)
        _save(model, file, material.key)
    return load_model(file), "tiny stage 1 of profile smoke"


def _is_of(file: Path, wanted: dict[str, str]) -> bool:
    """Whether a model file was made by a run with these parts of a key."""
    try:
        made = made_by(file) if file.is_file() else None
    except ValueError:  # cut short: it is made anew
        made = None
    return made is not None and wanted.items() <= made.items()


def _save(model: DNADet, file: Path, key: RunKey) -> None:
    save_model(model, file, preset=key.preset.name, seed=key.seed, run=key.parts)


def _is_left_by(lesson: Lesson, file: Path, number: str) -> bool:
    """Whether an earlier lesson left a model that was trained with this seed on these images.

    If it left another, that is said. Its preset is the student's to choose.
    """
    if not file.is_file():
        return False
    train, _ = training_data(lesson.root)
    kept = keep(map(read_image, train.paths), train.labels).short()
    if _is_of(file, {**kept, "seed": str(lesson.seed)}):
        return True
    print(f"The model that lesson {number} left is of another seed or other images, and is not "
          f"used: run lesson {number} again to have one of seed {lesson.seed}.")  # fmt: skip
    return False


def stage_two(lesson: Lesson, name: str = "pocket") -> tuple[DNADet, str]:
    """Return the model of stage 2, and where it comes from.

    The one that lesson 03 trained with this seed on these images, if it is there and no other was
    named; else the shipped one; at profile smoke, where none is there, a tiny one trained in
    seconds.
    """
    file = lesson.folder / "stage2" / "model.safetensors"
    if name == "pocket" and _is_left_by(lesson, file, "03"):
        return load_model(file), "trained in lesson 03"
    if lesson.profile != "smoke" or name not in DEFAULT_MODELS:
        return shipped(name), f"shipped checkpoint {name}"
    return _tiny(lesson, "detector", presets.smoke, stage_one(lesson)[0])


def name_of(model: DNADet) -> str:
    """Name a model by its method: stage 1 with Fisher's discriminant, or DNA-Det.

    The published method has no high-pass front end, so the name says where a model has one.
    """
    if model.discriminant:
        return "stage 1 + Fisher"
    return "DNA-Det + high-pass" if model.input.high_pass else "DNA-Det"


def description(model: DNADet, origin: str, side: int) -> str:
    """Say how a model was made, and how it sees an image of `side` pixels; a line each."""
    how = model.input
    second = "Fisher's discriminant" if model.discriminant else "training by descent"
    cut = how.vote != "whole" and how.patch < (how.resize or side)
    size = f"resized to {how.resize} pixels" if how.resize else "not resized"
    parts = f"in patches of {how.patch} pixels" if cut else "whole"
    turned = ", in four rotated copies" if how.vote == "turned" else ""
    return (
        f"{origin}; second stage: {second}; high-pass filter: {how.high_pass}.\n"
        f"Images of {side} pixels are {size}, and seen {parts}{turned}."
    )


def whole_raw(lesson: Lesson) -> tuple[DNADet, str]:
    """Return the baseline, the same backbone on whole raw images, and where it comes from.

    The one that lesson 04 trained with this seed on these images, if it is there; else the shipped
    one, or at profile smoke a tiny one trained in seconds.
    """
    file = lesson.folder / "whole_raw" / "model.safetensors"
    if _is_left_by(lesson, file, "04"):
        return load_model(file), "trained in lesson 04"
    if lesson.profile == "smoke":
        return _tiny(lesson, "whole_raw", baseline_preset("smoke"), None)
    return shipped("whole_raw"), "shipped checkpoint whole_raw"


def _tiny(
    lesson: Lesson, name: str, preset: Preset, pretrained: DNADet | None
) -> tuple[DNADet, str]:
    file = lesson.folder / f"{name}.safetensors"
    train, dev = training_data(lesson.root)
    key = training_key(preset, train, dev, pretrained=pretrained, seed=lesson.seed)
    if not _is_of(file, key.parts):
        print(f"Training a tiny {name}, which profile smoke needs ...", flush=True)
        model, _ = run_training(
            preset, train, dev, pretrained=pretrained, seed=lesson.seed
        )
        _save(model, file, key)
    return load_model(file), f"tiny {name} of profile smoke"
