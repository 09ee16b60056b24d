"""Embeddings of many images as one Parquet file, written and read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dnadet_lib.embedding import FIT_AT_MOST, METHODS, map_fault, place, project
from dnadet_lib.evaluation import readable_features
from dnadet_lib.files import atomic_path
from dnadet_lib.model import DNADet, Features
from dnadet_lib.notes import note

ROWS = 2_000  # placed on the maps at a time
SCORE = "unknown_score"  # the column of unknown scores
NEEDED = ("path", "embedding")


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file of embeddings holds.

    Attributes:
        model: The checkpoint that it names, or "".
        paths: (N,) image files.
        embeddings: float32 (N, D).
        scores: float32 (N,) unknown scores, NaN where there is none.
        maps: Method -> float32 (N, 2).
        errors: What was left out, and why.
    """

    model: str
    paths: list[Path]
    embeddings: np.ndarray
    scores: np.ndarray
    maps: dict[str, np.ndarray]
    errors: list[str]


def write_embeddings(
    model: DNADet,
    paths: Sequence[Path],
    file: Path,
    *,
    name: str,
    methods: Sequence[str] = METHODS,
    seed: int = 0,
) -> tuple[int, list[str]]:
    """Attribute images and write a row for each that can be read, in batches.

    Maps are fitted on a seeded sample of at most 20,000 rows, and the other rows placed on them,
    so that memory does not grow with the number of images.

    Args:
        model: Embeds and attributes.
        paths: Image files.
        file: Parquet file to write. Columns: path, label, confidence, unknown_score, known, a
            probability a class, embedding, and "METHOD x", "METHOD y" for every map.
        name: Of the checkpoint, kept in the file.
        methods: Maps: of "t-SNE", "UMAP", "PCA"; none is made of fewer than four images that
            differ, and a note says so.
        seed: Of sample and maps.

    Returns:
        Number of rows, and a line for each file that was left out. Without a row, no file is
        written, and one that is there is left as it was.
    """
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=Path(file).parent) as folder:
        rows = Path(folder) / "rows.parquet"
        count, errors = _write_rows(model, paths, rows, name)
        if count:
            _write_with_maps(rows, file, count, methods, seed)
    return count, errors


def _write_with_maps(
    rows: Path, file: Path, count: int, methods: Sequence[str], seed: int
) -> None:
    """Copy the rows and add their places on the maps."""
    with atomic_path(file) as temporary:
        order = np.random.default_rng(seed).permutation(count)
        fitted = np.sort(order[:FIT_AT_MOST])
        sample = _rows_at(rows, fitted)
        if methods and (fault := map_fault(sample)):
            note(f"{file}: no map is made: {fault}")
            methods = ()
        maps = {method: project(sample, method, seed=seed) for method in methods}
        source = pq.ParquetFile(rows)
        fields = [pa.field(f"{m} {axis}", pa.float32()) for m in methods for axis in "xy"]
        schema = pa.schema([*source.schema_arrow, *fields], source.schema_arrow.metadata)
        start = 0
        with pq.ParquetWriter(temporary, schema) as writer:
            for batch in source.iter_batches(ROWS):
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
                writer.write_batch(pa.record_batch(columns, schema=schema))
                start += len(batch)


def _write_rows(
    model: DNADet, paths: Sequence[Path], file: Path, name: str
) -> tuple[int, list[str]]:
    """Write what the model says of every image that can be read."""
    kinds = {"path": pa.string(), "label": pa.string(), "confidence": pa.float32(),
             SCORE: pa.float32(), "known": pa.bool_(),
             **dict.fromkeys(model.classes, pa.float32()),
             "embedding": pa.list_(pa.float32(), model.embedding_size)}  # fmt: skip
    schema = pa.schema(list(kinds.items()), {"model": name})
    count = 0
    errors: list[str] = []
    with pq.ParquetWriter(file, schema) as writer:
        for kept, features in readable_features(model, paths, errors):
            names = [str(paths[i]) for i in kept]
            writer.write_batch(_rows(model, features, names, schema))
            count += len(kept)
    return count, errors


