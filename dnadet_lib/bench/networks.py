"""Rivals of DNA-Det that are neural networks, as scikit-learn estimators."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.bench.baselines import (
    CHUNK,
    check_images,
    check_labels,
    scaled_spectra,
    spectrum_scaler,
)
from dnadet_lib.model import HighPass
from dnadet_lib.patches import normalise
from dnadet_lib.plumbing.devices import chosen_device, fast_bf16
from dnadet_lib.zoo.layers import EqualizedConv2d


class NetworkClassifier(ClassifierMixin, BaseEstimator):
    """A network trained with cross-entropy; a subclass says which, and what it sees.

    Args:
        high_pass: Whether the fixed high-pass front end comes first.
        epochs: Passes over the images.
        learning_rate: Of Adam, at the start; it falls to zero along a half cosine.
        batch_size: Images per step.
        seed: Of weights, order and flips.
    """

    betas = (0.9, 0.999)  # of Adam
    flips = False  # whether half of the training images are mirrored

    def __init__(
        self, high_pass: bool = False, epochs: int = 10, learning_rate: float = 1e-3,
        batch_size: int = 64, seed: int = 0,
    ) -> None:  # fmt: skip
        self.high_pass = high_pass
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.seed = seed

    def _build(self, side: int, classes: int) -> nn.Module:
        """Make the network for images of `side` pixels."""
        raise NotImplementedError

    def _inputs(self, images: np.ndarray) -> Tensor:
        """Turn uint8 images (B, H, W, 3) into what the network sees, (B, 3, H, W)."""
        raise NotImplementedError

    def fit(self, images: np.ndarray, labels: ArrayLike) -> "NetworkClassifier":
        """Learn the classes of square uint8 images (N, H, H, 3) with labels (N,).

        A ValueError if they are not as described, or of a size that the network cannot take.
        """
        images = check_images(images)
        if images.shape[1] != images.shape[2]:
            raise ValueError(f"images of {images.shape[2]}x{images.shape[1]} pixels: give squares")
        self.classes_, numbers = check_labels(images, labels)
        self.size_ = images.shape[1:]
        self._prepare(images)
        self.device_ = chosen_device()
        torch.manual_seed(self.seed)
        network = self._build(images.shape[1], len(self.classes_))
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network_ = network.to(self.device_)
        optimiser = torch.optim.Adam(self.network_.parameters(), self.learning_rate, self.betas)
        steps = self.epochs * math.ceil(len(images) / self.batch_size)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        rng = np.random.default_rng(self.seed)
        self.history_ = [
            self._train_epoch(images, numbers, optimiser, scheduler, rng)
            for _ in range(self.epochs)
        ]
        return self

    def _prepare(self, images: np.ndarray) -> None:
        """Take what is needed of the training images before the first step."""

    def _train_epoch(
        self, images: np.ndarray, numbers: np.ndarray, optimiser: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler, rng: np.random.Generator,
    ) -> float:  # fmt: skip
        """Pass over the images once, in random order; return the mean loss."""
        self.network_.train()
        losses, bf16 = [], fast_bf16(self.device_)
        order = rng.permutation(len(images))
        for start in range(0, len(order), self.batch_size):
            index = order[start : start + self.batch_size]
            batch = images[index]
            if self.flips:
                mirrored = rng.random(len(batch)) < 0.5
                batch[mirrored] = batch[mirrored, :, ::-1]
            inputs = self._inputs(batch).to(self.device_)
            with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
                logits = self.network_(inputs)
            targets = torch.from_numpy(numbers[index]).to(self.device_)
            loss = F.cross_entropy(logits.float(), targets)
            if not loss.isfinite():
                raise ValueError(
                    f"step {start // self.batch_size + 1} of an epoch: training diverges, the loss "
                    f"is {loss.item()}; try a smaller learning rate (now {self.learning_rate:g})"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            scheduler.step()
            losses.append(loss.item())
        return float(np.mean(losses))

    @torch.no_grad()
    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) of uint8 images (N, H, W, 3)."""
        check_is_fitted(self)
        images = check_images(images, self.size_)
        self.network_.eval()
        parts = [
            self.network_(self._inputs(images[start : start + CHUNK]).to(self.device_))
            for start in range(0, len(images), CHUNK)
        ]
        return torch.cat(parts).softmax(dim=1).cpu().numpy()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Name the class of each uint8 image (N, H, W, 3)."""
        probabilities = self.predict_proba(images)
        return self.classes_[probabilities.argmax(axis=1)]


class AttNet(NetworkClassifier):
    """Two 3x3 convolutions at every resolution down to 4 pixels; no batch norm.

    `width` is the number of channels at 128 pixels, 16 as published; they double with every
    halving. Source: Yu et al. 2019, section 3.1, after the critic of Karras et al. 2018.
    """

    betas = (0.0, 0.99)
    flips = True

    def __init__(
        self, high_pass: bool = False, epochs: int = 10, learning_rate: float = 1e-3,
        batch_size: int = 64, seed: int = 0, width: int = 16,
    ) -> None:  # fmt: skip
        super().__init__(high_pass, epochs, learning_rate, batch_size, seed)
        self.width = width

    def _build(self, side: int, classes: int) -> nn.Module:
        return attnet(side, classes, self.width, self.high_pass)

    def _inputs(self, images: np.ndarray) -> Tensor:
        return normalise(torch.from_numpy(images))


def attnet(side: int, classes: int, width: int = 16, high_pass: bool = False) -> nn.Sequential:
    """Build AttNet for images of a side of 8, 16, 32, ... pixels; a ValueError for other sides."""
    if side not in [2**power for power in range(3, 12)] or width * 128 % side:
        raise ValueError(f"images of {side}x{side} pixels: AttNet needs a power of two, 8 or more")

    def convolution(c_in: int, c_out: int, kernel: int = 3) -> list[nn.Module]:
        padding = 1 if kernel == 3 else 0
        return [EqualizedConv2d(c_in, c_out, kernel, padding=padding), nn.LeakyReLU(0.2)]

    layers: list[nn.Module] = [HighPass()] if high_pass else []
    channels, c_in = width * 128 // side, 3
    while side > 4:
        layers += [*convolution(c_in, channels), *convolution(channels, 2 * channels)]
        layers.append(nn.AvgPool2d(2))
        side, channels, c_in = side // 2, 2 * channels, 2 * channels
    layers += [*convolution(c_in, c_in), *convolution(c_in, c_in, 4)]
    return nn.Sequential(*layers, EqualizedConv2d(c_in, classes, 1), nn.Flatten())


class DCTCNN(NetworkClassifier):
    """Standardised log DCT coefficients and a small convolutional network (Frank 2020, 5)."""

    def _build(self, side: int, classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(),
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * (side // 4) ** 2, classes),
        )  # fmt: skip

    def _prepare(self, images: np.ndarray) -> None:
        self.scaler_ = spectrum_scaler(images, self.high_pass)

    def _inputs(self, images: np.ndarray) -> Tensor:
        spectra = scaled_spectra(images, self.high_pass, self.scaler_).reshape(images.shape)
        return torch.from_numpy(spectra).permute(0, 3, 1, 2)
