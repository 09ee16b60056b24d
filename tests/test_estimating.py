"""`--estimate`: hours and memory before a run begins."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import photograph, write_images

from dnadet_lib.cli import main
from dnadet_lib.data import ImageSet
from dnadet_lib.model import DNADet
from dnadet_lib.presets import get_preset
from dnadet_lib.stages import estimating
from dnadet_lib.stages.estimating import Estimate, spell, training_estimate

ESTIMATE = Estimate("cpu", 3, 14.2, 500, 630, 30, 60, 6 * 2**30)


def test_the_whole_is_the_sum_of_its_parts_and_is_spelled():
    assert ESTIMATE.seconds == 60 + 30 * (500 * 14.2 + 630)
    text = ESTIMATE.text("paper_celeba")
    assert text.splitlines()[0] == "paper_celeba on cpu: 2.7 days at most"
    assert "30 epochs at most, each 500 steps of 14.2 s (mean of 3)" in text
    assert "memory: about 6.0 GiB" in text
    assert "memory: not known" in replace(ESTIMATE, memory=None).text("x")
    assert [spell(s) for s in (3, 300, 9000, 300_000)] == [
        "3.0 seconds", "5.0 minutes", "2.5 hours", "3.5 days",
    ]  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path, rng) -> list[str]:
    for split, count in (("train", 9), ("dev", 5)):
        for name in ("Real", "ProGAN"):
            write_images(tmp_path / split / name, count, rng)
    return ["--train", str(tmp_path / "train"), "--dev", str(tmp_path / "dev")]


def test_train_says_hours_and_memory_and_stops(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dnadet_lib.stages.stage_2.fit", None)
    settings = ["--set", "steps_per_epoch=none", "items=3", "epochs=7"]
    assert main(["train", "--preset", "smoke", *settings, *folders, "--estimate"]) == 0
    said = capsys.readouterr().out
    assert "7 epochs at most, each 3 steps of" in said  # a pass over 9 images of a class
    gigabytes = float(re.search(r"memory: about ([\d.]+) GiB", said)[1])
    assert 0.1 < gigabytes < 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev", "train"]


def test_no_folder_is_an_error_unless_estimating(capsys):
    assert main(["train", "--preset", "smoke"]) == 2
    assert "--out FOLDER is needed" in capsys.readouterr().err
    assert main(["pretrain"]) == 2
    assert "--out FOLDER is needed" in capsys.readouterr().err


def image_set(paths: list[Path]) -> ImageSet:
    return ImageSet(paths, np.arange(len(paths)) % 2, ("Real", "ProGAN"))


def test_what_grows_with_the_images_grows(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(estimating, "timed", lambda work: (work(), 1.0))  # a clock that is even
    monkeypatch.setattr(estimating, "seconds_a_step", lambda *_: (2.0, 1))
    paths = write_images(tmp_path, 40, rng)
    preset = replace(get_preset("smoke"), steps_per_epoch=None)
    few, many = (
        training_estimate(preset, image_set(paths[:n]), image_set(paths[:n])) for n in (20, 40)
    )
    assert (few.steps, many.steps) == (2, 5)
    assert many.scoring == pytest.approx(2 * few.scoring)
    assert many.once == pytest.approx(2 * few.once)


def test_a_discriminant_takes_no_steps(tmp_path, rng):
    images = image_set(write_images(tmp_path, 12, rng))
    preset = replace(get_preset("pocket"), width=8, discriminant=2)
    pretrained = DNADet(170, 8, input=preset.input).eval()
    found = training_estimate(preset, images, images, pretrained)
    assert (found.epochs, found.steps) == (0, 0)
    assert found.seconds == found.once > 0
    assert "once, to read images and solve" in found.text("pocket")
    with pytest.raises(ValueError, match="solves a discriminant on a pre-trained model"):
        training_estimate(preset, images, images)


def test_pretrain_on_own_photographs(tmp_path, rng, capsys):
    for i in range(4):
        Image.fromarray(photograph(rng, 140, 150)).save(tmp_path / f"{i}.png")
    settings = ["--set", "width=8", "items=60", "patches=1", "epochs=2", "resize=64"]
    arguments = ["pretrain", "--photos", str(tmp_path), "--preset", "paper_pretrain", *settings]
    assert main([*arguments, "--estimate"]) == 0
    printed = capsys.readouterr()
    assert "2 epochs at most, each 100 steps of" in printed.out  # 6,000 crops
    assert printed.err == ""
