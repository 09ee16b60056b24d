"""The position study: is a trace the same in every region of the image?

A network learns to name patches of one cell of a grid and is tested on every cell. It names traces
of an architecture everywhere; traces of the weights differ by region, so that accuracy falls away
from the cell that was learned.

Source: Yang et al. 2022, section 3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from dnadet_lib.bench.baselines import ResidualCorrelation
from dnadet_lib.bench.networks import NetworkClassifier
from dnadet_lib.evaluation.intervals import difference_interval, mean_interval
from dnadet_lib.model import ConvolutionBlock, HighPass
from dnadet_lib.patches import normalise
from dnadet_lib.zoo.generators import sample_images
from dnadet_lib.zoo.manifest import Generator
from dnadet_lib.zoo.rendering import LATENT_SEEDS, draw_latents

CELLS = 5  # a side
GUESSING = 0.25  # among four seeds, or four architectures
INNER = tuple((row, column) for row in range(1, CELLS - 1) for column in range(1, CELLS - 1))


class PatchNetwork(NetworkClassifier):
    """Five convolutions for patches of a dozen pixels, with or without the high-pass front end."""

    def _build(self, side: int, classes: int) -> nn.Module:
        plan = ((3, 32, False), (32, 32, True), (32, 64, False), (64, 64, True), (64, 128, False))
        return nn.Sequential(
            HighPass() if self.high_pass else nn.Identity(),
            *(ConvolutionBlock(*layer) for layer in plan),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, classes),
        )  # fmt: skip

    def _inputs(self, images: np.ndarray) -> Tensor:
        return normalise(torch.from_numpy(images))


def cut_cell(images: np.ndarray, row: int, column: int) -> np.ndarray:
    """Cut cell (row, column) of a 5x5 grid from images (N, H, W, 3): (N, H // 5, W // 5, 3).

    Cells touch and do not overlap; what 5 does not divide is left over at the right and below.
    """
    height, width = images.shape[1] // CELLS, images.shape[2] // CELLS
    top, left = row * height, column * width
    return images[:, top : top + height, left : left + width]


@dataclass(frozen=True)
class PositionStudy:
    """What `position_study` measures."""

    learned: tuple[tuple[int, int], ...]  # the cells (row, column), a network each
    accuracy: np.ndarray  # (P, 5, 5), of each network on each cell of unseen images
    chance: float  # accuracy of guessing

    @property
    def own(self) -> np.ndarray:
        """(P,) accuracy on the cell that was learned."""
        return np.array([self.accuracy[i, r, c] for i, (r, c) in enumerate(self.learned)])

    @property
    def elsewhere(self) -> np.ndarray:
        """(P,) mean accuracy on the inner cells that were not learned; the border is left out."""
        return np.array([
            np.mean([self.accuracy[i, r, c] for r, c in INNER if (r, c) != cell])
            for i, cell in enumerate(self.learned)
        ])

    @property
    def border(self) -> np.ndarray:
        """(P,) mean accuracy on the 16 outer cells, where a generator's padding leaves traces."""
        outer = np.ones((CELLS, CELLS), bool)
        outer[1:-1, 1:-1] = False
        return self.accuracy[:, outer].mean(axis=1)

    @property
    def fall_off(self) -> float:
        """Accuracy on the learned cell less that elsewhere inside, mean over networks."""
        return float(np.mean(self.own - self.elsewhere))


def position_study(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], *,
    learned: Sequence[tuple[int, int]] = INNER, high_pass: bool = True, epochs: int = 10,
    seed: int = 0,
) -> PositionStudy:  # fmt: skip
    """Train a network on each of some cells and test it on all 25.

    `train` and `test` are uint8 images (N, H, W, 3) and labels (N,), of the same generators and
    other latents. By default the nine cells are learned that do not touch the border.
    """
    accuracy = np.empty((len(learned), CELLS, CELLS))
    for number, cell in enumerate(learned):
        network = PatchNetwork(high_pass, epochs, batch_size=128, seed=seed)
        network.fit(cut_cell(train[0], *cell), train[1])
        for row, column in np.ndindex(CELLS, CELLS):
            patches = cut_cell(test[0], row, column)
            accuracy[number, row, column] = network.score(patches, test[1])
    return PositionStudy(tuple(learned), accuracy, 1 / len(np.unique(train[1])))


def compare_labels(
    images: Mapping[tuple[str, int], np.ndarray], train: int, sets: int = 4, **options: Any
) -> dict[tuple[str, str], PositionStudy]:
    """Do the study by architecture and by weights, on several sets of generators each.

    `images` maps (class, seed) to uint8 (N, H, W, 3), of generators that differ in these alone;
    `train` of each are learned, the others tested. A set is, by architecture, all classes with one
    seed, and by weights, one class with `sets` seeds. Options are those of `position_study`.

    Returns:
        ("architecture" or "weights", generators) -> study.
    """
    names = list(dict.fromkeys(name for name, _ in images))
    seeds = sorted({seed for _, seed in images})[:sets]
    groups = {("architecture", f"seed {s}"): [(name, s) for name in names] for s in seeds}
    groups |= {("weights", name): [(name, s) for s in seeds] for name in names[:sets]}
    studies = {}
    for key, members in groups.items():
        labels = [f"{name} {seed}" for name, seed in members]
        learned, tested = (
            _joined([images[member][part] for member in members], labels)
            for part in (slice(train), slice(train, None))
        )
        studies[key] = position_study(learned, tested, **options)
    return studies


