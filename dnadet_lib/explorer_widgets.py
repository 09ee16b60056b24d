"""The explorer's widgets: a thin skin over `explorer` and `closeup`, for JupyterLab.

Each callback reads the controls, calls a plain function, and shows what comes back or the message
of its error.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from dnadet_lib import closeup, explorer, plots
from dnadet_lib.data import read_image
from dnadet_lib.explorer import CATEGORIES, NUMBERS, Explorer
from dnadet_lib.gradcam import image_cam
from dnadet_lib.model import Attribution, DNADet
from dnadet_lib.paths import build_folder

HEIGHT = 380  # of a map, in pixels: about its width, else the map is cut off at the sides
SHOWN_AT_MOST = 200  # images of a selection
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


# Pieces of HTML ----------------------------------------------------------------------------------


def picture(image: np.ndarray, side: int = 96, title: str = "") -> str:
    """Write a uint8 image (H, W, 3) as an HTML element, enlarged without smoothing."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<img src="data:image/png;base64,{data}" title="{title}" alt="{title}" width="{side}" '
        'style="display: inline-block; image-rendering: pixelated; margin: 2px">'
    )


def bars(attribution: Attribution, classes: Sequence[str]) -> str:
    """Write the probabilities of one image as HTML bars, with the verdict on the unknown score."""
    lines = [
        f'<tr><td style="padding-right: 8px">{name}</td><td style="width: 170px">'
        f'<div style="background: {plots.colour_of(name)}; width: {100 * p:.1f}%; height: 14px">'
        f'</div></td><td style="text-align: right">{p:.3f}</td></tr>'
        for name, p in zip(classes, attribution.probabilities[0], strict=True)
    ]
    verdict = "known" if attribution.known[0] else "<b>outside what the model knows</b>"
    score = f"unknown score {attribution.unknown_scores[0]:.3f}: {verdict}"
    return f"<table>{''.join(lines)}</table><div>{score}</div>"


def grid_html(state: Explorer, selected: np.ndarray) -> str:
    """Write a selection as a scrolling grid, the least confident first, with its counts below."""
    if len(selected) == 0:
        return "Nothing is selected: choose the lasso beside a map and drag."
    order = explorer.by_confidence(state, selected)
    pieces = []
    for i in order[:SHOWN_AT_MOST]:
        row = state.table.iloc[i]
        title = f"{row['generator']}: {row['predicted']} {row['confidence']:.2f}"
        pieces.append(picture(read_image(state.paths[i]), 64, title))
    more = len(order) - SHOWN_AT_MOST
    rest = f"<p>{more} more are not shown.</p>" if more > 0 else ""
    table = explorer.counts(state, selected).reset_index().round(2).to_html(border=0, index=False)
    spaced = '<table style="border-collapse: separate; border-spacing: 14px 0"'
    table = table.replace("<table", spaced, 1)
    return (
        f"<p><b>{len(selected)} images</b></p>"
        f'<div style="max-height: 220px; overflow-y: auto">{"".join(pieces)}</div>{rest}'
        f'<div style="max-height: 220px; overflow-y: auto">{table}</div>'
    )


def hover_html(state: Explorer, position: int | None) -> str:
    """Write the image under the mouse with what the model says of it."""
    if position is None or not 0 <= position < len(state):
        return "Point at a dot to see its image."
    row = state.table.iloc[position]
    lines = [f"{name}: {row[name]}" for name in ("class", "generator", "set-up", "predicted")]
    lines += [f"{name}: {row[name]:.3f}" for name in ("confidence", "unknown score")]
    shown = picture(read_image(state.paths[position]), 128)
    return f'<div style="display: flex; gap: 12px">{shown}<div>{"<br>".join(lines)}</div></div>'


# Linked maps -------------------------------------------------------------------------------------


def linked_maps(state: Explorer, colour_by: str = "class") -> list[Any]:
    """Make one jupyter-scatter map for each of the state's maps, coloured by a column."""
    import jscatter

    texts = {}
    for column in CATEGORIES:
        names = list(explorer.colours(state, column)[1])  # jscatter's map goes by their order
        texts[as_text(column)] = pd.Categorical(state.table[column].astype(str), names)
    maps = []
    for points in state.maps.values():
        table = state.table.assign(x=points[:, 0], y=points[:, 1], **texts)
        scatter = jscatter.Scatter(data=table, x="x", y="y", axes=False, size=5)
        scatter.camera(distance=1.15)  # room around the outermost points
        recolour(state, scatter, colour_by)
        maps.append(scatter)
    return maps


def as_text(column: str) -> str:
    """Name the column that holds a category as text, as jupyter-scatter wants it."""
    return f"{column} as text"


def recolour(state: Explorer, scatter: Any, colour_by: str) -> None:
    """Colour a jupyter-scatter map by a column."""
    _, legend = explorer.colours(state, colour_by)
    if legend:
        scatter.color(by=as_text(colour_by), map=legend)
    else:
        scatter.color(by=colour_by, map="cividis")


