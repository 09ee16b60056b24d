"""`dnadet data`: the data set that the paper's authors released."""

import argparse
import json
from pathlib import Path

from dnadet_lib.commands.inputs import complain, note_each
from dnadet_lib.plumbing.text import for_json, one_line

HELP = "the paper's released data set: what is there of it, and lists of its set-ups"
EXAMPLES = (
    " check dataset/",
    " lists dataset/ --out lists/",
    " lists dataset/ --out lists/ --modes celeba --release-lists",
)
MODES = ("celeba", "lsun", "in_the_wild")


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "what", choices=("check", "lists"),
        help="check: which folders and lists are there, images, sizes, what each set-up lacks "
        "(exit status 1 if any lacks something); lists: write the lists of all set-ups whose "
        "folders are there, 80/10/10, with classes and sources",
    )  # fmt: skip
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder that holds real/ and GANs/")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out", type=Path, help="for lists: gets MODE_train/annotations/MODE_train.txt, ..."
    )
    parser.add_argument(
        "--modes", nargs="+", choices=MODES, default=MODES, metavar="MODE",
        help="for lists: celeba, lsun, in_the_wild (default: all)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="for lists: of the draw and split")
    parser.add_argument(
        "--release-lists", action="store_true",
        help="for lists: as the release makes them, the first images of each folder, its split "
        "whatever the seed, and one seed of ProGAN nine times in place of nine seeds",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Check the tree, or write its lists."""
    if (options.what == "lists") != (options.out is not None):
        raise ValueError("--out goes with lists, and lists with --out: name a folder for the lists")
    return write(options) if options.out else check(options)


def check(options: argparse.Namespace) -> int:
    """Print what is there."""
    from dnadet_lib.released.check import check_tree

    found = check_tree(options.root)
    if options.json:
        print(json.dumps(for_json(found.as_dict()), indent=1, allow_nan=False))
    else:
        print(found.text())
    return 0 if found.complete else 1


def write(options: argparse.Namespace) -> int:
    """Write the lists of the set-ups whose folders are all there; name the others on stderr."""
    from dnadet_lib.released.check import check_setup, look_at_tree
    from dnadet_lib.released.lists import write_setup
    from dnadet_lib.released.tree import SETUPS

    folders = look_at_tree(options.root)
    found = {s: check_setup(s, folders) for s in SETUPS if s.mode in options.modes}
    whole = [setup for setup, state in found.items() if not state.missing]
    if not whole:
        raise ValueError(f"{options.root}: no set-up has all of its folders; "
                         "`dnadet data check` says what is lacking")  # fmt: skip
    note_each(found[setup].text() for setup in whole if found[setup].fewer)
    written: dict[str, int] = {}
    for setup in whole:
        written |= write_setup(
            setup, folders, options.out, options.seed, release=options.release_lists
        )
    if options.json:
        print(json.dumps(for_json({"lists": written}), indent=1))
    else:
        for name, count in written.items():
            print(f"{one_line(options.out / name)}: {count:,} images")
    for state in found.values():
        if state.missing:
            complain(f"no list is written: {state.text()}")
    return 0 if len(whole) == len(found) else 1
