"""Lesson 03's pairs of patches: what two have in common, and how far that shows in embeddings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def kinds_of_pairs(labels: np.ndarray, patches: int) -> dict[str, np.ndarray]:
    """Sort the pairs of patches of N images by what the two have in common.

    Args:
        labels: (N,) class numbers of the images.
        patches: Of each image; they stand side by side.

    Returns:
        Kind of pair -> (N * patches, N * patches) booleans. No patch is paired with itself.
    """
    image = np.repeat(np.arange(len(labels)), patches)
    same_image = image[:, None] == image
    same_class = np.repeat(labels, patches)[:, None] == np.repeat(labels, patches)
    return {
        "same image": same_image & ~np.eye(len(image), dtype=bool),
        "same class, other image": same_class & ~same_image,
        "other class": ~same_class,
    }


def class_gaps(
    cosines: np.ndarray, kinds: Mapping[str, np.ndarray], sources: np.ndarray
) -> pd.Series:
    """Measure by source how much more alike patches are to their class than to other classes.

    Args:
        cosines: (P, P), of all patches.
        kinds: Of `kinds_of_pairs`.
        sources: (P,) what made each patch's image.

    Returns:
        Source -> mean cosine to patches of other images of the class, less that to other classes.
    """
    own, others = (
        (cosines * kinds[kind]).sum(axis=1) / kinds[kind].sum(axis=1)
        for kind in ("same class, other image", "other class")
    )
    return pd.Series(own - others).groupby(sources).mean()
