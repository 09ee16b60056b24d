"""What students hand in: it is kept as they work, and checked again in processes of its own."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from test_exercises import WRONG, solution

from dnadet_lib import course as lessons
from dnadet_lib.cli import main
from dnadet_lib.course import exercises, submission
from dnadet_lib.course.grading import checked
from dnadet_lib.course.sources import source_of
from dnadet_lib.course.submission import read_submission

TWICE = 2


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build folder, and a person at the keyboard who has not signed."""
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    monkeypatch.delenv("DNADET_WIDGETS", raising=False)
    monkeypatch.setattr(submission, "_signed_here", False)
    return tmp_path / "build"


@pytest.fixture
def lesson(build: Path) -> lessons.Lesson:
    return lessons.Lesson("smoke", 0, build, build)


def kept(build: Path, name: str = "unsigned") -> dict:
    return read_submission(build / "submission" / f"{name}.json")


def chance(counts):
    """Uses what a notebook has around it."""
    return half(TWICE * np.max(counts)) / math.fsum(counts)


def half(number):
    return number / TWICE


# Keeping -----------------------------------------------------------------------------------------


def test_predictions_are_kept_with_their_times(lesson, build, capsys):
    lesson.predict("01 which?", " ")
    assert "Write your prediction" in capsys.readouterr().out
    assert not (build / "submission").exists()
    lesson.predict("01 which?", "SNGAN, for its steps")
    lesson.predict("01 which?", "SNGAN, for its steps")
    lesson.predict("01 which?", "MMDGAN after all\nbecause of its kernel")
    texts = [p["text"] for p in kept(build)["predictions"]]
    assert texts == ["SNGAN, for its steps", "MMDGAN after all\nbecause of its kernel"]
    for prediction in kept(build)["predictions"]:
        assert abs(time.time() - datetime.fromisoformat(prediction["time"]).timestamp()) < 60
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 3
    assert told[0] == told[1]
    assert all("Kept without a name" in line for line in told)


def test_a_name_is_put_on_all_that_follows_and_on_what_was_kept_without_one(lesson, build, capsys):
    lesson.predict("00 how many?", "six")
    lessons.sign("Ada / Lovelace ")
    assert "You work as Ada / Lovelace." in capsys.readouterr().out
    lesson.predict("00 which?", "none")
    lessons.sign("")
    assert capsys.readouterr().out.endswith("You work as Ada / Lovelace.\n")
    record = kept(build, "Ada _ Lovelace")
    assert record["name"] == "Ada / Lovelace"
    assert [p["text"] for p in record["predictions"]] == ["six", "none"]
    assert not (build / "submission" / "unsigned.json").exists()
    (build / "submission" / "signed.txt").write_text("Ada : Lovelace")  # of the same file
    lesson.predict("00 which?", "all")
    assert "belongs to 'Ada / Lovelace'" in capsys.readouterr().out


def test_an_executed_lesson_keeps_nothing_unless_it_is_signed(
    lesson, build, monkeypatch, capsys
):
    lessons.sign("Ada")
    monkeypatch.setattr(submission, "_signed_here", False)  # as in another kernel
    monkeypatch.setenv("DNADET_WIDGETS", "off")
    lesson.predict("00 which?", "none")
    exercises.check("00.1", chance)
    lessons.sign("")
    assert "You work as Ada" not in capsys.readouterr().out.split("\n", 1)[1]
    assert not (build / "submission" / "Ada.json").exists()
    lessons.sign("Ada")
    exercises.check("00.1", chance)
    assert kept(build, "Ada")["exercises"].keys() == {"00.1"}


def test_attempts_are_counted_and_what_is_done_stays(build):
    exercises.check("00.1", lambda counts: None)  # a stub is no attempt
    assert not (build / "submission").exists()
    exercises.check("00.1", half)
    exercises.check("00.1", half)
    assert kept(build)["exercises"]["00.1"]["attempts"] == 1
    exercises.check("00.1", chance)
    exercises.check("00.1", half)
    entry = kept(build)["exercises"]["00.1"]
    assert (entry["done"], entry["attempts"], entry["function"]) == (True, 3, "chance")


