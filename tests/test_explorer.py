"""The explorer's functions, and its widgets without a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from support import write_images

from dnadet_lib import zoo
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.data import ImageSet
from dnadet_lib.explorer import (
    closeup,
    explorer,
    html as explorer_html,
    widgets as explorer_widgets,
)
from dnadet_lib.explorer.embedding_writing import write_embeddings
from dnadet_lib.explorer.explorer import Explorer
from dnadet_lib.explorer.projection import place, project
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet, InputSpec


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def state(world, tiny_model: DNADet, tmp_path: Path, monkeypatch) -> Explorer:
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    sets = {name: zoo.load_setup(name, root=world.images) for name in ("closed", "seed")}
    sets["closed"] = sets["closed"].take(np.arange(0, len(sets["closed"]), 4))
    found = explorer.open_images(tiny_model, sets)
    explorer.add_map(found, "PCA")
    return found


def test_opens_sets_of_images(state: Explorer, tiny_model: DNADet) -> None:
    assert len(state) == len(state.table) == len(state.embeddings) == len(state.probabilities)
    assert set(state.table["set-up"]) == {"closed", "seed"}
    assert "real/meadow" in set(state.table["generator"])
    few = state.paths[:5]
    attribution = tiny_model.attribute(few)
    assert np.allclose(attribution.embeddings, state.embeddings[:5], atol=1e-5)
    assert attribution.labels == state.table["predicted"].tolist()[:5]
    assert attribution.known.tolist() == state.table["known"].tolist()[:5]


def test_a_file_that_cannot_be_read_is_left_out_and_named(tiny_model, tmp_path, rng) -> None:
    paths = write_images(tmp_path, 3, rng)
    paths[1].write_text("no image")
    (small,) = write_images(tmp_path / "small", 1, rng, side=20)
    images = ImageSet([*paths, small], np.array([0, 1, 2, 3]), zoo.CLASSES)
    state = explorer.open_images(tiny_model, {"mine": images})
    assert state.paths == [paths[0], paths[2]]
    assert state.table["class"].tolist() == ["Real", "MMDGAN"]
    assert len(state.errors) == 2
    assert str(paths[1]) in state.errors[0]
    assert "20x20 pixels, smaller than a patch" in state.errors[1]
    with pytest.raises(ValueError, match="no image to explore: .*cannot be read"):
        explorer.open_images(tiny_model, {"mine": images.take(np.array([1]))})


def test_classes_need_not_be_the_models(tiny_model: DNADet, tmp_path: Path, rng) -> None:
    images = ImageSet(write_images(tmp_path, 2, rng), np.array([0, 0]), ("StyleGAN2",))
    state = explorer.open_images(tiny_model, {"unknown": images})
    assert not state.table["named rightly"].any()


def test_a_model_without_distances_calls_nothing_known(world, tiny_model, tmp_path, rng) -> None:
    tiny_model.reference = None
    images = ImageSet(write_images(tmp_path / "k", 5, rng), np.zeros(5, int), zoo.CLASSES)
    state = explorer.open_images(tiny_model, {"mine": images})
    save_model(tiny_model, tmp_path / "plain.safetensors", preset="none", seed=0)
    model = load_model(tmp_path / "plain.safetensors")
    write_embeddings(model, images.paths, tmp_path / "k.parquet", name=model.origin)
    for opened in (state, explorer.open_table(tmp_path / "k.parquet")):
        assert opened.table["known"].isna().all()
        assert list(explorer.colours(opened, "known")[1]) == ["not checked"]
        assert "outside what" not in explorer_html.facts(opened, 0)
        assert "not checked" in explorer_html.facts(opened, 0)
        assert explorer.counts(opened, np.arange(5))["refused"].isna().all()


def test_maps_are_read_again(state: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = project(state.embeddings, "PCA", seed=0)
    assert np.array_equal(state.maps["PCA"], wanted)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("projected again")

    monkeypatch.setattr(explorer, "atomic_path", fail)  # a new map would be written
    assert np.array_equal(explorer.add_map(state, "PCA"), wanted)
    with pytest.raises(AssertionError):  # another seed is another map
        explorer.add_map(state, "PCA", seed=1)


def test_beyond_what_is_fitted_the_rest_is_placed(state: Explorer, monkeypatch) -> None:
    monkeypatch.setattr(explorer, "FIT_AT_MOST", 40)
    points = explorer.add_map(state, "PCA", seed=3)
    assert points.shape == (len(state), 2)
    fitted = np.sort(np.random.default_rng(3).permutation(len(state))[:40])
    assert np.array_equal(points[fitted], project(state.embeddings[fitted], "PCA", seed=3))
    assert np.isfinite(points).all()


def test_placing_puts_a_known_embedding_on_its_place(state: Explorer) -> None:
    points = state.maps["PCA"]
    placed = place(state.embeddings, points, state.embeddings[7:8])
    assert np.allclose(placed[0], points[7], atol=0.02 * np.ptp(points, axis=0).max())


def test_quality_is_given_for_each_map(state: Explorer) -> None:
    table = explorer.quality(state)
    assert list(table.index) == ["PCA"]
    assert {"trustworthiness", "kNN accuracy", "silhouette"} == set(table.columns)


def test_lasso_takes_what_lies_inside(state: Explorer) -> None:
    points = state.maps["PCA"]
    middle = points.mean(axis=0)
    radius = float(np.median(np.linalg.norm(points - middle, axis=1)))
    found = explorer.lasso(state, "PCA", explorer.circle(middle, radius))
    inside = np.linalg.norm(points - middle, axis=1) < 0.98 * radius
    assert set(np.flatnonzero(inside)) <= set(found)
    assert len(found) <= np.sum(np.linalg.norm(points - middle, axis=1) < radius)
    with pytest.raises(ValueError, match="no map 'UMAP': there are PCA"):
        explorer.lasso(state, "UMAP", [[0, 0], [1, 0], [1, 1]])
    with pytest.raises(ValueError, match="2 corners"):
        explorer.lasso(state, "PCA", [[0, 0], [1, 0]])


def test_counts_match_the_selection(state: Explorer) -> None:
    selected = np.arange(0, len(state), 3)
    table = explorer.counts(state, selected)
    assert table["images"].sum() == len(selected)
    everything = explorer.counts(state, np.arange(len(state)))
    assert np.allclose(everything["share"], 1)
    rights = (everything["images"] * everything["named rightly"]).sum()
    assert np.isclose(rights, state.table["named rightly"].sum())
    assert explorer.counts(state, np.array([], int)).empty


def test_sorted_by_confidence(state: Explorer) -> None:
    order = explorer.by_confidence(state, np.arange(20))
    assert sorted(order) == list(range(20))
    assert (np.diff(state.table["confidence"].to_numpy()[order]) >= 0).all()


def test_selections_are_kept_compared_and_exported(state: Explorer, tmp_path: Path) -> None:
    explorer.keep(state, " first ", np.arange(5))
    explorer.keep(state, "second", np.arange(3, 9))
    assert explorer.compare(state, "first", "second").to_numpy().sum() == 11
    assert explorer.frame(state, "second")["path"].tolist() == [str(p) for p in state.paths[3:9]]
    with pytest.raises(ValueError, match="no selection 'third': there are first, second"):
        explorer.compare(state, "first", "third")
    with pytest.raises(ValueError, match="nothing is selected"):
        explorer.keep(state, "third", np.array([], int))
    with pytest.raises(ValueError, match="give the selection a name"):
        explorer.keep(state, " ", np.arange(2))
    file = explorer.export(state, state.selections["first"], tmp_path / "out")
    written = pd.read_csv(file)
    assert written["path"].tolist() == [str(p) for p in state.paths[:5]]
    assert len(list(file.parent.glob("*.png"))) == 5


def test_neighbours_are_the_nearest(state: Explorer) -> None:
    unit = state.embeddings / np.linalg.norm(state.embeddings, axis=1, keepdims=True)
    distance = 1 - unit @ unit[11]
    others = np.flatnonzero(np.arange(len(state)) != 11)
    found, distances = explorer.neighbours(state, state.embeddings[11], 4, others)
    assert 11 not in found
    assert np.allclose(distances, np.sort(distance[others])[:4], atol=1e-5)
    assert explorer.neighbours(state, state.embeddings[11], 1)[0].size == 1


@pytest.mark.parametrize("colour_by", [*explorer.CATEGORIES, *explorer.NUMBERS])
def test_figure_in_every_colour(state: Explorer, colour_by: str) -> None:
    state.maps["again"] = -state.maps["PCA"]
    drawn = explorer.figure(state, colour_by, highlight=np.arange(4))
    drawn.canvas.draw()
    assert [axis.get_title() for axis in drawn.axes[:2]] == ["PCA, by scikit-learn", "again"]


def test_figures_of_images(state: Explorer) -> None:
    with pytest.raises(ValueError, match="colour by 'size': choose one of class"):
        explorer.figure(state, "size")
    drawn = explorer.selection_figure(state, np.arange(6), columns=3)
    assert state.table["predicted"][0] in drawn.axes[0].get_title()
    drawn = explorer.neighbours_figure(state, [0, 8], 3, np.arange(20))
    assert len(drawn.axes) == 8
    corners = explorer.circle((0, 0), 1)
    explorer.figure(state, outline=corners).canvas.draw()


# Added images, tables, other checkpoints ---------------------------------------------------------


@pytest.fixture
def another(rng) -> DNADet:
    """A model of another width, with the same input."""
    spec = InputSpec(resize=None, patch=32, vote="patches")
    return DNADet(5, 4, classes=zoo.CLASSES, input=spec).eval()


def test_added_images_are_placed_where_their_like_is(state: Explorer, tmp_path: Path) -> None:
    before, points = len(state), state.maps["PCA"].copy()
    table = state.table.copy()
    copy = tmp_path / "mine" / state.paths[7].name
    copy.parent.mkdir()
    copy.write_bytes(state.paths[7].read_bytes())
    (copy.parent / "broken.png").write_text("no image")
    added = explorer.add_images(state, [copy.parent, tmp_path / "nowhere"])
    assert added.tolist() == [before]
    assert len(state.errors) == 2
    assert "broken.png" in state.errors[1] and "nowhere" in state.errors[0]
    assert np.array_equal(state.maps["PCA"][:before], points)
    assert np.allclose(state.maps["PCA"][before], points[7], atol=0.02 * np.ptp(points))
    pd.testing.assert_frame_equal(state.table.iloc[:before], table)
    row = state.table.iloc[before]
    assert (row["class"], row["generator"], row["set-up"]) == ("not labelled", "mine", "added")
    assert row["predicted"] == table["predicted"][7]
    assert np.isclose(row["confidence"], table["confidence"][7], atol=1e-5)
    assert pd.isna(row["named rightly"])  # nobody knows who made it
    counted = explorer.counts(state, np.array([7, before]))
    assert counted["images"].tolist() == [1, 1]
    assert list(explorer.quality(state).index) == ["PCA"]
    for colour_by in (*explorer.CATEGORIES, *explorer.NUMBERS):
        explorer.figure(state, colour_by).canvas.draw()
    assert explorer.add_images(state, [tmp_path / "nowhere"]).size == 0


def test_two_checkpoints_have_a_map_each(state: Explorer, another, tmp_path, rng) -> None:
    explorer.add_checkpoint(state, "another", another)
    points = explorer.add_map(state, "PCA", checkpoint="another")
    expected = another.attribute(state.paths).embeddings
    assert np.allclose(state.embeddings_of("PCA, another"), expected, atol=1e-5)
    assert np.allclose(points, project(expected, "PCA"), atol=1e-4)
    assert list(explorer.quality(state).index) == ["PCA", "PCA, another"]
    explorer.add_images(state, write_images(tmp_path / "new", 2, rng))
    assert {len(points) for points in state.maps.values()} == {len(state)}
    assert len(state.embeddings_of("PCA, another")) == len(state)
    large = DNADet(5, 4, input=InputSpec(resize=None, vote="patches", patch=99))
    with pytest.raises(ValueError, match="large: .*smaller than a patch of 99x99"):
        explorer.add_checkpoint(state, "large", large)


def test_a_table_of_embeddings_is_opened(state: Explorer, checkpoint, tmp_path, another) -> None:
    file = tmp_path / "mine.parquet"
    paths = state.paths[:20]
    write_embeddings(state.model, paths, file, name=str(checkpoint), methods=("PCA",))
    opened = explorer.open_table(file)  # with the checkpoint that the file names
    assert opened.paths == paths
    assert opened.table["predicted"].tolist() == state.table["predicted"].tolist()[:20]
    assert set(opened.table["class"]) == {"not labelled"}  # a folder's name is no class
    assert opened.table["generator"].tolist() == [path.parent.name for path in paths]
    assert set(opened.maps) == {"PCA"} and opened.errors == []
    with pytest.raises(ValueError, match="embeddings of 64 numbers, the model's have 32"):
        explorer.open_table(file, another)


def test_images_that_are_gone_keep_their_points(state: Explorer, checkpoint, tmp_path, rng) -> None:
    paths = write_images(tmp_path / "images", 6, rng)
    file = tmp_path / "mine.parquet"
    write_embeddings(state.model, paths, file, name=str(checkpoint), methods=("PCA",))
    paths[2].unlink()
    opened = explorer.open_table(file)
    assert opened.errors == [f"1 images are not where {file} says, such as {paths[2]}"]
    assert len(opened) == 6
    panel = explorer_widgets.Panel(opened)
    panel.maps[0].widget.selection = [1, 2]
    shown = panel.pictures.pictures
    assert sorted(bool(one["source"]) for one in shown) == [False, True]
    assert any(str(paths[2]) in one["label"] for one in shown)
    panel.maps[0].widget.selection = [2]
    assert str(paths[2]) in panel.close_up.value


def table_of(checkpoint: Path, paths: list[Path], file: Path) -> explorer.Explorer:
    """Write a table with a checkpoint, and open it."""
    write_embeddings(
        load_model(checkpoint), paths, file, name=str(checkpoint), methods=("PCA",)
    )
    return explorer.open_table(file)


def assert_shown_as_stored(found: Explorer, before: Explorer) -> None:
    columns = ["predicted", "confidence", "unknown score", "known"]
    pd.testing.assert_frame_equal(found.table[columns], before.table[columns])
    assert np.array_equal(found.probabilities, before.probabilities)
    assert found.classes == before.classes


@pytest.fixture
def table(world, checkpoint: Path, tmp_path: Path, rng) -> tuple[Path, Explorer]:
    """A table and what was seen when it was new."""
    paths = write_images(tmp_path / "images", 6, rng)
    file = tmp_path / "mine.parquet"
    return file, table_of(checkpoint, paths, file)


def test_a_table_goes_with_the_checkpoint_that_made_it(table, checkpoint, tiny_model) -> None:
    file, state = table
    kept_by = pq.read_schema(file).metadata
    assert kept_by[b"sha256"].decode() == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert kept_by[b"model"].decode() == str(checkpoint)
    assert (state.note, state.model.sha256) == ("", kept_by[b"sha256"].decode())
    attribution = tiny_model.attribute(state.paths)
    assert state.table["predicted"].tolist() == attribution.labels
    assert np.allclose(state.probabilities, attribution.probabilities, atol=1e-5)
    assert np.allclose(state.table["unknown score"], attribution.unknown_scores, rtol=1e-4)
    assert state.table["known"].tolist() == attribution.known.tolist()


@pytest.mark.parametrize("how", ["overwritten", "gone", "damaged", "another given"])
def test_a_table_keeps_its_labels_when_its_checkpoint_changes(
    table, checkpoint, tiny_model, tmp_path, rng, capsys, how
) -> None:
    file, before = table
    with torch.no_grad():
        tiny_model.classification_head[1].weight.neg_()
    tiny_model.classes = tuple(reversed(tiny_model.classes))
    tiny_model.threshold = -100.0
    given = None
    if how == "overwritten":
        save_model(tiny_model, checkpoint)
    elif how == "gone":
        checkpoint.unlink()
    elif how == "damaged":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    else:
        save_model(tiny_model, tmp_path / "another.safetensors")
        given = load_model(tmp_path / "another.safetensors")
    state = explorer.open_table(file, given)
    assert_shown_as_stored(state, before)

    reason = "its checkpoint cannot be had" if how == "gone" else "is not the one that made it"
    assert state.note.startswith(f"{file}: ") and reason in state.note
    assert capsys.readouterr().err == f"{state.note}\n"
    with pytest.raises(ValueError, match=reason):
        _ = state.model
    with pytest.raises(ValueError, match=reason):
        explorer.add_images(state, write_images(tmp_path / "new", 1, rng))
    with pytest.raises(ValueError, match=reason):
        explorer.moved(state, "PCA", state.embeddings[0])
    assert len(state) == 6
    assert reason in explorer_html.close_up(state, 0)
    assert reason in explorer_widgets.Panel(state).said.value
    explorer.figure(state, "predicted", ["PCA"])


def test_an_older_table_is_not_checked_and_keeps_its_labels(table, checkpoint, tiny_model) -> None:
    file, before = table
    plain = pq.read_table(file).replace_schema_metadata({"model": str(checkpoint)})
    pq.write_table(plain, file)
    tiny_model.classes = tuple(reversed(tiny_model.classes))
    save_model(tiny_model, checkpoint)
    state = explorer.open_table(file)
    assert_shown_as_stored(state, before)
    assert f"not checked whether {checkpoint} is the checkpoint that made it" in state.note
    assert state.model.classes == tiny_model.classes  # it may be the one: nothing is refused

    pq.write_table(plain.select(["path", "embedding"]), file)  # embeddings alone
    state = explorer.open_table(file)
    assert state.table["predicted"].tolist() == state.model.attribute(state.paths).labels
    checkpoint.unlink()
    with pytest.raises(FileNotFoundError, match="neither a checkpoint file nor a shipped name"):
        explorer.open_table(file)


def test_embeddings_alone_need_their_own_checkpoint(table, checkpoint, tiny_model) -> None:
    file, _ = table
    whole = pq.read_table(file)
    pq.write_table(whole.select(["path", "embedding"]), file)  # keeps the hash
    tiny_model.threshold = 0.1
    save_model(tiny_model, checkpoint)
    with pytest.raises(ValueError, match="is not the one that made it.* no labels of its own"):
        explorer.open_table(file)


# One image ---------------------------------------------------------------------------------------


def test_patch_votes_at_the_models_density_are_its_vote(state: Explorer) -> None:
    image = read_image(state.paths[0])
    votes = closeup.patch_votes(state.model, image, density=2)
    assert votes.shape == (3, 3)
    assert np.allclose(votes.probabilities.sum(axis=1), 1)
    powers = np.exp(votes.logits.mean(axis=0))
    assert np.allclose(powers / powers.sum(), state.probabilities[0], atol=1e-4)
    winner, share = closeup.agreement(votes)
    assert winner == state.probabilities[0].argmax()
    assert 0 <= share <= 1
    assert closeup.patch_votes(state.model, image).shape == (9, 9)


def test_patch_votes_of_a_model_whose_patch_is_the_image(rng) -> None:
    model = DNADet(3, 8, input=InputSpec(resize=None, patch=64, vote="patches"))
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    votes = closeup.patch_votes(model, image, density=2)
    assert votes.patch == 32
    assert votes.shape == (3, 3)
    with pytest.raises(ValueError, match="50x40 pixels, smaller than a patch of 64x64"):
        closeup.patch_votes(model, image[:40, :50])


def test_patch_votes_of_a_model_that_resizes(rng) -> None:
    model = DNADet(3, 8, input=InputSpec(resize=96, patch=32))
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    votes = closeup.patch_votes(model, image, density=2)
    assert votes.image.shape == (96, 96, 3)
    assert votes.shape == (5, 5)


def test_closeup_figures(state: Explorer) -> None:
    images = [read_image(path) for path in state.paths[:2]]
    drawn = closeup.votes_figure(state.model, images, ["a", "b"])
    assert "of patches" in drawn.axes[2].get_title() + drawn.axes[1].get_title()
    closeup.cams_figure(images[0], {"flat": np.zeros((64, 64))}).canvas.draw()
    closeup.overview_figure(state.model, images[0]).canvas.draw()
    closeup.degradation_figure(state.model, images[0], "noise").canvas.draw()


def test_degraded_by_none_is_the_image(state: Explorer) -> None:
    image = read_image(state.paths[0])
    same, attribution = closeup.degraded(state.model, image, "JPEG", None)
    assert np.array_equal(same, image)
    assert np.allclose(attribution.probabilities[0], state.probabilities[0], atol=1e-5)
    changed, _ = closeup.degraded(state.model, image, "JPEG", 50)
    assert not np.array_equal(changed, image)
    with pytest.raises(ValueError, match="degradation 'rain': choose one of JPEG"):
        closeup.degraded(state.model, image, "rain", 1)


# Widgets, without a browser ----------------------------------------------------------------------


def find(widget, kind: str, description: str | None = None):
    """All widgets of a class inside a box."""
    found = []
    for child in getattr(widget, "children", ()):
        if type(child).__name__ == kind and description in (
            None, getattr(child, "description", ""),
        ):  # fmt: skip
            found.append(child)
        found += find(child, kind, description)
    return found


def test_a_selection_on_a_map_fills_the_grid(state: Explorer) -> None:
    state.maps["again"] = state.maps["PCA"][:, ::-1]
    panel = explorer_widgets.Panel(state)
    box = panel.widget
    first, second = find(box, "JupyterScatter")
    assert "Nothing is selected" in panel.grid.value
    second.selection = [1, 2, 5]
    assert list(first.selection) == [1, 2, 5]
    assert "<b>3 images</b>" in panel.heading.value
    shown = explorer.by_confidence(state, np.array([1, 2, 5]))
    expected = explorer_html.thumbnails(state, shown.tolist())
    assert panel.pictures.pictures == [vars(one) for one in expected]
    first.hovering = 5
    assert state.table["generator"][5] in panel.hover.value
    panel.name.value = "mine"
    find(box, "Button", "keep")[0].click()
    assert state.selections["mine"].tolist() == [1, 2, 5]
    find(box, "Button", "export")[0].click()
    assert len(list(Path(explorer.build_folder()).rglob("selection.csv"))) == 1


def test_a_selection_is_turned_page_by_page(state: Explorer) -> None:
    panel = explorer_widgets.Panel(state)
    find(panel.widget, "Button", "select all shown")[0].click()
    order = explorer.by_confidence(state, np.arange(len(state)))
    seen = list(panel.pictures.pictures)
    assert panel.before.disabled and len(seen) == explorer_html.SHOWN_AT_ONCE < len(state)
    while not panel.after.disabled:
        panel.after.click()
        seen += panel.pictures.pictures
    generators = [one["label"].split(" (")[0] for one in seen]
    assert generators == state.table["generator"].iloc[order].tolist()
    panel.before.click()
    assert not panel.after.disabled
    find(panel.widget, "Button", "clear selection")[0].click()
    assert panel.pictures.pictures == [] and "Nothing is selected" in panel.grid.value


def test_counts_of_many_generators_leave_none_out(state: Explorer) -> None:
    state.table["generator"] = [f"g{i:02d}" for i in range(len(state))]
    state.table.loc[:2, "generator"] = "most"
    written = explorer_html.counts(state, np.arange(len(state)))
    rows = [re.findall("<td>(.*?)</td>", row) for row in written.split("<tr")[2:]]
    assert sum(int(row[3]) for row in rows) == len(state)
    assert rows[0][1] == "most" and rows[-1][1] == f"{len(state) - 2 - 5} others"


@pytest.mark.parametrize("colour_by", ["known", "unknown score", "set-up"])
def test_maps_change_colour(state: Explorer, colour_by: str) -> None:
    panel = explorer_widgets.Panel(state)
    (scatter,) = find(panel.widget, "JupyterScatter")
    assert scatter.color_by == "valueA"
    before = [*scatter.color]
    panel.colour.value = colour_by
    assert [*scatter.color] != before
    scatter.selection = [0, 1]
    assert "<b>2 images</b>" in panel.heading.value


def test_of_a_long_legend_a_part_stands_above_the_maps(state: Explorer) -> None:
    state.table["generator"] = [f"a_generator_of_number_{i}" for i in range(len(state))]
    panel = explorer_widgets.Panel(state)
    assert "legend" not in panel.view.options
    panel.colour.value = "generator"
    assert len(panel.key.boxes) == len(state) > len(find_in(panel.legend)) > 1
    assert len(find_in(panel.all_legend)) == len(state)
    panel.view.value = "legend"
    panel.key.boxes[-1].value = False
    assert panel.maps[0].widget.filter.tolist() == list(range(len(state) - 1))
    panel.colour.value = "class"
    assert "legend" not in panel.view.options and panel.view.value == "selection"


def find_in(box) -> list:
    return find(box, "Checkbox")


def test_the_legend_hides_points(state: Explorer) -> None:
    panel = explorer_widgets.Panel(state)
    boxes = {box.description: box for box in find(panel.legend, "Checkbox")}
    assert set(boxes) == set(state.table["class"])
    boxes["SNGAN"].value = False
    shown = np.flatnonzero(state.table["class"] != "SNGAN")
    assert panel.maps[0].widget.filter.tolist() == shown.tolist()
    boxes["SNGAN"].value = True
    assert panel.maps[0].widget.filter is None
    boxes["SNGAN"].value = False
    panel.colour.value = "set-up"  # other kinds, all of them shown
    assert panel.maps[0].widget.filter is None


def test_one_selected_image_is_shown_close_up(state: Explorer) -> None:
    panel = explorer_widgets.Panel(state)
    panel.maps[0].widget.selection = [4]
    assert panel.view.value == "one image"
    assert panel.close_up.value.count("<img ") == 8  # the image, six neighbours, a figure
    assert str(state.paths[4]) in panel.close_up.value
    assert 'alt=""' not in panel.close_up.value


def test_a_new_selection_takes_the_place_of_a_close_up(state: Explorer) -> None:
    panel = explorer_widgets.Panel(state)
    panel.maps[0].widget.selection = [4]
    panel.maps[0].widget.selection = [1, 2]
    assert panel.view.value == "selection"
    shown = [name for name, piece in panel.views.items() if piece.layout.display != "none"]
    assert shown == ["selection"]
    assert str(state.paths[4]) not in panel.close_up.value


def test_a_fault_of_a_button_is_shown(state: Explorer) -> None:
    panel = explorer_widgets.Panel(state)
    with pytest.raises(ZeroDivisionError):
        panel.say(lambda: [str(1 // 0)])
    assert "fault of the explorer: ZeroDivisionError" in panel.said.value


def test_an_image_of_the_selection_opens_close_up(state: Explorer) -> None:
    panel = explorer_widgets.Panel(state)
    panel.maps[0].widget.selection = [1, 2, 5]
    place = 2
    asked = int(explorer.by_confidence(state, np.array([1, 2, 5]))[place])
    tell = panel.pictures._handle_custom_msg
    tell({"what": "point", "place": place}, [])
    assert panel.maps[0].widget.hovering == asked
    tell({"what": "open", "place": place}, [])
    assert panel.view.value == "one image"
    assert str(state.paths[asked]) in panel.close_up.value
    assert panel.selected.tolist() == [1, 2, 5]  # as it was
    tell({"what": "clear", "place": 0}, [])
    assert len(panel.selected) == 0


@pytest.mark.parametrize("size", [(64, 64), (64, 192), (300, 100), (2000, 1000)])
def test_images_keep_their_proportions(size: tuple[int, int], tmp_path: Path) -> None:
    height, width = size
    element = explorer_html.picture(np.zeros((height, width, 3), np.uint8), 120)
    shown = [int(re.search(rf'{name}="(\d+)"', element)[1]) for name in ("height", "width")]
    assert max(shown) == 120
    assert abs(shown[0] / shown[1] - height / width) < 0.02 * height / width
    source = base64.b64decode(element.partition("base64,")[2].partition('"')[0])
    with Image.open(io.BytesIO(source)) as stored:
        assert abs(stored.height / stored.width - height / width) < 0.02 * height / width
        assert max(stored.size) <= 4 * 120


def test_the_spectrum_has_the_proportions_of_its_image(state: Explorer, rng) -> None:
    wide = rng.integers(0, 256, (64, 192, 3), np.uint8)
    figure = closeup.overview_figure(state.model, wide)
    figure.canvas.draw()
    for axis in figure.axes[:4]:
        box = axis.get_window_extent()
        assert box.width / box.height == pytest.approx(3, rel=0.01)
    bar = figure.axes[3].child_axes[0].get_window_extent()
    assert bar.height == pytest.approx(box.height, rel=0.01)


def test_bars_of_many_classes_leave_none_out(state: Explorer) -> None:
    names = tuple(f"class {k}" for k in range(200))
    values = np.random.default_rng(0).dirichlet(np.ones(200))[None]
    said = SimpleNamespace(
        probabilities=values, known=np.array([True]), unknown_scores=np.array([0.1])
    )
    written = explorer_html.bars(said, names)
    shares = [float(share) for share in re.findall(r">(\d\.\d{3})</td>", written)]
    assert len(shares) == explorer_html.BARS_AT_MOST and abs(sum(shares) - 1) < 0.01
    assert names[int(values.argmax())] in written and "195 other classes" in written


def test_kept_selections_are_compared(state: Explorer) -> None:
    panel = explorer_widgets.Panel(state)
    (button,) = find(panel.widget, "Button", "compare")
    button.click()
    assert any("there are none yet" in html.value for html in find(panel.widget, "HTML"))
    for name, selected in (("a", [0, 1]), ("b", [2])):
        panel.maps[0].widget.selection = selected
        panel.name.value = name
        find(panel.widget, "Button", "keep")[0].click()
    first, second = panel.compared
    first.value, second.value = "a", "b"
    button.click()
    assert any("<th>a</th>" in html.value for html in find(panel.widget, "HTML"))


def test_dropped_files_and_folders_are_added(state: Explorer, tmp_path: Path, rng) -> None:
    panel, before = explorer_widgets.Panel(state), len(state)
    (path,) = write_images(tmp_path / "mine", 1, rng)
    (upload,) = find(panel.widget, "FileUpload")
    contents = {"../<b>.png": path.read_bytes(), "bad.png": b"no image"}
    rest = {"type": "", "size": 0, "last_modified": datetime.now()}
    files = ({"name": name, "content": content, **rest} for name, content in contents.items())
    upload.set_trait("value", tuple(files))
    assert len(state) == before + 1
    assert panel.selected.tolist() == [before]  # marked on the map, and in the grid
    assert len(panel.pictures.pictures) == 1
    assert "1 images added" in panel.said.value and "bad.png" in panel.said.value
    assert state.paths[before] == explorer.build_folder() / "added" / "<b>.png"
    folder = [w for w in find(panel.widget, "Text") if "folder" in w.placeholder][0]
    folder.value = str(path.parent)
    assert len(state) == before + 2
    folder.value = str(tmp_path / "nowhere")
    assert "nowhere" in panel.said.value and len(state) == before + 2


def test_names_are_no_html(state: Explorer) -> None:
    state.table.loc[0, "generator"] = "<script>x</script>"
    panel = explorer_widgets.Panel(state)
    panel.maps[0].widget.selection = [0]
    panel.maps[0].widget.hovering = 0
    for html in find(panel.widget, "HTML"):
        assert "<script>" not in html.value


def test_keeping_nothing_says_so(state: Explorer) -> None:
    panel = explorer_widgets.Panel(state)
    panel.name.value = "empty"
    find(panel.widget, "Button", "keep")[0].click()
    assert "nothing is selected" in panel.said.value


def test_the_slider_moves_the_probabilities(state: Explorer) -> None:
    image = read_image(state.paths[0])
    box = explorer_widgets.degrade(state.model, image)
    (slider,) = find(box, "SelectionSlider")
    (result,) = find(box, "HTML")
    before = result.value
    assert slider.description == "JPEG: quality"
    slider.value = 50
    assert result.value != before
    assert "JPEG: quality 50" in result.value
    find(box, "Dropdown")[0].value = "blur"
    assert result.value == before  # as it is again
    assert slider.description == "blur: sigma, pixels"
    assert [value for _, value in slider.options] == [0, 0.3, 0.5, 0.7, 1.0, 1.5]


def test_the_slider_moves_the_point_on_the_map(state: Explorer) -> None:
    image = read_image(state.paths[0])
    box = explorer_widgets.degrade(state.model, image, state=state)
    (slider,), (result,) = find(box, "SelectionSlider"), find(box, "HTML")
    background = explorer_widgets.map_picture(state, "PCA")
    for strength in (0, 50):
        slider.value = strength
        embedding = closeup.degraded(state.model, image, "JPEG", strength or None)[1].embeddings[0]
        assert background.at(explorer.moved(state, "PCA", embedding))[-200:] in result.value


def test_grad_cam_of_a_chosen_layer(state: Explorer) -> None:
    box = explorer_widgets.cam(state.model, read_image(state.paths[0]), "SNGAN")
    find(box, "IntSlider")[0].value = 3
    (result,) = find(box, "HTML")
    before = result.value
    find(box, "Dropdown")[0].value = "Real"
    assert result.value != before and "Grad-CAM of layer 3 for Real" in result.value


def test_nothing_is_displayed_where_nobody_looks(monkeypatch, capsys) -> None:
    monkeypatch.setenv("DNADET_WIDGETS", "off")
    explorer_widgets.show(explorer_widgets.explore, None)
    assert "when you run this cell in JupyterLab" in capsys.readouterr().out
