"""What the explorer finds and shows: searches, filters and histograms, and their widgets."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from support import write_images

from dnadet_lib import zoo
from dnadet_lib.data import ImageSet
from dnadet_lib.explorer import explorer, html as explorer_html
from dnadet_lib.explorer.explorer import Explorer, Filters
from dnadet_lib.explorer.panel import Panel
from dnadet_lib.model import DNADet


@pytest.fixture
def state(tiny_model: DNADet, tmp_path: Path, rng, monkeypatch) -> Explorer:
    """Twelve images in two folders, with values that the tests can reckon with."""
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    paths = [*write_images(tmp_path / "Meadow", 6, rng), *write_images(tmp_path / "stamps", 6, rng)]
    labels, names = np.arange(12) % 5, [f"{zoo.CLASSES[k % 5]}_{k // 6}" for k in range(12)]
    found = explorer.open_images(tiny_model, {"mine": ImageSet(paths, labels, zoo.CLASSES, names)})
    found.table["confidence"] = np.linspace(0.1, 0.98, 12).astype(np.float32)
    found.table["unknown score"] = np.linspace(3, -1, 12).astype(np.float32)
    known = [True, False, None] * 4
    found.table["known"] = pd.array(known, dtype="boolean")
    found.table["predicted"] = ["Real", "SNGAN"] * 6
    explorer.add_map(found, "PCA")
    yield found
    plt.close("all")


# Searching ---------------------------------------------------------------------------------------


def test_words_are_parts_of_a_path(state: Explorer) -> None:
    assert explorer.search(state, " meadow ").tolist() == list(range(6))
    name = state.paths[7].name.upper()
    assert explorer.search(state, f"{name} STAMPS").tolist() == [7]
    assert explorer.search(state, "meadow stamps").size == 0
    assert explorer.search(state, "").size == 0
    assert explorer.search(state, "known").size == 0  # a word, since nothing is compared


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("confidence < 0.5", lambda t: t["confidence"] < 0.5),
        ("0.2 <= confidence <= 0.5", lambda t: t["confidence"].between(0.2, 0.5)),
        ("unknown score > 1", lambda t: t["unknown score"] > 1),
        ("unknown_score > -0.5", lambda t: t["unknown score"] > -0.5),
        ("`unknown score` > 1", lambda t: t["unknown score"] > 1),
        ("known == False", lambda t: t["known"].eq(False).fillna(False)),
        ("known != True", lambda t: t["known"].ne(True).fillna(False)),
        ("not known == False", lambda t: ~t["known"].eq(False).fillna(False)),
        ("known and confidence > 0.5", lambda t: t["known"].eq(True) & (t["confidence"] > 0.5)),
        (
            'confidence < 0.5 and known == False and predicted == "SNGAN"',
            lambda t: (t["confidence"] < 0.5) & t["known"].eq(False).fillna(False)
            & (t["predicted"] == "SNGAN"),
        ),
        ('class == "Real" or (class == "SNGAN")', lambda t: t["class"].isin(["Real", "SNGAN"])),
        ("class in ['Real', 'SNGAN']", lambda t: t["class"].isin(["Real", "SNGAN"])),
        ("class not in ('Real',)", lambda t: t["class"] != "Real"),
        ("predicted == class", lambda t: t["predicted"] == t["class"]),
        ("'progan' in generator", lambda t: t["generator"].str.startswith("ProGAN")),
        ('(set-up == "mine") & (confidence > 0.9)', lambda t: t["confidence"] > 0.9),
    ],
)  # fmt: skip
def test_an_expression_is_about_the_columns(state: Explorer, text: str, holds) -> None:
    expected = np.flatnonzero(holds(state.table).fillna(False).to_numpy(bool))
    assert 0 < len(expected) < len(state)
    assert explorer.search(state, text).tolist() == expected.tolist()


def test_a_path_can_be_searched_by_an_expression(state: Explorer) -> None:
    found = explorer.search(state, '"meadow" in path and confidence > 0.3')
    assert found.tolist() == [i for i in range(6) if state.table["confidence"][i] > 0.3]
    assert explorer.search(state, f'path == "{state.paths[3]}"').tolist() == [3]


def test_a_text_in_an_expression_is_no_expression(state: Explorer) -> None:
    state.table.loc[2, "generator"] = "confidence < 0.5 and 'x'"
    assert explorer.search(state, "generator == \"confidence < 0.5 and 'x'\"").tolist() == [2]
    assert explorer.search(state, r'generator == "C:\Users\x"').size == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("confidence <", "it cannot be understood"),
        ("confidance < 0.5", "there is no column 'confidance'"),
        ("class == Real", "there is no column 'Real'; text stands in quotes"),
        ("confidence.max() > 0.5", "it may hold columns"),
        ("abs(confidence) > 0.5", "it may hold columns"),
        ("class.str.len() == 4", "it may hold columns"),
        ("confidence > @limit", "it cannot be understood"),
        ("__import__('os').system('true') == 0", "it may hold columns"),
        ("(lambda: 1)() < confidence", "it may hold columns"),
        ("[c for c in (1, 2)] == confidence", "it may hold columns"),
        ("class[0] == 'R'", "it may hold columns"),
        ("confidence < 'high'", "confidence holds numbers, 'high' is text"),
        ("known == 'False'", "known holds true or false, 'False' is text"),
        ("known < True", "known is true or false"),
        ("class in 'Real'", "write"),
        ("1 < 2", "a comparison needs a column"),
        ("class and confidence < 1", "class alone is no condition"),
        ("confidence < 0.5 and " + "not " * 200 + "known", "longer than 500 characters"),
        ("confidence < " + "-" * 450 + "1", ""),
        ("confidence < 0.5 \0", "it cannot be understood"),
        ("confidence is 0.5 < 1", "it compares with"),
    ],
)
def test_a_bad_expression_is_refused(state: Explorer, text: str, why: str) -> None:
    if not why:  # deep, and understood
        assert explorer.search(state, text).size == len(state)
        return
    with pytest.raises(ValueError) as caught:
        explorer.search(state, text)
    said = str(caught.value)
    assert said.startswith("search ") and text[:9] in said and why in said
    assert "The columns are: path, class, generator, set-up, predicted" in said
    assert said.isprintable() and len(said) < 500


def test_tags_are_searched_whole(state: Explorer) -> None:
    explorer.tag(state, np.array([1, 2]), "odd")
    explorer.tag(state, np.array([2, 5]), "oddity, dark")
    assert explorer.search(state, '"odd" in tags').tolist() == [1, 2]
    assert explorer.search(state, '"dark" in tags or tags == "odd"').tolist() == [1, 2, 5]
    explorer.annotate(state, np.array([4]), "Look AGAIN at the sky")
    assert explorer.search(state, '"again" in note').tolist() == [4]
    assert explorer.search(state, 'tags == "" and note == ""').size == len(state) - 4


# Filters and histograms --------------------------------------------------------------------------


def test_filters_are_joined(state: Explorer) -> None:
    assert explorer.passing(state, Filters()).all()
    filters = Filters("class", ["SNGAN"], np.arange(0, 12, 2))
    explorer.limit(state, filters, "confidence", 0.3, 0.8)
    expected = (state.table["class"] != "SNGAN") & state.table["confidence"].between(0.3, 0.8)
    expected &= np.arange(12) % 2 == 0
    assert 0 < expected.sum() < 6
    assert explorer.passing(state, filters).tolist() == expected.tolist()
    free = explorer.passing(state, filters, but="confidence")
    assert free.sum() > expected.sum()
    low, high, _ = explorer.scale(state, "confidence")
    explorer.limit(state, filters, "confidence", low, high)
    assert filters.ranges == {}
    with pytest.raises(ValueError, match="'class' is no column of numbers: choose confidence or"):
        explorer.limit(state, filters, "class", 0, 1)


@pytest.mark.parametrize("values", [[0.001, 0.0012], [-5e6, 7e6], [0.3, 0.3], [np.nan, np.nan]])
def test_a_scale_holds_all_values_at_its_steps(state: Explorer, values: list[float]) -> None:
    state.table["unknown score"] = np.array(values * 6, np.float32)
    low, high, step = explorer.scale(state, "unknown score")
    present = state.table["unknown score"].dropna()
    if not len(present) or values[0] == values[1]:
        assert low == high
    else:
        assert low <= present.min() < present.max() <= high
        assert 100 <= (high - low) / step <= 1100
    explorer.histogram(state, "unknown score", Filters())


def test_a_histogram_counts_what_others_let_pass(state: Explorer) -> None:
    filters = Filters("class", ["SNGAN"])
    explorer.limit(state, filters, "confidence", 0.3, 0.8)
    selected = np.array([0, 4, 6])
    found = explorer.histogram(state, "unknown score", filters, selected)
    passing = explorer.passing(state, filters)
    assert found.shown.sum() == passing.sum()
    assert found.selected.sum() == passing[selected].sum()
    assert (found.selected <= found.shown).all()
    own = explorer.histogram(state, "confidence", filters, selected)
    assert own.shown.sum() == (state.table["class"] != "SNGAN").sum()
    assert np.array_equal(
        own.shown,
        np.histogram(state.table["confidence"][state.table["class"] != "SNGAN"], own.edges)[0],
    )


def test_images_without_a_number_pass_no_range_of_it(state: Explorer) -> None:
    state.table.loc[3, "unknown score"] = np.nan
    filters = Filters()
    assert explorer.passing(state, filters)[3]
    assert explorer.histogram(state, "unknown score", filters).shown.sum() == 11
    explorer.limit(state, filters, "unknown score", -0.9, 9)
    assert not explorer.passing(state, filters)[3]


def test_histograms_have_a_static_twin(state: Explorer) -> None:
    filters = Filters()
    explorer.limit(state, filters, "confidence", 0.3, 0.8)
    drawn = explorer.histograms_figure(state, filters, np.arange(4))
    drawn.canvas.draw()
    assert [axis.get_xlabel() for axis in drawn.axes] == [
        "confidence (no unit)", "unknown score (no unit)",
    ]  # fmt: skip
    heights = drawn.axes[1].patches[0].get_data().values
    assert heights.sum() == explorer.passing(state, filters).sum()
    plain = explorer.histograms_figure(state)
    assert plain.axes[0].patches[0].get_data().values.sum() == len(state)


# Widgets, without a browser ----------------------------------------------------------------------


def test_a_search_selects_and_shows_what_it_finds(state: Explorer) -> None:
    panel = Panel(state)
    panel.search.field.value = "confidence > 0.5"
    expected = explorer.search(state, "confidence > 0.5").tolist()
    assert panel.selected.tolist() == expected
    assert panel.said.value == f"{len(expected)} images found"
    assert panel.maps[0].widget.filter is None
    panel.search.only.value = True
    assert panel.maps[0].widget.filter.tolist() == expected
    assert panel.shown.tolist() == expected
    panel.search.field.value = "no such path"
    assert panel.maps[0].widget.filter.tolist() == [] and "0 images found" in panel.said.value
    panel.search.field.value = ""
    assert panel.maps[0].widget.filter is None and panel.said.value == ""


def test_a_bad_search_changes_nothing(state: Explorer) -> None:
    panel = Panel(state)
    panel.search.field.value = "meadow"
    panel.search.only.value = True
    panel.search.field.value = "confidance < <b>"
    assert "confidance" in panel.said.value and "The columns are" in panel.said.value
    assert "<b>" not in panel.said.value
    assert panel.selected.tolist() == panel.shown.tolist() == list(range(6))


def test_search_legend_and_ranges_filter_together(state: Explorer) -> None:
    panel = Panel(state)
    panel.search.field.value = "meadow"
    panel.search.only.value = True
    (box,) = (box for box in panel.key.boxes if box.names == "SNGAN")
    box.value = False
    panel.ranges.sliders["confidence"].value = (0.3, 0.9)
    expected = explorer.passing(
        state, Filters("class", ["SNGAN"], np.arange(6), {"confidence": (0.3, 0.9)})
    )
    shown = np.flatnonzero(expected).tolist()
    assert 0 < len(shown) < 6
    assert panel.maps[0].widget.filter.tolist() == shown
    assert panel.ranges.said.value == f"{len(shown)} of 12 images are shown"
    panel.colour.value = "generator"  # its legend hides nothing
    assert set(shown) < set(panel.shown.tolist())
    panel.search.only.value = False
    slider = panel.ranges.sliders["confidence"]
    slider.value = (slider.min, slider.max)
    assert panel.maps[0].widget.filter is None


def test_the_histograms_follow_filters_and_selection(state: Explorer) -> None:
    panel = Panel(state)
    panel.view.value = "filter"
    assert "<b>12</b> images" in panel.ranges.pictures["confidence"].value
    panel.select(np.array([0, 1, 2]))
    assert panel.view.value == "filter"  # the selection is seen there
    assert "of 12 images, 3 selected" in panel.ranges.pictures["confidence"].value
    panel.ranges.sliders["unknown score"].value = (0, 2)
    shown = int(explorer.passing(state, panel.filters).sum())
    assert f"<b>{shown}</b> images" in panel.ranges.pictures["confidence"].value
    assert "<b>12</b> images" in panel.ranges.pictures["unknown score"].value
    assert 'opacity="0.3"' in panel.ranges.pictures["unknown score"].value
    panel.colour.value = "confidence"
    assert len(panel.shown) == shown


def test_added_images_are_shown(state: Explorer, tmp_path: Path, rng) -> None:
    panel = Panel(state)
    panel.search.field.value = "meadow"
    panel.search.only.value = True
    panel.ranges.sliders["confidence"].value = (0.3, 0.9)
    panel._add([write_images(tmp_path / "more", 1, rng)[0]])
    assert 12 in panel.shown and panel.selected.tolist() == [12]
    assert panel.filters.ranges == {}


def test_one_value_leaves_nothing_to_choose(state: Explorer) -> None:
    state.table["unknown score"] = np.float32(np.nan)
    panel = Panel(state)
    assert panel.ranges.sliders["unknown score"].disabled
    assert "<b>0</b> images" in explorer_html.histogram(
        state, "unknown score", Filters(), np.arange(3)
    )
