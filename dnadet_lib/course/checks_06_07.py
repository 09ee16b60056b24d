"""Checks of the exercises of lessons 06 and 07."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dnadet_lib.course.comparing import Exercise


def _joint_vote() -> Exercise:
    def softmax(logits: np.ndarray) -> np.ndarray:
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def vote(logits: np.ndarray, winner: int | None = None, total: Any = np.mean) -> tuple:
        winner = logits.mean(axis=0).argmax() if winner is None else winner
        return winner, total(logits.argmax(axis=1) == winner)

    def most_named(logits: np.ndarray) -> int:
        return int(np.bincount(logits.argmax(axis=1)).argmax())

    examples = {
        "One sure patch against two unsure ones": [[6.0, 0, 0], [0, 0.2, 0], [0, 0.2, 0]],
        "One sure patch against two fairly sure ones": [[5.0, 0, 0], [0, 2, 0], [0, 2, 0]],
        "The largest logit is of another class": [[3.0, 0], [0, 2], [0, 2]],
        "Four patches, two classes": [[0, 2.0], [0, 3.0], [1.0, 0], [0, 1.0]],
    }
    return Exercise(
        right=vote,
        examples={what: (np.array(logits),) for what, logits in examples.items()},
        mistakes={
            "Average the logits, not the probabilities of the softmax.": (
                lambda logits: vote(logits, softmax(logits).mean(axis=0).argmax())
            ),
            "This is the class that most patches name. Take the highest mean logit.": (
                lambda logits: vote(logits, most_named(logits))
            ),
            "This is the class of the largest single logit. Take the highest mean logit.": (
                lambda logits: vote(logits, logits.max(axis=0).argmax())
            ),
            "The class is right; of the patches, return the share, not the number.": (
                lambda logits: vote(logits, total=np.sum)
            ),
            "The class is right; the share is that of patches whose own highest logit is that "
            "class, not a probability.": lambda logits: (
                vote(logits)[0], softmax(logits).mean(axis=0)[vote(logits)[0]],
            ),
            "The share comes second.": lambda logits: vote(logits)[::-1],
        },
    )  # fmt: skip


def _cam_by_hand() -> Exercise:
    def cam(activations: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        return np.tensordot(gradients.mean(axis=(1, 2)), activations, 1)

    return Exercise(
        right=cam,
        examples={"Six channels of 3x4": (*np.random.default_rng(5).normal(size=(2, 6, 3, 4)),)},
        mistakes={
            "Keep negative values: these places speak against the class.": (
                lambda a, g: np.maximum(cam(a, g), 0)
            ),
            "A weight is the mean of a channel's gradients over places. You multiply place by "
            "place.": lambda a, g: (a * g).sum(axis=0),
            "Add the channels up; you average them.": lambda a, g: cam(a, g) / len(a),
            "A weight is the mean over places, not the sum.": lambda a, g: cam(a, g) * a[0].size,
            "Weights come from the gradients, and the map from the activations.": (
                lambda a, g: cam(g, a)
            ),
            "Add the channels up: one map (h, w).": (
                lambda a, g: g.mean(axis=(1, 2))[:, None, None] * a
            ),
        },
    )


def _enrichment() -> Exercise:
    def shares(of: Sequence[str], names: set[str]) -> dict[str, float]:
        return {name: of.count(name) / len(of) for name in names}

    def ratio(selected: Sequence[str], everything: Sequence[str]) -> dict[str, float]:
        a, b = shares(selected, set(everything)), shares(everything, set(everything))
        return {name: a[name] / b[name] for name in b}

    everything = ["Real"] * 50 + ["ProGAN"] * 30 + ["SNGAN"] * 20
    return Exercise(
        right=ratio,
        examples={"For two Real and six SNGAN": (["Real"] * 2 + ["SNGAN"] * 6, everything)},
        mistakes={
            "These are the shares among the selected. Divide by those among all.": (
                lambda selected, everything: shares(selected, set(everything))
            ),
            "Divide shares, not numbers of images.": lambda selected, everything: {
                name: selected.count(name) / everything.count(name) for name in set(everything)
            },
            "A class of which nothing is selected belongs in it, too, with 0.": (
                lambda selected, everything: {
                    name: ratio(selected, everything)[name] for name in set(selected)
                }
            ),
            "Divide the other way round: selected by all.": lambda selected, everything: {
                name: share / (selected.count(name) / len(selected)) if name in selected else 0.0
                for name, share in shares(everything, set(everything)).items()
            },
        },
    )


def _posterior() -> Exercise:
    def bayes(rate: float, sensitivity: float, false_alarm: float) -> float:
        hits = rate * sensitivity
        return hits / (hits + (1 - rate) * false_alarm)

    rates = ((0.5, 0.9, 0.1), (0.001, 0.95, 0.02), (0.1, 0.8, 0.0))
    return Exercise(
        right=bayes,
        examples={
            f"Base rate {rate}, sensitivity {sensitivity}, false alarms {false_alarm}": (
                rate, sensitivity, false_alarm,
            )
            for rate, sensitivity, false_alarm in rates
        },
        mistakes={
            "The base rate does not matter in it; it must.": lambda r, s, f: s / (s + f),
            "False alarms come from the other images: their share is 1 - base rate.": (
                lambda r, s, f: r * s / (r * s + f)
            ),
            "This is the share of all images that are called so and are. Divide by all alarms.": (
                lambda r, s, f: r * s
            ),
            "This is the share of all images that are called so: the denominator alone.": (
                lambda r, s, f: r * s + (1 - r) * f
            ),
            "This is the sensitivity: of the class's images, how many are called so.": (
                lambda r, s, f: s
            ),
            "This is the probability that an alarm is false.": lambda r, s, f: 1 - bayes(r, s, f),
        },
    )  # fmt: skip


def _block_score() -> Exercise:
    def score(
        traces: np.ndarray, means: np.ndarray, middle: np.ndarray, within: np.ndarray,
        overall: np.ndarray, *, pick: Callable[..., Any] = min, power: float = 1,
    ) -> Any:  # fmt: skip
        away = traces - middle
        nearest = pick([d @ within @ d for d in traces - means])
        return (nearest**power - (away @ overall @ away) ** power) / len(traces)

    def nearest_on_paper(traces: np.ndarray, means: np.ndarray, *rest: Any) -> float:
        nearest = np.argmin(((traces - means) ** 2).sum(axis=1))
        return score(traces, means[nearest][None], *rest)

    rng = np.random.default_rng(7)
    spread = np.array([[0.1], [1.0], [1.0], [4.0]])  # so the axes count differently
    inverses = [np.linalg.inv(np.cov(spread * rng.normal(size=(4, 30)))) for _ in range(2)]
    traces, means = np.zeros(4), np.array([[0.5, 0, 0, 0], [0, 1, 0, 3], [1.0, 1, 1, 1]])
    vectors = traces + rng.normal(size=4) / 10, means, rng.normal(size=4)
    plain = np.eye(4)
    return Exercise(
        right=score,
        examples={"For 3 classes and 4 traces": (*vectors, *inverses)},
        mistakes={
            "The nearest class is the one whose squared distance, with P between, is least. "
            "You take the nearest without P.": nearest_on_paper,
            "Divide by T, the number of traces.": lambda t, *rest: len(t) * score(t, *rest),
            "This is the first square alone. Take the second one off.": (
                lambda t, means, middle, *rest: score(t, means, t, *rest)
            ),
            "Put the inverse covariances between: d @ P @ d.": (
                lambda t, means, middle, *rest: score(t, means, middle, plain, plain)
            ),
            "This is the mean over the classes. Take the nearest.": (
                lambda *given: score(*given, pick=np.mean)
            ),
            "This is the farthest class. Take the nearest.": lambda *given: score(*given, pick=max),
            "These are distances. Take their squares.": lambda *given: score(*given, power=0.5),
            "Take `within` for the classes and `overall` for the middle of all.": (
                lambda t, means, middle, within, overall: score(t, means, middle, overall, within)
            ),
        },
    )


def _largest_rate() -> Exercise:
    return Exercise(
        right=lambda images: 1 - 0.05 ** (1 / images),
        examples={f"No error in {images} images": (images,) for images in (10, 100, 1500)},
        near=1e-7,
        mistakes={
            "This is the rule of three, which is nearly right. Solve the equation.": (
                lambda images: 3 / images
            ),
            "This is 1 - p, the rate at which the model is right.": (
                lambda images: 0.05 ** (1 / images)
            ),
            "No error has a probability of 0.05, not of 0.95.": (
                lambda images: 1 - 0.95 ** (1 / images)
            ),
            "This divides 0.05 among the images. Take the n-th root.": lambda n: 0.05 / n,
            "This divides 0.95 among the images. Take the n-th root.": lambda n: 0.95 / n,
            "Take the n-th root, the power 1 / n.": lambda images: 1 - 0.05**images,
        },
    )


CHECKS: dict[str, Callable[[], Exercise]] = {
    "06.1": _joint_vote,
    "06.2": _cam_by_hand,
    "06.3": _enrichment,
    "07.1": _posterior,
    "07.2": _block_score,
    "07.3": _largest_rate,
}
