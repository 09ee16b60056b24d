"""Labelled images of one's own: where their classes and sources come from, and what is amiss."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from dnadet_lib.data import ImageSet, list_images
from dnadet_lib.images.lists import (
    ImageList,
    find_image,
    folder_sources,
    is_list,
    read_annotation,
    read_lines,
    read_list,
    same_file_key,
)
from dnadet_lib.images.names import SHOWN, listed, names_beside, numbered, require_class_names
from dnadet_lib.plumbing.text import one_line, storable


def read_labelled(
    source: Path, classes: Sequence[str] | None = None, *, default: Sequence[str] | None = None,
    sources: str | None = None,
) -> tuple[ImageSet, list[str]]:  # fmt: skip
    """Read labelled images from a folder of class folders or from a list.

    Args:
        source: The folder or list.
        classes: Class names of a list, in the order of its numbers; by default those in a file
            beside it (`names.names_beside`).
        default: Class names where there is no such file either.
        sources: Where the images' sources come from: a column of the list, or a file of lines
            `path<TAB>source`; by default the list's third column, else the folders.

    Returns:
        The images, and remarks that the user must see.

    Raises:
        FileNotFoundError: the folder or list is missing.
        ValueError: the list has a fault, or classes or sources are missing; the line is named.
    """
    remarks: list[str] = []
    if source.is_dir() or not (source.is_file() or is_list(source)):
        images, found = ImageSet.from_folders(source), ImageList(source)
        if classes is not None:
            remarks = [f"{source}: its folders name the classes; --classes is for lists"]
    else:
        found = read_list(source)
        names, remarks = _class_names(source, classes, default)
        images = ImageSet.from_list(found, names)
    if sources is not None:
        images = replace(images, sources=_chosen_sources(images, found, sources))
    return images, remarks


def read_unlabelled(source: Path, classes: Sequence[str]) -> ImageSet:
    """List images of a folder, glob or list whose labels do not count: all get the first class.

    Sources are the third column of a list, else folders. Errors are those of `read_list` and
    `list_images`, and a FileNotFoundError of listed images that are not there.
    """
    listed_here = is_list(source) and source.is_file()
    found = read_list(source) if listed_here else ImageList(source, paths=list_images(source))
    root = source if source.is_dir() else None
    sources = found.columns.get("source") or folder_sources(found.paths, root)
    images = ImageSet(found.paths, np.zeros(len(found.paths), int), tuple(classes), sources)
    if listed_here:
        require_files(images, source)
    return images


def _class_names(
    file: Path, given: Sequence[str] | None, default: Sequence[str] | None
) -> tuple[Sequence[str] | None, list[str]]:
    """Choose a list's class names, and say so where that is not plain."""
    beside = names_beside(file)
    if given:
        require_class_names(given, "--classes")
        if beside and beside[0] != tuple(given):
            said = f"{beside[1]} says {numbered(beside[0])}; --classes says {numbered(given)}"
            return given, [f"{file}: {said}, and that is taken"]
        return given, []
    if beside:
        return beside[0], []
    if default:
        return default, [
            f"{file}: no names given with --classes or in classes.txt beside it, so its numbers "
            f"are taken to mean {numbered(default)}"
        ]
    return None, []


def _chosen_sources(images: ImageSet, found: ImageList, chosen: str) -> list[str]:
    if chosen in found.columns:
        column = found.columns[chosen]
        if "" in column:
            line = found.lines[column.index("")]
            raise ValueError(f"{found.file}, line {line}: column {chosen!r} is empty")
        return [one_line(name) for name in column]
    file = Path(chosen)
    if not file.is_file():
        columns = listed(found.columns) or "none beside path and label"
        raise ValueError(
            f"--sources {chosen}: neither a column of {found.file} ({columns}) nor a file"
        )
    named = _read_sources(file)
    keys = [same_file_key(path) for path in images.paths]
    absent = [path for path, key in zip(images.paths, keys, strict=True) if key not in named]
    if absent:
        raise ValueError(f"{file}: no source of {len(absent)} images: {listed(absent)}")
    return [named[key] for key in keys]


def _read_sources(file: Path) -> dict[str, str]:
    """Read lines `path<TAB>source`: path, spelled in one way, -> source."""
    named = {}
    for number, line in enumerate(read_lines(file), 1):
        name, _, source = line.rpartition("\t")
        if line.strip() and not (name.strip() and source.strip()):
            raise ValueError(
                f"{file}, line {number}: {line[:100]!r} is not an image path, a tab and a source"
            )
        if line.strip():
            path = find_image(name, [file.parent, Path()])
            named[same_file_key(path)] = one_line(source.strip())
    return named


