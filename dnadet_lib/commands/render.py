"""`dnadet render`."""

import argparse
from pathlib import Path

from dnadet_lib.commands.arguments import add_profile
from dnadet_lib.plumbing.text import one_line

HELP = "turn the pocket zoo into image folders"
EXAMPLES = (" --profile smoke", " --count 500 --split test --out zoo/")


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_profile(parser)
    parser.add_argument("--out", type=Path, help="folder (default: build/images/PROFILE)")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")
    parser.add_argument("--count", type=int, help="images per generator and split")
    parser.add_argument(
        "--split", nargs="+", default=("train", "dev", "test"), metavar="SPLIT",
        help="train, dev, test (default: all three)",
    )  # fmt: skip
    parser.set_defaults(shared=True)  # of two renders, one waits


def run(options: argparse.Namespace) -> int:
    """Render the zoo."""
    from dnadet_lib.zoo.rendering import render

    root = render(
        options.profile, options.out, options.workers, count=options.count, splits=options.split
    )
    print(one_line(root))
    return 0
