import numpy as np
import pytest

from dnadet_lib.bench.position import moved, shift_study


def marked(pattern, count, seed):
    noise = np.random.default_rng(seed).normal(128, 3, (count, 64, 64, 3))
    return np.round(noise + pattern[..., None]).clip(0, 255).astype(np.uint8)


def patterns():
    y, x = np.mgrid[:64, :64]
    random = np.random.default_rng(0).normal(0, 3, (64, 64))
    return {"chequers": 3.0 * (-1.0) ** (x + y), "random": random, "nothing": 0.0 * y}


@pytest.fixture(scope="module")
def table():
    train, test = (
        {name: marked(p, count, seed) for name, p in patterns().items()}
        for count, seed in ((60, 1), (20, 2))
    )
    return shift_study(train, test, denoiser="high-pass")


def test_without_a_shift_the_marks_are_found(table):
    assert table.index.tolist() == list(range(9))
    assert table.loc[0, "accuracy"] > 0.65
    assert table.loc[0, ["chequers", "random"]].min() > 0.4
    assert abs(table.loc[0, "nothing"]) < 0.1


def test_one_pixel_breaks_them_and_a_whole_period_brings_chequers_back(table):
    start = table.loc[0, "chequers"]
    assert table.loc[1, "chequers"] < -0.8 * start
    assert table.loc[[2, 4, 8], "chequers"].min() > 0.6 * start  # the mirrored gap is out of step
    assert table.loc[3:, "random"].abs().max() < 0.1


def test_the_gap_is_mirrored():
    row = np.arange(6, dtype=np.uint8).reshape(1, 1, 6, 1)
    assert moved(row, 0).ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert moved(row, 2).ravel().tolist() == [2, 3, 4, 5, 5, 4]
    for shift in (-1, 3):
        with pytest.raises(ValueError, match=f"shift {shift}: give 0 to less than half of 6"):
            moved(row, shift)


def test_a_class_without_fingerprint_is_named():
    images = np.zeros((1, 64, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="class 'b' has no fingerprint: train has a"):
        shift_study({"a": images}, {"b": images})
