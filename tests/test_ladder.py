import json

import numpy as np
import pandas as pd
import pytest

from dnadet_lib import plots
from dnadet_lib.bench import ladder
from dnadet_lib.bench.tables import CROSS, MEAN
from dnadet_lib.evaluation.intervals import mean_of_setups
from dnadet_lib.evaluation.results import Row

NAMES = ["high-pass, base", "high-pass, + pre-training", "high-pass, + patches"]
FRONT, RAW = "high-pass front end", "raw pixels"


@pytest.fixture
def table():
    """Three rungs on four set-ups of three generators; the second one has one seed of two."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [NAMES, CROSS, ["a", "b", "c"]], names=["method", "setup", "generator"]
    )
    accuracy = pd.DataFrame(rng.uniform(0.1, 0.2, (len(index), 2)), index, ["seed 0", "seed 1"])
    accuracy.loc[NAMES[1:]] += 0.5
    accuracy.loc[[NAMES[1]], "seed 1"] = np.nan
    return accuracy


def rows_of(names):
    """A row a rung and set-up, as the suite orders them."""
    return [
        Row(name, setup, "accuracy", 0.5, 0.4, 0.6, 10, 3)
        for name in names
        for setup in ("closed", *CROSS, MEAN)
    ]


def test_files_of_the_suite_are_read(tmp_path, table):
    table.to_csv(tmp_path / "accuracy.csv")
    pd.testing.assert_frame_equal(ladder.read_accuracies(tmp_path), table)
    stored = {"method": "a", "setup": "seed", "metric": "accuracy", "value": 0.5,
              "low": None, "high": None, "images": 4, "generators": 1}  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps({"rows": [stored]}))
    (row,) = ladder.read_rows(tmp_path)
    assert (row.method, row.value, row.images) == ("a", 0.5, 4)
    assert np.isnan([row.low, row.high]).all()


def test_files_of_another_kind_are_named(tmp_path):
    (tmp_path / "accuracy.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"accuracy\.csv: columns a, b"):
        ladder.read_accuracies(tmp_path)
    for text in ("no JSON", "[]", '{"rows": [{"method": 1}]}'):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(ValueError, match=r"results\.json: not"):
            ladder.read_rows(tmp_path)


def test_rungs_that_were_not_measured_are_left_out():
    assert ladder.rungs([*NAMES, "DCT-CNN"]) == {FRONT: NAMES}
    assert ladder.rungs(["DCT-CNN"]) == {}


def test_a_gain_is_paired_over_the_seeds_that_both_rungs_have(table):
    both = table.loc[NAMES[2]] - table.loc[NAMES[0]]
    wanted = mean_of_setups([both.loc[setup].to_numpy() for setup in CROSS])
    assert ladder.gain(table, NAMES[0], NAMES[2]) == wanted
    one = (table.loc[NAMES[1]] - table.loc[NAMES[0]])[["seed 0"]]
    wanted = mean_of_setups([one.loc["seed"].to_numpy()])
    assert ladder.gain(table, NAMES[0], NAMES[1], ["seed"]) == wanted


def test_every_step_has_its_gains_and_its_seeds(table):
    gains = ladder.step_gains(table, {FRONT: NAMES})
    assert gains["step"].unique().tolist() == ["+ pre-training", "+ patches"]
    assert gains["setup"].unique().tolist() == [*CROSS, MEAN]
    assert set(gains["seeds"]) == {1}
    first = gains[gains["step"] == "+ pre-training"]
    assert first["gain"].between(0.4, 0.6).all()


def test_the_front_end_is_compared_on_the_steps_that_have_both(table):
    raw = table.loc[NAMES[:1]].rename(lambda name: name.replace("high-pass", "raw"), level=0) - 0.1
    every = pd.concat([table, raw])
    gains = ladder.front_gains(every, ladder.rungs(every.index.unique("method").tolist()))
    assert list(gains) == ["base"]
    assert gains["base"][0] == pytest.approx(0.1)
    assert ladder.front_gains(table, ladder.rungs(NAMES)) == {}


def test_sentences_follow_the_figures(table):
    told = ladder.gain_sentences(ladder.step_gains(table, {FRONT: NAMES}))
    assert told[0].startswith(f"{FRONT}, seed: the largest step is '+ pre-training', +0.")
    assert told[2:] == [
        f"{FRONT}, {MEAN}, bracket above 0: + pre-training",
        f"{FRONT}, {MEAN}, holds 0: + patches",
    ]
    one_step = ladder.gain_sentences(ladder.step_gains(table, {FRONT: NAMES[:2]}))
    assert one_step == [f"{FRONT}, {MEAN}, bracket above 0: + pre-training"]
    table.loc[[NAMES[2]]] -= 0.4
    told = ladder.gain_sentences(ladder.step_gains(table, {FRONT: NAMES}))
    assert told[3] == f"{FRONT}, {MEAN}, below 0: + patches"


def test_figure_has_a_panel_a_setup_and_a_dot_a_rung():
    raw = [NAMES[0].replace("high-pass", "raw")]
    figure = plots.ladder_dots(rows_of([*NAMES, *raw]), {FRONT: NAMES, RAW: raw}, 0.2)
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == [MEAN, "closed", *CROSS]
    steps = [label.get_text() for label in shown[0].get_yticklabels()]
    assert steps == ["base", "+ pre-training", "+ patches"]
    dots = {line.get_label(): len(line.get_xdata()) for line in shown[1].lines}
    assert (dots[FRONT], dots[RAW]) == (3, 1)
    plots.plt.close(figure)


def test_figure_of_a_single_front_end_leaves_missing_rungs_out():
    figure = plots.ladder_dots(rows_of(NAMES[:1]), {FRONT: NAMES}, 0.2)
    (dots,) = [line for line in figure.axes[0].lines if line.get_label() == FRONT]
    assert dots.get_xdata().tolist() == [0.5]
    plots.plt.close(figure)


def test_overview_has_a_line_a_method_and_the_interval_of_the_last_setup(table):
    shown = ladder.overview(rows_of(NAMES), table)
    assert shown.index.tolist() == NAMES
    assert shown.columns.tolist() == ["closed", *CROSS, MEAN, "its interval", "seeds"]
    assert shown["its interval"].str.replace("\u00a0", " ").tolist() == ["0.40 to 0.60"] * 3
    assert shown["seeds"].tolist() == [2, 1, 2]
    assert ladder.told(0.1, -0.02, 0.3).replace("\u00a0", " ") == "+0.10 [-0.02, +0.30]"


def test_rungs_of_the_figure_stand_in_the_order_of_the_longest_ladder():
    top = [f"{front}, all" for front in ("high-pass", "raw")]
    raw = ["raw, base", top[1]]
    figure = plots.ladder_dots(
        rows_of([*raw, *NAMES, top[0]]), {RAW: raw, FRONT: [*NAMES, top[0]]}, 0.2
    )
    steps = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert steps == ["base", "+ pre-training", "+ patches", "all"]
    plots.plt.close(figure)
