"""What lessons 04 and 07 count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from dnadet_lib import attribution
from dnadet_lib.course import own_images, tallies
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.predictions import Predictions
from dnadet_lib.model import DNADet, InputSpec
from dnadet_lib.zoo.manifest import CLASSES


def answered(truth: list[int], predicted: list[int]) -> Predictions:
    """Predictions of these class numbers."""
    probabilities = np.eye(len(CLASSES))[predicted]
    count = len(truth)
    return Predictions(
        np.array(truth), probabilities, np.zeros((count, 1)), np.zeros(count),
        np.array(["a"] * count), CLASSES,
    )  # fmt: skip


def test_mistakes_are_told_by_kind_those_asked_for_first() -> None:
    found = answered([1, 1, 1, 2, 3, 0, 0], [3, 3, 2, 2, 1, 0, 4])
    told = tallies.mistakes(found, ["SNGAN called InfoMaxGAN", "SNGAN called ProGAN"], 1)
    assert told == (
        "5 mistakes, 0 of each kind if all were alike; 0 SNGAN called InfoMaxGAN, "
        "1 SNGAN called ProGAN, 2 ProGAN called SNGAN"
    )
    none = tallies.mistakes(answered([1, 2], [1, 2]), ["SNGAN called ProGAN"])
    assert none == "0 mistakes, 0 of each kind if all were alike; 0 SNGAN called ProGAN"


def test_refused_shares_by_whether_the_name_is_right() -> None:
    scores, correct = np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, True, True, False])
    shares = tallies.refused(scores, 1.5, 0.5, correct)
    assert shares == {
        "of all": 0.5, "of all, strict": 0.75, "named rightly": 1 / 3, "named wrongly": 1.0,
        "named rightly, strict": 2 / 3,
    }  # fmt: skip
    assert np.isnan(tallies.refused(scores, 1.5, 0.5, np.ones(4, bool))["named wrongly"])
    assert set(tallies.refused(scores, 5, 5)) == {"of all", "of all, strict"}
    none_right = tallies.refused(scores, 1.5, 0.5, np.zeros(4, bool))
    assert np.isnan(none_right["named rightly, strict"])


def test_a_guard_is_judged_by_wrong_names_against_right_ones() -> None:
    wrong, right = np.array([False, True, True]), np.ones(3, bool)
    shares = pd.DataFrame({
        ("a", "closed"): tallies.refused(np.array([0.0, 0.0, 9.0]), 1, 1, right),  # no mistake
        ("a", "seed"): tallies.refused(np.array([0.0, 0.0, 9.0]), 1, 1, wrong),
        ("a", "dataset"): tallies.refused(np.array([9.0, 0.0, 2.0]), 1, 3, wrong),
        ("a", "new"): tallies.refused(np.array([9.0, 0.0]), 1, 3),
        ("b", "seed"): tallies.refused(np.array([0.0, 0.0, 9.0]), 1, 1, wrong),
    }).T.astype(float)  # fmt: skip
    first, price, second = tallies.guard_lines(shares, "new", "dataset")
    assert first == (
        "a: wrong names are refused no more often than right ones in 1 of 2 set-ups with mistakes: "
        "seed (0.000 against 0.500)."
    )
    assert price.strip() == (
        "Strict, it refuses 0.500 of new and 0.000 of right answers in dataset."
    )
    assert second.endswith("seed (0.000 against 0.500). It guards no better than chance would.")


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    """Six images of three classes."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{k}.png" for k in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    labels = np.array([0, 0, 1, 1, 4, 4])
    return ImageSet(paths, labels, CLASSES, ["real/x/a", "real/x/b", "p", "q", "i", "i"])


@pytest.fixture
def model() -> DNADet:
    return DNADet(5, 8, classes=CLASSES, input=InputSpec(patch=64, vote="whole", resize=None))


def test_one_image_of_each_class_or_white(images: ImageSet) -> None:
    shown, titles = tallies.one_of_each({"closed": images}, 3)
    assert titles == ["closed\nReal", "closed\nProGAN", "", "", "closed\nInfoMaxGAN"]
    assert [image.min() == 255 for image in shown] == [False, False, True, True, False]


