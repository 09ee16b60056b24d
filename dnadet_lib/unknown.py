"""Unknown architectures: how far traces (`DNADet.features`) lie from those of known images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dnadet_lib.data import origins

AT_ONCE = 4096  # images whose distances are measured together


class Distances(NamedTuple):
    """What the unknown score needs of the known images' traces.

    Attributes:
        means: (K + 1, T), of each class, and in the last row of all.
        precisions: For each trace block, whose traces are T_b of the T: (2, T_b, T_b), inverse
            covariance within the classes, and of all.
    """

    means: Tensor
    precisions: list[Tensor]


def squared_distances(traces: Tensor, known: Distances) -> Tensor:
    """Measure traces (N, T) in squared Mahalanobis distances, block by block, divided by T_b.

    Returns:
        (B, N, K + 1) for B trace blocks: to the mean of each class, and in the last place to the
        mean of all.
    """
    return torch.cat([_squared_distances(some, known) for some in traces.split(AT_ONCE)], dim=1)


def _squared_distances(traces: Tensor, known: Distances) -> Tensor:
    sizes = [len(precisions[0]) for precisions in known.precisions]
    parts = (traces[:, None] - known.means.to(traces.device)).split(sizes, dim=2)
    squares = []
    for away, precisions in zip(parts, known.precisions, strict=True):
        within, overall = precisions.to(traces.device)
        own = torch.einsum("nkt,tu,nku->nk", away[:, :-1], within, away[:, :-1])
        every = torch.einsum("nkt,tu,nku->nk", away[:, -1:], overall, away[:, -1:])
        squares.append(torch.cat([own, every], dim=1) / away.shape[2])
    return torch.stack(squares)


def relative_distance(squares: Tensor) -> Tensor:
    """Map squared distances (B, N, K + 1) to K classes and to all, of B blocks, to scores (N,).

    The one to the nearest class, less the one to the mean of all; each block counts alike.
    """
    means = squares.mean(dim=0)
    return means[:, :-1].min(dim=1).values - means[:, -1]


class LabelledTraces(NamedTuple):
    """Traces (N, T) of images and their class numbers (N,)."""

    values: Tensor
    labels: np.ndarray

    def take(self, chosen: np.ndarray) -> "LabelledTraces":
        """Keep the images that a mask (N,) chooses."""
        return LabelledTraces(self.values[torch.from_numpy(chosen)], self.labels[chosen])

    def joined(self, other: "LabelledTraces") -> "LabelledTraces":
        """Return these images and then others."""
        labels = np.concatenate([self.labels, other.labels])
        return LabelledTraces(torch.cat([self.values, other.values]), labels)


def trace_distances(traces: LabelledTraces, sizes: Sequence[int]) -> Distances:
    """Describe known images by the means and covariances of their classes.

    Training images show how images of one generator vary; those of dev generators, how instances of
    one architecture do. Covariances are shrunk as Ledoit and Wolf (2004) say, channels at unit
    deviation.

    Args:
        traces: Of all blocks.
        sizes: Numbers of traces of each block.
    """
    from sklearn.covariance import ledoit_wolf  # where it is used: attribution needs none of it

    points, labels = traces.values.cpu().double().numpy(), traces.labels
    deviation = points.std(axis=0) + 1e-6
    scaled = points / deviation
    numbers = np.unique(labels)
    means = np.stack([scaled[labels == k].mean(axis=0) for k in numbers] + [scaled.mean(axis=0)])
    around = scaled - means[np.searchsorted(numbers, labels)], scaled - means[-1]
    precisions = []
    for block in np.split(np.arange(len(deviation)), np.cumsum(sizes)[:-1]):
        covariances = [ledoit_wolf(part[:, block], assume_centered=True)[0] for part in around]
        units = np.outer(deviation[block], deviation[block])
        inverses = np.stack([np.linalg.inv(covariance) / units for covariance in covariances])
        precisions.append(torch.from_numpy(inverses).float())
    return Distances(torch.from_numpy(means * deviation).float(), precisions)


def held_out_distances(
    train: LabelledTraces, dev: LabelledTraces, sources: np.ndarray, sizes: Sequence[int]
) -> Tensor:
    """Measure dev images, each by distances that know nothing of its generator.

    Args:
        train: Of the training generators.
        dev: Of the dev generators.
        sources: (N,) generator of each dev image, or `real/CONTENT/PHOTOGRAPH`.
        sizes: Numbers of traces of each block.

    Returns:
        (B, N, K + 1) as `squared_distances`; `relative_distance` makes scores of them.
    """
    names, parts = origins(sources), []
    for name in np.unique(names):
        own = names == name
        known = trace_distances(train.joined(dev.take(~own)), sizes)
        parts.append(squared_distances(dev.take(own).values, known).cpu())
    order = np.argsort(names, kind="stable")  # the parts' images, in a row
    return torch.cat(parts, dim=1)[:, np.argsort(order)]
