"""The explorer's static twins: each of its views as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dnadet_lib.explorer.columns import (
    CATEGORIES as CATEGORIES,
    MARKS as MARKS,
    NUMBERS as NUMBERS,
    as_text as as_text,
    colours as colours,
)
from dnadet_lib.explorer.filtering import Filters, histogram
from dnadet_lib.explorer.projection import nearest_to
from dnadet_lib.images.reading import read_image
from dnadet_lib.plots.pictures import image_grid
from dnadet_lib.plots.style import colour_of, legend_columns
from dnadet_lib.plumbing.text import for_figure

if TYPE_CHECKING:
    from dnadet_lib.explorer.state import Explorer
SHOWN, SELECTED = "#9EB8CC", "#D55E00"  # bars of histograms


def require_maps(state: Explorer) -> list[str]:
    """Return the names of the state's maps; a ValueError if there is none."""
    if not state.maps:
        raise ValueError(
            f"no map of the {len(state)} images to show: explorer.add_map makes one, of four or "
            "more that differ"
        )
    return list(state.maps)


def figure(
    state: Explorer, colour_by: str = "class", names: Sequence[str] | None = None,
    highlight: np.ndarray | None = None, outline: np.ndarray | None = None,
) -> Figure:  # fmt: skip
    """Draw the maps side by side: the static twin of the linked maps.

    Args:
        state: With one map or more.
        colour_by: A column of the table.
        names: Of the maps; all by default.
        highlight: Positions of images drawn on top, with a black edge.
        outline: Corners of a lasso on the first map.
    """
    names = list(names or require_maps(state))
    shown, legend = colours(state, colour_by)
    size = (5.2 * len(names), 5.6)
    drawn, axes = plt.subplots(1, len(names), figsize=size, squeeze=False)
    marked = np.zeros(len(state), bool)
    marked[[] if highlight is None else highlight] = True
    # A few extreme numbers would leave all others in one colour.
    limits = (None, None) if legend else tuple(np.nanquantile(shown, [0.01, 0.99]))
    for axis, name in zip(axes[0], names, strict=True):
        points = state.maps[name]
        for part, style in (
            (~marked, {"s": 14, "linewidths": 0, "alpha": 0.6}),
            (marked, {"s": 46, "linewidths": 0.9, "edgecolors": "black"}),
        ):
            dots = axis.scatter(
                points[part, 0], points[part, 1], c=shown[part], vmin=limits[0], vmax=limits[1],
                cmap=None if legend else "cividis", **style,
            )  # fmt: skip
        axis.set(xticks=[], yticks=[], xlabel="map axis 1 (no unit)", ylabel="map axis 2 (no unit)")
        axis.set_title(for_figure(state.title_of(name)))
    if outline is not None:
        axes[0, 0].add_patch(plt.Polygon(outline, fill=False, linewidth=2, linestyle="--"))
    if legend:
        _legend(drawn, legend)
    else:
        drawn.colorbar(dots, ax=list(axes[0]), label=f"{colour_by} (no unit)", extend="both")
    return drawn


def _legend(drawn: Figure, legend: Mapping[str, str]) -> None:
    handles = [
        plt.Line2D(
            [], [], linestyle="", marker="o", markersize=9, color=colour, label=for_figure(name)
        )
        for name, colour in legend.items()
    ]
    columns = min(5, legend_columns(handles))
    drawn.legend(handles=handles, loc="outside upper center", ncols=columns)


def histograms_figure(
    state: Explorer, filters: Filters | None = None, selected: np.ndarray | None = None
) -> Figure:
    """Draw histograms of confidence and unknown score: the static twin of those beside the maps.

    Each counts what passes the filters but for its own range, which is drawn as a band. What is
    selected is laid over.
    """
    filters = filters or Filters()
    drawn, axes = plt.subplots(1, len(NUMBERS), figsize=(5.2 * len(NUMBERS), 3.4))
    for axis, column in zip(axes, NUMBERS, strict=True):
        found = histogram(state, column, filters, selected)
        axis.stairs(found.shown, found.edges, fill=True, color=SHOWN, label="shown")
        if selected is not None:
            axis.stairs(found.selected, found.edges, fill=True, color=SELECTED, label="selected")
        if column in filters.ranges:
            axis.axvspan(*filters.ranges[column], color=SELECTED, alpha=0.12, zorder=0)
        axis.set(xlabel=f"{column} (no unit)", ylabel="images")
    if selected is not None:
        axes[0].legend()
    return drawn


def selection_figure(state: Explorer, selected: np.ndarray, columns: int = 8) -> Figure:
    """Draw selected images with class and confidence: the static twin of the image grid."""
    titles = [
        f"{for_figure(row['predicted'])}\n{row['confidence']:.2f}"
        for _, row in state.table.iloc[selected].iterrows()
    ]
    drawn = image_grid([read_image(state.paths[i]) for i in selected], titles, columns, 1.3)
    for axis, (_, row) in zip(drawn.axes, state.table.iloc[selected].iterrows(), strict=False):
        axis.title.set(fontsize=11, color=colour_of(row["predicted"]))
    return drawn


def neighbours_figure(
    state: Explorer, positions: Sequence[int], count: int = 6, among: np.ndarray | None = None
) -> Figure:
    """Draw images, a row each, with their nearest neighbours, class and distance."""
    rows = len(positions)
    size = (1.55 * (count + 1), 2.15 * rows)
    drawn, axes = plt.subplots(rows, count + 1, figsize=size, squeeze=False)
    everywhere = np.arange(len(state)) if among is None else np.asarray(among)
    for line, position in zip(axes, positions, strict=True):
        others = everywhere[everywhere != position]
        own = state.embeddings[position][None]
        found, distances = nearest_to(state.embeddings[others], own, count)
        _picture(line[0], state, position, "the image")
        for axis, i, distance in zip(line[1:], others[found[0]], distances[0], strict=False):
            _picture(axis, state, int(i), f"at {distance:.3f}")
    return drawn


def _picture(axis: Axes, state: Explorer, position: int, text: str) -> None:
    name = state.table["class"].iloc[position]
    axis.imshow(read_image(state.paths[position]))
    axis.set_title(f"{for_figure(name)}\n{text}", fontsize=11, pad=3)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color=colour_of(name), linewidth=4)
