"""DNA-Det's network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from dnadet_lib.attribution import Attribution, Features, attribution
from dnadet_lib.inference import image_features
from dnadet_lib.patches import FILTERS, resize
from dnadet_lib.plumbing.convolving import convolve
from dnadet_lib.plumbing.text import check_changes, check_class_names, is_whole, shown
from dnadet_lib.unknown import Distances

BLOCKS = 8
TRACE_BLOCKS = (2,)  # of `main`: chosen on dev, data/results/unknown_blocks.csv
SMALL = 0.05  # of a channel's deviation: the log of less is of no account
TINY = 1e-20
VOTES = ("whole", "patches", "turned")
SIDES = (8, 8192)  # pixels: what an image may be resized to


class ConvolutionBlock(nn.Module):
    """Convolution, batch norm, LeakyReLU 0.2. Even blocks halve the image, odd ones keep it."""

    def __init__(self, c_in: int, c_out: int, halve: bool) -> None:
        super().__init__()
        kernel, stride = (4, 2) if halve else (3, 1)
        self.main = nn.Sequential(
            nn.Conv2d(c_in, c_out, kernel, stride, padding=1),
            nn.BatchNorm2d(c_out),
            nn.LeakyReLU(0.2, inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W').

        Where nothing is learned, batch norm is a fixed scale and shift of each channel. These go
        into the weights of the convolution: the same but for rounding, and a pass less.
        """
        convolution, norm, activation = self.main
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, _BatchNorm)
        weight, bias = convolution.weight, convolution.bias
        fixed = not (self.training or torch.is_grad_enabled())
        if fixed:
            assert norm.running_mean is not None and norm.running_var is not None
            weight, bias = fuse_conv_bn_weights(
                weight, bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
        assert bias is not None
        maps = convolve(x, weight, bias, convolution.stride[0], int(convolution.padding[0]))
        return activation(maps if fixed else norm(maps))


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

    def resized_first(self, image: np.ndarray) -> np.ndarray:
        """Put a uint8 image (H, W, 3) through the first resize, if there is one."""
        side = self.resize_first
        return image if side is None else resize(image, side, self.resize_filter)

    def resized(self, image: np.ndarray) -> np.ndarray:
        """Resize a uint8 image (H, W, 3) as it is before patches are cut, if it is at all."""
        image = self.resized_first(image)
        return image if self.resize is None else resize(image, self.resize, self.resize_filter)


def channel_statistics(maps: Tensor) -> Tensor:
    """Map (B, C, H, W) to the channels' means and log deviations over the image, (B, 2 * C).

    Not by `torch.std_mean`, which takes six times as long with channels last.
    """
    means = maps.mean(dim=(2, 3), keepdim=True)
    variances = (maps - means).square().mean(dim=(2, 3))
    deviations = variances.clamp(min=TINY).sqrt()  # the root of 0 has no gradient
    return torch.cat([means.flatten(1), (deviations + SMALL).log()], dim=1)


class DNADet(nn.Module):
    """DNA-Det: four stages of two convolutions, average pooling, dropout, a linear classifier.

    With `discriminant`, the last block's channels are described by mean and deviation, and
    whitened: in that space the variance within the classes is the same in every direction, and the
    classifier takes the nearest class mean (Fisher's discriminant). With `changes`, each class has
    a mean of its images as they are and one of copies changed in each way (Hastie and Tibshirani
    1996).

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

    Source: Yang et al. 2022, section 4.2; parameter names follow its public release.
    """

    def __init__(
        self, num_classes: int, width: int = 64, *, classes: Sequence[str] | None = None,
        input: InputSpec | None = None, blocks: int = BLOCKS, discriminant: bool = False,
        changes: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        if not 1 <= blocks <= BLOCKS:
            raise ValueError(f"{blocks} blocks: choose 1 to {BLOCKS}")
        self.width, self.discriminant = width, discriminant
        self.changes = check_changes(list(changes))
        self.classes = check_class_names(list(classes or (str(k) for k in range(num_classes))))
        if len(self.classes) != num_classes:
            raise ValueError(f"{len(self.classes)} class names given for {num_classes} classes")
        self.input = input or InputSpec()
        self.smallest = 2 ** math.ceil(blocks / 2)
        if self.input.vote != "whole" and self.input.patch < self.smallest:
            raise ValueError(
                f"input patch {self.input.patch}: {blocks} blocks need {self.smallest} or more"
            )
        self.temperature, self.threshold = 1.0, float("inf")
        self.calibrations: tuple[Calibration, ...] = ()
        self.reference: Distances | None = None
        self.origin = "pre-trained model"  # for messages; a loaded one names its checkpoint
        self.sha256, self.named = "", False
        shared = tuple(block for block in TRACE_BLOCKS if block < blocks)
        self.trace_blocks = shared or (blocks - 1,)
        self.channels = channels = [3, *(width * 2 ** (k // 2) for k in range(BLOCKS))]
        self.high_pass = HighPass() if self.input.high_pass else nn.Identity()
        pairs = enumerate(pairwise(channels[: blocks + 1]))
        self.main = nn.Sequential(
            *(ConvolutionBlock(a, b, i % 2 == 0) for i, (a, b) in pairs)
        )
        self.embedding_size = pooled = channels[blocks] * (2 if discriminant else 1)
        self.whitening = nn.Linear(pooled, pooled) if discriminant else nn.Identity()
        outputs = num_classes * (1 + len(self.changes))
        self.classification_head = nn.Sequential(nn.Dropout(0.2), nn.Linear(pooled, outputs))

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
        if len(images) == 0:
            raise ValueError("no images given: attribute needs at least one")
        return attribution(self, image_features(self, images))


class ProjectionHead(nn.Sequential):
    """Linear, ReLU, linear to 128, L2 normalisation: what the contrastive loss sees."""

    def __init__(self, features: int, projected: int = 128) -> None:
        super().__init__(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projected)
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map embeddings (B, D) to unit vectors (B, 128)."""
        return F.normalize(super().forward(embeddings), dim=1)


@dataclass(frozen=True)
class Calibration:
    """How far answers on images of one change can be trusted, measured on changed dev images."""

    temperature: float
    accuracy: float
