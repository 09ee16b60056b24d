"""The lessons' figures: one style, and one colour and marker a class wherever it appears."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from dnadet_lib.base_rates import Alarms, posterior
from dnadet_lib.evaluation import Row
from dnadet_lib.files import atomic_path
from dnadet_lib.text import for_figure, for_title

# Okabe and Ito's colours for the known classes, and four for the zoo's unknown architectures that
# colour-blind readers can tell from these and from one another; markers say the same again.
CLASS_COLOURS = {
    "Real": "#4D4D4D",
    "ProGAN": "#E69F00",
    "MMDGAN": "#0072B2",
    "SNGAN": "#009E73",
    "InfoMaxGAN": "#CC79A7",
    "SubPixelGAN": "#F0E442",
    "WaveletGAN": "#8C510A",
    "StyleGAN2": "#4B0082",
    "BicubicGAN": "#00E5B0",
}
CLASS_MARKERS = {
    "Real": "o", "ProGAN": "s", "MMDGAN": "^", "SNGAN": "D", "InfoMaxGAN": "v",
    "SubPixelGAN": "<", "WaveletGAN": ">", "StyleGAN2": "p", "BicubicGAN": "X",
}  # fmt: skip
OTHER_COLOUR, OTHER_MARKER = "#56B4E9", "P"  # not labelled
# Of classes from elsewhere, each by its name, so that it is the same in every figure.
FOREIGN_COLOURS = ("#999933", "#882255", "#D55E00", "#44AA99", "#AA4499", "#6699CC")
NOT_LABELLED = "not labelled"  # the class of images that nothing is known of
LEGEND_CHARACTERS = 100  # of a line of a legend
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def colour_of(name: str) -> str:
    """Return the colour of a class, the same in every figure.

    The zoo's classes, known and unknown, have one each. Classes from elsewhere share a few, chosen
    by their names.
    """
    if name in CLASS_COLOURS or name == NOT_LABELLED:
        return CLASS_COLOURS.get(name, OTHER_COLOUR)
    return FOREIGN_COLOURS[zlib.crc32(name.encode("utf-8", "surrogatepass")) % len(FOREIGN_COLOURS)]


def marker_of(name: str) -> str:
    """Return the marker of a class, the same in every figure."""
    return CLASS_MARKERS.get(name, OTHER_MARKER)


def use_style() -> None:
    """Set the lessons' matplotlib style, or warn that the clone's style file is not there."""
    style = Path(__file__).resolve().parent.parent / "notebooks" / "dnadet.mplstyle"
    if style.is_file():
        plt.style.use(style)
    else:
        warnings.warn(f"{style}: no style file; figures get matplotlib's own style", stacklevel=2)


def show(figure: Figure, caption: str) -> None:
    """Display a figure and, under it, what was measured."""
    from IPython.display import Markdown, display

    display(figure)
    plt.close(figure)
    display(Markdown(f"*{caption}*"))


def save(figure: Figure, path: Path) -> None:
    """Write a figure, atomically, in the format that the file's ending names.

    Raises:
        ValueError: matplotlib has no such format.
    """
    kinds, kind = figure.canvas.get_supported_filetypes(), Path(path).suffix.lower()[1:]
    if kind not in kinds:
        raise ValueError(f"{path}: no format of a figure; end the name in .png, .pdf or .svg")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=100)
    plt.close(figure)


def class_legend(figure: Figure, classes: Sequence[str], marker: str | None = None) -> None:
    """Put the classes' colours above a figure."""
    handles = [
        Line2D([], [], linestyle="", markersize=10, color=colour_of(c), label=for_figure(c),
               marker=marker or marker_of(c))
        for c in classes
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside upper center", ncols=legend_columns(handles),
        columnspacing=1.0, handletextpad=0.2,
    )  # fmt: skip


