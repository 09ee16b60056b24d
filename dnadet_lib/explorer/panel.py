"""The explorer's panel: linked maps, and beside them what is behind their points."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dnadet_lib.explorer import explorer, forms, html as explorer_html
from dnadet_lib.explorer.explorer import CATEGORIES, MARKS, NUMBERS, Explorer, Filters
from dnadet_lib.explorer.figures import require_maps
from dnadet_lib.explorer.finding import LEGEND, Legend, Ranges, Search
from dnadet_lib.explorer.forms import linked_maps, place_of, positions, recolour
from dnadet_lib.explorer.marking import Marking
from dnadet_lib.plumbing.files import atomic_path, inside, plain_name
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.plumbing.text import for_html

MAPS = 500  # pixels of all maps together, from top to bottom: with the controls, a laptop's screen
TITLE = 22  # pixels of a map's heading
HIGHEST = 330  # pixels of a map: about its width, else it is cut off at the sides
VIEWS = IMAGE, SELECTION, FILTER, MORE = "one image", "selection", "filter", "compare, add images"
STYLE = Path(__file__).with_name("widgets.css")


class Panel:
    """Linked maps, and beside them what a selection, a click and added files show: `widget`."""

    def __init__(
        self, state: Explorer, colour_by: str = "class", names: Sequence[str] | None = None
    ) -> None:
        import ipywidgets as widgets

        from dnadet_lib.explorer.pictures import Pictures

        self.state, self.names = state, list(names or require_maps(state))
        self.order, self.first = np.empty(0, int), 0  # of the selection; the first one shown
        self.found = np.empty(0, int)  # by the search
        self.filters = Filters(colour_by)
        choices = [*CATEGORIES, *MARKS, *NUMBERS]
        self.colour = widgets.Dropdown(options=choices, value=colour_by, description="colour by")
        self.together = widgets.Checkbox(description="zoom together", indent=False)
        self.search = Search(lambda: self.say(self._find), self._filter)
        self.key = Legend(state, self._filter)
        self.legend, self.all_legend = self.key.above, self.key.all
        self.row = widgets.Box()
        self.hover = widgets.HTML(explorer_html.hover(state, None))
        self.view = widgets.ToggleButtons(options=list(VIEWS), value=SELECTION)
        self.close_up = widgets.HTML(explorer_html.HINT)
        self.pictures = Pictures()
        self.grid = widgets.HTML()
        self.said = widgets.HTML(for_html(state.note))
        self.ranges = Ranges(state, self.filters, self._filter)
        self.views = self._views()
        self.pane = widgets.Box(list(self.views.values()))
        self.widget = self._arranged()
        self._listen()
        self._show_view()
        self._draw_maps()

    def _views(self) -> dict[str, Any]:
        """Make what stands beside the maps, one at a time, by the names of the buttons."""
        import ipywidgets as widgets

        keeping, self.name = forms.keeping(
            lambda: self.say(self._keep), lambda: self.say(self._export)
        )
        comparison, self.compared = forms.comparison(self.state)
        adding = forms.adding(
            lambda files: self.say(lambda: self._add_files(files)),
            lambda folder: self.say(lambda: self._add([folder])),
        )
        self.marking = Marking(self.state, lambda: self.selected, self.say, self._redraw)
        return {
            IMAGE: self.close_up,
            SELECTION: widgets.VBox(
                [self._pages(), self.pictures, self.grid, self.marking.widget, keeping]
            ),
            FILTER: self.ranges.widget,
            MORE: widgets.VBox([comparison, adding]),
            LEGEND: self.all_legend,
        }

    def _arranged(self) -> Any:
        """Put the pieces where they belong, and name them for the style sheet and for tests."""
        import ipywidgets as widgets

        style = widgets.HTML(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")
        style.layout.display = "none"
        every = widgets.Button(description="select all shown", tooltip="all that is not hidden")
        none = widgets.Button(description="clear selection")
        every.on_click(lambda _: self.select(self.shown))
        none.on_click(lambda _: self.select(np.empty(0, int)))
        head = widgets.HBox([self.colour, *self.search.parts, self.together, every, none])
        self.side = widgets.VBox([self.hover, self.view, self.pane, self.said])
        self.work = widgets.HBox([self.row, self.side])
        for name in ("hover", "close_up", "grid", "side", "work", "pane", "legend", "all_legend",
                     "view", "said", "pages"):  # fmt: skip
            getattr(self, name).add_class(f"explorer-{name.replace('_', '-')}")
        self.row.add_class("explorer-maps")
        head.add_class("explorer-head")
        whole = widgets.VBox([style, head, self.legend, self.work])
        whole.add_class("explorer")
        return whole

    def _listen(self) -> None:
        self.colour.observe(lambda _: self._recolour(), "value")
        self.together.observe(lambda _: self._link_views(), "value")
        self.view.observe(lambda _: self._show_view(), "value")
        self.pictures.on("open", lambda place: self._open(self._at(place)))
        self.pictures.on("point", lambda place: self._mark(self._at(place)))
        self.pictures.on("clear", lambda _: self.select(np.empty(0, int)))

    @property
    def selected(self) -> np.ndarray:
        """Positions of the selected images."""
        return positions(self.maps[0].widget.selection)

    def select(self, images: np.ndarray) -> None:
        """Select images on every map."""
        for scatter in self.maps:
            scatter.widget.selection = np.asarray(images, int).tolist()

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
        columns = 1 if len(self.maps) < 3 else 2
        height = min(HIGHEST, MAPS // math.ceil(len(self.maps) / columns) - TITLE)
        jscatter.compose(self.maps, sync_selection=True, sync_hover=True, row_height=height)
        self.row.layout.grid_template_columns = f"repeat({columns}, minmax(0, 1fr))"
        self.row.children = [
            widgets.VBox([widgets.HTML(explorer_html.quality(self.state, name)), scatter.widget])
            for name, scatter in zip(self.names, self.maps, strict=True)
        ]
        first = self.maps[0].widget
        first.observe(lambda change: self._on_hover(change["new"]), "hovering")
        first.observe(lambda _: self._on_select(), "selection")
        self._draw_legend()
        self._link_views()
        self._on_select()

    def _draw_legend(self) -> None:
        """Draw the legend, and offer a view of it where it does not fit above the maps."""
        views = list(VIEWS) if self.key.draw(self.colour.value) else [*VIEWS, LEGEND]
        if list(self.view.options) != views:
            shown = self.view.value
            self.view.options = views
            self.view.value = shown if shown in views else SELECTION
        self._filter()

    @property
    def shown(self) -> np.ndarray:
        """Positions of the images that the maps show."""
        return np.flatnonzero(explorer.passing(self.state, self.filters))

    def _filter(self) -> None:
        """Show what the legend, the search and the ranges let pass."""
        self.filters.column, self.filters.hidden = self.colour.value, self.key.hidden
        only = self.search.only.value and self.search.text
        self.filters.found = self.found if only else None
        shown = self.shown
        for scatter in self.maps:
            scatter.filter(None if len(shown) == len(self.state) else shown)
        self.ranges.draw(self.selected)

    def _find(self) -> Sequence[str]:
        self.found = explorer.search(self.state, self.search.text)
        self._filter()
        self.select(self.found)
        return (f"{len(self.found)} images found",) if self.search.text else ()

    def _recolour(self) -> None:
        for scatter in self.maps:
            recolour(self.state, scatter, self.colour.value)
        self._draw_legend()

    def _redraw(self, column: str) -> None:
        """Colour the maps anew where the colours are those of a column that has changed."""
        if self.colour.value == column:
            self._recolour()

    def _link_views(self) -> None:
        for scatter in self.maps:
            scatter.widget.view_sync = f"explorer-{id(self)}" if self.together.value else None

    # What belongs to a point and to a selection

    def _show_view(self) -> None:
        for name, piece in self.views.items():
            piece.layout.display = "" if name == self.view.value else "none"

    def _on_hover(self, position: int | None) -> None:
        self.hover.value = explorer_html.hover(self.state, position)

    def _mark(self, position: int) -> None:
        for scatter in self.maps:
            scatter.widget.hovering = position

    def _on_select(self) -> None:
        selected = self.selected
        self.order, self.first = explorer.by_confidence(self.state, selected), 0
        self.grid.value = explorer_html.counts(self.state, selected)
        self._turn(0)
        if len(selected) == 1:
            self._open(int(selected[0]))
        else:
            self.close_up.value = explorer_html.HINT
            self.view.value = FILTER if self.view.value == FILTER else SELECTION
        self.ranges.draw(selected)

    def _open(self, position: int) -> None:
        self.close_up.value = "Looking closely ..."  # never the image before
        self.view.value = IMAGE
        self.close_up.value = explorer_html.close_up(self.state, position)

    def _at(self, place: int) -> int:
        """Position of the image at a place of the page of pictures."""
        return int(self.order[min(self.first + max(0, place), len(self.order) - 1)])

    def _pages(self) -> Any:
        import ipywidgets as widgets

        self.heading = widgets.HTML()
        self.before = widgets.Button(icon="chevron-left", tooltip="the images before these")
        self.after = widgets.Button(icon="chevron-right", tooltip="the images after these")
        self.before.on_click(lambda _: self._turn(-explorer_html.SHOWN_AT_ONCE))
        self.after.on_click(lambda _: self._turn(explorer_html.SHOWN_AT_ONCE))
        self.pages = widgets.HBox([self.heading, self.before, self.after])
        return self.pages

    def _turn(self, step: int) -> None:
        """Go on in the selection by some images, or back."""
        number, at_once = len(self.order), explorer_html.SHOWN_AT_ONCE
        self.first = min(max(0, self.first + step), max(0, number - 1) // at_once * at_once)
        end = min(self.first + at_once, number)
        page = self.order[self.first : end].tolist()
        self.pictures.show(explorer_html.thumbnails(self.state, page))
        which = f"{self.first + 1} to {end}, the least confident first" if number > 1 else ""
        self.heading.value = f"<b>{number} images</b> {which}" if number else ""
        self.before.disabled, self.after.disabled = self.first == 0, end == number
        shown = "" if number > at_once else "none"
        self.before.layout.display = self.after.layout.display = shown

    def _keep(self) -> Sequence[str]:
        explorer.keep(self.state, self.name.value, self.selected)
        for menu in self.compared:
            menu.options = forms.kept(self.state)
        kept = (f"{key} ({len(value)})" for key, value in self.state.selections.items())
        name = self.name.value.strip()
        return f"kept: {', '.join(kept)}", f"in the next cell: explorer.frame(state, {name!r})"

    def _export(self) -> Sequence[str]:
        name = plain_name(self.name.value.strip() or "selection", "name of the selection")
        folder = inside(build_folder(), build_folder() / "selections" / name)
        file = explorer.export(self.state, self.selected, folder)
        return (f"written: {file} and copies of the images",)

    # Added images

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
            lines.append("each lies between its 5 nearest neighbours, whose points stay")
            self._draw_maps()
            self.search.only.value = False  # they are shown
            self.ranges.reset()
            self.select(added)  # what is selected is outlined
        return lines
