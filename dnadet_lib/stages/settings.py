"""A preset with some numbers set otherwise, as typed on a command line, and what each may be."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, get_type_hints

from dnadet_lib.images.changes import CHANGES, GROUPS, changes_of
from dnadet_lib.images.names import listed
from dnadet_lib.model import BLOCKS, SIDES, VOTES, InputSpec
from dnadet_lib.patches import FILTERS
from dnadet_lib.plumbing.text import shown
from dnadet_lib.presets import Preset, get_preset, pocket, require_stage
from dnadet_lib.zoo.photographs import CONTENTS

SMALLEST, MOST = 1e-12, 10**9
WHOLE: dict[str, tuple[float, int]] = {  # least and most of whole numbers; of others 1 and MOST
    "width": (1, 1024), "patches": (0, 1024), "discriminant": (0, BLOCKS), "transform_size": SIDES,
    "resize_first": SIDES, "resize": SIDES, "patch": SIDES,
}  # fmt: skip
CHOICES = {
    "schedule": ("step", "one-cycle"), "select_by": ("accuracy", "macro_f1", "last"),
    "vote": VOTES, "resize_filter": FILTERS,
}  # fmt: skip
AT_MOST_1 = ("decay", "learning_rate", "weight_rate")
OF_STAGE_1 = {"transform_size", "contents"}
OF_STAGE_2 = {"discriminant", "changes"}
OF_SOLVING = {"width", *OF_STAGE_2, *get_type_hints(InputSpec)}  # a discriminant has no steps


@cache
def field_types() -> dict[str, Any]:
    """Return the type of each number that can be set: of the preset, then of its input."""
    own = get_type_hints(Preset)
    return {k: own[k] for k in own if k not in ("name", "input", "stage")} | get_type_hints(
        InputSpec
    )


@cache
def field_texts() -> dict[str, str]:
    """Return what each number is, as the source says it."""
    own = re.findall(r"(?m)^    (\w+): .*?  # (.+)$", inspect.getsource(Preset))
    spec = re.sub(r"\n {12}", " ", InputSpec.__doc__ or "")
    return dict(own) | dict(re.findall(r"(?m)^        (\w+): (.+)\.$", spec))


def values_of(preset: Preset) -> dict[str, Any]:
    """Return every number of a preset by the name under which it is set."""
    return {k: getattr(preset, k, getattr(preset.input, k, None)) for k in field_types()}


def legal(name: str) -> str:
    """Say which values a field may have."""
    kind = field_types()[name]
    if name in CHOICES:
        return f"one of {', '.join(CHOICES[name])}"
    if name == "changes":
        return f"names with commas between them, of {', '.join([*CHANGES, *GROUPS, 'pocket'])}"
    if name == "contents":
        return f"names with commas between them, of {', '.join(CONTENTS)}"
    if kind is bool:
        return "true or false"
    if kind is float:
        return f"a number above 0{' and at most 1' if name in AT_MOST_1 else ''}"
    low, high = WHOLE.get(name, (1, MOST))
    span = f"from {low} to {high}" if high < MOST else f"of {low} or more"
    return f"a whole number {span}{'' if kind is int else ', or none'}"


def parsed(name: str, text: str) -> Any:
    """Make a field's value of what was typed; any exception where it is none."""
    kind = field_types()[name]
    if name in CHOICES:
        return CHOICES[name][CHOICES[name].index(text)]
    if name == "changes":
        return pocket.changes if text == "pocket" else changes_of(text)
    if name == "contents":
        return tuple(CONTENTS[CONTENTS.index(part.strip())] for part in text.split(","))
    if kind is bool:
        return {"true": True, "false": False}[text.lower()]
    if kind not in (int, float) and text.lower() == "none":
        return None
    value = float(text) if kind is float else int(text)
    low, high = WHOLE.get(name, (1, MOST))
    if kind is float:
        low, high = SMALLEST, 1 if name in AT_MOST_1 else MOST
    if not low <= value <= high:
        raise ValueError(value)
    return value


def with_settings(preset: Preset, settings: Sequence[str]) -> Preset:
    """Set fields of a preset, or of its input, each given as `field=value`.

    A ValueError names a field that is unknown or without effect on such a run, or a value that it
    cannot have, and says what would be right.
    """
    own: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign or name not in field_types():
            raise ValueError(f"--set {shown(setting)}: write FIELD=VALUE, with a field of "
                             f"{', '.join(field_types())}")  # fmt: skip
        try:
            value = parsed(name, text)
        except (ValueError, KeyError):
            raise ValueError(f"{name}={shown(text)}: must be {legal(name)}") from None
        (spec if hasattr(preset.input, name) else own)[name] = value
    changed = replace(preset, **own, input=replace(preset.input, **spec))
    if idle := [name for name in [*own, *spec] if not has_effect(changed, name)]:
        what = "learns transformations" if preset.stage == 1 else "learns architectures"
        if changed.discriminant:
            what = "solves a discriminant and takes no steps; rung or paper_celeba train a network"
        raise ValueError(f"{listed(idle)}: without effect, since preset {preset.name} {what}")
    return changed


def has_effect(preset: Preset, name: str) -> bool:
    """Whether a run by a preset depends on a field."""
    if preset.stage == 1:
        return name not in OF_STAGE_2
    return name in OF_SOLVING if preset.discriminant else name not in OF_STAGE_1


def chosen_preset(name: str, stage: int, settings: Sequence[str]) -> Preset:
    """Return a preset of a stage by name with some fields set; else a ValueError."""
    preset = get_preset(name)
    require_stage(preset, stage)
    return with_settings(preset, settings)
