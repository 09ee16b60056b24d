"""`dnadet pretrain`."""

import argparse

from dnadet_lib.commands.arguments import add_profile, add_training
from dnadet_lib.plumbing.text import one_line

HELP = "stage 1: learn the 170 transformations"
EXAMPLES = (" --out build/stage1",)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_profile(parser)
    add_training(parser, "pocket_pretrain")


def run(options: argparse.Namespace) -> int:
    """Train stage 1."""
    from dnadet_lib.stages.settings import chosen_preset
    from dnadet_lib.stages.stage_1 import run_pretraining

    preset = chosen_preset(options.preset, 1, options.settings)
    run_pretraining(preset, profile=options.profile, seed=options.seed, folder=options.out)
    print(one_line(options.out / "model.safetensors"))
    return 0
