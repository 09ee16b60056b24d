"""`dnadet run` and `dnadet site`."""

from __future__ import annotations

import argparse

from dnadet_lib.commands.inputs import complain
from dnadet_lib.plumbing.text import one_line


def run_command(options: argparse.Namespace) -> int:
    """Execute the lessons, and make the site of them."""
    from dnadet_lib.course.lessons import LessonError
    from dnadet_lib.course.running import lesson_files, run_lessons

    try:
        lesson_files(options.lessons or None)
    except LessonError as error:
        complain(error)
        return 2
    failed = run_lessons(options.profile, options.lessons or None)
    return site_command(options) or failed


def site_command(options: argparse.Namespace) -> int:
    """Make the site of the lessons that were executed."""
    from dnadet_lib.course.lessons import LessonError
    from dnadet_lib.course.site import build_site

    try:
        print(f"Site: {one_line(build_site())}")
    except LessonError as error:
        complain(error)
        return 2
    return 0
