"""Calibration: is a confidence of 0.9 right nine times in ten?"""

import numpy as np
import pandas as pd

BINS = 15
DRAWS = 200  # of the bootstrap


def reliability(probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Compare confidence and accuracy in bins that hold equally many images; ties share a bin.

    Args:
        probabilities: (N, K), rows that sum to 1.
        truth: (N,) class numbers.
        bins: How many; fewer where there are fewer confidences.

    Returns:
        Columns confidence, accuracy (means of the bin) and images, by rising confidence.
    """
    if not len(truth) or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"{len(truth)} images: need one or more, with probabilities that sum to 1")
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    parts = pd.DataFrame({"confidence": confidence, "accuracy": correct, "images": 1}).groupby(
        np.searchsorted(edges, confidence, side="left")
    )
    means = {"confidence": "mean", "accuracy": "mean", "images": "sum"}
    return parts.agg(means).reset_index(drop=True)


def expected_calibration_error(
    probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS
) -> float:
    """Mean distance of confidence and accuracy over equal-mass bins, weighted by images.

    Source: Naeini et al. 2015; equal-mass bins after Nixon et al. 2019.
    """
    table = reliability(probabilities, truth, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float(np.average(gaps, weights=table["images"]))


def brier_score(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared distance of probabilities (N, K) to the truth, 0 to 2 (Brier 1950)."""
    target = np.eye(probabilities.shape[1])[truth]
    return float(np.mean(np.sum((probabilities - target) ** 2, axis=1)))


def calibration_interval(
    probabilities: np.ndarray, truth: np.ndarray, groups: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """95% interval of the expected calibration error: -+ 1.96 of its spread in bootstrap draws.

    The draws' mean is of no use: images drawn twice add distance to every bin. `groups` (N,) says
    what is drawn together: the photograph for crops, the image itself else.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.unique(groups[order], return_index=True)[1][1:])
    errors = []
    for _ in range(DRAWS):
        drawn = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        errors.append(expected_calibration_error(probabilities[drawn], truth[drawn]))
    error = expected_calibration_error(probabilities, truth)
    half = 1.96 * float(np.std(errors, ddof=1))
    return max(0.0, error - half), error + half
