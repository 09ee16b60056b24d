"""Choose the settings of every rival and rung on the dev generators.

    python data/tune.py                # data/results/tuning.csv; rows of the same images are kept
    python data/tune.py AttNet         # the methods that are named

Delete the rows of a method whose code has changed: only images are compared. Their number is said.

One training seed a setting; three where stage 1 is all that is trained, whose seed moves the result
by points. What is trained lies where `dnadet suite` looks for it.
`dnadet_lib/bench/methods.py` takes of every method the settings that did best; the pre-trained
rungs share those of the top one, and `pocket` those of `pocket_plain`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from dnadet_lib.bench.methods import (
    PLAIN,
    RAW_STAGE_1,
    STAGE_1,
    make_method,
    networks,
    tuned_as,
)
from dnadet_lib.bench.suite import Method, images_digest, network, rows_digest, score_table
from dnadet_lib.bench.tables import generator_table
from dnadet_lib.data import ImageSet
from dnadet_lib.fingerprints.residual import DENOISERS
from dnadet_lib.plumbing.files import atomic_path, locked
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.presets import pocket_plain, rung
from dnadet_lib.stages.stage_2 import training_data
from dnadet_lib.zoo.rendering import render

TUNING = Path(__file__).resolve().parent / "results" / "tuning.csv"
RATES = (3e-4, 1e-3)
FRONT_END = (False, True)


def grid(**options: tuple) -> list[dict[str, object]]:
    """List every combination of some options."""
    combinations = itertools.product(*options.values())
    return [dict(zip(options, values, strict=True)) for values in combinations]


GRIDS = {
    "residual correlation": grid(denoiser=tuple(DENOISERS)),
    "DCT regression": grid(high_pass=FRONT_END, C=(1e-4, 1e-3)),
    "DCT-CNN": grid(high_pass=FRONT_END, learning_rate=RATES),
    "AttNet": grid(high_pass=(True,), learning_rate=RATES, width=(8,), epochs=(4,)),
    **{name: grid(learning_rate=RATES) for name in networks() if tuned_as(name) == name},
    PLAIN: grid(discriminant=(3, 4, 5, 6)),
}
SEEDS = {PLAIN: (0, 1, 2)}  # others: (0,)
RAW = replace(pocket_plain, input=replace(pocket_plain.input, high_pass=False))
UPRIGHT = replace(pocket_plain, input=replace(pocket_plain.input, vote="patches"))
CANDIDATES = {  # what else might have become the pocket_plain preset
    "pocket_plain, raw": (RAW, RAW_STAGE_1),
    "pocket_plain, no turned votes": (UPRIGHT, STAGE_1),
    "double softmax": (replace(rung, name="double softmax", double_softmax=True), STAGE_1),
}


def tuned_method(name: str, settings: dict) -> Method:
    """Make a row of the table, or a candidate, with some settings."""
    if name in CANDIDATES:
        return network(name, *CANDIDATES[name])
    return make_method(name, settings)


def measure_on_dev(
    name: str, settings: dict, seed: int, train: ImageSet, dev: ImageSet
) -> dict[str, object]:
    """Train once and measure the accuracy on every dev generator."""
    started = time.monotonic()
    method = tuned_method(name, settings)
    work = build_folder() / "suite" / "pocket" / method.seed_folder(rows_digest(train, dev), seed)
    with locked(work):
        classify = method.fit(train, dev, seed, work)
    scores = score_table(classify, dev.with_classes(train.classes))
    table = generator_table(scores.assign(method=name, setup="dev", seed=seed))
    each = table.loc[name, "dev"][seed].round(4)
    minutes = round((time.monotonic() - started) / 60, 1)
    return {"dev accuracy": round(each.mean(), 4), **each, "minutes": minutes}


def known_rows(images: str) -> list[dict[str, object]]:
    """Read the rows that are there and of these images."""
    rows = pd.read_csv(TUNING).to_dict("records") if TUNING.is_file() else []
    return [row for row in rows if row["images"] == images[:8]]


def add_row(row: dict[str, object]) -> None:
    """Append a row, and drop those of other images; two tuners may do so."""
    with locked(build_folder() / "tuning"), atomic_path(TUNING) as temporary:
        pd.DataFrame([*known_rows(str(row["images"])), row]).to_csv(temporary, index=False)


def main() -> None:
    """Train what has no row yet on these images."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("methods", nargs="*", help="default: all")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    options = parser.parse_args()
    grids = GRIDS | dict.fromkeys(CANDIDATES, [{}])
    if odd := [name for name in options.methods if name not in grids]:
        parser.error(f"{odd[0]!r}: choose of {'; '.join(grids)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    render()
    train, dev = training_data()
    images = images_digest(train, dev)
    print(f"{TUNING}: {len(known_rows(images))} rows of these images are kept", flush=True)
    for name in options.methods or grids:
        for settings, seed in itertools.product(grids[name], SEEDS.get(name, (0,))):
            run = {"method": name, "setting": json.dumps(settings, allow_nan=False), "seed": seed}
            if any(run.items() <= row.items() for row in known_rows(images)):
                continue
            row = run | {"images": images[:8]} | measure_on_dev(name, settings, seed, train, dev)
            print(row, flush=True)
            add_row(row)


if __name__ == "__main__":
    main()
