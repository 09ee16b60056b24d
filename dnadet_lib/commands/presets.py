"""`dnadet presets`."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dnadet_lib.presets import Preset

HELP = "list the presets of `train` and `pretrain`, or print one in full"
EXAMPLES = ("", " paper_celeba")
COLUMNS = "preset stage width resize patch patches items epochs rate".split()


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", nargs="?", help="of one preset")


def run(options: argparse.Namespace) -> int:
    """Print a row per preset, or every field of one, under the names that --set takes."""
    from dnadet_lib.presets import PRESETS, get_preset
    from dnadet_lib.stages.settings import field_texts, has_effect, legal, values_of

    if options.name is None:
        for first, *rest in [COLUMNS, *map(main_numbers, PRESETS.values())]:
            print(f"{first:22}" + "".join(f"{cell:>9}" for cell in rest))
        print("\n-: the preset solves a discriminant on a pre-trained network and takes no steps")
        return 0
    preset = get_preset(options.name)
    print(f"{preset.name}: stage {preset.stage}\n")
    for name, value in values_of(preset).items():
        if has_effect(preset, name):
            typed = ",".join(value) or "none" if isinstance(value, tuple) else str(value)
            print(f"{f'{name}={typed.lower() if isinstance(value, bool | None) else typed}':32}"
                  f"  {field_texts()[name]} ({legal(name)})")  # fmt: skip
    return 0


def main_numbers(preset: "Preset") -> list[str]:
    """Return the cells of a preset's row."""
    solved = preset.discriminant > 0
    steps = [preset.patches, preset.items, preset.epochs, f"{preset.learning_rate:g}"]
    resize = preset.input.resize or "no"
    cells = [
        preset.name, preset.stage, preset.width, resize,
        "whole" if preset.patches == 0 and not solved else preset.input.patch,
        *(["-"] * len(steps) if solved else steps),
    ]  # fmt: skip
    return list(map(str, cells))
