"""A grid of pictures in a notebook, each of them a button."""

from collections.abc import Callable, Sequence
from pathlib import Path

import anywidget
import traitlets

from dnadet_lib.explorer.html import Thumbnail


class Pictures(anywidget.AnyWidget):
    """Shows pictures, and says which one is pointed at or opened."""

    _esm = Path(__file__).with_suffix(".js")
    pictures: traitlets.List = traitlets.List().tag(sync=True)

    def show(self, thumbnails: Sequence[Thumbnail]) -> None:
        """Show other pictures."""
        self.pictures = [vars(one) for one in thumbnails]

    def on(self, what: str, action: Callable[[int], None]) -> None:
        """Call a function with a picture's place when somebody does something with it.

        That is "open" (a click, Enter), "point" (the mouse or the focus is on it), or "clear"
        (Escape; the place is 0).
        """

        def heard(_: object, message: dict, __: object) -> None:
            if message.get("what") == what:
                action(int(message.get("place", 0)))

        self.on_msg(heard)
