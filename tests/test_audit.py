from __future__ import annotations

import json
import re
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


def as_jpeg(paths: list[Path], quality: int = 70) -> None:
    for path in paths:
        with Image.open(path) as image:
            image.save(path.with_suffix(".jpg"), quality=quality)
        path.unlink()


def test_repaired_lists_give_no_class_away_by_format_size_or_count(lists, tmp_path, capsys):
    train, test = lists
    for folder in lists:  # 30 of 40 fakes are JPEG, 10 photographs; 5 of these are larger
        as_jpeg(sorted((folder / "Fake").iterdir())[:30])
        as_jpeg(sorted((folder / "Real").iterdir())[:10])
        for path in sorted((folder / "Real").glob("*.png"))[:5]:
            Image.open(path).resize((80, 80)).save(path)
    Image.open(train / "Real" / "9.png").save(test / "Real" / "leak.png")
    command = ["audit", "--train", str(train), "--test", str(test)]
    assert cli.main([*command, "--repair", str(tmp_path / "matched")]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("| test | Real |"))
    assert row == (
        "| test | Real | 41 | 20 | 15: more of PNG RGB 64x64 than another class has; "
        "5: PNG RGB 80x80 not in every class; 1: stands in the train list, too |"
    )
    before, after = re.search(r"file statistics alone: (\S+) .* before, (\S+) \[", out).groups()
    assert float(before) > 0.7 > float(after)
    for name in ("train", "test"):
        found = ImageSet.from_annotation(tmp_path / "matched" / f"{name}.txt")
        assert found.classes == ("Fake", "Real")
        facts, _ = audit.image_facts(found)
        counts = facts.groupby(["format", "class"]).size().unstack()
        assert counts.to_dict() == dict.fromkeys(
            ("Fake", "Real"), {"JPEG RGB 64x64": 10, "PNG RGB 64x64": 10}
        )
        assert set(found.sources) == {"Fake", "Real"}
    again = [str(tmp_path / "matched" / f"{name}.txt") for name in ("train", "test")]
    options = ["--repair", str(tmp_path / "twice"), "--json"]
    assert cli.main(["audit", "--train", again[0], "--test", again[1], *options]) == 0
    counts = json.loads(capsys.readouterr().out)["repaired"]["train"]
    assert counts == dict.fromkeys(
        ("Fake", "Real"), {"images": 20, "kept": 20, "left_out": {}}
    )  # nothing is left to repair
    for name in ("train", "test"):
        texts = [(tmp_path / folder / f"{name}.txt").read_text() for folder in ("matched", "twice")]
        assert texts[0] == texts[1]


def test_jpeg_of_another_quality_is_another_kind(lists, tmp_path, capsys):
    for folder in lists:
        as_jpeg(sorted((folder / "Fake").iterdir()), 95)
        as_jpeg(sorted((folder / "Real").iterdir())[:39], 60)
        as_jpeg(sorted((folder / "Real").glob("*.png")), 95)
    (lists[0] / "Real" / "broken.png").write_bytes(b"no image")
    command = ["audit", "--train", str(lists[0]), "--test", str(lists[1]), "--json"]
    assert cli.main([*command, "--repair", str(tmp_path / "matched")]) == 1
    real = json.loads(capsys.readouterr().out)["repaired"]["train"]["Real"]
    assert (real["images"], real["kept"]) == (41, 1)
    assert real["left_out"].pop("cannot be read") == 1
    ((reason, count),) = real["left_out"].items()
    assert count == 39 and re.fullmatch(r"JPEG RGB 64x64, JPEG step \d+ not in every class", reason)


def test_what_cannot_be_matched_is_refused(lists, tmp_path, capsys):
    for folder in lists:
        as_jpeg(sorted((folder / "Fake").iterdir()))
    command = ["audit", "--train", str(lists[0]), "--test", str(lists[1])]
    assert cli.main([*command, "--repair", str(tmp_path / "matched")]) == 2
    message = capsys.readouterr().err
    assert "Fake: JPEG RGB 64x64; Real: PNG RGB 64x64); save the images of all" in message
    assert not (tmp_path / "matched").exists()
    assert cli.main(["audit", "--repair", str(tmp_path / "matched")]) == 2
    assert "--repair is for images of your own: give --train too" in capsys.readouterr().err
