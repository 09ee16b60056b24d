"""What is explored, written back into its table of embeddings, tags and notes included."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dnadet_lib.explorer.columns import MARKS
from dnadet_lib.explorer.embedding_file import (
    KEPT,
    NEAREST,
    ROWS,
    SCORE,
    TRUTH,
    read_embeddings,
    row_schema,
    stored_classes,
)
from dnadet_lib.explorer.projection import METHODS
from dnadet_lib.explorer.rewriting import (
    Columns,
    keys_of,
    rewrite,
    rewrite_marks,
    values_of,
    with_texts,
)
from dnadet_lib.explorer.state import Explorer
from dnadet_lib.explorer.tags import marked
from dnadet_lib.plots.style import NOT_LABELLED
from dnadet_lib.plumbing.files import (
    atomic_path,
    named_if_not_written,
    require_apart,
    require_writable,
)
from dnadet_lib.plumbing.text import storable


@dataclass(frozen=True)
class Saved:
    """What `save` wrote."""

    file: Path
    rows: int  # of the file
    added: int  # of them, images that an older file did not hold
    tagged: int  # images of the explorer, in the file, that have a tag
    noted: int  # that have a note
    absent: int  # images that have one and are not in the file, which another run wrote
    maps: tuple[str, ...]  # that are not in the file, since they show another checkpoint

    def lines(self) -> list[str]:
        """Say what was written."""
        said = [f"saved: {self.file}, {self.rows} images, {self.tagged} with tags and "
                f"{self.noted} with a note"]  # fmt: skip
        if self.added:
            said.append(f"{self.added} images were added to it")
        if self.absent:
            said.append(f"{self.absent} images with tags or a note are not in it")
        if self.maps:
            said.append(f"not in it, since it shows another checkpoint: {'; '.join(self.maps)}")
        return said


def save(state: Explorer, file: Path | str | None = None) -> Saved:
    """Write what is explored into a Parquet file that `open_table` reads.

    The file that was opened keeps all it holds, and gets tags, notes, maps and added images; under
    another name, a copy of it does. A file of another run keeps all it holds too, and gets tags and
    notes alone, those of images that it has, by path. If saving fails, the old file is left whole.

    Args:
        state: What is explored.
        file: By default the one that was opened, or saved last.

    Raises:
        ValueError: no file is named, or it is one of the images, no table of embeddings, or its
            name does not end in .parquet.
        OSError: it cannot be written.
    """
    if file is None and state.file is None:
        raise ValueError("no table was opened that could be saved: name a file")
    target = Path(file or state.file or "")
    if target.suffix != ".parquet":
        raise ValueError(f"{target}: the table is written as Parquet; end its name in .parquet")
    require_apart(target, state.paths)
    require_writable(target)
    with named_if_not_written(target):
        opened = state.file if state.file and state.file.is_file() else None
        another = target.is_file() and not (opened and target.samefile(opened))
        own = opened if opened and not another and _is_own(state, opened) else None
        if target.is_file() and not own:
            return _write_marks(state, target)
        saved = _write_back(state, own, target) if own else _write_new(state, target)
    state.file = target
    return saved


def unused(folder: Path) -> Path:
    """Name a table in a folder that is not there yet: `maps.parquet`, else `maps-2.parquet`, ..."""
    file, number = folder / "maps.parquet", 1
    while file.exists():
        number += 1
        file = folder / f"maps-{number}.parquet"
    return file


def _is_own(state: Explorer, file: Path) -> bool:
    """Whether the file that was opened is still by the checkpoint that it was by."""
    read_embeddings(file)  # a ValueError if it is none
    with file.open("rb") as stream:
        parquet = pq.ParquetFile(stream)
        schema = parquet.schema_arrow
        first = next(parquet.iter_batches(1, columns=["embedding"])).column("embedding")[0]
    digest = (schema.metadata or {}).get(b"sha256", b"").decode(errors="replace")
    by_another = state.maker is not None and digest not in ("", state.maker.sha256)
    classes = stored_classes(schema)[0]
    fits = len(first) == state.embeddings.shape[1] and classes in ((), state.classes)
    return fits and not by_another


def _write_new(state: Explorer, target: Path) -> Saved:
    """Write a file of the explorer alone."""
    name, digest = (state.maker.origin, state.maker.sha256) if state.maker else ("", "")
    schema = row_schema(state.classes, state.embeddings.shape[1], name, digest)
    schema = _with_columns(schema, state, target)
    with atomic_path(target) as temporary, temporary.open("wb") as out:
        with pq.ParquetWriter(out, schema) as writer:
            for batch in _rows(state, np.arange(len(state)), schema):
                writer.write_batch(batch)
    return _saved(state, target, len(state), 0, np.arange(len(state)))


def _write_back(state: Explorer, base: Path, target: Path) -> Saved:
    """Write the rows of a file with what the explorer holds of them, and those that it added."""
    places = {key: position for position, key in enumerate(keys_of(state.paths))}
    read = read_embeddings(base)
    with base.open("rb") as stream:
        parquet = pq.ParquetFile(stream)
        schema = _with_columns(parquet.schema_arrow, state, base)
        at = np.full(parquet.metadata.num_rows, -1)  # a row may be left out on reading
    at[read.rows] = [places.get(key, -1) for key in keys_of(read.paths)]
    further = np.setdiff1d(np.arange(len(state)), at)

    def change(batch: pa.RecordBatch, rows: np.ndarray) -> Columns:
        here = at[rows]
        return {
            name: np.where(here >= 0, values, values_of(batch, name))
            for name, values in _own_columns(state, here).items()
        }

    rows = rewrite(base, target, schema, change, lambda: _rows(state, further, schema))
    return _saved(state, target, rows, len(further), np.arange(len(state)))


def _write_marks(state: Explorer, target: Path) -> Saved:
    """Bring tags and notes into a file of another run."""
    read_embeddings(target)  # a ValueError if it is none
    table, keys = state.table, list(keys_of(state.paths))
    marks = {keys[i]: [table[name].iloc[i] for name in MARKS] for i in marked(state)}
    with target.open("rb") as stream:
        there = set(keys_of(pq.ParquetFile(stream).read(["path"]).column("path").to_pylist()))
    rows = rewrite_marks(target, target, marks)
    inside = np.array([i for i, key in enumerate(keys) if key in there], int)
    absent = sum(key not in there for key in marks)
    return _saved(state, target, rows, 0, inside, absent)


def _with_columns(schema: pa.Schema, state: Explorer, file: Path) -> pa.Schema:
    """Add the columns of a file that hold what the explorer knows beyond the model's answers."""
    schema = with_texts(schema, KEPT, file)
    for name in (f"{m} {axis}" for m in METHODS if m in state.maps for axis in "xy"):
        if name not in schema.names:
            schema = schema.append(pa.field(name, pa.float32()))
    return schema


