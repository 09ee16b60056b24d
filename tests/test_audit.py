from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support import photograph, write_images

from dnadet_lib import cli
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation import audit
from dnadet_lib.evaluation.audit import findings


def image_set(folder: Path, classes: tuple[str, ...] = ("Real", "Fake")) -> ImageSet:
    found = [sorted((folder / name).iterdir()) for name in classes]
    labels = np.repeat(np.arange(len(classes)), [len(f) for f in found])
    return ImageSet([p for f in found for p in f], labels, classes)


@pytest.fixture
def lists(tmp_path, rng) -> tuple[Path, Path]:
    """A train and a test list with 40 images a class, drawn alike for both classes."""
    for split in ("train", "test"):
        for name in ("Real", "Fake"):
            write_images(tmp_path / split / name, 40, rng)
    return tmp_path / "train", tmp_path / "test"


def run(lists: tuple[Path, Path]) -> audit.Audit:
    train, test = (audit.image_facts(image_set(folder))[0] for folder in lists)
    return audit.audit(train, test)


def test_nothing_is_found_where_nothing_is(lists):
    report = run(lists)
    assert (report.exact, report.near, report.repeated) == ([], [], [])
    assert findings(report) == ["Nothing found."]
    assert list(report.trivial) == ["file", "colour", "sharpness", "traces", "all"]
    assert all(figure.low <= 0.5 <= figure.high for figure in report.trivial.values())


def test_duplicates_are_found(lists):
    train, test = lists
    pixels = np.asarray(Image.open(train / "Real" / "0.png"))
    Image.fromarray(pixels).save(test / "Real" / "copy.bmp")  # the same pixels in another file
    brighter = np.clip(pixels.astype(int) + 3, 0, 255).astype(np.uint8)
    Image.fromarray(brighter).save(test / "Fake" / "near.png")
    for name in ("twin1.png", "twin2.png"):
        Image.fromarray(np.asarray(Image.open(test / "Fake" / "1.png"))).save(test / "Fake" / name)
    report = run(lists)
    assert report.exact == [str(test / "Real" / "copy.bmp")]
    assert report.near == [str(test / "Fake" / "near.png")]
    assert report.repeated == [str(test / "Fake" / f"twin{k}.png") for k in (1, 2)]
    first, second, third, *_ = findings(report)
    assert first.startswith("1 test images also stand in the train list") and "copy.bmp" in first
    assert second.startswith("1 test images differ from a train image in at most")
    assert third.startswith("2 test images stand more than once in the test list")


def test_a_format_that_gives_the_class_away(lists):
    for folder in lists:
        for path in list((folder / "Fake").iterdir()):
            with Image.open(path) as image:
                image.save(path.with_suffix(".jpg"), quality=70)
            path.unlink()
    report = run(lists)
    text = " ".join(findings(report))
    assert "File formats or sizes differ between classes: Fake: JPEG RGB 64x64; Real: PNG" in text
    assert report.trivial["file"].value == 1
    assert "on file statistics alone reaches 1.000" in text


@pytest.mark.parametrize(
    ("group", "change"),
    [
        ("colour", lambda image: np.clip(image + np.array([30, 0, 0]), 0, 255).astype(np.uint8)),
        ("sharpness", lambda image: cv2.GaussianBlur(image, (5, 5), 1.0)),
    ],
)
def test_a_trivial_statistic_that_gives_the_class_away(lists, group, change):
    for folder in lists:
        for path in (folder / "Fake").iterdir():
            Image.fromarray(change(np.asarray(Image.open(path)))).save(path)
    report = run(lists)
    other = {"colour": "sharpness", "sharpness": "colour"}[group]
    assert report.trivial[group].value > 0.85
    assert report.trivial[other].value < report.trivial[group].value - 0.1
    assert report.trivial["all"].value > 0.85


def test_jpeg_leaves_a_grid(rng):
    ratios = []
    for _ in range(10):
        grey = cv2.cvtColor(photograph(rng, 64, 64), cv2.COLOR_RGB2GRAY)
        _, file = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 30])
        ratios.append(audit.jpeg_grid(cv2.imdecode(file, 0)) / audit.jpeg_grid(grey))
    assert np.median(ratios) > 1.3


@pytest.mark.parametrize("side", [40, 48, 56])
def test_enlarging_leaves_a_period(rng, side):
    ratios = []
    for _ in range(20):
        grey = cv2.GaussianBlur(rng.integers(0, 256, (64, 64), dtype=np.uint8), (3, 3), 0.7)
        enlarged = cv2.resize(grey[:side, :side], (64, 64), interpolation=cv2.INTER_LINEAR)
        ratios.append(audit.resampling(enlarged) / audit.resampling(grey))
    assert np.median(ratios) > 1.5


def test_small_and_flat_images_have_figures():
    for side in (1, 2, 8, 17):
        flat = np.full((side, side), 7, np.uint8)
        assert np.isfinite([audit.jpeg_grid(flat), audit.resampling(flat)]).all()


def test_near_duplicates_of_many_hashes_are_those_of_a_plain_search(rng, monkeypatch):
    monkeypatch.setattr("dnadet_lib.evaluation.audit.PAIRS_AT_ONCE", 50)
    train = rng.integers(0, 2**63, 30, dtype=np.uint64) * np.uint64(2)
    flips = [0, 1, 4, 5, 20]
    test = np.array([train[k] ^ np.uint64(2**n - 1) for k, n in enumerate(flips)], np.uint64)
    found = audit.near_duplicates(pd.Series(train), pd.Series(test))
    assert found.tolist() == [True, True, True, False, False]


def test_unreadable_images_are_named_and_the_rest_is_measured(lists):
    broken = lists[0] / "Real" / "broken.png"
    broken.write_bytes(b"no image")
    facts, errors = audit.image_facts(image_set(lists[0]))
    assert len(facts) == 80
    assert len(errors) == 1
    assert str(broken) in errors[0]
    with pytest.raises(ValueError, match="no image could be read: .*broken.png"):
        audit.image_facts(ImageSet([broken], np.array([0]), ("Real",)))


def test_command_on_the_zoo(world, tmp_path, capsys):
    arguments = ["audit", "--profile", "smoke", "--setups", "closed", "unknown"]
    assert cli.main([*arguments, "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text == (tmp_path / "audit.md").read_text()
    assert "### closed" in text
    assert "120 train images, 60 test images." in text
    assert text.count("A linear classifier on trivial statistics alone:") == 1  # none for unknown
    table = pd.read_csv(tmp_path / "audit-unknown.csv")
    assert set(table["class"]) == {"StyleGAN2"}
    assert cli.main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["setups"]
    assert list(report) == ["closed", "unknown"]
    assert report["closed"]["formats"] == dict.fromkeys(
        ("Real", "ProGAN", "MMDGAN", "SNGAN", "InfoMaxGAN"), "PNG RGB 64x64"
    )
    assert report["unknown"]["trivial"] == {}


def test_command_on_lists_of_ones_own_names_what_it_cannot_read(lists, capsys):
    train, test = lists
    (test / "Fake" / "broken.png").write_bytes(b"no image")
    assert cli.main(["audit", "--train", str(train), "--test", str(test)]) == 1
    out, error = capsys.readouterr()
    assert "80 train images, 80 test images." in out
    assert str(test / "Fake" / "broken.png") in error
    assert cli.main(["audit", "--train", str(train)]) == 2
    assert "--train and --test go together" in capsys.readouterr().err
