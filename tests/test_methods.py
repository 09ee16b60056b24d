from dataclasses import asdict

import pytest

from dnadet_lib.bench import methods
from dnadet_lib.bench.methods import (
    JITTERED_RIVAL,
    PLAIN,
    SHIPPED,
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


@pytest.mark.parametrize("high_pass", (False, True))
def test_each_rung_adds_what_its_name_says(high_pass):
    rungs = list(ladder(high_pass).values())
    steps = [changed(a, b) for a, b in zip(rungs[:-1], rungs[1:], strict=True)]
    assert steps == [
        {"pretrained"},
        {"patches", "vote"},
        {"contrast"},
        {"learned_weights"},
        {"patches", "resize", "patch", "vote"},
    ]


def test_both_ladders_differ_in_the_front_end_alone():
    for raw, filtered in zip(ladder(False).values(), ladder(True).values(), strict=True):
        assert changed(raw, filtered) <= {"high_pass", "pretrained"}


def test_the_top_of_the_ladder_is_the_rung_preset():
    preset, pretrained = ladder(True)["high-pass, all"]
    assert flat(preset) == flat(rung)
    assert pretrained == ("pocket_pretrain",)


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
        shared = name.startswith("high-pass") and pretrained != ()
        assert ("learning_rate=0.002" in make_method(name).settings) == shared, name


def test_a_row_is_the_pocket_preset_and_its_variants_differ_as_they_say():
    rows = networks()
    preset, pretrained = rows[SHIPPED]
    assert preset == pocket
    assert pretrained == ("pocket_pretrain", "pocket_pretrain_both")
    assert rows[PLAIN] == (pocket_plain, pretrained)
    assert changed(rows["pocket_plain, no turned votes"], rows[PLAIN]) == {"vote"}
    contents = (f"pocket_plain, stage 1 on {content}" for content in ("meadow", "both contents"))
    assert [rows[name] for name in contents] == [(pocket_plain, (own,)) for own in pretrained]


def test_a_rival_gets_the_images_of_jittered_generators_too():
    learning = {name for name in all_methods() if make_method(name).jittered}
    assert learning == {"augmented", JITTERED_RIVAL}
