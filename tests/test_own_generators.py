"""What lesson 06 says of own generators beside controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnadet_lib.course import own_generators
from dnadet_lib.explorer import explorer
from dnadet_lib.explorer.explorer import Explorer
from dnadet_lib.images.reading import read_image


def shares(own: float, layout: float) -> pd.DataFrame:
    """A table of answers in which SNGAN's images and a control are called SNGAN so often."""
    rows = {
        ("layout", "alone"): layout, ("MMDGAN", "25 steps"): 0.1,
        ("SNGAN", "200 steps"): own, ("SNGAN", "200 steps, shuffled"): 0.0,
    }  # fmt: skip
    table = pd.DataFrame({"SNGAN": rows, "SNGAN and known": rows})
    table.index = pd.MultiIndex.from_tuples(table.index)
    return table


def test_a_name_counts_where_it_leads_every_control() -> None:
    said, ahead = own_generators.against_controls(shares(0.99, 1.0), "SNGAN", "200 steps", 100)
    assert not ahead
    assert said.splitlines()[0] == (
        "Your SNGAN, 200 steps: 0.99 called SNGAN, no lead over the control layout, alone (1.00)"
    )
    said, ahead = own_generators.against_controls(shares(0.99, 0.2), "SNGAN", "200 steps", 100)
    assert ahead and said.count("more than the control layout, alone (0.20)") == 2
    assert "for SNGAN:" in own_generators.worth_of_names({"SNGAN": False, "MMDGAN": True})
    assert "counts for nothing" not in own_generators.worth_of_names({"MMDGAN": True})


def test_it_is_said_which_generator_the_mistakes_come_from() -> None:
    rows = pd.DataFrame({
        "generator": ["a", "a", "a", "b", "b"], "confidence": [0.4, 0.5, 0.6, 0.7, 0.8],
        "known": [True, True, True, True, False],
        "named rightly": [False, False, True, False, False],
    })  # fmt: skip
    assert own_generators.misled(rows) == (
        "3 of 5 pass as known and are named wrongly, 2 of them by a; median confidence 0.50"
    )
    assert own_generators.misled(rows[2:3]) == "0 of 1 pass as known and are named wrongly"


@pytest.fixture
def state() -> Explorer:
    """Four finished images each of two classes, three of one's own, controls: as embeddings."""
    rows = [("SNGAN", "s0", "closed")] * 4 + [("MMDGAN", "m0", "closed")] * 4
    rows += [("SNGAN", "my_SNGAN", "mine")] * 3 + [("SNGAN", "s5", "seed")] * 2
    rows += [("none", "bare_layout", "controls")] * 2
    rows += [("MMDGAN", "early", "controls")] * 2
    table = pd.DataFrame(rows, columns=["class", "generator", "set-up"])
    table["named rightly"], table["known"] = True, True
    angles = np.where(table["class"] == "MMDGAN", 1.5, 0.0) + np.linspace(0, 0.1, len(table))
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    paths = [Path(f"{k}.png") for k in range(len(table))]
    return Explorer(None, paths, table, embeddings, np.zeros((len(table), 2)), ("SNGAN", "MMDGAN"))


def test_own_images_and_controls_are_told_the_class_they_lie_nearest_to(state: Explorer) -> None:
    near = np.array(["MMDGAN"] * 9 + ["SNGAN"] * 8)
    assert own_generators.nearest_classes(state, near) == (
        "my_SNGAN SNGAN 0.67; controls: bare_layout SNGAN 1.00, early SNGAN 1.00"
    )


def test_neighbours_are_compared_with_those_of_controls(
    state: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = own_generators.neighbours(state, np.arange(8), ["my_SNGAN", "s5"], 3)
    assert table.index.tolist() == ["my_SNGAN", "s5", "bare_layout", "early"]
    assert table.loc["bare_layout", "SNGAN"] == 1 and table.loc["early", "SNGAN"] == 0
    assert 0 < table.loc["my_SNGAN", "distance"] < 0.01 and table.loc["early", "distance"] < 0.01
    said = own_generators.neighbours_against_controls(state, table).splitlines()
    assert said[0].startswith(
        "my_SNGAN: 1.00 of its neighbours are SNGAN; for the control bare_layout it is 1.00: no "
    )
    assert len(said) == 2
    table.loc["bare_layout", "SNGAN"] = 0.0
    assert own_generators.margin(2) == 1  # of two images, no lead can be told
    assert "no lead" in own_generators.neighbours_against_controls(state, table)
    monkeypatch.setattr(own_generators, "margin", lambda count: 0.1)
    said = own_generators.neighbours_against_controls(state, table)
    assert "bare_layout it is 0.00: a lead over these controls" in said


def test_who_is_inside_a_selection(state: Explorer) -> None:
    assert own_generators.company(state, np.array([8, 9])).startswith("Nobody else is inside")
    said = own_generators.company(state, np.array([8, 11, 12]))
    assert said.startswith("Also inside, share of their images: s5 1.00.\nMost of a finished")
    said = own_generators.company(state, np.array([8, 11, 12, 13, 14]))
    assert "bare_layout 1.00" in said and said.endswith("says nothing of the architecture.")
    said = own_generators.company(state, np.array([8, 0]))
    assert said.endswith("s0 0.25.\nNo finished generator has most of its images inside.")


def test_controls_are_read_like_anybodys_images(tmp_path: Path, tiny_model, rng) -> None:
    images = rng.integers(0, 256, (3, 64, 64, 3), np.uint8)
    made = own_generators.controls(
        tmp_path, {"bare_layout": images[:2]}, {"SNGAN": images[2:]}, 25)
    assert made.sources == ["SNGAN_25_steps", "bare_layout", "bare_layout"]
    assert [made.classes[k] for k in made.labels] == ["SNGAN", "none", "none"]
    assert np.array_equal(read_image(made.paths[1]), images[0])
    state = explorer.open_images(tiny_model, {"controls": made})
    assert state.table["generator"].tolist() == made.sources
    said = own_generators.patch_agreement(state, [0, 1, 2])
    assert said.startswith("3 images of 2 sources: joint vote of the patches right in 0.")
