"""A method of one's own for `dnadet suite`: copy this file, change it, and see where it stands."""

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

LIMIT = 2  # differences are cut to -2 ... 2


class ResidualForest:
    """Counts which differences of neighbouring pixels follow on each other; a forest learns them.

    Source: Pevny, Bas and Fridrich 2010 (subtractive pixel adjacency).
    """

    def __init__(self, random_state: int = 0, trees: int = 300) -> None:
        self.forest = ExtraTreesClassifier(trees, min_samples_leaf=2, random_state=random_state)

    def fit(self, X: np.ndarray, y: np.ndarray) -> "ResidualForest":
        """Learn class numbers y (N,) of uint8 images X (N, H, W, 3)."""
        self.forest.fit(self.features(X), y)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return (N, K): a row per image that sums to 1, a column per class number."""
        return self.forest.predict_proba(self.features(X))

    def features(self, X: np.ndarray) -> np.ndarray:
        """Count triples of differences along rows and columns: (N, 2 * 125)."""
        return np.concatenate([_triples(X), _triples(X.swapaxes(1, 2))], axis=1)


def _triples(images: np.ndarray) -> np.ndarray:
    levels = 2 * LIMIT + 1
    counts = np.empty((len(images), levels**3), np.float32)
    for row, image in zip(counts, images, strict=True):
        steps = np.clip(np.diff(image.astype(np.int16), axis=1), -LIMIT, LIMIT) + LIMIT
        triples = (steps[:, :-2] * levels + steps[:, 1:-1]) * levels + steps[:, 2:]
        row[:] = np.bincount(triples.ravel(), minlength=levels**3) / triples.size
    return counts
