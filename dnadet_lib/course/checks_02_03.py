"""Checks of the exercises of lessons 02 and 03."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dnadet_lib.course.comparing import Exercise


def _shrink_and_enlarge() -> Exercise:
    import cv2

    from dnadet_lib.transforms import SCALES, down_up

    def resized(image: np.ndarray, scale: float, how: int = cv2.INTER_LINEAR) -> np.ndarray:
        rng = np.random.default_rng(0)  # which resizing does not use
        return down_up(image, rng, scale=scale, interpolation=how, size=64)

    def shrunk(image: np.ndarray, scale: float, how: int = cv2.INTER_LINEAR) -> np.ndarray:
        side = int(64 * scale)
        return cv2.resize(image, (side, side), interpolation=how)

    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Exercise(
        right=resized,
        examples={f"Scale {scale}": (image, scale) for scale in SCALES},
        mistakes={
            "Enlarge it back to 64x64.": shrunk,
            "The side is int(64 * scale), which cuts; you round.": (
                lambda image, scale: resized(image, (round(64 * scale) + 0.5) / 64)
            ),
            "You return the image as it was: shrink it first.": lambda image, scale: image,
            "Both steps take INTER_LINEAR; the nearest pixel is taken.": (
                lambda image, scale: resized(image, scale, cv2.INTER_NEAREST)
            ),
            "Both steps take INTER_LINEAR; you average areas.": (
                lambda image, scale: resized(image, scale, cv2.INTER_AREA)
            ),
            "Both steps take INTER_LINEAR; you shrink by areas.": lambda image, scale: cv2.resize(
                shrunk(image, scale, cv2.INTER_AREA), (64, 64), interpolation=cv2.INTER_LINEAR
            ),
            "Both steps take INTER_LINEAR; you take the cubic one.": (
                lambda image, scale: resized(image, scale, cv2.INTER_CUBIC)
            ),
        },
    )


def _family_accuracy() -> Exercise:
    def right(truth: np.ndarray, predicted: np.ndarray, families: np.ndarray) -> np.ndarray:
        return families[truth] == families[predicted]

    rng = np.random.default_rng(1)
    families = np.array(["JPEG"] * 4 + ["resize"] * 6)
    return Exercise(
        right=lambda *given: right(*given).mean(),
        examples={"On a random example": (*rng.integers(0, 10, (2, 50)), families)},
        mistakes={
            "This is the accuracy over classes. Compare the families of both.": (
                lambda truth, predicted, families: np.mean(truth == predicted)
            ),
            "Return the share of predictions, not their number.": (
                lambda *given: right(*given).sum()
            ),
            "This is one value per prediction: return their mean.": right,
            "Every prediction counts once; you average over families.": (
                lambda truth, predicted, families: np.mean([
                    np.mean(families[predicted[families[truth] == name]] == name)
                    for name in np.unique(families)
                ])
            ),
        },
    )  # fmt: skip


def _high_pass() -> Exercise:
    def laplacian(grey: np.ndarray) -> np.ndarray:
        up, down, left, right = grey[:-2, 1:-1], grey[2:, 1:-1], grey[1:-1, :-2], grey[1:-1, 2:]
        return up + down + left + right - 4 * grey[1:-1, 1:-1]

    def inner(grey: np.ndarray) -> np.ndarray:
        rows = grey[:-2] - 2 * grey[1:-1] + grey[2:]
        return -(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]) / 4

    def bordered(mode: Any) -> Callable[[np.ndarray], np.ndarray]:
        return lambda grey: inner(np.pad(grey, 1, mode=mode))

    return Exercise(
        right=inner,
        examples={
            "On a random 9x11 image": (
                np.random.default_rng(2).normal(size=(9, 11)).astype(np.float32),
            )
        },
        mistakes={
            "Divide the sum by 4.": lambda grey: 4 * inner(grey),
            "Take the sum, not the mean over the nine places.": lambda grey: inner(grey) / 9,
            "Inner pixels alone, (H-2, W-2): do not fill up the border.": bordered("constant"),
            "Inner pixels alone, (H-2, W-2): do not mirror the border.": bordered("reflect"),
            "The sign is turned round: the middle of the kernel is -4 / 4.": (
                lambda grey: -inner(grey)
            ),
            "The corners of the kernel are -1, not 0.": laplacian,
        },
    )


def _positive_pairs() -> Exercise:
    def pairs(owners: np.ndarray, alone: bool = True) -> np.ndarray:
        return (owners[:, None] == owners[None]) & ~(alone & np.eye(len(owners), dtype=bool))

    def images(labels: np.ndarray, views: int) -> np.ndarray:
        return np.repeat(np.arange(len(labels)), views)

    return Exercise(
        right=lambda labels, views: pairs(np.repeat(labels, views)),
        examples={
            "For labels 0 1 0 2 with two patches each": (np.array([0, 1, 0, 2]), 2),
            "For labels 1 1 with three patches each": (np.array([1, 1]), 3),
        },
        mistakes={
            "No patch is a positive of itself.": (
                lambda labels, views: pairs(np.repeat(labels, views), alone=False)
            ),
            "Patches of other images of the class are positives, too.": (
                lambda labels, views: pairs(images(labels, views))
            ),
            "Other patches of the same image are positives, too.": (
                lambda labels, views: (
                    pairs(np.repeat(labels, views)) & ~pairs(images(labels, views))
                )
            ),
            "An image's patches stand one after the other: np.repeat, not np.tile.": (
                lambda labels, views: pairs(np.tile(labels, views))
            ),
            "There is one row per patch, not one per image.": lambda labels, views: pairs(labels),
            "These are the negatives.": lambda labels, views: (
                ~pairs(np.repeat(labels, views), alone=False)
            ),
        },
    )


def _weighted_total() -> Exercise:
    def total(term: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        return lambda losses, scales: sum(term(np.array(losses), np.array(scales)))

    right = total(lambda x, s: 0.5 / s**2 * x + np.log(1 + s**2))
    cases = (([1.5, 3.0], [1.0, 1.0]), ([0.2, 2.5], [0.7, 1.9]), ([1.0, 0.5, 2.0], [0.5, 1.0, 2.0]))
    return Exercise(
        right=right,
        examples={f"Losses {case[0]}, scales {case[1]}": case for case in cases},
        mistakes={
            "The second term is missing: log(1 + s^2).": total(lambda x, s: 0.5 / s**2 * x),
            "The second term is log(1 + s^2), not log(s^2).": total(
                lambda x, s: 0.5 / s**2 * x + np.log(s**2)
            ),
            "The second term is log(1 + s^2); you do not square s.": total(
                lambda x, s: 0.5 / s**2 * x + np.log(1 + s)
            ),
            "Divide the loss by the squared scale.": total(
                lambda x, s: 0.5 / s * x + np.log(1 + s**2)
            ),
            "Multiply the loss by 0.5.": total(lambda x, s: x / s**2 + np.log(1 + s**2)),
            "Add the terms up; you average them.": lambda losses, scales: (
                right(losses, scales) / len(losses)
            ),
        },
    )  # fmt: skip


def _best_squared_scale() -> Exercise:
    def root(loss: float, half: float = 0.5, sign: int = 1) -> float:
        return (half * loss + sign * np.sqrt((half * loss) ** 2 + 4 * half * loss)) / 2

    return Exercise(
        right=root,
        examples={f"For a loss of {loss}": (loss,) for loss in (0.1, 1.0, 4.0)},
        near=6e-3,  # so that a search on a grid with steps of 0.01 is right, too
        mistakes={
            "This is the scale s. Return its square.": lambda loss: root(loss) ** 0.5,
            "The derivative of log(1 + u) is 1 / (1 + u), not 1 / u.": lambda loss: loss / 2,
            "This is the other root, which is no square.": lambda loss: root(loss, sign=-1),
            "The 0.5 before the loss got lost on the way.": lambda loss: root(loss, half=1),
            "This is the smallest value of the term. Return the u at which it is reached.": (
                lambda loss: 0.5 / root(loss) * loss + np.log(1 + root(loss))
            ),
        },
    )


CHECKS: dict[str, Callable[[], Exercise]] = {
    "02.1": _shrink_and_enlarge,
    "02.2": _family_accuracy,
    "02.3": _high_pass,
    "03.1": _positive_pairs,
    "03.2": _weighted_total,
    "03.3": _best_squared_scale,
}
