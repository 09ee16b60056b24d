"""Tags and notes that somebody writes to images, in two columns of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnadet_lib.plumbing.text import storable

if TYPE_CHECKING:
    from dnadet_lib.explorer.state import Explorer

JOINED = ", "  # between the tags of an image
LONGEST = {"tags": 200, "note": 2000}  # characters of an image's


def tags_of(text: str) -> list[str]:
    """Split the tags of an image, which commas part; each is given once."""
    return [tag for tag in dict.fromkeys(part.strip() for part in text.split(",")) if tag]


def joined(*texts: str) -> str:
    """Write the tags of several texts as one, each tag once."""
    return JOINED.join(tags_of(",".join(texts)))


def tag(state: Explorer, selected: np.ndarray, text: str) -> None:
    """Give images a tag, or several with commas between them.

    Raises:
        ValueError: no tag, nothing selected, characters that cannot be shown, or too many.
    """
    _require_tags(text)
    _write(state, selected, "tags", lambda old: joined(old, text))


def untag(state: Explorer, selected: np.ndarray, text: str) -> None:
    """Take a tag, or several with commas between them, from images; a ValueError as of `tag`."""
    _require_tags(text)
    gone = tags_of(text)
    _write(state, selected, "tags", lambda old: JOINED.join(
        kept for kept in tags_of(old) if kept not in gone
    ))  # fmt: skip


def annotate(state: Explorer, selected: np.ndarray, text: str) -> int:
    """Write a note to images, in the place of any they have; an empty one takes it away.

    Returns the number of images that had another note. A ValueError as of `tag`.
    """
    text = text.strip()
    before = state.table["note"].iloc[np.asarray(selected, int)]
    replaced = int(((before != "") & (before != text)).sum())
    _write(state, selected, "note", lambda old: text)
    return replaced


def marked(state: Explorer) -> np.ndarray:
    """Return the positions of the images that have a tag or a note."""
    return np.flatnonzero((state.table["tags"] != "") | (state.table["note"] != ""))


def _require_tags(text: str) -> None:
    if not tags_of(text):
        raise ValueError("no tag: write one, or several with commas between them")


def _write(
    state: Explorer, selected: Sequence[int] | np.ndarray, column: str, change: Callable[[str], str]
) -> None:
    """Change a column of some images: all of them, or none where one of them cannot be."""
    positions = np.asarray(selected, int)
    if not len(positions):
        raise ValueError(f"{column}: nothing is selected")
    values = state.table[column].tolist()
    for place in positions:
        values[place] = storable(change(values[place]))
        if not values[place].isprintable():
            raise ValueError(f"{column}: {values[place]!r} holds characters that cannot be shown")
        if len(values[place]) > LONGEST[column]:
            raise ValueError(
                f"{column}: {len(values[place])} characters of one image: at most {LONGEST[column]}"
            )
    state.table[column] = values
