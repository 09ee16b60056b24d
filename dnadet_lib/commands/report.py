"""`dnadet report`."""

import argparse
from pathlib import Path

from dnadet_lib.commands.arguments import add_force, add_inputs
from dnadet_lib.commands.inputs import complain, gather, keep_inputs, loaded_model
from dnadet_lib.plumbing.text import one_line

HELP = "write a page with pictures on some images, and JSON"
EXAMPLES = (" folder/",)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_inputs(parser)
    add_force(parser)
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("report.html"), metavar="FILE.html",
        help="the page; what it says goes as JSON to FILE.json beside it (default: report.html)",
    )  # fmt: skip
    parser.set_defaults(kinds=(".html", ".htm"))


def run(options: argparse.Namespace) -> int:
    """Write a page on some images, and a JSON file beside it."""
    import shlex

    from dnadet_lib.evaluation.shipped_rates import measured_of
    from dnadet_lib.report import findings as report, page as report_page
    from dnadet_lib.report.known_images import KnownImages, known_images

    twin = report.twin_of(options.out)
    paths, missing = gather(options.paths)
    keep_inputs([options.out, twin], [options.model, *options.paths, *paths])
    report.require_twin(twin)
    model = loaded_model(options.model)
    findings, unread = report.examine(model, paths, options.force)
    unread = [*(report.Unread(**failure) for failure in missing), *unread]
    for failure in unread:
        complain(failure.error)
    if not findings:
        raise ValueError(f"{options.out}: not written, since no image could be read")
    line = ["dnadet", "report", *options.paths, "--model", options.model, "--out", options.out]
    line += ["--force"] * options.force
    command = shlex.join(map(str, line))
    found = report.Report(model, command, findings, unread, measured_of(model), options.notes)
    known: KnownImages | str
    try:
        known = known_images(model, complain)
    except (OSError, ValueError) as error:
        known = str(error)
    report_page.write_page(found, options.out, known)
    print(one_line(options.out))
    return 1 if unread else 0
