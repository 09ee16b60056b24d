"""Lesson 00's guesses: any spelling is read, and an image's truth is shown once it has a guess."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence

import numpy as np

from dnadet_lib.course.lessons import LessonError

REAL, FAKE, NO_GUESS = "Real", "fake", "?"
OTHER_WORDS = {"photo": REAL, "photograph": REAL, "generated": FAKE, FAKE: FAKE}


def read_guess(written: str, classes: Sequence[str]) -> str:
    """Return what a guess means: the name of a class, "fake", or "?" for no guess.

    Capitals, blanks and hyphens do not count, a slip of the pen is forgiven, and the beginning of
    a name is enough where no other begins so.

    Raises:
        ValueError: it means none of these.
    """
    word = re.sub("[^a-z0-9]", "", str(written).lower())
    if not word:
        return NO_GUESS
    meanings = OTHER_WORDS | {name.lower(): name for name in classes}
    close = difflib.get_close_matches(word, meanings, 1, 0.8)
    found = {m for name, m in meanings.items() if name.startswith(word)}
    if word in meanings or (not found and close):
        found = {meanings[word if word in meanings else close[0]]}
    if len(found) != 1:
        raise ValueError(f"{written!r}: write {', '.join(classes)}, {FAKE} or {NO_GUESS}")
    return found.pop()


def read_guesses(
    guesses: Sequence[str], classes: Sequence[str], count: int, seed: int = 0
) -> list[str]:
    """Read the guesses on `count` images, one each.

    `dnadet run` sets DNADET_WIDGETS=off: nobody is there to guess, so chance does, and a line says
    so.

    Raises:
        LessonError: there are more or fewer, or one cannot be understood; its number is given.
    """
    if len(guesses) != count:
        raise LessonError(f"{len(guesses)} guesses for {count} images: give one for each")
    meant = []
    for number, written in enumerate(guesses, 1):
        try:
            meant.append(read_guess(written, classes))
        except ValueError as error:
            raise LessonError(f"guess {number} is {error}") from None
    if set(meant) == {NO_GUESS} and os.environ.get("DNADET_WIDGETS") == "off":
        print("Nobody was there to guess when this lesson was run, so chance has guessed.")
        return np.random.default_rng(seed).choice(list(classes), count).tolist()
    return meant


def shown(guesses: Sequence[str], truth: Sequence[str]) -> list[str]:
    """Return the truth of each image that has a guess, and "?" for the others."""
    return [NO_GUESS if g == NO_GUESS else t for g, t in zip(guesses, truth, strict=True)]


def score(guesses: Sequence[str], truth: Sequence[str], classes: Sequence[str]) -> str:
    """Count right answers, for real against fake and for the classes apart, beside chance."""
    pairs = [(g, t) for g, t in zip(guesses, truth, strict=True) if g != NO_GUESS]
    if not pairs:
        return ("You have not guessed yet: fill in the cell above, then run it and this one. "
                "The truth of an image is shown once it has a guess.")  # fmt: skip
    fakes = sum(t != REAL for _, t in pairs)
    told = sum((g == REAL) == (t == REAL) for g, t in pairs)
    named = [(g, t) for g, t in pairs if g != FAKE]
    right, chance = sum(g == t for g, t in named), len(named) / len(classes)
    return (
        f"Real or fake: {told} of {len(pairs)} right (always saying fake: {fakes}).\n"
        f"Which of the {len(classes)} classes: {right} of {len(named)} named rightly "
        f"(guessing: {chance:.1f})."
    )
