"""Colours and markers of the classes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from dnadet_lib import plots
from dnadet_lib.zoo.generators import ARCHITECTURES, UNKNOWN_ARCHITECTURES

NAMES = ("Real", *ARCHITECTURES, *UNKNOWN_ARCHITECTURES)
SEEN_BY = {  # linear RGB as seen by most people, and without one kind of cone (Machado et al. 2009)
    "most people": np.eye(3),
    "protanopes": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopes": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopes": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, seen_by: str) -> np.ndarray:
    """A colour in CIELAB, as somebody sees it."""
    values = np.array(to_rgb(colour))
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ (SEEN_BY[seen_by] @ linear).clip(0, 1) / (0.9505, 1, 1.089)
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_everybody_can_tell_the_zoos_classes_apart(seen_by: str) -> None:
    colours = [plots.colour_of(name) for name in NAMES] + [plots.OTHER_COLOUR]
    for one, other in combinations(colours, 2):
        distance = np.linalg.norm(lab(one, seen_by) - lab(other, seen_by))
        assert distance > 16, (one, other)  # about seven times what is just noticed


def test_each_of_the_zoos_classes_has_its_own_marker() -> None:
    assert len({plots.marker_of(name) for name in NAMES} | {plots.OTHER_MARKER}) == len(NAMES) + 1


def test_a_class_from_elsewhere_has_no_colour_of_the_zoos() -> None:
    foreign = {plots.colour_of(f"class {k}") for k in range(100)}
    assert len(foreign) == len(plots.FOREIGN_COLOURS)
    assert not foreign & {plots.colour_of(name) for name in (*NAMES, plots.NOT_LABELLED)}
    assert plots.colour_of("name\udcff") in foreign


def test_confusions_has_a_panel_per_setup_and_hides_the_rest() -> None:
    tables = {f"set-up {k}": pd.DataFrame(np.eye(2), ["a", "b"], ["a", "b"]) for k in range(4)}
    figure = plots.confusions(tables)
    shown = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert shown == list(tables)
