"""The forms of the explorer's panel: keeping a selection, comparing two, adding images."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dnadet_lib.explorer import explorer, html as explorer_html
from dnadet_lib.explorer.explorer import Explorer
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
