"""Comparing a student's answer with what is expected, and naming the mistake."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, ValuesView
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from dnadet_lib.plumbing.text import shown

Answer = Callable[..., Any]
NOTHING = "The function returns nothing so far."
PERCENT = "This is in percent: return a share."


@dataclass(frozen=True)
class Exercise:
    """What an exercise is checked with.

    Attributes:
        right: What the library does.
        examples: What to call an example -> the arguments of the function.
        mistakes: A hint -> a function that makes the typical mistake.
        also: Does something else that is right as well.
        near: How far off a number may be.
    """

    right: Answer
    examples: Mapping[str, tuple]
    mistakes: Mapping[str, Answer]
    also: Answer | None = None
    near: float = 1e-5

    def problem(self, answer: Answer) -> str:
        """Return what is wrong with a function, with the hint that fits, or nothing."""
        found = []
        for arguments in self.examples.values():
            value = answer(*deepcopy(arguments))
            if value is None or value is Ellipsis:
                return NOTHING
            found.append(plain(value))
        problem = self._difference(found, self.right)
        if not problem or (self.also and not self._difference(found, self.also)):
            return ""
        for hint, mistake in {**self.mistakes, PERCENT: self._percent}.items():
            if not self._difference(found, mistake):
                return f"{problem} {hint}"
        return problem

    def _percent(self, *arguments: Any) -> Any:
        return 100 * np.asarray(self.right(*arguments), dtype=float)

    def _difference(self, found: list[Any], other: Answer) -> str:
        """Say how values differ from what another function gives, on the first such example."""
        for (what, arguments), value in zip(self.examples.items(), found, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a typical mistake may divide by zero
                try:
                    wanted = plain(other(*deepcopy(arguments)))
                except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                    return f"{what}: {error}"
            if problem := compare(value, wanted, what, self.near):
                return problem
        return ""


def plain(value: Any) -> Any:
    """Make arrays of tensors, plain numbers, and lists of what else holds values in order."""
    if hasattr(value, "detach"):  # a tensor: torch need not be loaded for that
        value = value.detach().cpu().numpy()
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        return value.item()
    if isinstance(value, list | tuple | Iterator | ValuesView):
        return [plain(part) for part in value]
    return value


def compare(found: Any, wanted: Any, what: str, near: float = 1e-5) -> str:
    """Return what is wrong with a value, or nothing.

    Args:
        found: What a student's function gives.
        wanted: A text, a list of texts, a dictionary of numbers, or numbers in any arrangement.
        what: Names the example.
        near: How far off a number may be; one in 10,000 is always allowed.
    """
    if isinstance(wanted, dict):
        return _compare_dictionaries(found, wanted, what)
    if isinstance(wanted, str) or (isinstance(wanted, list) and isinstance(wanted[0], str)):
        texts = list(map(str, found)) if isinstance(found, list | np.ndarray) else found
        return "" if texts == wanted else f"{what}: {shown(found)}, expected {shown(wanted)}."
    try:
        mine, right = _numbers(found), _numbers(wanted)
    except (TypeError, ValueError):
        return f"{what}: {shown(found)}, expected numbers."
    if mine.size == right.size == 1:
        mine, right = mine.reshape(()), right.reshape(())
    if mine.shape != right.shape:
        return f"{what}: shape {mine.shape}, expected {right.shape}."
    if np.iscomplexobj(mine) and not np.iscomplexobj(right):
        return f"{what}: complex numbers, expected real ones."
    if np.allclose(mine, right, rtol=1e-4, atol=near):
        return ""
    if mine.size == 1:
        return f"{what}: {', expected '.join(_told_apart(mine.item(), right.item()))}."
    return f"{what}: values differ by up to {np.abs(mine - right).max():.4g}."


def _compare_dictionaries(found: Any, wanted: dict, what: str) -> str:
    try:
        mine = {str(key): value for key, value in dict(found).items()}
    except (TypeError, ValueError):
        return f"{what}: {shown(found)}, expected a dictionary."
    if sorted(mine) != sorted(wanted):
        return f"{what}: keys {shown(sorted(mine))}, expected {shown(sorted(wanted))}."
    problems = (compare(mine[key], wanted[key], f"{what}, {key}") for key in wanted)
    return next(filter(None, problems), "")


def _numbers(value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind in "US":
        raise ValueError("text")
    return array if array.dtype.kind == "c" else array.astype(float)


def _told_apart(found: complex, wanted: complex) -> tuple[str, str]:
    """Write two numbers with four digits, or with as many as it takes to see them differ."""
    for digits in range(4, 17):
        texts = f"{found:.{digits}f}", f"{wanted:.{digits}f}"
        if texts[0] != texts[1]:
            break
    return texts
