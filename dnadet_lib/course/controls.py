"""Menus in a notebook, as a thin skin over a plain function."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence


def choose(function: Callable[..., None], **choices: Sequence[object]) -> None:
    """Show a menu for each argument of a function, and run it anew whenever one is changed.

    `dnadet run` sets DNADET_WIDGETS=off: nobody is there to choose, and a line says so. So does
    one where ipywidgets is not installed. The lesson shows its figure before the menus.

    Args:
        function: Draws something; it takes one argument for each menu.
        choices: Name of the argument -> what can be chosen; the first is chosen at the start.
    """
    names = ", ".join(choices)
    if os.environ.get("DNADET_WIDGETS") == "off":
        print(f"Menus for {names} appear here when you run this cell in JupyterLab.")
        return
    try:
        import ipywidgets
    except ModuleNotFoundError:
        print(f'Menus for {names} need ipywidgets: pip install -e ".[notebooks]"')
        return
    wide = {"description_width": "initial"}
    menus = {
        name: ipywidgets.Dropdown(options=list(values), description=name, style=wide)
        for name, values in choices.items()
    }
    ipywidgets.interact(function, **menus)
