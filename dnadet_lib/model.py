"""DNA-Det's network, its checkpoints, and attribution of images."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.configuration import (
    WIDTH_AT_MOST,
    Calibration,
    Configuration,
    check_calibrations,
    check_changes,
    check_class_names,
    check_temperature,
    is_whole,
    parse_configuration,
)
from dnadet_lib.files import atomic_path
from dnadet_lib.history import History, history_of
from dnadet_lib.images import NO_FILE, Coding, as_rgb, read_coded
from dnadet_lib.patches import FILTERS, grid_patches, grid_share, normalise, resize, turned
from dnadet_lib.paths import data_folder
from dnadet_lib.weights import (
    HEAD,
    HEADER,
    WeightFile,
    checked_tensor,
    read_weights,
    sha256_of,
    shown,
)

LOG = logging.getLogger("dnadet")
BLOCKS = 8
TRACE_BLOCKS = (0, 4)  # of `main`: chosen on dev, data/results/unknown_blocks.csv
SMALL = 0.05  # of a channel's deviation: the log of less is of no account
VOTES = ("whole", "patches", "turned")
LEAST_ACCURACY = 0.6  # on changed dev images of a kind, for a class to be named at all
LEAST_CONFIDENCE = 0.4  # with which a class is named: 3 in 1,000 unchanged dev images have less
SIDES = (8, 8192)  # pixels: what an image may be resized to
TURNS = 4  # copies of a view that vote where the input is "turned"
TRANSFORMED = re.compile(r"(JPEG|Gaussian blur|median blur|resize|Gaussian noise) \d")
DROPPED_KEYS = ("projection_head.", "reference")  # used in training only; of older checkpoints


class ConvolutionBlock(nn.Module):
    """Convolution, batch norm, LeakyReLU 0.2. Even blocks halve the image, odd ones keep it.

    With several groups, each maps its own share of the channels.
    """

    def __init__(self, c_in: int, c_out: int, halve: bool, groups: int = 1) -> None:
        super().__init__()
        kernel, stride = (4, 2) if halve else (3, 1)
        self.main = nn.Sequential(
            nn.Conv2d(c_in, c_out, kernel, stride, padding=1, groups=groups),
            nn.BatchNorm2d(c_out),
            nn.LeakyReLU(0.2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W')."""
        return self.main(x)


class HighPass(nn.Module):
    """Fixed second-order difference [-1 2 -1; 2 -4 2; -1 2 -1] / 4, a channel at a time.

    It removes the content and leaves the residual in which generators leave their traces.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.tensor([[-1.0, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
        self.register_buffer("kernel", kernel.repeat(3, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Filter (B, 3, H, W); borders are reflected. Scaled by 4 to about unit range."""
        return 4 * F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel, groups=3)


@dataclass(frozen=True)
class InputSpec:
    """How an image becomes the network's input. It travels with the checkpoint.

    Attributes:
        resize_first: Side in pixels of a first resize, or None.
        resize: Side in pixels of the resize before the network, or None for native resolution.
        resize_filter: Pillow's name of the resize filter.
        patch: Side in pixels of a patch, after the resize.
        vote: "whole": one pass over the whole image; "patches": mean over a grid of patches;
            "turned": the same, each patch in four turned and mirrored copies.
        high_pass: Whether the fixed high-pass front end is on.

    Raises:
        ValueError: a field is of another type or out of range; it is named, with what is right.
    """

    resize_first: int | None = None
    resize: int | None = 512
    resize_filter: str = "bicubic"
    patch: int = 64
    vote: str = "whole"
    high_pass: bool = False

    def __post_init__(self) -> None:
        low, high = SIDES
        for name in ("resize_first", "resize", "patch"):
            side = getattr(self, name)
            if side is None and name != "patch":
                continue
            if not is_whole(side) or not low <= side <= high:
                raise ValueError(f"input {name} {shown(side)}: must be {low} to {high} pixels")
        for name, choices in (("vote", VOTES), ("resize_filter", FILTERS)):
            if getattr(self, name) not in choices:
                given = shown(getattr(self, name))
                raise ValueError(f"input {name} {given}: choose one of {', '.join(choices)}")
        if not isinstance(self.high_pass, bool):
            raise ValueError(f"input high_pass {shown(self.high_pass)}: must be true or false")
        side = self.resize or self.resize_first
        if side is not None and self.patch > side:
            raise ValueError(f"input patch {self.patch}: larger than the image, resized to {side}")

    @property
    def smallest(self) -> int:
        """Pixels a side that an image must have, for patches to be cut from it."""
        return 1 if self.resize or self.resize_first else self.patch


