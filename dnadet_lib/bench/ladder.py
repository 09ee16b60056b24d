"""The ablation ladder, read from the figures of the suite: what each step gains."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dnadet_lib.bench.methods import ladder
from dnadet_lib.bench.tables import CROSS, MEAN
from dnadet_lib.evaluation.intervals import Figures, mean_of_setups
from dnadet_lib.evaluation.results import Row

FRONTS = {"raw pixels": False, "high-pass front end": True}
JOINT = "\u00a0"  # a space at which no line breaks


def read_rows(folder: Path) -> list[Row]:
    """Read `results.json` of a suite's folder; a ValueError if it is something else."""
    path = folder / "results.json"
    try:
        return [_row(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["rows"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a results.json as the suite writes it ({error})") from error


def _row(entry: dict[str, Any]) -> Row:
    ends = {k: float("nan") if entry[k] is None else entry[k] for k in ("value", "low", "high")}
    return Row(**(entry | ends))


def read_accuracies(folder: Path) -> pd.DataFrame:
    """Read `accuracy.csv` of a suite's folder; a ValueError if columns are missing."""
    path = folder / "accuracy.csv"
    table = pd.read_csv(path)
    keys = ["method", "setup", "generator"]
    if not set(keys) <= set(table.columns):
        raise ValueError(f"{path}: columns {', '.join(table.columns)}; expected {', '.join(keys)}")
    return table.set_index(keys)


def rungs(methods: Sequence[str]) -> dict[str, list[str]]:
    """Name the rungs that were measured, from the first up, by front end."""
    found = {front: [n for n in ladder(on) if n in methods] for front, on in FRONTS.items()}
    return {front: names for front, names in found.items() if names}


def step_of(rung: str) -> str:
    """Name a rung without its front end."""
    return rung.split(", ", 1)[1]


def seeds_of(table: pd.DataFrame, method: str) -> int:
    """Count the training seeds that a method was measured with in full."""
    return table.loc[method].dropna(axis=1).shape[1]


def overview(rows: Sequence[Row], table: pd.DataFrame) -> pd.DataFrame:
    """Lay out accuracies, a line per method: of each set-up, the last one's interval, and seeds.

    Args:
        rows: Of the suite.
        table: As `tables.generator_table` makes it.
    """
    found = {(r.method, r.setup): r for r in rows if r.metric == "accuracy"}
    shown = pd.DataFrame({key: [row.value] for key, row in found.items()}).T[0].unstack(sort=False)
    ends = [found[method, shown.columns[-1]] for method in shown.index]
    shown["its interval"] = [f"{row.low:.2f}{JOINT}to{JOINT}{row.high:.2f}" for row in ends]
    shown["seeds"] = [seeds_of(table, method) for method in shown.index]
    return shown


def told(value: float, low: float, high: float) -> str:
    """Write a gain with its interval, so that a table does not break it into lines."""
    return f"{value:+.2f}{JOINT}[{low:+.2f},{JOINT}{high:+.2f}]"


def gain(table: pd.DataFrame, lower: str, upper: str, setups: Sequence[str] = CROSS) -> Figures:
    """Mean of upper minus lower, and its 95% interval over generators and training seeds.

    Paired: the difference is taken generator by generator and seed by seed, over the seeds that
    both have; each set-up counts once. The table is one of `tables.generator_table`.
    """
    difference = (table.loc[upper] - table.loc[lower]).dropna(axis=1)
    return mean_of_setups([difference.loc[setup].to_numpy() for setup in setups])


def step_gains(table: pd.DataFrame, ladders: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """What every step gains over the rung below, in each cross set-up and in their mean.

    The table is one of `tables.generator_table`, the ladders come from `rungs`. Columns are front,
    step, setup, gain, low, high, seeds.
    """
    rows = []
    for front, names in ladders.items():
        for lower, upper in zip(names, names[1:], strict=False):
            seeds = min(seeds_of(table, lower), seeds_of(table, upper))
            for setup in (*CROSS, MEAN):
                figures = gain(table, lower, upper, CROSS if setup == MEAN else [setup])
                rows.append((front, step_of(upper), setup, *figures, seeds))
    columns = ["front", "step", "setup", "gain", "low", "high", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def front_gains(
    table: pd.DataFrame, ladders: Mapping[str, Sequence[str]]
) -> dict[str, Figures]:
    """What the high-pass front end adds to each step that was measured with and without it."""
    raw, high = ({step_of(name): name for name in ladders.get(front, ())} for front in FRONTS)
    return {step: gain(table, raw[step], high[step]) for step in raw if step in high}


def gain_sentences(gains: pd.DataFrame) -> list[str]:
    """Say which of the `step_gains` is largest where, and whose bracket holds 0 in the mean."""
    told = []
    for front, own in gains.groupby("front", sort=False):
        for setup in ("seed", "dataset") if own["step"].nunique() > 1 else ():
            part = own[own["setup"] == setup]
            best = part.loc[part["gain"].idxmax()]
            told.append(
                f"{front}, {setup}: the largest step is {best['step']!r}, {best['gain']:+.3f} "
                f"[{best['low']:+.3f}, {best['high']:+.3f}]"
            )
        part = own[own["setup"] == MEAN]
        more, less = part["low"] > 0, part["high"] < 0
        groups = {"bracket above 0": more, "below 0": less, "holds 0": ~(more | less)}
        for what, member in groups.items():
            if member.any():
                told.append(f"{front}, {MEAN}, {what}: {'; '.join(part['step'][member])}")
    return told
