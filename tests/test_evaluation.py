from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.intervals import Interval, bootstrap_accuracy, mean_interval
from dnadet_lib.evaluation.predictions import (
    Predictions,
    predict,
    predictions_table,
    write_predictions,
)
from dnadet_lib.evaluation.results import (
    confusion,
    generator_accuracies,
    lead,
    results_table,
    setup_accuracy,
    summarise,
    write_results,
)
from dnadet_lib.zoo.setups import load_setup

CLASSES = ("Real", "ProGAN", "SNGAN")


def predictions_of(truth: list[int], predicted: list[int], sources: list[str]) -> Predictions:
    count = len(truth)
    return Predictions(
        np.array(truth), np.eye(len(CLASSES))[predicted], np.zeros((count, 4)), np.zeros(count),
        np.array(sources), CLASSES,
    )  # fmt: skip


def interval(value: float) -> Interval:
    return Interval(value, value - 0.1, value + 0.1, "images")


def test_interval_over_generators_is_students_t():
    values = [0.9, 0.8, 0.95, 0.7]
    result = setup_accuracy([interval(v) for v in values])
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert result.value == pytest.approx(np.mean(values))
    assert (result.low, result.high) == pytest.approx((low, min(1, high)))
    assert result.kind == "generators"


def test_interval_over_generators_by_hand():
    # Mean 0.6, standard deviation 0.1, three generators: 4.3027 * 0.1 / sqrt(3) either way.
    result = setup_accuracy([interval(v) for v in (0.5, 0.6, 0.7)])
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert (result.low, result.high) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-5)


def test_interval_stays_between_0_and_1():
    result = setup_accuracy([interval(v) for v in (0.1, 0.9, 1.0)])
    assert (result.low, result.high) == (0.0, 1.0)


def test_fewer_than_three_generators_say_so():
    result = setup_accuracy([interval(0.8), interval(0.6)])
    assert (result.value, result.low, result.high) == pytest.approx((0.7, 0.6, 0.8))
    assert "conditional on these generators" in result.kind


def test_bootstrap_by_photograph_is_wider_where_photographs_differ(rng):
    photographs = np.repeat(np.arange(20), 30)
    correct = (rng.random(20) < 0.5)[photographs]  # all crops of a photograph go the same way
    by_photograph = bootstrap_accuracy(correct, photographs)
    by_image = bootstrap_accuracy(correct, np.arange(600))
    assert by_photograph.value == by_image.value == correct.mean()
    assert by_photograph.high - by_photograph.low > 3 * (by_image.high - by_image.low)


def test_bootstrap_agrees_with_the_normal_approximation(rng):
    correct = rng.random(1000) < 0.8
    result = bootstrap_accuracy(correct, np.arange(1000))
    half = 1.96 * math.sqrt(correct.mean() * (1 - correct.mean()) / 1000)
    assert result.high - result.low == pytest.approx(2 * half, rel=0.15)
    assert bootstrap_accuracy(correct, np.arange(1000)) == result  # seeded


def test_real_crops_are_drawn_by_photograph(rng):
    photographs = np.repeat(np.arange(20), 30)
    sources = [f"real/meadow/photo{n}" for n in photographs]
    predicted = np.where((rng.random(20) < 0.5)[photographs], 0, 1)
    result = generator_accuracies(predictions_of([0] * 600, predicted.tolist(), sources))
    assert list(result) == ["real/meadow"]
    expected = bootstrap_accuracy(predicted == 0, photographs)
    assert result["real/meadow"].high - result["real/meadow"].low == pytest.approx(
        expected.high - expected.low, rel=0.2
    )


def test_each_generator_counts_once_however_many_images_it_has():
    truth = [1] * 10 + [2] * 2
    predicted = [1] * 10 + [1] * 2
    sources = ["ProGAN_meadow_s2"] * 10 + ["SNGAN_meadow_s2"] * 2
    accuracy = summarise("m", "seed", predictions_of(truth, predicted, sources))[0]
    assert (accuracy.metric, accuracy.value) == ("accuracy", 0.5)
    assert (accuracy.images, accuracy.generators) == (12, 2)


def test_rows_of_a_setup():
    truth = [0, 0, 1, 1, 1, 2]
    predicted = [0, 1, 1, 1, 2, 2]
    sources = ["real/meadow/a", "real/meadow/b", "P_s1", "P_s1", "P_s10", "S_s1"]
    rows = summarise("pocket", "closed", predictions_of(truth, predicted, sources))
    found = {row.metric: row for row in rows}
    assert list(found) == [
        "accuracy", "macro F1", "recall Real", "recall ProGAN", "recall SNGAN",
        "accuracy P_s1", "accuracy P_s10", "accuracy S_s1", "accuracy real/meadow",
    ]  # fmt: skip
    assert found["accuracy"].value == pytest.approx((1 + 0 + 1 + 0.5) / 4)
    assert found["macro F1"].value == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found["recall ProGAN"].value == pytest.approx(2 / 3)
    assert found["accuracy P_s1"].value == 1
    assert [found[f"accuracy {n}"].images for n in ("P_s1", "P_s10", "real/meadow")] == [2, 1, 2]
    for row in rows:
        assert (row.method, row.setup) == ("pocket", "closed")
        assert math.isnan(row.low) or 0 <= row.low <= row.value <= row.high <= 1


