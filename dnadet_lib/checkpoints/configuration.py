"""What a checkpoint's header says of its model, checked before anything is made of it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dnadet_lib.model import Calibration
from dnadet_lib.plumbing.values import check_changes, check_class_names, is_finite, is_whole, shown

TEXT_AT_MOST = 2**20  # characters of a header
WIDTH_AT_MOST = 8192
BACKBONES_AT_MOST = 64
NEEDED = ("classes", "width", "input", "temperature", "threshold")


@dataclass(frozen=True)
class Configuration:
    """A model's configuration; the fields are those of `DNADet`.

    The fields of `input` are not yet checked, `blocks` and `trace_blocks` are None for the usual
    ones, and the threshold is infinite where there is none.
    """

    classes: tuple[str, ...]
    width: int
    input: dict
    blocks: int | None
    discriminant: bool
    backbones: int
    changes: tuple[str, ...]
    trace_blocks: tuple[int, ...] | None
    temperature: float
    threshold: float
    calibrations: tuple[Calibration, ...]


def parse_configuration(text: str, most_blocks: int, input_fields: Sequence[str]) -> Configuration:
    """Read a header, JSON in which all `input_fields` of an `InputSpec` are needed.

    A ValueError names a field that is missing, of another type, or out of range.
    """
    fields = _fields(text)
    if odd := set(input_fields).symmetric_difference(fields["input"]):
        name = sorted(odd)[0]
        state = "is missing" if name in input_fields else "is not known"
        raise ValueError(f"input {shown(name)} {state}: it has {', '.join(input_fields)}")
    classes = check_class_names(fields["classes"])
    if len(classes) < 2:
        raise ValueError(f"classes: {shown(classes[0])} alone: a classifier has 2 or more")
    blocks = None
    if "blocks" in fields:
        blocks = _whole(fields, "blocks", most_blocks)
    discriminant = fields.get("discriminant", False)
    if not isinstance(discriminant, bool):
        raise ValueError(f"discriminant {shown(discriminant)}: must be true or false")
    changes, threshold = check_changes(fields.get("changes", [])), fields["threshold"]
    if threshold is not None and not is_finite(threshold):
        raise ValueError(f"threshold {shown(threshold)}: must be a finite number, or null for none")
    return Configuration(
        classes=classes, width=_whole(fields, "width", WIDTH_AT_MOST), input=fields["input"],
        blocks=blocks, discriminant=discriminant,
        backbones=_whole(fields, "backbones", BACKBONES_AT_MOST) if "backbones" in fields else 1,
        changes=changes, trace_blocks=_trace_blocks(fields, blocks or most_blocks),
        temperature=check_temperature(fields["temperature"]),
        threshold=math.inf if threshold is None else float(threshold),
        calibrations=check_calibrations(fields.get("calibrations"), changes),
    )  # fmt: skip


def _fields(text: str) -> dict:
    """Parse a header's JSON: an object with all that is needed."""
    if len(text) > TEXT_AT_MOST:
        raise ValueError(f"a header of {len(text)} characters: {TEXT_AT_MOST} at most")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is no JSON: {shown(str(error))}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"its header is a {type(fields).__name__}, expected an object")
    if missing := [name for name in NEEDED if name not in fields]:
        raise ValueError(f"its header lacks {missing[0]!r}")
    if not isinstance(fields["input"], dict):
        raise ValueError(f"input {shown(fields['input'])}: must be an object")
    return fields


def _whole(fields: dict, name: str, most: int) -> int:
    value = fields[name]
    if not is_whole(value) or not 1 <= value <= most:
        raise ValueError(f"{name} {shown(value)}: must be a whole number from 1 to {most}")
    return value


def _trace_blocks(fields: dict, blocks: int) -> tuple[int, ...] | None:
    if "trace_blocks" not in fields:
        return None
    value = fields["trace_blocks"]
    good = isinstance(value, list) and value and all(map(is_whole, value))
    if not good or value != sorted(set(value)) or not 0 <= value[0] <= value[-1] < blocks:
        raise ValueError(
            f"trace_blocks {shown(value)}: must list block numbers from 0 to {blocks - 1}, rising"
        )
    return tuple(value)


def check_temperature(value: object) -> float:
    """Return a temperature; a ValueError unless it is a finite number above 0."""
    if not is_finite(value) or value <= 0:  # type: ignore[operator]
        raise ValueError(f"temperature {shown(value)}: must be a finite number above 0")
    return float(value)  # type: ignore[arg-type]


def check_calibrations(table: object, changes: Sequence[str]) -> tuple[Calibration, ...]:
    """Return the calibrations of a header: for images as they are, then for each change.

    A ValueError if there are some, but not as many, or a number is out of range.
    """
    if table is None:
        return ()
    wanted = 1 + len(changes)
    if not isinstance(table, list) or len(table) != wanted:
        found = f"{len(table)} given" if isinstance(table, list) else shown(table)
        raise ValueError(f"calibrations: {found}: must list {wanted}, one more than changes")
    return tuple(map(_calibration, table))


def _calibration(value: object) -> Calibration:
    if not isinstance(value, dict) or set(value) != {"temperature", "accuracy"}:
        raise ValueError(f"calibrations: {shown(value)}: needs temperature and accuracy alone")
    share = value["accuracy"]
    if not is_finite(share) or not 0 <= share <= 1:
        raise ValueError(f"calibrations: accuracy {shown(share)}: must be a number from 0 to 1")
    return Calibration(check_temperature(value["temperature"]), float(share))
