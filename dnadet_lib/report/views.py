"""What a report shows of one image: which patches vote for what, and its residual's spectrum."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dnadet_lib.attribution import TURNS, infer, prepare
from dnadet_lib.explorer.page import middle
from dnadet_lib.fingerprints.residual import residuals
from dnadet_lib.fingerprints.spectra import decibels, spectra_of
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet
from dnadet_lib.patches import grid_corners, grid_share

TILE = 64  # pixels a side of the parts whose spectra are averaged
LEAST = 16  # pixels a side that a wavelet filter needs


@dataclass(frozen=True)
class Votes:
    """What the patches say whose mean is the verdict."""

    size: tuple[int, int]  # height and width of the image as the model sees it
    corners: np.ndarray  # (P, 2) top and left of each patch, row by row
    patch: tuple[int, int]  # height and width of a patch
    winners: np.ndarray  # (P,) the class number that each votes for
    sure: np.ndarray  # (P,) how probable it finds that class
    copies: list[int]  # class numbers that the turned and mirrored copies of all patches vote for

    @property
    def looked_at(self) -> float:
        """Share of the image that the patches cover."""
        return 1.0 if self.patch == self.size else grid_share(*self.size, self.patch[0])


@dataclass(frozen=True)
class View:
    """One image close up; the spectrum is (T, T) decibels, centred, None if it is too small."""

    image: np.ndarray
    votes: Votes
    embedding: np.ndarray
    spectrum: np.ndarray | None


@torch.no_grad()
def look_at(model: DNADet, path: Path) -> View:
    """Read an image, not smaller than a patch, and look at it close up."""
    image = read_image(path)
    views = prepare(model, image)
    embeddings = infer(model, [view[None] for view in views]).embeddings
    logits = (model.logits(embeddings) / model.temperature).cpu()
    copies = logits.reshape(TURNS if model.input.vote == "turned" else 1, -1, len(model.classes))
    sure, winners = copies.mean(dim=0).softmax(dim=1).max(dim=1)
    height, width = model.input.resized(image).shape[:2]
    patch = (model.input.patch,) * 2
    corners = [(0, 0)]
    if model.input.vote == "whole":
        patch = (height, width)
    else:
        corners = grid_corners(height, width, model.input.patch)
    votes = Votes(
        (height, width), np.array(corners), patch, winners.numpy(), sure.numpy(),
        copies.mean(dim=1).argmax(dim=1).tolist(),
    )  # fmt: skip
    return View(image, votes, embeddings.mean(dim=0).cpu().numpy(), residual_spectrum(image))


def residual_spectrum(image: np.ndarray) -> np.ndarray | None:
    """Average the power spectra of a uint8 image's residual over tiles of 64 pixels (Welch 1967).

    Of a large image, the middle 256 pixels a side are taken. Returns decibels of squared grey
    levels (T, T), centred, T at most 64; None below 16 pixels a side.
    """
    part = middle(image)
    height, width = part.shape[:2]
    side = min(TILE, height, width)
    if side < LEAST:
        return None
    residual = residuals(part[None])[0]
    tiles = [
        residual[top : top + side, left : left + side]
        for top in range(0, height - side + 1, side)
        for left in range(0, width - side + 1, side)
    ]
    return decibels(spectra_of(np.stack(tiles)).power)


def mean_spectrum(images: np.ndarray) -> np.ndarray:
    """Average the residuals' power over images (N, H, W, 3) of one size: (H, W) decibels."""
    return decibels(spectra_of(residuals(images)).power)
