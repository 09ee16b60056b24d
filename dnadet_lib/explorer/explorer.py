"""The explorer: look behind the points of a map, through plain functions on one object.

Opening is in `explorer.state`, the static twin of each view in `explorer.figures`; these,
searching, filtering, tags and saving are reached through this module. Widgets call these
functions and hold no logic of their own.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.path import Path as Outline

from dnadet_lib.explorer.figures import (
    CATEGORIES as CATEGORIES,
    MARKS as MARKS,
    NUMBERS as NUMBERS,
    as_text as as_text,
    colours as colours,
    figure as figure,
    histograms_figure as histograms_figure,
    neighbours_figure as neighbours_figure,
    selection_figure as selection_figure,
)
from dnadet_lib.explorer.filtering import (
    Filters as Filters,
    histogram as histogram,
    limit as limit,
    passing as passing,
    scale as scale,
)
from dnadet_lib.explorer.projection import (
    FIT_AT_MOST,
    maker_of,
    map_quality,
    nearest_to,
    place,
    project,
    projection_code,
)
from dnadet_lib.explorer.saving import Saved as Saved, save as save, unused as unused
from dnadet_lib.explorer.searching import search as search
from dnadet_lib.explorer.state import (
    Explorer as Explorer,
    add_checkpoint as add_checkpoint,
    add_images as add_images,
    open_images as open_images,
    open_table as open_table,
)
from dnadet_lib.explorer.tags import annotate as annotate, tag as tag, untag as untag
from dnadet_lib.plots.style import NOT_LABELLED
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.own_files import write_own
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.plumbing.text import storable, table_for_csv

NAME_AT_MOST = 60  # characters of a copy's name after its number: a name has 255 bytes at most


def add_map(
    state: Explorer, method: str = "t-SNE", seed: int = 0, checkpoint: str = ""
) -> np.ndarray:
    """Project the embeddings by "t-SNE", "UMAP" or "PCA", and keep the map (N, 2) under that name.

    With `checkpoint`, those of one of `state.others` are mapped. A map is read again from
    `build/cache/maps` where the same code has projected these embeddings. Beyond 20,000 images, a
    seeded sample is projected and the rest is placed among it.
    """
    name = f"{method}, {checkpoint}" if checkpoint else method
    embeddings = state.embeddings_of(name)
    content = hashlib.sha256(np.ascontiguousarray(embeddings).tobytes())
    maker = maker_of(method, min(len(state), FIT_AT_MOST))
    content.update(f"{embeddings.shape} {method} {maker} {seed} {projection_code()}".encode())
    file = build_folder() / "cache" / "maps" / f"{content.hexdigest()[:20]}.npy"
    if not file.is_file():
        order = np.random.default_rng(seed).permutation(len(state))
        fitted, rest = np.sort(order[:FIT_AT_MOST]), order[FIT_AT_MOST:]
        points = np.empty((len(state), 2), np.float32)
        points[fitted] = project(embeddings[fitted], method, seed=seed)
        if len(rest):
            points[rest] = place(embeddings[fitted], points[fitted], embeddings[rest])
        with atomic_path(file) as temporary:
            np.save(temporary, points)
    state.maps[name], state.makers[name] = np.load(file), maker
    return state.maps[name]


def quality(state: Explorer, names: Sequence[str] = ()) -> pd.DataFrame:
    """Score maps, all by default, as `map_quality`; a ValueError if too few images are labelled."""
    labelled = np.flatnonzero(state.table["class"] != NOT_LABELLED)
    labels = pd.factorize(state.table["class"].iloc[labelled])[0]
    rows = {
        name: map_quality(state.embeddings_of(name)[labelled], state.maps[name][labelled], labels)
        for name in names or state.maps
    }
    return pd.DataFrame(rows).T


def lasso(state: Explorer, name: str, corners: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the positions of the images inside a polygon of three corners (x, y) or more."""
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
    """Count a selection by class, generator and set-up.

    The share is of all explored images of that generator and set-up.
    """
    keys = ["class", "generator", "set-up"]
    everything = state.table.groupby(keys).size()
    groups = state.table.iloc[selected].groupby(keys)
    table = pd.DataFrame({"images": groups.size()})
    table["share"] = table["images"] / everything.reindex(table.index)
    table["named rightly"] = groups["named rightly"].mean().astype(float)
    table["refused"] = (1 - groups["known"].mean()).astype(float)  # NaN where it was not checked
    return table.sort_values("images", ascending=False)


def by_confidence(state: Explorer, selected: np.ndarray) -> np.ndarray:
    """Sort a selection, the least confident first."""
    return selected[np.argsort(state.table["confidence"].to_numpy()[selected], kind="stable")]


def keep(state: Explorer, name: str, selected: np.ndarray) -> None:
    """Keep a selection under a name; a ValueError if either is empty."""
    if not name.strip():
        raise ValueError("give the selection a name")
    if len(selected) == 0:
        raise ValueError(f"{name}: nothing is selected")
    state.selections[name.strip()] = np.asarray(selected)


def compare(state: Explorer, first: str, second: str) -> pd.DataFrame:
    """Compare two kept selections: numbers of images by generator, in one table."""
    parts = {name: counts(state, _kept(state, name))["images"] for name in (first, second)}
    return pd.DataFrame(parts).fillna(0).astype(int)


def _kept(state: Explorer, name: str) -> np.ndarray:
    if name not in state.selections:
        kept = ", ".join(state.selections) or "none yet"
        raise ValueError(f"no selection {name!r}: there are {kept}")
    return state.selections[name]


def frame(state: Explorer, selected: np.ndarray | str) -> pd.DataFrame:
    """Return the table's rows of a selection, or of a kept one by its name, with the paths."""
    if isinstance(selected, str):
        selected = _kept(state, selected)
    table = state.table.iloc[selected].copy()
    table.insert(0, "path", [storable(state.paths[i]) for i in selected])
    return table


def export(state: Explorer, selected: np.ndarray, folder: Path, *, copies: bool = True) -> Path:
    """Write a selection: `selection.csv` with path and table row, and copies of the images.

    A file of that name which no export wrote is not touched. Returns the CSV file.

    Raises:
        OSError: an image is gone (it is named, the CSV file is there), somebody else's file is in
            the way, a file cannot be written, or another process exports into the folder.
    """
    text = table_for_csv(frame(state, selected)).to_csv(index=False)
    files: dict[str, bytes | Path] = {"selection.csv": text.encode()}
    for number, i in enumerate(selected if copies else ()):
        files[f"{number:04d}_{state.paths[i].name[-NAME_AT_MOST:]}"] = state.paths[i]
    write_own(Path(folder), files)
    return Path(folder) / "selection.csv"


def neighbours(
    state: Explorer, new: np.ndarray, count: int = 6, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the `count` explored images nearest to an embedding (D,), all or `among` some positions.

    An explored image is its own nearest neighbour: leave it out of `among`. Returns positions and
    cosine distances, nearest first.
    """
    among = np.arange(len(state)) if among is None else np.asarray(among)
    found, distances = nearest_to(state.embeddings[among], new[None], count)
    return among[found[0]], distances[0]


def moved(state: Explorer, name: str, embedding: np.ndarray) -> np.ndarray:
    """Place an embedding (D,) of the model's on a map, (2,); a ValueError if the model is gone."""
    if state.maker is None:
        raise ValueError(state.note)
    return place(state.embeddings, state.maps[name], embedding[None])[0]
