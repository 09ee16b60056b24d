"""What is known of the makers of images: the labels of lists, and folders named after classes."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dnadet_lib.images.lists import is_list, read_annotation
from dnadet_lib.images.names import names_beside
from dnadet_lib.plumbing.text import storable


def known_labels(
    sources: Sequence[str],
    paths: Sequence[Path],
    given: Sequence[str] | None,
    classes: Sequence[str],
) -> tuple[list[str | None], list[str]]:
    """Find the class of each image.

    Of an image in a list it is the name that belongs to its number. Of another one it is the name
    of the folder just below the source, or of the image's own folder, where that is a class.

    Args:
        sources: What the images were named by: files, folders, globs or annotation files.
        paths: (N,) the images.
        given: Class names that the user gave, or None for those beside a list, else the model's.
        classes: Names of the model's classes.

    Returns:
        (N,) names, None where nothing is known; and a line per list, with what its numbers mean.

    Raises:
        ValueError: a list has a number that no given class has.
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
