"""Several lessons at a time."""

import json
import os
import time
from functools import partial
from pathlib import Path

import pytest

from dnadet_lib.course.side_by_side import executed, predecessors

LESSONS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PATIENCE = 60.0  # seconds


@pytest.fixture
def files(tmp_path):
    """Four notebooks: the third uses the second, the fourth uses the third."""
    after = {"0_alone": [], "1_first": [], "2_second": ["1_first"], "3_third": ["2_second"]}
    for name, names in after.items():
        content = {"cells": [], "metadata": {"after": names}}
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(content))
    return sorted(tmp_path.glob("*.ipynb"))


def note_times(file, log):
    """Write when a lesson begins and ends; the second one fails."""
    with (log / "log").open("a") as lines:
        lines.write(f"begin {file.stem}\n")
    time.sleep(0.1)
    with (log / "log").open("a") as lines:
        lines.write(f"end {file.stem}\n")
    return "broken" if file.stem == "2_second" else "", 0.1


def meet_the_other(file, folder):
    """Wait until the other one of two lessons is there, too."""
    (folder / f"{file.stem} is here").touch()
    begin = time.monotonic()
    while len(list(folder.glob("* is here"))) < 2 and time.monotonic() - begin < PATIENCE:
        time.sleep(0.05)
    return os.environ["OMP_NUM_THREADS"], float(len(list(folder.glob("* is here"))))


@pytest.mark.parametrize("count", [1, 2])
def test_a_lesson_waits_for_those_whose_models_it_uses(files, tmp_path, count):
    found = dict(executed(files, partial(note_times, log=tmp_path), count))
    assert {file.stem: problem for file, (problem, _) in found.items()} == {
        "0_alone": "", "1_first": "", "2_second": "broken", "3_third": "",
    }  # fmt: skip
    lines = (tmp_path / "log").read_text().splitlines()
    order = [lines.index(f"{what} {name}") for name in ("1_first", "2_second", "3_third")
             for what in ("begin", "end")]  # fmt: skip
    assert order == sorted(order)


def test_two_lessons_run_at_once_and_share_the_cores(files, tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = dict(executed(files[:2], partial(meet_the_other, folder=tmp_path), 2))
    threads = str(max(1, (os.cpu_count() or 1) // 2))
    assert list(found.values()) == [(threads, 2.0), (threads, 2.0)]
    assert "OMP_NUM_THREADS" not in os.environ


def test_lessons_name_those_whose_models_they_use():
    """The models that a lesson asks for are left by lessons 03 and 04."""
    before = predecessors(LESSONS)
    for file in LESSONS:
        needed = {number for call, number in (("stage_two(", "03"), ("whole_raw(", "04"))
                  if f"lessons.{call}" in file.read_text()}  # fmt: skip
        assert {other.stem[:2] for other in before[file]} == needed - {file.stem[:2]}
