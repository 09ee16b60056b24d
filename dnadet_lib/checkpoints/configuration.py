"""What a checkpoint's header says of its model, checked before anything is made of it."""

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from dnadet_lib.model import BLOCKS, Calibration, InputSpec
from dnadet_lib.plumbing.text import check_changes, check_class_names, is_finite, is_whole, shown

TEXT_AT_MOST = 2**20  # characters of a header
WIDTH_AT_MOST = 8192
NEEDED = ("classes", "width", "input", "temperature", "threshold")


def parse_configuration(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a header, JSON: the arguments of `DNADet`, and what is set on the model afterwards.

    A ValueError names a field that is missing, of another type, or out of range.
    """
    values, known = _fields(text), [field.name for field in fields(InputSpec)]
    if odd := set(known).symmetric_difference(values["input"]):
        name = sorted(odd)[0]
        state = "is missing" if name in known else "is not known"
        raise ValueError(f"input {shown(name)} {state}: it has {', '.join(known)}")
    classes = check_class_names(values["classes"])
    if len(classes) < 2:
        raise ValueError(f"classes: {shown(classes[0])} alone: a classifier has 2 or more")
    blocks = _whole(values, "blocks", BLOCKS) if "blocks" in values else BLOCKS
    discriminant = values.get("discriminant", False)
    if not isinstance(discriminant, bool):
        raise ValueError(f"discriminant {shown(discriminant)}: must be true or false")
    changes, threshold = check_changes(values.get("changes", [])), values["threshold"]
    if threshold is not None and not is_finite(threshold):
        raise ValueError(f"threshold {shown(threshold)}: must be a finite number, or null for none")
    if values.get("backbones", 1) != 1:
        raise ValueError(f"backbones {shown(values['backbones'])}: one is all that is read")
    settings: dict[str, Any] = {
        "temperature": check_temperature(values["temperature"]),
        "threshold": math.inf if threshold is None else float(threshold),
        "calibrations": check_calibrations(values.get("calibrations"), changes),
    }
    if "trace_blocks" in values:
        settings["trace_blocks"] = _trace_blocks(values["trace_blocks"], blocks)
    return {
        "num_classes": len(classes), "width": _whole(values, "width", WIDTH_AT_MOST),
        "classes": classes, "input": InputSpec(**values["input"]), "blocks": blocks,
        "discriminant": discriminant, "changes": changes,
    }, settings  # fmt: skip


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


def _trace_blocks(value: Any, blocks: int) -> tuple[int, ...]:
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
    """Return a header's calibrations; a ValueError unless one is plain and one for each change."""
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