@dataclass(frozen=True)
class Attribution:
    """What `DNADet.attribute` says of N images.

    Attributes:
        probabilities: float (N, K), calibrated for what seems to have happened to the image.
        labels: The most probable class of each image, also where its probability is too small, or
            what happened to the image hides too much, to name it.
        verdicts: The class of each image, or None where it cannot be told.
        changes: What each image seems to have undergone, one of the model's changes or "".
        embeddings: float (N, D), mean over the image's patches.
        unknown_scores: (N,) relative Mahalanobis distance to the known images, or NaN where the
            checkpoint does not know it. High means: unlike anything the model was fitted to.
        known: (N,) whether the score is under the threshold that was chosen on dev generators.
            Where the checkpoint holds no distances, a masked array, all masked: what is computed
            from it stays masked, `tolist()` gives None.
    """

    probabilities: np.ndarray
    labels: list[str]
    verdicts: list[str | None]
    changes: list[str]
    embeddings: np.ndarray
    unknown_scores: np.ndarray
    known: np.ndarray


class Views(NamedTuple):
    """What the network sees of an image.

    Attributes:
        views: uint8 (V, h, w, 3), over which it votes.
        looked_at: Share of the image's area that some view shows.
        history: What happened to the image.
    """

    views: np.ndarray
    looked_at: float
    history: History = History()


class Features(NamedTuple):
    """What the network makes of N images, each the mean over an image's patches.

    Attributes:
        embeddings: (N, D): what the classifier sees.
        traces: (N, T), statistics of some blocks: what the unknown score goes by.
    """

    embeddings: Tensor
    traces: Tensor


def channel_statistics(maps: Tensor) -> Tensor:
    """Map (B, C, H, W) to the channels' means and log deviations over the image, (B, 2 * C)."""
    deviations, means = torch.std_mean(maps, dim=(2, 3), correction=0)
    return torch.cat([means, (deviations + SMALL).log()], dim=1)


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