def test_a_source_brings_along_what_it_uses():
    same = lambda counts: half(2 * max(counts)) / sum(counts)  # noqa: E731
    for function in (chance, same):
        name, source = source_of(function)
        names: dict = {}
        exec(source, names)
        assert names[name]([10, 60, 30]) == 0.6
    assert source_of(max) == source_of(np.max.__call__) == source_of(0.6) == ("", "")


def test_what_cannot_be_kept_does_not_stop_the_lesson(lesson, build, capsys):
    exercises.check("00.1", max)
    told = capsys.readouterr().out
    assert "not yet" in told and "with def" in told
    file = build / "submission" / "unsigned.json"
    file.write_text('{"name": "un')
    lesson.predict("00 which?", "none")
    exercises.check("00.1", chance)
    told = capsys.readouterr().out
    assert told.count("unsigned.json: is no JSON") == 2
    assert "Exercise 00.1: done." in told
    assert file.read_text() == '{"name": "un'


def test_two_notebooks_at_once_lose_nothing(build):
    program = (
        "import sys\n"
        "from dnadet_lib.course.submission import keep_prediction\n"
        "for k in range(20):\n"
        "    keep_prediction(f'{sys.argv[1]} {k}', 'so')\n"
    )
    command = [sys.executable, "-c", program]
    running = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, cwd=lessons.CLONE)
        for name in "ab"
    ]
    assert [process.communicate() and process.returncode for process in running] == [0, 0]
    assert len(kept(build)["predictions"]) == 40


# Marking -----------------------------------------------------------------------------------------


def entry(function: str, source: str, done: bool = False) -> dict:
    return {"function": function, "source": source, "done": done, "attempts": 2, "time": "then"}


def hand_in(folder: Path, name: str, entries: dict, predictions: tuple = ()) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    record = {"name": name, "predictions": list(predictions), "exercises": entries}
    (folder / f"{name.strip('=')}.json").write_text(json.dumps(record))


def right(number: str) -> dict:
    return entry(*source_of(solution(number)), done=True)


BREAKING = {
    "loops": "def f(counts):\n    while True:\n        pass\n",
    "kills": "import os\ndef f(*given):\n    os._exit(0)\n",
    "prints": "def f(counts):\n    while True:\n        print('x' * 100_000)\n",
    "syntax": "def f(counts:\n",
}


