"""The command line: `dnadet COMMAND --help` says what each command takes."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dnadet_lib.image_kinds import kinds_help
from dnadet_lib.notes import note, printing
from dnadet_lib.text import for_json, is_storable, one_line, storable

MAPS = ("t-SNE", "UMAP", "PCA")
STATUSES = """exit status:
  0    all is done
  1    some inputs could not be read, or some lessons failed; the rest is done
  2    nothing is done: the arguments, the model or every input is at fault
  130  interrupted (Ctrl-C); what was found until then stands
  141  whoever read the output went away, such as `head`
  143  told to stop (SIGTERM)"""
EXAMPLES = {
    "run": [" --profile smoke", " 01_fingerprints 02_pretraining"],
    "site": [""],
    "attribute": [
        " photo.png folder/ 'more/*.png'",
        " folder/ --json --stream | jq .label",
        " - --csv < paths.txt > answers.csv",
    ],
    "render": [" --profile smoke", " --count 500 --split test --out zoo/"],
    "pretrain": [" --out build/stage1"],
    "train": [" --train lists/train.txt --dev lists/val.txt --out build/mine"],
    "evaluate": [
        " --setups closed seed --json",
        " --model build/mine/model.safetensors --test lists/test.txt",
    ],
    "audit": [" --train lists/train.txt --test lists/test.txt"],
    "embed": [" folder/ --out mine.parquet", " list.txt --classes Real ProGAN --maps PCA"],
    "report": [" folder/"],
}

if TYPE_CHECKING:
    from dnadet_lib.data import ImageSet
    from dnadet_lib.model import DNADet


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors that a user can mend are printed without a traceback.

    Returns:
        The exit status, as `STATUSES` says.
    """
    from dnadet_lib.stopping import INTERRUPTED, PIPE_CLOSED, close_stdout, ending_cleanly

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


def drop(text: str) -> None:
    """Print nothing."""


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


def named_sources(sources: Sequence[str]) -> list[str]:
    """Put the lines of stdin in the place of `-`, and the home folder in that of `~`.

    Raises:
        ValueError: stdin is asked for and holds no path.
    """
    found = []
    for source in sources:
        if source != "-":
            found.append(source)
            continue
        lines = [os.fsdecode(line) for line in sys.stdin.buffer.read().splitlines()]
        if not (named := [line for line in lines if line.strip()]):
            raise ValueError("-: no path came on standard input: one a line is expected")
        found += named
    return [s if os.path.lexists(s) else os.path.expanduser(s) for s in found]


def remarks(options: argparse.Namespace, errors: Sequence[dict[str, str]]) -> dict[str, list]:
    """Give what JSON says beside the results: errors, notes, and files that were left out."""
    skipped = [str(path) for path in options.notes.left_out]
    return {"errors": list(errors), "notes": options.notes.texts, "skipped": skipped}


def failures(
    paths: Sequence[Path], read: Iterable[Path | str], errors: Sequence[str]
) -> list[dict[str, str]]:
    """Join the files that were not read with the reasons, which come in their order."""
    there = {storable(path) for path in read}
    lost = [str(path) for path in paths if storable(path) not in there]
    return [{"path": p, "error": e} for p, e in zip(lost, errors, strict=True)]


def claimed_output(options: argparse.Namespace) -> AbstractContextManager[None]:
    """Hold a command's --out for as long as it works, once it is clear that it can be written.

    Raises:
        ValueError: a file's name ends in another format's suffix than what is written.
    """
    from dnadet_lib.files import claimed_file, claimed_folder

    out, kinds = getattr(options, "out", None), getattr(options, "kinds", ())
    if out is None or options.command is render_command:  # of two renders, one waits
        return nullcontext()
    if not kinds:
        return claimed_folder(out)
    if out.suffix.lower() not in kinds:
        raise ValueError(f"--out {out}: end the name in {kinds[0]}, which is what is written")
    return claimed_file(out)


