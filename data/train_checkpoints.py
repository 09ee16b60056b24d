"""Train the shipped checkpoints, and the comparison on dev generators that chose the preset.

    python data/train_checkpoints.py pretrain     # data/checkpoints/pocket_pretrain.safetensors
    python data/train_checkpoints.py compare      # data/checkpoints/comparison.csv, dev only
    python data/train_checkpoints.py train        # pocket.safetensors and whole_raw.safetensors
    python data/train_checkpoints.py cards        # the model cards, from the files above
    python data/train_checkpoints.py              # all of it

Runs resume from `build/checkpoints/NAME/`; the comparison keeps the rows that it has.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import time
from dataclasses import replace
from pathlib import Path

import torch

from dnadet_lib import stages
from dnadet_lib.evaluation import predict, setup_accuracy, summarise, generator_accuracies
from dnadet_lib.files import atomic_path
from dnadet_lib.model import DNADet, InputSpec, load_model
from dnadet_lib.paths import build_folder
from dnadet_lib.presets import Preset, get_preset, pocket, pocket_pretrain, whole_raw
from dnadet_lib.zoo import available_setups, load_setup, render

CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"
PRETRAIN_SEED, TRAIN_SEED = 0, 0
COMPARED_SEEDS = (0,)
COMPARED_EPOCHS = 4  # half of the preset's


def pretrain(preset: Preset = pocket_pretrain) -> None:
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
    short = replace(pocket, epochs=COMPARED_EPOCHS)
    whole = replace(short, patches=0, input=replace(pocket.input, vote="whole"))
    enlarged = replace(short, patches=2, input=replace(pocket.input, resize=128, patch=64))
    return {
        "patches of 32, contrast, pre-trained": (short, True),
        "not pre-trained": (short, False),
        "no contrast": (replace(short, contrast=False), True),
        "no contrast, not pre-trained": (replace(short, contrast=False), False),
        "whole image, no contrast": (replace(whole, contrast=False), True),
        "two patches of 64 at 2x": (enlarged, True),
        "whole raw image, no contrast, not pre-trained": (replace(whole_raw, epochs=4), False),
    }


def compare() -> None:
    """Train every candidate and write its dev accuracy; rows that stand are kept."""
    path = CHECKPOINTS / "comparison.csv"
    rows: list[dict[str, str]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    render()
    done = {(row["variant"], row["seed"]) for row in rows}
    train_set, dev = stages.training_data()
    for seed in COMPARED_SEEDS:
        for name, (preset, warm) in candidates().items():
            if (name, str(seed)) in done:
                continue
            started = time.monotonic()
            pretrained = load_model("pocket_pretrain") if warm else None
            model, _ = stages.run_training(preset, train_set, dev, pretrained=pretrained, seed=seed)
            rows.append(dev_row(model, dev, name, seed, time.monotonic() - started))
            print(rows[-1], flush=True)
            with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


def dev_row(model: DNADet, dev, name: str, seed: int, seconds: float) -> dict[str, str]:
    """Describe a candidate by its accuracy on every dev generator."""
    each = generator_accuracies(predict(model, dev))
    return {
        "variant": name,
        "seed": str(seed),
        "dev accuracy": f"{setup_accuracy(each.values()).value:.4f}",
        **{source: f"{interval.value:.4f}" for source, interval in each.items()},
        "minutes": f"{seconds / 60:.1f}",
    }


def train() -> None:
    """Train stage 2 and the baseline, and ship both."""
    render()
    train_set, dev = stages.training_data()
    for preset, pretrained in ((pocket, load_model("pocket_pretrain")), (whole_raw, None)):
        folder = build_folder() / "checkpoints" / preset.name
        stages.run_training(
            preset, train_set, dev, pretrained=pretrained, seed=TRAIN_SEED, folder=folder
        )
        ship(folder, preset.name)


def main() -> None:
    """Run one step or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    steps = {"pretrain": pretrain, "compare": compare, "train": train}
    parser.add_argument("steps", nargs="*", choices=[*steps, []], help="default: all in order")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in options.steps or steps:
        steps[name]()


if __name__ == "__main__":
    main()
