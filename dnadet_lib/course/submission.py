"""What a student hands in, predictions and exercises: `build/submission/NAME.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dnadet_lib.course.sources import source_of
from dnadet_lib.plumbing.files import atomic_path, locked, plain_stem
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.plumbing.text import for_json, is_whole, one_line, shown

UNSIGNED = "unsigned"
LARGEST = 5_000_000  # bytes of a file; a course fills some hundred thousand
PREDICTION = {"question": str, "text": str, "time": str}
EXERCISE = {"function": str, "source": str, "done": bool, "attempts": int, "time": str}
_signed_here = False  # whether this very run was signed


def sign(name: str) -> None:
    """Put a name on what is kept from now on, in all lessons, and on what was kept without one.

    Args:
        name: As it shall stand in the marks. Empty: say in whose name work is kept.
    """
    global _signed_here
    name = one_line(name).strip()
    if not name:
        known = None if _nobody_is_there() else _signed_name()
        invitation = "Write your name between the quotes and run this cell, to hand in what you do."
        print(invitation if known in (None, UNSIGNED) else f"You work as {known}.")
        return
    unsigned, own = _file(UNSIGNED), _file(name)
    try:
        with locked(_folder()):
            with atomic_path(_folder() / "signed.txt") as temporary:
                temporary.write_text(name, encoding="utf-8")
            if unsigned.is_file() and not own.exists():
                _write(own, {**read_submission(unsigned), "name": name})
                unsigned.unlink()
    except (OSError, ValueError) as error:
        print(f"Your name is not kept: {error}")
        return
    _signed_here = True
    print(f"You work as {name}. Hand in the file {own}.")


def keep_prediction(question: str, text: str) -> None:
    """Keep a prediction with its time, beside earlier ones, and say so in a line."""
    text = text.strip()
    if not text:
        print("Write your prediction between the quotes and run this cell, before you go on.")
        return
    entry = {"question": question, "text": text, "time": _now()}

    def change(record: dict[str, Any]) -> None:
        earlier = [p for p in record["predictions"] if p["question"] == question]
        if earlier and earlier[-1]["text"] == text:
            entry["time"] = earlier[-1]["time"]
        else:
            record["predictions"].append(entry)

    try:
        name = _update(change)
    except (OSError, ValueError) as error:
        print(f"Your prediction is not kept: {error}")
        return
    at = entry["time"].replace("T", " ").removesuffix("+00:00")
    if name is None:
        print("Your prediction is not kept, since this run is not signed.")
    elif name == UNSIGNED:
        print(f"Kept without a name, {at} UTC. Put yours on it: lessons.sign(\"your name\")")
    else:
        print(f"Kept for {name}, {at} UTC.")


def keep_attempt(number: str, answer: Any, done: bool) -> None:
    """Keep a student's function; one that was done stays, whatever is tried afterwards.

    Args:
        number: Of the exercise.
        answer: The function.
        done: Whether it does what is asked. The same function again is no further attempt.
    """
    function, source = source_of(answer)
    new = {"function": function, "source": source, "done": done, "attempts": 1, "time": _now()}

    def change(record: dict[str, Any]) -> None:
        old = record["exercises"].setdefault(number, new)
        if old is new or (old["source"], old["done"]) == (source, done):
            return
        new["attempts"] = old["attempts"] + 1
        old.update({"attempts": new["attempts"]} if old["done"] and not done else new)

    try:
        kept = _update(change) is not None
    except (OSError, ValueError) as error:
        print(f"It is not kept: {error}")
        return
    if kept and not source:
        print("Its source cannot be kept: write the function in a cell, with def.")


def read_submission(file: Path) -> dict[str, Any]:
    """Read what a student hands in.

    Returns:
        "name"; "predictions", a list of dictionaries as `PREDICTION` says; "exercises", number ->
        a dictionary as `EXERCISE` says.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file; what is wrong is named.
    """
    if file.stat().st_size > LARGEST:
        raise ValueError(f"{file}: has more than {LARGEST} bytes: no submission is that large")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: is no JSON ({one_line(error)})") from error
    _require(file, record, {"name": str, "predictions": list, "exercises": dict}, "the file")
    for place, prediction in enumerate(record["predictions"], 1):
        _require(file, prediction, PREDICTION, f"prediction {place}")
    for number, entry in record["exercises"].items():
        _require(file, entry, EXERCISE, f"exercise {shown(number)}")
    return record


def _require(file: Path, value: Any, fields: Mapping[str, type], what: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{file}: {what} is {shown(value)}, expected a dictionary")
    for name, kind in fields.items():
        fits = isinstance(value.get(name), kind) and (kind is not int or is_whole(value[name]))
        if not fits:
            found = shown(value[name]) if name in value else "missing"
            raise ValueError(f"{file}: {what}: {name!r} is {found}, expected {kind.__name__}")


def _nobody_is_there() -> bool:
    """Whether `dnadet run` executes this: nobody writes anything."""
    return os.environ.get("DNADET_WIDGETS") == "off"


def _folder() -> Path:
    return build_folder() / "submission"


def _file(name: str) -> Path:
    return _folder() / f"{plain_stem(name)}.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _signed_name() -> str | None:
    """In whose name work is kept; None where none is."""
    if _nobody_is_there() and not _signed_here:
        return None
    try:
        return (_folder() / "signed.txt").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return UNSIGNED


def _update(change: Callable[[dict[str, Any]], None]) -> str | None:
    """Change a student's file, one process at a time; return the name on it, or None for none."""
    name = _signed_name()
    if name is None:
        return None
    file = _file(name)
    with locked(_folder()):
        record: dict[str, Any] = {"name": name, "predictions": [], "exercises": {}}
        if file.exists():
            record = read_submission(file)
        if record["name"] != name:
            raise ValueError(f"{file}: belongs to {shown(record['name'])}; sign with another name")
        change(record)
        _write(file, record)
    return name


def _write(file: Path, record: dict[str, Any]) -> None:
    text = json.dumps(for_json(record), indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_path(file) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
