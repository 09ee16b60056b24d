"""Figures of results: accuracies with intervals, calibration and base rates."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from dnadet_lib.evaluation.base_rates import Alarms, posterior
from dnadet_lib.evaluation.results import Row
from dnadet_lib.plots.axes import matrix
from dnadet_lib.plots.style import (
    CLASS_COLOURS,
    LINE_COLOURS,
    class_legend,
    colour_of,
    marker_of,
)
from dnadet_lib.plumbing.text import for_figure


def generator_dots(rows: Sequence[Row], chance: float | None = None) -> Figure:
    """Draw each generator's accuracy as a dot with its interval, a block per set-up.

    Of two methods, the first one's dots are hollow; chance is drawn as a line.
    """
    each = [row for row in rows if row.metric.startswith("accuracy ")]
    methods = list(dict.fromkeys(row.method for row in each))
    places = list(dict.fromkeys((row.setup, row.metric.split(" ", 1)[1]) for row in each))
    setups = list(dict.fromkeys(setup for setup, _ in places))
    heights = {place: i + setups.index(place[0]) for i, place in enumerate(places)}
    figure, axis = plt.subplots(figsize=(8, 1.5 + 0.38 * (len(places) + len(setups))))
    for row in each:
        name = row.metric.split(" ", 1)[1]
        label = "Real" if name.startswith("real/") else name.split("_")[0]
        first, colour = row.method == methods[0] and len(methods) > 1, colour_of(label)
        y = heights[row.setup, name] + (-0.16 if first else 0.16) * (len(methods) > 1)
        axis.plot([row.low, row.high], [y, y], color=colour, linewidth=2)
        axis.plot(row.value, y, marker_of(label), color=colour, markersize=9, clip_on=False,
                  markerfacecolor="white" if first else colour, zorder=3)  # fmt: skip
    axis.set_yticks(list(heights.values()), [for_figure(name) for _, name in heights])
    for setup in setups:
        top = min(h for p, h in heights.items() if p[0] == setup)
        axis.text(1.04, top - 0.1, for_figure(setup),
                  fontweight="bold", transform=axis.get_yaxis_transform())  # fmt: skip
    if chance is not None:
        axis.axvline(chance, color="#999999", linestyle=":", zorder=0)
    axis.set(xlim=(-0.02, 1.02), xlabel="accuracy (share of images named rightly)")
    axis.set_ylim(max(heights.values()) + 0.8, -0.8)
    handles = [
        Line2D([], [], linestyle="", marker="o", markersize=9, color="black",
               label=for_figure(method),
               markerfacecolor="white" if i == 0 and len(methods) > 1 else "black")
        for i, method in enumerate(methods)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=1)
    return figure


def suite_dots(rows: Sequence[Row]) -> Figure:
    """Draw the suite's table: a panel per set-up, a line per method, mean accuracy and interval."""
    figures = {(r.method, r.setup): r for r in rows if r.metric == "accuracy"}
    methods = list(dict.fromkeys(method for method, _ in figures))
    setups = list(dict.fromkeys(setup for _, setup in figures))
    size = 2.2 * len(setups) + 3, 0.42 * len(methods) + 1.6
    figure, axes = plt.subplots(1, len(setups), figsize=size, sharey=True, squeeze=False)
    for axis, setup in zip(axes[0], setups, strict=True):
        for height, method in enumerate(methods):
            row = figures[method, setup]
            axis.plot([row.low, row.high], [height, height], color=LINE_COLOURS[0])
            axis.plot(row.value, height, "o", color=LINE_COLOURS[0], clip_on=False)
        axis.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="accuracy", title=for_figure(setup))
        axis.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    axes[0, 0].set_yticks(range(len(methods)), [for_figure(method) for method in methods])
    axes[0, 0].invert_yaxis()
    return figure


