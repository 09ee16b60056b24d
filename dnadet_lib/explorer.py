"""The explorer: look behind the points of a map, through plain functions on one object.

The widgets in `explorer_widgets` call these functions and hold no logic of their own; each view has
a static twin here, a figure.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline

from dnadet_lib import plots
from dnadet_lib.data import ImageSet, read_image
from dnadet_lib.embedding import FIT_AT_MOST, map_quality, nearest_to, place, project
from dnadet_lib.files import atomic_path
from dnadet_lib.model import DNADet
from dnadet_lib.paths import build_folder

BATCH = 100  # images decoded at a time
CATEGORIES = ("class", "predicted", "generator", "set-up", "named rightly", "known")
NUMBERS = ("confidence", "unknown score")
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#999933",
)  # fmt: skip


@dataclass
class Explorer:
    """What is explored: images, what a model says of them, and maps of their embeddings.

    Attributes:
        model: The model.
        paths: (N,) image files.
        table: One row an image: class, predicted, generator, set-up, confidence, named rightly,
            unknown score, known.
        embeddings: (N, D).
        probabilities: (N, K) of the model's classes.
        maps: Name of a map -> (N, 2).
        selections: Name -> positions of kept images.
        errors: What could not be read, a line a file.
    """

    model: DNADet
    paths: list[Path]
    table: pd.DataFrame
    embeddings: np.ndarray
    probabilities: np.ndarray
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    selections: dict[str, np.ndarray] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)


def open_images(model: DNADet, sets: Mapping[str, ImageSet]) -> Explorer:
    """Embed and attribute sets of images; a file that cannot be read is left out and named.

    Args:
        model: Embeds and attributes.
        sets: Set-up -> images. Their classes need not be the model's.

    Raises:
        ValueError: no image can be read; the first file's reason is given.
    """
    rows, paths, embedded, errors = [], [], [], []
    for setup, images in sets.items():
        sources = images.sources or [images.classes[k] for k in images.labels]
        for start in range(0, len(images), BATCH):
            kept, views = [], []
            for i in range(start, min(start + BATCH, len(images))):
                try:
                    views.append(model.views_of(images.paths[i]))
                except (OSError, ValueError) as error:
                    errors.append(str(error))
                    continue
                kept.append(i)
            if kept:
                embedded.append(model.infer(views).cpu())
            paths += [images.paths[i] for i in kept]
            rows += [(images.classes[images.labels[i]], origin(sources[i]), setup) for i in kept]
    if not rows:
        raise ValueError(f"no image to explore: {errors[0] if errors else 'the sets are empty'}")
    embeddings = torch.cat(embedded).numpy()
    table = pd.DataFrame(rows, columns=["class", "generator", "set-up"])
    probabilities = _describe(model, table, embeddings)
    return Explorer(model, paths, table, embeddings, probabilities, errors=errors)


def origin(source: str) -> str:
    """Name what an image counts under: its generator, or `real/CONTENT` for a crop."""
    return "/".join(source.split("/")[:2]) if source.startswith("real/") else source


def _describe(model: DNADet, table: pd.DataFrame, embeddings: np.ndarray) -> np.ndarray:
    """Add what the model says to the table; return the probabilities."""
    features = torch.from_numpy(embeddings).to(next(model.parameters()).device)
    probabilities = model.probabilities(features).cpu().numpy()
    scores = model.unknown_score(features).cpu().numpy()
    table["predicted"] = [model.classes[k] for k in probabilities.argmax(axis=1)]
    table["confidence"] = probabilities.max(axis=1)
    table["named rightly"] = table["predicted"] == table["class"]
    table["unknown score"] = scores
    table["known"] = ~(scores > model.threshold)
    return probabilities


# Maps --------------------------------------------------------------------------------------------


def add_map(state: Explorer, method: str = "t-SNE", seed: int = 0) -> np.ndarray:
    """Project the embeddings and keep the map under the method's name.

    It is read again from `build/cache/maps` where these embeddings have been projected before.
    Beyond 20,000 images, a seeded sample is projected and the rest is placed among it.

    Returns:
        (N, 2).
    """
    content = hashlib.sha256(np.ascontiguousarray(state.embeddings).tobytes())
    content.update(f"{method} {seed}".encode())
    file = build_folder() / "cache" / "maps" / f"{content.hexdigest()[:20]}.npy"
    if file.is_file():
        state.maps[method] = np.load(file)
        return state.maps[method]
    order = np.random.default_rng(seed).permutation(len(state))
    fitted, rest = np.sort(order[:FIT_AT_MOST]), order[FIT_AT_MOST:]
    points = np.empty((len(state), 2), np.float32)
    points[fitted] = project(state.embeddings[fitted], method, seed=seed)
    if len(rest):
        points[rest] = place(state.embeddings[fitted], points[fitted], state.embeddings[rest])
    with atomic_path(file) as temporary:
        np.save(temporary, points)
    state.maps[method] = points
    return points


def quality(state: Explorer) -> pd.DataFrame:
    """Score every map: trustworthiness, kNN accuracy and silhouette of the classes."""
    labels = pd.factorize(state.table["class"])[0]
    rows = {name: map_quality(state.embeddings, p, labels) for name, p in state.maps.items()}
    return pd.DataFrame(rows).T


# Selecting ---------------------------------------------------------------------------------------


def lasso(state: Explorer, name: str, corners: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the positions of the images inside a polygon on a map.

    Args:
        state: What is explored.
        name: Of the map.
        corners: Of the polygon, (x, y) each, three or more.

    Raises:
        ValueError: no such map, or fewer than three corners.
    """
    if name not in state.maps:
        raise ValueError(f"no map {name!r}: there are {', '.join(state.maps) or 'none yet'}")
    if len(corners) < 3:
        raise ValueError(f"{len(corners)} corners: a lasso needs three or more")
    return np.flatnonzero(Outline(np.asarray(corners)).contains_points(state.maps[name]))


