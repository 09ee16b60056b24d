"""What `dnadet embed` has finished, kept beside its output, so that a killed run goes on there."""

import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.code_key import code_digest
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.notes import note

KEY = "key.txt"  # in the folder of parts: what they were made of
START, STOP, ERRORS = b"start", b"stop", b"errors"


def parts_folder(file: Path) -> Path:
    """Name the folder in which the parts of an output file lie while it is made."""
    return file.with_name(f".{file.name}.partial")


def key_of(model: DNADet, paths: Sequence[Path], truths: Sequence[str | None], name: str) -> str:
    """Hash what rows follow from: checkpoint (by file), images with size and time, labels, code."""
    content = sha256(code_digest(read_image, DNADet).encode())
    made_by = model.sha256 or secrets.token_hex(16)
    settings = (name, model.classes, model.temperature, model.threshold)
    content.update(repr((made_by, settings)).encode(errors="surrogatepass"))
    for path, truth in zip(paths, truths, strict=True):
        try:
            found = path.stat()
            facts: tuple[int, ...] = (found.st_size, found.st_mtime_ns)
        except OSError:
            facts = ()
        line = repr((str(path.absolute()), str(path), facts, truth))
        content.update(line.encode(errors="surrogatepass"))
    return content.hexdigest()


@dataclass
class Parts:
    """Finished rows of an embedding, in files of some hundred."""

    folder: Path  # where they lie
    files: list[Path]  # finished parts, in order
    done: int  # images that these are about, from the first
    errors: list[str]  # what was left out of them, and why

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(pq.read_metadata(file).num_rows for file in self.files)

    def add(self, batches: list[pa.RecordBatch], schema: pa.Schema, stop: int,
            errors: Sequence[str]) -> None:  # fmt: skip
        """Write a part: its rows, what was left out of it; `stop` is the first image after it.

        An OSError if it cannot be written; the parts before it stay.
        """
        facts = {START: str(self.done).encode(), STOP: str(stop).encode(),
                 ERRORS: json.dumps(list(errors)).encode()}  # fmt: skip
        table = pa.Table.from_batches(batches, schema)
        table = table.replace_schema_metadata({**(schema.metadata or {}), **facts})
        file = self.folder / f"{len(self.files):06}.parquet"
        with atomic_path(file) as temporary, temporary.open("wb") as out:
            pq.write_table(table, out)
        self.files.append(file)
        self.errors += errors
        self.done = stop

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def open_parts(file: Path, key: str, total: int) -> Parts:
    """Find what an earlier run with this key has finished of an output file, or start anew."""
    folder = parts_folder(file)
    written = folder / KEY
    if written.is_file() and written.read_text(encoding="utf-8") == key:
        parts = _finished(folder)
        if parts.done:
            done = f"{parts.done:,} of {total:,} images"
            note(f"{file}: goes on after {done}, which an earlier run has done")
        return parts
    if written.is_file():
        note(f"{file}: an earlier run on other images or another checkpoint is dropped")
        shutil.rmtree(folder)
    with atomic_path(written) as temporary:
        temporary.write_text(key, encoding="utf-8")
    return Parts(folder, [], 0, [])


def _finished(folder: Path) -> Parts:
    """Take the parts that follow on each other from the first image."""
    parts = Parts(folder, [], 0, [])
    for file in sorted(folder.glob("[0-9]*.parquet")):
        try:
            with file.open("rb") as stream:
                facts = pq.read_schema(stream).metadata
            start, stop, errors = int(facts[START]), int(facts[STOP]), json.loads(facts[ERRORS])
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            break
        if start != parts.done or file.stem != f"{len(parts.files):06}":
            break
        parts.files.append(file)
        parts.errors += errors
        parts.done = stop
    return parts