def legend_html(state: Explorer, colour_by: str) -> str:
    """Write what the colours mean."""
    shown, legend = explorer.colours(state, colour_by)
    if not legend:
        return f"dark: {np.nanmin(shown):.3f}, bright: {np.nanmax(shown):.3f}"
    return " &nbsp; ".join(
        f'<span style="color: {colour}; font-size: 1.4em">&#9679;</span>&nbsp;{name}'
        for name, colour in legend.items()
    )


def side_by_side(state: Explorer, maps: Sequence[Any]) -> Any:
    """Link selection and hover of maps, and lay them out in a row under their names."""
    import ipywidgets as widgets
    import jscatter

    jscatter.compose(maps, sync_selection=True, sync_hover=True, row_height=HEIGHT)
    columns = [
        widgets.VBox(
            [widgets.HTML(f"<b>{name}</b>"), scatter.widget],
            layout={"flex": "1 1 0", "min_width": "0"},  # else they shrink to nothing
        )
        for name, scatter in zip(state.maps, maps, strict=True)
    ]
    return widgets.HBox(columns, layout={"overflow": "hidden"})


def explore(state: Explorer, colour_by: str = "class") -> Any:
    """Link the state's maps: hover shows an image; a lasso fills the grid, with counts.

    The selection can be kept under a name, compared with another one, and exported.
    """
    import ipywidgets as widgets

    maps = linked_maps(state, colour_by)
    choices = [*CATEGORIES, *NUMBERS]
    colour = widgets.Dropdown(options=choices, value=colour_by, description="colour by")
    hover = widgets.HTML(hover_html(state, None), layout={"min_height": "140px"})
    legend = widgets.HTML(legend_html(state, colour_by))
    grid = widgets.HTML(grid_html(state, np.array([], int)))
    first = maps[0].widget

    def on_colour(change: dict) -> None:
        for scatter in maps:
            recolour(state, scatter, change["new"])
        legend.value = legend_html(state, change["new"])

    def on_hover(change: dict) -> None:
        hover.value = hover_html(state, change["new"])

    def on_select(change: dict) -> None:
        grid.value = grid_html(state, positions(change["new"]))

    colour.observe(on_colour, "value")
    first.observe(on_hover, "hovering")
    first.observe(on_select, "selection")
    tools = selection_tools(state, lambda: positions(first.selection))
    head = widgets.HBox([colour, legend])
    return widgets.VBox([head, side_by_side(state, maps), hover, tools, grid])


def positions(selection: Any) -> np.ndarray:
    """Turn a map's selection, which may be None, into positions."""
    return np.asarray([] if selection is None else selection, int)


def selection_tools(state: Explorer, selected: Callable[[], np.ndarray]) -> Any:
    """Make the row that names, keeps and exports a selection."""
    import ipywidgets as widgets

    name = widgets.Text(placeholder="name of the selection")
    keep = widgets.Button(description="keep")
    export = widgets.Button(description="export")
    said = widgets.HTML()

    def on_keep(_: object) -> None:
        try:
            explorer.keep(state, name.value, selected())
            kept = (f"{key} ({len(value)})" for key, value in state.selections.items())
            said.value = f"kept: {', '.join(kept)}"
        except ValueError as error:
            said.value = str(error)

    def on_export(_: object) -> None:
        folder = build_folder() / "selections" / Path(name.value.strip() or "selection").name
        try:
            file = explorer.export(state, selected(), folder)
            said.value = f"written: {file} and copies of the images"
        except OSError as error:
            said.value = str(error)

    keep.on_click(on_keep)
    export.on_click(on_export)
    return widgets.HBox([name, keep, export, said])


# One image ---------------------------------------------------------------------------------------


def degrade(model: DNADet, image: np.ndarray, name: str = "JPEG", seed: int = 0) -> Any:
    """Make sliders that degrade an image while its probabilities move."""
    import ipywidgets as widgets

    names = [d.name for d in closeup.DEGRADATIONS]
    kind = widgets.Dropdown(options=names, value=name, description="degrade by")
    strength = widgets.SelectionSlider(options=_strengths(name), description="strength")
    result = widgets.HTML()

    def draw(_: object = None) -> None:
        chosen = strength.value or None
        changed, found = closeup.degraded(model, image, kind.value, chosen, seed)
        result.value = (
            f'<div style="display: flex; gap: 16px">{picture(changed, 256)}'
            f"<div>{bars(found, model.classes)}</div></div>"
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


def cam(model: DNADet, image: np.ndarray, target: str, layer: int = 7) -> Any:
    """Choose a class and a layer, and see Grad-CAM of an image."""
    import ipywidgets as widgets

    classes = widgets.Dropdown(options=list(model.classes), value=target, description="class")
    layers = widgets.IntSlider(value=layer, min=0, max=len(model.main) - 1, description="layer")
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
