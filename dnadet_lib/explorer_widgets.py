"""The explorer's widgets: a thin skin over `explorer` and `closeup`, for JupyterLab.

Each callback reads the controls, calls a plain function, and shows what comes back or the message
of its error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dnadet_lib import closeup, explorer, explorer_html, plots
from dnadet_lib.explorer import CATEGORIES, NUMBERS, Explorer
from dnadet_lib.explorer_figures import require_maps
from dnadet_lib.files import atomic_path, inside, plain_name
from dnadet_lib.gradcam import image_cam
from dnadet_lib.model import DNADet
from dnadet_lib.paths import build_folder
from dnadet_lib.text import for_html, shortened

HEIGHT = 380  # of a map, in pixels: about its width, else the map is cut off at the sides
NOT_HERE = "The widget appears here when you run this cell in JupyterLab (type: make lab)."


def show(build: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Build a widget and display it, where somebody is there to use it.

    `dnadet run` sets DNADET_WIDGETS=off: an executed copy shows the static figures, and a line in
    place of each widget.
    """
    if os.environ.get("DNADET_WIDGETS") == "off":
        print(NOT_HERE)
        return
    from IPython.display import display

    display(build(*arguments, **options))


# Linked maps -------------------------------------------------------------------------------------


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


class Panel:
    """Linked maps, and around them what a selection, a click and added files show.

    Attributes:
        state: What is explored.
        widget: All of it, to display.
        names: Of the maps.
        maps: The jupyter-scatter maps, anew whenever images are added.
    """

    def __init__(
        self, state: Explorer, colour_by: str = "class", names: Sequence[str] | None = None
    ) -> None:
        import ipywidgets as widgets

        self.state, self.names = state, list(names or require_maps(state))
        choices = [*CATEGORIES, *NUMBERS]
        self.colour = widgets.Dropdown(options=choices, value=colour_by, description="colour by")
        self.together = widgets.Checkbox(description="zoom together", indent=False)
        self.legend = widgets.Box(layout={"flex_flow": "row wrap"})
        self.row = widgets.HBox(layout={"overflow": "hidden"})
        self.hover = widgets.HTML(explorer_html.hover(state, None), layout={"min_height": "140px"})
        self.close_up = widgets.HTML("Click a dot to see its image close up.")
        self.grid = widgets.HTML()
        self.said = widgets.HTML(for_html(state.note))
        for name in ("hover", "close_up", "grid"):  # for style sheets and tests
            getattr(self, name).add_class(f"explorer-{name.replace('_', '-')}")
        tools = [self._selection_tools(), self._comparison(), self._adding(), self.said]
        head = widgets.HBox([self.colour, self.together])
        self.widget = widgets.VBox(
            [head, self.legend, self.row, self.hover, *tools, self.close_up, self.grid]
        )
        self.colour.observe(lambda _: self._recolour(), "value")
        self.together.observe(lambda _: self._link_views(), "value")
        self._draw_maps()

    @property
    def selected(self) -> np.ndarray:
        """Positions of the selected images."""
        return positions(self.maps[0].widget.selection)

    def say(self, action: Callable[[], Sequence[str]]) -> None:
        """Do something and show the lines that it says, or the message of its error."""
        try:
            self.said.value = "<br>".join(map(for_html, action()))
        except (OSError, ValueError) as error:
            self.said.value = for_html(error)

    # What is on the maps

    def _draw_maps(self) -> None:
        import ipywidgets as widgets
        import jscatter

        self.maps = linked_maps(self.state, self.colour.value, self.names)
        jscatter.compose(self.maps, sync_selection=True, sync_hover=True, row_height=HEIGHT)
        self.row.children = [
            widgets.VBox(
                [widgets.HTML(explorer_html.quality(self.state, name)), scatter.widget],
                layout={"flex": "1 1 0", "min_width": "0"},  # else they shrink to nothing
            )
            for name, scatter in zip(self.names, self.maps, strict=True)
        ]
        first = self.maps[0].widget
        first.observe(lambda change: self._on_hover(change["new"]), "hovering")
        first.observe(lambda _: self._on_select(), "selection")
        self._draw_legend()
        self._link_views()
        self._on_select()

    def _draw_legend(self) -> None:
        import ipywidgets as widgets

        _, legend = explorer.colours(self.state, self.colour.value)
        if not legend:
            self.legend.children = [
                widgets.HTML(explorer_html.legend(self.state, self.colour.value))
            ]
        else:
            self.legend.children = [
                piece for name, colour in legend.items() for piece in self._entry(name, colour)
            ]

    def _entry(self, name: str, colour: str) -> tuple[Any, Any]:
        """Make one entry of the legend: a dot, and a box that hides the points of its kind."""
        import ipywidgets as widgets

        dot = widgets.HTML(f'<span style="color: {colour}; font-size: 1.4em">&#9679;</span>')
        box = widgets.Checkbox(value=True, description=shortened(name), indent=False)
        box.names = name
        box.layout.width = "auto"
        box.observe(lambda _: self._filter(), "value")
        return dot, box

    def _filter(self) -> None:
        hidden = [b.names for b in self.legend.children if getattr(b, "value", 1) is False]
        values = explorer.as_text(self.state, self.colour.value)
        shown = np.flatnonzero(~values.isin(hidden)) if hidden else None
        for scatter in self.maps:
            scatter.filter(shown)

    def _recolour(self) -> None:
        for scatter in self.maps:
            scatter.filter(None)
            recolour(self.state, scatter, self.colour.value)
        self._draw_legend()

    def _link_views(self) -> None:
        for scatter in self.maps:
            scatter.widget.view_sync = f"explorer-{id(self)}" if self.together.value else None

    # What belongs to a point and to a selection

    def _on_hover(self, position: int | None) -> None:
        self.hover.value = explorer_html.hover(self.state, position)

    def _on_select(self) -> None:
        selected = self.selected
        self.grid.value = explorer_html.grid(self.state, selected)
        if len(selected) == 1:
            self.close_up.value = explorer_html.close_up(self.state, int(selected[0]))

    def _selection_tools(self) -> Any:
        import ipywidgets as widgets

        self.name = widgets.Text(placeholder="name of the selection")
        keep, export = (widgets.Button(description=text) for text in ("keep", "export"))
        keep.on_click(lambda _: self.say(self._keep))
        export.on_click(lambda _: self.say(self._export))
        return widgets.HBox([self.name, keep, export])

    def _keep(self) -> Sequence[str]:
        explorer.keep(self.state, self.name.value, self.selected)
        for menu in self.compared:
            menu.options = self._choices()
        kept = (f"{key} ({len(value)})" for key, value in self.state.selections.items())
        name = self.name.value.strip()
        return f"kept: {', '.join(kept)}", f"in the next cell: explorer.frame(state, {name!r})"

    def _choices(self) -> list[tuple[str, str]]:
        """List the kept selections for a menu: what it shows, and the name."""
        return [(shortened(name), name) for name in self.state.selections]

    def _export(self) -> Sequence[str]:
        name = plain_name(self.name.value.strip() or "selection", "name of the selection")
        folder = inside(build_folder(), build_folder() / "selections" / name)
        file = explorer.export(self.state, self.selected, folder)
        return (f"written: {file} and copies of the images",)

    def _comparison(self) -> Any:
        import ipywidgets as widgets

        self.compared = [
            widgets.Dropdown(options=self._choices(), layout={"width": "160px"}) for _ in "ab"
        ]
        button, table = widgets.Button(description="compare"), widgets.HTML()

        def on_compare(_: object) -> None:
            first, second = (menu.value or "" for menu in self.compared)
            try:
                found = explorer.compare(self.state, first, second).reset_index()
                table.value = explorer_html.table_element(found)
            except ValueError as error:
                table.value = for_html(error)

        button.on_click(on_compare)
        return widgets.VBox([widgets.HBox([*self.compared, button]), table])

    # Images of one's own

    def _adding(self) -> Any:
        import ipywidgets as widgets

        dropped = widgets.FileUpload(multiple=True, accept="image/*", description="add images")
        folder = widgets.Text(placeholder="or a folder, then Enter", continuous_update=False)
        dropped.observe(lambda change: self.say(lambda: self._add_files(change["new"])), "value")
        folder.observe(lambda change: self.say(lambda: self._add([change["new"]])), "value")
        return widgets.HBox([dropped, folder])

    def _add_files(self, files: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        paths = []
        for file in files:
            paths.append(place_of(file["name"], bytes(file["content"])))
            with atomic_path(paths[-1]) as temporary:
                temporary.write_bytes(file["content"])
        return self._add(paths)

    def _add(self, sources: Sequence[Path | str]) -> Sequence[str]:
        before, noted = len(self.state.errors), len(self.state.notes)
        added = explorer.add_images(self.state, sources)
        lines = [f"{len(added)} images added", *self.state.errors[before:]]
        lines += self.state.notes[noted:]
        if len(added):
            self._draw_maps()
            for scatter in self.maps:  # what is selected is outlined
                scatter.widget.selection = added.tolist()
        return lines


def explore(
    state: Explorer, colour_by: str = "class", names: Sequence[str] | None = None
) -> Any:
    """Link maps of the state, all or some, and show what lies behind their points.

    Pointing at a dot shows its image, a click shows it close up, the lasso fills the grid, with
    counts. Boxes of the legend hide points. A selection can be kept under a name, compared with
    another one, and exported; files and folders can be added.

    Raises:
        ValueError: there is no map.
    """
    return Panel(state, colour_by, names).widget


def place_of(name: str, content: bytes) -> Path:
    """Name a file under `build/added` for an added image, and no other image's file.

    Raises:
        ValueError: the name is no file's name, or the folder leads out of the build folder.
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


# One image ---------------------------------------------------------------------------------------


def degrade(
    model: DNADet,
    image: np.ndarray,
    name: str = "JPEG",
    seed: int = 0,
    state: Explorer | None = None,
) -> Any:
    """Make sliders that degrade an image while its probabilities move.

    Args:
        model: Attributes.
        image: uint8 (H, W, 3).
        name: The degradation to begin with.
        seed: Of noise and crops.
        state: If it has maps of the model's, the image's place on the first one is shown.
    """
    import ipywidgets as widgets

    names = [d.name for d in closeup.DEGRADATIONS]
    kind = widgets.Dropdown(options=names, value=name, description="degrade by")
    strength = widgets.SelectionSlider(options=_strengths(name), description="strength")
    result = widgets.HTML()
    title = next(iter(state.maps), "") if state else ""
    background = explorer_html.map_picture(state, title) if state and title else None

    def draw(_: object = None) -> None:
        chosen = strength.value or None
        changed, found = closeup.degraded(model, image, kind.value, chosen, seed)
        place = ""
        if state and background:
            place = background.at(explorer.moved(state, title, found.embeddings[0]))
        result.value = (
            f'<div style="display: flex; gap: 16px">{explorer_html.picture(changed, 256)}'
            f"<div>{explorer_html.bars(found, model.classes)}</div>{place}</div>"
        )

    def on_kind(change: dict) -> None:
        strength.options = _strengths(change["new"])
        strength.index = 0
        draw()

    kind.observe(on_kind, "value")
    strength.observe(draw, "value")
    draw()
    return widgets.VBox([kind, strength, result])


def _strengths(name: str) -> list[tuple[str, float]]:
    """Label and value of each place of the slider; 0 leaves the image as it is."""
    return [("as it is", 0.0), *((f"{s:g}", s) for s in closeup.degradation(name).strengths)]


def cam(model: DNADet, image: np.ndarray, target: str) -> Any:
    """Choose a class and a layer, and see Grad-CAM of an image."""
    import ipywidgets as widgets

    choices = [(shortened(name), name) for name in model.classes]
    classes = widgets.Dropdown(options=choices, value=target, description="class")
    last = len(model.main) - 1
    layers = widgets.IntSlider(value=last, min=0, max=last, description="layer")
    result = widgets.Output()

    def draw(_: object = None) -> None:
        from IPython.display import display

        number = model.classes.index(classes.value)
        values = image_cam(model, image, number, layers.value)
        title = f"layer {layers.value}"
        figure = closeup.cams_figure(closeup.prepared_image(model, image), {title: values})
        with result:
            result.clear_output(wait=True)
            display(figure)
        plots.plt.close(figure)

    classes.observe(draw, "value")
    layers.observe(draw, "value")
    draw()
    return widgets.VBox([classes, layers, result])
