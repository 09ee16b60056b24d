"""`dnadet compare`."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dnadet_lib.commands.arguments import add_device
from dnadet_lib.commands.inputs import complain, gather, loaded_model
from dnadet_lib.images.kinds import kinds_help
from dnadet_lib.plumbing.text import one_line, table_for_csv

if TYPE_CHECKING:
    import pandas as pd

    from dnadet_lib.model import DNADet

HELP = "say where two checkpoints disagree, image by image"
EXAMPLES = (
    " pocket pocket_plain folder/",
    " build/mine/model.safetensors released.pth list.txt --csv",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = f"{kinds_help()}\n\n{parser.epilog}"
    parser.add_argument("first", metavar="A", help="checkpoint or shipped name")
    parser.add_argument("second", metavar="B", help="another; classes are matched by name")
    parser.add_argument("paths", nargs="+", help="images, folders, globs or lists")
    parser.add_argument("--top", type=int, default=10, help="images to name (default: 10)")
    parser.add_argument("--csv", action="store_true", help="print CSV, a row per image")
    add_device(parser)


def run(options: argparse.Namespace) -> int:
    """Print how often two models name the same class, and where not, the largest first."""
    from dnadet_lib.evaluation.comparison import compared

    first, second = loaded_model(options.first), loaded_model(options.second)
    for one, other in ((first, second), (second, first)):
        if other.named and not one.named:
            raise ValueError(f"{one.origin}: holds no class names: `dnadet convert` adds them")
    paths, missing = gather(options.paths)
    table, unread = compared(first, second, paths)
    errors = [*(failure["error"] for failure in missing), *unread]
    for error in errors:
        complain(error)
    if table.empty:
        raise ValueError("no image could be read by both, so there is nothing to compare")
    if options.csv:
        table_for_csv(table).to_csv(sys.stdout, index=False)
    else:
        for line in lines_of(table, first, second, max(options.top, 0)):
            print(line)
    return 1 if errors else 0


def lines_of(table: "pd.DataFrame", first: "DNADet", second: "DNADet", top: int) -> Iterator[str]:
    """Write the counts, the pairs of classes that differ, and the images that differ most."""
    from dnadet_lib.evaluation.comparison import differing_pairs

    same = int((table["a"] == table["b"]).sum())
    yield one_line(f"A: {first.origin}, B: {second.origin}")
    yield f"{len(table)} images: {same} agree, {len(table) - same} disagree (most probable class)"
    for name, one, other in (("A", first, second), ("B", second, first)):
        if own := sorted(set(one.classes) - set(other.classes)):
            yield one_line(f"{name} alone knows {', '.join(own)}")
    if same < len(table):
        yield "\nimages  class by A / by B"
    for pair, count in differing_pairs(table):
        yield one_line(f"{count:6}  {pair[0]} / {pair[1]}")
    if top:
        yield "\n apart  image: by A / by B (how far all probabilities are apart, from 0 to 1)"
    for row in table.head(top).itertuples():
        answers = f"{row.a} {row.p_a:.2f} / {row.b} {row.p_b:.2f}"
        yield one_line(f"{row.difference:6.2f}  {row.path}: {answers}")
