import numpy as np
import pytest
from scipy import stats

from dnadet_lib.intervals import mean_interval, mean_of_groups


def test_interval_of_a_mean_is_students_t():
    values = [0.9, 0.8, 0.95, 0.7]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((np.mean(values), low, high))
    assert np.isnan(mean_interval(values[:2])[1:]).all()


def test_mean_of_groups_is_welch_and_satterthwaites():
    """Two groups: half the sum of means, whose interval is that of Welch's test, halved."""
    first, second = [0.9, 0.8, 0.95, 0.7], [0.5, 0.65, 0.6]
    mean, low, high = mean_of_groups([first, second])
    # The sum of two means is the difference to a negated one.
    welch = stats.ttest_ind(first, [-v for v in second], equal_var=False).confidence_interval()
    assert mean == pytest.approx((np.mean(first) + np.mean(second)) / 2)
    assert (low, high) == pytest.approx((welch.low / 2, welch.high / 2))


def test_mean_of_groups_without_spread_or_with_one_generator():
    assert mean_of_groups([[1.0, 1.0], [1.0, 1.0]]) == (1, 1, 1)
    mean, low, high = mean_of_groups([[0.5], [0.7, 0.9]])
    assert mean == pytest.approx(0.65)
    assert np.isnan([low, high]).all()
