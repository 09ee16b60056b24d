"""What a shift does to fingerprints that are locked in position."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from dnadet_lib.bench.baselines import ResidualCorrelation


def moved(images: np.ndarray, shift: int) -> np.ndarray:
    """Move images (N, H, W, 3) to the left by `shift` pixels; the gap at the right is mirrored.

    A ValueError if the shift is negative, or half the width or more.
    """
    if not 0 <= shift < images.shape[2] / 2:
        raise ValueError(f"shift {shift}: give 0 to less than half of {images.shape[2]} pixels")
    return np.pad(images[:, :, shift:], ((0, 0), (0, 0), (0, shift), (0, 0)), "symmetric")


def shift_study(
    train: Mapping[str, np.ndarray],
    test: Mapping[str, np.ndarray],
    shifts: Sequence[int] = range(9),
    denoiser: str = "wavelet",
) -> pd.DataFrame:
    """Learn mean residuals, and correlate the residuals of shifted images with them.

    `train` and `test` map a class to uint8 images (N, H, W, 3); shifts are in pixels, the denoiser
    is one of `residual.residuals`. A ValueError if a tested class has no fingerprint, or a shift is
    too far.

    Returns:
        A row per shift: for each tested class the mean correlation of a residual with the class's
        fingerprint, and "accuracy", the share of images whose own class correlates best.

    Source: Marra et al. 2019, section 2, for fingerprint and correlation.
    """
    if unknown := [name for name in test if name not in train]:
        raise ValueError(f"class {unknown[0]!r} has no fingerprint: train has {', '.join(train)}")
    labels = np.repeat(list(train), [len(images) for images in train.values()])
    pixels = np.concatenate(list(train.values()))
    prints = ResidualCorrelation(denoiser).fit(pixels, labels)
    rows = []
    for shift in shifts:
        row, right = {}, []
        for name, images in test.items():
            scores = prints.decision_function(moved(images, shift))
            row[name] = scores[:, prints.classes_ == name].mean()
            right.append(prints.classes_[scores.argmax(axis=1)] == name)
        rows.append(row | {"accuracy": np.concatenate(right).mean()})
    return pd.DataFrame(rows, pd.Index(shifts, name="shift"))
