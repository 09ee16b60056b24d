"""Base rates: what an attribution is worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dnadet_lib import plots
from dnadet_lib.course import own_images
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.base_rates import (
    Alarms,
    Hits,
    error_section,
    guard,
    posterior,
    posterior_table,
    upper_bound,
)


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
    sources = ["a"] * 4 + ["b"] * 2 + ["c"] * 4
    called = np.array([1, 1, 1, 0, 1, 1, 1, 1, 0, 0], bool)
    hits = [
        Hits.count("retrained", called, sources),
        Hits.count("other pictures", called[:4], sources[:4]),
    ]
    assert (hits[0].share, hits[0].generators) == (0.75, 3)  # each generator counts once
    assert hits[0].low == pytest.approx(0.75 - 4.303 * 0.25 / np.sqrt(3), abs=1e-3)
    assert hits[0].high == 1
    text = error_section("ProGAN", hits, rest)
    assert "- retrained: 0.750 [0.129, 1.000], 10 images of 3 generators\n" in text
    assert "pictures: 0.750 (no interval over generators), 4 images of 1 generator\n" in text
    assert "photographs: 0 of 1500 (share 0.0000, upper bound 0.0020 over images)" in text
    assert "unknown architectures: 30 of 100" in text
    figure = plots.posterior_curves("ProGAN", 0.9, rest)
    figure.canvas.draw()
    assert len(figure.axes[0].lines) == 3  # of photographs, without an alarm, the bound alone


def test_false_alarms_are_split_by_who_made_the_images() -> None:
    classes = ("Real", "ProGAN", "SNGAN")
    labels = np.repeat([0, 1, 2], [10, 12, 6])
    sources = ["real"] * 10 + ["p1"] * 4 + ["p2"] * 4 + ["p3"] * 4 + ["s1"] * 6
    images = ImageSet([Path(f"{k}.png") for k in range(28)], labels, classes, sources)
    called = np.zeros(28, bool)
    called[[10, 11, 14, 22, 23]] = True  # two of p1, one of p2, two of s1
    rest = own_images.false_alarms("SNGAN", {"new": images}, {"new": called})
    table = own_images.alarms_by_maker(rest)
    assert table.index.tolist() == [("ProGAN", "new"), ("Real", "new")]
    assert table["share"].tolist() == [0.25, 0]
    low, high = (0.25 + side * 4.303 * 0.25 / np.sqrt(3) for side in (-1, 1))
    assert table["95% interval"].tolist() == [f"[{max(low, 0):.3f}, {high:.3f}]", "[0.000, 0.308]"]
    assert table["over"].tolist() == ["3 generators", "images"]
    one = images.take(np.flatnonzero(labels == 2))
    (row,) = own_images.false_alarms("ProGAN", {"new": one}, {"new": called[labels == 2]})
    table = own_images.alarms_by_maker([row])
    assert table["over"].tolist() == ["images, 1 generator"]
    assert table["images"].tolist() == [6]
    assert (row.alarms, row.images, row.over) == (2, 6, "images")
    assert row.worst == upper_bound(2, 6)


def test_a_bound_is_over_generators_where_they_differ() -> None:
    sources = np.repeat(["a", "b", "c", "d"], 100)
    called = np.concatenate([np.arange(100) < share for share in (97, 18, 0, 0)])
    row = Alarms.count("unknown architectures", called, sources, sources)
    assert row.rate == pytest.approx(0.2875) and row.worst == 1  # 0.2875 + 3.18 * 0.23 is above 1
    assert row.over == "4 generators"
    assert [name for name, _ in row.parts] == ["a", "b", "c", "d"]
    text = error_section("ProGAN", [], [row])
    assert "115 of 400 (share 0.2875, upper bound 1.0000 over 4 generators)\n    - a: 0.970" in text
    assert "(one generator: this bound is over its images alone)" in text
    alike = Alarms.count("new", np.arange(400) % 100 == 0, sources, ["SNGAN"] * 400)
    assert alike.over == "images" and alike.worst == upper_bound(4, 400)
    assert "over images; no spread seen between 4 generators" in str(alike.parts[0][1])
    assert "no spread" not in error_section("ProGAN", [], [alike])  # one architecture: no split


def test_each_row_of_the_posterior_has_its_own_sensitivity() -> None:
    rest = [Alarms("photographs", 0, 500), Alarms("other pictures", 35, 750)]
    table = posterior_table(rest, [0.99, 0.8])
    assert table["sensitivity"].tolist() == [0.99, 0.8]
    assert table["bound"].tolist() == [0.006, round(upper_bound(35, 750), 3)]
    assert table.loc["other pictures", "0.1"] == round(posterior(0.1, 0.8, rest[1].worst), 2)
    figure = plots.posterior_curves("ProGAN", [0.99, 0.8], rest)
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    rates, shares = dashed[1].get_data()
    assert shares[0] == pytest.approx(posterior(rates[0], 0.8, rest[1].worst))


def test_a_report_says_what_a_refusal_is_worth() -> None:
    def refused(unknown: float, other: float) -> dict[str, np.ndarray]:
        shares = {"unknown architectures": unknown, "other pictures": other}
        return {name: np.arange(100) < 100 * share for name, share in shares.items()}

    text = guard(refused(0.02, 0.03))
    assert "no guard" in text
    assert "refuses no fewer of 'other pictures' (3.0%): a refusal may as well be due to" in text
    text = guard(refused(0.2, 0.1))
    assert "no guard" in text and "no fewer" not in text
    assert "no guard" not in guard(refused(0.9, 0.1))
    assert "not known" in guard({"other pictures": np.zeros(3, bool)})
    section = error_section("ProGAN", [], [], refused(0.02, 0.03))
    assert "- other pictures: 0.030\n" in section and guard(refused(0.02, 0.03)) in section


def test_unknown_images_are_ranked_by_architecture() -> None:
    makers = np.repeat(["A", "B", "C"], 2)
    scores = {
        "photographs": {"distance": np.arange(4.0), "logit": np.arange(4.0)},
        "unknown architectures": {
            "distance": np.array([9, 8, 7, 6, 1.5, 3.5]), "logit": np.array([-1, -2, 1, 9, -5, -6]),
        },
    }  # fmt: skip
    table = own_images.rankings(scores, makers)
    assert table.loc[("photographs", "distance")].tolist() == [1, 1, 0.75]
    assert table.loc[("photographs", "logit")].tolist() == [0, 0.6875, 0]  # one tie
    said = own_images.better_ranking(table, "distance", "logit")
    assert "distance less logit, above photographs: +0.69" in said
    assert said.endswith("over 3 generators: not settled by so few generators")
    table.loc[("photographs", "logit")] = 0.1
    assert own_images.better_ranking(table, "distance", "logit").endswith(": better")
    assert own_images.better_ranking(table, "logit", "distance").endswith(": worse")
