"""`dnadet suite`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dnadet_lib.commands.arguments import add_device, add_profile
from dnadet_lib.commands.inputs import complain

if TYPE_CHECKING:
    from dnadet_lib.bench.suite import Method

HELP = "train and measure every method on the set-ups: the table"
EXAMPLES = (
    " --rows pocket",
    " --profile smoke --seeds 0",
    " --method mypackage.module:MyClassifier --name mine",
)
QUICK = ("residual correlation", "DCT regression")  # rows beside a method of one's own


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_device(parser)
    add_profile(parser)
    parser.add_argument(
        "--method", nargs="+", default=[], metavar="MODULE:CLASS",
        help="classifiers of your own, with fit(X, y) and predict_proba(X) as in scikit-learn, X "
        "uint8 (N, H, W, 3); data/examples/README.md shows it. Installed packages name theirs in "
        "the entry points dnadet.methods, and those are rows like the others",
    )  # fmt: skip
    parser.add_argument("--name", nargs="+", help="names of their rows (default: the class's)")
    parser.add_argument(
        "--models", nargs="*", metavar="CHECKPOINT",
        help="rows of checkpoints as they are, not trained (default with --method: pocket)",
    )  # fmt: skip
    parser.add_argument(
        "--rows", nargs="*", metavar="NAME",
        help=f"methods (default: all; with --method: {', '.join(QUICK)})",
    )  # fmt: skip
    parser.add_argument("--setups", nargs="+", help="closed, dev, seed, ... (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of training")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--out", type=Path, help="folder (default: build/suite/PROFILE)")


def run(options: argparse.Namespace) -> int:
    """Fill the table, methods by set-ups: JSON, CSV, Markdown and a figure."""
    from dnadet_lib.bench.methods import SHIPPED
    from dnadet_lib.bench.suite import run_suite
    from dnadet_lib.bench.tables import write_suite
    from dnadet_lib.evaluation.results import results_json
    from dnadet_lib.plots.results import suite_dots
    from dnadet_lib.plots.style import save, use_style
    from dnadet_lib.plumbing.devices import told_device
    from dnadet_lib.plumbing.files import require_writable_folder
    from dnadet_lib.plumbing.paths import build_folder
    from dnadet_lib.zoo.rendering import image_root
    from dnadet_lib.zoo.setups import available_setups

    methods = chosen_methods(options)
    told_device()
    folder = options.out or build_folder() / "suite" / options.profile
    require_writable_folder(folder)
    failures: list[str] = []
    try:
        predictions = run_suite(
            methods, image_root(options.profile), folder,
            seeds=options.seeds, setups=options.setups or available_setups(),
            workers=options.workers, failures=failures,
        )  # fmt: skip
    finally:
        for failure in failures:
            complain(f"{failure}; this row is left out")
    reference = methods[0].name if options.method else SHIPPED
    rows = write_suite(predictions, reference, folder)
    use_style()
    save(suite_dots(rows), folder / "results.png")
    text = (folder / "results.md").read_text(encoding="utf-8")
    print(results_json(rows) if options.json else text, end="")
    return 1 if failures else 0


def chosen_methods(options: argparse.Namespace) -> "list[Method]":
    """Make the rows that are asked for, those of one's own first."""
    from dnadet_lib.bench.methods import SHIPPED, all_methods, make_method
    from dnadet_lib.bench.own import installed_methods, own_method, ready_model
    from dnadet_lib.checkpoints.models import shipped_file

    names, installed = options.name or [""] * len(options.method), installed_methods()
    if len(names) != len(options.method):
        raise ValueError(f"{len(names)} names for {len(options.method)} methods: one each")
    pairs = zip(options.method, names, strict=True)
    methods = [own_method(place, name) for place, name in pairs]
    rows, models = options.rows, options.models
    if rows is None:
        rows = [*(QUICK if options.method or models else all_methods()), *installed]
    if models is None:
        models = [SHIPPED] if options.method and shipped_file(SHIPPED).is_file() else []
    methods += [ready_model(model) for model in models]
    for name in rows:
        methods.append(own_method(installed[name], name) if name in installed
                       else make_method(name))  # fmt: skip
    every = [method.name for method in methods]
    if twice := [name for name in every if every.count(name) > 1]:
        raise ValueError(f"two rows are called {twice[0]!r}: give yours another --name")
    return methods