def test_macro_f1_is_over_the_classes_that_are_there():
    rows = summarise("m", "seed", predictions_of([1, 1, 2, 2], [1, 1, 2, 0], ["P", "P", "S", "S"]))
    assert {row.metric: row.value for row in rows}["macro F1"] == pytest.approx((1 + 2 / 3) / 2)
    assert "recall Real" not in {row.metric for row in rows}


def test_images_of_ones_own_are_drawn_one_by_one():
    """Without sources every image of a class counts by itself, whatever the class's number."""
    truth = [0] * 40 + [1] * 40
    predicted = ([0] * 30 + [1] * 10) * 2
    rows = summarise("m", "mine", predictions_of(truth, predicted, ["a"] * 40 + ["b"] * 40))
    found = {row.metric: row for row in rows}
    for metric in ("recall Real", "accuracy a"):
        assert found[metric].value == 0.75
        assert 0.2 < found[metric].high - found[metric].low < 0.35


def test_confusion_has_true_classes_as_rows():
    matrix = confusion(predictions_of([1, 1, 1, 1, 2], [1, 1, 1, 2, 0], ["P"] * 4 + ["S"]))
    assert list(matrix.index) == ["ProGAN", "SNGAN"]
    assert list(matrix.columns) == list(CLASSES)
    assert matrix.loc["ProGAN"].tolist() == [0, 0.75, 0.25]
    assert matrix.loc["SNGAN"].tolist() == [1, 0, 0]


def strict(text: str) -> dict:
    """Parse JSON as other languages do: NaN is an error."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_results_are_json_and_markdown(tmp_path):
    rows = summarise("NaN", "closed", predictions_of([1, 2], [1, 1], ["P", "S"]))
    rows += summarise("base", "seed", predictions_of([1, 2], [1, 2], ["P", "S"]))
    write_results(rows, tmp_path)
    written = strict((tmp_path / "results.json").read_text())["rows"]
    assert list(written[0]) == [
        "method", "setup", "metric", "value", "low", "high", "images", "generators",
    ]  # fmt: skip
    assert written[0]["method"] == "NaN"
    assert written[1]["metric"] == "macro F1"
    assert written[1]["low"] is None
    lines = (tmp_path / "results.md").read_text().splitlines()
    assert lines[0] == "| method | closed | seed |"
    assert lines[2].startswith("| NaN | 0.500 [")
    assert lines[3] == "| base |  | 1.000 [1.000, 1.000] |"
    assert results_table(rows).splitlines() == lines


def test_predict_goes_over_the_batches_in_order(world, tiny_model, monkeypatch):
    images = load_setup("closed", "test", world.images)
    chosen = images.take(np.arange(0, len(images), 5))
    monkeypatch.setattr("dnadet_lib.inference.BATCH", 4)
    predictions = predict(tiny_model, chosen)
    alone = tiny_model.attribute(chosen.paths)
    np.testing.assert_allclose(predictions.probabilities, alone.probabilities, atol=1e-5)
    np.testing.assert_allclose(predictions.unknown_scores, alone.unknown_scores, atol=1e-5)
    assert predictions.told.tolist() == [name is not None for name in alone.verdicts]
    assert predictions.truth.tolist() == chosen.labels.tolist()
    assert predictions.sources.tolist() == chosen.sources


def test_predictions_are_written_one_row_an_image(tmp_path):
    predictions = predictions_of([1, 2], [1, 0], ["P", "S"])
    images = ImageSet([Path("a.png"), Path("b.png")], np.array([1, 2]), CLASSES, ["P", "S"])
    write_predictions(predictions_table(predictions, images), tmp_path / "p.parquet")
    table = pd.read_parquet(tmp_path / "p.parquet")
    assert table["path"].tolist() == ["a.png", "b.png"]
    assert table["truth"].tolist() == ["ProGAN", "SNGAN"]
    assert table["predicted"].tolist() == ["ProGAN", "Real"]
    assert table[[f"p_{c}" for c in CLASSES]].to_numpy().tolist() == [[0, 1, 0], [1, 0, 0]]


def test_the_lead_compares_each_source_with_itself():
    truth, sources = [1] * 4 + [2] * 4 + [0] * 2, ["a"] * 4 + ["b"] * 4 + ["real/meadow/1"] * 2
    second = predictions_of(truth, [1, 1, 2, 2, 2, 1, 1, 1, 0, 0], sources)
    first = predictions_of(truth, [1, 1, 1, 2, 2, 2, 1, 1, 0, 0], sources)
    gain = lead(first, second)
    mean, low, high = mean_interval([0.25, 0.25, 0.0])
    assert (gain.value, gain.low, gain.high) == pytest.approx((mean, low, high))
    assert lead(first, first).value == 0
