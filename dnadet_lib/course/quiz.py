"""Multiple-choice questions at the end of each lesson, as HTML without a script.

An option is a `details` element: opened by mouse or keyboard, it says whether it is right, and why.
"""

import json
from dataclasses import dataclass

import numpy as np

from dnadet_lib.course.lessons import CLONE
from dnadet_lib.plumbing.text import for_html

FILE = CLONE / "notebooks" / "questions.json"
STYLE = (
    "<style>.quiz summary {cursor: pointer; padding: 0.2em 0} "
    ".quiz details {margin-left: 1em} .quiz details p {margin: 0 0 0.4em 1.2em}</style>"
)


@dataclass(frozen=True)
class Option:
    """A possible answer, whether it is right, and why it is or is not."""

    text: str
    because: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with its possible answers; one of them is right."""

    question: str
    options: tuple[Option, ...]


def questions_of(lesson: str) -> list[Question]:
    """Read the questions of a lesson, such as "03".

    Raises:
        ValueError: there are none.
    """
    every = json.loads(FILE.read_text(encoding="utf-8"))
    if lesson not in every:
        raise ValueError(f"no questions of lesson {lesson!r}: choose one of {', '.join(every)}")
    return [
        Question(q["question"], tuple(Option(**option) for option in q["options"]))
        for q in every[lesson]
    ]


def quiz_html(lesson: str) -> str:
    """Write a lesson's questions as HTML; the order of the options is drawn, always the same."""
    rng = np.random.default_rng(int(lesson))
    parts = []
    for number, question in enumerate(questions_of(lesson), 1):
        parts.append(f"<p><b>{number}.</b> {for_html(question.question)}</p>")
        for option in rng.permutation(np.array(question.options, dtype=object)):
            verdict = "Right." if option.right else "No."
            parts.append(
                f"<details><summary>{for_html(option.text)}</summary>"
                f"<p><b>{verdict}</b> {for_html(option.because)}</p></details>"
            )
    return f'{STYLE}<div class="quiz">{"".join(parts)}</div>'


def ask(lesson: str) -> None:
    """Show a lesson's questions below a cell."""
    from IPython.display import HTML, display

    display(HTML(quiz_html(lesson)))
