"""Solutions to the exercises of lesson 05."""

from __future__ import annotations

import numpy as np


def unit_rows(embeddings):
    """Rows of an (N, D) array, each scaled to length 1."""
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)


def nearest_vote(points, labels, query, k):
    """The most frequent class among the k points nearest to the query."""
    nearest = np.argsort(np.linalg.norm(points - query, axis=1))[:k]
    return np.bincount(labels[nearest]).argmax()
