"""Checks of the exercises of lessons 04 to 07."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from dnadet_lib.course.comparing import NOTHING, Answer, compare, compare_with_hints


def _recall(answer: Answer) -> str:
    truth = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 1, 0, 0, 1, 2, 2])
    return compare(answer(truth, predicted, 0), 0.75, "Class 0") or compare(
        answer(truth, predicted, 1), 0.5, "Class 1"
    )


def _paired_difference(answer: Answer) -> str:
    first = {"a": 0.9, "b": 0.8, "c": 0.95, "d": 0.7}
    second = {"d": 0.5, "c": 0.9, "b": 0.5, "a": 0.7}
    differences = np.array([first[name] - second[name] for name in first])
    half = stats.t.ppf(0.975, 3) * differences.std(ddof=1) / 2
    middle = differences.mean()
    wanted = (middle, middle - half, middle + half)
    return compare(answer(first, second), wanted, "Four generators")


def _setup_mean(answer: Answer) -> str:
    correct = np.array([True, True, True, True, True, True, False, False, True, False])
    generators = np.array(["a"] * 6 + ["b"] * 2 + ["c"] * 2)
    hints = {"This is the mean over images: a counts most, as it has most.": correct.mean()}
    what = "Generators with 6, 2 and 2 images, of which 6, 0 and 1 are right"
    return compare_with_hints(answer(correct, generators), 0.5, what, hints)


def _unit_rows(answer: Answer) -> str:
    rows = np.random.default_rng(3).normal(size=(6, 4))
    wanted = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return compare(answer(rows), wanted, "On six random rows")


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
        return NOTHING
    return compare(found, wanted, "Votes of five neighbours for twelve points")


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
    return compare_with_hints(answer(embeddings, points, 4), kept(1, 5), what, hints)


def _joint_vote(answer: Answer) -> str:
    examples = (
        ([[5.0, 0, 0], [0, 1, 0], [0, 1, 0]], (0, 1 / 3), "One sure patch against two unsure ones"),
        ([[0, 2.0], [0, 3.0], [1.0, 0], [0, 1.0]], (1, 3 / 4), "Four patches, two classes"),
    )
    for logits, wanted, what in examples:
        problem = compare(answer(np.array(logits)), wanted, what)
        if problem:
            return problem
    return ""


def _cam_by_hand(answer: Answer) -> str:
    rng = np.random.default_rng(5)
    activations, gradients = rng.normal(size=(2, 6, 3, 4))
    wanted = np.tensordot(gradients.mean(axis=(1, 2)), activations, 1)
    return compare(answer(activations, gradients), wanted, "Six channels of 3x4")


def _enrichment(answer: Answer) -> str:
    everything = ["Real"] * 50 + ["ProGAN"] * 30 + ["SNGAN"] * 20
    selected = ["Real"] * 2 + ["SNGAN"] * 6
    found = answer(selected, everything)
    if found is None or found is Ellipsis:
        return NOTHING
    if sorted(found) != ["ProGAN", "Real", "SNGAN"]:
        return f"Classes {sorted(found)}, expected ProGAN, Real and SNGAN."
    values = [found[name] for name in ("ProGAN", "Real", "SNGAN")]
    return compare(values, [0, 0.5, 3.75], "For ProGAN, Real and SNGAN")


def _posterior(answer: Answer) -> str:
    for rate, sensitivity, false_alarm in ((0.5, 0.9, 0.1), (0.001, 0.95, 0.02), (0.1, 0.8, 0)):
        hits = rate * sensitivity
        wanted = hits / (hits + (1 - rate) * false_alarm)
        what = f"Base rate {rate}, sensitivity {sensitivity}, false alarms {false_alarm}"
        problem = compare(answer(rate, sensitivity, false_alarm), wanted, what)
        if problem:
            return problem
    return ""


def _parse_annotation(answer: Answer) -> str:
    text = "real/a b.png\t0\n\nGANs/ProGAN/1.png\t12\n"
    found = answer(text)
    if found is None or found is Ellipsis:
        return NOTHING
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
        problem = compare(answer(images), wanted, f"No error in {images} images")
        if problem:
            return problem
    return ""


LATE: dict[str, Callable[[Answer], str]] = {
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
