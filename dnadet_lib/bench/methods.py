"""The rows of the table: rivals, the ablation ladder, the published method, the preset.

The ladder goes from DNA-Det's backbone on whole images behind the high-pass front end up to the
whole method, one step per row. Beside it stand the backbone and the whole method on raw pixels, as
published, and `pocket_plain`: a linear discriminant on the pre-trained network. `pocket`, which is
shipped, has also seen changed images. Every network is trained as its preset says, but for
settings that did best on the dev generators (`data/results/tuning.csv`, made by `data/tune.py`).
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
from dnadet_lib.presets import Preset, pocket, pocket_plain, rung

SHIPPED = "pocket"  # the row of the `pocket` preset
PLAIN = "pocket_plain"  # the same without changed images: leads are measured from it
TOP = "high-pass, all"  # of the ladder
Row = tuple[Preset, str | None]  # how a network is trained, and from which stage 1
STAGE_1, RAW_STAGE_1 = "pocket_pretrain", "pocket_pretrain_raw"
RIVALS: dict[str, Callable[..., ClassifierMixin]] = {
    "residual correlation": ResidualCorrelation, "DCT regression": DCTRegression, "DCT-CNN": DCTCNN,
    "AttNet": AttNet,
}  # fmt: skip
TIE = 0.01  # of dev accuracy


def ladder(high_pass: bool) -> dict[str, Row]:
    """Name the rungs, each with one thing more than the one before; on raw pixels the ends alone.

    The last one adds the contrastive loss, with learned loss weights.
    """
    front, stage_1 = ("high-pass", STAGE_1) if high_pass else ("raw", RAW_STAGE_1)
    spec = replace(rung.input, high_pass=high_pass)
    top = replace(rung, name=f"{front} all", input=spec)
    patches = replace(top, name=f"{front} patches", contrast=False, learned_weights=False)
    whole = replace(
        patches, name=f"{front} whole", patches=0, input=replace(spec, vote="whole")
    )
    rungs: dict[str, Row] = {
        f"{front}, base": (whole, None), f"{front}, + pre-training": (whole, stage_1),
        f"{front}, + patches": (patches, stage_1), f"{front}, all": (top, stage_1),
    }  # fmt: skip
    ends = f"{front}, base", f"{front}, all"
    return rungs if high_pass else {name: rungs[name] for name in ends}


def networks() -> dict[str, Row]:
    """Name every row that is a network of ours: both ladders and the presets."""
    own: dict[str, Row] = {PLAIN: (pocket_plain, STAGE_1), SHIPPED: (pocket, STAGE_1)}
    return {**ladder(False), **ladder(True), **own}


def make_method(name: str, settings: dict | None = None) -> Method:
    """Make a row of the table, by default with those settings that did best.

    Settings are of an estimator's constructor or a network's preset. A ValueError if there is no
    such row, a FileNotFoundError if its pre-trained checkpoint is missing.
    """
    settings = best_settings().get(tuned_as(name), {}) if settings is None else settings
    if name in RIVALS:
        return baseline(name, RIVALS[name](**settings))
    rows = networks()
    if name not in rows:
        raise ValueError(f"row {name!r}: choose of {'; '.join(all_methods())}")
    preset, pretrained = rows[name]
    return network(name, replace(preset, **settings), pretrained)


def tuned_as(name: str) -> str:
    """Name the row whose settings a row takes: its own, or the top one's if it is pre-trained."""
    if name in (PLAIN, SHIPPED):
        return PLAIN
    front, _, step = name.partition(", ")
    return f"{front}, all" if step.startswith("+ ") else name


def all_methods() -> list[str]:
    """Name every row of the table, in order."""
    return [*RIVALS, *networks()]


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
