"""Embeddings of many images as one Parquet file, written and read in batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dnadet_lib.embedding import FIT_AT_MOST, METHODS, map_fault, place, project
from dnadet_lib.embedding_parts import ERRORS, START, STOP, Parts, key_of, open_parts
from dnadet_lib.files import (
    atomic_path,
    named_if_not_written,
    require_apart,
    require_writable,
)
from dnadet_lib.inference import stream
from dnadet_lib.model import DNADet, Features
from dnadet_lib.notes import note
from dnadet_lib.text import restored, storable

PART = 500  # images, at least, that are kept at a time while the table is made
ROWS = 2_000  # placed on the maps at a time
SCORE = "unknown_score"  # the column of unknown scores
SUFFIX = ".parquet"
TRUTH = "truth"  # the column of what is known of the makers
NEEDED = ("path", "embedding")
NEAREST = "nearest"  # the column of the most probable classes
PREFIX = "p_"  # of a class's name, for the column of its probability
SAID = ("label", "confidence", "known")  # columns of what the model says, beside the probabilities


@dataclass(frozen=True)
class Stored:
    """What a model said of N images when their embeddings were written.

    Attributes:
        classes: Names, in the order of the probabilities.
        labels: (N,) the most probable class.
        told: (N,) whether it could be named.
        confidence: float32 (N,).
        known: N booleans, None where the checkpoint could not say.
        probabilities: float32 (N, K).
    """

    classes: tuple[str, ...]
    labels: list[str]
    told: np.ndarray
    confidence: np.ndarray
    known: list[bool | None]
    probabilities: np.ndarray

    def take(self, rows: np.ndarray) -> Stored:
        """Keep the rows at some positions."""
        labels, known = ([values[row] for row in rows] for values in (self.labels, self.known))
        numbers = self.confidence[rows], self.probabilities[rows]
        return Stored(self.classes, labels, self.told[rows], numbers[0], known, numbers[1])


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file of embeddings holds.

    Attributes:
        model: The checkpoint that it names, or "".
        sha256: Of that checkpoint's file when the embeddings were written, or "".
        paths: (N,) image files.
        embeddings: float32 (N, D).
        scores: float32 (N,) unknown scores, NaN where there is none.
        maps: Method -> float32 (N, 2).
        errors: What was left out, and why.
        truths: (N,) class of each image, None where nobody said so.
        said: What the model said of the images, or None where the file holds embeddings alone.
    """

    model: str
    sha256: str
    paths: list[Path]
    embeddings: np.ndarray
    scores: np.ndarray
    maps: dict[str, np.ndarray]
    errors: list[str]
    truths: list[str | None]
    said: Stored | None


def write_embeddings(
    model: DNADet,
    paths: Sequence[Path],
    file: Path,
    *,
    name: str,
    methods: Sequence[str] = METHODS,
    seed: int = 0,
    truths: Sequence[str | None] = (),
    progress: Callable[[int], None] = lambda count: None,
) -> tuple[int, list[str]]:
    r"""Attribute images and write a row for each that can be read, in batches.

    Maps are fitted on a seeded sample of at most 20,000 rows, and the other rows placed on them,
    so that memory does not grow with the number of images. Rows are kept beside the file in parts;
    a run that was killed goes on after the last one, if checkpoint, list and images are the same.

    Args:
        model: Embeds and attributes.
        paths: Image files.
        file: Parquet file to write. Columns: path, truth, label (what the model says, null where
            it cannot tell), nearest (the most probable class), confidence, unknown_score, known,
            "p_CLASS" with the probability of every class, embedding, and "METHOD x", "METHOD y" for
            every map. A byte of a path that is no UTF-8 is written as
            `\xe9`, and read again.
        name: Of the checkpoint, kept in the file beside the SHA-256 of the model's own file.
        methods: Maps: of "t-SNE", "UMAP", "PCA"; none is made of fewer than four images that
            differ, and a note says so.
        seed: Of sample and maps.
        truths: (N,) class of each image, None where it is not known; empty if no image's is.
        progress: Called with the number of images that were done since the last call.

    Returns:
        Number of rows, and a line for each file that was left out. Without a row, no file is
        written, and one that is there is left as it was.

    Raises:
        ValueError: the file is one of the images, or its name does not end in .parquet.
        OSError: it cannot be written; what was there before is kept.
    """
    if Path(file).suffix != SUFFIX:
        raise ValueError(f"{file}: the table is written as Parquet; end its name in {SUFFIX}")
    require_apart(file, paths)
    require_writable(file)
    truths = truths or [None] * len(paths)
    with named_if_not_written(file):
        parts = open_parts(Path(file), key_of(model, paths, truths, name), len(paths))
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
        schema = pa.schema([*own, *fields], told)
        with temporary.open("wb") as out:
            _place_rows(rows, pq.ParquetWriter(out, schema), sample, fitted, maps)


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
    schema, first = _schema(model, name), parts.done
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


