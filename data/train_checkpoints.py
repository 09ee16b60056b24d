"""Train the shipped checkpoints, and the comparison on dev generators that chose the preset.

    python data/train_checkpoints.py pretrain      # data/checkpoints/pocket_pretrain.safetensors
    python data/train_checkpoints.py pretrain_raw  # the same without the high-pass front end
    python data/train_checkpoints.py compare       # data/checkpoints/comparison.csv, dev only
    python data/train_checkpoints.py train         # pocket.safetensors and whole_raw.safetensors
    python data/train_checkpoints.py               # all of it; then data/make_cards.py

Runs resume from `build/checkpoints/NAME/`; the comparison keeps the rows that it has.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from dnadet_lib import stages
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation import generator_accuracies, predict, setup_accuracy
from dnadet_lib.files import atomic_path
from dnadet_lib.model import DNADet, load_model
from dnadet_lib.paths import build_folder
from dnadet_lib.presets import Preset, pocket, pocket_pretrain, pocket_pretrain_raw, whole_raw
from dnadet_lib.zoo import render

CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"
PRETRAIN_SEED, TRAIN_SEED = 0, 0


def pretrain(preset: Preset) -> None:
    """Train stage 1 and ship it."""
    folder = build_folder() / "checkpoints" / preset.name
    stages.run_pretraining(preset, seed=PRETRAIN_SEED, folder=folder)
    ship(folder, preset.name)


def ship(folder: Path, name: str) -> None:
    """Copy a trained model and its history into the repository."""
    CHECKPOINTS.mkdir(exist_ok=True)
    for source, target in (("model.safetensors", ".safetensors"), ("history.csv", ".history.csv")):
        with atomic_path(CHECKPOINTS / f"{name}{target}") as temporary:
            shutil.copyfile(folder / source, temporary)


def candidates() -> dict[str, tuple[Preset, bool]]:
    """Name the stage 2 variants that are compared on dev: preset, and whether pre-trained."""
    whole = replace(pocket, patches=0, contrast=False, input=replace(pocket.input, vote="whole"))
    enlarged = replace(pocket, patches=1, input=replace(pocket.input, resize=128, patch=64))
    return {
        "pocket": (pocket, True),
        "whole_raw": (whole_raw, False),
        "pocket, not pre-trained": (pocket, False),
        "pocket, learning rate 1e-3": (replace(pocket, learning_rate=1e-3), True),
        "pocket, no contrast": (replace(pocket, contrast=False), True),
        "whole images, high-pass, no contrast": (whole, True),
        "one patch of 64 at 2x": (enlarged, True),
    }


def compare() -> None:
    """Train every candidate and write its dev accuracy; rows that stand are kept."""
    path = CHECKPOINTS / "comparison.csv"
    rows: list[dict[str, str]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    render()
    done = {row["variant"] for row in rows}
    train_set, dev = stages.training_data()
    for name, (preset, warm) in candidates().items():
        if name in done:
            continue
        started = time.monotonic()
        model, _ = stages.run_training(
            preset,
            train_set,
            dev,
            pretrained=load_model("pocket_pretrain") if warm else None,
            seed=TRAIN_SEED,
            folder=build_folder() / "checkpoints" / name.replace(", ", "-").replace(" ", "_"),
        )
        rows.append(dev_row(model, dev, name, time.monotonic() - started))
        print(rows[-1], flush=True)
        with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def dev_row(model: DNADet, dev: ImageSet, name: str, seconds: float) -> dict[str, str]:
    """Describe a candidate by its accuracy on every dev generator."""
    each = generator_accuracies(predict(model, dev))
    return {
        "variant": name,
        "seed": str(TRAIN_SEED),
        "dev accuracy": f"{setup_accuracy(each.values()).value:.4f}",
        **{source: f"{interval.value:.4f}" for source, interval in each.items()},
        "minutes": f"{seconds / 60:.1f}",
    }


def train() -> None:
    """Train stage 2 and the baseline, unless the comparison did, and ship both."""
    render()
    for preset, pretrained in ((pocket, load_model("pocket_pretrain")), (whole_raw, None)):
        train_set, dev = stages.training_data(jittered=preset.jittered)
        folder = build_folder() / "checkpoints" / preset.name
        stages.run_training(
            preset, train_set, dev, pretrained=pretrained, seed=TRAIN_SEED, folder=folder
        )
        ship(folder, preset.name)


def main() -> None:
    """Run one step or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    steps = {
        "pretrain": partial(pretrain, pocket_pretrain),
        "pretrain_raw": partial(pretrain, pocket_pretrain_raw),
        "compare": compare,
        "train": train,
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