class DNADet(nn.Module):
    """DNA-Det: four stages of two convolutions, average pooling, dropout, a linear classifier.

    With `discriminant`, the last block's channels are described by mean and deviation in place of
    the mean, and whitened: in that space the variance within the classes is the same in every
    direction, and the classifier takes the nearest class mean (Fisher's discriminant). With
    `changes`, each class has a mean of its images as they are and one of copies changed in each way
    (mixture discriminant analysis, Hastie and Tibshirani 1996). With several
    `backbones`, that many pre-trained networks stand side by side and their channels are joined.

    Attributes:
        classes: Names of the classes, in the order of the logits.
        input: How images are prepared.
        embedding_size: Length D of an embedding.
        temperature: Divides the logits before softmax, fitted on dev generators.
        changes: Names of the ways in which copies of the training images were changed.
        calibrations: One for images as they are and for each change, fitted on dev images; empty
            where there are none, and then the temperature holds for all.
        threshold: Unknown score above which an image is outside what the model knows.
        reference: What the unknown score knows of training and dev images, or None.
        trace_blocks: Numbers of the blocks of `main` whose statistics are the traces.
        smallest: Side in pixels of the smallest image that the blocks can take.
        sha256: Of the file that it was loaded from, or "".
        named: Whether that file held the classes' names; else they are numbers, or the caller's.

    Raises:
        ValueError: the number of blocks or of class names does not fit, a name is empty or stands
            twice, or the patches are smaller than the blocks can take.

    Source:
        Yang et al. 2022, section 4.2; parameter names follow its public release.
    """

    def __init__(
        self,
        num_classes: int,
        width: int = 64,
        *,
        classes: Sequence[str] | None = None,
        input: InputSpec | None = None,
        blocks: int = BLOCKS,
        discriminant: bool = False,
        backbones: int = 1,
        changes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if not 1 <= blocks <= BLOCKS:
            raise ValueError(f"{blocks} blocks: choose 1 to {BLOCKS}")
        self.width, self.discriminant, self.backbones = width, discriminant, backbones
        self.changes = check_changes(list(changes))
        self.classes = check_class_names(list(classes or (str(k) for k in range(num_classes))))
        if len(self.classes) != num_classes:
            raise ValueError(f"{len(self.classes)} class names given for {num_classes} classes")
        self.input = input or InputSpec()
        self.smallest = 2 ** -(-blocks // 2)
        if self.input.vote != "whole" and self.input.patch < self.smallest:
            raise ValueError(
                f"input patch {self.input.patch}: {blocks} blocks need {self.smallest} or more"
            )
        self.temperature, self.threshold = 1.0, float("inf")
        self.calibrations: tuple[Calibration, ...] = ()
        self.reference: Distances | None = None
        self.origin = "pre-trained model"  # for messages; a loaded one names its checkpoint
        self.sha256, self.named = "", False
        self.trace_blocks = tuple(block for block in TRACE_BLOCKS if block < blocks)
        own = [width * 2**stage for stage in range(4) for _ in range(2)]
        self.channels = channels = [3, *(backbones * count for count in own)]
        self.high_pass = HighPass() if self.input.high_pass else nn.Identity()
        self.main = nn.Sequential(
            *(
                ConvolutionBlock(
                    channels[i], channels[i + 1], i % 2 == 0, groups=backbones if i else 1
                )
                for i in range(blocks)
            )
        )
        pooled = channels[blocks] * (2 if discriminant else 1)
        self.embedding_size = pooled
        self.whitening = nn.Linear(pooled, pooled) if discriminant else nn.Identity()
        self.classification_head = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(pooled, num_classes * (1 + len(self.changes)))
        )

    @property
    def trace_sizes(self) -> list[int]:
        """Numbers T_b of statistics of each trace block; together they are T."""
        return [2 * self.channels[block + 1] for block in self.trace_blocks]

    def pool(self, maps: Tensor) -> Tensor:
        """Map what the last block makes, (B, C, H, W), to embeddings (B, D)."""
        pooled = channel_statistics(maps) if self.discriminant else maps.mean(dim=(2, 3))
        return self.whitening(pooled)

    def embed(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to embeddings (B, D)."""
        return self.pool(self.main(self.high_pass(images)))

    def features(self, images: Tensor) -> Features:
        """Map normalised images (B, 3, H, W) to embeddings, and statistics of the trace blocks."""
        maps, traces = self.high_pass(images), []
        for number, block in enumerate(self.main):
            maps = block(maps)
            if number in self.trace_blocks:
                traces.append(channel_statistics(maps))
        return Features(self.pool(maps), torch.cat(traces, dim=1))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, K)."""
        return self.logits(self.embed(images))

    def scores(self, embeddings: Tensor) -> Tensor:
        """Map embeddings (N, D) to scores (N, C, K) of no change, then each, and class."""
        parts = 1 + len(self.changes), len(self.classes)
        return self.classification_head(embeddings).unflatten(1, parts)

    def logits(self, embeddings: Tensor) -> Tensor:
        """Map embeddings (N, D) to logits (N, K), whatever the change."""
        return self.scores(embeddings).logsumexp(dim=1)

    def change_numbers(self, embeddings: Tensor) -> Tensor:
        """Number what images seem to have undergone, (N,): 0 nothing, then `changes` in order."""
        return self.scores(embeddings).logsumexp(dim=2).argmax(dim=1)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Turn one uint8 image (H, W, 3) into the views (V, h, w, 3) that the network votes over.

        Raises:
            ValueError: the image is smaller than a patch, or than the network can take.
        """
        for side in (self.input.resize_first, self.input.resize):
            image = image if side is None else resize(image, side, self.input.resize_filter)
        if self.input.vote == "whole":
            self.require_size(*image.shape[:2])
            return image[None]
        patches = grid_patches(image, self.input.patch)
        if self.input.vote == "patches":
            return patches
        return np.concatenate([turned(patches, copy) for copy in range(TURNS)])

    def require_size(self, height: int, width: int) -> None:
        """Raise a ValueError if the network cannot take an image of that size."""
        if min(height, width) < self.smallest:
            raise ValueError(
                f"image is {width}x{height} pixels, smaller than the {self.smallest}x"
                f"{self.smallest} that this model needs; use a larger image"
            )

    @torch.no_grad()
    def infer(self, views: Sequence[np.ndarray], batch_pixels: int = 2**17) -> Features:
        """Make the features of N images' views, in one stream of batches.

        The scores are linear, so the mean embedding of an image's patches gives the mean of their
        scores: the vote.

        Args:
            views: For each image, uint8 (V, h, w, 3); those of one h and w run together.
            batch_pixels: Pixels a forward pass, about: what bounds the memory.

        Returns:
            Means over the views of each image.

        Raises:
            ValueError: views are smaller than the network can take.
        """
        self.eval()
        for view in views:
            self.require_size(*view.shape[1:3])
        if len(sizes := dict.fromkeys(v.shape[1:3] for v in views)) > 1:
            groups = [[i for i, v in enumerate(views) if v.shape[1:3] == size] for size in sizes]
            parts = [self.infer([views[i] for i in group], batch_pixels) for group in groups]
            order = np.argsort(np.concatenate(groups))
            return Features(*(part[order] for part in join_features(parts)))
        device = next(self.classification_head.parameters()).device
        stacked = np.concatenate(list(views))
        batch_size = max(1, batch_pixels // (stacked.shape[1] * stacked.shape[2]))
        chunks = [
            self.features(normalise(torch.from_numpy(part).to(device)))
            for part in np.array_split(stacked, -(-len(stacked) // batch_size))
        ]
        counts = [len(v) for v in views]
        return Features(
            *(
                torch.stack([views_of_one.mean(dim=0) for views_of_one in part.split(counts)])
                for part in join_features(chunks)
            )
        )

    @torch.no_grad()
    def probabilities(self, embeddings: Tensor) -> Tensor:
        """Map embeddings (N, D) to class probabilities (N, K), calibrated for the change seen."""
        logits = self.logits(embeddings)
        if not self.calibrations:
            return (logits / self.temperature).softmax(dim=1)
        temperatures = logits.new_tensor([found.temperature for found in self.calibrations])
        return (logits / temperatures[self.change_numbers(embeddings), None]).softmax(dim=1)

    @torch.no_grad()
    def tells(self, embeddings: Tensor) -> np.ndarray:
        """Whether the most probable class of N images may be named: booleans (N,).

        Not where dev images changed as these seem to be are named rightly too seldom, or the class
        is not probable enough.
        """
        if not self.calibrations:
            return np.ones(len(embeddings), bool)
        accuracies = np.array([found.accuracy for found in self.calibrations])
        numbers = self.change_numbers(embeddings).cpu().numpy()
        confidence = self.probabilities(embeddings).max(dim=1).values.cpu().numpy()
        return (accuracies[numbers] >= LEAST_ACCURACY) & (confidence >= LEAST_CONFIDENCE)

    @torch.no_grad()
    def finite(self, found: Features) -> np.ndarray:
        """Whether all that follows from the features of N images is finite: booleans (N,)."""
        logits = self.logits(found.embeddings) / self.temperature
        rows = torch.cat([found.embeddings, found.traces, logits], dim=1).isfinite().all(dim=1)
        if self.reference is not None and self.reference.means.shape[1] == found.traces.shape[1]:
            rows &= self.unknown_score(found.traces).isfinite()
        return rows.cpu().numpy()

    def overflow(self, image: object, number: int = 0) -> str:
        """Say that the numbers of an image are not finite, so that there is no answer."""
        name = image if isinstance(image, Path | str) else f"image {number}"
        lost = not all(part.isfinite().all() for part in self.state_dict().values())
        reason = "its weights are too large; train it anew or use another checkpoint"
        if lost:
            reason = "its training diverged; lower the learning rate"
        model = self.origin if self.sha256 else "the model"
        return f"{name}: {model} gives numbers that are not finite, so no answer: {reason}"

    def attribute(self, images: Sequence[Path | str | Image.Image | np.ndarray]) -> Attribution:
        """Say for each image which class it comes from.

        Args:
            images: Paths, PIL images (converted as files are) or uint8 arrays (H, W, 3), of any
                sizes.

        Raises:
            ValueError: no images, an image is smaller than a patch (the file is named), an array
                is not uint8 (H, W, 3), a PIL image cannot be brought to 8 bits, or the model's
                weights are so large that an image's numbers are not finite.
            OSError: a file cannot be read as an image; the file is named.
        """
        from dnadet_lib.inference import all_features  # it needs this module

        if len(images) == 0:
            raise ValueError("no images given: attribute needs at least one")
        return self.attribution(all_features(self, images))

    def attribution(self, found: Features) -> Attribution:
        """Say of the features of N images which classes they come from."""
        probabilities = self.probabilities(found.embeddings).cpu().numpy()
        scores = self.unknown_score(found.traces).cpu().numpy()
        labels = [self.classes[k] for k in probabilities.argmax(axis=1)]
        tells = self.tells(found.embeddings).tolist()
        numbers = self.change_numbers(found.embeddings).tolist()
        return Attribution(
            probabilities,
            labels,
            [name if told else None for name, told in zip(labels, tells, strict=True)],
            [("", *self.changes)[number] for number in numbers],
            found.embeddings.cpu().numpy(),
            scores,
            self.known(scores),
        )

    def known(self, scores: np.ndarray) -> np.ndarray:
        """Whether unknown scores (N,) are under the threshold; masked where there is no score."""
        known = ~(scores > self.threshold)
        return known if self.reference is not None else np.ma.masked_array(known, True)

    def views_of(self, image: Path | str | Image.Image | np.ndarray) -> np.ndarray:
        """Prepare an image of any kind: uint8 views (V, h, w, 3); errors name its file."""
        return self.views_and_share(image).views

    def views_and_share(self, image: Path | str | Image.Image | np.ndarray) -> Views:
        """Prepare an image of any kind, and say how much of it the views show.

        Raises:
            ValueError: as `attribute`; the file is named.
            OSError: as `attribute`.
        """
        if isinstance(image, Path | str):
            try:
                return self._views(*read_coded(Path(image)))
            except ValueError as error:
                raise ValueError(f"{image}: {error}") from error
        if isinstance(image, Image.Image):
            image = as_rgb(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"array of {image.dtype} {image.shape}: expected uint8 (H, W, 3), red first"
            )
        return self._views(image)

    def _views(self, image: np.ndarray, coding: Coding = NO_FILE) -> Views:
        views, history = self.prepare(image), history_of(image, coding)
        if self.input.vote == "whole":
            return Views(views, 1.0, history)
        side = self.input.resize or self.input.resize_first
        height, width = (side, side) if side is not None else image.shape[:2]
        return Views(views, grid_share(height, width, self.input.patch), history)

    def unknown_score(self, traces: Tensor) -> Tensor:
        """Relative Mahalanobis distance of traces (N, T) to those of the known images.

        The squared distance to the nearest class mean, in deviations within the classes, less the
        squared distance to the mean of all, in deviations over all; mean over traces and blocks. An
        image of odd content is far in both, an image of a new architecture in the first alone.

        Returns:
            (N,) scores, NaN where the checkpoint holds no distances.

        Source:
            Lee et al. 2018 (Mahalanobis distance); Ren et al. 2021 (relative to the one of all).
        """
        if self.reference is None:
            return torch.full((len(traces),), float("nan"))
        return relative_distance(squared_distances(traces, self.reference))


def join_features(parts: Sequence[Features]) -> Features:
    """Join the features of batches."""
    return Features(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


class ProjectionHead(nn.Sequential):
    """Linear, ReLU, linear to 128, L2 normalisation: what the contrastive loss sees."""

    def __init__(self, features: int, projected: int = 128) -> None:
        super().__init__(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projected)
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map embeddings (B, D) to unit vectors (B, 128)."""
        return F.normalize(super().forward(embeddings), dim=1)


def save_model(model: DNADet, path: Path, **notes: object) -> None:
    """Write weights and configuration to one safetensors file, atomically.

    Args:
        model: What to save.
        path: File to write, `.safetensors`.
        notes: JSON values kept in the header, such as seed and preset.

    Raises:
        ValueError: a weight, the temperature, the threshold or a note is not finite; it is named,
            and nothing is written.
    """
    if np.isnan(model.threshold):
        raise ValueError(f"{path}: not written: threshold {model.threshold}: must be a number")
    config = {
        "classes": model.classes,
        "width": model.width,
        "input": asdict(model.input),
        "blocks": len(model.main),
        "discriminant": model.discriminant,
        "backbones": model.backbones,
        "changes": model.changes,
        "trace_blocks": model.trace_blocks,
        "temperature": model.temperature,
        "threshold": model.threshold if np.isfinite(model.threshold) else None,
        "notes": notes,
    }
    if model.calibrations:
        config["calibrations"] = [asdict(found) for found in model.calibrations]
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if model.reference is not None:
        parts = [model.reference.means, *model.reference.precisions]
        named = zip(_reference_names(model), parts, strict=True)
        tensors |= {name: part.cpu().contiguous() for name, part in named}
    try:
        check_temperature(model.temperature)
        check_calibrations(config.get("calibrations"), model.changes)
        header = json.dumps(config, allow_nan=False)
        for name, tensor in tensors.items():
            checked_tensor(name, tensor, tensor.dtype, "weights")
    except ValueError as error:
        raise ValueError(f"{path}: not written: {error}") from None
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER: header})


