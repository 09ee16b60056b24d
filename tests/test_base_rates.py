"""Base rates: what an attribution is worth."""

from __future__ import annotations

import numpy as np
import pytest

from dnadet_lib import plots
from dnadet_lib.evaluation.base_rates import Alarms, error_section, posterior, upper_bound


def test_posterior_is_the_share_of_alarms_that_are_right(rng: np.random.Generator) -> None:
    truth = rng.random(400_000) < 0.1
    called = rng.random(len(truth)) < np.where(truth, 0.8, 0.05)
    assert posterior(0.1, 0.8, 0.05) == pytest.approx(truth[called].mean(), abs=0.01)
    assert posterior(0.001, 0.9, 0) == 1
    assert np.isnan(posterior(0.5, 0, 0))


def test_upper_bound_covers_the_rate_in_95_of_100_samples(rng: np.random.Generator) -> None:
    errors = rng.binomial(50, 0.1, 4000)
    covered = np.mean([upper_bound(int(e), 50) >= 0.1 for e in errors])
    assert 0.94 < covered <= 1


def test_upper_bound_without_an_error_is_the_exact_rule_of_three() -> None:
    assert upper_bound(0, 1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert upper_bound(0, 1000) == pytest.approx(3 / 1000, rel=0.01)
    assert upper_bound(5, 5) == 1
    for errors, count in ((0, 0), (3, 2)):
        with pytest.raises(ValueError, match=f"{errors} errors in {count} trials"):
            upper_bound(errors, count)


def test_section_of_a_report_and_figure() -> None:
    rest = [
        Alarms.count("photographs", np.zeros(1500, bool)),
        Alarms.count("unknown architectures", np.arange(100) < 30),
    ]
    text = error_section("ProGAN", 0.9, 200, rest)
    assert "trained on: 180 of 200 pass as known and are called ProGAN (share 0.900)" in text
    assert "0 of 1500 are called ProGAN too (share 0.0000, upper bound 0.0020)" in text
    assert "unknown architectures: 30 of 100" in text
    figure = plots.posterior_curves("ProGAN", 0.9, rest)
    figure.canvas.draw()
    assert len(figure.axes[0].lines) == 4