def require_files(images: ImageSet, what: object) -> None:
    """Check that every image file is there; a FileNotFoundError names ten of those that are not."""
    absent = [path for path in images.paths if not path.is_file()]
    if absent:
        raise FileNotFoundError(
            f"{what}: {len(absent)} of {len(images)} images are missing: {listed(absent)}; a "
            "list's paths start from its own folder or from the working folder"
        )


def without_repeats(images: ImageSet, what: object) -> tuple[ImageSet, list[str]]:
    """Keep the first of images that stand more than once, and remark on the others."""
    keys = [same_file_key(path) for path in images.paths]
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    kept = np.array(sorted(first.values()), int)
    if len(kept) == len(images):
        return images, []
    again = list(dict.fromkeys(images.paths[i] for i in set(range(len(images))) - set(kept)))
    return images.take(kept), [
        f"{what}: {len(images) - len(kept)} of {len(images)} images stand more than once and are "
        f"counted once: {listed(sorted(again)[:SHOWN])}"
    ]


def match_classes(images: ImageSet, classes: Sequence[str], what: object) -> list[str]:
    """Remark on class names in another order than a checkpoint's; a ValueError if one is none."""
    given, known = f"given: {numbered(images.classes)}", f"the checkpoint's: {numbered(classes)}"
    if lacking := [name for name in images.classes if name not in classes]:
        raise ValueError(
            f"{what}: the checkpoint has no class {listed(lacking)}; {given}; {known}; "
            "name the classes as the checkpoint does"
        )
    if images.classes == tuple(classes):
        return []
    order = [name for name in classes if name in images.classes]
    how = "fewer names" if order == list(images.classes) else "the order differs"
    return [f"{what}: {how} ({given}; {known}); labels are matched by name"]


def known_labels(
    sources: Sequence[str], paths: Sequence[Path], given: Sequence[str] | None,
    classes: Sequence[str],
) -> tuple[list[str | None], list[str]]:  # fmt: skip
    """Find the class of each image: (N,) names, None where nothing is known.

    Of an image in a list it is the name that belongs to its number. Of another one it is the name
    of the folder just below its source, or of the image's own folder, where that is a class.
    Sources are files, folders, globs or lists; `given` are class names from the user, else those
    beside a list are taken, else the model's `classes`.

    A line per list says what its numbers were taken for; a ValueError if a given class lacks one.
    """
    names = list(given or classes)
    found: dict[Path, str | None] = {}
    notes = []
    for source in sources:
        if is_list(Path(source)) and Path(source).is_file():
            beside = names_beside(Path(source)) if given is None else None
            own = list(beside[0]) if beside else names
            listed, note = _listed(source, own, given is not None or beside is not None)
            notes += note
            for path, name in listed.items():
                found.setdefault(path, name)
    return [found[p] if p in found else _folder_class(p, sources, names) for p in paths], notes


def _listed(
    source: str, names: Sequence[str], given: bool
) -> tuple[dict[Path, str | None], list[str]]:
    """Read the labels of a list, and say what its numbers were taken for."""
    entries: list[tuple[Path, int]] = []
    with suppress(OSError, ValueError):  # whoever lists the images has named the fault
        entries = read_annotation(Path(source))
    if not entries:
        return {}, []
    known = ", ".join(f"{k} {name}" for k, name in enumerate(names))
    most = max(number for _, number in entries)
    if most < len(names):
        note = f"{source}: numbers taken for the model's classes: {known}"
        return {path: names[number] for path, number in entries}, [] if given else [note]
    if given:
        raise ValueError(f"{source}: label {most} is none of the classes named ({known})")
    note = (
        f"{source}: label {most} is none of the model's classes ({known}): its images are kept as "
        "not labelled; name its classes with --classes"
    )
    return dict.fromkeys((path for path, _ in entries), None), [note]


def _folder_class(path: Path, sources: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the class that an image's folder is named after, or None."""
    folders = [path.absolute().parent.name]
    for source in map(Path, sources):
        if path.is_relative_to(source) and len(parts := path.relative_to(source).parts) > 1:
            folders.insert(0, parts[0])
    return next((name for name in map(storable, folders) if name in names), None)
