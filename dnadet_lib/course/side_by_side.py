"""Several lessons at a time, each after those whose models it uses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from dnadet_lib.plumbing.paths import variables
from dnadet_lib.plumbing.stopping import clean_up_when_stopped

AFTER = "after"  # in a notebook's metadata: lessons whose models it uses, if they ran
Work = Callable[[Path], tuple[str, float]]


def lessons_at_a_time() -> int:
    """Two where there are two cores: much of a lesson keeps no more than one core busy."""
    return min(2, os.cpu_count() or 1)


def predecessors(files: Sequence[Path]) -> dict[Path, set[Path]]:
    """Read which of some lessons each of them comes after."""
    found = {}
    for file in files:
        after = json.loads(file.read_text(encoding="utf-8"))["metadata"].get(AFTER, [])
        found[file] = {other for other in files if other != file and other.stem in after}
    return found


def followers(file: Path, before: dict[Path, set[Path]]) -> int:
    """Count the lessons that cannot start before this one ends."""
    direct = [other for other, needed in before.items() if file in needed]
    return len(direct) + sum(followers(other, before) for other in direct)


def executed(
    files: Sequence[Path], work: Work, count: int
) -> Iterator[tuple[Path, tuple[str, float]]]:
    """Work on lessons and yield each, with what the work returned, as soon as it is done.

    Several at a time are worked on in processes that share the cores; those that others wait for
    come first. A lesson that fails keeps no other from its turn.

    Args:
        files: Notebooks, in order.
        work: Returns what failed, or nothing, and how many seconds it took.
        count: Lessons at a time; one is worked on in this process.
    """
    if count == 1:
        yield from ((file, work(file)) for file in files)
        return
    before = predecessors(files)
    waiting = sorted(files, key=lambda file: -followers(file, before))
    running: dict[Future[tuple[str, float]], Path] = {}
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=clean_up_when_stopped)
    with variables(OMP_NUM_THREADS=threads), pool:
        while waiting or running:
            unfinished = {*waiting, *running.values()}
            ready = [file for file in waiting if not before[file] & unfinished]
            for file in ready[: count - len(running)]:
                running[pool.submit(work, file)] = file
                waiting.remove(file)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
