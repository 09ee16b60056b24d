"""`dnadet train`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dnadet_lib.commands.arguments import add_labelled, add_profile, add_training
from dnadet_lib.commands.inputs import (
    images_to_count,
    keep_inputs,
    note_each,
    require_out,
    require_own_images,
)
from dnadet_lib.plumbing.text import one_line

if TYPE_CHECKING:
    from dnadet_lib.data import ImageSet
    from dnadet_lib.presets import Preset

HELP = "stage 2: learn architectures from labelled images"
EXAMPLES = (
    " --train lists/train.txt --dev lists/val.txt --out build/mine",
    " --preset paper_celeba --set epochs=5 items=8 --train a.txt --dev b.txt --estimate",
    " --changes jpeg,contrast --train lists/train.txt --dev lists/val.txt --out build/mine",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_profile(parser)
    add_training(parser, "pocket")
    parser.add_argument(
        "--pretrained", metavar="CHECKPOINT",
        help="stage 1 file or shipped name (default: the backbone of the shipped checkpoint for a "
        "preset that needs one, else none)",
    )  # fmt: skip
    parser.add_argument(
        "--changes", metavar="NAMES",
        help="learn from changed copies of the training images too, to look past what happens to "
        "images: jpeg,webp,resize,contrast,blur,noise,mixed, single ones of `dnadet presets`, "
        "pocket for those of the shipped checkpoint, or none (default: the preset's)",
    )  # fmt: skip
    add_labelled(parser, "train", "dev")


def run(options: argparse.Namespace) -> int:
    """Train stage 2 on the zoo or on labelled images, or say how long it would take."""
    from dnadet_lib.checkpoints.models import load_model
    from dnadet_lib.plumbing.devices import told_device
    from dnadet_lib.stages.estimating import training_estimate
    from dnadet_lib.stages.folder import FILES, MODEL
    from dnadet_lib.stages.settings import chosen_preset
    from dnadet_lib.stages.stage_2 import run_training

    if (options.train is None) != (options.dev is None):
        raise ValueError("--train and --dev go together: give both, or neither for the zoo")
    require_own_images(options, "train", ["classes", "sources"])
    require_out(options)
    settings = [*options.settings, *([f"changes={options.changes}"] if options.changes else [])]
    preset = chosen_preset(options.preset, 2, settings)
    start = options.pretrained or ("pocket" if preset.discriminant else None)
    train, dev = images_of(options, preset)
    lists = [path for path in (options.train, options.dev) if path is not None]
    written = [options.out / name for name in FILES] if options.out else []
    keep_inputs(written, [*([start] if start else []), *lists, *train.paths, *dev.paths])
    pretrained = load_model(start) if start else None
    told_device()
    if options.estimate:
        print(training_estimate(preset, train, dev, pretrained).text(preset.name))
        return 0
    run_training(
        preset, train, dev, pretrained=pretrained, seed=options.seed, folder=options.out
    )
    print(one_line(options.out / MODEL))
    return 0


def images_of(options: argparse.Namespace, preset: "Preset") -> "tuple[ImageSet, ImageSet]":
    """List the images to train on and those of dev, the zoo's or one's own."""
    from dnadet_lib.stages.checks import training_remarks
    from dnadet_lib.stages.stage_2 import training_data
    from dnadet_lib.zoo.rendering import image_root

    if options.train is None:
        return training_data(image_root(options.profile))
    if options.out is not None:
        require_outside(options.out, options.train, options.dev)
    train = images_to_count(options, options.train)
    dev = images_to_count(options, options.dev, train.classes)
    note_each(training_remarks(train, dev))
    return train, dev


def require_outside(out: Path, *sources: Path) -> None:
    """Refuse a folder for results among class folders, where it would be taken for a class."""
    for source in sources:
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise ValueError(
                f"--out {out}: lies in the images' folder {source}, where it would be taken for a "
                "class; choose another place"
            )
