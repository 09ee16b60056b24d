"""A process that runs what one student handed in; it may break without harm to the others."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# What the checks load as they run: it is there before a function's time begins.
import cv2  # noqa: F401
import scipy.stats  # noqa: F401

from dnadet_lib import transforms  # noqa: F401
from dnadet_lib.course import exercises
from dnadet_lib.fingerprints import spectra  # noqa: F401
from dnadet_lib.plumbing.text import shortened

PRINTED_AT_MOST = 1_000_000  # characters
REMARK_AT_MOST = 300  # characters
Result = tuple[bool, str, bool]  # done or not, a remark, whether it cannot be checked as it should


class _PrintsTooMuchError(BaseException):
    """Not an `Exception`: what catches these must not catch it."""


class _Printed(io.TextIOBase):
    """Takes what is printed, counts it and drops it."""

    def __init__(self) -> None:
        self.characters = 0

    def write(self, text: str) -> int:
        """Count."""
        self.characters += len(text)
        if self.characters > PRINTED_AT_MOST:
            raise _PrintsTooMuchError
        return len(text)


def work(connection: Connection, entries: dict[str, dict[str, Any]], memory: float) -> None:
    """Check functions, one after another, and send what comes of each.

    Args:
        connection: Gets an empty message at the beginning, then a `Result` in JSON for each entry.
        entries: Number of the exercise -> its entry of the submission.
        memory: Gigabytes that they may take, beyond what the library takes.
    """
    if hasattr(os, "setsid"):
        os.setsid()  # what a function starts can be ended with this process
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    if any("torch" in entry["source"] for entry in entries.values()):
        import torch  # noqa: F401
    limit_memory(memory)
    connection.send_bytes(b"")
    for number, entry in entries.items():
        sys.stdout = sys.stderr = printed = _Printed()
        result = checked(number, entry)
        if printed.characters > PRINTED_AT_MOST:
            result = False, f"prints more than {PRINTED_AT_MOST:,} characters", True
        connection.send_bytes(json.dumps(result).encode())


def limit_memory(gigabytes: float) -> None:
    """Let this process take so much memory more, where the system can hold it to that (Linux)."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def checked(number: str, entry: dict[str, Any]) -> Result:
    """Run a function that was handed in through its check."""
    if not entry["source"]:
        return False, "no source was kept", False
    names: dict[str, Any] = {"__name__": "submission"}
    try:
        exec(compile(entry["source"], f"exercise {number}", "exec"), names)
        problem = exercises.problem_of(number, names[entry["function"]])
    except BaseException as error:  # of the source; also what is no `Exception`, as from sys.exit()
        told = f"stops with {type(error).__name__}: {error}"
        return False, shortened(told, REMARK_AT_MOST), True
    return not problem, shortened(problem, REMARK_AT_MOST), False
