"""The forms that say which images the maps show: the search, the legend, ranges of numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dnadet_lib.explorer import explorer, html as explorer_html
from dnadet_lib.explorer.explorer import NUMBERS, Explorer, Filters
from dnadet_lib.plumbing.text import shortened

LEGEND_FITS = 116  # characters of the legend above the maps
LEGEND = "legend"  # the view that holds all of it
HINT = 'a part of a path, or an expression such as: confidence < 0.5 and class == "Real"'


class Search:
    """A field for a search, and a box that shows what was found alone: `parts` of the head."""

    def __init__(self, find: Callable[[], None], only: Callable[[], None]) -> None:
        import ipywidgets as widgets

        self.field = widgets.Text(
            placeholder="search: part of a path, or ...", continuous_update=False, tooltip=HINT
        )
        self.button = widgets.Button(icon="search", tooltip="select what the search finds")
        self.only = widgets.Checkbox(description="show only these", indent=False)
        self.field.observe(lambda _: find(), "value")  # Enter, or leaving the field
        self.button.on_click(lambda _: find())
        self.only.observe(lambda _: only(), "value")
        self.parts = [self.field, self.button, self.only]

    @property
    def text(self) -> str:
        """What is searched for; empty if nothing is."""
        return self.field.value.strip()


class Legend:
    """A dot and a box for each kind of image: what fits stands `above` the maps, `all` in a view.

    A box that is not ticked hides its kind.
    """

    def __init__(self, state: Explorer, changed: Callable[[], None]) -> None:
        import ipywidgets as widgets

        self.state, self.changed = state, changed
        self.above, self.all = widgets.Box(), widgets.Box()
        self.boxes: list[Any] = []

    def draw(self, colour_by: str) -> bool:
        """Draw the legend of a column, with every box ticked; return whether all of it fits."""
        import ipywidgets as widgets

        _, legend = explorer.colours(self.state, colour_by)
        entries = [self._entry(name, colour) for name, colour in legend.items()]
        self.boxes = [box for _, box in entries]
        lengths = np.cumsum([len(shortened(name)) + 6 for name in legend])
        fitting = int((lengths <= LEGEND_FITS).sum())
        if fitting < len(entries):  # room for saying so
            fitting = int((lengths <= LEGEND_FITS - 32).sum())
        self.all.children = [piece for entry in entries for piece in entry]
        above = [piece for entry in entries[:fitting] for piece in entry]
        if fitting < len(entries):
            more = f"and {len(entries) - fitting} more: see &ldquo;{LEGEND}&rdquo;"
            above.append(widgets.HTML(more))
        elif not legend:
            above.append(widgets.HTML(explorer_html.legend(self.state, colour_by)))
        self.above.children = above
        return fitting == len(entries)

    @property
    def hidden(self) -> list[str]:
        """The kinds whose box is not ticked."""
        return [box.names for box in self.boxes if not box.value]

    def _entry(self, name: str, colour: str) -> tuple[Any, Any]:
        import ipywidgets as widgets

        dot = widgets.HTML(f'<span style="color: {colour}" aria-hidden="true">&#9679;</span>')
        box = widgets.Checkbox(value=True, description=shortened(name), indent=False)
        box.names = name
        box.layout.width = "auto"
        box.observe(lambda _: self.changed(), "value")
        return dot, box


class Ranges:
    """A histogram of each column of numbers, and under it a slider that limits what is shown."""

    def __init__(self, state: Explorer, filters: Filters, changed: Callable[[], None]) -> None:
        import ipywidgets as widgets

        self.state, self.filters, self.changed = state, filters, changed
        self.pictures = {name: widgets.HTML() for name in NUMBERS}
        self.sliders = {
            name: widgets.FloatRangeSlider(
                readout=False, continuous_update=False, tooltip=f"lowest and highest {name} shown"
            )
            for name in NUMBERS
        }
        for name, slider in self.sliders.items():
            slider.observe(lambda _, name=name: self._limit(name), "value")
        self.said = widgets.HTML()
        columns = [widgets.VBox([self.pictures[n], self.sliders[n]]) for n in NUMBERS]
        self.widget = widgets.VBox([widgets.HBox(columns), self.said])
        self.widget.add_class("explorer-ranges")
        self.reset()

    def reset(self) -> None:
        """Let everything pass; the sliders reach from the lowest number to the highest."""
        for name, slider in self.sliders.items():
            low, high, step = explorer.scale(self.state, name)
            with slider.hold_trait_notifications():
                slider.min, slider.max, slider.step, slider.value = low, high, step, (low, high)
            slider.disabled = low == high

    def draw(self, selected: np.ndarray) -> None:
        """Draw the histograms of what is shown, with what is selected laid over."""
        for name, picture in self.pictures.items():
            picture.value = explorer_html.histogram(self.state, name, self.filters, selected)
        shown = int(explorer.passing(self.state, self.filters).sum())
        self.said.value = f"{shown} of {len(self.state)} images are shown"

    def _limit(self, name: str) -> None:
        before = dict(self.filters.ranges)
        explorer.limit(self.state, self.filters, name, *self.sliders[name].value)
        if self.filters.ranges != before:
            self.changed()
