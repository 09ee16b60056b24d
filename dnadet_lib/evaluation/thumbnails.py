"""Thumbnail leak: the accuracy of a small network on images in which no fingerprint is left.

Each image is box-averaged to 8x8 or 16x16 pixels, or blurred at full size to what is in 16x16. What
a network still names then is content, colour and layout, and shows nothing about fingerprints.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.intervals import Interval
from dnadet_lib.evaluation.results import scored_accuracy
from dnadet_lib.images.reading import read_image

FULL = 64  # pixels a side of the blurred image
EPOCHS = 12
BATCH = 64
RATE = 2e-3
WIDTH = 32


def box_average(pixels: np.ndarray, side: int) -> np.ndarray:
    """Average a uint8 image (H, W, 3) over boxes: uint8 (side, side, 3)."""
    return cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)


def low_pass(pixels: np.ndarray) -> np.ndarray:
    """Blur a uint8 image (H, W, 3) until no more is left than in 16x16: uint8 (64, 64, 3).

    The Gaussian's deviation is half the side of one of the 16x16 boxes: 0.29 of the amplitude is
    left at the highest frequency that 16x16 pixels can hold, and 0.007 at twice that.
    """
    height, width = pixels.shape[:2]
    blurred = cv2.GaussianBlur(
        pixels, (0, 0), sigmaX=width / 32, sigmaY=height / 32, borderType=cv2.BORDER_REFLECT
    )
    return box_average(blurred, FULL) if (height, width) != (FULL, FULL) else blurred


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "8x8": lambda pixels: box_average(pixels, 8),
    "16x16": lambda pixels: box_average(pixels, 16),
    "low-pass": low_pass,
}


class ThumbnailNet(nn.Module):
    """3x3 convolutions, halving the size until 4x4 pixels are left, then a linear classifier."""

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        if side > 16:  # what is blurred has no detail: read it with a large stride
            layers += [nn.Conv2d(3, WIDTH, 8, 4, 2), nn.BatchNorm2d(WIDTH), nn.ReLU()]
            channels, side = WIDTH, side // 4
        while side >= 4:
            width = WIDTH * (1 if channels == 3 else 2)
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.AvgPool2d(2)] if side > 4 else []
            channels, side = width, side // 2
        layers += [nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * channels, classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, side, side) in [-1, 1] to logits (B, K)."""
        return self.layers(x)


def _as_input(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def fit_network(pixels: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0) -> nn.Module:
    """Train a `ThumbnailNet`, classes weighted so that each counts the same.

    `pixels` are uint8 (N, side, side, 3) with a side of 8, 16 or 64, `labels` (N,) class numbers.
    The seed is that of the start, the order and the mirroring.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ThumbnailNet(pixels.shape[1], classes)
        counts = np.maximum(np.bincount(labels, minlength=classes), 1)
        weights = torch.tensor(len(labels) / (classes * counts), dtype=torch.float32)
        targets = torch.from_numpy(np.asarray(labels, np.int64))
        steps = EPOCHS * math.ceil(len(labels) / BATCH)
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(labels)).split(BATCH):
                x = _as_input(pixels[batch.numpy()])
                x = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
                loss = F.cross_entropy(network(x), targets[batch], weights)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return network.eval()


@torch.no_grad()
def class_probabilities(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) that a network gives to uint8 images (N, side, side, 3)."""
    parts = [network(_as_input(chunk)).softmax(1) for chunk in np.array_split(
        pixels, max(1, len(pixels) // 500))]  # fmt: skip
    return torch.cat(parts).numpy()


@dataclass(frozen=True)
class Judges:
    """Networks trained on the views of one list, by view; `classes` as in that list."""

    networks: dict[str, nn.Module]
    classes: tuple[str, ...]


def views_of(images: ImageSet) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Make every view, uint8 (N, side, side, 3), of the readable images; list their positions."""
    views: dict[str, list[np.ndarray]] = {name: [] for name in VIEWS}
    kept = []
    for number, path in enumerate(images.paths):
        try:
            pixels = read_image(path)
        except OSError:
            continue  # `audit.image_facts` says so
        kept.append(number)
        for name, view in VIEWS.items():
            views[name].append(view(pixels))
    return {name: np.stack(v) for name, v in views.items() if v}, np.array(kept, int)


def train_judges(images: ImageSet, seed: int = 0) -> Judges:
    """Train a network for every view on a list; a ValueError if no image could be read."""
    views, kept = views_of(images)
    if not views:
        raise ValueError("no image could be read")
    labels = np.asarray(images.labels)[kept]
    return Judges(
        {
            name: fit_network(pixels, labels, len(images.classes), seed)
            for name, pixels in views.items()
        },
        images.classes,
    )


def thumbnail_leak(judges: Judges, images: ImageSet) -> dict[str, Interval]:
    """Accuracy of judges on a list by view, mean over generators; empty if classes do not fit."""
    present = {images.classes[k] for k in set(images.labels)}
    if len(judges.classes) < 2 or not present <= set(judges.classes):
        return {}
    truth = np.asarray(images.with_classes(judges.classes).labels)
    views, kept = views_of(images)
    sources = np.array(images.makers)[kept]
    said = {name: class_probabilities(judges.networks[name], v) for name, v in views.items()}
    return {k: scored_accuracy(truth[kept], p, sources, judges.classes) for k, p in said.items()}
