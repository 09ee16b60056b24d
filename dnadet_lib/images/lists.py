"""Lists of labelled images: text files with an image and the number of its class per line.

A line is `path<TAB>label`, as in the field's releases, or `path<TAB>label<TAB>source`. A `.csv` has
commas or semicolons in place of tabs. A first line that names the columns, `path` and `label` among
them, may stand above, and then there may be further columns.
"""

import codecs
import csv
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.text import is_storable, one_line

LIST_SUFFIXES = (".txt", ".tsv", ".csv")
COLUMNS = ("path", "label", "source")
NUMBER = re.compile(r"[0-9]{1,9}")  # `str.isdigit` would take ² too
LONGEST = 100  # characters of a faulty line in a message
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),  # before that of UTF-16
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


@dataclass(frozen=True)
class ImageList:
    """What a list holds; `lines` (from 1), `paths` and `labels` have one entry per image.

    `columns` maps the name of a further column, such as "source", to what it holds.
    """

    file: Path
    lines: list[int] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)


def is_list(path: Path) -> bool:
    """Whether a file's name is that of a list and not of an image."""
    return Path(path).suffix.lower() in LIST_SUFFIXES


def read_lines(path: Path) -> list[str]:
    r"""Read the lines of a text file, which end with \n, \r\n or, in old files, \r alone.

    UTF-8 is read, and UTF-16 or UTF-32 that begins with its byte order mark; for other bytes, a
    ValueError names file and line. Other ends of lines, such as U+2028, may stand in a file's name.
    """
    data = path.read_bytes()
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.decode(encoding, "ignore").count("\n") + 1
        wrong = " ".join(f"{byte:02x}" for byte in data[error.start : error.start + 4])
        raise ValueError(
            f"{path}, line {line}: not {encoding.upper()} text (bytes {wrong}); "
            "save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"{path}, line {line}: holds a zero byte; save the file as UTF-8 text")
    ends = "\n" if "\n" in text else "\r"
    return [line.removesuffix("\r").removeprefix("\ufeff") for line in text.split(ends)]


def read_list(path: Path, root: Path | None = None) -> ImageList:
    """Read a list.

    Relative paths start from a root; without one, from the list's folder if the image is there,
    else the working folder. Backslashes may stand for slashes.

    Raises:
        FileNotFoundError: the list is missing.
        ValueError: it is no text, holds no image, a line has a fault, or two lines give one image
            two labels; file and line are named.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    rows = [(n, line) for n, line in enumerate(read_lines(path), 1) if line.strip()]
    first = rows[0][1] if rows else ""
    delimiter = max(",;\t", key=first.count) if path.suffix.lower() == ".csv" else "\t"
    names: tuple[str, ...] = COLUMNS
    header = tuple(name.strip().lower() for name in _fields(first, delimiter))
    if {"path", "label"} <= set(header):
        names, rows = header, rows[1:]
    found = ImageList(path, columns={name: [] for name in names if name not in COLUMNS[:2]})
    bases = [root] if root else [path.parent, Path()]
    for number, line in rows:
        values = _values(_fields(line, delimiter), names, delimiter)
        label = values.get("label", "")
        if not values.get("path") or not NUMBER.fullmatch(label):
            raise ValueError(_fault(path, number, line, label, delimiter))
        found.lines.append(number)
        found.paths.append(find_image(values["path"], bases))
        found.labels.append(int(label))
        for name, column in found.columns.items():
            column.append(values.get(name, ""))
    if not found.paths:
        raise ValueError(f"{path}: the annotation file is empty")
    _require_one_label(found)
    return _with_full_columns(found)


def write_list(
    file: Path, paths: Sequence[Path], labels: Iterable[int], classes: Sequence[str],
    sources: Sequence[str] = (), names_in: str = "",
) -> None:  # fmt: skip
    """Write a list of images by their whole paths, and its classes' names in a file beside it.

    That file is `NAME.classes.txt`, unless `names_in` names one that several lists share.

    Raises:
        ValueError: a path holds what a list cannot, a tab, an end of line or a byte that is no
            UTF-8; it is named.
    """
    for path in paths:
        if not is_storable(path) or set(str(path)) & set("\t\n\r\0"):
            raise ValueError(
                f"{path}: a list cannot name this image (a tab, an end of line or a byte that is "
                "no UTF-8 in its path); rename it"
            )
    columns: list[Iterable[object]] = [map(os.path.abspath, paths), labels]
    rows = zip(*columns, *([map(one_line, sources)] if sources else []), strict=True)
    lines = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    names = "".join(f"{name}\n" for name in classes)
    beside = file.with_name(names_in or f"{file.stem}.classes.txt")
    for path, text in ((file, lines), (beside, names)):
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")


def read_annotation(path: Path, root: Path | None = None) -> list[tuple[Path, int]]:
    """Read the images and class numbers of a list; as `read_list`, which says what is raised."""
    found = read_list(path, root)
    return list(zip(found.paths, found.labels, strict=True))


def _fields(line: str, delimiter: str) -> list[str]:
    if delimiter == "\t":
        return line.split("\t")  # released lists quote nothing
    return next(csv.reader([line], delimiter=delimiter), [])


def _values(fields: list[str], names: Sequence[str], delimiter: str) -> dict[str, str]:
    """Name the fields of a line. Without a header, a path may hold tabs."""
    if names == COLUMNS and len(fields) > 2 and not NUMBER.fullmatch(fields[1].strip()):
        fields = [delimiter.join(fields[:-1]), fields[-1]]
    if len(fields) > len(names) or len(fields) < 2:
        return {}
    values = dict(zip(names, fields, strict=False))
    return {name: value if name == "path" else value.strip() for name, value in values.items()}


def _fault(path: Path, number: int, line: str, label: str, delimiter: str) -> str:
    shown = line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
    between = {"\t": "a tab", ",": "a comma", ";": "a semicolon"}[delimiter]
    hint = "" if NUMBER.fullmatch(label) or not label else f" ({label[:LONGEST]!r} is no number)"
    return (
        f"{path}, line {number}: {shown!r} is not an image path, {between} and a class number{hint}"
    )


def find_image(name: str, bases: Iterable[Path]) -> Path:
    """Return where a listed image lies, or its name as a path where it lies nowhere."""
    for spelled in dict.fromkeys((name, name.strip(), name.strip().replace("\\", "/"))):
        for base in bases:
            if os.path.isfile(base / spelled):
                return base / spelled
    return Path(name)


def same_file_key(path: Path) -> str:
    """Return what two spellings of one path have in common; links are not followed."""
    return os.path.normcase(os.path.abspath(path))


def _require_one_label(found: ImageList) -> None:
    first: dict[str, int] = {}
    for i, path in enumerate(found.paths):
        before = first.setdefault(same_file_key(path), i)
        if found.labels[before] != found.labels[i]:
            raise ValueError(
                f"{found.file}, lines {found.lines[before]} and {found.lines[i]}: {one_line(path)} "
                f"has label {found.labels[before]} and label {found.labels[i]}; keep one"
            )


def _with_full_columns(found: ImageList) -> ImageList:
    """Drop columns that are empty; refuse sources of some images only."""
    kept = {name: column for name, column in found.columns.items() if any(column)}
    if "" in kept.get("source", ()):
        line = found.lines[kept["source"].index("")]
        raise ValueError(f"{found.file}, line {line}: no source, where other lines have one")
    return ImageList(found.file, found.lines, found.paths, found.labels, kept)


def folder_sources(paths: Sequence[Path], root: Path | None = None) -> list[str]:
    """Name each image's source by the folder that holds it, as seen from a root.

    By default that is the deepest folder that holds all images. For images in the root itself, its
    own name is taken. Names have `/` between folders; one that starts with `real/` is written
    `./real/...`, since `real/CONTENT/PHOTOGRAPH` stands for crops of one photograph.
    """
    parents = [os.path.abspath(path.parent) for path in paths]
    every = set(parents)
    try:
        start = os.path.abspath(root) if root else os.path.commonpath(every or {"."})
    except ValueError:  # on several drives of Windows
        start = ""
    names = {parent: _source_name(parent, start) for parent in every}
    return [names[parent] for parent in parents]


def _source_name(parent: str, root: str) -> str:
    name = os.path.relpath(parent, root).replace(os.sep, "/") if root else Path(parent).as_posix()
    if name == ".":
        name = Path(root).name or root
    return one_line(f"./{name}" if name.startswith("real/") else name)
