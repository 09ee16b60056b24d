"""The alternative texts of figures."""

from __future__ import annotations

import html
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from dnadet_lib import plots
from dnadet_lib.plots import plots_spectra
from dnadet_lib.plots.descriptions import description

CLASSES = ["Real", "ProGAN", "SNGAN"]


def test_lines_are_named_with_their_axes_and_where_they_run() -> None:
    figure = plots_spectra.shift_curves({"Real": [0.5, 0.1, 0.3], "SNGAN": [0.2, 0.4, 0.9]})
    text = description(figure)
    assert "across: shift (pixels); up: correlation" in text
    assert "Real from 0.5 to 0.3, lowest 0.1" in text
    assert "SNGAN from 0.2 to 0.9" in text
    assert "highest" not in text


def test_a_dashed_line_and_points_are_told_apart() -> None:
    figure, axis = plots.plt.subplots()
    axis.plot([1, 2], [3, 4], "--", label="bound")
    axis.plot([1, 2], [7, 8], "o", label="seen")
    axis.axvline(1.5)  # without a name
    axis.legend()
    assert description(figure).endswith("bound (dashed) from 3 to 4; seen, 2 points.")


def test_histograms_have_medians(rng: np.random.Generator) -> None:
    figure, axis = plots.plt.subplots()
    groups = {"low": rng.uniform(0, 1, 20_000), "high": rng.uniform(2, 6, 20_000)}
    plots.histograms(axis, groups, "score")
    axis.legend()
    found = re.search(r"across: score; up: density; medians, low (\S+), high (\S+)\.$",
                      description(figure))  # fmt: skip
    assert found is not None
    assert [float(value) for value in found.groups()] == pytest.approx([0.5, 4.0], abs=0.06)


def test_values_beyond_the_most_stand_in_the_last_column() -> None:
    figure, axis = plots.plt.subplots()
    plots.histograms(axis, {"a": np.array([0.0, 0.1, 50, 70])}, "score", most=2)
    (outline,) = axis.patches
    x, y = outline.get_xy().T
    assert x.max() == pytest.approx(2)
    assert y.max() * (x.max() / 39) == pytest.approx(0.5, rel=1e-2)  # half of the values


def test_tables_give_their_diagonal_and_their_names() -> None:
    figure, axis = plots.plt.subplots()
    plots.matrix(axis, pd.DataFrame([[0.75, 0.25], [0.5, 0.5]], ["a", "b"], ["a", "b"]))
    axis.set(xlabel="predicted", ylabel="true")
    text = description(figure)
    assert "across: predicted (a, b); up: true (a, b)" in text
    assert "on the diagonal 0.75, 0.50" in text


def test_pictures_and_bars_say_what_the_model_names() -> None:
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 2
    shares = np.array([[0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    text = description(plots.attributions(pictures, shares, CLASSES, ["1: Real", "2: SNGAN"]))
    assert text.startswith("2 pictures: 1: Real, 2: SNGAN. 2 bar charts; across: probability")
    assert "the longest bars: ProGAN 0.80, SNGAN 0.60" in text


def test_maps_say_what_their_colours_mean() -> None:
    figure = plots_spectra.map_rows(
        {"seed 0": [np.zeros((5, 5))] * 3}, CLASSES, reach=2, unit="pixels", limits=(-1, 1),
        label="grey levels")  # fmt: skip
    text = description(figure)
    assert "3 maps in colours: Real, ProGAN, SNGAN" in text
    assert "Colour: grey levels, -1 to 1" in text
    assert "Across all: pixels" in text


def test_an_outline_around_dots_is_no_histogram() -> None:
    figure, axis = plots.plt.subplots()
    plots.scatter_map(axis, np.eye(2), np.array([0, 1]), CLASSES)
    axis.add_patch(Polygon(np.eye(3)[:, :2], fill=False, linestyle="--"))
    assert description(figure).startswith("1 map of dots; across: map axis 1")


def test_long_lists_are_cut_and_an_empty_figure_is_no_error() -> None:
    titles = [f"number {k}" for k in range(40)]
    grid = plots.image_grid([np.zeros((2, 2, 3), np.uint8)] * 40, titles, columns=8)
    assert "number 9, ..., number 39." in description(grid)
    assert "number 10" not in description(grid)
    assert description(Figure()) == "A figure."


def test_a_shown_figure_has_a_text_that_is_not_its_caption(monkeypatch) -> None:
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **how: shown.append(data))
    figure = plots_spectra.shift_curves({"Real": [0.5, 0.25]})
    plots.show(figure, 'What "was" <measured>.')
    alt = re.search(r'alt="([^"]*)"', shown[0]["text/html"])
    assert alt is not None
    assert "Real from 0.5 to 0.25" in html.unescape(alt[1])
    assert "measured" not in alt[1]
    assert shown[1].data == '*What "was" <measured>.*'


def test_a_table_over_places_gives_its_range_alone() -> None:
    shares = np.linspace(0.25, 0.95, 25).reshape(5, 5)
    text = description(plots.position_maps({"label: weights": shares}, (2, 2)))
    assert "label: weights: 0.25 to 0.95" in text
    assert "diagonal" not in text


def test_steps_are_histograms_too() -> None:
    figure, axis = plots.plt.subplots()
    axis.stairs([1, 3, 0, 2], [0, 1, 2, 3, 4], fill=True, label="shown")
    axis.set(xlabel="confidence", ylabel="images")
    assert description(figure).endswith("up: images; medians, shown 1.7.")
