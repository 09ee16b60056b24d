"""The peak memory of a process."""

import re
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """Read this process's peak resident memory, in MiB.

    On Linux it is asked of the process's own address space: what `getrusage` gives there is at
    least the peak of the process that started this one.
    """
    if STATUS.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text())):
        return int(found[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