def shipped_file(name: str | Path) -> Path:
    """Return where a shipped checkpoint of that name lies, or would lie."""
    return data_folder() / "checkpoints" / f"{name}.safetensors"


def find_checkpoint(path_or_name: str | Path) -> Path:
    """Return a checkpoint's file.

    Raises:
        FileNotFoundError: neither a file nor a shipped name.
    """
    path = Path(path_or_name)
    if path.is_file():
        return path
    path = shipped_file(path_or_name)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in path.parent.glob("*.safetensors")))
        raise FileNotFoundError(
            f"{path_or_name}: neither a checkpoint file nor a shipped name ({names})"
        )
    return path


def load_model(path_or_name: str | Path, classes: Sequence[str] | None = None) -> DNADet:
    """Load a checkpoint.

    What kind of file it is follows from what is in it. Weights of the method's public release are a
    state dict, as `.pth` or safetensors; a dict that wraps it is opened, and a prefix such as
    `module.` is taken off: both are told on stderr. Weights in half or double precision become
    float32. Nothing is allocated before the header has been checked against the tensors' shapes.

    Args:
        path_or_name: A file of ours, a released one, or the name of a shipped checkpoint such as
            "pocket".
        classes: Names of the classes of a file that does not hold them, such as a released one;
            else they are numbered. Of one that does, they must be the file's own.

    Returns:
        The model, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: neither a file nor a shipped name.
        ValueError: the file is not a checkpoint, its header is at fault, a tensor is missing,
            unexpected, of the wrong shape or type, or not finite, or the names are not the file's;
            the file is named, and the tensor or field.
    """
    path = find_checkpoint(path_or_name)
    file = read_weights(path)
    for note in file.notes:
        print(f"{path}: {note}", file=sys.stderr)
    model = _ours(path, file) if file.header is not None else _released(path, file.tensors)
    if classes is not None:
        model.classes = _given_names(model, classes, path)
    model.origin, model.sha256 = str(path_or_name), sha256_of(path)
    LOG.info("model %s: loaded from %s, SHA-256 %s", path_or_name, path.resolve(), model.sha256)
    return model.eval()


