"""The columns of an explorer's table: what each holds, as text and as colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dnadet_lib.plots.style import NOT_LABELLED, colour_of
from dnadet_lib.plumbing.text import one_line

if TYPE_CHECKING:
    from dnadet_lib.explorer.state import Explorer

CATEGORIES = ("class", "predicted", "generator", "set-up", "named rightly", "known")
MARKS = ("tags", "note")  # what somebody wrote to images; text, empty where nobody did
NUMBERS = ("confidence", "unknown score")
# What an empty place of a column says; else "not labelled".
EMPTY = {"known": "not checked", "tags": "no tag", "note": "no note"}
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#999933",
)  # fmt: skip

PALE = "#BBBBBB"  # of images without a tag or a note


def as_text(state: Explorer, column: str) -> pd.Series:
    """Return a column as text (N,), a line each; empty places say that nobody looked."""
    values = state.table[column].astype(object)
    empty = EMPTY.get(column, NOT_LABELLED)
    return values.map(lambda value: empty if pd.isna(value) or value == "" else one_line(value))


def colours(state: Explorer, colour_by: str) -> tuple[np.ndarray, dict[str, str]]:
    """Colour every image by a column: (N,) hexadecimal, and value -> colour.

    Of a numeric column, the numbers are returned, and no colours.
    """
    if colour_by in NUMBERS:
        return state.table[colour_by].to_numpy(), {}
    if colour_by not in (*CATEGORIES, *MARKS):
        choices = ", ".join((*CATEGORIES, *MARKS, *NUMBERS))
        raise ValueError(f"colour by {colour_by!r}: choose one of {choices}")
    values = as_text(state, colour_by)
    present = list(dict.fromkeys(values))
    # In the order of every other figure.
    names = [c for c in map(one_line, state.classes) if c in present]
    names += [name for name in present if name not in names]
    if colour_by in ("class", "predicted"):
        legend = {name: colour_of(name) for name in names}
    else:
        unmarked = EMPTY[colour_by] if colour_by in MARKS else ""
        names = [name for name in names if name != unmarked]
        legend = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
        if unmarked in present:
            legend[unmarked] = PALE
    return values.map(legend).to_numpy(), legend
