from dataclasses import asdict

import pytest

from dnadet_lib.methods import REFERENCE, all_methods, ladder
from dnadet_lib.presets import pocket


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
        {"resize", "patch", "vote"},
    ]


def test_both_ladders_differ_in_the_front_end_alone():
    for raw, filtered in zip(ladder(False).values(), ladder(True).values(), strict=True):
        assert changed(raw, filtered) <= {"high_pass", "pretrained"}


def test_the_reference_is_the_pocket_preset():
    preset, pretrained = ladder(True)[REFERENCE]
    assert flat(preset) == flat(pocket)
    assert pretrained == "pocket_pretrain"


def test_rows_have_names_and_folders_of_their_own():
    rows = all_methods()
    assert all(row.name == name for name, row in rows.items())
    assert len({row.slug for row in rows.values()}) == len(rows)