def _rows(
    model: DNADet, features: Features, paths: list[str], schema: pa.Schema
) -> pa.RecordBatch:
    probabilities = model.probabilities(features.embeddings).cpu().numpy()
    scores = model.unknown_score(features.traces).cpu().numpy()
    embeddings = features.embeddings.cpu().numpy()
    columns = [
        paths,
        [model.classes[k] for k in probabilities.argmax(axis=1)],
        probabilities.max(axis=1),
        pa.array(scores, from_pandas=True),  # NaN, where the checkpoint has no score, is null
        ~(scores > model.threshold),
        *probabilities.T,
        pa.FixedSizeListArray.from_arrays(embeddings.ravel(), model.embedding_size),
    ]
    return pa.record_batch(
        [pa.array(c) if not isinstance(c, pa.Array) else c for c in columns], schema=schema
    )


def _rows_at(file: Path, positions: np.ndarray) -> np.ndarray:
    """Read the embeddings of some rows, in order, a batch at a time."""
    parts, start = [], 0
    for batch in pq.ParquetFile(file).iter_batches(ROWS, columns=["embedding"]):
        inside = positions[(positions >= start) & (positions < start + len(batch))]
        parts.append(as_matrix(batch.column("embedding"))[inside - start])
        start += len(batch)
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def as_matrix(column: pa.Array) -> np.ndarray:
    """Turn a column of lists of one length into float32 (N, D).

    Raises:
        ValueError: a list is missing, or lengths differ; the row is named.
    """
    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    if len(lengths) and (lengths != lengths[0]).any():
        row = int(np.flatnonzero(lengths != lengths[0])[0])
        raise ValueError(
            f"row {row} has an embedding of {max(lengths[row], 0)} numbers, row 0 of {lengths[0]}"
        )
    flat = pc.list_flatten(column).to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(column), -1)


def read_embeddings(file: Path) -> EmbeddingFile:
    """Read a file that `write_embeddings` wrote, or one with its columns path and embedding.

    Rows whose embedding or place on a map is not finite are left out and named.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no Parquet file, a column is missing, or embeddings differ in length.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file; `dnadet embed` writes one")
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        if missing := [name for name in NEEDED if name not in names]:
            raise ValueError(f"no column {missing[0]!r}: `dnadet embed` writes it")
        methods = [m for m in METHODS if f"{m} x" in names and f"{m} y" in names]
        scored = [SCORE] if SCORE in names else []
        plain = ["path", *scored, *(f"{m} {axis}" for m in methods for axis in "xy")]
        table = parquet.read(plain)
        if table.num_rows == 0:
            raise ValueError("it has no row: none of the images could be read")
        embeddings = np.concatenate(list(_matrices(parquet)))
    except (pa.ArrowException, ValueError) as error:
        raise ValueError(f"{file}: not a table of embeddings: {error}") from error
    maps = {
        m: np.stack([table.column(f"{m} {axis}").to_numpy() for axis in "xy"], axis=1)
        for m in methods
    }
    paths = [Path(path) for path in table.column("path").to_pylist()]
    scores = np.full(len(paths), np.nan, np.float32)
    if scored:  # null, where the checkpoint has no score, is NaN
        scores = table.column(SCORE).to_numpy().astype(np.float32)
    good = np.isfinite(embeddings).all(axis=1)
    for points in maps.values():
        good &= np.isfinite(points).all(axis=1)
    errors = []
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        errors.append(f"{file}: {int((~good).sum())} rows are not finite, such as {paths[row]}")
        paths = [path for path, kept in zip(paths, good, strict=True) if kept]
        embeddings, scores = embeddings[good], scores[good]
        maps = {m: points[good] for m, points in maps.items()}
    if not paths:
        raise ValueError(f"{file}: not a table of embeddings: no row holds finite numbers")
    model = (parquet.schema_arrow.metadata or {}).get(b"model", b"").decode()
    return EmbeddingFile(model, paths, embeddings, scores, maps, errors)


def _matrices(parquet: pq.ParquetFile) -> Iterator[np.ndarray]:
    """Give the embeddings a batch at a time."""
    size = None
    for batch in parquet.iter_batches(ROWS, columns=["embedding"]):
        matrix = as_matrix(batch.column("embedding"))
        if size not in (None, matrix.shape[1]):
            raise ValueError(f"embeddings of {size} and of {matrix.shape[1]} numbers")
        size = matrix.shape[1]
        yield matrix