def spread_dots(
    table: pd.DataFrame, setup: str, classes: Mapping[str, str], chance: float
) -> Figure:
    """Draw every generator of a set-up as a dot by its class, a line per method, and their mean.

    Args:
        table: As `tables.generator_table` makes it; dots are means over its columns, the seeds.
        setup: Which set-up; a method that was not measured there has no line.
        classes: Generator -> class.
        chance: Accuracy of guessing, a line beside that of always naming the most frequent class.
    """
    part = table.xs(setup, level="setup").mean(axis=1)
    methods = list(part.index.unique("method"))
    owners = pd.Series(part.index.unique("generator").map(classes))
    bars = {"guessing": chance, "always the same class": owners.value_counts(normalize=True).max()}
    figure, axis = plt.subplots(figsize=(8, 0.42 * len(methods) + 2.1))
    for height, method in enumerate(methods):
        each = part.loc[method]
        for name, value in each.items():
            label = classes[str(name)]
            axis.plot(value, height, marker_of(label), color=colour_of(label), markersize=8,
                      clip_on=False, zorder=3)  # fmt: skip
        axis.plot([each.mean()] * 2, [height - 0.35, height + 0.35], color="black", linewidth=2)
    for (what, value), style in zip(bars.items(), (":", "--"), strict=False):
        axis.axvline(value, color="#777777", linestyle=style, label=what, zorder=0)
    axis.set(xlim=(0, 1), xlabel="accuracy (share of images named rightly)")
    axis.set_yticks(range(len(methods)), [for_figure(method) for method in methods])
    axis.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    axis.invert_yaxis()
    shown = [name for name in CLASS_COLOURS if name in set(owners)]
    lines = axis.get_legend_handles_labels()[0]
    dots = [Line2D([], [], linestyle="", marker=marker_of(name), color=colour_of(name),
                   markersize=8, label=name) for name in shown]  # fmt: skip
    figure.legend(handles=[*dots, *lines], loc="outside upper center", ncols=3)
    return figure


def ladder_dots(
    rows: Sequence[Row], ladders: Mapping[str, Sequence[str]], chance: float
) -> Figure:
    """Draw the ablation ladder: a panel per set-up, a line per step, a colour per front end.

    `ladders` maps a front end, of two at most, to its rungs, the first on top; a rung without a row
    in a set-up is left out there. `chance` is the accuracy of guessing, drawn as a line.
    """
    figures = {(r.method, r.setup): r for r in rows if r.metric == "accuracy"}
    names = [name for rungs in ladders.values() for name in rungs]
    found = list(dict.fromkeys(setup for method, setup in figures if method in names))
    setups = [*found[-1:], *found[:-1]]  # the mean first
    longest_first = sorted(ladders.values(), key=len, reverse=True)
    steps = list(dict.fromkeys(name.split(", ", 1)[1] for own in longest_first for name in own))
    columns = 3
    lines = math.ceil(len(setups) / columns)
    size = 11, 0.9 + lines * (1.2 + 0.42 * len(steps))
    figure, axes = plt.subplots(lines, columns, figsize=size, sharey=True, squeeze=False)
    looks = list(zip(ladders.items(), LINE_COLOURS, ("o", "s"), (-0.17, 0.17), strict=False))
    for axis, setup in zip(axes.flat, setups, strict=False):
        for (front, rungs), colour, marker, aside in looks:
            shown = [figures[name, setup] for name in rungs if (name, setup) in figures]
            heights = [steps.index(r.method.split(", ", 1)[1]) + aside for r in shown]
            axis.hlines(heights, [r.low for r in shown], [r.high for r in shown], color=colour)
            axis.plot([r.value for r in shown], heights, marker, color=colour, label=front,
                      clip_on=False, markerfacecolor="white" if marker == "o" else colour,
                      markeredgewidth=2)  # fmt: skip
        axis.axvline(chance, color="#999999", linestyle=":", zorder=0)
        axis.set(xlim=(0, 1), title=for_figure(setup))
        axis.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
    for axis in axes.flat[len(setups) :]:
        axis.set_visible(False)
    for axis in axes.flat[max(0, len(setups) - columns) : len(setups)]:
        axis.set_xlabel("accuracy")
    axes[0, 0].set_yticks(range(len(steps)), steps)
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def position_maps(maps: Mapping[str, np.ndarray], learned: tuple[int, int]) -> Figure:
    """Draw accuracies (5, 5) by cell of the grid, a heat-map each; the learned cell is framed."""
    figure, axes = plt.subplots(1, len(maps), figsize=(4.6 * len(maps), 4.9), squeeze=False)
    for axis, (title, accuracy) in zip(axes[0], maps.items(), strict=True):
        numbers = range(1, accuracy.shape[0] + 1)
        matrix(axis, pd.DataFrame(accuracy, numbers, numbers), title)
        axis.tick_params(axis="x", rotation=0)
        axis.set(xlabel="column of the grid", ylabel="row of the grid", aspect="equal")
        row, column = learned
        axis.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=4)
        )
    return figure


