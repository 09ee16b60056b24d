"""Marking: the submissions of a class, each checked again in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from dnadet_lib.course.exercises import CHECKS
from dnadet_lib.course.submission import read_submission
from dnadet_lib.plumbing.text import shown

START_S = 120.0  # seconds until a process is ready: it may have to load the library
MESSAGE_AT_MOST = 10_000  # bytes from a process in which a student's code runs
STOPS_AT_MOST = 3  # functions of one submission that may have to be stopped


class Result(NamedTuple):
    """What comes of a function that was handed in.

    Attributes:
        done: Whether it does what is asked.
        remark: What is wrong with it.
        broken: Whether it cannot be checked as it should.
    """

    done: bool
    remark: str
    broken: bool


@dataclass
class Marks:
    """What is found in the submissions of a class.

    Attributes:
        exercises: A row per file and exercise, also of those that were not handed in.
        predictions: A row per prediction.
        names: File, as seen from the folder -> the name in it.
        unread: Files that cannot be read.
        broken: Files with something broken in them; those that cannot be read are among them.
    """

    exercises: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)


def submissions(folder: Path) -> list[Path]:
    """List the JSON files under a folder, but for hidden ones.

    Raises:
        ValueError: there is none.
    """
    files = [
        path for path in sorted(folder.rglob("*.json"))
        if path.is_file() and not path.name.startswith(".")
    ]  # fmt: skip
    if not files:
        raise ValueError(f"{folder}: no submission is there; each student hands in a NAME.json")
    return files


def mark(folder: Path, seconds: float, memory: float, say: Callable[[str], None]) -> Marks:
    """Read every submission under a folder and check its functions again.

    Args:
        folder: With files as lessons write them, at any depth.
        seconds: That each function may take.
        memory: Gigabytes that the functions of a submission may take (on Linux).
        say: Called at once with a line for everything that is broken.

    Raises:
        OSError: no process can be started.
        ValueError: there is no submission.
    """
    marks = Marks()
    for path in submissions(folder):
        file = str(path.relative_to(folder))
        try:
            record = read_submission(path)
            if unknown := record["exercises"].keys() - CHECKS.keys():
                raise ValueError(f"{path}: there is no exercise {shown(min(unknown))}")
        except (OSError, ValueError) as error:
            say(str(error))
            marks.unread.add(file)
            record = {"name": path.stem, "predictions": [], "exercises": {}}
            results = dict.fromkeys(CHECKS, Result(False, "the file cannot be read", True))
        else:
            results = checked(record["exercises"], seconds, memory)
            for number, result in results.items():
                if result.broken:
                    say(f"{path}: exercise {number} {result.remark}")
        if any(result.broken for result in results.values()):
            marks.broken.add(file)
        marks.names[file] = record["name"]
        marks.exercises += [row(record, number, file, results) for number in CHECKS]
        marks.predictions += [
            {**prediction, "name": record["name"], "file": file}
            for prediction in record["predictions"]
        ]
    return marks


def row(
    record: dict[str, Any], number: str, file: str, results: dict[str, Result]
) -> dict[str, Any]:
    """Make the row of a student and an exercise."""
    entry = record["exercises"].get(number, {"attempts": 0, "time": "", "done": False})
    result = results.get(number, Result(False, "not handed in", False))
    remark = result.remark
    if entry["done"] and not result.done:
        remark = f"the file says done, the check does not: {remark}"
    return {
        "name": record["name"], "exercise": number, "done": "yes" if result.done else "no",
        "attempts": entry["attempts"], "time": entry["time"], "remark": remark, "file": file,
    }  # fmt: skip


# Processes ---------------------------------------------------------------------------------------


class _StoppedError(Exception):
    """A process gave no result, and is of no further use."""


def checked(
    entries: dict[str, dict[str, Any]], seconds: float, memory: float
) -> dict[str, Result]:
    """Check the functions of one submission; after one that has to be stopped, in a new process.

    Returns:
        Number of the exercise -> what comes of it.

    Raises:
        OSError: no process can be started.
    """
    results: dict[str, Result] = {}
    for _ in range(STOPS_AT_MOST):
        left = {number: entry for number, entry in entries.items() if number not in results}
        if not left:
            break
        with _process(left, memory) as connection:
            for number in left:
                try:
                    results[number] = _result(connection, seconds)
                except _StoppedError as error:
                    results[number] = Result(False, str(error), True)
                    break
    unchecked = Result(False, f"is not checked, after {STOPS_AT_MOST} that were stopped", True)
    return {number: results.get(number, unchecked) for number in entries}


def _result(connection: Connection, seconds: float) -> Result:
    """Wait for what comes of the next function."""
    try:
        if not connection.poll(seconds):
            raise _StoppedError(f"runs longer than {seconds:g} s")
        done, remark, broken = json.loads(connection.recv_bytes(MESSAGE_AT_MOST))
    except (EOFError, OSError) as error:
        raise _StoppedError("ends the process that it runs in") from error
    except (TypeError, ValueError) as error:
        raise _StoppedError("sends what is no result") from error
    return Result(done is True, str(remark), broken is True)


@contextmanager
def _process(entries: dict[str, dict[str, Any]], memory: float) -> Iterator[Connection]:
    """Start a process that checks functions; at the end it and what it started are gone.

    Raises:
        OSError: it does not start.
    """
    context = _context()
    ours, theirs = context.Pipe()
    process = context.Process(target=run_worker, args=(theirs, entries, memory), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(START_S):
            raise OSError(f"a process that checks submissions is not ready after {START_S:g} s")
        ours.recv_bytes(MESSAGE_AT_MOST)
        yield ours
    except EOFError as error:
        raise OSError("a process that checks submissions ended as it started") from error
    finally:
        if hasattr(os, "killpg"):
            with suppress(OSError):  # it has ended, or has no group of its own yet
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        ours.close()


def run_worker(*arguments: Any) -> None:
    """Begin the work in a new process: only there is the library loaded."""
    from dnadet_lib.course.grading_worker import work

    work(*arguments)


def _context() -> Any:
    """How processes start: forked from one that has loaded the library, where that is safe."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dnadet_lib.course.grading_worker", "torch"])
    return context
