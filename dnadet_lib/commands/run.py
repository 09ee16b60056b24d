"""`dnadet run`."""

import argparse

from dnadet_lib.commands import site
from dnadet_lib.commands.arguments import add_device, add_profile
from dnadet_lib.commands.inputs import complain

HELP = "execute the lessons, write the results table"
EXAMPLES = (" --profile smoke", " 01_fingerprints 02_pretraining")


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_device(parser)
    add_profile(parser)
    parser.add_argument(
        "--at-a-time", type=int, choices=range(1, 9), metavar="N",
        help="lessons that run at a time and share the cores, 1 to 8 (default: 2; on one core, 1)",
    )
    parser.add_argument("lessons", nargs="*", help="names such as 02_pretraining (default: all)")


def run(options: argparse.Namespace) -> int:
    """Execute the lessons, and make the site of them."""
    from dnadet_lib.course.lessons import LessonError
    from dnadet_lib.course.running import lesson_files, run_lessons
    from dnadet_lib.course.side_by_side import lessons_at_a_time

    count = options.at_a_time or lessons_at_a_time()
    try:
        lesson_files(options.lessons or None)
    except LessonError as error:
        complain(error)
        return 2
    failed = run_lessons(options.profile, options.lessons or None, count=count)
    return site.run(options) or failed
