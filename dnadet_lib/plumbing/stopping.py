"""Ending cleanly when the system asks a run to stop (SIGTERM): no half-written file stays."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from types import FrameType

from dnadet_lib.plumbing import files

STATUS = 128 + signal.SIGTERM  # how a shell reports a process that a signal ended
INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + 13  # SIGPIPE, which Windows does not have
PATIENCE = 5.0  # seconds that processes get to clean up


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Inside the block, make SIGTERM an exit that runs every `finally`, status 143.

    Processes that were started for the work are stopped first; only the main thread gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the cleaning up
    with suppress(OSError, ValueError):  # a process may end, and its handle close, at any time
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        wait([child.sentinel for child in children], PATIENCE)
    sys.exit(STATUS)


def close_stdout() -> None:
    """Give up stdout, whose reader is gone, so that Python does not complain of it at its end."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def start_worker() -> None:
    """Prepare a process of a pool: one thread, and no half-written file if it is stopped."""
    import torch

    torch.set_num_threads(1)
    clean_up_when_stopped()


def clean_up_when_stopped() -> None:
    """Let SIGTERM remove half-written files before the process ends, unless it is handled."""
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _drop)


def _drop(number: int, frame: FrameType | None) -> None:
    for path in list(files.temporaries):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    os._exit(STATUS)  # a pool would catch an exit of any other kind, and go on with the next task
