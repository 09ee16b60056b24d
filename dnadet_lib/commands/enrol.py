"""`dnadet enrol`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dnadet_lib.commands.arguments import add_device, add_profile
from dnadet_lib.commands.inputs import complain, gather, keep_inputs, loaded_model
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import one_line

if TYPE_CHECKING:
    from dnadet_lib.model import DNADet

HELP = "add a generator of your own to a model, from 1 to 500 images and without training"
EXAMPLES = (
    " MyGAN samples/ --to mine.safetensors",
    " OtherGAN other/*.png --model mine.safetensors --to both.safetensors",
    " --episodes 100 --shots 1 5 10 50",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_device(parser)
    parser.add_argument("name", nargs="?", help="of the new class")
    parser.add_argument("sources", nargs="*", metavar="FOLDER", help="its images: folders, globs")
    parser.add_argument("--model", default="pocket", help="checkpoint or shipped name")
    parser.add_argument(
        "--to", "--out", dest="out", type=Path, metavar="FILE", help="checkpoint to write"
    )
    parser.set_defaults(kinds=(".safetensors",))
    group = parser.add_argument_group(
        "measuring", "how well the zoo's unknown architectures are named after a few images"
    )
    group.add_argument("--episodes", type=int, metavar="N", help="measure, N times per generator")
    group.add_argument("--shots", nargs="+", type=int, default=[1, 5, 10, 50], help="images")
    group.add_argument("--ways", type=int, default=5, help="classes in an episode (default: 5)")
    group.add_argument(
        "--role", choices=("test", "dev"), default="test",
        help="of the unknown generators: dev for choices, test to report",
    )  # fmt: skip
    group.add_argument("--json", action="store_true", help="print the rows as JSON")
    add_profile(parser)
    parser.add_argument("--seed", type=int, default=0, help="of changed copies, and of episodes")


def run(options: argparse.Namespace) -> int:
    """Add a class to a model, or measure how well that works."""
    measuring = options.episodes is not None
    if measuring == bool(options.name and options.sources and options.out):
        raise ValueError("give NAME, FOLDER and --to to add a class, or --episodes to measure")
    model = loaded_model(options.model)
    return measure(options, model) if measuring else add_class(options, model)


def add_class(options: argparse.Namespace, model: "DNADet") -> int:
    """Write a checkpoint that knows one class more."""
    import numpy as np

    from dnadet_lib.checkpoints.models import find_checkpoint, save_model
    from dnadet_lib.inference import read_features
    from dnadet_lib.stages.enrolment import MOST, enrol, require_new_name, take_shots

    require_new_name(model, options.name)
    paths, errors = gather(options.sources)
    keep_inputs([options.out], [find_checkpoint(options.model), *paths])
    lost = [error["error"] for error in errors]
    if len(paths) > MOST:
        note(f"{len(paths)} images given: {MOST} of them, chosen at random, are taken")
        chosen = np.random.default_rng(options.seed).permutation(len(paths))[:MOST]
        paths = [paths[k] for k in sorted(chosen)]
    kept, _, unread = read_features(model, paths)
    for text in [*lost, *unread]:
        complain(text)
    if not kept:
        raise ValueError("no image could be read, so there is nothing to learn from")
    read = [paths[k] for k in kept]
    enrolled = enrol(model, options.name, take_shots(model, read, model.changes, options.seed))
    save_model(enrolled, options.out, made_from=model.sha256, enrolled=options.name,
               images=len(read), seed=options.seed)  # fmt: skip
    note(f"{one_line(options.name)}: learned from {len(read)} images")
    print(one_line(options.out))
    return 1 if lost or unread else 0


def measure(options: argparse.Namespace, model: "DNADet") -> int:
    """Print how well unknown architectures are named after a few images."""
    from dnadet_lib.bench.few_shot import few_shot_rows, few_shot_table, load_pool
    from dnadet_lib.evaluation.results import results_json
    from dnadet_lib.zoo.rendering import image_root

    pool = load_pool(model, options.role, image_root(options.profile), options.seed)
    rows = few_shot_rows(
        model, pool, options.shots, options.ways, options.episodes, options.seed
    )
    print(results_json(rows) if options.json else few_shot_table(rows))
    return 0
