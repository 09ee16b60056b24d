"""One image, close up: which patches vote for what, where a layer looks, and degrading it."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from scipy.special import softmax

from dnadet_lib.attribution import Attribution, infer
from dnadet_lib.evaluation.robustness import DEGRADATIONS, Degradation, degrade
from dnadet_lib.explorer.gradcam import image_cam
from dnadet_lib.fingerprints.residual import residuals
from dnadet_lib.fingerprints.spectra import decibels, spectra_of
from dnadet_lib.model import DNADet
from dnadet_lib.patches import check_patch_fits, grid_corners
from dnadet_lib.plots.style import class_legend, colour_of, marker_of
from dnadet_lib.plumbing.text import for_figure, for_title

VOTES_PER_SIDE = 24


@dataclass(frozen=True)
class PatchVotes:
    """What each patch of an image says by itself."""

    image: np.ndarray  # uint8 (H, W, 3), prepared as the model sees it
    corners: np.ndarray  # (V, 2) top and left of each patch, row by row
    patch: int  # side in pixels
    logits: np.ndarray  # (V, K) over the temperature
    shape: tuple[int, int]  # rows and columns of the grid

    @property
    def probabilities(self) -> np.ndarray:
        """(V, K) of each patch."""
        return softmax(self.logits, axis=1)

    @property
    def winners(self) -> np.ndarray:
        """(V,) the class number that each patch votes for."""
        return self.logits.argmax(axis=1)


@torch.no_grad()
def patch_votes(model: DNADet, image: np.ndarray, density: int = 8) -> PatchVotes:
    """Attribute every patch of a uint8 image (H, W, 3) by itself, on a finer grid than the model's.

    A patch is the model's, but at most half of the shorter side; a ValueError if the image is
    smaller. `density` patches begin within a patch's side; 2 is the grid of `DNADet.attribute`.
    """
    image = model.input.resized(image)
    height, width = image.shape[:2]
    check_patch_fits(height, width, model.input.patch)
    patch = min(model.input.patch, min(height, width) // 2)
    corners = np.array(grid_corners(height, width, patch, VOTES_PER_SIDE, density))
    views = [image[None, top : top + patch, left : left + patch] for top, left in corners]
    logits = model.logits(infer(model, views).embeddings) / model.temperature
    rows = len(np.unique(corners[:, 0]))
    shape = (rows, len(corners) // rows)
    return PatchVotes(image, corners, patch, logits.cpu().numpy(), shape)


def agreement(votes: PatchVotes) -> tuple[int, float]:
    """Return the class that the patches vote for together, and the share that does so alone."""
    winner = int(votes.logits.mean(axis=0).argmax())
    return winner, float(np.mean(votes.winners == winner))


def agreement_by_contrast(votes: PatchVotes) -> tuple[float, float]:
    """Return the share of the flatter and of the busier half of the patches that vote as all do."""
    size = votes.patch
    spread = [votes.image[top:, left:][:size, :size].std() for top, left in votes.corners]
    agree = (votes.winners == agreement(votes)[0])[np.argsort(spread)]
    flat, busy = np.array_split(agree, 2)
    return float(flat.mean()), float(busy.mean())


def draw_votes(axis: Axes, votes: PatchVotes, classes: Sequence[str]) -> None:
    """Draw the vote of each patch at its centre: colour for the class, paler where unsure."""
    winners = votes.winners
    sure = votes.probabilities[np.arange(len(winners)), winners]
    shade = np.array([to_rgb(colour_of(classes[k])) for k in winners])
    strength = ((sure - 1 / len(classes)) / (1 - 1 / len(classes)))[:, None]
    cells = (1 - strength) + strength * shade
    middle = votes.corners + votes.patch / 2 - 0.5
    steps = (middle.max(axis=0) - middle.min(axis=0)) / np.maximum(1, np.array(votes.shape) - 1)
    low, high = middle.min(axis=0) - steps / 2, middle.max(axis=0) + steps / 2
    extent = (low[1], high[1], high[0], low[0])
    axis.imshow(cells.reshape(*votes.shape, 3), extent=extent)
    height, width = votes.image.shape[:2]
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axis.set_facecolor("#EEEEEE")
    bare(axis)


def bare(axis: Axes) -> None:
    """Take ticks and frame off an axis that shows an image."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def votes_figure(
    model: DNADet, images: Sequence[np.ndarray], titles: Sequence[str], density: int = 8
) -> Figure:
    """Draw images, and under each the votes of its patches."""
    count = len(images)
    size = (1.9 * count, 5.0)
    drawn, axes = plt.subplots(2, count, figsize=size, squeeze=False)
    for column, image, title in zip(axes.T, images, titles, strict=True):
        votes = patch_votes(model, image, density)
        winner, share = agreement(votes)
        column[0].imshow(votes.image)
        bare(column[0])
        column[0].set_title(for_title(title), fontsize=12)
        draw_votes(column[1], votes, model.classes)
        winning = for_figure(model.classes[winner])
        column[1].set_title(f"{winning}\n{share:.0%} of patches", fontsize=12)
    class_legend(drawn, model.classes, marker="s")
    return drawn


