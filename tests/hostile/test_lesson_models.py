"""Models that lessons hand on: one of another seed, other images or another preset is not used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dnadet_lib import course as lessons, presets, stages
from dnadet_lib.course.lessons import Lesson
from dnadet_lib.presets import get_preset
from dnadet_lib.stages.folder import HISTORY, MODEL, STATE

ONE = {"epochs": 1, "steps_per_epoch": 1, "items": 2}


@pytest.fixture
def lesson(world, tmp_path: Path, monkeypatch) -> Lesson:
    monkeypatch.setattr(presets, "smoke", replace(get_preset("smoke"), **ONE))
    monkeypatch.setattr(presets, "smoke_pretrain", replace(get_preset("smoke_pretrain"), **ONE))
    return Lesson("smoke", 0, world.images, tmp_path)


def weight(found) -> torch.Tensor:
    return found[0].main[0].main[0].weight


def test_tiny_models_are_made_once_for_each_seed_and_preset(lesson, capsys, monkeypatch):
    first, second = lessons.stage_one(lesson), lessons.shipped_or_tiny(lesson)
    assert capsys.readouterr().out.count("Training a tiny") == 2
    assert torch.equal(weight(lessons.stage_one(lesson)), weight(first))
    assert torch.equal(weight(lessons.shipped_or_tiny(lesson)), weight(second))
    assert capsys.readouterr().out == ""
    other = lessons.stage_one(replace(lesson, seed=1))
    assert "Training a tiny stage 1" in capsys.readouterr().out
    assert not torch.equal(weight(other), weight(first))
    lessons.shipped_or_tiny(lesson)  # of seed 0 again: stage 1 of seed 1 lies there
    assert capsys.readouterr().out.count("Training a tiny stage 1") == 1
    monkeypatch.setattr(presets, "smoke", replace(presets.smoke, learning_rate=0.1))
    lessons.shipped_or_tiny(lesson)
    assert "Training a tiny detector" in capsys.readouterr().out


def test_a_file_that_is_cut_short_is_made_anew(lesson, capsys):
    lessons.stage_one(lesson)
    file = lesson.folder / "stage1.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    lessons.stage_one(lesson)
    assert capsys.readouterr().out.count("Training a tiny stage 1") == 2


@pytest.mark.parametrize(
    ("name", "number", "find"),
    [("stage2", "03", lessons.stage_two), ("whole_raw", "04", lessons.whole_raw)],
)
def test_a_model_that_a_lesson_left_is_used_for_its_seed_and_images(
    lesson, capsys, monkeypatch, name, number, find
):
    train, dev = stages.training_data(lesson.root)
    folder = lessons.fresh(lesson.folder / name)
    model, _ = stages.run_training(presets.smoke, train, dev, folder=folder)
    found, origin = find(lesson)
    assert origin == f"trained in lesson {number}"
    assert torch.equal(weight((found,)), weight((model,)))
    _, origin = find(replace(lesson, seed=1))
    assert origin.startswith("tiny")
    assert f"run lesson {number} again to have one of seed 1" in capsys.readouterr().out
    fewer = train.take(np.arange(1, len(train)))
    patched = "dnadet_lib.course.lesson_models.training_data"
    monkeypatch.setattr(patched, lambda *_, **__: (fewer, dev))
    assert find(lesson)[1].startswith("tiny")


def test_a_fresh_folder_holds_no_run(tmp_path):
    torch.save({"history": []}, tmp_path / STATE)
    for name in (MODEL, HISTORY, "mine.txt"):
        (tmp_path / name).write_text("x")
    lessons.fresh(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
