"""The explorer's widgets: a thin skin over `explorer` and `closeup`, for JupyterLab."""

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from dnadet_lib.explorer import closeup, explorer, html as explorer_html
from dnadet_lib.explorer.explorer import Explorer
from dnadet_lib.explorer.forms import WIDE
from dnadet_lib.explorer.gradcam import image_cam
from dnadet_lib.explorer.html import address, image_element
from dnadet_lib.explorer.panel import Panel
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.text import shortened


@dataclass(frozen=True)
class MapPicture:
    """A map drawn once on which a point can be moved; `low` and `high` (2,) are its corners."""

    element: str
    low: np.ndarray
    high: np.ndarray
    side: int

    def at(self, point: np.ndarray) -> str:
        """Write the map with a ring around a place (2,)."""
        x, y = (np.asarray(point) - self.low) / (self.high - self.low) * self.side
        ring = (
            f'<circle cx="{x:.1f}" cy="{self.side - y:.1f}" r="9" fill="none" '
            'stroke="white" stroke-width="6"/>'
        )
        inner = ring.replace("white", "black").replace('width="6"', 'width="3"')
        overlay = (
            f'<svg aria-hidden="true" width="{self.side}" height="{self.side}" '
            f'style="position: absolute; left: 0; top: 0">{ring}{inner}</svg>'
        )
        style = f"position: relative; width: {self.side}px"
        return f'<div style="{style}">{self.element}{overlay}</div>'


def map_picture(state: Explorer, name: str, side: int = 300) -> MapPicture:
    """Draw a map by class, without a frame, as a background."""
    points = state.maps[name]
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    shown, _ = explorer.colours(state, "class")
    figure = plt.figure(figsize=(side / 100, side / 100), layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.scatter(points[:, 0], points[:, 1], c=shown, s=8, linewidths=0, alpha=0.5)
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axis.axis("off")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches=None)
    plt.close(figure)
    element = image_element(address(buffer), side, side, f"{name} by class")
    element = element.replace("margin: 2px", "margin: 0")
    return MapPicture(element, low, high, side)


NOT_HERE = "The widget appears here when you run this cell in JupyterLab (type: make lab)."


def show(build: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Build a widget and display it, or a line in its place with DNADET_WIDGETS=off."""
    if os.environ.get("DNADET_WIDGETS") == "off":
        print(NOT_HERE)
        return
    from IPython.display import display

    display(build(*arguments, **options))


def explore(
    state: Explorer, colour_by: str = "class", names: Sequence[str] | None = None
) -> Any:
    """Link maps of the state, all or some, and show what lies behind their points.

    Pointing at a dot shows its image, a click shows it close up, the lasso fills the grid, with
    counts. Boxes of the legend hide points. A selection can be kept under a name, compared with
    another one, and exported; files and folders can be added. A ValueError if there is no map.
    """
    return Panel(state, colour_by, names).widget


def degrade(
    model: DNADet, image: np.ndarray, name: str = "JPEG", seed: int = 0,
    state: Explorer | None = None,
) -> Any:  # fmt: skip
    """Make sliders that degrade a uint8 image (H, W, 3) while its probabilities move.

    `name` is the degradation to begin with. If the state has maps of the model's, the image's place
    on the first one is shown.
    """
    import ipywidgets as widgets

    names = [d.name for d in closeup.DEGRADATIONS]
    kind = widgets.Dropdown(options=names, value=name, description="degrade by", style=WIDE)
    strength = widgets.SelectionSlider(
        options=_strengths(name), description=closeup.measure(name), style=WIDE,
        layout={"width": "480px", "max_width": "100%"},
    )  # fmt: skip
    result = widgets.HTML()
    title = next(iter(state.maps), "") if state else ""
    background = map_picture(state, title) if state and title else None

    def draw(_: object = None) -> None:
        chosen = strength.value or None
        changed, found = closeup.degraded(model, image, kind.value, chosen, seed)
        place = ""
        if state and background:
            place = background.at(explorer.moved(state, title, found.embeddings[0]))
        label = "as it is" if chosen is None else f"{closeup.measure(kind.value)} {chosen:g}"
        bars = explorer_html.bars(found, model.classes)
        result.value = _degraded(changed, label, bars, place)

    def on_kind(change: dict) -> None:
        strength.description = closeup.measure(change["new"])
        strength.options = _strengths(change["new"])
        strength.index = 0
        draw()

    kind.observe(on_kind, "value")
    strength.observe(draw, "value")
    draw()
    return widgets.VBox([kind, strength, result])


def _degraded(image: np.ndarray, label: str, bars: str, place: str) -> str:
    shown = explorer_html.picture(image, 256, f"the image, {label}")
    return (
        '<div style="display: flex; gap: 16px; align-items: flex-start; line-height: 1.4">'
        f"<div>{shown}<div>{label}</div></div><div>{bars}</div>{place}</div>"
    )


def _strengths(name: str) -> list[tuple[str, float]]:
    """Label and value of each place of the slider; 0 leaves the image as it is."""
    return [("as it is", 0.0), *((f"{s:g}", s) for s in closeup.degradation(name).strengths)]


def cam(model: DNADet, image: np.ndarray, target: str) -> Any:
    """Choose a class and a layer, and see Grad-CAM of an image."""
    import ipywidgets as widgets

    choices = [(shortened(name), name) for name in model.classes]
    classes = widgets.Dropdown(
        options=choices, value=target, description="red speaks for the class", style=WIDE
    )
    last = len(model.main) - 1
    layers = widgets.IntSlider(
        value=last, min=0, max=last, description=f"layer (0 the first, {last} the last)",
        style=WIDE, layout={"width": "480px", "max_width": "100%"},
    )  # fmt: skip
    result = widgets.HTML(layout={"max_width": "640px"})

    def draw(_: object = None) -> None:
        number = model.classes.index(classes.value)
        title = f"layer {layers.value}"
        maps = {title: image_cam(model, image, number, layers.value)}
        figure = closeup.cams_figure(model.input.resized(image), maps)
        about = f"the image, and Grad-CAM of {title} for {shortened(classes.value)}"
        result.value = explorer_html.drawn(figure, about)

    classes.observe(draw, "value")
    layers.observe(draw, "value")
    draw()
    return widgets.VBox([classes, layers, result])