def cams_figure(
    image: np.ndarray, maps: dict[str, np.ndarray], title: str = "the image"
) -> Figure:
    """Draw a uint8 image (H, W, 3) and maps (H, W) by title, red for the class, blue against it."""
    size = (2.7 * (len(maps) + 1), 3.4)
    drawn, axes = plt.subplots(1, len(maps) + 1, figsize=size)
    axes[0].imshow(image)
    axes[0].set_title(for_title(title))
    for axis, (name, values) in zip(axes[1:], maps.items(), strict=True):
        largest = max(float(np.abs(values).max()), 1e-12)
        shown = axis.imshow(values / largest, cmap="RdBu_r", vmin=-1, vmax=1)
        axis.set_title(for_title(name))
    drawn.colorbar(shown, ax=list(axes), label="share of largest", ticks=[-1, 0, 1], shrink=0.8)
    for axis in axes:
        bare(axis)
    return drawn


def overview_figure(model: DNADet, image: np.ndarray) -> Figure:
    """Draw a uint8 image's patch votes, Grad-CAM of the class named, residual and its spectrum."""
    drawn, axes = plt.subplots(1, 4, figsize=(12, 3.4))
    votes = patch_votes(model, image)
    draw_votes(axes[0], votes, model.classes)
    winner, share = agreement(votes)
    winning = for_figure(model.classes[winner])
    axes[0].set_title(f"votes of patches of {votes.patch}\n{winning}: {share:.0%}")
    named = model.attribute([image]).labels[0]
    values = image_cam(model, image, model.classes.index(named))
    largest = max(float(np.abs(values).max()), 1e-12)
    axes[1].imshow(values / largest, cmap="RdBu_r", vmin=-1, vmax=1)
    axes[1].set_title(f"Grad-CAM, last layer\nred speaks for {for_figure(named)}")
    residual = residuals(image[None])
    axes[2].imshow((128 + 6 * residual[0]).clip(0, 255).astype(np.uint8))
    axes[2].set_title("residual, 6 times\n(wavelet filter)")
    power = decibels(spectra_of(residual).power, 1.0)
    draw_spectrum(axes[3], power)
    axes[3].set_title("its power spectrum\nto 0.5 cycles a pixel")
    for axis in axes:
        bare(axis)
    return drawn


def draw_spectrum(axis: Axes, power: np.ndarray) -> None:
    """Draw a centred spectrum (H, W) in decibels, to 0.5 cycles per pixel, in its proportions."""
    height, width = power.shape
    extent = (-0.5, 0.5, 0.5, -0.5)
    shown = axis.imshow(power, cmap="magma", extent=extent, aspect=height / width)
    bar = axis.inset_axes((1.0 + 0.05 * min(2.0, height / width), 0, 0.06 * height / width, 1))
    axis.figure.colorbar(shown, cax=bar, label="dB")


def degradation(name: str) -> Degradation:
    """Return a degradation by name; a ValueError if there is none."""
    found = {d.name: d for d in DEGRADATIONS}
    if name not in found:
        raise ValueError(f"degradation {name!r}: choose one of {', '.join(found)}")
    return found[name]


def measure(name: str) -> str:
    """Say what the strength of a degradation measures, as the label of a slider or an axis."""
    kind = degradation(name)
    return f"{kind.name}: {kind.unit}"


def degraded(
    model: DNADet, image: np.ndarray, name: str, strength: float | None, seed: int = 0
) -> tuple[np.ndarray, Attribution]:
    """Degrade an image and attribute it; a strength of None leaves it as it is."""
    if strength is not None:
        image = degrade(image[None], degradation(name), strength, seed)[0]
    return image, model.attribute([image])


def degradation_figure(model: DNADet, image: np.ndarray, name: str, seed: int = 0) -> Figure:
    """Draw an image at every strength of a degradation, and the probabilities below."""
    kind = degradation(name)
    strengths = (None, *kind.strengths)
    results = [degraded(model, image, name, strength, seed) for strength in strengths]
    drawn = plt.figure(figsize=(10, 5.2))
    grid = drawn.add_gridspec(2, len(strengths), height_ratios=[1, 1.5])
    labels = ["as it is", *(f"{s:g}" for s in kind.strengths)]
    for place, ((picture, _), label) in enumerate(zip(results, labels, strict=True)):
        axis = drawn.add_subplot(grid[0, place])
        axis.imshow(picture)
        bare(axis)
        axis.set_title(label, fontsize=12)
    below = drawn.add_subplot(grid[1, :])
    probabilities = np.concatenate([a.probabilities for _, a in results])
    for k, label in enumerate(model.classes):
        below.plot(
            probabilities[:, k], marker=marker_of(label), color=colour_of(label),
            label=for_figure(label), clip_on=False,
        )  # fmt: skip
    for place, (_, attribution) in enumerate(results):
        if attribution.known.tolist() == [False]:
            below.text(place, 1.06, "unknown", ha="center", fontsize=12, color="#D55E00")
    below.set_xticks(range(len(labels)), labels)
    below.set(ylim=(0, 1.15), yticks=[0, 0.5, 1], ylabel="probability")
    below.set(xlim=(-0.5, len(labels) - 0.5), xlabel=measure(name))
    class_legend(drawn, model.classes)
    return drawn
