"""Drawings on an axis: matrices, curves, maps and histograms."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dnadet_lib.plots.style import LINE_COLOURS, colour_of, marker_of
from dnadet_lib.plumbing.text import for_figure, for_title


def matrix(axis: Axes, table: pd.DataFrame, title: str = "", names: bool = True) -> None:
    """Draw a table of shares from 0 to 1 as shades with the numbers written in; NaN stays empty."""
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


def curves(
    axis: Axes, history: pd.DataFrame, columns: Mapping[str, str], ylabel: str
) -> None:
    """Draw columns (name -> label) of a training history, if there, against the epoch."""
    markers = ("o", "s", "^", "D")
    shown = {name: label for name, label in columns.items() if name in history}
    for (name, label), colour, marker in zip(shown.items(), LINE_COLOURS, markers, strict=False):
        axis.plot(history.index, history[name], color=colour, marker=marker, label=label)
    axis.set(xlabel="epoch", ylabel=ylabel, xticks=history.index[:: max(1, len(history) // 8)])
    axis.legend()


def scatter_map(
    axis: Axes, points: np.ndarray, labels: np.ndarray, classes: Sequence[str], title: str = ""
) -> None:
    """Draw a map (N, 2) of embeddings with class numbers (N,), coloured by class."""
    for number in np.unique(labels):
        name, member = classes[number], labels == number
        axis.scatter(
            points[member, 0], points[member, 1], s=16, color=colour_of(name),
            marker=marker_of(name), alpha=0.7, linewidths=0,
        )  # fmt: skip
    axis.set(xticks=[], yticks=[], xlabel="map axis 1 (no unit)", ylabel="map axis 2 (no unit)")
    axis.set_title(for_title(title))


def histograms(
    axis: Axes, values: Mapping[str, np.ndarray], xlabel: str, title: str = "",
    most: float = np.inf,
) -> None:  # fmt: skip
    """Draw the distributions of several groups of values as outlined histograms.

    Values beyond `most` are drawn at it, in the last column.
    """
    values = {name: np.minimum(numbers, most) for name, numbers in values.items()}
    everything = np.concatenate(list(values.values()))
    bins = np.linspace(everything.min(), everything.max() + 1e-6, 40)
    styles = ("-", "--", ":", "-.")
    for (label, numbers), colour, style in zip(
        values.items(), LINE_COLOURS, styles, strict=False
    ):
        axis.hist(numbers, bins.tolist(), density=True, histtype="step", color=colour,
                  label=for_figure(label), linestyle=style, linewidth=2.2)  # fmt: skip
    axis.set(xlabel=xlabel, ylabel="density", title=for_title(title))