def holds_names(path_or_name: str | Path) -> bool:
    """Whether a checkpoint holds its classes' names, as ours do; raises what `load_model` does."""
    return read_weights(find_checkpoint(path_or_name)).header is not None


def _ours(path: Path, file: WeightFile) -> DNADet:
    """Make the model of a file with our header."""
    try:
        config = parse_configuration(
            file.header or "", BLOCKS, [field.name for field in fields(InputSpec)]
        )
        with torch.device("meta"):  # shapes alone, no memory
            plan = _configured(config)
    except ValueError as error:
        raise ValueError(f"{path}: not a dnadet checkpoint ({error})") from None
    plan.trace_blocks = config.trace_blocks or plan.trace_blocks
    reference = _reference(plan, file.tensors, path)
    check_shapes(plan, file.tensors, path)
    model = _configured(config)
    load_weights(model, file.tensors, path)
    model.trace_blocks, model.reference = plan.trace_blocks, reference
    model.temperature, model.threshold = config.temperature, config.threshold
    model.calibrations = config.calibrations
    model.named = True
    return model


def _configured(config: Configuration) -> DNADet:
    """Make a model as a header says, with weights at random."""
    return DNADet(
        len(config.classes), config.width, classes=config.classes,
        input=InputSpec(**config.input), blocks=config.blocks or BLOCKS,
        discriminant=config.discriminant, backbones=config.backbones,
        changes=config.changes,
    )  # fmt: skip


