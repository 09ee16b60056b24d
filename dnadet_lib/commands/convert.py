"""`dnadet convert`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dnadet_lib.commands.arguments import add_device, add_labelled
from dnadet_lib.commands.inputs import images_to_count, keep_inputs, note_each
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import one_line

if TYPE_CHECKING:
    from dnadet_lib.data import ImageSet
    from dnadet_lib.model import DNADet

HELP = "add class names and calibration to a PyTorch checkpoint, or write the released format"
EXAMPLES = (
    " x.pth --classes Real ProGAN --train train.txt --dev val.txt --out x.safetensors",
    " wild.pth --preset paper_wild --classes Real ProGAN --out wild.safetensors",
    " x.safetensors --out x.pth",
)


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_device(parser)
    parser.add_argument("model", help="checkpoint or shipped name; no code in it is run")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE",
        help=".safetensors, or .pth for the method's released format, which holds weights alone",
    )  # fmt: skip
    parser.set_defaults(kinds=(".safetensors", ".pth"))
    parser.add_argument(
        "--preset", help="how images are resized for weights alone (default: paper_celeba)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the images that are chosen")
    add_labelled(parser, "train", "dev", default="no temperature and no unknown score are added")


def run(options: argparse.Namespace) -> int:
    """Write a checkpoint in the other format, with what it lacks."""
    from dnadet_lib.checkpoints.models import find_checkpoint, save_model, save_released

    if (options.train is None) != (options.dev is None):
        raise ValueError("--train and --dev go together: give both, or neither")
    lists = [path for path in (options.train, options.dev) if path is not None]
    keep_inputs([options.out], [find_checkpoint(options.model), *lists])
    if options.out.suffix.lower() == ".pth":
        if lists:
            raise ValueError("--train: a .pth holds weights alone; end --out in .safetensors")
        model = named_model(options, needed=False)
        save_released(model, options.out)
        note(f"{one_line(options.out)}: weights alone, without names, resizes and calibration")
    else:
        model = named_model(options, needed=True)
        if lists:
            add_calibration(options, model)
        if model.reference is None:
            note(
                f"{one_line(options.out)}: no temperature was fitted and there is no unknown "
                "score, so probabilities are not calibrated and nothing is outside what the model "
                "knows: give --train and --dev"
            )
        save_model(model, options.out, made_from=model.sha256, seed=options.seed)
    print(one_line(options.out))
    return 0


def named_model(options: argparse.Namespace, needed: bool) -> "DNADet":
    """Load the checkpoint with its class names, and the input of a preset where it holds none."""
    from dnadet_lib.checkpoints.models import holds_names, load_model
    from dnadet_lib.images.names import names_beside
    from dnadet_lib.presets import get_preset

    named, given = holds_names(options.model), options.classes
    if not (named or given) and options.train and options.train.is_file():
        beside = names_beside(options.train)
        given = beside and beside[0]
    model = load_model(options.model, given)
    if needed and not (named or given):
        raise ValueError(
            f"{options.model}: holds no class names: give its {len(model.classes)} with --classes, "
            "in the order of their numbers"
        )
    if options.preset is not None:
        spec = get_preset(options.preset).input
        if named or spec.high_pass:
            why = "it holds its own input" if named else "its network has no high-pass front end"
            raise ValueError(f"--preset {options.preset}: not for {options.model}: {why}")
        model.input = spec
    return model


def add_calibration(options: argparse.Namespace, model: "DNADet") -> None:
    """Fit the temperature on dev, and measure the distances of the unknown score on train."""
    from dnadet_lib.plumbing.devices import told_device
    from dnadet_lib.presets import Preset
    from dnadet_lib.stages.checks import require_trainable, training_remarks
    from dnadet_lib.stages.stage_2 import calibrate

    train, dev = (images_of(options, path, model) for path in (options.train, options.dev))
    keep_inputs([options.out], [*train.paths, *dev.paths])
    dev = require_trainable(Preset("converted"), train, dev)
    note_each(training_remarks(train, dev))
    calibrate(model.to(told_device()), train, dev, options.seed)


def images_of(options: argparse.Namespace, source: Path, model: "DNADet") -> "ImageSet":
    """Read labelled images; the folders of a folder name the classes, whatever their order."""
    names = None if source.is_dir() else options.classes
    own = argparse.Namespace(**{**vars(options), "classes": names})
    return images_to_count(own, source, model.classes).with_classes(model.classes)
