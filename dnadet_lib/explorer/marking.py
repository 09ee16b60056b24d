"""The form that writes tags and notes to the selected images, and saves them."""

from collections.abc import Callable, Sequence

import numpy as np

from dnadet_lib.explorer import explorer
from dnadet_lib.explorer.explorer import Explorer
from dnadet_lib.plumbing.paths import build_folder

Action = Callable[[], Sequence[str]]


class Marking:
    """Fields for a tag and a note, and their buttons: `widget`.

    `selected` gives the positions of the selected images, `say` does something and shows the lines
    that it says or its error, and `changed` is told which column was written to.
    """

    def __init__(
        self, state: Explorer, selected: Callable[[], np.ndarray], say: Callable[[Action], None],
        changed: Callable[[str], None],
    ) -> None:  # fmt: skip
        import ipywidgets as widgets

        self.state, self.selected, self.say, self.changed = state, selected, say, changed
        self.tag = widgets.Text(placeholder="one, or several: a, b", description="tag")
        self.note = widgets.Text(placeholder="of each selected image", description="note")
        buttons = [
            self._button("add", "give the selected images this tag", self._add),
            self._button("remove", "take this tag from the selected images", self._remove),
            self._button("write", "write this note to the selected images, or take theirs away "
                         "with an empty one", self._write),
            self._button("save", "write tags, notes and maps into the table", self._save),
        ]  # fmt: skip
        self.widget = widgets.HBox([self.tag, *buttons[:2], self.note, *buttons[2:]])
        self.widget.add_class("explorer-marking")

    def _button(self, text: str, tip: str, action: Action) -> object:
        import ipywidgets as widgets

        button = widgets.Button(description=text, tooltip=tip)
        button.on_click(lambda _: self.say(action))
        return button

    def _add(self) -> Sequence[str]:
        explorer.tag(self.state, self.selected(), self.tag.value)
        self.changed("tags")
        return (f"{len(self.selected())} images tagged {self.tag.value.strip()}",)

    def _remove(self) -> Sequence[str]:
        explorer.untag(self.state, self.selected(), self.tag.value)
        self.changed("tags")
        return (f"{len(self.selected())} images no longer tagged {self.tag.value.strip()}",)

    def _write(self) -> Sequence[str]:
        replaced = explorer.annotate(self.state, self.selected(), self.note.value)
        self.changed("note")
        said = f"note of {len(self.selected())} images written"
        return (f"{said}; {replaced} had another one" if replaced else said,)

    def _save(self) -> Sequence[str]:
        file = self.state.file or explorer.unused(build_folder() / "explored")
        saved = explorer.save(self.state, file)
        first, *more = saved.lines()
        return first, f"in a cell: explorer.open_table({str(saved.file)!r})", *more
