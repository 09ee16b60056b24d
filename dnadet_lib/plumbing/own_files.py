"""Writing into a folder that may be the user's own: only what was written here is overwritten."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from dnadet_lib.plumbing.files import atomic_path, claimed_folder

RECORD = ".dnadet-written.json"  # in the folder: name -> SHA-256 of what was written


def write_own(folder: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write files into a folder, made if need be, and overwrite only what an earlier call wrote.

    `files` maps a plain name to its content, or a file to copy.

    Raises:
        FileExistsError: another file has one of the names, or one of ours was changed since; it is
            named, and nothing is written.
        OSError: a file to copy is gone, or one cannot be written; those before it are there.
    """
    with claimed_folder(folder):
        record = read_record(folder)
        for name, content in files.items():
            _require_own(folder / name, content, record.get(name))
        try:
            for name, content in files.items():
                data = content.read_bytes() if isinstance(content, Path) else content
                with atomic_path(folder / name) as temporary:
                    temporary.write_bytes(data)
                record[name] = hashlib.sha256(data).hexdigest()
        finally:
            with atomic_path(folder / RECORD) as temporary:
                temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")


def read_record(folder: Path) -> dict[str, str]:
    """Read what was written to a folder: name -> SHA-256. Empty where no record can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _require_own(target: Path, content: bytes | Path, written: str | None) -> None:
    if not target.exists() and not target.is_symlink():
        return
    if target.is_file() and not target.is_symlink():
        found = _digest(target)
        if found in (written, _digest(content)):
            return
    raise FileExistsError(
        f"{target}: is there already and is not as dnadet wrote it: move it elsewhere, or choose "
        "another folder"
    )


def _digest(content: bytes | Path) -> str | None:
    """SHA-256 of a content; None of a file that is gone."""
    try:
        data = content.read_bytes() if isinstance(content, Path) else content
    except OSError:
        return None
    return hashlib.sha256(data).hexdigest()
