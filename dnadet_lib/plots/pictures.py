"""Figures that show images."""

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dnadet_lib.plots.style import LINE_COLOURS, class_legend, colour_of
from dnadet_lib.plumbing.text import for_title


def image_grid(
    images: Sequence[np.ndarray], titles: Sequence[str], columns: int, side: float = 1.5
) -> Figure:
    """Draw images in a grid, each with a title, "" for none.

    Images are uint8 (H, W, 3), or float (H, W) in [0, 1] drawn in grey; `side` is in inches.
    """
    rows = math.ceil(len(images) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * side, rows * (side + 0.3)), squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1 if image.ndim == 2 else None)
        axis.set_title(for_title(title), pad=3)
    return figure


def attributions(
    images: Sequence[np.ndarray], probabilities: np.ndarray, classes: Sequence[str],
    titles: Sequence[str], columns: int = 4,
) -> Figure:  # fmt: skip
    """Draw uint8 images (H, W, 3), each with a bar per class for its probabilities (N, K)."""
    rows = math.ceil(len(images) / columns)
    figure, axes = plt.subplots(
        rows, 2 * columns, figsize=(2.35 * columns, 1.75 * rows + 0.8), squeeze=False,
        width_ratios=[1, 0.8] * columns,
    )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    pairs = axes.reshape(-1, 2)
    for (left, right), image, row, title in zip(
        pairs, images, probabilities, titles, strict=False
    ):
        left.imshow(image)
        left.set_title(for_title(title), loc="left", pad=3)
        right.axis("on")
        right.patch.set_visible(False)  # it would hide the title
        right.set_box_aspect(1.25)
        right.barh(range(len(classes)), row, color=[colour_of(c) for c in classes])
        right.invert_yaxis()
        right.set(xlim=(0, 1), xticks=[0, 1], yticks=[])
        if left.get_subplotspec().is_last_row():
            right.set_xlabel("probability")
    class_legend(figure, classes, marker="s")
    return figure


def patches_on_image(
    axis: Axes, image: np.ndarray, corners: Sequence[tuple[int, int]], patch: int
) -> None:
    """Draw a uint8 image (H, W, 3) with numbered outlines of patches, at (top, left) in pixels."""
    axis.imshow(image)
    for number, (top, left) in enumerate(corners, 1):
        colour = LINE_COLOURS[(number - 1) % len(LINE_COLOURS)]
        box = Rectangle(
            (left - 0.5, top - 0.5), patch, patch, fill=False, edgecolor=colour, linewidth=3
        )
        axis.add_patch(box)
        axis.text(
            left + 2, top + 6, str(number), color="white", fontsize=14, fontweight="bold",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    axis.set(xlabel="column (pixels)", ylabel="row (pixels)")


def filters(weights: np.ndarray, columns: int = 8) -> Figure:
    """Draw first-layer filters (N, 3, h, w), each scaled to its largest weight; grey is zero."""
    scaled = weights / np.abs(weights).max(axis=(1, 2, 3), keepdims=True).clip(1e-12)
    images = [image.transpose(1, 2, 0) for image in (scaled + 1) / 2]
    return image_grid(images, [""] * len(images), columns, side=0.9)
