"""`dnadet site`."""

import argparse

from dnadet_lib.commands.inputs import complain
from dnadet_lib.plumbing.text import one_line

HELP = "make build/site, the executed lessons as web pages"
EXAMPLES = ("",)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add no argument."""


def run(options: argparse.Namespace) -> int:
    """Make the site of the lessons that were executed."""
    from dnadet_lib.course.lessons import LessonError
    from dnadet_lib.course.site import build_site

    try:
        print(f"Site: {one_line(build_site())}")
    except LessonError as error:
        complain(error)
        return 2
    return 0
