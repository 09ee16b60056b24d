"""What becomes of freed memory."""

from __future__ import annotations

import ctypes
import sys

import pytest
import torch

from dnadet_lib.plumbing.memory import memory_kept

GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


def faults() -> int:
    """Count how often the system has to give memory for a few large tensors."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(2**26, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not GLIBC, reason="only glibc is told to keep memory")
def test_freed_memory_is_used_again_inside_the_block_alone():
    outside = faults()
    with memory_kept():
        faults()
        with memory_kept():
            pass  # the end of an inner block ends nothing
        inside = faults()
    assert inside < min(outside, faults()) / 10
