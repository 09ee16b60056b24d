"""The command line: `dnadet COMMAND --help` says what each command takes."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

MAPS = ("t-SNE", "UMAP", "PCA")

if TYPE_CHECKING:
    from dnadet_lib.data import ImageSet


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors that a user can mend are printed without a traceback."""
    options = build_parser().parse_args(arguments)
    try:
        return options.command(options)
    except (ValueError, OSError) as error:
        print(f"dnadet: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Describe every command."""
    parser = argparse.ArgumentParser(
        prog="dnadet", description="Which generator architecture made this image?"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(function, name: str, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        return command

    run = add(run_command, "run", "execute the lessons in order, write the results table")
    add_profile(run)
    run.add_argument("lessons", nargs="*", help="names such as 02_pretraining (default: all)")

    add(site_command, "site", "make build/site, the executed lessons as web pages")

    attribute = add(attribute_command, "attribute", "say which architecture made each image")
    add_inputs(attribute)
    attribute.add_argument("--json", action="store_true", help="print one JSON object")
    attribute.add_argument("--csv", action="store_true", help="print CSV")

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
    embed.add_argument(
        "--maps", nargs="*", choices=MAPS, default=MAPS, help="projections (default: all)"
    )
    embed.add_argument("--seed", type=int, default=0, help="of the maps")

    report = add(report_command, "report", "write a Markdown report on some images")
    add_inputs(report)
    report.add_argument("--out", type=Path, default=Path("report.md"))
    return parser


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Add --profile."""
    parser.add_argument("--profile", choices=("pocket", "smoke"), default="pocket")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add PATHS and --model."""
    parser.add_argument(
        "paths", nargs="+", help="images, folders, globs or released annotation files"
    )
    parser.add_argument("--model", default="pocket", help="checkpoint or shipped name")


def add_training(parser: argparse.ArgumentParser, preset: str) -> None:
    """Add --preset, --seed and --out."""
    parser.add_argument("--preset", default=preset)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; a run found there goes on"
    )


def add_labelled(parser: argparse.ArgumentParser, *splits: str) -> None:
    """Add an option for labelled images of one's own, by split, and --classes."""
    for split in splits:
        parser.add_argument(
            f"--{split}", type=Path, metavar="SOURCE",
            help="folder of class folders, or annotation file with --classes (default: the zoo)",
        )  # fmt: skip
    parser.add_argument("--classes", nargs="+", help="class names of an annotation file")


def labelled_images(source: Path, classes: Sequence[str] | None) -> ImageSet:
    """Read labelled images from a folder of class folders or an annotation file."""
    from dnadet_lib.data import ImageSet

    if source.suffix != ".txt":
        return ImageSet.from_folders(source)
    if not classes:
        raise ValueError(f"{source}: an annotation file needs --classes, the names in order")
    return ImageSet.from_annotation(source, classes)


def run_command(options: argparse.Namespace) -> int:
    """Execute the lessons, and make the site of them."""
    from dnadet_lib.lessons import run_lessons

    failed = run_lessons(options.profile, options.lessons or None)
    return site_command(options) or failed


def site_command(options: argparse.Namespace) -> int:
    """Make the site of the lessons that were executed."""
    from dnadet_lib.lessons import LessonError
    from dnadet_lib.site import build_site

    try:
        print(f"Site: {build_site()}")
    except LessonError as error:
        print(f"dnadet: {error}", file=sys.stderr)
        return 1
    return 0


def gather(sources: Sequence[str]) -> tuple[list[Path], list[dict[str, str]]]:
    """List the images that the sources name, and an error for each source that names none."""
    from dnadet_lib.data import list_images

    paths: list[Path] = []
    errors = []
    for source in sources:
        try:
            paths += list_images(source)
        except (OSError, ValueError) as error:
            errors.append({"path": str(source), "error": str(error)})
    return list(dict.fromkeys(paths)), errors


def attribute_each(options: argparse.Namespace) -> tuple[list[dict], list[dict[str, str]]]:
    """Attribute every image that can be read; name the others on stderr."""
    from dnadet_lib.model import load_model

    paths, errors = gather(options.paths)
    model = load_model(options.model)
    results = []
    for path in paths:
        try:
            found = model.attribute([path])
        except (OSError, ValueError) as error:
            errors.append({"path": str(path), "error": str(error)})
            continue
        probabilities = dict(zip(model.classes, found.probabilities[0].tolist(), strict=True))
        score = float(found.unknown_scores[0])
        results.append(
            {
                "path": str(path),
                "label": found.labels[0],
                "confidence": max(probabilities.values()),
                "probabilities": probabilities,
                "unknown_score": None if score != score else score,
                "known": bool(found.known[0]),
                "embedding": found.embeddings[0],
            }
        )
    for failure in errors:
        print(f"dnadet: {failure['error']}", file=sys.stderr)
    return results, errors


def attribute_command(options: argparse.Namespace) -> int:
    """Print the class of each image."""
    results, errors = attribute_each(options)
    for result in results:
        del result["embedding"]
    if options.json:
        report = {"model": options.model, "results": results, "errors": errors}
        print(json.dumps(report, indent=1))
    elif options.csv:
        names = list(results[0]["probabilities"]) if results else []
        writer = csv.writer(sys.stdout)
        writer.writerow(["path", "label", "confidence", "unknown_score", "known", *names])
        for r in results:
            values = [r[k] for k in ("path", "label", "confidence", "unknown_score", "known")]
            writer.writerow([*values, *r["probabilities"].values()])
    else:
        for result in results:
            print(describe(result))
    return 1 if errors else 0


def describe(result: dict) -> str:
    """Say one result in a line."""
    best = f"{result['label']} {result['confidence']:.2f}"
    if not result["known"]:
        return (
            f"{result['path']}: outside what this model knows (unknown score "
            f"{result['unknown_score']:.2f}; nearest class {best})"
        )
    return f"{result['path']}: {best}"


def render_command(options: argparse.Namespace) -> int:
    """Render the zoo."""
    from dnadet_lib.zoo import render

    print(
        render(
            options.profile, options.out, options.workers,
            count=options.count, splits=options.split,
        )
    )  # fmt: skip
    return 0


def pretrain_command(options: argparse.Namespace) -> int:
    """Train stage 1."""
    from dnadet_lib.presets import get_preset
    from dnadet_lib.stages import run_pretraining

    preset = get_preset(options.preset)
    run_pretraining(preset, profile=options.profile, seed=options.seed, folder=options.out)
    print(options.out / "model.safetensors")
    return 0


def train_command(options: argparse.Namespace) -> int:
    """Train stage 2 on the zoo or on labelled images."""
    from dnadet_lib.model import join_backbones, load_model
    from dnadet_lib.presets import get_preset
    from dnadet_lib.stages import run_training, training_data
    from dnadet_lib.zoo import image_root

    if (options.train is None) != (options.dev is None):
        raise ValueError("--train and --dev go together: give both, or neither for the zoo")
    preset = get_preset(options.preset)
    if options.train is None:
        train, dev = training_data(image_root(options.profile), jittered=preset.jittered)
    else:
        train = labelled_images(options.train, options.classes)
        dev = labelled_images(options.dev, options.classes)
    start = options.pretrained or (["pocket"] if preset.discriminant else [])
    pretrained = join_backbones([load_model(name) for name in start]) if start else None
    run_training(
        preset, train, dev, pretrained=pretrained, seed=options.seed, folder=options.out
    )
    print(options.out / "model.safetensors")
    return 0


def evaluate_command(options: argparse.Namespace) -> int:
    """Measure a model on the zoo's set-ups or on labelled images, or run the suite."""
    from dnadet_lib import evaluation
    from dnadet_lib.model import load_model
    from dnadet_lib.zoo import available_setups, image_root, load_setup

    if options.suite:
        return suite_command(options)
    # A released .pth holds no class names: those of the annotation file are its own.
    released = Path(options.model).suffix == ".pth"
    model = load_model(options.model, options.classes if released else None)
    if options.test is not None:
        sets = {options.test.stem: labelled_images(options.test, options.classes)}
    else:
        root = image_root(options.profile)
        sets = {s: load_setup(s, root=root) for s in options.setups or available_setups()}
    rows = []
    for name, images in sets.items():
        predictions = evaluation.predict(model, images)
        rows += evaluation.summarise(str(options.model), name, predictions)
        if options.out:
            file = options.out / f"predictions-{name}.parquet"
            evaluation.write_predictions(predictions, images, file)
    if options.out:
        evaluation.write_results(rows, options.out)
    if options.json:
        print(evaluation.results_json(rows))
    else:
        print(evaluation.results_table(rows), end="")
    return 0


def suite_command(options: argparse.Namespace) -> int:
    """Fill the table, methods by set-ups: JSON, CSV, Markdown and a figure."""
    from dnadet_lib import plots
    from dnadet_lib.evaluation import results_json
    from dnadet_lib.methods import SHIPPED, all_methods, make_method
    from dnadet_lib.paths import build_folder
    from dnadet_lib.suite import run_suite, write_suite
    from dnadet_lib.zoo import available_setups, image_root

    methods = [make_method(name) for name in options.rows or all_methods()]
    folder = options.out or build_folder() / "suite" / options.suite
    predictions = run_suite(
        methods, image_root(options.suite), folder,
        seeds=options.seeds, setups=options.setups or available_setups(),
        workers=options.workers,
    )  # fmt: skip
    rows = write_suite(predictions, SHIPPED, folder)
    plots.use_style()
    plots.save(plots.suite_dots(rows), folder / "results.png")
    print(results_json(rows) if options.json else (folder / "results.md").read_text(), end="")
    return 0


def audit_command(options: argparse.Namespace) -> int:
    """Audit the closed set's train list against each set-up, or two lists of one's own."""
    from dnadet_lib import audit, thumbnails
    from dnadet_lib.files import atomic_path
    from dnadet_lib.zoo import image_root, load_setup, present_setups

    if (options.train is None) != (options.test is None):
        raise ValueError("--train and --test go together: give both, or neither for the zoo")
    if options.train is None:
        root = image_root(options.profile)
        train_list = load_setup("closed", "train", root)
        lists = {s: load_setup(s, root=root) for s in options.setups or present_setups()}
    else:
        train_list = labelled_images(options.train, options.classes)
        lists = {options.test.stem: labelled_images(options.test, options.classes)}
    train, errors = audit.image_facts(train_list)
    judges = thumbnails.train_judges(train_list)
    reports = {}
    for name, images in lists.items():
        test, failed = audit.image_facts(images)
        errors += failed
        reports[name] = audit.audit(train, test, thumbnails.thumbnail_leak(judges, images))
    text = "\n".join(audit.audit_markdown(name, report) for name, report in reports.items())
    if options.out:
        with atomic_path(options.out / "audit.md") as temporary:
            temporary.write_text(text, encoding="utf-8")
        for name, report in reports.items():
            with atomic_path(options.out / f"audit-{name}.csv") as temporary:
                report.test.to_csv(temporary, index=False)
    if options.json:
        print(json.dumps({"setups": {k: audit.as_dict(r) for k, r in reports.items()}}, indent=1))
    else:
        print(text, end="")
    for error in errors:
        print(f"dnadet: {error}", file=sys.stderr)
    return 1 if errors else 0


def embed_command(options: argparse.Namespace) -> int:
    """Write one row an image: path, label, probabilities, unknown score, embedding, maps."""
    from dnadet_lib.embedding_file import write_embeddings
    from dnadet_lib.model import load_model

    paths, missing = gather(options.paths)
    count, errors = write_embeddings(
        load_model(options.model), paths, options.out,
        name=options.model, methods=options.maps, seed=options.seed,
    )  # fmt: skip
    errors = [*(failure["error"] for failure in missing), *errors]
    for error in errors:
        print(f"dnadet: {error}", file=sys.stderr)
    print(f"{options.out}: {count} images")
    return 1 if errors else 0


def report_command(options: argparse.Namespace) -> int:
    """Write a Markdown report."""
    from dnadet_lib.files import atomic_path

    results, errors = attribute_each(options)
    lines = [
        f"# Attribution of {len(results)} images with the model {options.model}",
        "",
        "A class is the most probable of those the model was trained on. Images outside what the",
        "model knows are marked; their class means nothing.",
        "",
        "| image | class | confidence | unknown score | known |",
        "|---|---|---|---|---|",
    ]
    for r in results:
        score = "" if r["unknown_score"] is None else f"{r['unknown_score']:.3f}"
        known = "yes" if r["known"] else "**no**"
        lines.append(
            f"| {r['path']} | {r['label']} | {r['confidence']:.3f} | {score} | {known} |"
        )
    lines += ["", *(f"- not read: {error['error']}" for error in errors)]
    with atomic_path(options.out) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(options.out)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
