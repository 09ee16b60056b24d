"""Tags and notes, and the explorer's table saved and opened again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import write_images

from dnadet_lib import zoo
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.data import ImageSet
from dnadet_lib.explorer import explorer, html as explorer_html, rewriting
from dnadet_lib.explorer.embedding_writing import write_embeddings
from dnadet_lib.explorer.explorer import Explorer
from dnadet_lib.explorer.panel import Panel
from dnadet_lib.model import DNADet, InputSpec


@pytest.fixture
def paths(tmp_path: Path, rng, monkeypatch) -> list[Path]:
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    return write_images(tmp_path / "images", 8, rng)


@pytest.fixture
def file(paths, checkpoint: Path, tmp_path: Path) -> Path:
    """What `dnadet embed` writes, of eight images."""
    found = tmp_path / "mine.parquet"
    truths = ["Real", None] * 4
    write_embeddings(
        load_model(checkpoint), paths, found, name=str(checkpoint), methods=("PCA",), truths=truths
    )
    return found


@pytest.fixture
def another(rng) -> DNADet:
    """A model of another width, with the same input."""
    spec = InputSpec(resize=None, patch=32, vote="patches")
    return DNADet(5, 4, classes=zoo.CLASSES, input=spec).eval()


def mark(state: Explorer) -> None:
    """Write tags and notes to some images."""
    explorer.tag(state, np.array([1, 2]), "odd, dark")
    explorer.untag(state, np.array([2]), "odd")
    explorer.annotate(state, np.array([2, 5]), 'a "note", with a comma')


MARKED = {
    "tags": ["", "odd, dark", "dark", "", "", "", "", ""],
    "note": ["", "", 'a "note", with a comma', "", "", 'a "note", with a comma', "", ""],
}


def marks(state: Explorer) -> dict[str, list[str]]:
    return {name: state.table[name].tolist() for name in explorer.MARKS}


def assert_same(state: Explorer, other: Explorer) -> None:
    pd.testing.assert_frame_equal(state.table, other.table)
    assert state.paths == other.paths and state.classes == other.classes
    assert np.array_equal(state.embeddings, other.embeddings)
    assert np.array_equal(state.probabilities, other.probabilities)
    assert state.maps.keys() == other.maps.keys()
    for name, points in state.maps.items():
        assert np.array_equal(points, other.maps[name])


# Tags and notes ----------------------------------------------------------------------------------


def test_tags_and_notes_are_written(file: Path) -> None:
    state = explorer.open_table(file)
    assert set(state.table["tags"]) == set(state.table["note"]) == {""}
    mark(state)
    assert marks(state) == MARKED
    explorer.tag(state, np.array([1]), " dark ,new,new")
    assert state.table["tags"][1] == "odd, dark, new"
    assert explorer.annotate(state, np.array([1, 2, 5]), "another") == 2
    explorer.annotate(state, np.array([1, 2, 5]), "  ")
    assert set(state.table["note"]) == {""}


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda s: explorer.tag(s, np.array([], int), "a"), "tags: nothing is selected"),
        (lambda s: explorer.tag(s, np.array([1]), " , "), "no tag: write one"),
        (lambda s: explorer.untag(s, np.array([1]), ""), "no tag: write one"),
        (lambda s: explorer.tag(s, np.array([1]), "a\x1b"), "characters that cannot be shown"),
        (lambda s: explorer.annotate(s, np.array([1]), "a\nb"), "characters that cannot be shown"),
        (lambda s: explorer.tag(s, np.array([1]), "a" * 201), "212 characters of one image"),
        (lambda s: explorer.annotate(s, np.array([1]), "a" * 2001), "at most 2000"),
    ],
)
def test_what_cannot_be_written_is_refused(file: Path, write, said: str) -> None:
    state = explorer.open_table(file)
    mark(state)
    with pytest.raises(ValueError, match=said):
        write(state)
    assert marks(state) == MARKED


def test_maps_are_coloured_by_tags_and_notes(file: Path) -> None:
    state = explorer.open_table(file)
    mark(state)
    shown, legend = explorer.colours(state, "tags")
    assert list(legend) == ["odd, dark", "dark", "no tag"]
    assert len(set(shown)) == 3 and shown[0] == legend["no tag"]
    assert "no note" in explorer.colours(state, "note")[1]
    explorer.figure(state, "tags").canvas.draw()
    assert "tags: odd, dark" in explorer_html.facts(state, 1)
    assert "tags" not in explorer_html.facts(state, 0)


# Saving ------------------------------------------------------------------------------------------


def test_what_is_saved_is_opened_again(file: Path) -> None:
    state = explorer.open_table(file)
    mark(state)
    saved = explorer.save(state)
    assert (saved.file, saved.rows, saved.added, saved.tagged, saved.noted) == (file, 8, 0, 2, 2)
    opened = explorer.open_table(file)
    assert marks(opened) == MARKED
    assert_same(opened, state)
    explorer.untag(opened, np.arange(8), "odd, dark")
    explorer.save(opened)
    assert set(explorer.open_table(file).table["tags"]) == {""}


def test_saving_loses_nothing_of_the_file(file: Path) -> None:
    table = pq.read_table(file)
    more = pa.array([{"a": [k]} for k in range(8)])
    table = table.append_column("of another program", more)
    told = {**table.schema.metadata, b"lists": b"a1b2", b"version": b"0.1.0"}
    table = table.replace_schema_metadata(told)
    broken = table.slice(0, 1).set_column(
        table.schema.names.index("embedding"), table.schema.field("embedding"),
        pa.array([[np.nan] * len(table["embedding"][0])], table.schema.field("embedding").type),
    )  # fmt: skip
    pq.write_table(pa.concat_tables([broken, table]), file)
    before = pq.read_table(file)
    state = explorer.open_table(file)
    assert len(state) == 8 and len(before) == 9
    explorer.tag(state, np.array([0]), "first")
    explorer.save(state)
    after = pq.read_table(file)
    assert after.schema.metadata == before.schema.metadata
    assert after.schema.names[: len(before.schema.names)] == before.schema.names
    for name in before.schema.names:
        assert after.schema.field(name) == before.schema.field(name)
        pd.testing.assert_series_equal(after[name].to_pandas(), before[name].to_pandas())
    # The first row of that path is the broken one, which is not on the maps.
    assert sorted(filter(None, after["tags"].to_pylist())) == ["first"]
    assert explorer.open_table(file).table["tags"].tolist() == state.table["tags"].tolist()


@pytest.mark.parametrize("how", ["full disk", "stopped"])
def test_a_failed_save_leaves_the_old_file_whole(file: Path, monkeypatch, how: str) -> None:
    state = explorer.open_table(file)
    mark(state)
    before = file.read_bytes()
    written = pq.ParquetWriter.write_batch

    def fail(self, batch) -> None:
        written(self, batch)
        raise OSError(28, "No space left on device") if how == "full disk" else KeyboardInterrupt

    monkeypatch.setattr(rewriting.pq.ParquetWriter, "write_batch", fail)
    with pytest.raises(OSError if how == "full disk" else KeyboardInterrupt):
        explorer.save(state)
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir() if p.name.endswith("parquet")] == [file.name]
    monkeypatch.undo()
    assert marks(state) == MARKED  # nothing is lost: it can be saved again
    explorer.save(state)
    assert marks(explorer.open_table(file)) == MARKED


def test_added_images_and_maps_are_saved(file: Path, tmp_path: Path, rng) -> None:
    state = explorer.open_table(file)
    added = explorer.add_images(state, write_images(tmp_path / "new", 2, rng), "later")
    explorer.tag(state, added, "mine")
    explorer.add_map(state, "t-SNE")
    saved = explorer.save(state)
    assert (saved.rows, saved.added, saved.tagged) == (10, 2, 2)
    opened = explorer.open_table(file)
    assert_same(opened, state)
    assert opened.table["set-up"].tolist()[-1] == "later"
    assert explorer.save(opened).added == 0


def test_a_copy_is_saved_under_another_name(file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    state = explorer.open_table(file)
    mark(state)
    copy = tmp_path / "deeper" / "copy.parquet"
    explorer.save(state, copy)
    assert file.read_bytes() == before and state.file == copy
    opened = explorer.open_table(copy)
    assert marks(opened) == MARKED
    assert pq.read_schema(copy).metadata == pq.read_schema(file).metadata
    pd.testing.assert_frame_equal(opened.table, state.table)  # the set-up, too, is as it was


def test_images_that_were_never_a_table_are_saved(paths, tiny_model, tmp_path, another) -> None:
    names = [f"maker {k}" for k in range(8)]
    images = ImageSet(paths, np.arange(8) % 5, zoo.CLASSES, names)
    state = explorer.open_images(tiny_model, {"mine": images})
    explorer.add_map(state, "PCA")
    explorer.add_checkpoint(state, "another", another)
    explorer.add_map(state, "PCA", checkpoint="another")
    explorer.add_images(state, [paths[0]])
    mark(state)
    with pytest.raises(ValueError, match="no table was opened that could be saved"):
        explorer.save(state)
    saved = explorer.save(state, tmp_path / "new.parquet")
    assert saved.maps == ("PCA, another",)
    assert "another checkpoint: PCA, another" in saved.lines()[-1]
    opened = explorer.open_table(tmp_path / "new.parquet", tiny_model)
    state.maps.pop("PCA, another")
    assert_same(opened, state)
    explorer.annotate(state, np.array([0]), "again")
    explorer.save(state)
    assert explorer.open_table(tmp_path / "new.parquet", tiny_model).table["note"][0] == "again"


def test_tags_go_to_another_runs_file_by_path(
    file: Path, paths, checkpoint, tiny_model, tmp_path, monkeypatch
) -> None:
    tiny_model.threshold = 0.3
    save_model(tiny_model, tmp_path / "other.safetensors", preset="none", seed=0)
    other = tmp_path / "other.parquet"
    model = load_model(tmp_path / "other.safetensors")
    monkeypatch.chdir(tmp_path)
    named = [paths[6].relative_to(tmp_path), *paths[5:1:-1]]  # fewer, in another order
    write_embeddings(model, named, other, name=model.origin, methods=("PCA",))
    first = explorer.open_table(other)
    explorer.tag(first, np.array([0, 4]), "theirs")
    explorer.annotate(first, np.array([1, 4]), "their note")
    explorer.save(first)
    before = pq.read_table(other)

    state = explorer.open_table(file)
    mark(state)
    explorer.tag(state, np.array([6]), "theirs, ours")
    saved = explorer.save(state, other)
    assert (saved.rows, saved.added, saved.absent) == (5, 0, 1)  # image 1 is not there
    assert "1 images with tags or a note are not in it" in saved.lines()
    assert state.file == file
    after = pq.read_table(other)
    assert after.drop(["tags", "note"]).equals(before.drop(["tags", "note"]), check_metadata=True)
    found = explorer.open_table(other)
    assert found.table["tags"].tolist() == ["theirs, ours", "", "", "", "theirs, dark"]
    both = f"their note; {MARKED['note'][2]}"
    assert found.table["note"].tolist() == ["", both, "", "", both]


def test_a_file_made_anew_by_another_checkpoint_is_not_taken_for_the_old_one(
    file: Path, paths, tiny_model, tmp_path
) -> None:
    state = explorer.open_table(file)
    mark(state)
    tiny_model.threshold = 0.3
    save_model(tiny_model, tmp_path / "other.safetensors", preset="none", seed=0)
    model = load_model(tmp_path / "other.safetensors")
    write_embeddings(model, paths, file, name=model.origin, methods=())
    before = pq.read_table(file)
    explorer.add_images(state, [paths[0]])
    explorer.save(state)
    after = pq.read_table(file)
    assert after.drop(["tags", "note"]).equals(before, check_metadata=True)
    assert marks(explorer.open_table(file)) == MARKED


def test_embedding_again_keeps_tags_and_notes(file: Path, paths, checkpoint) -> None:
    state = explorer.open_table(file)
    mark(state)
    explorer.save(state)
    model = load_model(checkpoint)
    write_embeddings(model, paths[2:], file, name=str(checkpoint), methods=("PCA",))
    opened = explorer.open_table(file)
    assert marks(opened) == {name: values[2:] for name, values in MARKED.items()}
    write_embeddings(model, paths[:2], file, name=str(checkpoint), methods=())
    assert "tags" in pq.read_schema(file).names
    file.write_text("no table")
    write_embeddings(model, paths, file, name=str(checkpoint), methods=())
    assert "tags" not in pq.read_schema(file).names


def test_a_table_that_is_gone_is_written_anew(file: Path, checkpoint: Path) -> None:
    state = explorer.open_table(file)
    mark(state)
    expected = explorer.open_table(file)
    file.unlink()
    explorer.save(state)
    opened = explorer.open_table(file)
    assert marks(opened) == MARKED
    assert np.array_equal(opened.probabilities, expected.probabilities)
    assert opened.table["class"].tolist() == expected.table["class"].tolist()
    assert pq.read_schema(file).metadata[b"sha256"].decode() == state.model.sha256
    checkpoint.unlink()
    file.unlink()
    lost = Explorer(None, state.paths, state.table, state.embeddings, state.probabilities,
                    state.classes, maps=state.maps, note="gone")  # fmt: skip
    explorer.save(lost, file)
    assert marks(explorer.open_table(file)) == MARKED


def test_where_nothing_can_be_saved_it_is_said(file: Path, paths, tmp_path: Path) -> None:
    state = explorer.open_table(file)
    for target, said in (
        (tmp_path / "out.csv", "end its name in .parquet"),
        (paths[0], "end its name in .parquet"),
        (tmp_path, "end its name in .parquet"),
    ):
        with pytest.raises(ValueError, match=said):
            explorer.save(state, target)
    image = tmp_path / "image.parquet"
    shutil.copy(paths[0], image)
    content = image.read_bytes()
    with pytest.raises(ValueError, match="not a table of embeddings"):
        explorer.save(state, image)
    state.paths[0] = image
    with pytest.raises(ValueError, match="is one of the inputs and would be lost"):
        explorer.save(state, image)
    assert image.read_bytes() == content
    table = pq.read_table(file)
    pq.write_table(table.append_column("tags", pa.array(np.arange(8.0))), file)
    opened = explorer.open_table(file)  # such a column is none of ours
    assert set(opened.table["tags"]) == {""}
    with pytest.raises(ValueError, match="its column 'tags' holds no text: nothing can be saved"):
        explorer.save(opened)


# The form ----------------------------------------------------------------------------------------


def press(panel: Panel, text: str) -> None:
    """Press a button of the form of tags and notes."""
    (button,) = (
        piece for piece in panel.marking.widget.children
        if type(piece).__name__ == "Button" and piece.description == text
    )  # fmt: skip
    button.click()


def test_the_form_tags_writes_and_saves(file: Path) -> None:
    state = explorer.open_table(file)
    panel = Panel(state)
    press(panel, "add")
    assert "no tag" in panel.said.value
    panel.marking.tag.value = "odd"
    press(panel, "add")
    assert "nothing is selected" in panel.said.value
    panel.colour.value = "tags"
    before = [*panel.maps[0].widget.color], panel.maps[0].widget.points.copy()
    panel.select(np.array([1, 2]))
    press(panel, "add")
    assert state.table["tags"].tolist() == ["", "odd", "odd", "", "", "", "", ""]
    assert "2 images tagged odd" in panel.said.value
    assert {box.names for box in panel.key.boxes} == {"odd", "no tag"}
    assert not np.array_equal(panel.maps[0].widget.points, before[1])
    assert panel.selected.tolist() == [1, 2]
    panel.marking.note.value = "look"
    press(panel, "write")
    press(panel, "save")
    assert panel.said.value.startswith(f"saved: {file}, 8 images, 2 with tags and 2 with a note")
    assert explorer.open_table(file).table["note"].tolist()[1:3] == ["look", "look"]
    press(panel, "remove")
    assert set(state.table["tags"]) == {""}


def test_the_form_saves_images_that_were_no_table(paths, tiny_model) -> None:
    images = ImageSet(paths, np.zeros(8, int), zoo.CLASSES)
    for name in ("maps.parquet", "maps-2.parquet"):
        state = explorer.open_images(tiny_model, {"mine": images})
        explorer.add_map(state, "PCA")
        panel = Panel(state)
        panel.select(np.arange(3))
        panel.marking.tag.value = "odd"
        press(panel, "add")
        press(panel, "save")
        file = explorer.build_folder() / "explored" / name
        assert f"saved: {file}, 8 images, 3 with tags" in panel.said.value
        press(panel, "save")  # into the same file
        assert state.file == file
