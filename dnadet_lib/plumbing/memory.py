"""The memory of this process: its peak, and what becomes of freed memory."""

import ctypes
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path("/proc/self/status")
# Of glibc's mallopt: from which size a block is mapped on its own, and how much may lie unused.
MAPPED_FROM, UNUSED_UP_TO = -3, -1
USUAL = {MAPPED_FROM: 2**25, UNUSED_UP_TO: 2**26}  # what glibc arrives at on its own, bytes
KEPT = 2**31 - 1  # bytes: all

_hold = threading.Lock()
_holding = 0  # blocks that are under way


def peak_memory() -> int | None:
    """Read the peak resident memory of this process in bytes; None where the system does not say.

    On Linux it is asked of the process's own address space: what `getrusage` gives there is at
    least the peak of the process that started this one.
    """
    if STATUS.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())):
        return 1024 * int(found[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


@contextmanager
def memory_kept() -> Iterator[None]:
    """Keep freed memory for the next tensors inside the block, and give it back at its end.

    By default glibc gives the memory of every large tensor back at once. The pages of the next one
    are then cleared by the system as they are first touched, which takes longer than computing it.
    Elsewhere than on glibc, nothing is done.
    """
    global _holding
    with _hold:
        _holding += 1
        _set_glibc(dict.fromkeys(USUAL, KEPT))
    try:
        yield
    finally:
        with _hold:
            _holding -= 1
            if not _holding:
                _set_glibc(USUAL, trim=True)


def _set_glibc(values: dict[int, int], trim: bool = False) -> None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt"):
        return
    for name, value in values.items():
        library.mallopt(name, value)
    if trim:
        library.malloc_trim(0)
