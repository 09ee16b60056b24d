"""From any image file to uint8 RGB: the one path to pixels. `image_kinds` has the rules as a table.

What is done to an image beyond decoding (16 bits cut, alpha laid on white, a frame chosen) is said
with `notes.note`, in a line that names the file.
"""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from dnadet_lib.notes import note
from dnadet_lib.text import one_line

ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
EXIF_PLACES = frozenset({"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"})  # in info
RAW_SUFFIXES = frozenset(
    ".3fr .arw .cr2 .cr3 .dcr .dng .erf .iiq .kdc .mef .mrw .nef .nrw .orf .pef .raf .rw2 .rwl "
    ".sr2 .srf .srw .x3f".split()
)
DRAWINGS = frozenset({"EPS", "WMF"})  # no pixels; for the first, Pillow would run Ghostscript
LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF", "HEIF"})
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})


def read_image(path: Path) -> np.ndarray:
    """Decode an image file to uint8 RGB (H, W, 3).

    Raises:
        OSError: the file is missing, damaged, no image, or of a kind that cannot be brought to 8
            bits; it is named.
    """
    return read_coded(path)[0]


class Coding(NamedTuple):
    """How a file codes its pixels.

    Attributes:
        format: Pillow's name of it, such as "PNG" or "JPEG"; "" for pixels that are in no file.
        table: Of a JPEG, the 64 steps by which its luma is quantised.
        lossless: Whether the pixels are those that were saved.
    """

    format: str = ""
    table: tuple[int, ...] = ()
    lossless: bool = True


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
    """Turn a PIL image into uint8 RGB (H, W, 3), as `read_image` does with a file.

    Raises:
        ValueError: it cannot be brought to 8 bits.
    """
    pixels, remarks = convert(image)
    name = getattr(image, "filename", "") or "image"
    for remark in remarks:
        note(f"{name}: {remark}")
    return pixels


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file with Pillow; whatever goes wrong, also inside the block, names the file.

    Raises:
        OSError: the file is missing, damaged or no image.
    """
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
    """Refuse what is no regular file, such as a pipe, which would be waited for without end.

    Raises:
        OSError: it is none, or is not there.
        ValueError: it is a camera's raw file.
    """
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


# Conversion --------------------------------------------------------------------------------------


class Converted(NamedTuple):
    """uint8 RGB pixels (H, W, 3), and what was done to get them that a user should know."""

    pixels: np.ndarray
    remarks: list[str]


def convert(image: Image.Image) -> Converted:
    """Bring an image to uint8 RGB (H, W, 3): its present frame, turned as its EXIF data say.

    Raises:
        ValueError: it cannot be brought to 8 bits.
    """
    remarks = []
    if (frames := frames_of(image)) > 1:
        remarks.append(f"frame {image.tell() + 1} of {frames} is read, the others are not")
    bits = bits_of(image)
    image.load()
    if (turn := TURNS.get(orientation_of(image))) is not None:  # the first of Pillow's is 0
        image = image.transpose(turn)
    if image.mode == "F":
        raise ValueError(
            "floating point numbers, of which the file does not say which is white: save 8 or 16 "
            "bits a channel"
        )
    if image.mode.startswith("I"):
        return _from_integers(image, bits, remarks)
    if bits > 8:
        remarks.append(_cut(bits))
        _cut_transparent_colour(image)
    if image.mode in ("CMYK", "LAB"):
        remarks.append(f"{image.mode} is turned into RGB without a colour profile")
    if image.has_transparency_data:
        pixels, see_through = on_white(image)
        return Converted(pixels, [*remarks, WHITE] if see_through else remarks)
    return Converted(np.asarray(_plain_rgb(image)), remarks)


WHITE = "transparent parts are laid on white"


def _cut(bits: int) -> str:
    return f"{bits} bits a channel are reduced to 8"


def _plain_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
        return transform.apply(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def on_white(image: Image.Image) -> tuple[np.ndarray, bool]:
    """Lay an image with transparency on white: uint8 (H, W, 3), and whether any of it showed."""
    whole = image.convert("LA") if image.mode == "La" else image
    full = whole.convert("RGBA")
    if full.getchannel("A").getextrema()[0] == 255:
        return np.asarray(whole.convert("RGB")), False
    ground = Image.new("RGBA", full.size, "white")
    return np.asarray(Image.alpha_composite(ground, full).convert("RGB")), True


def _cut_transparent_colour(image: Image.Image) -> None:
    """Bring a PNG's transparent colour of 16 bits to the 8 that Pillow has cut the pixels to."""
    colour = image.info.get("transparency")
    if isinstance(colour, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _from_integers(image: Image.Image, bits: int, remarks: list[str]) -> Converted:
    """Cut grey levels of 12, 16 or 32 bits to the upper 8 of 12 or 16."""
    levels = np.asarray(image).astype(np.int64)
    low, high = (int(f()) for f in (levels.min, levels.max)) if levels.size else (0, 0)
    unsure = bits > 12 and 0 < high <= 255  # 8 bits in a wider file, or all but black?
    if low < 0 or high > 65535 or unsure:
        raise ValueError(
            f"whole numbers from {low} to {high} in {bits} bits, of which the file does not say "
            "which is white: save 8 or 16 bits a channel without a sign"
        )
    bits = min(bits, 16)
    grey = (levels >> (bits - 8)).clip(0, 255).astype(np.uint8)
    remarks = [*remarks, _cut(bits)]
    colour = image.info.get("transparency")
    if isinstance(colour, int) and (levels == colour).any():
        grey = np.where(levels == colour, np.uint8(255), grey)
        remarks.append(WHITE)
    return Converted(np.repeat(grey[..., None], 3, axis=2), remarks)


# Facts of a file ---------------------------------------------------------------------------------


def frames_of(image: Image.Image) -> int:
    """Count frames or pages; 1 where the file does not say, and for the layers of a PSD."""
    if image.format == "PSD":
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a damaged later frame is no reason to lose the first
        return 1


def bits_of(image: Image.Image) -> int:
    """Bits a channel of a file that is opened, but not loaded: 8, 12, 16 or 32."""
    tiles = getattr(image, "tile", None) or [(None,) * 4]
    layout = tiles[0][3] if isinstance(tiles[0][3], tuple) else (tiles[0][3],)
    raw = str(layout[0])  # such as "RGB;16B" or "I;12"
    if raw.endswith(";12"):
        return 12
    deep_map = image.format == "PPM" and len(layout) > 1 and isinstance(layout[1], int)
    if ";16" in raw or image.mode.startswith("I;16") or (deep_map and layout[1] > 255):
        return 16
    return 32 if image.mode in ("I", "F") else 8


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 is upright, and stands for none and for what is no such number.

    Of TIFF, Pillow turns the picture by itself when it is loaded.
    """
    if not (EXIF_PLACES & image.info.keys() or hasattr(image, "tag_v2")):
        return 1  # parsing nothing takes a sixth of the time of a small image
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data raise all kinds of errors
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