def legend_columns(handles: Sequence[Line2D]) -> int:
    """Say how many entries of a legend go into a line, so that long names stay on the figure."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=1)
    return max(1, min(len(handles), LEGEND_CHARACTERS // max(1, longest)))


def image_grid(
    images: Sequence[np.ndarray], titles: Sequence[str], columns: int, side: float = 1.5
) -> Figure:
    """Draw images in a grid, each with a title.

    Args:
        images: uint8 (H, W, 3), or float (H, W) in [0, 1] drawn in grey.
        titles: One an image; empty for none.
        columns: Images a row.
        side: Of an image on paper, in inches.
    """
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * side, rows * (side + 0.3)), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1 if image.ndim == 2 else None)
        axis.set_title(for_title(title), pad=3)
    return figure


def attributions(
    images: Sequence[np.ndarray],
    probabilities: np.ndarray,
    classes: Sequence[str],
    titles: Sequence[str],
    columns: int = 4,
) -> Figure:
    """Draw each image with a bar for every class's probability beside it.

    Args:
        images: uint8 (H, W, 3).
        probabilities: (N, K).
        classes: Names of the K classes; they give the bars' colours.
        titles: One an image.
        columns: Images a row.
    """
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(
        rows, 2 * columns, figsize=(2.35 * columns, 1.75 * rows + 0.8), squeeze=False,
        width_ratios=[1, 0.8] * columns,
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    pairs = axes.reshape(-1, 2)
    for (left, right), image, row, title in zip(
        pairs, images, probabilities, titles, strict=False
    ):
        left.imshow(image)
        left.set_title(for_title(title), loc="left", pad=3)
        right.axis("on")
        right.patch.set_visible(False)  # it would hide the title
        right.set_box_aspect(1.25)
        right.barh(range(len(classes)), row, color=[colour_of(c) for c in classes])
        right.invert_yaxis()
        right.set(xlim=(0, 1), xticks=[0, 1], yticks=[])
        if left.get_subplotspec().is_last_row():
            right.set_xlabel("probability")
    class_legend(figure, classes, marker="s")
    return figure


def matrix(axis: Axes, table: pd.DataFrame, title: str = "", names: bool = True) -> None:
    """Draw a matrix of shares as shades with the numbers written in.

    Args:
        axis: Where.
        table: Shares from 0 to 1: rows true, columns predicted; NaN is left empty.
        title: Of the axis.
        names: Whether to name the rows.
    """
    axis.imshow(table.to_numpy(), vmin=0, vmax=1, aspect="auto", cmap="Blues")
    axis.set_xticks(
        range(table.shape[1]), [for_figure(name) for name in table.columns], rotation=45, ha="right"
    )
    axis.set_yticks(range(table.shape[0]), [for_figure(name) * names for name in table.index])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for row, column in np.ndindex(table.shape):
        value = table.iat[row, column]
        if np.isnan(value):
            continue
        colour = "white" if value > 0.6 else "black"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=12)
    axis.set_title(for_title(title))


def patches_on_image(
    axis: Axes, image: np.ndarray, corners: Sequence[tuple[int, int]], patch: int
) -> None:
    """Draw an image with the outlines of numbered patches.

    Args:
        axis: Where.
        image: uint8 (H, W, 3).
        corners: (top, left) of each patch in pixels.
        patch: Side in pixels.
    """
    axis.imshow(image)
    for number, (top, left) in enumerate(corners, 1):
        colour = LINE_COLOURS[(number - 1) % len(LINE_COLOURS)]
        box = Rectangle(
            (left - 0.5, top - 0.5), patch, patch, fill=False, edgecolor=colour, linewidth=3
        )
        axis.add_patch(box)
        axis.text(
            left + 2, top + 6, str(number), color="white", fontsize=14, fontweight="bold",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    axis.set(xlabel="column (pixels)", ylabel="row (pixels)")


def curves(
    axis: Axes, history: pd.DataFrame, columns: Mapping[str, str], ylabel: str
) -> None:
    """Draw columns of a training history against the epoch.

    Args:
        axis: Where.
        history: One row an epoch, indexed by its number.
        columns: Column name -> label; columns that are not there are left out.
        ylabel: Of the axis, with the unit.
    """
    markers = ("o", "s", "^", "D")
    shown = {name: label for name, label in columns.items() if name in history}
    for (name, label), colour, marker in zip(shown.items(), LINE_COLOURS, markers, strict=False):
        axis.plot(history.index, history[name], color=colour, marker=marker, label=label)
    axis.set(xlabel="epoch", ylabel=ylabel, xticks=history.index[:: max(1, len(history) // 8)])
    axis.legend()


def filters(weights: np.ndarray, columns: int = 8) -> Figure:
    """Draw first-layer filters (N, 3, h, w), each scaled to its largest weight; grey is zero."""
    scaled = weights / np.abs(weights).max(axis=(1, 2, 3), keepdims=True).clip(1e-12)
    images = [image.transpose(1, 2, 0) for image in (scaled + 1) / 2]
    return image_grid(images, [""] * len(images), columns, side=0.9)


def generator_dots(rows: Sequence[Row], chance: float | None = None) -> Figure:
    """Draw each generator's accuracy as a dot with its interval, a block a set-up.

    Args:
        rows: Of `evaluation.summarise`, of one or two methods: the first one's dots are hollow,
            the second one's filled.
        chance: Accuracy of guessing, drawn as a line.
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
    """Draw the suite's table: a panel a set-up, a line a method, mean accuracy and interval.

    Args:
        rows: Of `suite.table_rows`; the first method stands on top.
    """
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


