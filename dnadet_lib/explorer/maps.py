"""What the explorer's panel is made of: jupyter-scatter maps, and files that are added to them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dnadet_lib.explorer import explorer
from dnadet_lib.explorer.explorer import CATEGORIES, NUMBERS, Explorer
from dnadet_lib.plumbing.files import inside
from dnadet_lib.plumbing.paths import build_folder


def linked_maps(
    state: Explorer, colour_by: str = "class", names: Sequence[str] | None = None
) -> list[Any]:
    """Make a jupyter-scatter map for each of some of the state's maps, coloured by a column."""
    import jscatter

    texts = {}
    for column in CATEGORIES:
        order = list(explorer.colours(state, column)[1])  # jscatter's map goes by their order
        texts[text_of(column)] = pd.Categorical(explorer.as_text(state, column), order)
    numbers = state.table[list(NUMBERS)].astype(np.float32)
    maps = []
    for points in (state.maps[name] for name in names or state.maps):
        table = numbers.assign(x=points[:, 0], y=points[:, 1], **texts)
        scatter = jscatter.Scatter(data=table, x="x", y="y", axes=False, size=5)
        scatter.camera(distance=1.15)  # room around the outermost points
        recolour(state, scatter, colour_by)
        maps.append(scatter)
    return maps


def text_of(column: str) -> str:
    """Name the column that holds a category as text, as jupyter-scatter wants it."""
    return f"{column} as text"


def recolour(state: Explorer, scatter: Any, colour_by: str) -> None:
    """Colour a jupyter-scatter map by a column."""
    _, legend = explorer.colours(state, colour_by)
    if legend:
        scatter.color(by=text_of(colour_by), map=legend)
    else:
        scatter.color(by=colour_by, map="cividis")


def positions(selection: Any) -> np.ndarray:
    """Turn a map's selection, which may be None, into positions."""
    return np.asarray([] if selection is None else selection, int)


def place_of(name: str, content: bytes) -> Path:
    """Name a file under `build/added` for an added image, and no other image's file.

    A ValueError if the name is no file's name, or the folder leads out of the build folder.
    """
    folder = inside(build_folder(), build_folder() / "added")
    plain = Path(name.replace("\\", "/")).name
    if plain in ("", "..") or "\0" in plain:
        raise ValueError(f"{name!r} is no name of a file: rename it, and add it again")
    path = folder / plain
    number = 1
    while path.exists() and not (path.is_file() and path.read_bytes() == content):
        number += 1  # the maps show an earlier image of that name
        path = folder / f"{Path(plain).stem}-{number}{Path(plain).suffix}"
    return path
