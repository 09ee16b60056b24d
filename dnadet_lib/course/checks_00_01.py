"""Checks of the exercises of lessons 00 and 01."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dnadet_lib.course.comparing import Answer, Exercise


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


def _two_scores() -> Exercise:
    def right(told: Any, named: Any, fake: Any, called_fake: Any) -> list[float]:
        return [told.mean(), named[fake].mean()]

    def scores(guesses: Sequence[str], truth: Sequence[str], shares: Answer = right) -> list[float]:
        said, true = np.array(guesses), np.array(truth)
        fake, called_fake = true != "Real", said != "Real"
        return shares(fake == called_fake, said == true, fake, called_fake)

    mistakes: dict[str, Answer] = {
        "The first counts every fake called a fake, even if the wrong one is named.": (
            lambda told, named, fake, called: [named.mean(), named[fake].mean()]
        ),
        "The second is of the fakes alone. You divide by all images.": (
            lambda told, named, fake, called: [told.mean(), (named & fake).mean()]
        ),
        "The second is of the fakes alone. You count photographs as well.": (
            lambda told, named, fake, called: [told.mean(), named.mean()]
        ),
        "A fake that was taken for a photograph counts in the second, too, as named wrongly.": (
            lambda told, named, fake, called: [told.mean(), named[fake & called].mean()]
        ),
        "A fake is what is not Real in truth. You go by the guess.": (
            lambda told, named, fake, called: [told.mean(), named[called].mean()]
        ),
        "These are numbers of images. Divide each by how many it is of.": (
            lambda told, named, fake, called: [told.sum(), named[fake].sum()]
        ),
        "Photograph or fake comes first, the class of the fakes second.": (
            lambda *given: right(*given)[::-1]
        ),
    }
    truth = ["Real"] * 3 + ["ProGAN", "ProGAN", "SNGAN", "SNGAN", "MMDGAN", "MMDGAN", "MMDGAN"]
    guesses = ["Real", "Real", "SNGAN", "ProGAN", "SNGAN", "SNGAN", "Real", "Real", "SNGAN", "Real"]
    return Exercise(
        right=scores,
        examples={"For ten images": (guesses, truth), "For ten others": (truth, guesses)},
        mistakes={hint: partial(scores, shares=made) for hint, made in mistakes.items()},
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
    "00.3": _two_scores,
    "01.1": _two_spectra,
    "01.2": _coverage,
    "01.3": _locked_share,
}