def circle(centre: Sequence[float], radius: float, corners: int = 24) -> np.ndarray:
    """Return the corners (C, 2) of a polygon that is nearly a circle, to lasso with."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.asarray(centre) + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def counts(state: Explorer, selected: np.ndarray) -> pd.DataFrame:
    """Count a selection by class and generator.

    Returns:
        Index class, generator, set-up; columns images, share (of all explored images of that
        generator and set-up), named rightly, refused (shares of the selected ones).
    """
    keys = ["class", "generator", "set-up"]
    everything = state.table.groupby(keys).size()
    groups = state.table.iloc[selected].groupby(keys)
    table = pd.DataFrame({"images": groups.size()})
    table["share"] = table["images"] / everything.reindex(table.index)
    table["named rightly"] = groups["named rightly"].mean()
    table["refused"] = 1 - groups["known"].mean()
    return table.sort_values("images", ascending=False)


def by_confidence(state: Explorer, selected: np.ndarray) -> np.ndarray:
    """Sort a selection, the least confident first."""
    return selected[np.argsort(state.table["confidence"].to_numpy()[selected], kind="stable")]


def keep(state: Explorer, name: str, selected: np.ndarray) -> None:
    """Keep a selection under a name.

    Raises:
        ValueError: the name is empty, or nothing is selected.
    """
    if not name.strip():
        raise ValueError("give the selection a name")
    if len(selected) == 0:
        raise ValueError(f"{name}: nothing is selected")
    state.selections[name.strip()] = np.asarray(selected)


def compare(state: Explorer, first: str, second: str) -> pd.DataFrame:
    """Compare two kept selections: numbers of images by generator, in one table."""
    parts = {name: counts(state, state.selections[name])["images"] for name in (first, second)}
    return pd.DataFrame(parts).fillna(0).astype(int)


def export(state: Explorer, selected: np.ndarray, folder: Path, *, copies: bool = True) -> Path:
    """Write a selection: `selection.csv` with path and table row, and copies of the images.

    Returns:
        The CSV file.
    """
    table = state.table.iloc[selected].copy()
    table.insert(0, "path", [str(state.paths[i]) for i in selected])
    with atomic_path(Path(folder) / "selection.csv") as temporary:
        table.to_csv(temporary, index=False)
    for number, i in enumerate(selected if copies else ()):
        shutil.copyfile(state.paths[i], Path(folder) / f"{number:04d}_{state.paths[i].name}")
    return Path(folder) / "selection.csv"


def neighbours(
    state: Explorer, new: np.ndarray, count: int = 6, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest explored images of an embedding.

    Args:
        state: What is explored.
        new: (D,) embedding. An explored image is its own nearest neighbour: leave it out of
            `among`.
        count: How many.
        among: Positions to search; all by default.

    Returns:
        Positions and cosine distances, nearest first.
    """
    among = np.arange(len(state)) if among is None else np.asarray(among)
    found, distances = nearest_to(state.embeddings[among], new[None], count)
    return among[found[0]], distances[0]


