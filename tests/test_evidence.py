"""What is said about the shipped table: the verdict abroad, and how its rows were made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnadet_lib import plots
from dnadet_lib.bench import ladder, position
from dnadet_lib.course import evidence
from dnadet_lib.evaluation.results import Row
from dnadet_lib.plumbing.paths import data_folder

CLASSES = {"p": "ProGAN", "q": "ProGAN", "m": "MMDGAN", "s": "SNGAN"}


def table_of(accuracies: dict[str, list[float]]) -> pd.DataFrame:
    """A line per method and generator abroad, one seed."""
    index = pd.MultiIndex.from_product(
        [accuracies, ["abroad"], CLASSES], names=["method", "setup", "generator"]
    )
    return pd.DataFrame({"seed 0": np.concatenate(list(accuracies.values()))}, index)


def row(method: str, value: float, low: float, setup: str = "abroad") -> Row:
    return Row(method, setup, "accuracy", value, low, 1.0, 40, 4)


def test_a_row_has_to_clear_guessing_and_a_constant_answer() -> None:
    table = table_of({"rival": [0.9, 0.8, 0.4, 0.5], "raw, all": [0.1, 0, 0, 0]})
    rows = [row("rival", 0.65, 0.45), row("raw, all", 0.025, 0.0), row("rival", 1, 1, "closed")]
    told = evidence.abroad_lines(rows, table, CLASSES)
    assert told[0].startswith("Abroad, 4 generators. Highest of 2 rows")
    assert "'rival', 0.650 [0.450, 1.000]" in told[0]
    assert "between 0.40 (m) and 0.90 (p)" in told[0]
    assert told[1] == "The published recipe, in our small size: 'raw, all', 0.025 [0.000, 1.000]."
    assert "above guessing (0.20) in 1 (rival) of 2 rows" in told[2]
    assert "one class (0.50) in none" in told[2]  # two of four are ProGAN
    assert told[3].startswith("No row solves it")


def test_a_row_that_clears_both_is_named_and_not_called_a_failure() -> None:
    table = table_of({"rival": [0.9, 0.8, 0.7, 0.9]})
    told = evidence.abroad_lines([row("rival", 0.8, 0.6)], table, CLASSES)
    assert "one class (0.50) in 1 (rival)" in told[1]
    assert not told[-1].startswith("No row")


def test_nothing_is_said_where_nothing_was_measured_abroad(tmp_path: Path) -> None:
    assert evidence.abroad_lines([row("rival", 1, 1, "closed")], table_of({"rival": [1] * 4})) == []
    assert evidence.table_notes(tmp_path) == ""


def test_sentences_of_the_lessons_hold_for_the_shipped_figures() -> None:
    results = data_folder() / "results"
    told = evidence.abroad_lines(ladder.read_rows(results), ladder.read_accuracies(results))
    assert told[-1].startswith("No row solves it"), "lesson 04, Summary"
    verdict = position.verdict(pd.read_csv(results / "position.csv"))
    assert verdict.endswith("is not confirmed."), "lesson 01, Summary; lesson 03, patches"


def test_notes_of_the_shipped_table_name_every_rung_and_rival() -> None:
    notes = evidence.table_notes(data_folder() / "results")
    for name in evidence.networks():
        assert f"\n| {name} | " in notes
    for name in evidence.RIVALS:
        assert f"- **{name}**: " in notes
    assert "| raw, base | none | 2 passes of 46 steps over 7,500 images, 160 a step" in notes
    assert "| high-pass, + pre-training | 4,000 steps of 128" in notes
    assert "Lead of *pocket*" in notes
    assert "| pocket_plain | -0.041" in notes  # the sign of the other table, turned round


def test_dots_abroad_are_one_a_generator_and_a_mean() -> None:
    table = table_of({"rival": [0.9, 0.8, 0.7, 0.0], "raw, all": [0.1, 0, 0, 0]})
    (axis,) = plots.spread_dots(table, "abroad", CLASSES, chance=0.2).axes
    dots = [line for line in axis.lines if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in dots[:4]] == pytest.approx([0.9, 0.8, 0.7, 0.0])
    assert len(dots) == 8
    means = [line.get_xdata()[0] for line in axis.lines if line.get_color() == "black"]
    assert means == pytest.approx([0.6, 0.025])
    bars = {line.get_label(): line.get_xdata()[0] for line in axis.lines[-2:]}
    assert bars == {"guessing": 0.2, "always the same class": 0.5}
