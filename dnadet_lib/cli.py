"""The command line: `dnadet COMMAND --help` says what each command takes."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module

from dnadet_lib.commands.arguments import STATUSES, Parser, Version, add_loudness, end_of_help
from dnadet_lib.commands.inputs import complain, named_sources
from dnadet_lib.plumbing.devices import VARIABLE, require_device
from dnadet_lib.plumbing.notes import printing
from dnadet_lib.plumbing.paths import variables

NAMES = (
    "run site attribute render presets pretrain train evaluate enrol convert compare "
    "suite audit embed report data grade"
).split()
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"  # PyTorch's variable
COMMANDS = {name: import_module(f"dnadet_lib.commands.{name}") for name in NAMES}


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
    if is_follower():
        options.quiet, sys.stdout = True, open(os.devnull, "w")  # noqa: SIM115
    try:
        say = (lambda text: None) if options.quiet else complain
        with printing(say) as options.notes, ending_cleanly():
            if hasattr(options, "paths"):
                options.paths = named_sources(options.paths)
            with set_up(options), telling_what_is_loaded(options.verbose), claimed_output(options):
                status = options.command(options)
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


def is_follower() -> bool:
    """Whether `torchrun` started this process beside a first one, which prints and writes."""
    return os.environ.get("RANK", "0") != "0"


def set_up(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Choose the device, which must be there, and with -q no bars, also for other processes.

    PyTorch is told to ask for large pages, since on Linux clearing small ones one by one takes
    longer than many a pass over a tensor; it must know before it makes its first tensor.
    """
    values = {HUGE_PAGES: os.environ.get(HUGE_PAGES, "1")}
    values |= {"TQDM_DISABLE": "1"} if options.quiet else {}
    if getattr(options, "device", None) is not None:
        values[VARIABLE] = options.device
        require_device(options.device)
    return variables(**values)


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
    if out is None or getattr(options, "shared", False) or is_follower():
        return nullcontext()
    if not kinds:
        return claimed_folder(out)
    if out.suffix.lower() not in kinds:
        right = " or ".join(kinds)
        raise ValueError(f"--out {out}: end the name in {right}, which is what is written")
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

    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name, help=module.HELP, description=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.set_defaults(command=module.run)
        command.epilog = end_of_help(name, module.EXAMPLES)
        add_loudness(command)
        module.describe(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