def _schema(model: DNADet, name: str) -> pa.Schema:
    """Describe the columns, and in the metadata what made them."""
    kinds = {"path": pa.string(), TRUTH: pa.string(), "label": pa.string(),
             NEAREST: pa.string(), "confidence": pa.float32(), SCORE: pa.float32(),
             "known": pa.bool_(),
             **dict.fromkeys(probability_columns(model.classes), pa.float32()),
             "embedding": pa.list_(pa.float32(), model.embedding_size)}  # fmt: skip
    made_by = {
        "model": storable(name),
        "sha256": model.sha256,
        "classes": json.dumps([storable(c) for c in model.classes], allow_nan=False),
        "probabilities": json.dumps(probability_columns(model.classes), allow_nan=False),
    }
    return pa.schema(list(kinds.items()), made_by)


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Name the columns that hold the probabilities of classes, in order."""
    return [f"{PREFIX}{storable(name)}" for name in classes]


def _rows(
    model: DNADet, features: Features, texts: Sequence[pa.Array], schema: pa.Schema
) -> pa.RecordBatch:
    """Put the columns of some images together; `texts` are their paths and their classes."""
    found = model.attribution(features)
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


def as_matrix(column: pa.Array, first: int = 0) -> np.ndarray:
    """Turn a column of lists of one length into float32 (N, D).

    Args:
        column: (N,) lists.
        first: Number of its first row, for messages.

    Raises:
        ValueError: a list is missing or empty, or lengths differ; the row is named.
    """
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    if len(lengths) and not lengths.all():
        row = int(np.flatnonzero(lengths == 0)[0])
        raise ValueError(f"row {first + row} has no embedding")
    if len(lengths) and (lengths != lengths[0]).any():
        row = int(np.flatnonzero(lengths != lengths[0])[0])
        raise ValueError(
            f"row {first + row} has an embedding of {lengths[row]} numbers, row {first} of "
            f"{lengths[0]}"
        )
    flat = pc.list_flatten(column).to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(column), -1)


def read_embeddings(file: Path) -> EmbeddingFile:
    """Read a file that `write_embeddings` wrote, or one with its columns path and embedding.

    Rows without a path, and rows whose embedding or place on a map is not finite, are left out and
    named. A file without a column "truth" has no labels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no Parquet file, it has no row, a column is missing, stands twice or
            holds something else, or embeddings differ in length.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file; `dnadet embed` writes one")
    try:
        with Path(file).open("rb") as stream:
            read = _read(pq.ParquetFile(stream))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ValueError(f"{file}: not a table of embeddings: {error}") from error
    named = np.array([bool(name) for name in read.names])
    finite = np.isfinite(read.embeddings).all(axis=1)
    for points in [*read.maps.values(), *([read.said.probabilities] if read.said else [])]:
        finite &= np.isfinite(points).all(axis=1)
    errors = []
    if not named.all():
        errors.append(f"{file}: {int((~named).sum())} rows have no path")
    if (odd := named & ~finite).any():
        row = int(np.flatnonzero(odd)[0])
        errors.append(f"{file}: {int(odd.sum())} rows are not finite, such as {read.names[row]}")
    good = np.flatnonzero(named & finite)
    if not good.size:
        problem = "no row holds finite numbers and a path"
        raise ValueError(f"{file}: not a table of embeddings: {problem}")
    return EmbeddingFile(
        read.model, read.sha256, [restored(read.names[i]) for i in good], read.embeddings[good],
        read.scores[good], {m: points[good] for m, points in read.maps.items()}, errors,
        [read.truths[i] for i in good], read.said.take(good) if read.said else None,
    )  # fmt: skip


@dataclass(frozen=True)
class _Rows:
    """All rows of a file, as they stand there."""

    model: str
    sha256: str
    names: list[str]
    embeddings: np.ndarray
    scores: np.ndarray
    maps: dict[str, np.ndarray]
    truths: list[str | None]
    said: Stored | None


