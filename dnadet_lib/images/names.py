"""Names of classes: read, compared and written in messages."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from dnadet_lib.images.lists import read_lines
from dnadet_lib.plumbing.text import one_line

SHOWN = 10  # names in a message


def names_beside(path: Path) -> tuple[tuple[str, ...], Path] | None:
    """Read the class names beside a list, `NAME.classes.txt` or `classes.txt`, and their file.

    A ValueError names file and line of a name that is empty, holds a tab or stands twice.
    """
    path = Path(path)
    for file in (path.with_name(f"{path.stem}.classes.txt"), path.with_name("classes.txt")):
        if file.is_file() and file != path:
            return read_names(file), file
    return None


def read_names(file: Path) -> tuple[str, ...]:
    """Read class names, one a line in the order of their numbers."""
    lines = [line.strip() for line in read_lines(file)]
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not line or "\t" in line:
            raise ValueError(
                f"{file}, line {number}: {line!r} is no class name; "
                "give one name a line, in the order of their numbers"
            )
    require_class_names(lines, str(file))
    return tuple(lines)


def require_class_names(names: Sequence[str], where: str = "") -> None:
    """Refuse class names that cannot be told apart; `where` says where they come from.

    Raises:
        ValueError: there is none, one is empty, or two differ in nothing but case, spaces,
            invisible characters or how a letter is encoded; they are named.
    """
    start = f"{where}: " if where else ""
    if not names:
        raise ValueError(f"{start}no class names given")
    seen: dict[str, str] = {}
    for name in names:
        folded = _folded(name)
        if not folded:
            raise ValueError(f"{start}class name {name!r} is empty: {listed(names)}")
        if folded in seen:
            both = f"{seen[folded]!r} stands twice"
            if name != seen[folded]:
                both = f"{seen[folded]!r} and {name!r} are too much alike"
            raise ValueError(f"{start}class names: {both}; give each class a name of its own")
        seen[folded] = name


def _folded(name: str) -> str:
    visible = "".join(c for c in name if unicodedata.category(c) not in ("Cf", "Cc") or c.isspace())
    return " ".join(unicodedata.normalize("NFKC", visible).casefold().split())


def listed(names: Iterable[object]) -> str:
    """Write names with commas between them, ten at most and the number of the others."""
    every = [one_line(name) for name in names]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def numbered(names: Iterable[str]) -> str:
    """Write class names with their numbers: `0 Real, 1 ProGAN`."""
    return listed(f"{number} {name}" for number, name in enumerate(names))
