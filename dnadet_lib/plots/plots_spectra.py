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


def power_profiles(powers: Mapping[str, Sequence[np.ndarray]], beside: str = "Real") -> Figure:
    """Draw radial and angular profiles of powers (H, W), in a column for each class but one.

    The class `beside` stands in every panel for comparison. The first power of a class is drawn as
    a line, the others dashed.
    """
    names = [name for name in powers if name != beside]
    size = (2.6 * len(names) + 0.8, 6)
    figure, axes = plt.subplots(
        2, len(names), figsize=size, sharex="row", sharey="row", squeeze=False
    )
    for column, name in zip(axes.T, names, strict=True):
        for own in [beside, name] if beside in powers else [name]:
            for place, power in enumerate(powers[own]):
                frequency, radial = radial_profile(power)
                direction, angular = angular_profile(power)
                look = {"color": colour_of(own), "linewidth": 1.4 if place else 2.2,
                        "linestyle": (0, (4, 2)) if place else "-", "markevery": 6,
                        "marker": "" if place else marker_of(own), "markersize": 6}  # fmt: skip
                column[0].plot(frequency, decibels(radial), **look)
                column[1].plot(direction, decibels(angular, angular.mean()), **look)
        column[0].set(title=for_figure(name), ylim=(-10, None))
        column[1].set(xticks=range(0, 181, 90))
        column[0].set_xlabel(FREQUENCY)
        column[1].set_xlabel("degrees")
    axes[0, 0].set_ylabel("power (dB)")
    axes[1, 0].set_ylabel("power (dB)")
    class_legend(figure, list(powers))
    return figure


def shift_curves(correlations: Mapping[str, Sequence[float]]) -> Figure:
    """Draw a class's correlations by the shift in pixels, from 0 on."""
    figure, axis = plt.subplots()
    for name, values in correlations.items():
        axis.plot(range(len(values)), values, color=colour_of(name), marker=marker_of(name))
    axis.set(xlabel="shift (pixels)", ylabel="correlation")
    class_legend(figure, list(correlations))
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
