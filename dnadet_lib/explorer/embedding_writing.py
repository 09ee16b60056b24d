"""Embeddings of many images as one Parquet file, in batches."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dnadet_lib.attribution import Features, attribution
from dnadet_lib.explorer.embedding_file import (
    MAKERS,
    ROWS,
    as_matrix,
    row_schema,
)
from dnadet_lib.explorer.embedding_parts import ERRORS, START, STOP, Parts, key_of, open_parts
from dnadet_lib.explorer.projection import (
    FIT_AT_MOST,
    METHODS,
    maker_of,
    map_fault,
    place,
    project,
)
from dnadet_lib.explorer.rewriting import carry_marks
from dnadet_lib.inference import stream
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.files import (
    atomic_path,
    named_if_not_written,
    require_apart,
    require_writable,
)
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import storable

PART = 500  # images, at least, that are kept at a time while the table is made


def write_embeddings(
    model: DNADet, paths: Sequence[Path], file: Path, *, name: str,
    methods: Sequence[str] = METHODS, seed: int = 0, truths: Sequence[str | None] = (),
    progress: Callable[[int], None] = lambda count: None,
) -> tuple[int, list[str]]:  # fmt: skip
    r"""Attribute images and write a row for each that can be read, in batches.

    Maps are fitted on a seeded sample of at most 20,000 rows, and the other rows placed on them.
    Rows are kept beside the file in parts; a run that was killed goes on after the last one. Tags
    and notes of a file that was there stay with their images.
    Columns are path (a byte that is no UTF-8 as `\xe9`), truth, label (null where the model cannot
    tell), nearest (the most probable class), confidence, unknown_score, known, "p_CLASS" for the
    probability of each class, embedding, and "METHOD x" and "METHOD y" for each map.

    Args:
        model: Embeds and attributes.
        paths: Image files.
        file: Parquet file to write.
        name: Of the checkpoint, kept in the file beside the SHA-256 of its file.
        methods: Of "t-SNE", "UMAP", "PCA"; none for fewer than four images that differ.
        seed: Of sample and maps.
        truths: (N,) class of each image, None where it is not known; empty if none is.
        progress: Called with the number of images done since the last call.

    Returns the number of rows, and a line per file that was left out; without a row, nothing is
    written. A ValueError if the file is one of the images, or its name does not end in .parquet; an
    OSError if it cannot be written, and what was there is kept.
    """
    if Path(file).suffix != ".parquet":
        raise ValueError(f"{file}: the table is written as Parquet; end its name in .parquet")
    require_apart(file, paths)
    require_writable(file)
    truths = truths or [None] * len(paths)  # nothing is known of any image
    key = key_of(model, paths, truths, name)
    with named_if_not_written(file):
        parts = open_parts(Path(file), key, len(paths))
        _write_rows(model, paths, truths, parts, name, progress)
        if count := parts.rows:
            _write_with_maps(parts.files, file, count, methods, seed)
        parts.remove()
    return count, parts.errors


def _write_with_maps(
    rows: Sequence[Path], file: Path, count: int, methods: Sequence[str], seed: int
) -> None:
    """Copy the rows of all parts and add their places on the maps."""
    with atomic_path(file) as temporary:
        order = np.random.default_rng(seed).permutation(count)
        fitted = np.sort(order[:FIT_AT_MOST])
        sample = _rows_at(rows, fitted)
        if methods and (fault := map_fault(sample)):
            note(f"{file}: no map is made: {fault}")
            methods = ()
        maps = {method: project(sample, method, seed=seed) for method in methods}
        fields = [pa.field(f"{m} {axis}", pa.float32()) for m in methods for axis in "xy"]
        with rows[0].open("rb") as stream:
            own = pq.read_schema(stream)
        told = {k: v for k, v in own.metadata.items() if k not in (START, STOP, ERRORS)}
        told[MAKERS] = json.dumps({m: maker_of(m, len(sample)) for m in methods}).encode()
        schema = pa.schema([*own, *fields], told)
        with temporary.open("wb") as out:
            _place_rows(rows, pq.ParquetWriter(out, schema), sample, fitted, maps)
        if Path(file).is_file():
            carry_marks(Path(file), temporary)


def _batches(
    files: Sequence[Path], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read some files one after another, a batch at a time."""
    for file in files:
        with file.open("rb") as stream:  # Arrow opens no file whose name is no UTF-8
            yield from pq.ParquetFile(stream).iter_batches(ROWS, columns=columns)


