"""`dnadet attribute`."""

import argparse

from dnadet_lib.commands.arguments import add_force, add_inputs
from dnadet_lib.commands.inputs import complain, gather, loaded_model

HELP = "say which architecture made each image"
EXAMPLES = (
    " photo.png folder/ 'more/*.png'",
    " folder/ --json --stream | jq .label",
    " - --csv < paths.txt > answers.csv",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_inputs(parser)
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print one JSON object at the end")
    formats.add_argument("--csv", action="store_true", help="print CSV, a row as it is known")
    add_force(parser)
    parser.add_argument(
        "--stream", action="store_true",
        help="with --json: print an object per line as it is known, the notes in the last",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    r"""Print the class of each image as it is known: a line each, or JSON, or CSV.

    Paths in JSON lead to their files; only a byte that is no UTF-8 is written as `\xe9`.
    """
    from dnadet_lib.commands import printing as printed

    if options.stream and not options.json:
        raise ValueError("--stream is for --json: give both, or neither")
    model = loaded_model(options.model)
    paths, errors = gather(options.paths)
    writer = printed.Lines()
    if options.json:
        writer = (printed.JsonLines if options.stream else printed.OneObject)(options.model)
    elif options.csv:
        writer = printed.Table(model.classes)
    return printed.run(
        model, paths, errors, writer, options.notes, complain, options.quiet, options.force
    )
