from dataclasses import asdict

import pytest

from dnadet_lib.bench import methods
from dnadet_lib.bench.methods import (
    PLAIN,
    SHIPPED,
    TOP,
    all_methods,
    best_settings,
    ladder,
    make_method,
    networks,
)
from dnadet_lib.presets import pocket, pocket_plain, rung


def flat(preset):
    """A preset's fields, those of its input too, without its name."""
    values = asdict(preset)
    values |= values.pop("input")
    del values["name"]
    return values


def changed(first, second):
    (one, start), (other, begin) = first, second
    fields = {k for k, v in flat(one).items() if flat(other)[k] != v}
    return fields | ({"pretrained"} if start != begin else set())


def test_each_rung_adds_what_its_name_says():
    rungs = list(ladder(True).values())
    steps = [changed(a, b) for a, b in zip(rungs[:-1], rungs[1:], strict=True)]
    assert steps == [{"pretrained"}, {"patches", "vote"}, {"contrast", "learned_weights"}]


def test_the_ends_of_the_ladder_stand_on_raw_pixels_too():
    filtered = list(ladder(True).values())
    for raw, other in zip(ladder(False).values(), (filtered[0], filtered[-1]), strict=True):
        assert changed(raw, other) <= {"high_pass", "pretrained"}


def test_the_top_of_the_ladder_is_the_rung_preset():
    preset, pretrained = ladder(True)[TOP]
    assert flat(preset) == flat(rung)
    assert pretrained == "pocket_pretrain"


def test_rows_have_names_of_their_own():
    names = all_methods()
    assert len(set(names)) == len(names)
    assert SHIPPED in names
    with pytest.raises(ValueError, match="row 'magic': choose of residual correlation; DCT"):
        make_method("magic")


def test_a_row_takes_the_settings_that_did_best(tmp_path, monkeypatch):
    monkeypatch.setenv("DNADET_DATA", str(tmp_path))
    assert best_settings() == {}
    plain = make_method("AttNet").settings
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "tuning.csv").write_text(
        "method,setting,dev accuracy\n"
        """AttNet,"{""learning_rate"": 0.003}",0.7\n"""
        """AttNet,"{""width"": 4}",0.889\n"""
        """AttNet,"{""high_pass"": true}",0.895\n"""  # within a point of the best
        """AttNet,"{""epochs"": 2}",0.9\n"""
        """"raw, base","{""learning_rate"": 0.001}",0.5\n"""
        """"raw, all","{""learning_rate"": 0.001}",0.95\n"""  # one seed of two
        """"raw, all","{""learning_rate"": 0.001}",0.75\n"""
        """"raw, all","{""learning_rate"": 0.002}",0.9\n"""
    )
    best = make_method("AttNet", {"high_pass": True}).settings
    assert make_method("AttNet").settings == best != plain
    assert "learning_rate=0.001" in make_method("raw, base").settings
    assert "learning_rate=0.002" in make_method("raw, all").settings
    assert make_method("AttNet", {}).settings == plain


def test_pretrained_rungs_share_a_learning_rate(monkeypatch):
    chosen = {"high-pass, all": {"learning_rate": 0.002}}
    monkeypatch.setattr(methods, "best_settings", lambda: chosen)
    for name, (_, pretrained) in networks().items():
        shared = name.startswith("high-pass") and pretrained is not None
        assert ("learning_rate=0.002" in make_method(name).settings) == shared, name


def test_two_rows_are_the_pocket_presets():
    rows = networks()
    assert rows[SHIPPED] == (pocket, "pocket_pretrain")
    assert rows[PLAIN] == (pocket_plain, "pocket_pretrain")
    assert changed(rows[SHIPPED], rows[PLAIN]) == {"changes"}


def test_a_reader_can_hold_the_table():
    assert len(all_methods()) <= 12