def _joined(parts: Sequence[np.ndarray], labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(parts), np.repeat(labels, [len(part) for part in parts])


def study_table(studies: Mapping[tuple[str, str], PositionStudy]) -> pd.DataFrame:
    """Tabulate studies: a row each, with the mean accuracies of its networks, and the fall-off."""
    return pd.DataFrame(
        {
            "label": label, "generators": name, "learned cell": study.own.mean(),
            "elsewhere inside": study.elsewhere.mean(), "border": study.border.mean(),
            "fall-off": study.fall_off,
        }  # fmt: skip
        for (label, name), study in studies.items()
    )


def verdict(table: pd.DataFrame) -> str:
    """Say what is lost away from the learned cell, by label, and whether weights lose more.

    Cells at the border of the image are left out.

    Args:
        table: Of `study_table`, with both labels.
    """
    falls, lines = {}, []
    for label, part in table.groupby("label"):
        falls[label] = part["fall-off"]
        mean, low, high = mean_interval(falls[label])
        here = part["learned cell"].mean()
        lines.append(f"{label}: accuracy {here:.3f} in the learned cell, {here - mean:.3f} in the "
                     f"others: a loss of {mean:.3f} [{low:.3f}, {high:.3f}]")  # fmt: skip
    more, low, high = difference_interval(falls["weights"], falls["architecture"])
    lines.append(f"Loss for weights, minus that for architecture: {more:+.3f} [{low:+.3f}, "
                 f"{high:+.3f}].\nOthers ('elsewhere inside'): those that do not touch the border. "
                 "Brackets: 95% intervals over sets of generators.")  # fmt: skip
    if low > 0:
        end = "Settled: traces of the weights are more local than those of the architecture."
    elif high < 0:
        end = "Settled, against the claim: traces of the weights are less local."
    else:
        end = "Not settled which of the two losses is the larger, which DNA-Det is built on."
    part = table[table["label"] == "weights"]
    kept, least, _ = mean_interval(part["learned cell"] - part["fall-off"])
    if least > GUESSING and not low > 0:
        end += (
            f"\nWeights are still named in {kept:.2f} of the images away from the learned cell "
            f"(guessing: {GUESSING}). DNA-Det's premise, that their traces are local, is not "
            "confirmed."
        )
    return "\n".join([*lines, end])


def mean_maps(studies: Mapping[tuple[str, str], PositionStudy]) -> dict[str, np.ndarray]:
    """Average the first network's accuracy by cell over the sets of each label: (5, 5) each."""
    labels = dict.fromkeys(label for label, _ in studies)
    return {
        label: np.mean([s.accuracy[0] for (own, _), s in studies.items() if own == label], axis=0)
        for label in labels
    }


def generated(
    generators: Sequence[Generator], count: int, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Sample `count` images of each generator: uint8 (N, 64, 64, 3), and its name (N,)."""
    latents = draw_latents(LATENT_SEEDS[split], count)
    images = [sample_images(generator.load(), latents).numpy() for generator in generators]
    return np.concatenate(images), np.repeat([g.name for g in generators], count)


def moved(images: np.ndarray, shift: int) -> np.ndarray:
    """Move images (N, H, W, 3) to the left by less than half; the gap at the right is mirrored."""
    if not 0 <= shift < images.shape[2] / 2:
        raise ValueError(f"shift {shift}: give 0 to less than half of {images.shape[2]} pixels")
    return np.pad(images[:, :, shift:], ((0, 0), (0, 0), (0, shift), (0, 0)), "symmetric")


def shift_study(
    train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray],
    shifts: Sequence[int] = range(9), denoiser: str = "wavelet",
) -> pd.DataFrame:  # fmt: skip
    """Learn mean residuals, and correlate the residuals of shifted images with them.

    `train` and `test` map a class to uint8 images (N, H, W, 3); shifts are in pixels, the denoiser
    is one of `residual.residuals`. A ValueError if a tested class has no fingerprint, or a shift is
    too far.

    Returns:
        A row per shift: for each tested class the mean correlation of a residual with the class's
        fingerprint, and "accuracy", the share of images whose own class correlates best.

    Source: Marra et al. 2019, section 2, for fingerprint and correlation.
    """
    if unknown := [name for name in test if name not in train]:
        raise ValueError(f"class {unknown[0]!r} has no fingerprint: train has {', '.join(train)}")
    labels = np.repeat(list(train), [len(images) for images in train.values()])
    pixels = np.concatenate(list(train.values()))
    prints = ResidualCorrelation(denoiser).fit(pixels, labels)
    rows = []
    for shift in shifts:
        row, right = {}, []
        for name, images in test.items():
            scores = prints.decision_function(moved(images, shift))
            row[name] = scores[:, prints.classes_ == name].mean()
            right.append(prints.classes_[scores.argmax(axis=1)] == name)
        rows.append(row | {"accuracy": np.concatenate(right).mean()})
    return pd.DataFrame(rows, pd.Index(shifts, name="shift"))
