"""`dnadet suite`."""

import argparse
from pathlib import Path

from dnadet_lib.commands.arguments import add_profile

HELP = "train and measure every method on the set-ups: the table"
EXAMPLES = (" --rows pocket", " --profile smoke --seeds 0")


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_profile(parser)
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="methods (default: all)")
    parser.add_argument("--setups", nargs="+", help="closed, dev, seed, ... (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of training")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--out", type=Path, help="folder (default: build/suite/PROFILE)")


def run(options: argparse.Namespace) -> int:
    """Fill the table, methods by set-ups: JSON, CSV, Markdown and a figure."""
    from dnadet_lib.bench.methods import SHIPPED, all_methods, make_method
    from dnadet_lib.bench.suite import run_suite
    from dnadet_lib.bench.tables import write_suite
    from dnadet_lib.evaluation.results import results_json
    from dnadet_lib.plots.results import suite_dots
    from dnadet_lib.plots.style import save, use_style
    from dnadet_lib.plumbing.files import require_writable_folder
    from dnadet_lib.plumbing.paths import build_folder
    from dnadet_lib.zoo.rendering import image_root
    from dnadet_lib.zoo.setups import available_setups

    methods = [make_method(name) for name in options.rows or all_methods()]
    folder = options.out or build_folder() / "suite" / options.profile
    require_writable_folder(folder)
    predictions = run_suite(
        methods, image_root(options.profile), folder,
        seeds=options.seeds, setups=options.setups or available_setups(),
        workers=options.workers,
    )  # fmt: skip
    rows = write_suite(predictions, SHIPPED, folder)
    use_style()
    save(suite_dots(rows), folder / "results.png")
    text = (folder / "results.md").read_text(encoding="utf-8")
    print(results_json(rows) if options.json else text, end="")
    return 0
