"""The command line: `dnadet COMMAND --help` says what each command takes."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from dnadet_lib.commands.arguments import (
    MAPS,
    STATUSES,
    Parser,
    Version,
    add_force,
    add_inputs,
    add_labelled,
    add_loudness,
    add_profile,
    add_training,
    end_of_help,
)
from dnadet_lib.commands.attribute import attribute_command
from dnadet_lib.commands.audit import audit_command
from dnadet_lib.commands.embed import embed_command
from dnadet_lib.commands.evaluate import evaluate_command
from dnadet_lib.commands.inputs import complain, drop, named_sources
from dnadet_lib.commands.lessons import run_command, site_command
from dnadet_lib.commands.render import render_command
from dnadet_lib.commands.report import report_command
from dnadet_lib.commands.train import pretrain_command, train_command
from dnadet_lib.plumbing.notes import printing
from dnadet_lib.plumbing.text import storable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors that a user can mend are printed without a traceback.

    Returns:
        The exit status, as `STATUSES` says.
    """
    from dnadet_lib.plumbing.stopping import INTERRUPTED, PIPE_CLOSED, close_stdout, ending_cleanly

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal's encoding lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    try:
        with printing(drop if options.quiet else complain) as options.notes, ending_cleanly():
            with telling_what_is_loaded(options.verbose):
                status = perform(options)
                sys.stdout.flush()
                return status
    except BrokenPipeError:
        close_stdout()
        return PIPE_CLOSED
    except (ValueError, OSError) as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED


def perform(options: argparse.Namespace) -> int:
    """Do what the options say."""
    if hasattr(options, "paths"):
        options.paths = named_sources(options.paths)
    with claimed_output(options):
        return options.command(options)


@contextmanager
def telling_what_is_loaded(verbose: bool) -> Iterator[None]:
    """With -v, print what the library loads, from where, with its hash."""
    log, handler = logging.getLogger("dnadet"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("dnadet: %(message)s"))
    if verbose:
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def claimed_output(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Hold a command's --out for as long as it works, once it is clear that it can be written.

    Raises:
        ValueError: a file's name ends in another format's suffix than what is written.
    """
    from dnadet_lib.plumbing.files import claimed_file, claimed_folder

    out, kinds = getattr(options, "out", None), getattr(options, "kinds", ())
    if out is None or options.command is render_command:  # of two renders, one waits
        return nullcontext()
    if not kinds:
        return claimed_folder(out)
    if out.suffix.lower() not in kinds:
        raise ValueError(f"--out {out}: end the name in {kinds[0]}, which is what is written")
    return claimed_file(out)


def build_parser() -> argparse.ArgumentParser:
    """Describe every command."""
    parser = Parser(
        prog="dnadet", description="Which generator architecture made this image?",
        epilog=f"{STATUSES}\n\n`dnadet COMMAND --help` says what each command takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(function, name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=text, description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.set_defaults(command=function)
        command.epilog = end_of_help(name)
        add_loudness(command)
        return command

    run = add(run_command, "run", "execute the lessons in order, write the results table")
    add_profile(run)
    run.add_argument("lessons", nargs="*", help="names such as 02_pretraining (default: all)")

    add(site_command, "site", "make build/site, the executed lessons as web pages")

    attribute = add(attribute_command, "attribute", "say which architecture made each image")
    add_inputs(attribute)
    formats = attribute.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print one JSON object at the end")
    formats.add_argument("--csv", action="store_true", help="print CSV, a row as it is known")
    add_force(attribute)
    attribute.add_argument(
        "--stream", action="store_true",
        help="with --json: print an object a line as it is known, the notes in the last",
    )  # fmt: skip

    render = add(render_command, "render", "turn the pocket zoo into image folders")
    add_profile(render)
    render.add_argument("--out", type=Path, help="folder (default: build/images/PROFILE)")
    render.add_argument("--workers", type=int, help="processes (default: all cores)")
    render.add_argument("--count", type=int, help="images a generator and split")
    render.add_argument(
        "--split", nargs="+", default=("train", "dev", "test"), metavar="SPLIT",
        help="train, dev, test (default: all three)",
    )  # fmt: skip

    pretrain = add(pretrain_command, "pretrain", "stage 1: learn the 170 transformations")
    add_profile(pretrain)
    add_training(pretrain, "pocket_pretrain")

    train = add(train_command, "train", "stage 2: learn architectures from labelled images")
    add_profile(train)
    add_training(train, "pocket")
    train.add_argument(
        "--pretrained",
        nargs="+",
        metavar="CHECKPOINT",
        help="stage 1 files or shipped names, whose channels are joined (default: the backbones of "
        "the shipped checkpoint for a preset that needs some, else none)",
    )
    add_labelled(train, "train", "dev")

    evaluate = add(evaluate_command, "evaluate", "measure a model on the set-ups")
    add_profile(evaluate)
    evaluate.add_argument("--model", default="pocket", help="checkpoint or shipped name")
    evaluate.add_argument("--setups", nargs="+", help="closed, dev, seed, ... (default: all)")
    evaluate.add_argument("--json", action="store_true", help="print the rows as JSON")
    evaluate.add_argument("--out", type=Path, help="folder for results and predictions")
    add_labelled(evaluate, "test")
    evaluate.add_argument(
        "--suite", choices=("pocket", "smoke"),
        help="train and measure every method on the zoo at this profile, instead of one model",
    )  # fmt: skip
    evaluate.add_argument("--rows", nargs="+", metavar="NAME", help="of the suite (default: all)")
    evaluate.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the suite")
    evaluate.add_argument(
        "--workers", type=int, default=2, help="processes for rows of the suite (default: 2)"
    )

    audit = add(audit_command, "audit", "look for leaks and trivial traces in train and test lists")
    add_profile(audit)
    audit.add_argument("--setups", nargs="+", help="closed, dev, seed, ... (default: all)")
    audit.add_argument("--json", action="store_true", help="print one JSON object")
    audit.add_argument("--out", type=Path, help="folder for audit.md and what was measured")
    add_labelled(audit, "train", "test")

    embed = add(embed_command, "embed", "write embeddings, probabilities and maps as Parquet")
    add_inputs(embed)
    embed.add_argument("--out", type=Path, default=Path("embeddings.parquet"))
    embed.set_defaults(kinds=(".parquet",))
    embed.add_argument(
        "--classes", nargs="+", type=storable,
        help="class names of an annotation file, and of class folders (default: the model's)",
    )  # fmt: skip
    embed.add_argument(
        "--maps", nargs="*", choices=MAPS, default=MAPS, help="projections (default: all)"
    )
    embed.add_argument("--seed", type=int, default=0, help="of the maps")

    report = add(report_command, "report", "write a page with pictures on some images, and JSON")
    add_inputs(report)
    add_force(report)
    report.add_argument(
        "-o", "--out", type=Path, default=Path("report.html"), metavar="FILE.html",
        help="the page; what it says goes as JSON to FILE.json beside it (default: report.html)",
    )  # fmt: skip
    report.set_defaults(kinds=(".html", ".htm"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
