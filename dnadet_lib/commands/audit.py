"""`dnadet audit`."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dnadet_lib.commands.arguments import add_labelled, add_profile
from dnadet_lib.commands.inputs import (
    complain,
    failures,
    keep_inputs,
    labelled_images,
    name_of,
    remarks,
    require_own_images,
)
from dnadet_lib.plumbing.text import for_json

if TYPE_CHECKING:
    from dnadet_lib.data import ImageSet
    from dnadet_lib.evaluation.audit import Audit

HELP = "look for leaks and trivial traces in train and test lists"
EXAMPLES = (
    " --train lists/train.txt --test lists/test.txt",
    " --train lists/train.txt --test lists/test.txt --repair lists/matched",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_profile(parser)
    parser.add_argument("--setups", nargs="+", help="closed, dev, seed, ... (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, help="folder for audit.md and what was measured")
    parser.add_argument(
        "--repair", type=Path, metavar="FOLDER",
        help="of --train and --test, write lists in which every class has as many images of each "
        "format, size and JPEG table, and no test image stands in train",
    )  # fmt: skip
    add_labelled(parser, "train", "test")


def run(options: argparse.Namespace) -> int:
    """Audit the closed set's train list against each set-up, or two lists of your own."""
    from dnadet_lib.evaluation import thumbnails
    from dnadet_lib.evaluation.audit import as_dict, audit, image_facts

    train_list, lists = lists_of(options)
    keep_apart(options, [train_list, *lists.values()], list(lists))
    train, lost = image_facts(train_list)
    errors = failures(train_list.paths, train["path"], lost)
    judges = thumbnails.train_judges(train_list)
    reports = {}
    for name, images in lists.items():
        test, lost = image_facts(images)
        errors += failures(images.paths, test["path"], lost)
        reports[name] = audit(train, test, thumbnails.thumbnail_leak(judges, images))
    text = text_of(reports, own=options.test is not None)
    repaired = {}
    if options.repair:
        from dnadet_lib.evaluation import repair

        (images,), (report,) = lists.values(), reports.values()
        repaired = repair.repair_both(train_list, images, report)
        repair.write_repaired(repaired, options.repair)
        text += "\n" + repair.repair_markdown(repaired, report)
    if options.out:
        write(reports, text, options.out)
    if options.json:
        found = {name: as_dict(report) for name, report in reports.items()}
        matched = {name: own.as_dict() for name, own in repaired.items()}
        shown = {"setups": found, "repaired": matched, **remarks(options.notes, errors)}
        print(json.dumps(for_json(shown), indent=1, allow_nan=False))
    else:
        print(text, end="")
    for failure in errors:
        complain(failure["error"])
    return 1 if errors else 0


def keep_apart(options: argparse.Namespace, sets: "list[ImageSet]", names: list[str]) -> None:
    """Refuse to write over what is read."""
    written = [options.out / name for name in ("audit.md", *map(table_name, names))
               ] if options.out else []  # fmt: skip
    if options.repair:
        ends = ("txt", "classes.txt")
        written += [options.repair / f"{name}.{end}" for name in ("train", "test") for end in ends]
    sources = [path for path in (options.train, options.test) if path is not None]
    keep_inputs(written, [*sources, *(path for images in sets for path in images.paths)])


def lists_of(options: argparse.Namespace) -> "tuple[ImageSet, dict[str, ImageSet]]":
    """List the images to train on, and those of each test list by its name."""
    from dnadet_lib.zoo.rendering import image_root
    from dnadet_lib.zoo.setups import load_setup, present_setups

    if (options.train is None) != (options.test is None):
        raise ValueError("--train and --test go together: give both, or neither for the zoo")
    require_own_images(options, "train", ["classes", "sources", "repair"])
    if options.train is None:
        root = image_root(options.profile)
        tests = {s: load_setup(s, root=root) for s in options.setups or present_setups()}
        return load_setup("closed", "train", root), tests
    train = labelled_images(options, options.train)
    return train, {name_of(options.test): labelled_images(options, options.test, train.classes)}


def table_name(name: str) -> str:
    """Name the file with what was measured on a list."""
    from dnadet_lib.plumbing.files import plain_stem

    return f"audit-{plain_stem(name)}.csv"


def text_of(reports: "Mapping[str, Audit]", own: bool) -> str:
    """Write audits as Markdown; of your own lists it says what the intervals are over."""
    from dnadet_lib.evaluation.audit import audit_markdown, interval_over

    parts = [audit_markdown(name, report) for name, report in reports.items()]
    if own and any(report.trivial for report in reports.values()):
        parts += [f"Accuracies: {interval_over(report)}.\n" for report in reports.values()]
    return "\n".join(parts)


def write(reports: "Mapping[str, Audit]", text: str, folder: Path) -> None:
    """Write the text, and a table for each list."""
    from dnadet_lib.plumbing.files import atomic_path
    from dnadet_lib.plumbing.text import table_for_csv

    with atomic_path(folder / "audit.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    for name, report in reports.items():
        with atomic_path(folder / table_name(name)) as temporary:
            table_for_csv(report.test).to_csv(temporary, index=False)
