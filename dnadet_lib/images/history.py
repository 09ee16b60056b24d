"""What happened to an image before it came here, as far as file, pixels and a model tell.

JPEG leaves a grid of 8x8 blocks in which many DCT coefficients are zero; JPEG, WebP and video keep
colours at half the resolution: both can be seen in the pixels wherever they are saved later.
Thresholds let about 1 in 100 untouched dev images pass for compressed (`data/results/history.csv`,
made by `data/tune_changes.py`). Resizing leaves marks that resemble a generator's: only a model
that has learned from resized images tells of it.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from dnadet_lib.images.reading import NO_FILE, Coding

LOOKS = {  # of `changes.CHANGES`; of the others, too many unchanged images look so
    "fine JPEG": "compressed as JPEG", "coarse JPEG": "compressed as JPEG",
    "WebP": "compressed as WebP", "smaller": "resized or blurred",
}  # fmt: skip
MIDDLE = 256  # pixels a side that are looked at
LEAST = 48  # pixels a side, below which there are too few blocks
GRID_AT = 0.03  # share of zeros on the best grid less that on the second best
COLOUR_AT = 0.84  # log ratio of the two phases
LUMA = (0.299, 0.587, 0.114)
NOTHING = 0.02  # added to energies, in squared grey levels: what rounding leaves


@dataclass(frozen=True)
class History:
    """What is known of one image's past."""

    format: str = ""  # of its file; "" for pixels that are in no file
    lossless: bool = True  # whether the file holds the pixels as they were saved
    quality: int | None = None  # of a JPEG file, 1 to 100, estimated
    grid: bool = False  # whether the pixels have the block grid of JPEG
    half_colour: bool = False  # whether colours have half the resolution, as of JPEG, WebP or video
    looks: str = ""  # the change that a model takes the image to have undergone; "" for none

    def seen_as(self, change: str) -> "History":
        """Add what a model takes the image for, a change or ""."""
        return replace(self, looks=change)

    @property
    def text(self) -> str:
        """What was found, in a few words; "" for nothing. Only a file's format is certain."""
        if self.format in ("JPEG", "MPO"):
            return "JPEG" if self.quality is None else f"JPEG of quality {self.quality}"
        if not self.lossless:
            return f"compressed as {self.format}"
        where = f", saved as {self.format}" if self.format else ""
        if self.grid:
            return f"looks compressed as JPEG before{where}"
        if self.half_colour:
            return f"looks compressed before (colours at half resolution){where}"
        return f"looks {LOOKS[self.looks]}" if self.looks in LOOKS else ""

    def as_dict(self) -> dict[str, object]:
        """Give plain values, for JSON."""
        return {**vars(self), "looks": self.looks or None, "found": self.text}


def history_of(pixels: np.ndarray, coding: Coding = NO_FILE) -> History:
    """Find out what happened to a uint8 image (H, W, 3), by its middle if it is large."""
    quality = jpeg_quality(coding.table) if coding.table else None
    if min(pixels.shape[:2]) < LEAST:
        return History(coding.format, coding.lossless, quality)
    top, left = (max(0, (side - MIDDLE) // 2) for side in pixels.shape[:2])
    part = pixels[top : top + MIDDLE, left : left + MIDDLE]
    planes = torch.from_numpy(part.copy()).float().permute(2, 0, 1)
    luma = (planes * torch.tensor(LUMA)[:, None, None]).sum(dim=0)
    return History(
        coding.format, coding.lossless, quality,
        grid_share(luma) > GRID_AT, colour_phase(planes, luma) > COLOUR_AT,
    )  # fmt: skip


def grid_share(luma: Tensor) -> float:
    """Measure how much one grid of 8x8 blocks of (H, W) stands out by zero DCT coefficients.

    It is the largest share of zeros over the 64 places of the grid, less the second largest.
    Source: Fan and de Queiroz 2003 (JPEG history of a bitmap); the comparison of all grids is ours.
    """
    basis = _cosines()
    found = (luma.unfold(1, 8, 1) @ basis.T).unfold(0, 8, 1) @ basis.T  # (H - 7, W - 7, 8, 8)
    zeros = (found.abs() < 0.5).sum(dim=(2, 3)) / 64
    rows, columns = (side // 8 for side in zeros.shape)
    blocks = zeros[: 8 * rows, : 8 * columns].unflatten(0, (rows, 8)).unflatten(2, (columns, 8))
    first, second = blocks.mean(dim=(0, 2)).flatten().topk(2).values.tolist()
    return first - second


@cache
def _cosines() -> Tensor:
    """The orthonormal DCT-II of 8 values, (8, 8)."""
    k = torch.arange(8.0)
    basis = torch.cos(torch.pi * (2 * k + 1) * k[:, None] / 16) / 2
    basis[0] /= 2**0.5
    return basis


def colour_phase(planes: Tensor, luma: Tensor) -> float:
    """Measure whether colours of (3, H, W), red first, were enlarged by two, as from 4:2:0.

    Decoders interpolate linearly, so that every other third difference of a line is zero, but for
    rounding. Returns the absolute log ratio of the two phases' energies, mean over two colours and
    directions.
    """
    ratios = []
    for colour in (0.564 * (planes[2] - luma), 0.713 * (planes[0] - luma)):
        for plane in (colour, colour.T):
            lines = (plane[:-2] + 2 * plane[1:-1] + plane[2:]) / 4
            third = lines.diff(n=3, dim=1).square()
            even, odd = third[:, ::2].mean() + NOTHING, third[:, 1::2].mean() + NOTHING
            ratios.append((odd / even).log())
    return abs(float(torch.stack(ratios).mean()))


STANDARD = (  # luma steps of quality 50, in Annex K of the JPEG standard
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip


def jpeg_quality(table: tuple[int, ...]) -> int:
    """Estimate the quality of a JPEG from its 64 luma steps: the libjpeg quality nearest to it."""
    sums = np.array([sum(_steps(quality)) for quality in range(1, 101)])
    return 1 + int(np.abs(sums - sum(table)).argmin())


@cache
def _steps(quality: int) -> tuple[int, ...]:
    scale = 5000 / quality if quality < 50 else 200 - 2 * quality
    return tuple(int(min(255, max(1, (step * scale + 50) // 100))) for step in STANDARD)
