"""What an explorer holds, and how images get into it: from sets, a table, or added later."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dnadet_lib.attribution import (
    are_known,
    join_features,
    may_name,
    probabilities_of,
    unknown_score,
)
from dnadet_lib.checkpoints.models import find_checkpoint, load_model
from dnadet_lib.data import ImageSet, list_images, origins
from dnadet_lib.explorer.columns import MARKS
from dnadet_lib.explorer.embedding_file import EmbeddingFile, read_embeddings
from dnadet_lib.explorer.projection import place
from dnadet_lib.inference import embed_images, read_features
from dnadet_lib.model import DNADet
from dnadet_lib.plots.style import NOT_LABELLED
from dnadet_lib.plumbing.files import sha256_of
from dnadet_lib.plumbing.notes import listening
from dnadet_lib.plumbing.text import one_line, restored, storable


@dataclass
class Explorer:
    """What is explored: images, what a model says of them, and maps of their embeddings.

    The table has the columns class, predicted (the most probable class), told (whether it could be
    named), generator, set-up, confidence, named rightly, unknown score, known, tags and note.
    `others` has the model and the embeddings (N, D) of another checkpoint by its name; its maps are
    "METHOD, NAME".
    """

    maker: DNADet | None  # the model, or None where a table's checkpoint is there no more
    paths: list[Path]  # (N,) image files
    table: pd.DataFrame  # a row per image; columns as above
    embeddings: np.ndarray  # (N, D)
    probabilities: np.ndarray  # (N, K) of the model's classes
    classes: tuple[str, ...]  # their names
    maps: dict[str, np.ndarray] = field(default_factory=dict)  # name of a map -> (N, 2)
    makers: dict[str, str] = field(default_factory=dict)  # name of a map -> package that made it
    selections: dict[str, np.ndarray] = field(default_factory=dict)  # name -> positions
    errors: list[str] = field(default_factory=list)  # what could not be read, a line per file
    others: dict[str, tuple[DNADet, np.ndarray]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what was done to added images to read them
    note: str = ""  # that a table's checkpoint is another one now, or was not compared
    file: Path | None = None  # the table that was opened, or that was saved last

    @property
    def model(self) -> DNADet:
        """The model that made the embeddings; a ValueError says why it is there no more."""
        if self.maker is None:
            raise ValueError(self.note)
        return self.maker

    def __len__(self) -> int:
        return len(self.paths)

    def title_of(self, name: str) -> str:
        """Name a map and, where that is known, the package that made it."""
        return f"{name}, by {self.makers[name]}" if name in self.makers else name

    def embeddings_of(self, name: str) -> np.ndarray:
        """Return the embeddings (N, D) that a map shows: the model's, or another checkpoint's."""
        checkpoint = name.partition(", ")[2]
        return self.others[checkpoint][1] if checkpoint else self.embeddings


def open_images(model: DNADet, sets: Mapping[str, ImageSet]) -> Explorer:
    """Embed and attribute sets of images, by set-up; their classes need not be the model's.

    A file that cannot be read is left out and named; a ValueError if none can.
    """
    rows, paths, embedded, errors = [], [], [], []
    for setup, images in sets.items():
        makers = origins(np.array(images.makers)).tolist()
        kept, features, failures = read_features(model, images.paths)
        embedded.append(features)
        errors += failures
        paths += [images.paths[i] for i in kept]
        names = [storable(name) for name in images.classes]
        rows += [(names[images.labels[i]], storable(makers[i]), storable(setup)) for i in kept]
    if not rows:
        raise ValueError(f"no image to explore: {errors[0] if errors else 'the sets are empty'}")
    features = join_features(embedded)
    table = pd.DataFrame(rows, columns=["class", "generator", "set-up"])
    scores = unknown_score(model, features.traces)
    probabilities = _describe(model, table, features.embeddings, scores)
    embeddings = features.embeddings.cpu().numpy()
    return Explorer(model, paths, table, embeddings, probabilities, model.classes, errors=errors)


def _describe(
    model: DNADet, table: pd.DataFrame, embeddings: Tensor, unknown_scores: Tensor
) -> np.ndarray:
    """Add what the model says to the table; return the probabilities."""
    scores = unknown_scores.cpu().numpy()
    probabilities = probabilities_of(model, embeddings).cpu().numpy()
    labels = [storable(model.classes[k]) for k in probabilities.argmax(axis=1)]
    told, known = may_name(model, embeddings), are_known(model, scores).tolist()
    _add(table, labels, told, probabilities.max(axis=1), scores, known)
    return probabilities


def _add(
    table: pd.DataFrame, labels: list[str], told: np.ndarray, confidence: np.ndarray,
    scores: np.ndarray, known: Sequence[bool | None],
) -> None:  # fmt: skip
    """Add what a model says, N values each, to the table."""
    table["predicted"] = labels
    table["told"] = told
    table["confidence"] = confidence
    right = (table["predicted"] == table["class"]).astype("boolean")
    table["named rightly"] = right.mask(table["class"] == NOT_LABELLED)
    table["unknown score"] = scores
    table["known"] = pd.array(known, dtype="boolean")
    table[list(MARKS)] = ""


def open_table(file: Path | str, model: DNADet | None = None) -> Explorer:
    """Open what `dnadet embed` wrote, with its maps; rows that are no numbers are left out.

    Labels, probabilities and scores come from the file. If the checkpoint that made them (`model`,
    or that which the file names) is gone or has been overwritten since, `note` says so, and what
    would need it is refused. The class of an image is what the column "truth" says, else "not
    labelled"; its folder stands as its generator, unless `explorer.save` wrote that column. Tags
    and notes are those that it saved. `errors` names images that are gone.

    Raises:
        FileNotFoundError: there is no such file, or it holds embeddings alone, without a
            checkpoint.
        ValueError: the file is no table of embeddings, names no checkpoint and none is given, or
            its embeddings are of another size than the model's.
    """
    read = read_embeddings(Path(file))
    maker, note = _maker(file, read, model)
    if note:
        print(one_line(note), file=sys.stderr)
    truths = [NOT_LABELLED if truth is None else truth for truth in read.truths]
    folders, setup = map(folder_name, read.paths), storable(Path(file).stem)
    table = pd.DataFrame({"class": truths, "generator": list(folders), "set-up": setup})
    if read.said is not None:
        said = read.said
        _add(table, said.labels, said.told, said.confidence, read.scores, said.known)
        probabilities, classes = read.said.probabilities, read.said.classes
    elif maker is not None:
        device = next(maker.parameters()).device
        known = (torch.from_numpy(values).to(device) for values in (read.embeddings, read.scores))
        probabilities, classes = _describe(maker, table, *known), maker.classes
    else:
        raise ValueError(f"{note} The file holds no labels of its own.")
    for name, values in read.kept.items():
        written = np.array([value is not None for value in values])
        table[name] = table[name].mask(written, values)
    return Explorer(
        maker, read.paths, table, read.embeddings, probabilities, classes, maps=read.maps,
        makers=read.makers, errors=[*read.errors, *_lacking(file, read)], note=note,
        file=Path(file),
    )  # fmt: skip


def _lacking(file: Path | str, read: EmbeddingFile) -> list[str]:
    errors = []
    if gone := [str(path) for path in read.paths if not os.path.isfile(path)]:
        errors.append(f"{len(gone)} images are not where {file} says, such as {gone[0]}")
    if not read.maps:
        errors.append(
            f"{file}: holds no map; explorer.add_map makes one, of four or more images that differ"
        )
    return errors


def _maker(
    file: Path | str, read: EmbeddingFile, model: DNADet | None
) -> tuple[DNADet | None, str]:
    """Find the model that made a table: None where it is there no more, and what is to be said."""
    shown = "the file's own labels and scores are shown, and what needs the model is refused."
    if model is None and not read.model and read.said is None:
        raise ValueError(f"{file}: names no checkpoint: give the one that made the embeddings")
    try:
        found = model.sha256 if model else sha256_of(find_checkpoint(restored(read.model)))
        if found and read.sha256 and found != read.sha256:
            name = model.origin if model else read.model
            return None, f"{file}: the checkpoint {name} is not the one that made it: {shown}"
        model = load_model(restored(read.model)) if model is None else model
    except (OSError, ValueError) as error:
        if read.said is None:
            raise
        return None, f"{file}: its checkpoint cannot be had ({error}): {shown}"
    size = read.embeddings.shape[1]
    if size != model.embedding_size:
        raise ValueError(
            f"{file}: embeddings of {size} numbers, the model's have {model.embedding_size}: "
            "give the checkpoint that made them"
        )
    if found and read.sha256:
        return model, ""
    return model, f"{file}: not checked whether {model.origin} is the checkpoint that made it"


def folder_name(path: Path) -> str:
    """Name the folder that an image lies in."""
    return storable(path.absolute().parent.name)


def add_images(state: Explorer, sources: Iterable[Path | str], name: str = "added") -> np.ndarray:
    """Embed images of files, folders or globs, and place them on the maps, whose points stay.

    They come at the end, and their positions are returned. What cannot be read is named in
    `state.errors`, what was done to an image to read it in `state.notes`. Their class is "not
    labelled", `name` is that of their set-up. A ValueError if the model is there no more.
    """
    model, paths = state.model, []
    with listening(state.notes.append):
        for source in sources:
            try:
                paths += list_images(source)
            except (OSError, ValueError) as error:
                state.errors.append(str(error))
        kept, features, errors = read_features(model, paths)
    state.errors += errors
    paths = [paths[i] for i in kept]
    if not paths:
        return np.array([], int)
    folders = [folder_name(path.resolve()) for path in paths]
    table = pd.DataFrame({"class": NOT_LABELLED, "generator": folders, "set-up": storable(name)})
    scores, first = unknown_score(model, features.traces), len(state)
    probabilities = _describe(model, table, features.embeddings, scores)
    embeddings = features.embeddings.cpu().numpy()
    _place(state, paths, embeddings)
    state.paths += paths
    state.table = pd.concat([state.table, table], ignore_index=True)
    state.embeddings = np.concatenate([state.embeddings, embeddings])
    state.probabilities = np.concatenate([state.probabilities, probabilities])
    return np.arange(first, len(state))


def _place(state: Explorer, paths: Sequence[Path], embeddings: np.ndarray) -> None:
    """Place further images on every map, by the embeddings of the checkpoint that it shows."""
    others = {name: embed_images(other, paths) for name, (other, _) in state.others.items()}
    for title, points in state.maps.items():
        checkpoint = title.partition(", ")[2]
        new = others[checkpoint] if checkpoint else embeddings
        placed = place(state.embeddings_of(title), points, new)
        state.maps[title] = np.concatenate([points, placed.astype(np.float32)])
    for name, (other, old) in state.others.items():
        state.others[name] = other, np.concatenate([old, others[name]])


def add_checkpoint(state: Explorer, name: str, model: DNADet) -> None:
    """Embed the images with another checkpoint too; a ValueError names one it cannot take."""
    try:
        state.others[name] = model, embed_images(model, state.paths)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