def confusions(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw confusion matrices side by side, three in a line.

    Args:
        tables: Set-up -> shares, all with the same rows (true) and columns (predicted).
    """
    columns = min(3, len(tables))
    lines = math.ceil(len(tables) / columns)
    size = (2.6 * columns + 1.6, 3.4 * lines + 0.4)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for place, (axis, (setup, table)) in enumerate(zip(axes.flat, tables.items(), strict=False)):
        matrix(axis, table, setup, names=place % columns == 0)
    for axis in axes.flat[len(tables) :]:
        axis.set_visible(False)
    figure.supxlabel("predicted class")
    figure.supylabel("true class")
    return figure


def answer_bars(
    table: pd.DataFrame, classes: Sequence[str], units: Mapping[str, str]
) -> Figure:
    """Draw how often degraded images are called each class, a panel per degradation.

    Args:
        table: Indexed by (degradation, strength as it is to be read), in the order of the figure;
            a column per class, with the share of images that are called so.
        classes: Names of the columns to draw, from the bottom up.
        units: Degradation -> what its strength says.
    """
    kinds = list(dict.fromkeys(table.index.get_level_values(0)))
    size = 2.8 * len(kinds), 3.9
    figure, axes = plt.subplots(1, len(kinds), figsize=size, sharey=True, squeeze=False)
    for axis, kind in zip(axes.flat, kinds, strict=True):
        part = table.loc[kind]
        bottom = np.zeros(len(part))
        for name in classes:
            shares = part[name].to_numpy()
            axis.bar(range(len(part)), shares, 0.9, bottom, color=colour_of(name))
            bottom += shares
        axis.set_xticks(range(len(part)), list(part.index), rotation=90)
        axis.set(ylim=(0, 1), yticks=(0, 0.5, 1), xlabel=units[kind], title=for_figure(kind))
    axes[0, 0].set_ylabel("share of images called so")
    class_legend(figure, classes, marker="s")
    return figure


def posterior_curves(
    suspect: str, sensitivity: float | Sequence[float], rest: Sequence[Alarms]
) -> Figure:
    """Draw the share of alarms that are right against the base rate, by what the others are.

    Of false alarms, the dashed line is at their upper bound, the solid one as measured; where none
    was seen there is no solid one, which would say that there are none. Each row's lines are
    thinner than those of the row before, so that one is seen below another. The sensitivity is one
    number, or one for each row.
    """
    rates = np.logspace(-4, -0.01, 200)
    figure, axis = plt.subplots(figsize=(7, 5.6))
    widths = np.linspace(6, 2, max(len(rest), 2))
    found = np.broadcast_to(sensitivity, len(rest))
    for row, own, colour, width in zip(rest, found, LINE_COLOURS, widths, strict=False):
        for false_alarm, style in ((row.worst, "--"), (row.rate, "-")):
            if not false_alarm:
                continue
            shares = [posterior(rate, own, false_alarm) for rate in rates]
            label = for_figure(row.makers) if style == "--" else None
            axis.plot(rates, shares, style, color=colour, label=label, linewidth=width)
    axis.set(xscale="log", ylim=(0, 1.02))
    axis.set_xlabel(f"base rate: share of {for_figure(suspect)} images")
    axis.set_ylabel("share of alarms that are right")
    figure.legend(title="the other images are", loc="outside upper center", ncols=2)
    return figure
