"""The questions of the lessons: each has one right answer, and every answer says why."""

import json
from html.parser import HTMLParser

import pytest

from dnadet_lib.course import lesson_files, quiz

LESSONS = [file.stem[:2] for file in lesson_files()]


def test_every_lesson_has_three_questions_with_one_right_answer_each():
    assert list(json.loads(quiz.FILE.read_text(encoding="utf-8"))) == LESSONS
    for lesson in LESSONS:
        questions = quiz.questions_of(lesson)
        assert len(questions) == 3
        for question in questions:
            assert sum(option.right for option in question.options) == 1, question.question
            assert all(option.because.endswith(".") for option in question.options)


def test_the_right_answer_does_not_stand_at_one_place():
    places = set()
    for lesson in LESSONS:
        page = quiz.quiz_html(lesson)
        verdicts = [part[:5] for part in page.split("<p><b>")[1:] if part[:2] in ("Ri", "No")]
        places |= {(index % 3) for index, word in enumerate(verdicts) if word.startswith("Ri")}
    assert places == {0, 1, 2}


class Details(HTMLParser):
    """Collects what each summary says, and what opens below it."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.pairs = "", []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "details":
            self.pairs.append(["", ""])
        self.open = tag if tag in ("summary", "p", "b") else self.open

    def handle_endtag(self, tag: str) -> None:
        self.open = "details" if tag == "summary" else self.open

    def handle_data(self, data: str) -> None:
        if self.pairs and self.open in ("summary", "p", "b", "details"):
            self.pairs[-1][self.open != "summary"] += data


def test_an_opened_answer_says_whether_it_is_right_and_why():
    page = Details()
    page.feed(quiz.quiz_html("03"))
    opened = dict(page.pairs)
    for question in quiz.questions_of("03"):
        for option in question.options:
            told = opened[option.text]
            assert told.startswith("Right." if option.right else "No.")
            assert option.because in told


def test_text_is_escaped(monkeypatch, tmp_path):
    answers = [{"text": "<b>", "because": "x & y.", "right": True}]
    (tmp_path / "q.json").write_text(json.dumps({"00": [{"question": "<i>", "options": answers}]}))
    monkeypatch.setattr(quiz, "FILE", tmp_path / "q.json")
    page = quiz.quiz_html("00")
    assert "&lt;b&gt;" in page and "&lt;i&gt;" in page and "x &amp; y." in page


def test_an_unknown_lesson_is_named():
    with pytest.raises(ValueError, match="no questions of lesson '09': choose one of 00, 01"):
        quiz.questions_of("09")