def keep_inputs(outputs: Iterable[Path], inputs: Iterable[str | Path]) -> None:
    """Refuse to write over what is read, before work begins.

    Raises:
        ValueError: an output is one of the inputs.
    """
    from dnadet_lib.files import require_apart

    present = [output for output in outputs if output.exists()]
    for output in present:
        require_apart(output, map(Path, inputs))


def complain(problem: object) -> None:
    """Print what is wrong on stderr, in one line of visible characters."""
    print(f"dnadet: {one_line(problem)}", file=sys.stderr)


class Parser(argparse.ArgumentParser):
    """A parser whose error messages show no control characters of what was typed."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit with status 2."""
        super().error(one_line(message))


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


def end_of_help(name: str) -> str:
    """Write the examples of a command, and what its exit status means."""
    examples = "\n".join(f"  dnadet {name}{example}" for example in EXAMPLES[name])
    return f"examples:\n{examples}\n\n{STATUSES}"


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


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add PATHS and --model."""
    parser.epilog = f"{kinds_help()}\n\n{parser.epilog}"
    parser.add_argument(
        "paths", nargs="+",
        help="images, folders, globs or released annotation files; - reads such from standard "
        "input, one a line",
    )
    parser.add_argument("--model", default="pocket", help="checkpoint or shipped name")


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add --force."""
    parser.add_argument(
        "--force", action="store_true",
        help="name the most probable class also where it cannot be told, and say so",
    )  # fmt: skip


def add_training(parser: argparse.ArgumentParser, preset: str) -> None:
    """Add --preset, --seed and --out."""
    parser.add_argument("--preset", default=preset)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; a run found there goes on"
    )


