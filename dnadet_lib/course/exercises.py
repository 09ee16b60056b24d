"""Checks of the lessons' exercises: each says "not yet" and why, or "done"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from scipy import stats

from dnadet_lib.fingerprints.spectra import spectra_of
from dnadet_lib.losses import AutomaticWeightedLoss
from dnadet_lib.model import HighPass
from dnadet_lib.transforms import image_transformations

Answer = Callable[..., Any]


def check(number: str, answer: Answer) -> None:
    """Print whether a student's function does what an exercise asks for.

    Args:
        number: Lesson and exercise, such as "03.1".
        answer: The student's function.

    Raises:
        ValueError: no such exercise.
    """
    problem = problem_of(number, answer)
    print(f"Exercise {number}: not yet. {problem}" if problem else f"Exercise {number}: done.")


def problem_of(number: str, answer: Answer) -> str:
    """Return what a student's function lacks, or nothing if it does what is asked.

    Raises:
        ValueError: no such exercise.
    """
    if number not in CHECKS:
        raise ValueError(f"no exercise {number!r}: there are {', '.join(CHECKS)}")
    try:
        return CHECKS[number](answer)
    except Exception as error:  # whatever a student's function raises is an answer, not a crash
        return f"{answer.__name__} stopped with {type(error).__name__}: {error}"


def _compare(found: object, wanted: object, what: str) -> str:
    """Return what is wrong with a value, or nothing."""
    if found is None or found is Ellipsis:
        return "The function returns nothing so far."
    found_array = np.asarray(found, dtype=float)
    wanted_array = np.asarray(wanted, dtype=float)
    if found_array.shape != wanted_array.shape:
        return f"{what}: shape {found_array.shape}, expected {wanted_array.shape}."
    if not np.allclose(found_array, wanted_array, rtol=1e-4, atol=1e-5):
        if wanted_array.size == 1:
            return f"{what}: {float(found_array):.4f}, expected {float(wanted_array):.4f}."
        worst = float(np.abs(found_array - wanted_array).max())
        return f"{what}: values differ by up to {worst:.4g}."
    return ""


def _compare_with_hints(
    found: object, wanted: object, what: str, hints: Mapping[str, object]
) -> str:
    """Return what is wrong with a value, with the hint whose typical wrong value it is."""
    problem = _compare(found, wanted, what)
    for hint, value in hints.items():
        if problem and not _compare(found, value, what):
            return f"{problem} {hint}"
    return problem


def _chance_accuracy(answer: Answer) -> str:
    return _compare(answer([10, 30, 60]), 0.6, "For classes of 10, 30 and 60 images") or _compare(
        answer([7, 7, 7, 7, 7]), 0.2, "For five classes of 7 images"
    )


def _top_two(answer: Answer) -> str:
    found = answer(np.array([0.1, 0.2, 0.05, 0.6, 0.05]), ("a", "b", "c", "d", "e"))
    if found is None or found is Ellipsis:
        return "The function returns nothing so far."
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
    return _compare_with_hints(found, (nearest - overall_square) / 4, what, hints)


def _two_spectra(answer: Answer) -> str:
    residuals = np.random.default_rng(5).normal(size=(5, 8, 10))
    residuals += np.sin(np.arange(10.0))
    spectra = spectra_of(residuals[..., None])
    wanted = {"mean of the complex spectra": spectra.locked_power, "mean power": spectra.power}
    found = answer(residuals)
    if found is None or found is Ellipsis:
        return "The function returns nothing so far."
    if len(found) != 2:
        return f"Return two arrays; you return {len(found)}."
    for (name, power), mine in zip(wanted.items(), found, strict=True):
        if np.iscomplexobj(mine):
            return f"Power of the {name}: it is complex. Take the squared absolute value."
        problem = _compare(mine, np.fft.ifftshift(power), f"Power of the {name}")
        if problem:
            return problem
    return ""


def _coverage(answer: Answer) -> str:
    for length, kernel in ((5, 4), (5, 3), (7, 2), (4, 6)):
        ones = torch.ones(1, 1, length), torch.ones(1, 1, kernel)
        wanted = torch.nn.functional.conv_transpose1d(*ones, stride=2)[0, 0]
        problem = _compare(answer(length, kernel), wanted, f"{length} inputs, kernel {kernel}")
        if problem:
            return problem
    return ""


def _locked_share(answer: Answer) -> str:
    noise = np.random.default_rng(6).normal(size=(4, 6, 6, 1))
    for residuals in (noise, noise + np.arange(6.0)):
        spectra = spectra_of(residuals)
        found = answer(spectra.locked_power, spectra.power, spectra.count)
        problem = _compare(found, spectra.locked_share, f"For {spectra.count} residuals")
        if problem:
            return problem
    return ""


def _shrink_and_enlarge(answer: Answer) -> str:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for transformation in image_transformations(64):
        if transformation.family == "resize" and transformation.name.endswith("linear"):
            scale = float(transformation.name.split()[1])
            problem = _compare(answer(image, scale), transformation(image), f"Scale {scale}")
            if problem:
                return problem
    return ""


def _family_accuracy(answer: Answer) -> str:
    rng = np.random.default_rng(1)
    families = np.array(["JPEG"] * 4 + ["resize"] * 6)
    truth, predicted = rng.integers(0, 10, 50), rng.integers(0, 10, 50)
    wanted = np.mean(families[truth] == families[predicted])
    return _compare(answer(truth, predicted, families), wanted, "On a random example")


def _high_pass(answer: Answer) -> str:
    grey = np.random.default_rng(2).normal(size=(9, 11)).astype(np.float32)
    colour = torch.from_numpy(grey).expand(1, 3, -1, -1)
    wanted = HighPass()(colour)[0, 0, 1:-1, 1:-1].numpy() / 4
    return _compare(answer(grey), wanted, "On a random 9x11 image")


def _positive_pairs(answer: Answer) -> str:
    labels, views = np.array([0, 1, 0, 2]), 2
    classes = np.repeat(labels, views)
    wanted = (classes[:, None] == classes[None]) & ~np.eye(len(classes), dtype=bool)
    return _compare(answer(labels, views), wanted, "For labels 0 1 0 2 with two patches each")


def _weighted_total(answer: Answer) -> str:
    for losses, scales in (([1.5, 3.0], [1.0, 1.0]), ([0.2, 2.5], [0.7, 1.9])):
        module = AutomaticWeightedLoss(2)
        module.scales.data = torch.tensor(scales)
        wanted = module(*torch.tensor(losses)).item()
        problem = _compare(answer(losses, scales), wanted, f"Losses {losses}, scales {scales}")
        if problem:
            return problem
    return ""


def _best_squared_scale(answer: Answer) -> str:
    for loss in (0.1, 1.0, 4.0):
        wanted = (0.5 * loss + np.sqrt(0.25 * loss**2 + 2 * loss)) / 2
        problem = _compare(answer(loss), wanted, f"For a loss of {loss}")
        if problem:
            return problem
    return ""


def _recall(answer: Answer) -> str:
    truth = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 1, 0, 0, 1, 2, 2])
    return _compare(answer(truth, predicted, 0), 0.75, "Class 0") or _compare(
        answer(truth, predicted, 1), 0.5, "Class 1"
    )


def _paired_difference(answer: Answer) -> str:
    first = {"a": 0.9, "b": 0.8, "c": 0.95, "d": 0.7}
    second = {"d": 0.5, "c": 0.9, "b": 0.5, "a": 0.7}
    differences = np.array([first[name] - second[name] for name in first])
    half = stats.t.ppf(0.975, 3) * differences.std(ddof=1) / 2
    middle = differences.mean()
    wanted = (middle, middle - half, middle + half)
    return _compare(answer(first, second), wanted, "Four generators")


def _setup_mean(answer: Answer) -> str:
    correct = np.array([True, True, True, True, True, True, False, False, True, False])
    generators = np.array(["a"] * 6 + ["b"] * 2 + ["c"] * 2)
    hints = {"This is the mean over images: a counts most, as it has most.": correct.mean()}
    what = "Generators with 6, 2 and 2 images, of which 6, 0 and 1 are right"
    return _compare_with_hints(answer(correct, generators), 0.5, what, hints)


def _unit_rows(answer: Answer) -> str:
    rows = np.random.default_rng(3).normal(size=(6, 4))
    wanted = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return _compare(answer(rows), wanted, "On six random rows")


def _nearest_vote(answer: Answer) -> str:
    rng = np.random.default_rng(4)
    points = np.concatenate([rng.normal(0, 1, (20, 2)), rng.normal(2, 1, (20, 2))])
    labels = np.repeat([3, 8], 20)
    queries = rng.normal(1, 1.5, (12, 2))
    distances = np.linalg.norm(queries[:, None] - points[None], axis=2)
    nearest = labels[np.argsort(distances, axis=1)[:, :5]]
    wanted = [np.bincount(row).argmax() for row in nearest]
    found = [answer(points, labels, query, 5) for query in queries]
    if any(value is None or value is Ellipsis for value in found):
        return "The function returns nothing so far."
    return _compare(found, wanted, "Votes of five neighbours for twelve points")


def _kept_neighbours(answer: Answer) -> str:
    rng = np.random.default_rng(8)
    embeddings = rng.normal(size=(30, 5))
    points = embeddings[:, :2] + 0.3 * rng.normal(size=(30, 2))

    def kept(first: int, last: int) -> float:
        """Share of the neighbours from the first to the last, 0 being the point itself."""
        near = [
            np.argsort(np.linalg.norm(x[:, None] - x[None], axis=2), axis=1)[:, first:last]
            for x in (embeddings, points)
        ]
        pairs = zip(*near, strict=True)
        return float(np.mean([len({*a} & {*b}) / (last - first) for a, b in pairs]))

    hints = {
        "Each point is its own nearest one: leave it out.": kept(0, 4),
        "You count the point itself beside its k neighbours: leave it out.": kept(0, 5),
        "Return a share: divide by k.": 4 * kept(1, 5),
    }
    what = "For 30 points and k = 4"
    return _compare_with_hints(answer(embeddings, points, 4), kept(1, 5), what, hints)


def _joint_vote(answer: Answer) -> str:
    examples = (
        ([[5.0, 0, 0], [0, 1, 0], [0, 1, 0]], (0, 1 / 3), "One sure patch against two unsure ones"),
        ([[0, 2.0], [0, 3.0], [1.0, 0], [0, 1.0]], (1, 3 / 4), "Four patches, two classes"),
    )
    for logits, wanted, what in examples:
        problem = _compare(answer(np.array(logits)), wanted, what)
        if problem:
            return problem
    return ""


def _cam_by_hand(answer: Answer) -> str:
    rng = np.random.default_rng(5)
    activations, gradients = rng.normal(size=(2, 6, 3, 4))
    wanted = np.tensordot(gradients.mean(axis=(1, 2)), activations, 1)
    return _compare(answer(activations, gradients), wanted, "Six channels of 3x4")


def _enrichment(answer: Answer) -> str:
    everything = ["Real"] * 50 + ["ProGAN"] * 30 + ["SNGAN"] * 20
    selected = ["Real"] * 2 + ["SNGAN"] * 6
    found = answer(selected, everything)
    if found is None or found is Ellipsis:
        return "The function returns nothing so far."
    if sorted(found) != ["ProGAN", "Real", "SNGAN"]:
        return f"Classes {sorted(found)}, expected ProGAN, Real and SNGAN."
    values = [found[name] for name in ("ProGAN", "Real", "SNGAN")]
    return _compare(values, [0, 0.5, 3.75], "For ProGAN, Real and SNGAN")


def _posterior(answer: Answer) -> str:
    for rate, sensitivity, false_alarm in ((0.5, 0.9, 0.1), (0.001, 0.95, 0.02), (0.1, 0.8, 0)):
        hits = rate * sensitivity
        wanted = hits / (hits + (1 - rate) * false_alarm)
        what = f"Base rate {rate}, sensitivity {sensitivity}, false alarms {false_alarm}"
        problem = _compare(answer(rate, sensitivity, false_alarm), wanted, what)
        if problem:
            return problem
    return ""


def _parse_annotation(answer: Answer) -> str:
    text = "real/a b.png\t0\n\nGANs/ProGAN/1.png\t12\n"
    found = answer(text)
    if found is None or found is Ellipsis:
        return "The function returns nothing so far."
    wanted = [("real/a b.png", 0), ("GANs/ProGAN/1.png", 12)]
    if [tuple(pair) for pair in found] != wanted:
        return f"For two lines and an empty one: {found}, expected {wanted}."
    try:
        answer("a.png\t0\n\nb.png 1\n")
    except ValueError as error:
        if "3" in str(error):
            return ""
        return f"A fault in line 3 gives the message {str(error)!r}: name the line."
    return "A line without a tab is accepted: raise a ValueError that names the line."


def _largest_rate(answer: Answer) -> str:
    for images in (10, 100, 1500):
        wanted = 1 - 0.05 ** (1 / images)
        problem = _compare(answer(images), wanted, f"No error in {images} images")
        if problem:
            return problem
    return ""


CHECKS: dict[str, Callable[[Answer], str]] = {
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
    "04.1": _recall,
    "04.2": _paired_difference,
    "04.3": _setup_mean,
    "05.1": _unit_rows,
    "05.2": _nearest_vote,
    "05.3": _kept_neighbours,
    "06.1": _joint_vote,
    "06.2": _cam_by_hand,
    "06.3": _enrichment,
    "07.1": _posterior,
    "07.2": _parse_annotation,
    "07.3": _largest_rate,
}
