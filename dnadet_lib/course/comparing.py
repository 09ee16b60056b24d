"""Comparing a student's answer with what is expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Answer = Callable[..., Any]
NOTHING = "The function returns nothing so far."


def compare(found: object, wanted: object, what: str) -> str:
    """Return what is wrong with a value, or nothing."""
    if found is None or found is Ellipsis:
        return NOTHING
    found_array = np.asarray(found, dtype=float)
    wanted_array = np.asarray(wanted, dtype=float)
    if found_array.shape != wanted_array.shape:
        return f"{what}: shape {found_array.shape}, expected {wanted_array.shape}."
    if not np.allclose(found_array, wanted_array, rtol=1e-4, atol=1e-5):
        if wanted_array.size == 1:
            return f"{what}: {float(found_array):.4f}, expected {float(wanted_array):.4f}."
        worst = float(np.abs(found_array - wanted_array).max())
        return f"{what}: values differ by up to {worst:.4g}."
    return ""


def compare_with_hints(
    found: object, wanted: object, what: str, hints: Mapping[str, object]
) -> str:
    """Return what is wrong with a value, with the hint whose typical wrong value it is."""
    problem = compare(found, wanted, what)
    for hint, value in hints.items():
        if problem and not compare(found, value, what):
            return f"{problem} {hint}"
    return problem
