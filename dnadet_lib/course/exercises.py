"""Checks of the lessons' exercises: each says "not yet" and why, or "done"."""

from __future__ import annotations

from dnadet_lib.course import checks_00_01, checks_02_03, checks_04_05, checks_06_07
from dnadet_lib.course.comparing import NOTHING, Answer
from dnadet_lib.course.submission import keep_attempt

CHECKS = checks_00_01.CHECKS | checks_02_03.CHECKS | checks_04_05.CHECKS | checks_06_07.CHECKS


def check(number: str, answer: Answer) -> None:
    """Print whether a student's function does what an exercise asks for, and keep it.

    Args:
        number: Lesson and exercise, such as "03.1".
        answer: The student's function.

    Raises:
        ValueError: no such exercise.
    """
    problem = problem_of(number, answer)
    print(f"Exercise {number}: not yet. {problem}" if problem else f"Exercise {number}: done.")
    if problem != NOTHING:
        keep_attempt(number, answer, not problem)


def problem_of(number: str, answer: Answer) -> str:
    """Return what a student's function lacks, or nothing if it does what is asked.

    Raises:
        ValueError: no such exercise.
    """
    if number not in CHECKS:
        raise ValueError(f"no exercise {number!r}: there are {', '.join(CHECKS)}")
    if not callable(answer):
        return "Hand over the function itself: its name, without brackets behind it."
    try:
        return CHECKS[number]().problem(answer)
    except Exception as error:  # whatever a student's function raises is an answer, not a crash
        name = getattr(answer, "__name__", "the function")
        return f"{name} stopped with {type(error).__name__}: {error}"
