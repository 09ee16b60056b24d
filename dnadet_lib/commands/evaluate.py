"""`dnadet evaluate`."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnadet_lib.commands import inputs
from dnadet_lib.commands.arguments import add_device, add_labelled, add_profile
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import one_line, storable

if TYPE_CHECKING:
    from dnadet_lib.data import ImageSet
    from dnadet_lib.evaluation.label_checks import SetChecks
    from dnadet_lib.evaluation.predictions import Predictions
    from dnadet_lib.evaluation.results import Row
    from dnadet_lib.model import DNADet

HELP = "measure a model on the set-ups, or on lists of your own"
EXAMPLES = (
    " --setups closed seed --json",
    " --model build/mine/model.safetensors --test lists/a.txt lists/b.txt --degrade jpeg:90",
    " --known lists/test.txt --unknown others/ --predictions predictions.csv",
    " --known lists/test.txt --unknown others/ --degrade jpeg:90",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_device(parser)
    add_profile(parser)
    parser.add_argument("--model", default="pocket", help="checkpoint or shipped name")
    parser.add_argument("--setups", nargs="+", help="closed, dev, seed, ... (default: all)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--out", type=Path, help="folder for results and predictions")
    add_labelled(parser, "test", "known", several=True)
    parser.add_argument(
        "--unknown", type=Path, nargs="+", metavar="SOURCE",
        help="images of architectures that the model does not know, folders or lists: with --known "
        "AUROC, FPR95 and OSCR for each of their sources",
    )  # fmt: skip
    parser.add_argument(
        "--degrade", nargs="+", default=[], metavar="NAME:STRENGTH",
        help="measure degraded copies too, such as jpeg:90 blur:0.7 noise:4 resize:0.75 crop:0.9 "
        "shift:2 colour:0.2; with --unknown, known and unknown images alike",
    )  # fmt: skip
    parser.add_argument(
        "--predictions", type=Path, metavar="FILE",
        help="write what is said of every image, a row each, to one file (.csv or .parquet)",
    )  # fmt: skip


@dataclass
class Findings:
    """What was measured, set by set."""

    method: str
    rows: "list[Row]" = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)  # files that were not read
    checks: "dict[str, SetChecks]" = field(default_factory=dict)
    confusions: dict[str, Any] = field(default_factory=dict)  # set -> table
    tables: dict[str, Any] = field(default_factory=dict)  # set -> predictions, a row per image
    known: "dict[str, list[Predictions]]" = field(default_factory=dict)  # by change, "" for none

    def read(
        self, model: "DNADet", name: str, images: "ImageSet"
    ) -> "tuple[ImageSet, Predictions | None]":
        """Run the model over what can be read of a set, and tell what cannot."""
        from dnadet_lib.evaluation.predictions import predict_readable

        lost: list[str] = []
        read, predictions = predict_readable(model, images, lost)
        self.errors += inputs.failures(images.paths, read.paths, lost)
        complain_of(lost, name, len(read), len(images))
        return read, predictions

    def add(
        self, name: str, read: "ImageSet", predictions: "Predictions", known_as: str | None = None
    ) -> None:
        """Take in the figures of a labelled set; `known_as`: it is one of --known, changed so."""
        from dnadet_lib.evaluation.predictions import predictions_table
        from dnadet_lib.evaluation.results import confusion, summarise

        self.rows += summarise(self.method, name, predictions)
        self.confusions[name] = confusion(predictions)
        self.tables[name] = predictions_table(predictions, read)
        if known_as is not None:
            self.known.setdefault(known_as, []).append(predictions)

    def add_unknown(
        self, name: str, read: "ImageSet", predictions: "Predictions", change: str
    ) -> None:
        """Take in a set of unknown architectures, against the known ones in the same change."""
        from dnadet_lib.evaluation.open_set import open_set_rows
        from dnadet_lib.evaluation.predictions import joined, predictions_table

        self.rows += open_set_rows(self.method, name, joined(self.known[change]), predictions)
        self.tables[name] = predictions_table(predictions, read).assign(truth="")

    def text(self, own: bool) -> str:
        """Write all for the terminal, with the figures of each set where the lists are own."""
        from dnadet_lib.evaluation.label_checks import checks_text
        from dnadet_lib.evaluation.results import confusion_table, figures_table, results_table

        parts = [results_table(self.rows)]
        for name in dict.fromkeys(row.setup for row in self.rows) if own else ():
            rows = [row for row in self.rows if row.setup == name]
            parts += [f"\n{one_line(name)}:\n\n{figures_table(rows)}\n"]
            if name in self.confusions:
                parts += [f"\n{confusion_table(self.confusions[name])}\n"]
        parts += [checks_text(name, found, tables=own) for name, found in self.checks.items()]
        return "".join(parts)


def run(options: argparse.Namespace) -> int:
    """Measure a model on the zoo's set-ups or on labelled images."""
    from dnadet_lib.evaluation.label_checks import check_labels
    from dnadet_lib.evaluation.robustness import parse_change, predict_changed

    changes = [parse_change(text) for text in options.degrade]
    model, sets = model_and_sets(options)
    strangers = unknown_sets(options, model)
    copies = [f"{name}, {change}" for name in (*sets, *strangers) for change in changes]
    files = written(options, [*sets, *strangers, *copies])
    keep(options, files.values(), [*sets.values(), *strangers.values()])
    found = Findings(str(options.model))
    known = {inputs.name_of(path, all_lists(options)) for path in options.known or ()}
    for name, images in sets.items():
        read, predictions = found.read(model, name, images)
        if predictions is None:
            continue
        as_it_is = "" if name in known else None
        found.add(name, read, predictions, as_it_is)
        note_untold(name, predictions)
        found.checks[name] = checks = check_labels(read, predictions, model.threshold)
        inputs.note_each(f"warning: {name}: {warning}" for warning in checks.warnings)
        for change in changes:
            changed = predict_changed(model, read, change)
            found.add(f"{name}, {change}", read, changed, str(change) if name in known else None)
    if not found.rows or (strangers and not found.known):
        raise ValueError("no image could be read, so there is nothing to measure")
    for name, images in strangers.items():
        read, predictions = found.read(model, name, images)
        if predictions is None:
            continue
        found.add_unknown(name, read, predictions, "")
        for change in changes:
            changed = predict_changed(model, read, change)
            found.add_unknown(f"{name}, {change}", read, changed, str(change))
    tell(options, found, files)
    return 1 if found.errors else 0


