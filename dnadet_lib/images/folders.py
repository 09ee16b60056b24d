"""Which files of a folder are images, and what is left out, counted."""

import glob
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from dnadet_lib.images.reading import AVIF_BRANDS, DRAWINGS, RAW_SUFFIXES, head_of, is_heif
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import one_line

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
# Formats of which Pillow knows the name, and without further packages no more.
NAMED_ONLY = frozenset({"BUFR", "GRIB", "HDF5", "IPTC", "MPEG"})
BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"\0\0\0\x0cjP  ")
SUFFIXES_NAMED = 6  # in a note; the others are counted together


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of the image files that Pillow opens, and of HEIC."""
    Image.init()
    formats = set(Image.OPEN) - NAMED_ONLY - DRAWINGS
    return HEIF_SUFFIXES | {s for s, f in Image.registered_extensions().items() if f in formats}


def is_image(path: Path | str) -> bool:
    """Tell by suffix, else by the first bytes, whether a file should be an image."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in image_suffixes():
        return True
    if suffix in RAW_SUFFIXES:  # they begin as other images do
        return False
    head = head_of(Path(path))
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    avif = head[4:8] == b"ftyp" and head[8:12] in AVIF_BRANDS
    return head.startswith(BEGINNINGS) or webp or avif or is_heif(head)


@dataclass
class _Search:
    """What a search through a folder has found so far."""

    files: list[tuple[bool, Path, str]] = field(default_factory=list)  # via a link, path, real path
    hidden: list[Path] = field(default_factory=list)
    hidden_folders: list[Path] = field(default_factory=list)
    known_links: list[Path] = field(default_factory=list)
    above: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)
    picture_like: list[Path] = field(default_factory=list)


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder, searched through, in sorted order.

    Linked folders are searched, too, except those that hold the folder itself; a file that several
    links lead to is listed once. Files that are no images, and hidden files and folders, are left
    out; a note counts them. A FileNotFoundError if there is no folder, or no image in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    found = _Search()
    _search(folder, found)
    if not (images := _images_of(found, str(folder))):
        raise FileNotFoundError(f"{folder}: the folder holds no image")
    return images


def images_matching(pattern: str) -> list[Path]:
    """List the images among the files and in the folders that a pattern matches, or raise.

    `**` stands for any number of folders, linked ones included.
    """
    found = _Search()
    before, recursive, after = _parted(pattern)
    for path in sorted(Path(name) for name in glob.glob(str(before))):
        if path.is_dir():
            _search(path, found)
        elif not recursive:
            found.files.append((path.is_symlink(), path, _real(path)))
    if after.parts:
        found.files = [file for file in found.files if file[1].match(str(after))]
    if not found.files:
        raise FileNotFoundError(f"{pattern}: no such file or folder, and no file matches it")
    if not (images := _images_of(found, pattern)):
        raise FileNotFoundError(f"{pattern}: no image is among what matches")
    return images


def _parted(pattern: str) -> tuple[Path, bool, Path]:
    """Split a pattern at its first `**`: what stands before, whether there is one, what follows."""
    parts = Path(pattern).parts
    place = parts.index("**") if "**" in parts else len(parts)
    return Path(*parts[:place]), place < len(parts), Path(*parts[place + 1 :])


def _real(path: Path | str) -> str:
    """Name the file that a link leads to; a link to nothing stands for itself."""
    return os.path.realpath(path) if os.path.exists(path) else os.path.abspath(path)


def _images_of(found: _Search, source: str) -> list[Path]:
    """Sort out what a search has found, and note what is left out."""
    first: dict[str, Path] = {}
    for _, path, real in sorted(found.files):
        if first.setdefault(real, path) != path:
            found.known_links.append(path)
    images = {path: is_image(path) for path in first.values()}
    others = [path for path, wanted in images.items() if not wanted]
    _tell(source, found, others)
    return sorted(path for path, wanted in images.items() if wanted)


def _search(folder: Path, found: _Search) -> None:
    root = os.path.realpath(folder)
    seen = {root}
    waiting = [(Path(folder), root, False)]
    links: list[tuple[Path, str, bool]] = []
    while waiting or links:  # links last, so that a file has its own name where it has one
        here, real, linked = waiting.pop() if waiting else links.pop(0)
        if linked and real in seen and here != Path(folder):
            found.known_links.append(here)
            continue
        seen.add(real)
        for entry in _entries(here, found):
            own = Path(here, entry.name)
            target = _real(own) if entry.is_symlink() else os.path.join(real, entry.name)
            if entry.name.startswith("."):
                (found.hidden_folders if _is_folder(entry) else found.hidden).append(own)
            elif not _is_folder(entry):
                found.files.append((linked or entry.is_symlink(), own, target))
            elif not entry.is_symlink():
                if target not in seen:
                    waiting.append((own, target, linked))
            elif Path(root).is_relative_to(target):
                found.above.append(own)
            else:
                links.append((own, target, True))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: Path, found: _Search) -> list[os.DirEntry[str]]:
    if folder.suffix.lower() in image_suffixes():
        found.picture_like.append(folder)
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        found.closed.append(folder)
        return []


def _tell(source: str, found: _Search, others: list[Path]) -> None:
    """Note in one line what is left out of a folder or a pattern's matches."""
    left_out = [*others, *found.hidden, *found.known_links]
    parts = []
    if others:
        verb = "are no images and were" if len(others) > 1 else "is no image and was"
        parts.append(f"{counted(others, 'file')} {verb} left out ({by_suffix(others)})")
    for paths, what, said in (
        (found.hidden, "hidden file", "left out"),
        (found.hidden_folders, "hidden folder", "not searched"),
        (found.known_links, "link", "left out, leading to what is listed already"),
        (found.above, "link", "not followed, leading to a folder that holds this one"),
        (found.closed, "folder", "not searched, since reading is denied"),
        (found.picture_like, "folder", "searched though named like an image"),
    ):
        if own := sorted(set(paths)):
            were = "were" if len(own) > 1 else "was"
            parts.append(f"{counted(own, what)} {were} {said} ({_names(own)})")
    if parts:
        note(f"{source}: {'; '.join(parts)}", left_out)


def counted(things: Iterable[object], what: str) -> str:
    """Write a number of things with their name, such as "1 file" or "2 files"."""
    number = len(list(things))
    return f"{number} {what}{'s' if number != 1 else ''}"


def by_suffix(paths: Iterable[Path]) -> str:
    """Count files by suffix: ".txt 2, .db 1"."""
    counts = Counter(one_line(path.suffix.lower()) or "no suffix" for path in paths).most_common()
    shown = [f"{suffix} {number}" for suffix, number in counts[:SUFFIXES_NAMED]]
    if rest := sum(number for _, number in counts[SUFFIXES_NAMED:]):
        shown.append(f"others {rest}")
    return ", ".join(shown)


def _names(paths: list[Path]) -> str:
    names = [one_line(path.name) for path in paths[:3]]
    return ", ".join([*names, "..."] if len(paths) > 3 else names)
