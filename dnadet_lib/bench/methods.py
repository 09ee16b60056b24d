"""The rows of the table: rivals, the ablation ladder with and without the front end, the preset.

The ladder goes from DNA-Det's backbone on whole images up to the whole method, one step per row.
Every rung is trained as the `rung` preset says, but for what its name says, and for settings that
did best on the dev generators (`data/results/tuning.csv`, made by `data/tune.py`). Beside it stand
a recipe that adds to it (*augmented*: whole images, mirrored and turned, and images of training
generators with noise on their weights) and the `pocket_plain` preset: a linear discriminant on the
pre-trained network. `pocket`, which is shipped, has also seen changed images.
"""

import json
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
from sklearn.base import ClassifierMixin

from dnadet_lib.bench.baselines import DCTRegression, ResidualCorrelation
from dnadet_lib.bench.networks import DCTCNN, AttNet
from dnadet_lib.bench.suite import Method, baseline, network
from dnadet_lib.plumbing.paths import data_folder
from dnadet_lib.presets import Preset, augmented, pocket, pocket_plain, rung

SHIPPED = "pocket"  # the row of the `pocket` preset
PLAIN = "pocket_plain"  # the same without changed images: leads are measured from it
Row = tuple[Preset, tuple[str, ...]]  # how a network is trained, and from which stage 1
PRETRAINED = {True: ("pocket_pretrain",), False: ("pocket_pretrain_raw",)}  # by front end
BOTH = ("pocket_pretrain_both",)
RIVALS: dict[str, Callable[..., ClassifierMixin]] = {
    "residual correlation": ResidualCorrelation, "DCT regression": DCTRegression, "DCT-CNN": DCTCNN,
    "AttNet": AttNet,
}  # fmt: skip
ONE_STAGE_1 = "pocket_plain, stage 1 on meadow"  # where the number of blocks is chosen
TIE = 0.01  # of dev accuracy
JITTERED_RIVAL = "DCT-CNN, jittered generators"  # it learns from what *augmented* learns from


def ladder(high_pass: bool) -> dict[str, Row]:
    """Name the rungs with or without the front end."""
    front = "high-pass" if high_pass else "raw"
    top = replace(rung, name=f"{front} all", input=replace(rung.input, high_pass=high_pass))
    contrast = replace(top, name=f"{front} contrast", learned_weights=False)
    patches = replace(contrast, name=f"{front} patches", contrast=False)
    whole = replace(
        patches, name=f"{front} whole", patches=0, input=replace(top.input, vote="whole")
    )
    spec = replace(top.input, resize=128, patch=64, vote="whole")
    enlarged = replace(top, name=f"{front} enlarged", patches=1, input=spec)  # as many pixels
    pretrained = PRETRAINED[high_pass]
    return {
        f"{front}, base": (whole, ()), f"{front}, + pre-training": (whole, pretrained),
        f"{front}, + patches": (patches, pretrained),
        f"{front}, + contrast": (contrast, pretrained), f"{front}, all": (top, pretrained),
        f"{front}, all, enlarged 2x": (enlarged, pretrained),
    }  # fmt: skip


def networks() -> dict[str, Row]:
    """Name every row that is a network of ours: ladders, the second softmax, the preset."""
    double = replace(rung, name="double softmax", double_softmax=True)
    upright = replace(pocket_plain, input=replace(pocket_plain.input, vote="patches"))
    meadow = PRETRAINED[True]
    return {
        **ladder(False),
        **ladder(True),
        "high-pass, all, double softmax": (double, meadow),
        "augmented": (augmented, meadow),
        ONE_STAGE_1: (pocket_plain, meadow),
        "pocket_plain, stage 1 on both contents": (pocket_plain, BOTH),
        "pocket_plain, no turned votes": (upright, meadow + BOTH),
        PLAIN: (pocket_plain, meadow + BOTH),
        SHIPPED: (pocket, meadow + BOTH),
    }


def make_method(name: str, settings: dict | None = None) -> Method:
    """Make a row of the table, by default with those settings that did best.

    Settings are of an estimator's constructor or a network's preset. A ValueError if there is no
    such row, a FileNotFoundError if its pre-trained checkpoint is missing.
    """
    settings = best_settings().get(tuned_as(name), {}) if settings is None else settings
    if name in RIVALS:
        return baseline(name, RIVALS[name](**settings))
    if name == JITTERED_RIVAL:
        return replace(baseline(name, DCTCNN(**settings)), jittered=True)
    rows = networks()
    if name not in rows:
        raise ValueError(f"row {name!r}: choose of {'; '.join(all_methods())}")
    preset, pretrained = rows[name]
    return network(name, replace(preset, **settings), pretrained)


def tuned_as(name: str) -> str:
    """Name the row whose settings a row takes: its own, or that of which it is a variant."""
    front, _, step = name.partition(", ")
    if step in ("all, enlarged 2x", "all, double softmax") or step.startswith("+ "):
        return f"{front}, all"
    if front in (PLAIN, SHIPPED):
        return ONE_STAGE_1
    return front if step == "jittered generators" else name


def all_methods() -> list[str]:
    """Name every row of the table, in order."""
    return [*RIVALS, JITTERED_RIVAL, *networks()]


def best_settings() -> dict[str, dict]:
    """Read which settings did best on the dev generators, by row.

    A row with several training seeds counts by their mean. Differences of less than a point are
    noise, so the first setting within a point of the best is taken.
    """
    path = data_folder() / "results" / "tuning.csv"
    if not path.is_file():
        return {}
    runs = pd.read_csv(path).groupby(["method", "setting"], sort=False)["dev accuracy"]
    table = runs.mean().reset_index()
    most = table.groupby("method")["dev accuracy"].transform("max")
    best = table[table["dev accuracy"] > most - TIE].drop_duplicates("method")
    return {row.method: json.loads(row.setting) for row in best.itertuples()}
