"""What the commands share in their arguments and their help."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dnadet_lib.images.kinds import kinds_help
from dnadet_lib.plumbing.devices import NAMES, VARIABLE
from dnadet_lib.plumbing.text import one_line, storable

STATUSES = """exit status:
  0    all is done
  1    some inputs could not be read, or some lessons failed; the rest is done
  2    nothing is done: the arguments, the model or every input is at fault
  130  interrupted (Ctrl-C); what was found until then stands
  141  whoever read the output went away, such as `head`
  143  told to stop (SIGTERM)"""


class Parser(argparse.ArgumentParser):
    """A parser whose error messages show no control characters of what was typed."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with status 2."""
        super().error(one_line(message))


def end_of_help(name: str, examples: Sequence[str]) -> str:
    """Write the examples of a command, and what its exit status means."""
    lines = "\n".join(f"  dnadet {name}{example}" for example in examples)
    return f"examples:\n{lines}\n\n{STATUSES}"


class Version(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print it and exit."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"dnadet {version('dnadet')}")
        except PackageNotFoundError:
            print("dnadet, run from a folder without being installed")
        parser.exit()


def add_loudness(parser: argparse.ArgumentParser) -> None:
    """Add -q and -v."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "-q", "--quiet", action="store_true", help="no notes, progress or summary, only errors"
    )
    group.add_argument(
        "-v", "--verbose", action="store_true", help="say what is loaded, from where, its hash"
    )


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Add --profile."""
    parser.add_argument("--profile", choices=("pocket", "smoke"), default="pocket")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device", choices=NAMES,
        help="what networks run on: cuda, mps, cpu, or auto, the first of these that is there "
        f"(default: the environment's {VARIABLE}, else auto)",
    )  # fmt: skip


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add PATHS and --model."""
    parser.epilog = f"{kinds_help()}\n\n{parser.epilog}"
    parser.add_argument(
        "paths", nargs="+",
        help="images, folders, globs or released annotation files; - reads such from standard "
        "input, one a line",
    )
    parser.add_argument("--model", default="pocket", help="checkpoint or shipped name")
    add_device(parser)


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add --force."""
    parser.add_argument(
        "--force", action="store_true",
        help="name the most probable class also where it cannot be told, and say so",
    )  # fmt: skip


def add_training(parser: argparse.ArgumentParser, preset: str) -> None:
    """Add --preset, --set, --seed, --estimate, --out and --device."""
    parser.add_argument(
        "--preset", default=preset, help=f"`dnadet presets` lists them (default: {preset})"
    )
    parser.add_argument(
        "--set", nargs="+", dest="settings", default=[], metavar="FIELD=VALUE",
        help="numbers of the preset to set otherwise, such as epochs=5 items=8; `dnadet presets "
        "NAME` says which there are",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--estimate", action="store_true",
        help="time a few steps, print hours and memory of the whole run, and stop",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, help="folder; a run found there goes on, "
        "and its best model so far is best.safetensors",
    )  # fmt: skip
    add_device(parser)


def add_labelled(
    parser: argparse.ArgumentParser, *splits: str, several: bool = False, default: str = "the zoo"
) -> None:
    """Add an option for labelled images of one's own, by split, and --classes."""
    parser.epilog = f"{kinds_help()}\n\n{parser.epilog}"
    for split in splits:
        parser.add_argument(
            f"--{split}", type=Path, metavar="SOURCE", nargs="+" if several else None,
            help="folder of class folders, or list of images: a line has a path, a tab, a class "
            f"number and, if you like, a tab and a source (default: {default})",
        )  # fmt: skip
    parser.add_argument(
        "--classes", nargs="+", type=storable, metavar="NAME",
        help="class names of a list in the order of its numbers (default: LIST.classes.txt or "
        "classes.txt beside it, a name a line)",
    )  # fmt: skip
    parser.add_argument(
        "--sources", metavar="COLUMN|FILE",
        help="what made each image, over which intervals are taken: a column of the list, or a "
        "file with a path, a tab and a source a line (default: the list's third column, else the "
        "folder that holds the image)",
    )  # fmt: skip
