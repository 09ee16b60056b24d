"""`dnadet pretrain --photos`: stage 1 on somebody's own photographs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import photograph

from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.cli import main
from dnadet_lib.images.reading import read_image
from dnadet_lib.plumbing.notes import listening
from dnadet_lib.stages import own_photographs
from dnadet_lib.stages.own_photographs import Counts, own_crops, split_photographs

FEW = Counts(40, 60, 170)
TINY = ["--set", "width=8", "items=2", "patches=1", "epochs=1", "steps_per_epoch=1", "resize=64"]


@pytest.fixture
def photos(tmp_path: Path, rng) -> Path:
    """Twenty photographs of several kinds and sizes, some in a folder inside."""
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    for i in range(20):
        path = folder / ("trip" if i % 2 else ".") / f"{i}.{('png', 'jpg', 'webp')[i % 3]}"
        Image.fromarray(photograph(rng, 130 + i, 150)).save(path)
    return folder


def test_the_split_is_seeded_and_takes_each_photograph_once(photos):
    copy = photos / "copy of 4.jpg"
    shutil.copy(photos / "4.jpg", copy)
    train, dev = split_photographs(photos, seed=1)
    assert (len(train), len(dev)) == (18, 2)
    assert not set(train) & set(dev)
    assert len({path.read_bytes() for path in [*train, *dev]}) == 20
    assert split_photographs(photos, seed=1) == (train, dev)
    assert set(split_photographs(photos, seed=2)[1]) != set(dev)


def test_crops_come_from_the_photographs_of_their_part(photos):
    errors: list[str] = []
    with listening():
        crops = own_crops(photos, 128, FEW, 0, errors)
    assert (crops.train.shape, crops.dev.shape) == ((40, 128, 128, 3), (170, 128, 128, 3))
    assert not errors
    parts = split_photographs(photos, 0)
    for cut, own, other in ((crops.train, *parts), (crops.dev, *parts[::-1])):
        homes = {home(crop, [*own, *other]) for crop in cut[:12]}
        assert homes <= set(own)
    assert len({crop.tobytes() for crop in crops.train}) > 30  # at places that differ


def home(crop: np.ndarray, paths: list[Path]) -> Path:
    """Find the photograph that a crop is cut from."""
    for path in paths:
        image = read_image(path)
        corner = (image[:-127, :-127] == crop[0, 0]).all(axis=2)
        for top, left in np.argwhere(corner):
            if np.array_equal(image[top : top + 128, left : left + 128], crop):
                return path
    raise AssertionError("of no photograph")


def test_the_papers_preset_runs_on_own_photographs_and_goes_on(photos, tmp_path, capsys,
                                                               monkeypatch):  # fmt: skip
    monkeypatch.setattr(own_photographs, "CROPS", FEW)
    out = tmp_path / "run"
    arguments = ["pretrain", "--photos", str(photos), "--preset", "paper_pretrain", *TINY]
    assert main([*arguments, "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert "18 photographs to train on (40 crops of 128x128 pixels), 2 for dev" in printed.err
    model = load_model(out / "model.safetensors")
    assert len(model.classes) == 170
    assert main([*arguments, "--out", str(out)]) == 0
    assert "already trained" in capsys.readouterr().out
    next(iter(sorted(photos.glob("*.png")))).unlink()
    assert main([*arguments, "--out", str(out)]) == 2
    assert "was made with other images" in capsys.readouterr().err


def test_photographs_that_cannot_be_cut_are_named_and_the_rest_is_done(photos, tmp_path, capsys,
                                                                       monkeypatch):  # fmt: skip
    monkeypatch.setattr(own_photographs, "CROPS", FEW)
    parts = split_photographs(photos, 0)
    Image.new("RGB", (100, 300), "red").save(small := parts[0][0])
    (broken := parts[0][1]).write_bytes(broken.read_bytes()[:300])
    monkeypatch.setattr(own_photographs, "split_photographs", lambda *_: parts)
    arguments = ["--preset", "paper_pretrain", *TINY, "--out", str(tmp_path / "run")]
    assert main(["pretrain", "--photos", str(photos), *arguments]) == 1
    told = capsys.readouterr().err
    assert f"{small}: 100x300 pixels, smaller than the crops of 128x128" in told
    assert any(line.startswith(f"dnadet: {broken}: ") for line in told.splitlines())
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_what_is_no_folder_of_photographs_is_one_line(photos, tmp_path, capsys, world):
    def refused(*arguments: str) -> str:
        assert main(["pretrain", *arguments, "--out", str(tmp_path / "run")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    paper = ["--preset", "paper_pretrain"]
    assert "nowhere" in refused("--photos", str(tmp_path / "nowhere"), *paper)
    assert "1 photograph: give two" in refused("--photos", str(photos / "0.png"), *paper)
    large = ["--set", "transform_size=512"]
    assert "smaller than the crops of 512x512; give more" in refused(
        "--photos", str(photos), *large
    )
    assert "give photographs of your own with --photos" in refused("--profile", "smoke", *paper)
