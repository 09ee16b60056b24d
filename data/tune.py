"""Choose the settings of every rival and rung on the dev generators, with one training seed.

    python data/tune.py                # data/results/tuning.csv; rows that are there are kept
    python data/tune.py AttNet         # settings of the methods that are named

`dnadet_lib/methods.py` holds what did best; a test compares.
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
from sklearn.base import ClassifierMixin

from dnadet_lib.baselines import DCTCNN, AttNet, DCTRegression, ResidualCorrelation
from dnadet_lib.files import atomic_path
from dnadet_lib.fingerprints import DENOISERS
from dnadet_lib.methods import ladder
from dnadet_lib.paths import build_folder
from dnadet_lib.stages import training_data
from dnadet_lib.suite import Fit, Method, baseline, network, score_table
from dnadet_lib.zoo import render

TUNING = Path(__file__).resolve().parent / "results" / "tuning.csv"
SEED = 0
RATES = (3e-4, 1e-3, 3e-3)
FRONT_END = (False, True)


def grid(**options: tuple) -> list[dict[str, object]]:
    """List every combination of some options."""
    combinations = itertools.product(*options.values())
    return [dict(zip(options, values, strict=True)) for values in combinations]


RIVALS: dict[str, tuple[type[ClassifierMixin], list[dict[str, object]]]] = {
    "residual correlation": (ResidualCorrelation, grid(denoiser=tuple(DENOISERS))),
    "DCT regression": (DCTRegression, grid(high_pass=FRONT_END, C=(1e-4, 1e-3, 1e-2))),
    "DCT-CNN": (DCTCNN, grid(high_pass=FRONT_END, learning_rate=RATES)),
    "AttNet": (AttNet, grid(high_pass=FRONT_END, learning_rate=RATES, width=(8,))),
}


def candidates() -> dict[tuple[str, str], Fit]:
    """Name every method and setting, and how it is trained."""
    found = {
        (name, json.dumps(setting)): baseline(kind(**setting))
        for name, (kind, settings) in RIVALS.items()
        for setting in settings
    }
    for high_pass in FRONT_END:
        for name, (preset, pretrained) in ladder(high_pass).items():
            for rate in RATES[:2]:
                setting = json.dumps({"learning_rate": rate})
                found[name, setting] = network(replace(preset, learning_rate=rate), pretrained)
    return found


def tuning_row(method: str, setting: str, fit: Fit) -> dict[str, object]:
    """Train once and describe the setting by its accuracy on every dev generator."""
    train, dev = training_data()
    started = time.monotonic()
    folder = build_folder() / "tuning" / Method(f"{method} {setting}", fit).slug
    scores = score_table(fit(train, dev, SEED, folder), dev.with_classes(train.classes))
    each = (scores["truth"] == scores["predicted"]).groupby(scores["generator"]).mean().round(4)
    minutes = round((time.monotonic() - started) / 60, 1)
    figures = {"dev accuracy": round(each.mean(), 4), **each, "minutes": minutes}
    return {"method": method, "setting": setting, **figures}


def main() -> None:
    """Train what has no row yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("methods", nargs="*", help="default: all")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    render()
    rows = pd.read_csv(TUNING).to_dict("records") if TUNING.is_file() else []
    done = {(row["method"], row["setting"]) for row in rows}
    for (method, setting), fit in candidates().items():
        if (method, setting) in done or method not in (options.methods or [method]):
            continue
        rows.append(tuning_row(method, setting, fit))
        print(rows[-1], flush=True)
        with atomic_path(TUNING) as temporary:
            pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
