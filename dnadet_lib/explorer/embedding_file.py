"""Embeddings of many images as one Parquet file, read."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dnadet_lib.explorer.projection import METHODS
from dnadet_lib.plumbing.text import restored, storable

ROWS = 2_000  # placed on the maps at a time
SCORE = "unknown_score"  # the column of unknown scores
TRUTH = "truth"  # the column of what is known of the makers
NEEDED = ("path", "embedding")
NEAREST = "nearest"  # the column of the most probable classes
MAKERS = b"maps"  # in the metadata: the package that made each map, as JSON
PREFIX = "p_"  # of a class's name, for the column of its probability
KEPT = ("generator", "set-up", "tags", "note")  # columns of text that `explorer.save` adds
SAID = ("label", "confidence", "known")  # columns of what the model says, beside the probabilities


@dataclass(frozen=True)
class Stored:
    """What a model said of N images when their embeddings were written."""

    classes: tuple[str, ...]  # names, in the order of the probabilities
    labels: list[str]  # (N,) the most probable class
    told: np.ndarray  # (N,) whether it could be named
    confidence: np.ndarray  # float32 (N,)
    known: list[bool | None]  # N booleans, None where the checkpoint could not say
    probabilities: np.ndarray  # float32 (N, K)

    def take(self, rows: np.ndarray) -> "Stored":
        """Keep the rows at some positions."""
        labels, known = ([values[row] for row in rows] for values in (self.labels, self.known))
        numbers = self.confidence[rows], self.probabilities[rows]
        return Stored(self.classes, labels, self.told[rows], numbers[0], known, numbers[1])


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file of embeddings holds."""

    model: str  # the checkpoint that it names, or ""
    sha256: str  # of that checkpoint's file when the embeddings were written, or ""
    paths: list[Path]  # (N,) image files
    embeddings: np.ndarray  # float32 (N, D)
    scores: np.ndarray  # float32 (N,) unknown scores, NaN where there is none
    maps: dict[str, np.ndarray]  # method -> float32 (N, 2)
    makers: dict[str, str]  # method -> package that made the map, as far as the file says so
    errors: list[str]  # what was left out, and why
    truths: list[str | None]  # (N,) class of each image, None where nobody said so
    said: Stored | None  # what the model said, or None where the file holds embeddings alone
    kept: dict[str, list[str | None]]  # columns of KEPT that are there -> (N,) texts
    rows: np.ndarray  # (N,) where they stand in the file


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Name the columns that hold the probabilities of classes, in order."""
    return [f"{PREFIX}{storable(name)}" for name in classes]


def row_schema(classes: Sequence[str], size: int, name: str, sha256: str) -> pa.Schema:
    """Describe the columns, and in the metadata what made them: a checkpoint's name and SHA-256."""
    probabilities = probability_columns(classes)
    kinds = {"path": pa.string(), TRUTH: pa.string(), "label": pa.string(),
             NEAREST: pa.string(), "confidence": pa.float32(), SCORE: pa.float32(),
             "known": pa.bool_(), **dict.fromkeys(probabilities, pa.float32()),
             "embedding": pa.list_(pa.float32(), size)}  # fmt: skip
    made_by = {
        "model": storable(name),
        "sha256": sha256,
        "classes": json.dumps([storable(c) for c in classes], allow_nan=False),
        "probabilities": json.dumps(probabilities, allow_nan=False),
    }
    return pa.schema(list(kinds.items()), made_by)


def as_matrix(column: pa.Array, first: int = 0) -> np.ndarray:
    """Turn lists of one length into float32 (N, D); a ValueError names a row, from `first`."""
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


def map_makers(file: Path) -> dict[str, str]:
    """Read which package made each map of a file that `write_embeddings` wrote."""
    with Path(file).open("rb") as stream:
        return _makers_in(pq.read_schema(stream))


def _makers_in(schema: pa.Schema) -> dict[str, str]:
    return dict(json.loads((schema.metadata or {}).get(MAKERS, b"{}")))


