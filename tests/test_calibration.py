import numpy as np
import pytest
from calibration import (
    brier_score,
    calibration_interval,
    expected_calibration_error,
    reliability,
)


def confident(confidences, classes=2):
    """Probabilities whose class 0 has the given confidence."""
    confidences = np.asarray(confidences, float)
    rest = np.repeat(((1 - confidences) / (classes - 1))[:, None], classes - 1, axis=1)
    return np.hstack([confidences[:, None], rest])


def test_bins_hold_equally_many_images_in_order():
    rng = np.random.default_rng(0)
    probabilities = confident(rng.uniform(0.5, 1, 1000))
    table = reliability(probabilities, np.zeros(1000, int), bins=8)
    assert table["images"].tolist() == [125] * 8
    assert table["confidence"].is_monotonic_increasing
    assert (table["accuracy"] == 1).all()
    assert len(reliability(probabilities[:3], np.zeros(3, int), bins=8)) == 3


def test_error_is_small_where_confidence_is_right_and_the_gap_where_it_is_not():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 50_000)
    truth = (rng.random(50_000) > confidence).astype(int)  # class 0 as often as was said
    assert expected_calibration_error(confident(confidence), truth) < 0.01
    assert expected_calibration_error(confident(np.full(100, 0.9)), np.zeros(100, int)) == (
        pytest.approx(0.1)
    )


def test_equal_confidences_share_a_bin_whatever_their_order():
    """A thousand images at 0.9, nine in ten right: calibrated, though the wrong ones come last."""
    truth = np.repeat([0, 1], [900, 100])
    assert expected_calibration_error(confident(np.full(1000, 0.9)), truth) == pytest.approx(0)
    mixed = confident(np.repeat([0.9, 0.6], [900, 100]))
    table = reliability(mixed, truth)
    assert table["images"].tolist() == [100, 900]
    assert table["accuracy"].tolist() == [0, 1]


def test_error_by_hand():
    probabilities = confident([0.6, 0.6, 0.8, 0.8])
    truth = np.array([0, 1, 0, 0])  # right half of the time at 0.6, always at 0.8
    assert expected_calibration_error(probabilities, truth, bins=2) == pytest.approx(0.15)


def test_brier_score_by_hand():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]])
    by_hand = (0.09 + 0.04 + 0.01 + 0.01 + 0.64 + 0.81) / 2
    assert brier_score(probabilities, np.array([0, 2])) == pytest.approx(by_hand)
    assert brier_score(np.eye(3), np.arange(3)) == 0


def test_logits_are_refused():
    with pytest.raises(ValueError, match="probabilities that sum to 1"):
        reliability(np.array([[2.0, 1.0]]), np.array([0]))


def test_interval_of_the_error_is_wider_where_images_hang_together():
    rng = np.random.default_rng(2)
    wrong = rng.random(40) < 0.2  # of 40 photographs, whole ones are named wrongly
    truth = np.repeat(wrong, 25).astype(int)
    probabilities = confident(np.full(1000, 0.95))
    each = calibration_interval(probabilities, truth, np.arange(1000))
    together = calibration_interval(probabilities, truth, np.repeat(np.arange(40), 25))
    error = expected_calibration_error(probabilities, truth)
    deviation = np.sqrt(wrong.mean() * (1 - wrong.mean()))
    for (low, high), size in ((each, 1000), (together, 40)):
        assert low < error < high
        assert high - error == pytest.approx(1.96 * deviation / np.sqrt(size), rel=0.2)
