"""Work in threads on a stream of items, whose results come in the order of the items."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar

Item = TypeVar("Item")
Piece = TypeVar("Piece")
MOST = 8  # threads that decode or cut; more wait for Python's lock
Work = Callable[[list[Item], threading.Event], Iterable[Piece]]


def prefetched(items: Iterator[Item]) -> Iterator[Item]:
    """Yield items, none of them None, while a thread makes the next one."""
    with ThreadPoolExecutor(1, "dnadet_next") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def in_threads(function: Callable[..., Piece], *columns: Iterable[Any]) -> list[Piece]:
    """Call a function on the rows of some columns, a thread per core, 8 at most; in their order.

    It pays for work outside Python's lock, such as Pillow's and OpenCV's.
    """
    with ThreadPoolExecutor(min(MOST, os.cpu_count() or 1), "dnadet_map") as threads:
        return list(threads.map(function, *columns))


def growing_windows(items: Iterator[Item], workers: int, most: int) -> Iterator[list[Item]]:
    """Cut a stream into windows of 1, 2, 4, ... items, `workers` of each size, up to `most`."""
    size, made = 1, 0
    while window := list(islice(items, min(size, most))):
        yield window
        made += 1
        if made % workers == 0:
            size = min(2 * size, most)


def on_workers(
    work: Work[Item, Piece], windows: Iterable[list[Item]], workers: int
) -> Iterator[Piece]:
    """Work on windows of items in threads; each piece comes in order, and at once where it is next.

    At most 2 * workers + 1 windows are taken ahead of what was given back. Where the caller stops
    early, so do the threads. PyTorch runs on one thread in each of them. `work` makes the pieces of
    a window, and ends early when the event is set.
    """
    import torch  # where it is used: reading images needs none of it

    threads, stop = torch.get_num_threads(), threading.Event()
    pool = ThreadPoolExecutor(workers, "dnadet", initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[SimpleQueue[Any]] = deque()
    try:
        for window in windows:
            waiting.append(SimpleQueue())
            pool.submit(_deliver, work, window, stop, waiting[-1])
            if len(waiting) > 2 * workers:
                yield from _pieces(waiting.popleft())
        while waiting:
            yield from _pieces(waiting.popleft())
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # for threads that start later


def _deliver(
    work: Work[Item, Piece], window: list[Item], stop: threading.Event, out: SimpleQueue[Any]
) -> None:
    try:
        for piece in work(window, stop):
            out.put(piece)
        out.put(None)
    except BaseException as error:
        out.put(error)


def _pieces(delivered: SimpleQueue[Any]) -> Iterator[Any]:
    while (piece := delivered.get()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield piece
