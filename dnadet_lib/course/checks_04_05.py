"""Checks of the exercises of lessons 04 and 05."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dnadet_lib.course.comparing import Exercise


def _recall() -> Exercise:
    def share(truth: np.ndarray, predicted: np.ndarray, k: int) -> Any:
        return np.mean(predicted[truth == k] == k)

    truth, predicted = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 1, 0, 0, 1, 2, 2])
    return Exercise(
        right=share,
        examples={f"Class {k}": (truth, predicted, k) for k in range(3)},
        mistakes={
            "This is the precision: take the images that truly belong to the class, not those "
            "that are called so.": lambda truth, predicted, k: share(predicted, truth, k),
            "This is the accuracy over all classes.": (
                lambda truth, predicted, k: np.mean(truth == predicted)
            ),
            "Divide by the number of the class's images, not of all.": (
                lambda truth, predicted, k: np.mean((truth == k) & (predicted == k))
            ),
            "Divide by the number of the class's images.": (
                lambda truth, predicted, k: np.sum((truth == k) & (predicted == k))
            ),
        },
    )


def _interval(differences: Any, error: float | None = None, t: float | None = None) -> tuple:
    """Mean with its 95% t-interval; a standard error or a t other than the right one if given."""
    from scipy import stats

    count = len(differences)
    error = np.std(differences, ddof=1) / count**0.5 if error is None else error
    half = error * (stats.t.ppf(0.975, count - 1) if t is None else t)
    middle = np.mean(differences)
    return middle, middle - half, middle + half


def _paired_difference() -> Exercise:
    def paired(first: Mapping[str, float], second: Mapping[str, float]) -> np.ndarray:
        return np.array([first[name] - second[name] for name in first])

    def apart(first: Mapping[str, float], second: Mapping[str, float]) -> Any:
        values = ([*first.values()], [*second.values()])
        return sum(np.var(v, ddof=1) / len(v) for v in values) ** 0.5

    def by_place(first: Mapping[str, float], second: Mapping[str, float]) -> np.ndarray:
        return np.subtract([*first.values()], [*second.values()])

    first = {"a": 0.9, "b": 0.8, "c": 0.95, "d": 0.7}
    second = {"d": 0.5, "c": 0.9, "b": 0.5, "a": 0.7}
    return Exercise(
        right=lambda *given: _interval(paired(*given)),
        examples={"Four generators": (first, second)},
        mistakes={
            "Pair by name: the dictionaries have their generators in different orders.": (
                lambda *given: _interval(by_place(*given))
            ),
            "Of few generators take t, not 1.96.": lambda *given: _interval(paired(*given), t=1.96),
            "Leave 2.5% at each end: t is ppf(0.975, n - 1).": (
                lambda *given: _interval(paired(*given), t=2.353)
            ),
            "The standard deviation needs ddof=1.": (
                lambda *given: _interval(paired(*given), np.std(paired(*given)) / 2)
            ),
            "Divide by the square root of n.": (
                lambda *given: _interval(paired(*given), np.std(paired(*given), ddof=1))
            ),
            "Take the spread of the differences, not that of each method.": (
                lambda *given: _interval(paired(*given), apart(*given))
            ),
            "This is second - first.": lambda *given: _interval(-paired(*given)),
            "Return three numbers: the mean, the lower and the upper end.": (
                lambda *given: np.mean(paired(*given))
            ),
        },
    )


def _setup_mean() -> Exercise:
    def each(correct: np.ndarray, generators: np.ndarray) -> np.ndarray:
        return np.array([correct[generators == name].mean() for name in np.unique(generators)])

    correct = np.array([True] * 6 + [False, False, True, False, False, False])
    generators = np.array(["a"] * 6 + ["b"] * 2 + ["c"] * 4)
    return Exercise(
        right=lambda *given: each(*given).mean(),
        examples={
            "Generators with 6, 2 and 4 images, of which 6, 0 and 1 are right": (
                correct, generators,
            )
        },
        mistakes={
            "This is the mean over images: a counts most, as it has most.": (
                lambda correct, generators: correct.mean()
            ),
            "Divide the sum by the number of generators.": lambda *given: each(*given).sum(),
            "Take the mean over generators, not the median.": (
                lambda *given: np.median(each(*given))
            ),
            "These are the generators' accuracies: return their mean.": each,
        },
    )  # fmt: skip


def _unit_rows() -> Exercise:
    norm = np.linalg.norm
    return Exercise(
        right=lambda rows: rows / norm(rows, axis=1, keepdims=True),
        examples={"On six random rows": (np.random.default_rng(3).normal(size=(6, 4)),)},
        mistakes={
            "You divide by the length of the whole array. Each row has its own: axis=1.": (
                lambda rows: rows / norm(rows)
            ),
            "You scale columns. Take axis=1.": lambda rows: rows / norm(rows, axis=0),
            "You divide by the squared length. Take its root.": (
                lambda rows: rows / (rows**2).sum(axis=1, keepdims=True)
            ),
            "The length is the root of the sum of squares, not the sum of absolute values.": (
                lambda rows: rows / np.abs(rows).sum(axis=1, keepdims=True)
            ),
            "You divide by a sum in which signs cancel out. Take the length.": (
                lambda rows: rows / rows.sum(axis=1, keepdims=True)
            ),
            "These are the lengths. Divide the rows by them.": lambda rows: norm(rows, axis=1),
        },
    )


def _nearest_vote() -> Exercise:
    def nearest(points: np.ndarray, labels: np.ndarray, query: np.ndarray, k: int) -> np.ndarray:
        return labels[np.argsort(np.linalg.norm(points - query, axis=1))[:k]]

    rng = np.random.default_rng(4)
    points = np.concatenate([rng.normal(0, 1, (20, 2)), rng.normal(2, 1, (20, 2))])
    cloud = points, np.repeat([3, 8], 20)
    queries = {
        f"Vote of five neighbours for point {place}": (*cloud, query, 5)
        for place, query in enumerate(rng.normal(1, 1.5, (12, 2)))
    }
    line = np.array([[1.0, 0], [2, 0], [3, 0], [4, 0], [9, 0]])
    ties = {
        f"Vote of neighbours of the classes {labels[:4]}": (line, np.array(labels), np.zeros(2), 4)
        for labels in ([8, 3, 3, 8, 3], [3, 8, 8, 3, 8], [8, 8, 3, 3, 3])
    }
    return Exercise(
        right=lambda *given: np.bincount(nearest(*given)).argmax(),
        examples=queries | ties,
        mistakes={
            "Of equally frequent classes return the smaller number, not that of the nearest.": (
                lambda *given: Counter(nearest(*given).tolist()).most_common(1)[0][0]
            ),
            "Of equally frequent classes return the smaller number, not the larger one.": (
                lambda *given: 99 - np.bincount(99 - nearest(*given)).argmax()
            ),
            "This is the class of the nearest point alone. Let k of them vote.": (
                lambda *given: nearest(*given)[0]
            ),
            "All points vote. Let only the k nearest do so.": (
                lambda points, labels, query, k: np.bincount(labels).argmax()
            ),
            "This is a mean of class numbers, which mean nothing as numbers.": (
                lambda *given: nearest(*given).mean()
            ),
        },
    )


def _kept_neighbours() -> Exercise:
    def both(*spaces: np.ndarray, first: int = 1, last: int) -> list[list[set]]:
        """Each point's neighbours from the first to the last in each space; 0 is itself."""
        return [
            [set(row[first:last].tolist()) for row in np.argsort(distances, axis=1)]
            for distances in (np.linalg.norm(x[:, None] - x[None], axis=2) for x in spaces)
        ]

    def kept(near: list[list[set]], k: int) -> float:
        return float(np.mean([len(a & b) / k for a, b in zip(*near, strict=True)]))

    rng = np.random.default_rng(8)
    embeddings = rng.normal(size=(30, 5))
    points = embeddings[:, :2] + 0.3 * rng.normal(size=(30, 2))
    return Exercise(
        right=lambda e, p, k: kept(both(e, p, last=k + 1), k),
        examples={f"For 30 points and k = {k}": (embeddings, points, k) for k in (4, 7)},
        mistakes={
            "Each point is its own nearest one: leave it out.": (
                lambda e, p, k: kept(both(e, p, first=0, last=k), k)
            ),
            "You count the point itself beside its k neighbours: leave it out.": (
                lambda e, p, k: kept(both(e, p, first=0, last=k + 1), k + 1)
            ),
            "You count the point itself as a neighbour that is kept: leave it out.": (
                lambda e, p, k: kept(both(e, p, first=0, last=k + 1), k)
            ),
            "Return a share: divide by k.": lambda e, p, k: kept(both(e, p, last=k + 1), 1),
            "Divide by k, not by the number of neighbours in either.": lambda e, p, k: np.mean([
                len(a & b) / len(a | b) for a, b in zip(*both(e, p, last=k + 1), strict=True)
            ]),
        },
    )  # fmt: skip


CHECKS: dict[str, Callable[[], Exercise]] = {
    "04.1": _recall,
    "04.2": _paired_difference,
    "04.3": _setup_mean,
    "05.1": _unit_rows,
    "05.2": _nearest_vote,
    "05.3": _kept_neighbours,
}
