"""A linear probe: what the pre-training alone has learned about architectures.

    LinearProbe("pocket_pretrain").fit(images, labels).predict(test_images)

No weight of the network is trained; a linear discriminant is solved for on what it makes of the
images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from dnadet_lib.baselines import check_images, check_labels
from dnadet_lib.model import load_model
from dnadet_lib.patches import normalise

CHUNK = 100  # images a forward pass


class LinearProbe(ClassifierMixin, BaseEstimator):
    """Linear discriminant on mean and standard deviation of a block's channels over the image.

    The covariance within classes is shrunk as Ledoit and Wolf say, so that directions in which a
    class varies by content count little.

    Args:
        checkpoint: Pre-trained; a shipped name or a file.
        block: Number of a block of `DNADet.main`, 0 to 7.
        votes: Turned and mirrored copies of a test image that vote together, 1 to 8.

    Attributes:
        classes_: Names of the classes.

    Source:
        Alain and Bengio 2017 (probes); Ledoit and Wolf 2004 (shrinkage).
    """

    def __init__(
        self, checkpoint: str = "pocket_pretrain", block: int = 4, votes: int = 1
    ) -> None:
        self.checkpoint = checkpoint
        self.block = block
        self.votes = votes

    def fit(self, images: np.ndarray, labels: ArrayLike) -> LinearProbe:
        """Learn the classes of uint8 images (N, H, W, 3).

        Raises:
            ValueError: images or labels are not as described, there is no such block, or images
                are no squares, so that turned copies have another shape.
            FileNotFoundError: there is no such checkpoint.
        """
        images = check_images(images)
        check_labels(images, labels)
        self.network_ = load_model(self.checkpoint)
        if not 0 <= self.block < len(self.network_.main):
            raise ValueError(f"block {self.block}: choose 0 to {len(self.network_.main) - 1}")
        self.size_ = images.shape[1:]
        if self.votes > 1 and self.size_[0] != self.size_[1]:
            raise ValueError(f"images of {self.size_[1]}x{self.size_[0]} pixels: give squares")
        discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        self.pipeline_ = make_pipeline(StandardScaler(), discriminant)
        self.pipeline_.fit(self.features(images), np.asarray(labels))
        self.classes_ = self.pipeline_.classes_
        return self

    @torch.no_grad()
    def features(self, images: np.ndarray) -> np.ndarray:
        """Describe uint8 images (N, H, W, 3) by mean and deviation of C channels: (N, 2 * C)."""
        parts = []
        for start in range(0, len(images), CHUNK):
            x = self.network_.high_pass(normalise(torch.from_numpy(images[start : start + CHUNK])))
            deviations, means = torch.std_mean(self.network_.main[: self.block + 1](x), dim=(2, 3))
            parts.append(torch.cat([means, deviations], dim=1))
        return torch.cat(parts).numpy()

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) of uint8 images (N, H, W, 3), of the mean over the votes' logits."""
        check_is_fitted(self)
        images = check_images(images, self.size_)
        logs = [
            self.pipeline_.predict_log_proba(self.features(copy))
            for copy in turned_copies(images, self.votes)
        ]
        return softmax(np.mean(logs, axis=0), axis=1)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Name the class of each uint8 image (N, H, W, 3)."""
        return self.classes_[self.predict_proba(images).argmax(axis=1)]


def turned_copies(images: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Give images (N, H, H, 3) in the first of the eight ways to turn and mirror a square."""
    for k in range(count):
        turned = np.rot90(images, k % 4, axes=(1, 2))
        mirrored = k % 2 == (k < 4)  # 0 to 3: each turn once, the odd ones mirrored; then the rest
        yield np.ascontiguousarray(turned[:, :, ::-1] if mirrored else turned)
