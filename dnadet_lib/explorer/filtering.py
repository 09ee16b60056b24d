"""Which images the maps show, and histograms of them: legend, search and ranges joined."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dnadet_lib.explorer.columns import NUMBERS, as_text

if TYPE_CHECKING:
    from dnadet_lib.explorer.state import Explorer

BINS = 40
STEPS_AT_LEAST = 100  # of a slider


@dataclass
class Filters:
    """What the maps show. An image is shown if it passes all three; at first, every one does."""

    column: str = "class"  # that the legend is of
    hidden: Collection[str] = ()  # its values, as text, that are hidden
    found: np.ndarray | None = None  # positions of the images to show alone, or None
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)  # column -> low, high


@dataclass(frozen=True)
class Histogram:
    """How the values of a column are spread over B bins."""

    edges: np.ndarray  # (B + 1,)
    shown: np.ndarray  # (B,) images that pass the filters, but for the range of this very column
    selected: np.ndarray  # (B,) those of them that are selected


def passing(state: Explorer, filters: Filters, but: str = "") -> np.ndarray:
    """Say of each image, (N,), whether it passes the filters, all `but` the range of one column.

    An image without a number passes no range of it.
    """
    shown = ~as_text(state, filters.column).isin(list(filters.hidden)).to_numpy()
    if filters.found is not None:
        shown &= np.isin(np.arange(len(state)), filters.found)
    for column, (low, high) in filters.ranges.items():
        if column != but:
            values = numbers(state, column)
            shown &= (values >= low) & (values <= high)
    return shown


def numbers(state: Explorer, column: str) -> np.ndarray:
    """Return a column of numbers, float64 (N,); a ValueError if it holds none."""
    if column not in NUMBERS:
        raise ValueError(f"{column!r} is no column of numbers: choose {' or '.join(NUMBERS)}")
    return state.table[column].to_numpy(float)


def scale(state: Explorer, column: str) -> tuple[float, float, float]:
    """Return round ends that hold all values of a column, and a step between them for a slider.

    Without two values that differ there is nothing to choose, and both ends are equal.
    """
    values = numbers(state, column)
    values = values[np.isfinite(values)]
    if not len(values) or values.min() == values.max():
        end = float(values[0]) if len(values) else 0.0
        return end, end, 1.0
    decimals = -math.floor(math.log10(np.ptp(values) / STEPS_AT_LEAST))
    low, high = math.floor(values.min() * 10**decimals), math.ceil(values.max() * 10**decimals)
    return low / 10**decimals, high / 10**decimals, 1 / 10**decimals


def limit(state: Explorer, filters: Filters, column: str, low: float, high: float) -> None:
    """Let pass what has a number from `low` to `high`; a range that holds all is no limit."""
    first, last, _ = scale(state, column)
    filters.ranges.pop(column, None)
    if low > first or high < last:
        filters.ranges[column] = low, high


def histogram(
    state: Explorer, column: str, filters: Filters, selected: np.ndarray | None = None
) -> Histogram:
    """Count the values of a column among what passes every filter but its own range."""
    low, high, _ = scale(state, column)
    values = numbers(state, column)
    shown = passing(state, filters, but=column) & np.isfinite(values)
    chosen = np.zeros(len(state), bool)
    chosen[[] if selected is None else selected] = True
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    parts = [np.histogram(values[part], edges)[0] for part in (shown, shown & chosen)]
    return Histogram(edges, *parts)