# Static twins ------------------------------------------------------------------------------------


def colours(state: Explorer, colour_by: str) -> tuple[np.ndarray, dict[str, str]]:
    """Colour every image by a column of the table.

    Returns:
        (N,) colours as hexadecimal, or numbers of a numeric column; and value -> colour, empty for
        a numeric one.

    Raises:
        ValueError: no such column.
    """
    if colour_by in NUMBERS:
        return state.table[colour_by].to_numpy(), {}
    if colour_by not in CATEGORIES:
        choices = ", ".join((*CATEGORIES, *NUMBERS))
        raise ValueError(f"colour by {colour_by!r}: choose one of {choices}")
    values = state.table[colour_by].astype(str)
    present = list(dict.fromkeys(values))
    names = [c for c in state.model.classes if c in present]  # in the order of every other figure
    names += [name for name in present if name not in names]
    if colour_by in ("class", "predicted"):
        legend = {name: plots.colour_of(name) for name in names}
    else:
        legend = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    return values.map(legend).to_numpy(), legend


def figure(
    state: Explorer,
    colour_by: str = "class",
    names: Sequence[str] | None = None,
    highlight: np.ndarray | None = None,
    outline: np.ndarray | None = None,
) -> Figure:
    """Draw the maps side by side: the static twin of the linked maps.

    Args:
        state: What is explored.
        colour_by: A column of the table.
        names: Of the maps; all by default.
        highlight: Positions of images drawn on top, with a black edge.
        outline: Corners of a lasso on the first map.
    """
    names = list(names or state.maps)
    shown, legend = colours(state, colour_by)
    size = (5.2 * len(names), 5.6)
    drawn, axes = plt.subplots(1, len(names), figsize=size, squeeze=False)
    marked = np.zeros(len(state), bool)
    marked[[] if highlight is None else highlight] = True
    limits = (None, None) if legend else (np.nanmin(shown), np.nanmax(shown))
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
        axis.set_title(name)
    if outline is not None:
        axes[0, 0].add_patch(plt.Polygon(outline, fill=False, linewidth=2, linestyle="--"))
    if legend:
        _legend(drawn, legend)
    else:
        drawn.colorbar(dots, ax=list(axes[0]), label=f"{colour_by} (no unit)")
    return drawn


def _legend(drawn: Figure, legend: Mapping[str, str]) -> None:
    handles = [
        plt.Line2D([], [], linestyle="", marker="o", markersize=9, color=colour, label=name)
        for name, colour in legend.items()
    ]
    drawn.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)))


def selection_figure(state: Explorer, selected: np.ndarray, columns: int = 8) -> Figure:
    """Draw selected images with class and confidence: the static twin of the image grid."""
    titles = [
        f"{row['predicted']}\n{row['confidence']:.2f}"
        for _, row in state.table.iloc[selected].iterrows()
    ]
    drawn = plots.image_grid([read_image(state.paths[i]) for i in selected], titles, columns, 1.3)
    for axis, (_, row) in zip(drawn.axes, state.table.iloc[selected].iterrows(), strict=False):
        axis.title.set(fontsize=11, color=plots.colour_of(row["predicted"]))
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
        found, distances = neighbours(state, state.embeddings[position], count, others)
        _picture(line[0], state, position, "the image")
        for axis, i, distance in zip(line[1:], found, distances, strict=False):
            _picture(axis, state, int(i), f"at {distance:.3f}")
    return drawn


def _picture(axis: Axes, state: Explorer, position: int, text: str) -> None:
    name = state.table["class"].iloc[position]
    axis.imshow(read_image(state.paths[position]))
    axis.set_title(f"{name}\n{text}", fontsize=11, pad=3)
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, color=plots.colour_of(name), linewidth=4)
