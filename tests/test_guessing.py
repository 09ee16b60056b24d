"""Guesses in lesson 00: how they are read, when the truth is shown, how they are scored."""

from __future__ import annotations

import pytest

from dnadet_lib import course as lessons, zoo
from dnadet_lib.course import guessing


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Real", "Real"), ("real ", "Real"), ("photo", "Real"), ("Photograph", "Real"),
        ("PROGAN", "ProGAN"), ("pro-gan", "ProGAN"), ("Pro GAN", "ProGAN"), ("pro", "ProGAN"),
        ("mmd", "MMDGAN"), ("SN_GAN", "SNGAN"), ("InfoMax", "InfoMaxGAN"),
        ("infomaxgn", "InfoMaxGAN"), ("Fake", "fake"), ("generated", "fake"),
        ("?", "?"), ("", "?"), ("  ", "?"),
    ],
)  # fmt: skip
def test_any_spelling_is_read(written: str, meant: str) -> None:
    assert guessing.read_guess(written, zoo.CLASSES) == meant


@pytest.mark.parametrize("written", ["cat", "gan", "p", "StyleGAN2", "7"])
def test_what_means_no_class_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=f"'{written}': write Real, ProGAN, .* fake or ?"):
        guessing.read_guess(written, zoo.CLASSES)


def test_a_guess_that_is_not_understood_is_named_by_its_number() -> None:
    with pytest.raises(lessons.LessonError, match="guess 2 is 'cat'"):
        guessing.read_guesses(["Real", "cat"], zoo.CLASSES, 2)
    with pytest.raises(lessons.LessonError, match="3 guesses for 2 images"):
        guessing.read_guesses(["?"] * 3, zoo.CLASSES, 2)


def test_truth_is_shown_once_there_is_a_guess() -> None:
    assert guessing.shown(["?", "fake", "SNGAN"], ["Real", "ProGAN", "Real"]) == [
        "?", "ProGAN", "Real",
    ]  # fmt: skip


def test_chance_guesses_where_nobody_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DNADET_WIDGETS", raising=False)
    assert guessing.read_guesses(["?"] * 12, zoo.CLASSES, 12) == ["?"] * 12
    assert "have not guessed yet" in guessing.score(["?"] * 2, ["Real", "SNGAN"], zoo.CLASSES)
    monkeypatch.setenv("DNADET_WIDGETS", "off")
    drawn = guessing.read_guesses(["?"] * 12, zoo.CLASSES, 12)
    assert set(drawn) <= set(zoo.CLASSES)
    assert len(set(drawn)) > 1
    assert "chance has guessed" in capsys.readouterr().out
    assert guessing.read_guesses(["real"] * 12, zoo.CLASSES, 12) == ["Real"] * 12


def test_real_against_fake_is_scored_apart_from_the_class() -> None:
    guesses = ["Real", "fake", "SNGAN", "ProGAN", "?", "Real"]
    truth = ["Real", "ProGAN", "SNGAN", "MMDGAN", "Real", "SNGAN"]
    told = guessing.score(guesses, truth, zoo.CLASSES)
    assert "Real or fake: 4 of 5 right (always saying fake: 4)." in told
    assert "Which of the 5 classes: 2 of 4 named rightly (guessing: 0.8)." in told
