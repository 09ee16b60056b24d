"""Thumbnail leak: what is named from images without a fingerprint, and what is not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dnadet_lib import cli
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation import audit, thumbnails
from dnadet_lib.evaluation.audit import as_dict, audit_markdown

CLASSES = ("Real", "Fake")


def smooth(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw smooth images, all alike: uint8 (count, 64, 64, 3), 40 to 215."""
    coarse = rng.uniform(40, 215, (count, 5, 5, 3)).astype(np.float32)
    return np.stack([cv2.resize(c, (64, 64), interpolation=cv2.INTER_LINEAR) for c in coarse])


def coloured(images: np.ndarray, label: int) -> np.ndarray:
    return images + np.float32([30 * label, 0, -30 * label])


def chequered(images: np.ndarray, label: int) -> np.ndarray:
    sign = (-1.0) ** np.indices((64, 64)).sum(0)[..., None]
    return np.round(images) + label * sign


def image_set(folder: Path, change, rng, count: int = 150) -> ImageSet:
    paths, labels = [], []
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(change(smooth(count, rng), label)):
            paths.append(folder / name / f"{number}.png")
            Image.fromarray(image.round().clip(0, 255).astype(np.uint8)).save(paths[-1])
            labels.append(label)
    return ImageSet(paths, np.array(labels), CLASSES)


def leaks(tmp_path, rng, change) -> dict[str, float]:
    train, test = (image_set(tmp_path / s, change, rng) for s in ("train", "test"))
    found = thumbnails.thumbnail_leak(thumbnails.train_judges(train), test)
    assert list(found) == list(thumbnails.VIEWS) == ["8x8", "16x16", "low-pass"]
    assert all(f.low <= f.value <= f.high for f in found.values())
    return {name: figure.value for name, figure in found.items()}


def test_colour_leaks_through_every_thumbnail(tmp_path, rng):
    assert min(leaks(tmp_path, rng, coloured).values()) > 0.95


def test_chequerboard_leaks_through_none(tmp_path, rng):
    assert all(0.4 < value < 0.6 for value in leaks(tmp_path, rng, chequered).values())


def test_views_hold_nothing_of_a_chequerboard():
    plain = np.full((64, 64, 3), 100, np.uint8)
    rough = chequered(plain[None].astype(np.float32), 1)[0].astype(np.uint8)
    assert np.ptp(rough) == 2
    for name, view in thumbnails.VIEWS.items():
        assert np.array_equal(view(rough), view(plain)), name


@pytest.mark.parametrize("side", [64, 128, 100])
def test_views_have_one_size_whatever_the_image(side):
    image = np.zeros((side, side + 20, 3), np.uint8)
    shapes = {name: view(image).shape for name, view in thumbnails.VIEWS.items()}
    assert shapes == {"8x8": (8, 8, 3), "16x16": (16, 16, 3), "low-pass": (64, 64, 3)}


def test_low_pass_keeps_what_16_pixels_can_hold():
    def left(period: int) -> float:
        wave = np.sin(2 * np.pi * np.arange(64) / period)
        image = (128 + 100 * wave[None, :, None] * np.ones((64, 1, 3))).round().astype(np.uint8)
        return np.std(thumbnails.low_pass(image)[16:-16, 16:-16]) / np.std(image)

    assert left(32) > 0.9
    assert left(8) == pytest.approx(np.exp(-(np.pi**2) / 8), abs=0.05)
    assert left(4) < 0.02


def test_same_seed_gives_the_same_network_and_leaves_the_global_one_alone(rng):
    pixels = rng.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(40) % 2
    state = torch.get_rng_state()
    first, second, other = (thumbnails.fit_network(pixels, labels, 2, s) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    answers = [thumbnails.class_probabilities(n, pixels) for n in (first, second, other)]
    assert np.array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])


def test_unknown_classes_and_a_single_one_have_no_leak(tmp_path, rng):
    images = image_set(tmp_path, coloured, rng, count=4)
    judges = thumbnails.train_judges(images)
    other = ImageSet(images.paths, images.labels, ("Real", "StyleGAN2"))
    assert thumbnails.thumbnail_leak(judges, other) == {}
    alone = ImageSet(images.paths[:4], images.labels[:4], ("Real",))
    assert thumbnails.thumbnail_leak(thumbnails.train_judges(alone), alone) == {}


def test_images_that_cannot_be_read_are_left_out(tmp_path, rng):
    images = image_set(tmp_path, coloured, rng, count=4)
    images.paths[0].write_bytes(b"no image")
    views, kept = thumbnails.views_of(images)
    assert kept.tolist() == list(range(1, 8))
    assert {len(v) for v in views.values()} == {7}
    for path in images.paths:
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="no image could be read"):
        thumbnails.train_judges(images)


def test_audit_reports_the_leak(tmp_path, rng, capsys):
    for split in ("train", "test"):
        image_set(tmp_path / split, coloured, rng, count=60)
    command = ["audit", "--train", str(tmp_path / "train"), "--test", str(tmp_path / "test"),
               "--out", str(tmp_path / "out"), "--json"]  # fmt: skip
    assert cli.main(command) == 0
    report = json.loads(capsys.readouterr().out)["setups"]["test"]
    assert list(report["thumbnails"]) == list(thumbnails.VIEWS)
    value, low, high = report["thumbnails"]["8x8"]
    assert low <= value <= high and value > 0.9
    assert any("8x8 thumbnails alone reaches" in sentence for sentence in report["findings"])
    text = (tmp_path / "out" / "audit.md").read_text()
    assert "| thumbnail | accuracy |" in text


def test_audit_without_thumbnails_says_nothing_of_them(tmp_path, rng):
    facts, _ = audit.image_facts(image_set(tmp_path, chequered, rng, count=6))
    report = audit.audit(facts, facts)
    assert report.thumbnails == {} == as_dict(report)["thumbnails"]
    assert "| thumbnail |" not in audit_markdown("x", report)
