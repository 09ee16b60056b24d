"""A table of embeddings as embedding-atlas opens it: map, thumbnails and nearest neighbours."""

import io
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dnadet_lib.explorer.embedding_file import read_embeddings, stored_classes
from dnadet_lib.explorer.projection import nearest_to, unit_rows
from dnadet_lib.images.reading import read_image
from dnadet_lib.plumbing.files import (
    atomic_path,
    named_if_not_written,
    require_apart,
    require_writable,
)
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import restored

ROWS = 500  # written at a time, with their thumbnails
LARGEST = 128  # pixels a side of a thumbnail
NEIGHBOURS = 15  # of an image; it is the first of them itself, as embedding-atlas has them
TEXTS = ("path", "truth", "label", "nearest", "generator", "set-up", "tags", "note")
OTHERS = ("confidence", "unknown_score", "known")
ADDED = pa.schema([
    ("x", pa.float32()), ("y", pa.float32()),
    ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("neighbors", pa.struct([("ids", pa.list_(pa.int64())),
                             ("distances", pa.list_(pa.float64()))])),
])  # fmt: skip


def require_atlas(file: Path, table: Path, methods: tuple[str, ...] | list[str]) -> None:
    """Refuse a file that an atlas cannot be written to, before work begins.

    Raises:
        ValueError: its name does not end in .parquet, it is the table itself, or no map is made.
        OSError: it cannot be written.
    """
    if file.suffix != ".parquet":
        raise ValueError(f"{file}: embedding-atlas opens Parquet; end its name in .parquet")
    if file.resolve() == table.resolve():
        raise ValueError(f"{file}: is the table of embeddings itself; choose another name")
    if not methods:
        raise ValueError(f"{file}: embedding-atlas shows a map: let --maps name one")
    require_writable(file)


def write_atlas(
    table: Path, file: Path, method: str, progress: Callable[[int], None] = lambda count: None
) -> int:
    """Write a table of embeddings, as `dnadet embed` wrote it, for embedding-atlas.

    The columns are those of the table but for the embeddings, `x` and `y` of one map, `image` (a
    PNG of at most 128 pixels a side, as `{bytes, path}`) and `neighbors`, the rows of the 15
    nearest by cosine distance, itself the first: `{"ids": [...], "distances": [...]}`. An image
    that cannot be read has no picture; a note says so.

    Args:
        table: The file to read.
        file: The file to write.
        method: Of the map: "t-SNE", "UMAP" or "PCA".
        progress: Called with the number of rows written since the last call.

    Returns the number of rows.

    Raises:
        ValueError: the table is none, or has no such map; or the file is one of the images.
        OSError: the file cannot be written.
    """
    read = read_embeddings(table)
    if method not in read.maps:
        there = ", ".join(read.maps) or "none"
        raise ValueError(f"{table}: has no map {method!r}: there are {there}")
    require_apart(file, read.paths)
    if read.errors:  # neighbours are named by their rows, so none may be left out
        raise ValueError("; ".join(read.errors))
    embeddings = unit_rows(read.embeddings)
    with table.open("rb") as stream:
        parquet = pq.ParquetFile(stream)
        schema = _schema(parquet.schema_arrow)
        with named_if_not_written(file), atomic_path(file) as temporary:
            with temporary.open("wb") as out, pq.ParquetWriter(out, schema) as writer:
                for batch in _batches(parquet, schema, embeddings, method):
                    writer.write_batch(batch)
                    progress(len(batch))
    return len(embeddings)


def _schema(own: pa.Schema) -> pa.Schema:
    """Describe the columns: those that say something of an image, and what an atlas needs."""
    wanted = {*TEXTS, *OTHERS, *stored_classes(own)[1]}
    kept = [field for field in own if own.names.count(field.name) == 1 and field.name in wanted]
    return pa.schema([*(f for f in kept if f.name not in ADDED.names), *ADDED], own.metadata)


def _batches(
    parquet: pq.ParquetFile, schema: pa.Schema, embeddings: np.ndarray, method: str
) -> Iterator[pa.RecordBatch]:
    """Give the rows a batch at a time, with pictures and neighbours."""
    start = 0
    own = [name for name in schema.names if name not in ADDED.names]
    places = [f"{method} x", f"{method} y"]
    for batch in parquet.iter_batches(ROWS, columns=[*dict.fromkeys((*own, *places, "path"))]):
        stop = start + len(batch)
        # Another image with the same embedding must not take the place of the image itself.
        found, distances = nearest_to(embeddings, embeddings[start:stop], NEIGHBOURS)
        found, distances = own_first(np.arange(start, stop), found, distances)
        nearest = [
            {"ids": ids, "distances": at}
            for ids, at in zip(found.tolist(), distances.tolist(), strict=True)
        ]
        columns = {
            "x": batch.column(places[0]).cast(pa.float32()),
            "y": batch.column(places[1]).cast(pa.float32()),
            "image": _pictures(batch.column("path").to_pylist()), "neighbors": nearest,
        }  # fmt: skip
        arrays = [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else batch.column(field.name)
            for field in schema
        ]
        yield pa.record_batch(arrays, schema=schema)
        start = stop


def own_first(
    rows: np.ndarray, found: np.ndarray, distances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Put rows (N,) in front of their neighbours (N, K), at distance 0, each but once."""
    others = found != rows[:, None]
    others[others.all(axis=1), -1] = False  # of equal ones, the row itself was not among them
    count = len(found), found.shape[1] - 1
    zeros = np.zeros((len(rows), 1))
    return (
        np.hstack([rows[:, None], found[others].reshape(count)]),
        np.hstack([zeros, distances[others].reshape(count).clip(0)]),
    )


def _pictures(names: list[str | None]) -> list[dict[str, object]]:
    pictures: list[dict[str, object]] = []
    for name in names:
        content = None
        try:
            content = thumbnail(read_image(restored(name or "")))
        except (OSError, ValueError) as error:
            note(str(error))
        pictures.append({"bytes": content, "path": name})
    return pictures


def thumbnail(image: np.ndarray) -> bytes:
    """Write an image (H, W, 3) as PNG, reduced to at most 128 pixels a side if it is larger."""
    shown = Image.fromarray(image)
    if max(shown.size) > LARGEST:
        shown.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()


def command(file: Path) -> str:
    """Write the command line that opens an atlas."""
    columns = "--x x --y y --neighbors neighbors --image image --text path"
    return f"embedding-atlas {shlex.quote(str(file))} {columns}"