def read_embeddings(file: Path) -> EmbeddingFile:
    """Read a file that `write_embeddings` wrote, or one with its columns path and embedding.

    Rows without a path, or with numbers that are not finite, are left out and named. A file without
    a column "truth" has no labels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no Parquet file, it has no row, a column is missing, stands twice or holds
            something else, or embeddings differ in length.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file; `dnadet embed` writes one")
    try:
        with Path(file).open("rb") as stream:
            names, read = _read(pq.ParquetFile(stream))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ValueError(f"{file}: not a table of embeddings: {error}") from error
    named = np.array([bool(name) for name in names])
    finite = np.isfinite(read.embeddings).all(axis=1)
    for points in [*read.maps.values(), *([read.said.probabilities] if read.said else [])]:
        finite &= np.isfinite(points).all(axis=1)
    errors = []
    if not named.all():
        errors.append(f"{file}: {int((~named).sum())} rows have no path")
    if (odd := named & ~finite).any():
        row = int(np.flatnonzero(odd)[0])
        errors.append(f"{file}: {int(odd.sum())} rows are not finite, such as {names[row]}")
    good = np.flatnonzero(named & finite)
    if not good.size:
        problem = "no row holds finite numbers and a path"
        raise ValueError(f"{file}: not a table of embeddings: {problem}")
    return replace(
        read, paths=[restored(names[i]) for i in good], embeddings=read.embeddings[good],
        scores=read.scores[good], maps={m: points[good] for m, points in read.maps.items()},
        errors=errors, truths=[read.truths[i] for i in good],
        said=read.said.take(good) if read.said else None,
        kept={name: [values[i] for i in good] for name, values in read.kept.items()}, rows=good,
    )  # fmt: skip


def _read(parquet: pq.ParquetFile) -> tuple[list[str], EmbeddingFile]:
    """Read the paths and the rest of every row; a ValueError if it is no table of embeddings."""
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
    makers = _makers_in(parquet.schema_arrow)
    model, digest = (kept_by.get(k, b"").decode(errors="replace") for k in (b"model", b"sha256"))
    said = _stored(parquet)
    kept = {name: table.column(name).to_pylist() for name in KEPT if name in columns}
    rows = np.arange(len(names))
    return names, EmbeddingFile(
        model, digest, [], embeddings, scores, maps, makers, [], truths, said, kept, rows
    )


def _stored(parquet: pq.ParquetFile) -> Stored | None:
    """Read what the model said, or None where a column of it is missing."""
    names = parquet.schema_arrow.names
    classes, columns = stored_classes(parquet.schema_arrow)
    if not columns:
        return None
    nearest = NEAREST if NEAREST in names else "label"  # an older file names every image
    table = parquet.read([*dict.fromkeys((*SAID, nearest)), *columns])
    numbers = [table.column(name).cast(pa.float32()).to_numpy() for name in columns]
    return Stored(
        classes, [str(label) for label in table.column(nearest).to_pylist()],
        table.column("label").is_valid().to_numpy(),
        table.column("confidence").cast(pa.float32()).to_numpy(),
        table.column("known").cast(pa.bool_()).to_pylist(), np.stack(numbers, axis=1),
    )  # fmt: skip


def stored_classes(schema: pa.Schema) -> tuple[tuple[str, ...], list[str]]:
    """Name the classes of a file, and the columns of their probabilities; both empty if none."""
    names, kept_by = schema.names, schema.metadata or {}
    if any(name not in names for name in SAID):
        return (), []
    if b"probabilities" in kept_by:
        columns = json.loads(kept_by[b"probabilities"])
        classes = tuple(map(str, json.loads(kept_by[b"classes"])))
        if len(classes) != len(columns):
            raise ValueError(f"{len(classes)} classes, {len(columns)} columns of probabilities")
    else:  # an older file, or one that lost its header, names them by class, between these two
        columns = names[names.index("known") + 1 : names.index("embedding")]
        prefix = PREFIX if all(name.startswith(PREFIX) for name in columns) else ""
        classes = tuple(name.removeprefix(prefix) for name in columns)
    if any(name not in names for name in columns):
        return (), []
    return classes, columns


def _columns(schema: pa.Schema) -> list[str]:
    """Return the columns to read, but for the embedding; a ValueError names one that is wrong."""
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
    return ["path", *numbers, *(name for name in (TRUTH, *KEPT) if holds_text(schema, name))]


def holds_text(schema: pa.Schema, name: str) -> bool:
    """Whether a file has a column of text under a name, and no other one of that name."""
    return schema.names.count(name) == 1 and _is_text(schema.field(name).type)


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
    """Give the embeddings a batch at a time; a ValueError if there is none, or lengths differ."""
    size, first = None, 0
    for batch in parquet.iter_batches(ROWS, columns=["embedding"]):
        matrix = as_matrix(batch.column("embedding"), first)
        if size not in (None, matrix.shape[1]):
            raise ValueError(f"embeddings of {size} and of {matrix.shape[1]} numbers")
        size, first = matrix.shape[1], first + len(matrix)
        yield matrix
    if size is None:
        raise ValueError("it has no row: none of the images could be read")
