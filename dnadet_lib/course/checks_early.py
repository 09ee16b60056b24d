"""Checks of the exercises of lessons 00 to 03."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from dnadet_lib.course.comparing import NOTHING, Answer, compare, compare_with_hints
from dnadet_lib.fingerprints.spectra import spectra_of
from dnadet_lib.losses import AutomaticWeightedLoss
from dnadet_lib.model import HighPass
from dnadet_lib.transforms import image_transformations


def _chance_accuracy(answer: Answer) -> str:
    return compare(answer([10, 30, 60]), 0.6, "For classes of 10, 30 and 60 images") or compare(
        answer([7, 7, 7, 7, 7]), 0.2, "For five classes of 7 images"
    )


def _top_two(answer: Answer) -> str:
    found = answer(np.array([0.1, 0.2, 0.05, 0.6, 0.05]), ("a", "b", "c", "d", "e"))
    if found is None or found is Ellipsis:
        return NOTHING
    if list(found) != ["d", "b"]:
        given = "0.1 0.2 0.05 0.6 0.05 of a b c d e"
        return f"For probabilities {given}: {found}, expected ['d', 'b']."
    return ""


def _unknown_score(answer: Answer) -> str:
    rng = np.random.default_rng(7)
    means, traces, middle = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=4)
    within, overall = (np.linalg.inv(np.cov(rng.normal(size=(4, 30)))) for _ in range(2))
    squares = [d @ within @ d for d in traces - means]
    nearest, least_plain = min(squares), min(np.sum((traces - means) ** 2, axis=1))
    away = traces - middle
    overall_square = away @ overall @ away
    hints = {
        "Divide by T, the number of traces.": nearest - overall_square,
        "This is the first square alone. Take the second one off.": nearest / 4,
        "Put the inverse covariances between: d @ P @ d.": (least_plain - away @ away) / 4,
        "This is the mean over the classes. Take the nearest.": (
            np.mean(squares) - overall_square
        ) / 4,
        "This is the farthest class. Take the nearest.": (max(squares) - overall_square) / 4,
        "These are distances. Take their squares.": (nearest**0.5 - overall_square**0.5) / 4,
    }
    what = "For 3 classes and 4 traces"
    found = answer(traces, means, middle, within, overall)
    return compare_with_hints(found, (nearest - overall_square) / 4, what, hints)


def _two_spectra(answer: Answer) -> str:
    residuals = np.random.default_rng(5).normal(size=(5, 8, 10))
    residuals += np.sin(np.arange(10.0))
    spectra = spectra_of(residuals[..., None])
    wanted = {"mean of the complex spectra": spectra.locked_power, "mean power": spectra.power}
    found = answer(residuals)
    if found is None or found is Ellipsis:
        return NOTHING
    if len(found) != 2:
        return f"Return two arrays; you return {len(found)}."
    for (name, power), mine in zip(wanted.items(), found, strict=True):
        if np.iscomplexobj(mine):
            return f"Power of the {name}: it is complex. Take the squared absolute value."
        problem = compare(mine, np.fft.ifftshift(power), f"Power of the {name}")
        if problem:
            return problem
    return ""


def _coverage(answer: Answer) -> str:
    for length, kernel in ((5, 4), (5, 3), (7, 2), (4, 6)):
        ones = torch.ones(1, 1, length), torch.ones(1, 1, kernel)
        wanted = torch.nn.functional.conv_transpose1d(*ones, stride=2)[0, 0]
        problem = compare(answer(length, kernel), wanted, f"{length} inputs, kernel {kernel}")
        if problem:
            return problem
    return ""


def _locked_share(answer: Answer) -> str:
    noise = np.random.default_rng(6).normal(size=(4, 6, 6, 1))
    for residuals in (noise, noise + np.arange(6.0)):
        spectra = spectra_of(residuals)
        found = answer(spectra.locked_power, spectra.power, spectra.count)
        problem = compare(found, spectra.locked_share, f"For {spectra.count} residuals")
        if problem:
            return problem
    return ""


def _shrink_and_enlarge(answer: Answer) -> str:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for transformation in image_transformations(64):
        if transformation.family == "resize" and transformation.name.endswith("linear"):
            scale = float(transformation.name.split()[1])
            problem = compare(answer(image, scale), transformation(image), f"Scale {scale}")
            if problem:
                return problem
    return ""


def _family_accuracy(answer: Answer) -> str:
    rng = np.random.default_rng(1)
    families = np.array(["JPEG"] * 4 + ["resize"] * 6)
    truth, predicted = rng.integers(0, 10, 50), rng.integers(0, 10, 50)
    wanted = np.mean(families[truth] == families[predicted])
    return compare(answer(truth, predicted, families), wanted, "On a random example")


def _high_pass(answer: Answer) -> str:
    grey = np.random.default_rng(2).normal(size=(9, 11)).astype(np.float32)
    colour = torch.from_numpy(grey).expand(1, 3, -1, -1)
    wanted = HighPass()(colour)[0, 0, 1:-1, 1:-1].numpy() / 4
    return compare(answer(grey), wanted, "On a random 9x11 image")


def _positive_pairs(answer: Answer) -> str:
    labels, views = np.array([0, 1, 0, 2]), 2
    classes = np.repeat(labels, views)
    wanted = (classes[:, None] == classes[None]) & ~np.eye(len(classes), dtype=bool)
    return compare(answer(labels, views), wanted, "For labels 0 1 0 2 with two patches each")


def _weighted_total(answer: Answer) -> str:
    for losses, scales in (([1.5, 3.0], [1.0, 1.0]), ([0.2, 2.5], [0.7, 1.9])):
        module = AutomaticWeightedLoss(2)
        module.scales.data = torch.tensor(scales)
        wanted = module(*torch.tensor(losses)).item()
        problem = compare(answer(losses, scales), wanted, f"Losses {losses}, scales {scales}")
        if problem:
            return problem
    return ""


def _best_squared_scale(answer: Answer) -> str:
    for loss in (0.1, 1.0, 4.0):
        wanted = (0.5 * loss + np.sqrt(0.25 * loss**2 + 2 * loss)) / 2
        problem = compare(answer(loss), wanted, f"For a loss of {loss}")
        if problem:
            return problem
    return ""


EARLY: dict[str, Callable[[Answer], str]] = {
    "00.1": _chance_accuracy,
    "00.2": _top_two,
    "00.3": _unknown_score,
    "01.1": _two_spectra,
    "01.2": _coverage,
    "01.3": _locked_share,
    "02.1": _shrink_and_enlarge,
    "02.2": _family_accuracy,
    "02.3": _high_pass,
    "03.1": _positive_pairs,
    "03.2": _weighted_total,
    "03.3": _best_squared_scale,
}
