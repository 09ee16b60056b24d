"""`dnadet render`."""

from __future__ import annotations

import argparse

from dnadet_lib.plumbing.text import one_line


def render_command(options: argparse.Namespace) -> int:
    """Render the zoo."""
    from dnadet_lib.zoo.rendering import render

    root = render(
        options.profile, options.out, options.workers, count=options.count, splits=options.split
    )
    print(one_line(root))
    return 0
