"""Checks of the exercises of lessons 00 and 01."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dnadet_lib.course.comparing import Exercise


def _chance_accuracy() -> Exercise:
    return Exercise(
        right=lambda counts: max(counts) / sum(counts),
        examples={
            "For classes of 10, 60 and 30 images": ([10, 60, 30],),
            "For five classes of 7 images": ([7] * 5,),
        },
        mistakes={
            "This names a class at random. Always name the most frequent one.": (
                lambda counts: 1 / len(counts)
            ),
            "This names each class as often as it occurs. Always name the most frequent one.": (
                lambda counts: sum(n * n for n in counts) / sum(counts) ** 2
            ),
            "Divide by the number of all images.": max,
            "This is the rarest class. Name the most frequent one.": (
                lambda counts: min(counts) / sum(counts)
            ),
            "The most frequent class may stand at any place of the list.": (
                lambda counts: counts[-1] / sum(counts)
            ),
        },
    )


def _top_two() -> Exercise:
    def best(probabilities: np.ndarray, count: int = 2) -> np.ndarray:
        return np.argsort(probabilities)[::-1][:count]

    values, names = np.array([0.1, 0.2, 0.05, 0.6, 0.05]), ("ant", "bee", "cow", "dog", "elk")
    return Exercise(
        right=lambda probabilities, classes: [classes[k] for k in best(probabilities)],
        examples={"For 0.1 0.2 0.05 0.6 0.05 of ant bee cow dog elk": (values, names)},
        mistakes={
            "The best comes first.": lambda p, classes: [classes[k] for k in best(p)[::-1]],
            "These are places. Return the names at them.": lambda p, classes: best(p),
            "This is the best one alone. Return two names.": lambda p, classes: [
                classes[k] for k in best(p, 1)
            ],
            "This is the best one alone, as a text. Return a list of two names.": (
                lambda p, classes: classes[best(p)[0]]
            ),
            "These are the least probable ones.": lambda p, classes: [
                classes[k] for k in np.argsort(p)[:2]
            ],
        },
    )


def _unknown_score() -> Exercise:
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


def _two_spectra() -> Exercise:
    from dnadet_lib.fingerprints.spectra import spectra_of

    def library(residuals: np.ndarray) -> list[np.ndarray]:
        spectra = spectra_of(residuals[..., None])
        return [np.fft.ifftshift(power) for power in (spectra.locked_power, spectra.power)]

    def waves(residuals: np.ndarray) -> np.ndarray:
        return np.fft.fft2(residuals) / np.sqrt(residuals[0].size)

    residuals = np.random.default_rng(5).normal(size=(5, 8, 10)) + np.sin(np.arange(10.0))
    return Exercise(
        right=library,
        also=lambda residuals: [np.fft.fftshift(power) for power in library(residuals)],
        examples={"The two spectra": (residuals,)},
        mistakes={
            "Both are the mean power. For the first, average the complex numbers, then square.": (
                lambda r: [library(r)[1]] * 2
            ),
            "The first averages sizes without their phases. Average the complex numbers.": (
                lambda r: [np.abs(waves(r)).mean(0) ** 2, library(r)[1]]
            ),
            "Both are the power of the mean. For the second, square first, then average.": (
                lambda r: [library(r)[0]] * 2
            ),
            "Divide both by the number of pixels.": lambda r: np.multiply(library(r), r[0].size),
            "These are sizes. Power is their square.": (
                lambda r: [np.abs(waves(r).mean(0)), np.abs(waves(r)).mean(0)]
            ),
            "Power is the squared absolute value, a real number.": (
                lambda r: [waves(r).mean(0) ** 2, (waves(r) ** 2).mean(0)]
            ),
            "The power of the mean comes first, the mean power second.": lambda r: library(r)[::-1],
        },
    )


def _coverage() -> Exercise:
    def added(length: int, kernel: int, *, stride: int = 2) -> np.ndarray:
        inputs = np.zeros(stride * (length - 1) + 1)
        inputs[::stride] = 1
        return np.convolve(inputs, np.ones(kernel))

    sizes = ((5, 4), (5, 3), (7, 2), (4, 6))
    return Exercise(
        right=added,
        examples={f"{pair[0]} inputs, kernel {pair[1]}": pair for pair in sizes},
        mistakes={
            "Copies overlap: add them up.": lambda *given: added(*given).clip(max=1),
            "With stride 2, the copy of input i begins at output 2i.": (
                lambda *given: added(*given, stride=1)
            ),
            "At the ends fewer copies overlap.": (
                lambda length, kernel: np.full(2 * (length - 1) + kernel, kernel / 2)
            ),
            "The last value of the kernel is left out: it reaches output 2i + kernel - 1.": (
                lambda length, kernel: np.append(added(length, kernel - 1), 0)
            ),
        },
    )


def _locked_share() -> Exercise:
    from dnadet_lib.fingerprints.spectra import Spectra, spectra_of

    def library(locked: np.ndarray, power: np.ndarray, count: int) -> float:
        return Spectra(np.empty(0), locked, power, count).locked_share

    noise = np.random.default_rng(6).normal(size=(4, 6, 6, 1))
    both = {"four of noise": spectra_of(noise), "four alike": spectra_of(noise + np.arange(6.0))}
    return Exercise(
        right=library,
        examples={
            f"For residuals, {what}": (s.locked_power, s.power, s.count) for what, s in both.items()
        },
        mistakes={
            "Take off what chance leaves in the mean of N: solve for s.": (
                lambda locked, power, count: locked.sum() / power.sum()
            ),
            "Chance leaves (1 - s) / N, not 1 / N: solve for s.": (
                lambda locked, power, count: locked.sum() / power.sum() - 1 / count
            ),
            "Divide by N - 1, not by N.": (
                lambda locked, power, count: library(locked, power, count) * (count - 1) / count
            ),
            "Add up each map first, then divide one sum by the other.": (
                lambda locked, power, count: (count * np.mean(locked / power) - 1) / (count - 1)
            ),
            "This is a map. Add up both maps first, and return one number.": (
                lambda locked, power, count: (count * locked / power - 1) / (count - 1)
            ),
        },
    )


CHECKS: dict[str, Callable[[], Exercise]] = {
    "00.1": _chance_accuracy,
    "00.2": _top_two,
    "00.3": _unknown_score,
    "01.1": _two_spectra,
    "01.2": _coverage,
    "01.3": _locked_share,
}
