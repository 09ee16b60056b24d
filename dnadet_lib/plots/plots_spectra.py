"""Figures of spectra: maps on shared scales, profiles by class, and how alike generators are."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from dnadet_lib.fingerprints.spectra import angular_profile, decibels, radial_profile
from dnadet_lib.plots.style import class_legend, colour_of, marker_of
from dnadet_lib.plumbing.text import for_figure, for_title

FREQUENCY = "cycles per pixel"


def map_rows(
    rows: Mapping[str, Sequence[np.ndarray]], columns: Sequence[str], *, reach: float, unit: str,
    limits: tuple[float, float], label: str, cmap: str = "cividis",
) -> Figure:  # fmt: skip
    """Draw centred maps (H, W) in rows, one per column, all on one scale of colours.

    `rows` maps a row's name to its maps. `reach` is half the width of a map in the unit of its
    axes, `limits` are the values of the first and the last colour, `label` says what colours mean.
    """
    size = (2.15 * len(columns) + 1.5, 1.95 * len(rows) + 0.8)
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=size, sharex=True, sharey=True, squeeze=False
    )
    extent = (-reach, reach, reach, -reach)  # down is positive, as in an image
    extent = (-reach, reach, reach, -reach)  # down is positive, as in an image
    extent = (-reach, reach, reach, -reach)  # down is positive, as in an image
    for line, (name, maps) in zip(axes, rows.items(), strict=True):
        for axis, values in zip(line, maps, strict=True):
            drawn = axis.imshow(values, cmap, vmin=limits[0], vmax=limits[1], extent=extent)
        line[0].set_ylabel(for_figure(name))
    for axis, name in zip(axes[0], columns, strict=True):
        axis.set_title(for_figure(name))
    for axis in axes.flat:
        axis.set(xticks=(-reach, 0, reach), yticks=(-reach, 0, reach))
        axis.tick_params(labelsize=11)
    figure.supxlabel(unit, fontsize=14)
    figure.colorbar(drawn, ax=axes, label=label, extend="both", fraction=0.04)
    return figure


def power_profiles(powers: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """Draw radial and angular profiles of powers (H, W) by class: one line, the others dashed."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8))
    for name, maps in powers.items():
        for place, power in enumerate(maps):
            frequency, radial = radial_profile(power)
            direction, angular = angular_profile(power)
            lines = (frequency, decibels(radial)), (direction, decibels(angular, angular.mean()))
            for axis, (x, y) in zip(axes, lines, strict=True):
                axis.plot(
                    x, y, color=colour_of(name), markevery=6,
                    marker="" if place else marker_of(name), linewidth=1.4 if place else 2.2,
                    linestyle=(0, (4, 2)) if place else "-",
                )  # fmt: skip
    axes[0].set(xlabel="frequency (cycles per pixel)", ylabel="power (dB)", ylim=(-10, None))
    axes[1].set(xlabel="direction (degrees)", ylabel="power (dB)", xticks=range(0, 181, 45))
    class_legend(figure, list(powers))
    return figure


def similarity_maps(tables: Mapping[str, np.ndarray], labels: Sequence[str]) -> Figure:
    """Draw correlations (G, G) between generators sorted by class, which white lines part."""
    figure, axes = plt.subplots(1, len(tables), figsize=(5.2 * len(tables) + 1, 5.2), squeeze=False)
    names = list(dict.fromkeys(labels))
    shown = [for_figure(name) for name in names]
    members = [np.flatnonzero(np.array(labels) == name) for name in names]
    for axis, (title, table) in zip(axes[0], tables.items(), strict=True):
        drawn = axis.imshow(table, vmin=-1, vmax=1, cmap="PuOr_r")
        for member in members[1:]:
            axis.axvline(member[0] - 0.5, color="black", linewidth=1)
            axis.axhline(member[0] - 0.5, color="black", linewidth=1)
        places = [member.mean() for member in members]
        axis.set_xticks(places, shown, rotation=20)
        axis.set_yticks(places, shown if axis is axes[0, 0] else [""] * len(names))
        axis.tick_params(length=0)
        axis.set_title(for_title(title))
    figure.colorbar(drawn, ax=axes, label="correlation", fraction=0.03)
    return figure