def test_degraded_answers_count_every_change_of_pre_training(
    images: ImageSet, model: DNADet
) -> None:
    table = tallies.degraded_answers(model, images)
    assert table.index.unique(0).tolist() == ["JPEG", "blur", "noise", "resize"]
    assert np.allclose(table[list(CLASSES)].sum(axis=1).astype(float), 1)
    said = pd.Series(model.attribute(images.paths).labels)
    assert table.loc[("JPEG", "none"), said[0]] == np.mean(said == said[0])


def test_examples_have_names_that_say_nothing(images: ImageSet, tmp_path: Path) -> None:
    folder = tmp_path / "examples"
    folder.mkdir()
    for name in ("image_99.png", "mine.png"):
        (folder / name).write_text("old")
    made = own_images.write_examples(folder, [images.take(np.arange(2)), images], seed=1)
    assert sorted(made) == [f"image_{k:02d}.png" for k in range(8)]
    assert sorted(made.values()) == sorted([*["Real"] * 4, *["ProGAN", "InfoMaxGAN"] * 2])
    assert {path.name for path in folder.iterdir()} == {*made, "mine.png"}
    by_bytes = {
        path.read_bytes(): CLASSES[k] for path, k in zip(images.paths, images.labels, strict=True)
    }
    assert all(by_bytes[(folder / name).read_bytes()] == maker for name, maker in made.items())


def test_hits_and_alarms_are_counted_as_they_are_and_changed(
    images: ImageSet, model: DNADet
) -> None:
    said = model.attribute(images.paths).verdicts
    suspect = said[-1]
    images.labels[:] = CLASSES.index(suspect)
    sets = {"first": images, "second": images.take(np.arange(4, 6))}
    rows = own_images.hits(model, suspect, sets, ["jpeg:80"])
    told = "first, JPEG 80 (cannot tell: 0.000)"  # this model has no limit below which it refuses
    assert [row.makers for row in rows] == ["first", "second", told]
    assert rows[1].share == np.mean([name == suspect for name in said[4:]])
    (row,) = own_images.alarms(model, suspect, "photographs", images, ["jpeg:80"])
    changed = own_images.changed_copies(images, "jpeg:80")
    found = model.attribute(changed).verdicts
    assert (row.makers, row.images) == ("photographs, JPEG 80", 6)
    assert row.alarms == sum(name == suspect for name in found)


def test_a_changed_copys_row_says_that_the_model_cannot_tell(
    images: ImageSet, model: DNADet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: DNADet, embeddings: torch.Tensor) -> np.ndarray:
        return np.zeros(len(embeddings), bool)

    monkeypatch.setattr(attribution, "may_name", never)
    row = own_images.hits(model, "ProGAN", {"first": images}, ["jpeg:80"])[-1]
    assert (row.makers, row.share) == ("first, JPEG 80 (cannot tell: 1.000)", 0)


def test_unchanged_images_are_told_of(images: ImageSet, model: DNADet) -> None:
    told = own_images.on_unchanged(model, images)
    assert told.startswith("0 of 6 get a history all the same; of 0 it cannot tell")


def test_results_stand_beside_who_made_the_images() -> None:
    results = [
        {"path": f"a/{name}", "label": label, "nearest": "Real", "confidence": 0.5,
         "unknown_score": 0.1, "known": True, "history": {"found": found}}
        for name, label, found in (("x.png", "Real", ""), ("y.png", None, "JPEG"))
    ]  # fmt: skip
    table = own_images.results_table(results, {"x.png": "SNGAN"})
    assert table.index.tolist() == ["x.png", "y.png"]
    assert table["truth"].tolist() == ["SNGAN", "?"]
    assert table["label"].tolist() == ["Real", "cannot tell"]
    assert own_images.histories(results) == "history of y.png: JPEG"
    assert own_images.histories(results[:1]) == "no image has a history"


def test_calls_are_shares_and_what_is_refused_has_no_name() -> None:
    makers, said = np.array(["A", "A", "A", "A", "B"]), np.array([0, 1, 1, -1, 0])
    refused = np.array([True, False, False, False, False])
    table = own_images.calls(makers, said, ("Real", "SNGAN"), refused)
    assert table.loc["A"].to_dict() == {
        "Real": 0, "SNGAN": 0.5, "cannot tell": 0.25, "refused": 0.25,
    }  # fmt: skip
    assert table.loc["B", "Real"] == 1
