"""`dnadet run`."""

import argparse

from dnadet_lib.commands import site
from dnadet_lib.commands.arguments import add_device, add_profile
from dnadet_lib.commands.inputs import complain

HELP = "execute the lessons in order, write the results table"
EXAMPLES = (" --profile smoke", " 01_fingerprints 02_pretraining")


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_device(parser)
    add_profile(parser)
    parser.add_argument("lessons", nargs="*", help="names such as 02_pretraining (default: all)")


def run(options: argparse.Namespace) -> int:
    """Execute the lessons, and make the site of them."""
    from dnadet_lib.course.lessons import LessonError
    from dnadet_lib.course.running import lesson_files, run_lessons

    try:
        lesson_files(options.lessons or None)
    except LessonError as error:
        complain(error)
        return 2
    failed = run_lessons(options.profile, options.lessons or None)
    return site.run(options) or failed