def add_labelled(parser: argparse.ArgumentParser, *splits: str) -> None:
    """Add an option for labelled images of one's own, by split, and --classes."""
    parser.epilog = f"{kinds_help()}\n\n{parser.epilog}"
    for split in splits:
        parser.add_argument(
            f"--{split}", type=Path, metavar="SOURCE",
            help="folder of class folders, or list of images: a line has a path, a tab, a class "
            "number and, if you like, a tab and a source (default: the zoo)",
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


def labelled_images(
    options: argparse.Namespace, split: str, default: Sequence[str] | None = None
) -> ImageSet:
    """Read the labelled images of a split, and print what is to be remarked on them."""
    from dnadet_lib.own_images import read_labelled

    source = getattr(options, split)
    images, remarks = read_labelled(
        source, options.classes, default=default, sources=options.sources
    )
    note_each(remarks)
    return images


def require_own_images(options: argparse.Namespace, split: str, needed: Sequence[str]) -> None:
    """Refuse options that say something of images of one's own where none are given."""
    for name in needed if getattr(options, split) is None else ():
        if getattr(options, name) is not None:
            raise ValueError(
                f"--{name} is for images of your own: give --{split} too, or leave it out"
            )


def images_to_count(
    options: argparse.Namespace, split: str, default: Sequence[str] | None = None
) -> ImageSet:
    """Read the labelled images of a split, each once; refuse missing files before work begins."""
    from dnadet_lib.own_images import require_files, without_repeats

    images = labelled_images(options, split, default)
    if getattr(options, split).is_file():  # of a folder, what is listed is there
        require_files(images, getattr(options, split))
    images, remarks = without_repeats(images, getattr(options, split))
    note_each(remarks)
    return images


def note_each(remarks: Iterable[str]) -> None:
    """Tell the user some remarks, a line each."""
    for remark in remarks:
        note(remark)


def name_of(source: Path) -> str:
    """Name a set-up after its list or folder."""
    return storable(Path(os.path.abspath(source)).stem)


def run_command(options: argparse.Namespace) -> int:
    """Execute the lessons, and make the site of them."""
    from dnadet_lib.lessons import LessonError, lesson_files, run_lessons

    try:
        lesson_files(options.lessons or None)
    except LessonError as error:
        complain(error)
        return 2
    failed = run_lessons(options.profile, options.lessons or None)
    return site_command(options) or failed


def site_command(options: argparse.Namespace) -> int:
    """Make the site of the lessons that were executed."""
    from dnadet_lib.lessons import LessonError
    from dnadet_lib.site import build_site

    try:
        print(f"Site: {one_line(build_site())}")
    except LessonError as error:
        complain(error)
        return 2
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
    from dnadet_lib.inference import answers
    from dnadet_lib.model import load_model, require_architectures

    model = load_model(options.model)
    require_architectures(model)
    paths, errors = gather(options.paths)
    results = list(answers(model, paths, errors))
    for failure in errors:
        complain(failure["error"])
    return results, errors


def attribute_command(options: argparse.Namespace) -> int:
    r"""Print the class of each image as it is known: a line each, or JSON, or CSV.

    Paths in JSON lead to their files; only a byte that is no UTF-8 is written as `\xe9`.
    """
    from dnadet_lib import attribute_command as printed
    from dnadet_lib.model import load_model, require_architectures

    if options.stream and not options.json:
        raise ValueError("--stream is for --json: give both, or neither")
    model = load_model(options.model)
    require_architectures(model)
    paths, errors = gather(options.paths)
    writer = printed.Lines()
    if options.json:
        writer = (printed.JsonLines if options.stream else printed.OneObject)(options.model)
    elif options.csv:
        writer = printed.Table(model.classes)
    return printed.run(
        model, paths, errors, writer, options.notes, complain, options.quiet, options.force
    )


def render_command(options: argparse.Namespace) -> int:
    """Render the zoo."""
    from dnadet_lib.zoo import render

    root = render(
        options.profile, options.out, options.workers, count=options.count, splits=options.split
    )
    print(one_line(root))
    return 0


def pretrain_command(options: argparse.Namespace) -> int:
    """Train stage 1."""
    from dnadet_lib.presets import get_preset, require_stage
    from dnadet_lib.stages import run_pretraining

    preset = get_preset(options.preset)
    require_stage(preset, 1)
    run_pretraining(preset, profile=options.profile, seed=options.seed, folder=options.out)
    print(one_line(options.out / "model.safetensors"))
    return 0


def train_command(options: argparse.Namespace) -> int:
    """Train stage 2 on the zoo or on labelled images."""
    from dnadet_lib.data import require_readable
    from dnadet_lib.model import join_backbones, load_model
    from dnadet_lib.preflight import training_remarks
    from dnadet_lib.presets import get_preset, require_stage
    from dnadet_lib.stages import run_training, training_data
    from dnadet_lib.zoo import image_root

    if (options.train is None) != (options.dev is None):
        raise ValueError("--train and --dev go together: give both, or neither for the zoo")
    require_own_images(options, "train", ["classes", "sources"])
    preset = get_preset(options.preset)
    require_stage(preset, 2)
    start = options.pretrained or (["pocket"] if preset.discriminant else [])
    if options.train is None:
        train, dev = training_data(image_root(options.profile), jittered=preset.jittered)
    else:
        require_outside(options.out, options.train, options.dev)
        train = images_to_count(options, "train")
        dev = images_to_count(options, "dev", train.classes)
        note_each(training_remarks(train, dev))
    written = [options.out / name for name in ("model.safetensors", "history.csv", "state.pt")]
    lists = [path for path in (options.train, options.dev) if path is not None]
    keep_inputs(written, [*start, *lists, *train.paths, *dev.paths])
    require_readable([*train.paths, *dev.paths], preset.input.smallest)
    pretrained = join_backbones([load_model(name) for name in start]) if start else None
    run_training(
        preset, train, dev, pretrained=pretrained, seed=options.seed, folder=options.out
    )
    print(one_line(options.out / "model.safetensors"))
    return 0


def require_outside(out: Path, *sources: Path) -> None:
    """Refuse a folder for results among class folders, where it would be taken for a class.

    Raises:
        ValueError: it lies there; both are named.
    """
    for source in sources:
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise ValueError(
                f"--out {out}: lies in the images' folder {source}, where it would be taken for a "
                "class; choose another place"
            )


def evaluate_command(options: argparse.Namespace) -> int:
    """Measure a model on the zoo's set-ups or on labelled images, or run the suite."""
    from dnadet_lib import evaluation
    from dnadet_lib.files import plain_stem
    from dnadet_lib.label_checks import check_labels, checks_text

    if options.suite:
        if options.test is not None:
            raise ValueError("--suite measures on the zoo: leave --test out, or --suite")
        return suite_command(options)
    model, sets = model_and_sets(options)
    if options.out:
        written = [f"predictions-{plain_stem(name)}.parquet" for name in sets]
        written += ["results.json", "results.md"]
        files = [path for images in sets.values() for path in images.paths]
        keep_inputs(
            [options.out / name for name in written],
            [options.model, *([options.test] if options.test else []), *files],
        )
    rows, errors, checks = [], [], {}
    for name, images in sets.items():
        lost: list[str] = []
        read, predictions = evaluation.predict_readable(model, images, lost)
        errors += failures(images.paths, read.paths, lost)
        if lost:
            for text in lost:
                complain(text)
            share = f"{len(read)} of {len(images)} images are measured"
            complain(f"{name}: {share}, the others not read")
        if predictions is None:
            continue
        rows += evaluation.summarise(str(options.model), name, predictions)
        checks[name] = check_labels(read, predictions, model.threshold)
        if options.out:
            file = options.out / f"predictions-{plain_stem(name)}.parquet"
            evaluation.write_predictions(predictions, read, file)
    if not rows:
        raise ValueError("no image could be read, so there is nothing to measure")
    told = {name: found.as_dict() for name, found in checks.items()}
    for name, found in checks.items():
        note_each(f"warning: {name}: {warning}" for warning in found.warnings)
    beside = {"sets": told, **remarks(options, errors)}
    if options.out:
        evaluation.write_results(rows, options.out, **beside)
    if options.json:
        print(evaluation.results_json(rows, **beside))
    else:
        print(evaluation.results_table(rows))
        for name, found in checks.items():
            print(checks_text(name, found, tables=options.test is not None), end="")
    return 1 if errors else 0


def model_and_sets(options: argparse.Namespace) -> tuple[DNADet, dict[str, ImageSet]]:
    """Load the model to evaluate, and list the images of each set-up."""
    from dnadet_lib.lists import names_beside
    from dnadet_lib.model import holds_names, load_model, require_architectures
    from dnadet_lib.own_images import match_classes
    from dnadet_lib.zoo import available_setups, image_root, load_setup

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


def suite_command(options: argparse.Namespace) -> int:
    """Fill the table, methods by set-ups: JSON, CSV, Markdown and a figure."""
    from dnadet_lib import plots
    from dnadet_lib.evaluation import results_json
    from dnadet_lib.files import require_writable_folder
    from dnadet_lib.methods import SHIPPED, all_methods, make_method
    from dnadet_lib.paths import build_folder
    from dnadet_lib.suite import run_suite, write_suite
    from dnadet_lib.zoo import available_setups, image_root

    methods = [make_method(name) for name in options.rows or all_methods()]
    folder = options.out or build_folder() / "suite" / options.suite
    require_writable_folder(folder)
    predictions = run_suite(
        methods, image_root(options.suite), folder,
        seeds=options.seeds, setups=options.setups or available_setups(),
        workers=options.workers,
    )  # fmt: skip
    rows = write_suite(predictions, SHIPPED, folder)
    plots.use_style()
    plots.save(plots.suite_dots(rows), folder / "results.png")
    text = (folder / "results.md").read_text(encoding="utf-8")
    print(results_json(rows) if options.json else text, end="")
    return 0


def audit_command(options: argparse.Namespace) -> int:
    """Audit the closed set's train list against each set-up, or two lists of one's own."""
    from dnadet_lib import audit, thumbnails
    from dnadet_lib.files import atomic_path, plain_stem
    from dnadet_lib.text import table_for_csv
    from dnadet_lib.zoo import image_root, load_setup, present_setups

    if (options.train is None) != (options.test is None):
        raise ValueError("--train and --test go together: give both, or neither for the zoo")
    require_own_images(options, "train", ["classes", "sources"])
    if options.train is None:
        root = image_root(options.profile)
        train_list = load_setup("closed", "train", root)
        lists = {s: load_setup(s, root=root) for s in options.setups or present_setups()}
    else:
        train_list = labelled_images(options, "train")
        lists = {name_of(options.test): labelled_images(options, "test", train_list.classes)}
    if options.out:
        tables = [f"audit-{plain_stem(name)}.csv" for name in lists]
        written = [options.out / name for name in ("audit.md", *tables)]
        sources = [path for path in (options.train, options.test) if path is not None]
        tests = [path for images in lists.values() for path in images.paths]
        keep_inputs(written, [*sources, *train_list.paths, *tests])
    train, lost = audit.image_facts(train_list)
    errors = failures(train_list.paths, train["path"], lost)
    judges = thumbnails.train_judges(train_list)
    reports = {}
    for name, images in lists.items():
        test, lost = audit.image_facts(images)
        errors += failures(images.paths, test["path"], lost)
        reports[name] = audit.audit(train, test, thumbnails.thumbnail_leak(judges, images))
    parts = [audit.audit_markdown(name, report) for name, report in reports.items()]
    if options.test is not None and any(report.trivial for report in reports.values()):
        parts += [f"Accuracies: {audit.interval_over(report)}.\n" for report in reports.values()]
    text = "\n".join(parts)
    if options.out:
        with atomic_path(options.out / "audit.md") as temporary:
            temporary.write_text(text, encoding="utf-8")
        for name, report in reports.items():
            with atomic_path(options.out / f"audit-{plain_stem(name)}.csv") as temporary:
                table_for_csv(report.test).to_csv(temporary, index=False)
    if options.json:
        found = {name: audit.as_dict(report) for name, report in reports.items()}
        shown = {"setups": found, **remarks(options, errors)}
        print(json.dumps(for_json(shown), indent=1, allow_nan=False))
    else:
        print(text, end="")
    for failure in errors:
        complain(failure["error"])
    return 1 if errors else 0


def embed_command(options: argparse.Namespace) -> int:
    """Write one row an image: path, truth, label, probabilities, score, embedding, maps."""
    from dnadet_lib.embedding_file import write_embeddings
    from dnadet_lib.labels import known_labels
    from dnadet_lib.model import holds_names, load_model, require_architectures
    from dnadet_lib.progress import counting

    paths, missing = gather(options.paths)
    keep_inputs([options.out], [options.model, *options.paths, *paths])
    named = holds_names(options.model)
    model = load_model(options.model, None if named else options.classes)
    require_architectures(model)
    truths, notes = known_labels(options.paths, paths, options.classes, model.classes)
    with counting(len(paths), quiet=options.quiet, line=complain) as progress:
        count, errors = write_embeddings(
            model, paths, options.out, name=options.model, methods=options.maps,
            seed=options.seed, truths=truths, progress=progress.add,
        )  # fmt: skip
    errors = [*(failure["error"] for failure in missing), *errors]
    note_each(notes)
    for line in errors:
        complain(line)
    if not count:
        raise ValueError(f"{options.out}: not written, since no image could be read")
    print(f"{one_line(options.out)}: {count} images")
    if odd := sum(not is_storable(path) for path in paths):
        print(f"{odd} names that are no UTF-8 are written with their bytes as \\xe9")
    return 1 if errors else 0


def report_command(options: argparse.Namespace) -> int:
    """Write a page on some images, and a JSON file beside it."""
    import shlex

    from dnadet_lib import report, report_page
    from dnadet_lib.error_rates import measured_of
    from dnadet_lib.known_images import KnownImages, known_images
    from dnadet_lib.model import load_model, require_architectures

    twin = report.twin_of(options.out)
    paths, missing = gather(options.paths)
    keep_inputs([options.out, twin], [options.model, *options.paths, *paths])
    report.require_twin(twin)
    model = load_model(options.model)
    require_architectures(model)
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


if __name__ == "__main__":
    sys.exit(main())
