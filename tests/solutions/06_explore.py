"""Solutions to the exercises of lesson 06."""

from __future__ import annotations

import numpy as np


def joint_vote(logits):
    """The class that patches (V, K) vote for together, and the share that votes so alone."""
    winner = logits.mean(axis=0).argmax()
    return winner, np.mean(logits.argmax(axis=1) == winner)


def cam_by_hand(activations, gradients):
    """Grad-CAM (h, w) from the activations and gradients (C, h, w) of a layer."""
    weights = gradients.mean(axis=(1, 2))
    return (weights[:, None, None] * activations).sum(axis=0)


def enrichment(selected, everything):
    """How many times as frequent each class is among the selected as among all."""
    return {
        name: (selected.count(name) / len(selected)) / (everything.count(name) / len(everything))
        for name in set(everything)
    }
