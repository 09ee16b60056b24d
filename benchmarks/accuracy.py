"""Accuracy on the dev generators, the library's training against the release's, in two tables.

    python benchmarks/accuracy.py                   # three seeds; goes on where it was stopped
    python benchmarks/accuracy.py --seeds 0 --times 2 --epochs 1 --learned 40    # a quick look

*Seconds until 0.90.* Both learn the pocket zoo's closed set. Ours is `pocket_plain`, which starts
from the shipped stage 1: solving it, with the features it needs, is all its training; a seed draws
the images it learns from. The release's is its loop (`benchmarks/release.py`) with the preset
`paper_celeba`, from random weights, since its stage 1 takes days here; a seed draws weights and
batches. Its clock stops while it is scored. It is given 12 times our seconds: what it has not
reached by then is a bound, "more than 12 times". What stage 1 costs is counted on neither side.

*After equal epochs.* Both loops train the same network from random weights with the same numbers
(`rung`, at a steady learning rate) on the same images, and the library scores both. They differ in
what makes the library's loop quick: one pass over all patches, memory layout, and bfloat16 where
the machine has it. Differences are paired by seed; their 95% interval is a t-interval over seeds.

Each seed is kept in `build/benchmarks/accuracy.json` as soon as it is done, and not run again
while settings and library stay the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import release
import torch

from dnadet_lib.bench.methods import STAGE_1
from dnadet_lib.data import ImageSet, origins, some_of_each
from dnadet_lib.evaluation.intervals import mean_interval
from dnadet_lib.evaluation.predictions import predict
from dnadet_lib.images.kept import ImageFiles
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.code_key import code_digest
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.presets import Preset, get_preset
from dnadet_lib.stages.batches import PatchBatches, balanced_batches
from dnadet_lib.stages.stage_1 import build_model, pretrained_model
from dnadet_lib.stages.stage_2 import dev_validation, run_training, training_data
from dnadet_lib.training import fit
from dnadet_lib.zoo.rendering import render

GOAL = 0.90  # mean accuracy over dev generators
SCORED = 10  # images of each dev generator, and of each content's photographs
SCORE_EVERY = 60.0  # seconds of the release's training
Figures = dict[str, float]


def dev_accuracy(named: np.ndarray, dev: ImageSet) -> float:
    """Average the accuracy over the dev generators and contents of photographs."""
    makers = origins(np.array(dev.sources))
    right = named == dev.labels
    return float(np.mean([right[makers == maker].mean() for maker in np.unique(makers)]))


def ours(train: ImageSet, dev: ImageSet, seed: int) -> tuple[float, float]:
    """Solve the discriminant: seconds, and accuracy on dev."""
    stage_1 = pretrained_model(STAGE_1)
    start = time.perf_counter()
    model, _ = run_training(get_preset("pocket_plain"), train, dev, pretrained=stage_1, seed=seed)
    seconds = time.perf_counter() - start
    return seconds, dev_accuracy(predict(model, dev).predicted, dev)


def released(
    train: ImageSet, dev: ImageSet, seed: int, budget: float
) -> Iterator[tuple[float, float]]:
    """Train as the release does; seconds so far and accuracy on dev, every minute."""
    preset = replace(get_preset("paper_celeba"), items=4)
    run, steps = release_steps(train, preset, seed)
    seconds, due = 0.0, SCORE_EVERY
    while seconds < budget:
        start = time.perf_counter()
        next(steps)
        seconds += time.perf_counter() - start
        if seconds >= min(due, budget):
            due = seconds + SCORE_EVERY
            yield seconds, dev_accuracy(np.array(release.evaluate(run.model, dev.paths)), dev)


def release_steps(
    train: ImageSet, preset: Preset, seed: int
) -> tuple[release.ReleaseRun, Iterator[None]]:
    """Start the release's loop; each step is taken when it is asked for, without an end."""
    torch.manual_seed(seed)
    model = DNADet(len(train.classes), preset.width, classes=train.classes, input=preset.input)
    run, rng = release.ReleaseRun.start(model, preset), np.random.default_rng(seed)
    paths = np.array(train.paths, dtype=object)

    def steps() -> Iterator[None]:
        while True:
            for index in balanced_batches(train.labels, preset.items, rng):
                corners = list(release.corners_of(len(index), preset, rng))
                views = release.labelled_views(paths[index], corners, preset)
                model.train()
                run.step(views, torch.from_numpy(train.labels[index]), preset)
                yield

    return run, steps()


def until_the_goal(
    train: ImageSet, part: ImageSet, dev: ImageSet, seed: int, times: float
) -> Figures:
    """Time both until the goal, the release's loop for so many times our seconds at most.

    Ours learns from a part of the images, the release's loop from all.
    """
    mine, accuracy = ours(part, dev, seed)
    theirs, best = 0.0, 0.0
    for theirs, score in released(train, dev, seed, times * mine):  # noqa: B007
        best = max(best, score)
        if score >= GOAL:
            break
    return {"ours": mine, "accuracy": accuracy, "release": theirs, "best": best}


