"""A table of embeddings written anew with some columns changed, a batch of rows at a time."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dnadet_lib.explorer.columns import MARKS
from dnadet_lib.explorer.embedding_file import ROWS, holds_text
from dnadet_lib.explorer.tags import joined
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.text import restored, storable

Key = tuple[str, int]  # a path, and which of its rows: 0 for the first
Columns = Mapping[str, Sequence[Any] | np.ndarray]  # name -> a value for every row of a batch
Change = Callable[[pa.RecordBatch, np.ndarray], Columns]  # a batch, its rows' places in the file


def rewrite(
    base: Path, target: Path, schema: pa.Schema, change: Change,
    more: Callable[[], Iterable[pa.RecordBatch]] = tuple,
) -> int:  # fmt: skip
    """Write a file's rows with some columns changed, and further rows; return their number."""
    rows = 0
    with atomic_path(target) as temporary, base.open("rb") as stream:
        with temporary.open("wb") as out, pq.ParquetWriter(out, schema) as writer:
            for batch in pq.ParquetFile(stream).iter_batches(ROWS):
                columns = change(batch, np.arange(rows, rows + len(batch)))
                arrays = [
                    pa.array(columns[field.name], field.type, from_pandas=True)
                    if field.name in columns
                    else batch.column(place)
                    for place, field in enumerate(schema)  # further columns stand at the end
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                rows += len(batch)
            for batch in more():
                writer.write_batch(batch)
                rows += len(batch)
    return rows


def keys_of(paths: Iterable[Path | str | None]) -> Iterator[Key]:
    """Name rows by their images."""
    counted = Counter[str]()
    for path in paths:
        found = restored(path) if isinstance(path, str) else path or ""
        name = storable(os.path.abspath(found)) if found else ""
        yield name, counted[name]
        counted[name] += 1


def values_of(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """Return a column's values as objects (N,), None where nothing stands or it is not there."""
    if name not in batch.schema.names:
        return np.full(len(batch), None, object)
    found = np.empty(len(batch), object)
    found[:] = batch.column(batch.schema.names.index(name)).to_pylist()
    return found


def _texts(values: Any) -> list[str]:
    values = values.to_pylist() if hasattr(values, "to_pylist") else values
    return ["" if value is None else str(value) for value in values]


def with_texts(schema: pa.Schema, names: Sequence[str], file: Path) -> pa.Schema:
    """Add the columns of text that are not there; a ValueError if one holds something else."""
    for name in names:
        if name not in schema.names:
            schema = schema.append(pa.field(name, pa.string()))
        elif not holds_text(schema, name):
            raise ValueError(f"{file}: its column {name!r} holds no text: nothing can be saved")
    return schema


def carry_marks(old: Path, new: Path) -> None:
    """Bring the tags and notes of a file into another one, which is to take its place."""
    try:
        with old.open("rb") as stream:
            parquet = pq.ParquetFile(stream)
            names = [name for name in MARKS if holds_text(parquet.schema_arrow, name)]
            if not names or not holds_text(parquet.schema_arrow, "path"):
                return
            table = parquet.read(["path", *names])
    except (OSError, pa.ArrowException):
        return  # it is no table, and holds none
    columns = [_texts(table.column(name)) if name in names else None for name in MARKS]
    keys = list(keys_of(table.column("path").to_pylist()))
    marks = {
        key: values
        for i, key in enumerate(keys)
        if any(values := ["" if c is None else c[i] for c in columns])
    }
    if marks:
        rewrite_marks(new, new, marks)


def rewrite_marks(base: Path, target: Path, marks: Mapping[Key, Sequence[str]]) -> int:
    """Write a file with further tags and notes, beside those that it holds."""

    def change(batch: pa.RecordBatch, rows: np.ndarray) -> Columns:
        old = [_texts(values_of(batch, name)) for name in MARKS]
        new = [marks.get(keys[row], ("", "")) for row in rows]
        tags = [joined(had, more) for had, (more, _) in zip(old[0], new, strict=True)]
        notes = [_both(had, more) for had, (_, more) in zip(old[1], new, strict=True)]
        return {"tags": [tag or None for tag in tags], "note": [note or None for note in notes]}

    with base.open("rb") as stream:
        parquet = pq.ParquetFile(stream)
        schema = with_texts(parquet.schema_arrow, MARKS, base)
        keys = list(keys_of(parquet.read(["path"]).column("path").to_pylist()))
    return rewrite(base, target, schema, change)


def _both(had: str, more: str) -> str:
    """Join two notes, unless one says what the other does."""
    return had if more in had else more if had in more else f"{had}; {more}"
