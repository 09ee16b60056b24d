"""The explorer: look behind the points of a map, through plain functions on one object.

The widgets in `explorer_widgets` call these functions and hold no logic of their own; each view has
a static twin in `explorer_figures`, a figure.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.path import Path as Outline
from torch import Tensor

from dnadet_lib.data import ImageSet, list_images
from dnadet_lib.embedding import FIT_AT_MOST, map_quality, nearest_to, place, project
from dnadet_lib.embedding_file import read_embeddings
from dnadet_lib.evaluation import embed_images
from dnadet_lib.explorer_figures import (
    CATEGORIES,
    NOT_LABELLED,
    NUMBERS,
    as_text,
    colours,
    figure,
    neighbours_figure,
    selection_figure,
)
from dnadet_lib.files import atomic_path
from dnadet_lib.model import DNADet, Features, join_features, load_model
from dnadet_lib.paths import build_folder

BATCH = 100  # images decoded at a time


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
        others: Name of another checkpoint -> its model and its embeddings (N, D) of these images.
            Its maps are named "METHOD, NAME".
    """

    model: DNADet
    paths: list[Path]
    table: pd.DataFrame
    embeddings: np.ndarray
    probabilities: np.ndarray
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    selections: dict[str, np.ndarray] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    others: dict[str, tuple[DNADet, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def embeddings_of(self, name: str) -> np.ndarray:
        """Return the embeddings (N, D) that a map shows: the model's, or another checkpoint's."""
        checkpoint = name.partition(", ")[2]
        return self.others[checkpoint][1] if checkpoint else self.embeddings


# Opening -----------------------------------------------------------------------------------------


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
        kept, features, failures = read_features(model, images.paths)
        embedded.append(features)
        errors += failures
        paths += [images.paths[i] for i in kept]
        rows += [(images.classes[images.labels[i]], origin(sources[i]), setup) for i in kept]
    if not rows:
        raise ValueError(f"no image to explore: {errors[0] if errors else 'the sets are empty'}")
    features = join_features(embedded)
    table = pd.DataFrame(rows, columns=["class", "generator", "set-up"])
    scores = model.unknown_score(features.traces)
    probabilities = _describe(model, table, features.embeddings, scores)
    embeddings = features.embeddings.cpu().numpy()
    return Explorer(model, paths, table, embeddings, probabilities, errors=errors)


def read_features(model: DNADet, paths: Sequence[Path]) -> tuple[list[int], Features, list[str]]:
    """Make the features of the images that can be read, in batches.

    Returns:
        Their positions, their features, and a line for each other file.
    """
    kept, errors = [], []
    device = next(model.parameters()).device
    nothing = torch.empty(0, model.embedding_size), model.reference[:0]
    embedded = [Features(*(tensor.to(device) for tensor in nothing))]
    for start in range(0, len(paths), BATCH):
        views = []
        for i in range(start, min(start + BATCH, len(paths))):
            try:
                views.append(model.views_of(paths[i]))
            except (OSError, ValueError) as error:
                errors.append(str(error))
                continue
            kept.append(i)
        if views:
            embedded.append(model.infer(views))
    return kept, join_features(embedded), errors


def origin(source: str) -> str:
    """Name what an image counts under: its generator, or `real/CONTENT` for a crop."""
    return "/".join(source.split("/")[:2]) if source.startswith("real/") else source


def _describe(
    model: DNADet, table: pd.DataFrame, embeddings: Tensor, unknown_scores: Tensor
) -> np.ndarray:
    """Add what the model says to the table; return the probabilities."""
    probabilities = model.probabilities(embeddings).cpu().numpy()
    scores = unknown_scores.cpu().numpy()
    table["predicted"] = [model.classes[k] for k in probabilities.argmax(axis=1)]
    table["confidence"] = probabilities.max(axis=1)
    right = (table["predicted"] == table["class"]).astype("boolean")
    table["named rightly"] = right.mask(table["class"] == NOT_LABELLED)
    table["unknown score"] = scores
    table["known"] = ~(scores > model.threshold)
    return probabilities


def open_table(file: Path | str, model: DNADet | None = None) -> Explorer:
    """Open what `dnadet embed` wrote, with its maps; rows that are no numbers are left out.

    An image's folder stands as its class and its generator. Images are read when they are looked
    at; those that are gone are named in `errors`, and keep their points.

    Args:
        file: Parquet file.
        model: What made the embeddings; by default the checkpoint that the file names.

    Raises:
        FileNotFoundError: there is no such file, or no such checkpoint.
        ValueError: the file is no table of embeddings, or of another size than the model's.
    """
    read = read_embeddings(Path(file))
    model = load_model(read.model) if model is None else model
    size = read.embeddings.shape[1]
    if size != model.embedding_size:
        raise ValueError(
            f"{file}: embeddings of {size} numbers, the model's have {model.embedding_size}: "
            "give the checkpoint that made them"
        )
    errors = list(read.errors)
    gone = [str(path) for path in read.paths if not path.is_file()]
    if gone:
        errors.append(f"{len(gone)} images are not where {file} says, such as {gone[0]}")
    folders = [path.parent.name for path in read.paths]
    table = pd.DataFrame({"class": folders, "generator": folders, "set-up": Path(file).stem})
    device = next(model.parameters()).device
    known = (torch.from_numpy(values).to(device) for values in (read.embeddings, read.scores))
    probabilities = _describe(model, table, *known)
    return Explorer(
        model, read.paths, table, read.embeddings, probabilities, maps=read.maps, errors=errors
    )


def add_images(state: Explorer, sources: Iterable[Path | str], name: str = "added") -> np.ndarray:
    """Embed further images and place them on the maps, which stay as they are.

    What cannot be read is named in `state.errors`. Nothing is known of who made the images: their
    class is "not labelled".

    Args:
        state: Gets the images, at the end.
        sources: Files, folders or globs.
        name: Of their set-up.

    Returns:
        Positions of the added images.
    """
    paths = []
    for source in sources:
        try:
            paths += list_images(source)
        except (OSError, ValueError) as error:
            state.errors.append(str(error))
    kept, features, errors = read_features(state.model, paths)
    state.errors += errors
    paths = [paths[i] for i in kept]
    if not paths:
        return np.array([], int)
    folders = [path.resolve().parent.name for path in paths]
    table = pd.DataFrame({"class": NOT_LABELLED, "generator": folders, "set-up": name})
    scores = state.model.unknown_score(features.traces)
    probabilities = _describe(state.model, table, features.embeddings, scores)
    embeddings = features.embeddings.cpu().numpy()
    others = {
        checkpoint: (model, embed_images(model, paths))
        for checkpoint, (model, _) in state.others.items()
    }
    for title, points in state.maps.items():
        checkpoint = title.partition(", ")[2]
        new = others[checkpoint][1] if checkpoint else embeddings
        placed = place(state.embeddings_of(title), points, new)
        state.maps[title] = np.concatenate([points, placed.astype(np.float32)])
    first = len(state)
    for checkpoint, (model, old) in state.others.items():
        state.others[checkpoint] = model, np.concatenate([old, others[checkpoint][1]])
    state.paths += paths
    state.table = pd.concat([state.table, table], ignore_index=True)
    state.embeddings = np.concatenate([state.embeddings, embeddings])
    state.probabilities = np.concatenate([state.probabilities, probabilities])
    return np.arange(first, len(state))


def add_checkpoint(state: Explorer, name: str, model: DNADet) -> None:
    """Embed the explored images with another checkpoint too, to map both side by side.

    Raises:
        ValueError: the checkpoint cannot take one of the images; its file is named.
    """
    try:
        state.others[name] = model, embed_images(model, state.paths)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


# Maps --------------------------------------------------------------------------------------------


def add_map(
    state: Explorer, method: str = "t-SNE", seed: int = 0, checkpoint: str = ""
) -> np.ndarray:
    """Project the embeddings and keep the map under the method's name.

    It is read again from `build/cache/maps` where these embeddings have been projected before.
    Beyond 20,000 images, a seeded sample is projected and the rest is placed among it.

    Args:
        state: Gets the map.
        method: "t-SNE", "UMAP" or "PCA".
        seed: Of the projection.
        checkpoint: Name of one of `state.others`, whose embeddings are mapped then.

    Returns:
        (N, 2).
    """
    name = f"{method}, {checkpoint}" if checkpoint else method
    embeddings = state.embeddings_of(name)
    content = hashlib.sha256(np.ascontiguousarray(embeddings).tobytes())
    content.update(f"{method} {seed}".encode())
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
    state.maps[name] = np.load(file)
    return state.maps[name]


def quality(state: Explorer, names: Sequence[str] = ()) -> pd.DataFrame:
    """Score maps, all by default: trustworthiness, kNN accuracy, silhouette of labelled classes.

    Raises:
        ValueError: fewer than two classes have two images or more.
    """
    labelled = np.flatnonzero(state.table["class"] != NOT_LABELLED)
    labels = pd.factorize(state.table["class"].iloc[labelled])[0]
    rows = {
        name: map_quality(state.embeddings_of(name)[labelled], state.maps[name][labelled], labels)
        for name in names or state.maps
    }
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
    table["named rightly"] = groups["named rightly"].mean().astype(float)
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
    """Compare two kept selections: numbers of images by generator, in one table.

    Raises:
        ValueError: nothing is kept under one of the names.
    """
    parts = {name: counts(state, _kept(state, name))["images"] for name in (first, second)}
    return pd.DataFrame(parts).fillna(0).astype(int)


def _kept(state: Explorer, name: str) -> np.ndarray:
    if name not in state.selections:
        kept = ", ".join(state.selections) or "none yet"
        raise ValueError(f"no selection {name!r}: there are {kept}")
    return state.selections[name]


def frame(state: Explorer, selected: np.ndarray | str) -> pd.DataFrame:
    """Return the table's rows of a selection, or of a kept one by its name, with the paths.

    Raises:
        ValueError: nothing is kept under that name.
    """
    if isinstance(selected, str):
        selected = _kept(state, selected)
    table = state.table.iloc[selected].copy()
    table.insert(0, "path", [str(state.paths[i]) for i in selected])
    return table


def export(state: Explorer, selected: np.ndarray, folder: Path, *, copies: bool = True) -> Path:
    """Write a selection: `selection.csv` with path and table row, and copies of the images.

    Returns:
        The CSV file.

    Raises:
        OSError: an image is gone; it is named. The CSV file is there.
    """
    with atomic_path(Path(folder) / "selection.csv") as temporary:
        frame(state, selected).to_csv(temporary, index=False)
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


def moved(state: Explorer, name: str, embedding: np.ndarray) -> np.ndarray:
    """Place one embedding (D,) on a map of the model's: (2,), where its neighbours are."""
    return place(state.embeddings, state.maps[name], embedding[None])[0]


__all__ = [
    "CATEGORIES",
    "NUMBERS",
    "Explorer",
    "add_checkpoint",
    "add_images",
    "add_map",
    "as_text",
    "by_confidence",
    "circle",
    "colours",
    "compare",
    "counts",
    "export",
    "figure",
    "frame",
    "keep",
    "lasso",
    "moved",
    "neighbours",
    "neighbours_figure",
    "open_images",
    "open_table",
    "quality",
    "selection_figure",
]
