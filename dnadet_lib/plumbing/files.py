"""Where results go: atomic writes, names and paths that stay where they belong, locks."""

import errno
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

FORBIDDEN = frozenset('/\\:*?"<>|')  # in a plain name: what some system takes for more than a name
LOCK = ".dnadet.lock"  # in a folder that is worked in; a user's own `.lock` is left alone
BROKEN_OFF = ("inline_container", " requested and ", "encoder error")  # torch, NumPy, Pillow say
temporaries: set[Path] = set()  # half-written files of this process


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it takes the place of `path` at the end.

    If the block raises, the temporary file is removed and `path` is left as it was. An OSError
    names a file that cannot be written, with the reason, such as a full disk.
    """
    path = Path(path)
    _require_plain_file(path)
    unique = f".{path.stem[:40]}-{secrets.token_hex(6)}{path.suffix[-20:]}"  # of a long name less
    temporary = path.with_name(unique)
    temporaries.add(temporary)  # before it is there: a signal can come at any time
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):  # else it would hide what went wrong
            temporary.unlink(missing_ok=True)
        if _is_of_writing(error, temporary):
            raise _cannot_write(path, error) from error
        raise
    finally:
        temporaries.discard(temporary)


@contextmanager
def named_if_not_written(path: Path) -> Iterator[None]:
    """Name `path` in the OSError of a block that fails to write what is to become it."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:  # it names a file, or was said well
            raise
        raise _cannot_write(Path(path), error) from error


def _is_of_writing(error: BaseException, temporary: Path) -> bool:
    """Whether a block failed because its file could not be written, in whatever words."""
    if isinstance(error, OSError) and error.errno is not None:
        own = {None, str(temporary), str(temporary.parent)}  # another file is one that was read
        return (error.filename and str(error.filename)) in own
    return type(error).__name__ == "SafetensorError" or _is_broken_off(error)


def _is_broken_off(error: BaseException) -> bool:
    """Whether a library says in words of its own, without the system's reason, that it stopped."""
    return isinstance(error, OSError | RuntimeError) and any(w in str(error) for w in BROKEN_OFF)


def _cannot_write(path: Path, error: BaseException) -> OSError:
    reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "no reason")
    if _is_broken_off(error):
        reason = "writing stopped half-way; is the disk full?"
    kept = "; what was there before is kept" if path.is_file() else ""
    return OSError(f"{path}: cannot be written ({reason}){kept}")


def reserve(file: Path) -> None:
    """Take the disk space of a file with holes, since its memory map would fail without a word."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):  # not supported
            raise


def require_writable(path: Path) -> None:
    """Check that a file can be written at `path`, by writing beside it, or raise an OSError."""
    path = Path(path)
    _require_plain_file(path)
    if path.exists() and not path.stat().st_mode & 0o222:
        raise PermissionError(f"{path}: cannot be written (it is write-protected)")
    _try_to_write(path.parent, path)


def require_writable_folder(folder: Path) -> None:
    """Check that files can be written in a folder, made if need be; else an OSError names it."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: cannot be written: it is a file; give a folder's name")
    _try_to_write(folder, folder)


def _try_to_write(folder: Path, wanted: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{wanted}: cannot be written ({reason}); choose another place") from error


def _require_plain_file(path: Path) -> None:
    """Refuse to put a file in the place of a folder, a device or a pipe."""
    if path.is_dir():
        raise IsADirectoryError(f"{path}: cannot be written: it is a folder; give a file's name")
    if path.exists() and not path.is_file():
        raise OSError(f"{path}: cannot be written: it is no plain file; give a file's name")


def require_apart(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse by a ValueError an output that is one of the inputs, under whatever name."""
    target = Path(output).resolve()
    if any(Path(path).resolve() == target for path in inputs):
        raise ValueError(f"{output}: is one of the inputs and would be lost; choose another name")


def plain_name(name: str, what: str) -> str:
    """Return a name that is one folder's or file's name, and no path; `what` says what it names.

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
    """Return `path` if it lies under `root` once links and `..` are followed, else a ValueError."""
    if not Path(path).resolve().is_relative_to(Path(root).resolve()):
        raise ValueError(f"{path}: leads out of {root}; nothing is written there")
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be: of several processes one works in it, the others wait."""
    require_writable_folder(folder)
    with FileLock(_lock_file(Path(folder) / LOCK)):
        yield


@contextmanager
def claimed_folder(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be: a second run that wants it is refused, and does not wait.

    A folder that was made and is empty at the end is removed again.
    """
    folder = Path(folder)
    made = not folder.exists()
    require_writable_folder(folder)
    try:
        with _claimed(folder / LOCK, folder):
            yield
    finally:
        if made:
            with suppress(OSError):  # it holds what was written
                folder.rmdir()


@contextmanager
def claimed_file(file: Path) -> Iterator[None]:
    """Hold an output file, there or not; an OSError if another run does, or it is not writable."""
    file = Path(file)
    require_writable(file)
    name = hashlib.sha256(os.fsencode(file.name)).hexdigest()[:16]  # of any length and characters
    with _claimed(file.parent / f".{name}{LOCK}", file):
        yield


@contextmanager
def _claimed(lock: Path, what: Path) -> Iterator[None]:
    held = FileLock(_lock_file(lock))
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


def _lock_file(lock: Path) -> Path:
    """Return a lock's path, unless it is a link, through which another file would be written."""
    if lock.is_symlink():
        raise OSError(f"{lock}: is a link where a lock should be; remove it")
    return lock


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