def tell(options: argparse.Namespace, found: Findings, files: Mapping[str, Path]) -> None:
    """Print what was measured, and write it where that is asked for."""
    import pandas as pd

    from dnadet_lib.evaluation.predictions import write_predictions
    from dnadet_lib.evaluation.results import results_json, write_results

    told = {
        name: {**checks.as_dict(), "confusion": found.confusions[name].to_dict("index")}
        for name, checks in found.checks.items()
    }
    beside = {"sets": told, **inputs.remarks(options.notes, found.errors)}
    if options.out:
        write_results(found.rows, options.out, **beside)
        for name, table in found.tables.items():
            write_predictions(table, files[name])
    if options.predictions:
        parts = [table.assign(set=storable(name)) for name, table in found.tables.items()]
        write_predictions(pd.concat(parts, ignore_index=True), options.predictions)
    own = bool(options.test or options.known)
    print(results_json(found.rows, **beside) if options.json else found.text(own),
          end="\n" if options.json else "")  # fmt: skip


def written(options: argparse.Namespace, names: list[str]) -> dict[str, Path]:
    """Name the file of each set's predictions in the folder --out; none where there is none."""
    from dnadet_lib.plumbing.files import plain_stem, require_writable_folder

    if options.predictions and options.predictions.suffix.lower() not in (".csv", ".parquet"):
        raise ValueError(f"--predictions {options.predictions}: end the name in .csv or .parquet")
    if options.predictions:
        require_writable_folder(options.predictions.absolute().parent)
    if not options.out:
        return {}
    files = {name: options.out / f"predictions-{plain_stem(name)}.parquet" for name in names}
    every = [str(file).casefold() for file in files.values()]  # some systems take a and A for one
    for name, file in files.items():
        if every.count(str(file).casefold()) > 1:
            raise ValueError(f"{file}: predictions of {name!r} and of another list would both go "
                             "there: rename one")  # fmt: skip
    return files