def test_a_class_is_marked_and_five_broken_ones_are_named(tmp_path, capsys):
    folder = tmp_path / "class"
    every = {number: right(number) for number in exercises.CHECKS}
    said = {"question": "00 which?", "text": "@none\nof them", "time": "2026-11-26T10:00:00+00:00"}
    hand_in(folder, "=Ada", every, (said, {**said, "text": "all"}))
    wrong = {number: source_of(next(iter(WRONG[number]))) for number in ("04.2", "05.2")}
    hand_in(folder / "later", "Ben", {n: entry(*found, done=True) for n, found in wrong.items()})
    hand_in(folder, "Cy", {})
    for name, source in BREAKING.items():
        hand_in(folder, name, {"00.1": entry("f", source, done=True), "00.2": right("00.2")})
    (folder / "cut.json").write_text('{"name": "cut"')
    out = tmp_path / "grades.csv"
    assert main(["grade", str(folder), "--out", str(out), "--seconds", "3"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(out), str(tmp_path / "grades-predictions.csv")]
    assert "8 submissions checked; broken: 5" in printed.err
    for name in (*BREAKING, "cut"):
        assert printed.err.count(f"{name}.json: ") == 1
    assert "Traceback" not in printed.err

    rows = list(csv.DictReader(out.open(newline="", encoding="utf-8")))
    assert list(rows[0]) == ["name", "exercise", "done", "attempts", "time", "remark", "file"]
    assert len(rows) == 8 * 24
    done = {(row["name"], row["exercise"]) for row in rows if row["done"] == "yes"}
    assert done == {("'=Ada", n) for n in every} | {(name, "00.2") for name in BREAKING}
    found = {(row["name"], row["exercise"]): row for row in rows}
    assert found["Ben", "05.2"]["remark"].startswith("the file says done, the check does not")
    assert "nearest" in found["Ben", "05.2"]["remark"]
    assert found["Ben", "05.2"]["file"] == str(Path("later", "Ben.json"))
    assert found["Cy", "03.1"]["remark"] == "not handed in"
    assert found["Cy", "03.1"]["attempts"] == "0"
    assert "longer than 3 s" in found["loops", "00.1"]["remark"]
    assert "more than 1,000,000 characters" in found["prints", "00.1"]["remark"]
    assert "SyntaxError" in found["syntax", "00.1"]["remark"]
    predictions = list(csv.reader((tmp_path / "grades-predictions.csv").open(newline="")))
    assert predictions[1:] == [
        ["'=Ada", "00 which?", r"'@none\x0aof them", said["time"], "Ada.json"],
        ["'=Ada", "00 which?", "all", said["time"], "Ada.json"],
    ]


def test_every_solution_passes_from_its_kept_source():
    entries = {number: right(number) for number in exercises.CHECKS}
    assert set(checked(entries, 60, 2).values()) == {(True, "", False)}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems set no limit of memory")
def test_memory_is_limited():
    hungry = "def f(counts):\n    x = bytearray(600 * 2**20)\n    return 0.6 if x else 0\n"
    assert "MemoryError" in checked({"00.1": entry("f", hungry)}, 60, 0.3)["00.1"].remark


def test_a_function_that_stops_the_process_leaves_nothing_behind(tmp_path):
    source = (
        "import subprocess, sys\n"
        "def f(counts):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "    child.wait()\n"
    )
    assert "longer than 5 s" in checked({"00.1": entry("f", source)}, 5, 2)["00.1"].remark
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or ") Z " in state.read_text():
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the child still runs")


def test_after_three_that_were_stopped_the_rest_is_not_checked():
    entries = dict.fromkeys(("00.1", "00.2", "00.3", "01.1"), entry("f", BREAKING["kills"]))
    remarks = [result.remark for result in checked(entries, 60, 2).values()]
    assert remarks[:3] == ["ends the process that it runs in"] * 3
    assert remarks[3] == "is not checked, after 3 that were stopped"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "the file is [], expected a dictionary"),
        ('{"name": 1, "predictions": [], "exercises": {}}', "'name' is 1, expected str"),
        ('{"name": "a", "predictions": [{}], "exercises": {}}', "'question' is missing"),
        ('{"name": "a", "predictions": [], "exercises": {"00.1": 5}}', "exercise '00.1' is 5"),
        ("[" * 100_000, "is no JSON"),
        ('{"name": "a", "predictions": [], "exercises": {"9": %s}}', "there is no exercise '9'"),
    ],
)
def test_a_file_with_wrong_fields_is_named(tmp_path, capsys, content, message):
    if "%s" in content:
        content %= json.dumps(entry("f", ""))
    (tmp_path / "odd.json").write_text(content)
    assert main(["grade", str(tmp_path), "--out", str(tmp_path / "grades.csv")]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert f"{tmp_path / 'odd.json'}: " in told
    assert not (tmp_path / "grades.csv").exists()


def test_names_that_occur_twice_are_told(tmp_path, capsys):
    for folder in ("a", "b"):
        hand_in(tmp_path / folder, "unsigned", {})
    assert main(["grade", str(tmp_path), "--out", str(tmp_path / "grades.csv")]) == 0
    assert "unsigned: is the name in 2 files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: is no folder"),
        (["."], "no submission is there"),
        ([".", "--seconds", "0"], "--seconds 0: must be above 0"),
        ([".", "--out", "grades.txt"], "end the name in .csv"),
    ],
)
def test_wrong_use_exits_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["grade", *arguments]) == 2
    assert message in capsys.readouterr().err
