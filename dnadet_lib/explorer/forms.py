"""What the explorer's panel is made of: jupyter-scatter maps, and forms beside them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dnadet_lib.explorer import explorer, html as explorer_html
from dnadet_lib.explorer.explorer import NUMBERS, Explorer
from dnadet_lib.plumbing.files import inside
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.plumbing.text import for_html, shortened

WIDE = {"description_width": "initial"}  # the whole label is shown


def keeping(keep: Callable[[], None], export: Callable[[], None]) -> tuple[Any, Any]:
    """Make the form that keeps a selection under a name: all of it, and the field of the name."""
    import ipywidgets as widgets

    name = widgets.Text(
        placeholder="name of the selection", description="name", layout={"width": "300px"},
        style=WIDE,
    )  # fmt: skip
    buttons = [widgets.Button(description=text) for text in ("keep", "export")]
    buttons[0].tooltip = "keep the selection under this name, to compare it or use it in a cell"
    buttons[1].tooltip = "write the selection's table, and copies of its images"
    for button, action in zip(buttons, (keep, export), strict=True):
        button.on_click(lambda _, action=action: action())
    return widgets.HBox([name, *buttons]), name


def kept(state: Explorer) -> list[tuple[str, str]]:
    """List the kept selections for a menu: what it shows, and the name."""
    return [(shortened(name), name) for name in state.selections]


def comparison(state: Explorer) -> tuple[Any, list[Any]]:
    """Make the form that compares two kept selections: all of it, and its two menus."""
    import ipywidgets as widgets

    menus = [
        widgets.Dropdown(options=kept(state), description=text, layout={"width": "230px"},
                         style=WIDE)
        for text in ("compare", "with")
    ]  # fmt: skip
    button, table = widgets.Button(description="compare"), widgets.HTML()

    def on_compare(_: object) -> None:
        first, second = (menu.value or "" for menu in menus)
        try:
            found = explorer.compare(state, first, second).reset_index()
            table.value = explorer_html.table_element(found)
        except ValueError as error:
            table.value = for_html(error)

    button.on_click(on_compare)
    return widgets.VBox([widgets.HBox([*menus, button]), table]), menus


def adding(
    files: Callable[[Sequence[Mapping[str, Any]]], None], folder: Callable[[str], None]
) -> Any:
    """Make the form that adds images: dropped files, or a folder's name."""
    import ipywidgets as widgets

    dropped = widgets.FileUpload(multiple=True, accept="image/*", description="add images")
    named = widgets.Text(
        placeholder="a folder, then Enter", description="or", continuous_update=False
    )
    dropped.observe(lambda change: files(change["new"]), "value")
    named.observe(lambda change: folder(change["new"]), "value")
    return widgets.HBox([dropped, named])


def linked_maps(
    state: Explorer, colour_by: str = "class", names: Sequence[str] | None = None
) -> list[Any]:
    """Make a jupyter-scatter map for each of some of the state's maps, coloured by a column."""
    import jscatter

    numbers = state.table[list(NUMBERS)].astype(np.float32)
    maps = []
    for points in (state.maps[name] for name in names or state.maps):
        table = numbers.assign(x=points[:, 0], y=points[:, 1])
        scatter = jscatter.Scatter(data=table, x="x", y="y", axes=False, size=5)
        scatter.camera(distance=1.15)  # room around the outermost points
        recolour(state, scatter, colour_by)
        maps.append(scatter)
    return maps


def recolour(state: Explorer, scatter: Any, colour_by: str) -> None:
    """Colour a jupyter-scatter map by a column, as it is now."""
    _, legend = explorer.colours(state, colour_by)
    if legend:  # jscatter's map goes by the order of the categories
        texts = pd.Categorical(explorer.as_text(state, colour_by), list(legend))
        scatter.color(by=texts, map=legend)
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
