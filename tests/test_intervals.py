import tracemalloc

import numpy as np
import pytest
from scipy import stats

from dnadet_lib.evaluation.intervals import (
    bootstrap_accuracy,
    difference_interval,
    mean_interval,
    mean_of_setups,
)


def column(*values):
    """Figures of some generators, one training seed."""
    return np.array(values)[:, None]


def test_interval_of_a_mean_is_students_t():
    values = [0.9, 0.8, 0.95, 0.7]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((np.mean(values), low, high))
    assert np.isnan(mean_interval(values[:2])[1:]).all()
    assert mean_of_setups([column(*values)]) == pytest.approx((np.mean(values), low, high))


def test_mean_of_two_setups_is_welch_and_satterthwaites():
    """Half the sum of two means; the sum is the difference to a negated one."""
    first, second = [0.9, 0.8, 0.95, 0.7], [0.5, 0.65, 0.6]
    mean, low, high = mean_of_setups([column(*first), column(*second)])
    welch = stats.ttest_ind(first, [-v for v in second], equal_var=False).confidence_interval()
    assert mean == pytest.approx((np.mean(first) + np.mean(second)) / 2)
    assert (low, high) == pytest.approx((welch.low / 2, welch.high / 2))


def test_difference_of_two_samples_is_welchs():
    first, second = [0.9, 0.8, 0.95, 0.7], [0.5, 0.65, 0.6]
    welch = stats.ttest_ind(first, second, equal_var=False).confidence_interval()
    wanted = np.mean(first) - np.mean(second), welch.low, welch.high
    assert difference_interval(first, second) == pytest.approx(wanted)
    assert np.isnan(difference_interval(first, [0.5])[1:]).all()


def test_interval_covers_the_truth_where_seeds_and_generators_both_vary():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        seeds = rng.normal(0, 0.03, 3)
        setups = [
            0.8 + rng.normal(0, 0.03, (n, 1)) + seeds + rng.normal(0, 0.01, (n, 3))
            for n in (12, 4)
        ]
        _, low, high = mean_of_setups(setups)
        hits += low <= 0.8 <= high
    assert 0.93 < hits / 1000 < 0.995


def test_without_spread_or_with_one_generator():
    assert mean_of_setups([np.ones((2, 3)), np.ones((4, 3))]) == (1, 1, 1)
    mean, low, high = mean_of_setups([column(0.5), column(0.7, 0.9)])
    assert mean == pytest.approx(0.65)
    assert np.isnan([low, high]).all()


@pytest.mark.parametrize("at_once", [1, 300, 100_000])
def test_a_bootstrap_in_parts_is_the_bootstrap_at_once(rng, monkeypatch, at_once):
    correct, groups = rng.random(300) < 0.8, rng.integers(0, 120, 300)
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    hits = np.bincount(number, weights=correct)
    draws = np.random.default_rng(5).integers(0, len(sizes), (1000, len(sizes)))
    whole = hits[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    monkeypatch.setattr("dnadet_lib.evaluation.intervals.DRAWN_AT_ONCE", at_once)
    found = bootstrap_accuracy(correct, groups, seed=5)
    assert (found.low, found.high) == tuple(np.quantile(whole, [0.025, 0.975]))


def test_a_bootstrap_of_many_images_takes_little_memory(rng):
    correct = rng.random(20_000) < 0.9
    tracemalloc.start()
    bootstrap_accuracy(correct, np.arange(20_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20  # 1,000 draws at once would take 480 MiB
