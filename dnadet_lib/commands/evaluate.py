"""`dnadet evaluate`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dnadet_lib.commands.arguments import add_labelled, add_profile
from dnadet_lib.commands.inputs import (
    complain,
    failures,
    images_to_count,
    keep_inputs,
    name_of,
    note_each,
    remarks,
    require_own_images,
)
from dnadet_lib.plumbing.notes import note

if TYPE_CHECKING:
    from dnadet_lib.data import ImageSet
    from dnadet_lib.evaluation.predictions import Predictions
    from dnadet_lib.model import DNADet

HELP = "measure a model on the set-ups"
EXAMPLES = (
    " --setups closed seed --json",
    " --model build/mine/model.safetensors --test lists/test.txt",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_profile(parser)
    parser.add_argument("--model", default="pocket", help="checkpoint or shipped name")
    parser.add_argument("--setups", nargs="+", help="closed, dev, seed, ... (default: all)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--out", type=Path, help="folder for results and predictions")
    add_labelled(parser, "test")


def run(options: argparse.Namespace) -> int:
    """Measure a model on the zoo's set-ups or on labelled images."""
    from dnadet_lib.evaluation.label_checks import check_labels, checks_text
    from dnadet_lib.evaluation.predictions import predict_readable, write_predictions
    from dnadet_lib.evaluation.results import results_json, results_table, summarise, write_results
    from dnadet_lib.plumbing.files import plain_stem

    model, sets = model_and_sets(options)
    tables = {name: f"predictions-{plain_stem(name)}.parquet" for name in sets}
    if options.out:
        files = [path for images in sets.values() for path in images.paths]
        keep_inputs(
            [options.out / name for name in (*tables.values(), "results.json", "results.md")],
            [options.model, *([options.test] if options.test else []), *files],
        )
    rows, errors, checks = [], [], {}
    for name, images in sets.items():
        lost: list[str] = []
        read, predictions = predict_readable(model, images, lost)
        errors += failures(images.paths, read.paths, lost)
        complain_of(lost, name, len(read), len(images))
        if predictions is None:
            continue
        rows += summarise(str(options.model), name, predictions)
        note_untold(name, predictions)
        checks[name] = check_labels(read, predictions, model.threshold)
        if options.out:
            write_predictions(predictions, read, options.out / tables[name])
    if not rows:
        raise ValueError("no image could be read, so there is nothing to measure")
    told = {name: found.as_dict() for name, found in checks.items()}
    for name, found in checks.items():
        note_each(f"warning: {name}: {warning}" for warning in found.warnings)
    beside = {"sets": told, **remarks(options.notes, errors)}
    if options.out:
        write_results(rows, options.out, **beside)
    if options.json:
        print(results_json(rows, **beside))
    else:
        print(results_table(rows))
        for name, found in checks.items():
            print(checks_text(name, found, tables=options.test is not None), end="")
    return 1 if errors else 0


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
        complain(text)
    if lost:
        complain(f"{name}: {read} of {listed} images are measured, the others not read")


def model_and_sets(options: argparse.Namespace) -> "tuple[DNADet, dict[str, ImageSet]]":
    """Load the model to evaluate, and list the images of each set-up."""
    from dnadet_lib.checkpoints.models import holds_names, load_model, require_architectures
    from dnadet_lib.images.names import names_beside
    from dnadet_lib.stages.labelled import match_classes
    from dnadet_lib.zoo.rendering import image_root
    from dnadet_lib.zoo.setups import available_setups, load_setup

    # A released checkpoint holds no class names: those of the list are its own.
    names, named = None, holds_names(options.model)
    require_own_images(options, "test", ["classes", "sources"] if named else ["sources"])
    if not named:
        beside = names_beside(options.test) if options.test and options.test.is_file() else None
        names = options.classes or (beside and beside[0])
    model = load_model(options.model, names)
    require_architectures(model)
    if options.test is None:
        root = image_root(options.profile)
        return model, {s: load_setup(s, root=root) for s in options.setups or available_setups()}
    images = images_to_count(options, "test", model.classes)
    note_each(match_classes(images, model.classes, options.test))
    return model, {name_of(options.test): images}