def _own_columns(state: Explorer, at: np.ndarray) -> dict[str, np.ndarray]:
    """Give tags, notes and places on maps of the images at some positions."""
    found = {}
    for name in KEPT:
        values = state.table[name].to_numpy(object)[at]
        found[name] = np.array([value or None for value in values], object)
    for method in (m for m in METHODS if m in state.maps):
        for axis, values in zip("xy", state.maps[method][at].T, strict=True):
            found[f"{method} {axis}"] = values
    return found


def _rows(state: Explorer, positions: np.ndarray, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Give the rows of some images, as `dnadet embed` writes them; other columns are empty."""
    classes, columns = stored_classes(schema)
    order = [state.classes.index(name) for name in classes]
    for start in range(0, len(positions), ROWS):
        at = positions[start : start + ROWS]
        table = state.table.iloc[at]
        known = {
            "path": [storable(state.paths[i]) for i in at],
            TRUTH: table["class"].where(table["class"] != NOT_LABELLED, None),
            "label": table["predicted"].where(table["told"], None), NEAREST: table["predicted"],
            "confidence": table["confidence"], SCORE: table["unknown score"],
            "known": table["known"], "embedding": list(state.embeddings[at]),
            **dict(zip(columns, state.probabilities[at][:, order].T, strict=True)),
            **_own_columns(state, at),
        }  # fmt: skip
        arrays = [
            # pandas keeps text that came in parts as parts, which a batch of Arrow cannot hold
            pa.array(list(known[field.name]), field.type, from_pandas=True)
            if field.name in known
            else pa.nulls(len(at), field.type)
            for field in schema
        ]
        yield pa.record_batch(arrays, schema=schema)


def _saved(
    state: Explorer, file: Path, rows: int, added: int, inside: np.ndarray, absent: int = 0
) -> Saved:
    table = state.table.iloc[inside]
    tagged, noted = (int((table[name] != "").sum()) for name in MARKS)
    maps = tuple(name for name in state.maps if name not in METHODS)
    return Saved(file, rows, added, tagged, noted, absent, maps)