def ladder_dots(
    rows: Sequence[Row], ladders: Mapping[str, Sequence[str]], chance: float
) -> Figure:
    """Draw the ablation ladder: a panel a set-up, a line a step, a colour and marker a front end.

    Args:
        rows: Of the suite; a rung that has no row in a set-up is left out there.
        ladders: Front end -> names of its rungs, the first on top; two at most.
        chance: Accuracy of guessing, drawn as a line.
    """
    figures = {(r.method, r.setup): r for r in rows if r.metric == "accuracy"}
    names = [name for rungs in ladders.values() for name in rungs]
    found = list(dict.fromkeys(setup for method, setup in figures if method in names))
    setups = [*found[-1:], *found[:-1]]  # the mean first
    steps = list(dict.fromkeys(name.split(", ", 1)[1] for name in names))
    columns = 3
    lines = -(-len(setups) // columns)
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
    """Draw accuracy by cell of the grid, one heat-map a kind of label; the learned cell is framed.

    Args:
        maps: Title -> (5, 5) accuracies.
        learned: Row and column of the learned cell.
    """
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


def reliability_curve(axis: Axes, table: pd.DataFrame, title: str = "") -> None:
    """Draw accuracy against confidence, a dot a bin, and the line where both are equal.

    Args:
        axis: Where.
        table: Of `calibration.reliability`.
        title: Of the axis.
    """
    axis.plot([0, 1], [0, 1], color="#999999", linestyle=":")
    axis.plot(table["confidence"], table["accuracy"], "o-", color=LINE_COLOURS[0], clip_on=False)
    low = min(table["confidence"].min(), table["accuracy"].min()) // 0.1 / 10
    axis.set(xlim=(low, 1), ylim=(low, 1), aspect="equal", title=for_title(title))
    axis.set(xlabel="confidence", ylabel="accuracy")


def degradation_curves(table: pd.DataFrame, marked: Mapping[str, str]) -> Figure:
    """Draw mean accuracy over generators against the strength of each degradation.

    Args:
        table: Columns degradation, strength, value, low, high; "none" is drawn as a line across.
        marked: Degradation -> label of the horizontal axis, in the order of the panels.
    """
    columns = 4
    lines = -(-len(marked) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.4 * columns, 3.1 * lines), sharey=True, squeeze=False
    )
    plain = table.loc[table["degradation"] == "none", "value"].item()
    for axis, (name, label) in zip(axes.flat, marked.items(), strict=False):
        part = table[table["degradation"] == name]
        places = range(1, len(part) + 1)
        axis.axhline(plain, color="#999999", linestyle=":")
        axis.fill_between(places, part["low"], part["high"], color=LINE_COLOURS[0], alpha=0.2)
        axis.plot(places, part["value"], "o-", color=LINE_COLOURS[0])
        axis.set_xticks(places, [f"{strength:g}" for strength in part["strength"]])
        axis.set(title=name, xlabel=label, ylim=(0, 1.02))
    for axis in axes[:, 0]:
        axis.set_ylabel("accuracy")
    for axis in axes.flat[len(marked) :]:
        axis.set_visible(False)
    return figure


def scatter_map(
    axis: Axes, points: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str = ""
) -> None:
    """Draw a map of embeddings, coloured by true class. Its axes have no unit, and no ticks.

    Args:
        axis: Where.
        points: (N, 2).
        labels: (N,) class numbers.
        classes: Names of the classes.
        title: Of the axis.
    """
    for number in np.unique(labels):
        name, member = classes[number], labels == number
        axis.scatter(
            points[member, 0], points[member, 1], s=16, color=colour_of(name),
            marker=marker_of(name), alpha=0.7, linewidths=0,
        )  # fmt: skip
    axis.set(xticks=[], yticks=[], xlabel="map axis 1 (no unit)", ylabel="map axis 2 (no unit)")
    axis.set_title(for_title(title))


def histograms(
    axis: Axes, values: Mapping[str, np.ndarray], xlabel: str, title: str = ""
) -> None:
    """Draw the distributions of several groups of values as outlined histograms."""
    everything = np.concatenate(list(values.values()))
    bins = np.linspace(everything.min(), everything.max() + 1e-6, 40)
    styles = ("-", "--", ":", "-.")
    for (label, numbers), colour, style in zip(
        values.items(), LINE_COLOURS, styles, strict=False
    ):
        axis.hist(numbers, bins.tolist(), density=True, histtype="step", color=colour,
                  label=for_figure(label), linestyle=style, linewidth=2.2)  # fmt: skip
    axis.set(xlabel=xlabel, ylabel="density", title=for_title(title))


def posterior_curves(suspect: str, sensitivity: float, rest: Sequence[Alarms]) -> Figure:
    """Draw the share of alarms that are right against the base rate, by what the others are.

    Args:
        suspect: The class that images are called.
        sensitivity: Share of its images that are called so.
        rest: False alarms, by maker: solid as measured, dashed at their upper bound.
    """
    rates = np.logspace(-4, -0.01, 200)
    figure, axis = plt.subplots()
    for row, colour in zip(rest, LINE_COLOURS, strict=False):
        for false_alarm, style in ((row.rate, "-"), (row.worst, "--")):
            shares = [posterior(rate, sensitivity, false_alarm) for rate in rates]
            label = for_figure(row.makers) if style == "-" else None
            axis.plot(rates, shares, style, color=colour, label=label)
    axis.set(xscale="log", ylim=(0, 1.02))
    axis.set_xlabel(f"base rate: share of {for_figure(suspect)} images")
    axis.set_ylabel("share of alarms that are right")
    axis.legend(title="the other images are")
    return figure