def _read(parquet: pq.ParquetFile) -> _Rows:
    """Read every row of a file.

    Raises:
        ValueError: it is no table of embeddings.
    """
    if not parquet.metadata.num_rows:
        raise ValueError("it has no row: none of the images could be read")
    columns = _columns(parquet.schema_arrow)
    table = parquet.read(columns)
    embeddings = np.concatenate(list(_matrices(parquet)))
    methods = [m for m in METHODS if f"{m} x" in columns]
    maps = {m: np.stack([_numbers(table, f"{m} {a}") for a in "xy"], axis=1) for m in methods}
    scores = np.full(len(table), np.nan, np.float32)
    if SCORE in columns:  # null, where the checkpoint has no score, is NaN
        scores = _numbers(table, SCORE)
    names = table.column("path").to_pylist()
    truths = table.column(TRUTH).to_pylist() if TRUTH in columns else [None] * len(names)
    kept_by = parquet.schema_arrow.metadata or {}
    model, digest = (kept_by.get(k, b"").decode(errors="replace") for k in (b"model", b"sha256"))
    return _Rows(model, digest, names, embeddings, scores, maps, truths, _stored(parquet))


def _stored(parquet: pq.ParquetFile) -> Stored | None:
    """Read what the model said, or None where a column of it is missing."""
    names, kept_by = parquet.schema_arrow.names, parquet.schema_arrow.metadata or {}
    if any(name not in names for name in SAID):
        return None
    if b"probabilities" in kept_by:
        columns = json.loads(kept_by[b"probabilities"])
        classes = tuple(map(str, json.loads(kept_by[b"classes"])))
        if len(classes) != len(columns):
            raise ValueError(f"{len(classes)} classes, {len(columns)} columns of probabilities")
    else:  # an older file, or one that lost its header, names them by class, between these two
        columns = names[names.index("known") + 1 : names.index("embedding")]
        prefix = PREFIX if all(name.startswith(PREFIX) for name in columns) else ""
        classes = tuple(name.removeprefix(prefix) for name in columns)
    if not columns or any(name not in names for name in columns):
        return None
    nearest = NEAREST if NEAREST in names else "label"  # an older file names every image
    table = parquet.read([*dict.fromkeys((*SAID, nearest)), *columns])
    numbers = [table.column(name).cast(pa.float32()).to_numpy() for name in columns]
    return Stored(
        classes,
        [str(label) for label in table.column(nearest).to_pylist()],
        table.column("label").is_valid().to_numpy(),
        table.column("confidence").cast(pa.float32()).to_numpy(),
        table.column("known").cast(pa.bool_()).to_pylist(),
        np.stack(numbers, axis=1),
    )


def _columns(schema: pa.Schema) -> list[str]:
    """Return the columns to read, but for the embedding, once each holds what it should.

    Raises:
        ValueError: one is missing, stands twice, or holds something else; it is named.
    """
    names = schema.names
    if missing := [name for name in NEEDED if name not in names]:
        raise ValueError(f"no column {missing[0]!r}: `dnadet embed` writes it")
    axes = [[f"{m} {axis}" for axis in "xy"] for m in METHODS]
    numbers = [name for pair in axes if set(pair) <= set(names) for name in pair]
    numbers += [SCORE] if SCORE in names else []
    for name in ("path", "embedding", *numbers):
        if names.count(name) > 1:
            raise ValueError(f"column {name!r} stands {names.count(name)} times")
    kinds = {name: schema.field(name).type for name in (*NEEDED, *numbers)}
    if not _is_text(kinds["path"]):
        raise ValueError(f"column 'path' holds {kinds['path']}, not text")
    if not (_is_list(kinds["embedding"]) and _is_number(kinds["embedding"].value_type)):
        raise ValueError(f"column 'embedding' holds {kinds['embedding']}, not lists of numbers")
    for name in numbers:
        if not _is_number(kinds[name]):
            raise ValueError(f"column {name!r} holds {kinds[name]}, not numbers")
    # In the older layout, a class called "truth" has a column of numbers.
    labelled = names.count(TRUTH) == 1 and _is_text(schema.field(TRUTH).type)
    return ["path", *numbers, *([TRUTH] if labelled else [])]


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    """Read a column as float32 (N,), NaN where nothing stands."""
    return table.column(name).cast(pa.float32(), safe=False).to_numpy().astype(np.float32)


def _matrices(parquet: pq.ParquetFile) -> Iterator[np.ndarray]:
    """Give the embeddings a batch at a time.

    Raises:
        ValueError: there is none, or lengths differ.
    """
    size, first = None, 0
    for batch in parquet.iter_batches(ROWS, columns=["embedding"]):
        matrix = as_matrix(batch.column("embedding"), first)
        if size not in (None, matrix.shape[1]):
            raise ValueError(f"embeddings of {size} and of {matrix.shape[1]} numbers")
        size, first = matrix.shape[1], first + len(matrix)
        yield matrix
    if size is None:
        raise ValueError("it has no row: none of the images could be read")
