"""Train the shipped checkpoints.

    python data/train_checkpoints.py pretrain      # data/checkpoints/pocket_pretrain.safetensors
    python data/train_checkpoints.py pretrain_raw  # the same without the high-pass front end
    python data/train_checkpoints.py train         # pocket_plain.safetensors and whole_raw...
    python data/train_checkpoints.py pocket        # pocket.safetensors, on the same stage 1
    python data/train_checkpoints.py               # all of it; then data/make_cards.py

Runs resume from `build/checkpoints/NAME/`. `data/tune.py` compares presets on dev generators.
"""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from pathlib import Path

import torch

from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.files import atomic_path, claimed_folder
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.presets import (
    Preset,
    pocket,
    pocket_plain,
    pocket_pretrain,
    pocket_pretrain_raw,
    whole_raw,
)
from dnadet_lib.stages.stage_1 import run_pretraining
from dnadet_lib.stages.stage_2 import run_training, training_data
from dnadet_lib.zoo.rendering import render

CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"
PRETRAIN_SEED, TRAIN_SEED = 0, 0


def pretrain(preset: Preset) -> None:
    """Train stage 1 and ship it."""
    folder = build_folder() / "checkpoints" / preset.name
    with claimed_folder(folder):
        run_pretraining(preset, seed=PRETRAIN_SEED, folder=folder)
        ship(folder, preset.name)


def ship(folder: Path, name: str) -> None:
    """Copy a trained model and its history into the repository."""
    CHECKPOINTS.mkdir(exist_ok=True)
    for source, target in (("model.safetensors", ".safetensors"), ("history.csv", ".history.csv")):
        with atomic_path(CHECKPOINTS / f"{name}{target}") as temporary:
            shutil.copyfile(folder / source, temporary)


def train() -> None:
    """Train stage 2 without changed images and the baseline, and ship both."""
    train_and_ship(pocket_plain, load_model(pocket_pretrain.name))
    train_and_ship(whole_raw, None)


def train_and_ship(preset: Preset, pretrained: DNADet | None) -> None:
    """Train a preset of stage 2 on the zoo and ship it."""
    render()
    train_set, dev = training_data()
    folder = build_folder() / "checkpoints" / preset.name
    with claimed_folder(folder):
        run_training(
            preset, train_set, dev, pretrained=pretrained, seed=TRAIN_SEED, folder=folder
        )
        ship(folder, preset.name)


def main() -> None:
    """Run one step or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    steps = {
        "pretrain": partial(pretrain, pocket_pretrain),
        "pretrain_raw": partial(pretrain, pocket_pretrain_raw),
        "train": train,
        "pocket": lambda: train_and_ship(pocket, load_model(pocket_pretrain.name)),
    }
    parser.add_argument("steps", nargs="*", choices=[*steps, []], help="default: all in order")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in options.steps or steps:
        steps[name]()


if __name__ == "__main__":
    main()
