"""Where results go: atomic writes, names and paths that stay where they belong, locks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

FORBIDDEN = frozenset('/\\:*?"<>|')  # in a plain name: what some system takes for more than a name


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the place of `path` at the end.

    If the block raises, the temporary file is removed and `path` is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.stem[:50]}-"  # a name of the longest kind leaves no room for more
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """Read the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# Before work begins ------------------------------------------------------------------------------


def require_writable(path: Path) -> None:
    """Check that a file can be written at `path`, by writing an empty one beside it.

    Folders on the way to it are made.

    Raises:
        OSError: it cannot be; the path is named, with the reason.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path}: cannot be written: it is a folder; give a file's name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path}: cannot be written ({reason}); choose another place") from error


def require_apart(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is one of the inputs, under whatever name.

    Raises:
        ValueError: it is; the file is named.
    """
    target = Path(output).resolve()
    if any(Path(path).resolve() == target for path in inputs):
        raise ValueError(f"{output}: is one of the inputs and would be lost; choose another name")


def plain_name(name: str, what: str) -> str:
    """Return a name that is one folder's or file's name, and no path.

    Args:
        name: To check.
        what: What it names, for the message.

    Raises:
        ValueError: it is empty, starts with a dot, ends with a dot or a space, or holds a control
            character or one of `FORBIDDEN`.
    """
    odd = FORBIDDEN.intersection(name) or not name.isprintable()
    if odd or not name or name.startswith(".") or name.endswith((".", " ")):
        raise ValueError(
            f"{what}: {name!r} is no plain name: use letters, digits, '_', '-' and '.' inside"
        )
    return name


def plain_stem(text: str) -> str:
    """Make a plain name of a text, for a file that is called after a list or a folder.

    Characters that `plain_name` refuses become `_`, dots and spaces at the ends are dropped, and
    what is longer than 150 bytes is cut. What is left empty is called "unnamed".
    """
    plain = "".join("_" if c in FORBIDDEN or not c.isprintable() else c for c in text)
    return plain.strip(". ").encode()[:150].decode(errors="ignore").rstrip(". ") or "unnamed"


def inside(root: Path, path: Path) -> Path:
    """Return `path` if it lies under `root` once links and `..` are followed.

    Raises:
        ValueError: it leads elsewhere; both are named.
    """
    if not Path(path).resolve().is_relative_to(Path(root).resolve()):
        raise ValueError(f"{path}: leads out of {root}; nothing is written there")
    return path


# Locks -------------------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be: of several processes one works in it, the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be: a second run that wants it is refused, and does not wait.

    Raises:
        OSError: another run holds it; it is named.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _claimed(folder / ".lock", folder):
        yield


@contextmanager
def claimed_file(file: Path) -> Iterator[None]:
    """Hold an output file, there or not: a second run that wants it is refused.

    Raises:
        OSError: another run holds it; it is named.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with _claimed(file.parent / f".{file.name}.lock", file):
        yield


@contextmanager
def _claimed(lock: Path, what: Path) -> Iterator[None]:
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"{what}: another run is writing it; wait for its end, or choose another place"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file: there it stays
            lock.unlink(missing_ok=True)
        held.release()
