"""From any image file to uint8 RGB: the one path to pixels (`kinds` has a table).

What is done beyond decoding (16 bits cut, alpha laid on white, a frame chosen) is noted.
"""

import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from dnadet_lib.images.converting import convert
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import one_line

RAW_SUFFIXES = frozenset(
    ".3fr .arw .cr2 .cr3 .dcr .dng .erf .iiq .kdc .mef .mrw .nef .nrw .orf .pef .raf .rw2 .rwl "
    ".sr2 .srf .srw .x3f".split()
)
DRAWINGS = frozenset({"EPS", "WMF"})  # no pixels; for the first, Pillow would run Ghostscript
LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF", "HEIF"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})


def read_image(path: Path) -> np.ndarray:
    """Decode an image file to uint8 RGB (H, W, 3); an OSError names it if that cannot be."""
    return read_coded(path)[0]


class Coding(NamedTuple):
    """How a file codes its pixels."""

    format: str = ""  # Pillow's name of it, such as "PNG"; "" for pixels that are in no file
    table: tuple[int, ...] = ()  # of a JPEG, the 64 steps by which its luma is quantised
    lossless: bool = True  # whether the pixels are those that were saved


NO_FILE = Coding()


def read_coded(path: Path) -> tuple[np.ndarray, Coding]:
    """Decode an image file as `read_image`, and say how it codes its pixels."""
    with open_image(path) as image:
        format, tables = image.format or "", getattr(image, "quantization", None) or {}
        pixels, remarks = convert(image)
    for remark in remarks:
        note(f"{path}: {remark}")
    lossless = format not in LOSSY or (format == "WEBP" and b"VP8L" in head_of(path)[12:])
    return pixels, Coding(format, tuple(tables.get(0, ())), lossless)


def as_rgb(image: Image.Image) -> np.ndarray:
    """Turn a PIL image into uint8 RGB (H, W, 3); a ValueError if it cannot be brought to 8 bits."""
    pixels, remarks = convert(image)
    name = getattr(image, "filename", "") or "image"
    for remark in remarks:
        note(f"{name}: {remark}")
    return pixels


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file with Pillow; an OSError names it, also if the block goes wrong."""
    try:
        # Pillow's own warnings (damaged EXIF, very many pixels) name no file.
        with own_warnings() as raw:
            require_file(path)
            with _opened(path) as image:
                if image.format in DRAWINGS:
                    raise ValueError(f"{image.format} is a drawing and has no pixels")
                yield image
    except Exception as error:  # on a damaged file, Pillow's plugins raise all kinds of them
        raise OSError(f"{path}: cannot be read as an image ({_reason(path, error)})") from error
    unsaid = (Image.DecompressionBombWarning, DeprecationWarning)  # no matter of the user's
    for text in {one_line(warning): 0 for warning in raw if not isinstance(warning, unsaid)}:
        note(f"{path}: Pillow warns: {text}")


_heard = threading.local()  # .lists: where each thread's warnings go, the innermost block's last
_hearing = threading.Lock()
_listeners: list[object] = []  # one a block that is under way, in whatever thread
_before: list[warnings.catch_warnings] = []


@contextmanager
def own_warnings() -> Iterator[list[Warning | str]]:
    """Collect the warnings of this thread, each time they are given.

    `warnings.catch_warnings` alone would mix up those of threads that decode at one time, and what
    the first restores. Warnings of threads outside such a block are shown as before.
    """
    found: list[Warning | str] = []
    _heard.lists = [*getattr(_heard, "lists", []), found]
    with _hearing:
        if not _listeners:
            _before.append(warnings.catch_warnings())
            _before[0].__enter__()
            warnings.simplefilter("always")
            _divert(warnings.showwarning)
        _listeners.append(found)
    try:
        yield found
    finally:
        with _hearing:
            _listeners.pop()
            if not _listeners:
                _before.pop().__exit__(None, None, None)
        _heard.lists = _heard.lists[:-1]


def _divert(shown: Callable[..., None]) -> None:
    def show(message: Warning | str, *where: Any, **more: Any) -> None:
        lists = getattr(_heard, "lists", [])
        lists[-1].append(message) if lists else shown(message, *where, **more)

    warnings.showwarning = show


def require_file(path: Path) -> None:
    """Refuse a pipe or a folder by an OSError, and a camera's raw file by a ValueError."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("is a folder" if os.path.isdir(path) else "is no regular file")
    if os.path.splitext(path)[1].lower() in RAW_SUFFIXES:
        raise ValueError("camera raw: develop it to PNG or TIFF first")


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except Image.DecompressionBombError:
        raise
    except Exception:
        if not (is_heif(head_of(path)) and register_heif()):
            raise
        return Image.open(path)


def _reason(path: Path, error: Exception) -> str:
    """Say in a line why an image cannot be read."""
    if isinstance(error, FileNotFoundError):
        return "a link to a file that is not there" if os.path.islink(path) else "no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, Image.DecompressionBombError):
        return "its header claims more pixels than Pillow takes: 178 million"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    if isinstance(error, UnidentifiedImageError | OSError | SyntaxError):
        head = head_of(path)
        if is_heif(head) and not register_heif():
            return "HEIC needs a package that is not installed: pip install pillow-heif"
        if isinstance(error, UnidentifiedImageError):
            return "its content is no image that Pillow knows" if head else "the file is empty"
    text = error.strerror if isinstance(error, OSError) and error.strerror else error
    return one_line(text) or type(error).__name__


def head_of(path: Path) -> bytes:
    """Read the first 64 bytes of a regular file; none where that is not possible."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "rb") as file:
                return file.read(64)
    except OSError:
        pass
    return b""


def is_heif(head: bytes) -> bool:
    """Tell by its first bytes whether a file is HEIC or HEIF."""
    if head[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[i : i + 4] for i in (8, *range(16, length, 4))}
    return bool(brands & HEIF_BRANDS) and not brands & AVIF_BRANDS


def register_heif() -> bool:
    """Teach Pillow to read HEIC, if pillow-heif is installed; say whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
