"""`dnadet pretrain`."""

import argparse
from pathlib import Path

from dnadet_lib.commands.arguments import add_profile, add_training
from dnadet_lib.commands.inputs import complain, require_out
from dnadet_lib.images.kinds import kinds_help
from dnadet_lib.plumbing.text import one_line

HELP = "stage 1: learn the 170 transformations"
EXAMPLES = (
    " --out build/stage1",
    " --photos holidays/ --preset paper_pretrain --set epochs=5 --out build/stage1",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = f"{kinds_help()}\n\n{parser.epilog}"
    add_profile(parser)
    add_training(parser, "pocket_pretrain")
    parser.add_argument(
        "--photos", type=Path, metavar="FOLDER",
        help="photographs of your own, of which one in ten is kept for dev (default: the zoo's)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Train stage 1."""
    from dnadet_lib.plumbing.devices import told_device
    from dnadet_lib.stages.estimating import pretraining_estimate
    from dnadet_lib.stages.own_photographs import CROPS, own_crops
    from dnadet_lib.stages.settings import chosen_preset
    from dnadet_lib.stages.stage_1 import run_pretraining

    require_out(options)
    preset = chosen_preset(options.preset, 1, options.settings)
    if options.estimate:
        estimate = pretraining_estimate(preset, options.profile, options.seed, options.photos)
        print(estimate.text(preset.name))
        return 0
    own, errors = None, list[str]()
    if options.photos is not None:
        own = own_crops(options.photos, preset.transform_size, CROPS, options.seed, errors)
    for error in errors:
        complain(error)
    told_device()
    run_pretraining(
        preset, profile=options.profile, seed=options.seed, folder=options.out, own=own
    )
    print(one_line(options.out / "model.safetensors"))
    return 1 if errors else 0