def _reference(model: DNADet, tensors: dict[str, Tensor], path: Path) -> Distances | None:
    """Take what the unknown score needs out of a checkpoint's tensors."""
    names, sizes = _reference_names(model), model.trace_sizes
    found = [tensors.pop(name, torch.empty(0)) for name in names]
    if all(tensor.numel() == 0 for tensor in found):
        return None
    expected = [(len(model.classes) + 1, sum(sizes)), *((2, size, size) for size in sizes)]
    for name, tensor, shape in zip(names, found, expected, strict=True):
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{path}: tensor {name!r} has shape {tuple(tensor.shape)}, expected {shape}"
            )
    pairs = zip(names, found, strict=True)
    found = [checked_tensor(name, tensor, torch.float32, path) for name, tensor in pairs]
    return Distances(found[0], found[1:])


def _reference_names(model: DNADet) -> list[str]:
    blocks = (f"reference.precisions.{block}" for block in model.trace_blocks)
    return ["reference.means", *blocks]


def _given_names(model: DNADet, classes: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return the names that a caller gives to the classes, unless the file has others."""
    if len(classes) != len(model.classes):
        raise ValueError(
            f"{path}: {len(classes)} class names given for {len(model.classes)} classes"
        )
    if model.named and tuple(classes) != model.classes:
        raise ValueError(
            f"{path}: classes {', '.join(map(shown, classes))} given, but the checkpoint has names "
            f"of its own: {', '.join(map(shown, model.classes))}; leave the argument out"
        )
    try:
        return check_class_names(list(classes))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _released(path: Path, tensors: dict[str, Tensor]) -> DNADet:
    """Make the model of a state dict without a header, laid out as the method's release."""
    head = tensors.get(HEAD)
    if head is None or head.ndim != 2 or not _is_release(*head.shape):
        found = "no such tensor" if head is None else f"shape {tuple(head.shape)}"
        mixed = [n for n in tensors if n.endswith(f".{HEAD}")] if head is None else []
        hint = f"; only some names have the prefix of {shown(mixed[0])}" if mixed else ""
        raise ValueError(
            f"{path}: not a dnadet checkpoint, nor a DNA-Det release ({HEAD!r}: {found}, expected "
            f"(classes, 8 * width){hint})"
        )
    try:
        with torch.device("meta"):
            plan = DNADet(head.shape[0], head.shape[1] // 8)
    except ValueError as error:
        raise ValueError(f"{path}: not a dnadet checkpoint ({error})") from None
    check_shapes(plan, tensors, path)
    model = DNADet(head.shape[0], head.shape[1] // 8)
    load_weights(model, tensors, path)
    return model


def _is_release(classes: int, features: int) -> bool:
    """Whether a classifier's shape is that of a whole network, which tells classes apart."""
    return classes > 1 and 8 <= features <= 8 * WIDTH_AT_MOST and features % 8 == 0


def check_shapes(model: nn.Module, tensors: dict[str, Tensor], source: Path | str) -> None:
    """Compare tensors with those of a model, which may be on the `meta` device.

    Raises:
        ValueError: a tensor is missing, unexpected or of the wrong shape; it is named.
    """
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    tensors = {k: v for k, v in tensors.items() if not k.startswith(DROPPED_KEYS)}
    optional = {k for k in expected if k.endswith("num_batches_tracked")}
    if missing := sorted(expected.keys() - tensors.keys() - optional):
        raise ValueError(f"{source}: tensor {missing[0]!r} is missing ({len(missing)} in all)")
    if unexpected := sorted(tensors.keys() - expected.keys()):
        count = len(unexpected)
        raise ValueError(f"{source}: unexpected tensor {shown(unexpected[0])} ({count} in all)")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name]:
            raise ValueError(
                f"{source}: tensor {name!r} has shape {tuple(tensor.shape)}, "
                f"expected {expected[name]}"
            )


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: Path | str) -> None:
    """Copy tensors into a model, all of them or none; other float types become the model's.

    Raises:
        ValueError: a tensor is missing, unexpected, of the wrong shape or type, or not finite; it
            is named.
    """
    check_shapes(model, tensors, source)
    types = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    model.load_state_dict(
        {
            name: checked_tensor(name, tensor, types[name], source)
            for name, tensor in tensors.items()
            if name in types
        },
        strict=False,
    )


def require_architectures(model: DNADet) -> None:
    """Refuse a model of stage 1, whose classes are image transformations, where answers are wanted.

    Raises:
        ValueError: it is one; the checkpoint is named, with what to use instead.
    """
    if all(TRANSFORMED.match(name) for name in model.classes):
        raise ValueError(
            f"{model.origin}: a checkpoint of stage 1: its {len(model.classes)} classes are image "
            "transformations, no architectures; use one of stage 2, such as pocket, or make one "
            f"with `dnadet train --pretrained {model.origin}`"
        )


def join_backbones(networks: Sequence[DNADet]) -> DNADet:
    """Put the backbones of pre-trained networks side by side in one, with a new classifier.

    The filters of their first convolutions see the same image; each later one sees the channels of
    its own backbone alone.

    Args:
        networks: One or more, of as many blocks; a single one is returned as it is.

    Raises:
        ValueError: two differ in width, front end or number of blocks; the values are named.
    """
    first = networks[0]
    if len(networks) == 1:
        return first
    joined = DNADet(
        len(first.classes), first.width, classes=first.classes, input=first.input,
        blocks=len(first.main), backbones=sum(network.backbones for network in networks),
    )  # fmt: skip
    for network in networks:
        require_fit(network, joined)
    states = [network.main.state_dict() for network in networks]
    joined.main.load_state_dict(
        {
            name: torch.cat([state[name] for state in states]) if tensor.ndim else tensor
            for name, tensor in states[0].items()
        }
    )
    joined.origin = " + ".join(network.origin for network in networks)
    return joined.eval()


def transfer_backbone(model: DNADet, pretrained: DNADet) -> None:
    """Start a model from the backbone of a pre-trained one; the classifier stays as it is.

    Raises:
        ValueError: the two differ in width, front end or number of backbones, or the pre-trained
            one has fewer blocks; the values are named.
    """
    require_fit(pretrained, model)
    if pretrained.backbones != model.backbones:
        raise ValueError(
            f"{pretrained.origin} has {pretrained.backbones} backbones, {model.backbones} needed"
        )
    model.main.load_state_dict(pretrained.main[: len(model.main)].state_dict())


def require_fit(pretrained: DNADet, model: DNADet) -> None:
    """Refuse a pre-trained model whose blocks are not those of another; the values are named."""
    if len(pretrained.main) < len(model.main):
        raise ValueError(
            f"{pretrained.origin} has {len(pretrained.main)} blocks, {len(model.main)} needed"
        )
    if (model.width, model.input.high_pass) != (pretrained.width, pretrained.input.high_pass):
        raise ValueError(
            f"{pretrained.origin} has width {pretrained.width} and high-pass "
            f"{pretrained.input.high_pass}; needed: {model.width} and {model.input.high_pass}"
        )


__all__ = [
    "Attribution",
    "DNADet",
    "Distances",
    "Features",
    "InputSpec",
    "ProjectionHead",
    "Views",
    "channel_statistics",
    "find_checkpoint",
    "holds_names",
    "join_backbones",
    "load_model",
    "load_weights",
    "relative_distance",
    "require_architectures",
    "save_model",
    "shipped_file",
    "squared_distances",
    "transfer_backbone",
]