def keep(options: argparse.Namespace, tables: Any, sets: "list[ImageSet]") -> None:
    """Refuse to write over what is read."""
    outputs = [*tables, *([options.predictions] if options.predictions else [])]
    if options.out:
        outputs += [options.out / name for name in ("results.json", "results.md")]
    images = [path for one in sets for path in one.paths]
    inputs.keep_inputs(outputs, [options.model, *all_lists(options), *images])


def note_untold(name: str, predictions: "Predictions") -> None:
    """Say how many images of a set-up `attribute` would not name."""
    told = predictions.told
    if told is not None and not told.all():
        note(
            f"{name}: attribute would not name the class of {(~told).sum()} of {len(told)} images; "
            "the most probable class is counted"
        )


def complain_of(lost: list[str], name: str, read: int, listed: int) -> None:
    """Print what was not read of a set-up, and how much of it is measured all the same."""
    for text in lost:
        inputs.complain(text)
    if lost:
        inputs.complain(f"{name}: {read} of {listed} images are measured, the others not read")


def all_lists(options: argparse.Namespace) -> list[Path]:
    """List the sources that are given, each once."""
    given = (*(options.test or ()), *(options.known or ()), *(options.unknown or ()))
    return list(dict.fromkeys(given))


def model_and_sets(options: argparse.Namespace) -> "tuple[DNADet, dict[str, ImageSet]]":
    """Load the model to evaluate, and list the images of each labelled set."""
    from dnadet_lib.checkpoints.models import holds_names
    from dnadet_lib.images.names import names_beside
    from dnadet_lib.stages.labelled import match_classes
    from dnadet_lib.zoo.rendering import image_root
    from dnadet_lib.zoo.setups import available_setups, load_setup

    if bool(options.known) != bool(options.unknown):
        raise ValueError("--known and --unknown go together: give both, or neither")
    names = [inputs.name_of(path, all_lists(options)) for path in all_lists(options)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two lists are called {twice[0]!r}: rename one, or its folder")
    lists = list(dict.fromkeys([*(options.test or ()), *(options.known or ())]))
    # A released checkpoint holds no class names: those of the list are its own.
    given, named = None, holds_names(options.model)
    if not lists:
        inputs.require_own_images(options, "test", ["classes", "sources"] if named else ["sources"])
    if not named:
        beside = [found[0] for path in lists if path.is_file() and (found := names_beside(path))]
        given = options.classes or (beside and beside[0]) or None
    model = inputs.loaded_model(options.model, given)
    if not lists:
        root = image_root(options.profile)
        return model, {s: load_setup(s, root=root) for s in options.setups or available_setups()}
    sets = {}
    for path in lists:
        images = inputs.images_to_count(options, path, model.classes)
        inputs.note_each(match_classes(images, model.classes, path))
        sets[inputs.name_of(path, all_lists(options))] = images
    return model, sets


def unknown_sets(options: argparse.Namespace, model: "DNADet") -> "dict[str, ImageSet]":
    """List images of unknown architectures, whose labels, if there are any, do not count."""
    from dnadet_lib.stages.labelled import read_unlabelled

    lists = options.unknown or []
    names = [inputs.name_of(path, all_lists(options)) for path in lists]
    return {
        name: read_unlabelled(path, model.classes) for name, path in zip(names, lists, strict=True)
    }