def _place_rows(
    rows: Sequence[Path], writer: pq.ParquetWriter, sample: np.ndarray, fitted: np.ndarray,
    maps: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """Copy rows with their places on the maps, which are fitted on some of them."""
    start = 0
    with writer:
        for batch in _batches(rows):
            positions = np.arange(start, start + len(batch))
            known = np.isin(positions, fitted)
            new = as_matrix(batch.column("embedding"))
            columns = list(batch.columns)
            for points in maps.values():
                own = np.empty((len(batch), 2), np.float32)
                own[known] = points[np.searchsorted(fitted, positions[known])]
                if not known.all():
                    own[~known] = place(sample, points, new[~known])
                columns += [pa.array(own[:, 0]), pa.array(own[:, 1])]
            writer.write_batch(pa.record_batch(columns, schema=writer.schema))
            start += len(batch)


def _write_rows(
    model: DNADet, paths: Sequence[Path], truths: Sequence[str | None], parts: Parts, name: str,
    progress: Callable[[int], None],
) -> None:  # fmt: skip
    """Write what the model says of every image that can be read and is in no part yet."""
    schema = row_schema(model.classes, model.embedding_size, name, model.sha256)
    first = parts.done
    progress(first)
    rows: list[pa.RecordBatch] = []
    errors: list[str] = []
    for batch in stream(model, islice(paths, first, None)):
        errors += [str(failure.error) for failure in batch.failures]
        kept = [first + number for number in batch.numbers]
        if batch.features is not None:
            names = [storable(paths[i]) for i in kept]
            makers = [None if truths[i] is None else storable(truths[i]) for i in kept]
            texts = [pa.array(column, pa.string()) for column in (names, makers)]
            rows.append(_rows(model, batch.features, texts, schema))
        progress(len(kept) + len(batch.failures))
        stop = 1 + max([*kept, *(first + failure.number for failure in batch.failures)])
        if stop - parts.done >= PART or stop == len(paths):
            parts.add(rows, schema, stop, errors)
            rows, errors = [], []


def _rows(
    model: DNADet, features: Features, texts: Sequence[pa.Array], schema: pa.Schema
) -> pa.RecordBatch:
    """Put the columns of some images together; `texts` are their paths and their classes."""
    found = attribution(model, features)
    columns = [
        *texts,
        pa.array([None if name is None else storable(name) for name in found.verdicts]),
        [storable(label) for label in found.labels],
        found.probabilities.max(axis=1),
        pa.array(found.unknown_scores, from_pandas=True),  # NaN, where there is no score, is null
        pa.array(found.known.tolist(), pa.bool_()),  # null, too, where the score is
        *found.probabilities.T,
        pa.FixedSizeListArray.from_arrays(found.embeddings.ravel(), model.embedding_size),
    ]
    return pa.record_batch(
        [pa.array(c) if not isinstance(c, pa.Array) else c for c in columns], schema=schema
    )


def _rows_at(files: Sequence[Path], positions: np.ndarray) -> np.ndarray:
    """Read the embeddings of some rows, in order, a batch at a time."""
    parts, start = [], 0
    for batch in _batches(files, ["embedding"]):
        inside = positions[(positions >= start) & (positions < start + len(batch))]
        parts.append(as_matrix(batch.column("embedding"))[inside - start])
        start += len(batch)
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)