def after_epochs(train: ImageSet, dev: ImageSet, seed: int, epochs: int) -> Figures:
    """Train by both loops for so many epochs; accuracy on dev of each, and its seconds."""
    preset = replace(get_preset("rung"), schedule="step", epochs=epochs, patience=epochs)
    start = time.perf_counter()
    model = build_model(train.classes, preset, seed)
    batches = PatchBatches(ImageFiles(train.paths), train.labels, preset)
    fit(model, batches, dev_validation(dev), preset, seed=seed)
    mine = time.perf_counter() - start
    run, steps = release_steps(train, preset, seed)
    for _ in range(epochs * batches.steps):
        next(steps)
    theirs = time.perf_counter() - start - mine
    accuracies = [dev_accuracy(predict(own, dev).predicted, dev) for own in (model, run.model)]
    return {"ours": accuracies[0], "release": accuracies[1], "our seconds": mine,
            "release seconds": theirs}  # fmt: skip


class Kept:
    """Figures by table and seed, on disk as soon as they are there."""

    def __init__(self, file: Path, settings: dict[str, object]) -> None:
        """Read those of the same settings and library, if there are any."""
        self.file, self.settings = file, {**settings, "code": code_digest(ours, fit)}
        found = json.loads(file.read_text()) if file.is_file() else {}
        self.found = found if found.get("settings") == self.settings else {}

    def get(self, table: str, seed: int, make: Callable[[], Figures]) -> Figures:
        """Return the figures of a seed, which are made unless they are there."""
        rows = self.found.setdefault(table, {})
        if str(seed) not in rows:
            rows[str(seed)] = make()
            with atomic_path(self.file) as temporary:
                content = {"settings": self.settings, **self.found}
                temporary.write_text(json.dumps(content, indent=1))
        return rows[str(seed)]


def time_row(seed: int, found: Figures) -> str:
    """Write the seconds of a seed as a line of the table."""
    sign = "" if found["best"] >= GOAL else "more than "
    ratio = f"{sign}{found['release'] / found['ours']:.1f}"
    if found["accuracy"] < GOAL:
        ratio = "ours does not reach it"
    return (f"| {seed} | {found['ours']:.1f} | {found['accuracy']:.3f} | "
            f"{sign}{found['release']:.0f} | {found['best']:.3f} | {ratio} |")  # fmt: skip


def print_times(kept: Kept, train: ImageSet, parts: dict[int, ImageSet], dev: ImageSet,
                times: float) -> None:  # fmt: skip
    """Run what is not kept yet of the first table, and print it."""
    print(f"Seconds until {GOAL} of {len(dev)} dev images are named, mean over generators\n")
    print("| seed | ours | accuracy | release | best accuracy | times |\n" + 6 * "|---" + "|")
    for seed, part in parts.items():

        def make(seed: int = seed, part: ImageSet = part) -> Figures:
            return until_the_goal(train, part, dev, seed, times)

        print(time_row(seed, kept.get("time", seed, make)), flush=True)


def print_accuracies(
    kept: Kept, parts: dict[int, ImageSet], dev: ImageSet, epochs: int
) -> None:
    """Run what is not kept yet of the second table, and print it."""
    print(f"\nAccuracy on the same images after {epochs} epochs\n")
    print("| seed | ours | release | difference | our seconds | release's |\n" + 6 * "|---" + "|")
    differences = []
    for seed, part in parts.items():

        def make(seed: int = seed, part: ImageSet = part) -> Figures:
            return after_epochs(part, dev, seed, epochs)

        found = kept.get("epochs", seed, make)
        differences.append(found["ours"] - found["release"])
        figures = f"{found['ours']:.3f} | {found['release']:.3f} | {differences[-1]:+.3f}"
        seconds = f"{found['our seconds']:.0f} | {found['release seconds']:.0f}"
        print(f"| {seed} | {figures} | {seconds} |", flush=True)
    mean, low, high = mean_interval(differences)
    print(f"\nOurs less the release's: {mean:+.3f} [{low:+.3f}, {high:+.3f}]")


def main() -> None:
    """Print a row per seed in each table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--times", type=float, default=12, help="our seconds, for the release's")
    parser.add_argument("--epochs", type=int, default=10, help="of the second table")
    parser.add_argument("--learned", type=int, default=500, help="images of a class")
    options = parser.parse_args()
    render()
    settings = {name: getattr(options, name) for name in ("times", "epochs", "learned")}
    kept = Kept(build_folder() / "benchmarks" / "accuracy.json", settings)
    train, dev = training_data()
    makers = np.unique(origins(np.array(dev.sources)), return_inverse=True)[1]
    dev = dev.take(some_of_each(makers, SCORED))
    parts = {
        seed: train.take(some_of_each(train.labels, options.learned, seed))
        for seed in options.seeds
    }
    print_times(kept, train, parts, dev, options.times)
    print_accuracies(kept, parts, dev, options.epochs)


if __name__ == "__main__":
    main()
