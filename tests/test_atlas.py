"""The table that embedding-atlas opens."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support import write_images

from dnadet_lib import cli
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.explorer import explorer
from dnadet_lib.explorer.atlas import NEIGHBOURS, own_first, thumbnail, write_atlas
from dnadet_lib.explorer.embedding_file import read_embeddings
from dnadet_lib.explorer.embedding_writing import write_embeddings


@pytest.fixture
def paths(tmp_path: Path, rng) -> list[Path]:
    return write_images(tmp_path / "images", 24, rng)


@pytest.fixture
def table(paths, checkpoint: Path, tmp_path: Path) -> Path:
    found = tmp_path / "mine.parquet"
    model = load_model(checkpoint)
    write_embeddings(model, paths, found, name=str(checkpoint), methods=("PCA",))
    return found


def test_an_atlas_has_map_pictures_and_neighbours(table, paths, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("dnadet_lib.explorer.atlas.ROWS", 10)  # three batches
    paths[5].write_text("no image")
    file, done = tmp_path / "atlas.parquet", []
    with pytest.warns(UserWarning, match=paths[5].name):
        assert write_atlas(table, file, "PCA", done.append) == 24
    assert sum(done) == 24
    atlas, read = pd.read_parquet(file), read_embeddings(table)
    assert atlas["path"].tolist() == [str(path) for path in paths]
    assert np.array_equal(atlas[["x", "y"]].to_numpy(np.float32), read.maps["PCA"])
    before = pd.read_parquet(table)
    for name in ("label", "nearest", "confidence", "unknown_score", "known", "p_Real"):
        pd.testing.assert_series_equal(atlas[name], before[name])
    assert "embedding" not in atlas
    unit = read.embeddings / np.linalg.norm(read.embeddings, axis=1, keepdims=True)
    for row, near in enumerate(atlas["neighbors"]):
        assert len(near["ids"]) == NEIGHBOURS and near["ids"][0] == row
        distances = 1 - unit @ unit[row]
        np.testing.assert_allclose(near["distances"], distances[near["ids"]], atol=1e-5)
        np.testing.assert_allclose(near["distances"], np.sort(distances)[:NEIGHBOURS], atol=1e-5)
    shown = atlas["image"][3]
    assert shown["path"] == str(paths[3])
    with Image.open(paths[3]) as original, Image.open(io.BytesIO(shown["bytes"])) as picture:
        assert np.array_equal(np.asarray(original), np.asarray(picture))
    assert atlas["image"][5]["bytes"] is None


def test_equal_embeddings_do_not_take_an_images_own_place() -> None:
    found = np.array([[4, 1, 2], [4, 7, 2], [9, 8, 2]])  # row 1 first, not there, last
    rows, distances = np.array([1, 5, 2]), np.array([[0.0, 0.0, 0.4]] * 3)
    near, at = own_first(rows, found, distances)
    assert near.tolist() == [[1, 4, 2], [5, 4, 7], [2, 9, 8]]
    assert at.tolist() == [[0, 0, 0.4], [0, 0, 0], [0, 0, 0]]


def test_tags_are_in_an_atlas(table, tmp_path) -> None:
    state = explorer.open_table(table)
    explorer.tag(state, np.arange(3), "odd")
    explorer.save(state)
    write_atlas(table, tmp_path / "atlas.parquet", "PCA")
    tags = pq.read_table(tmp_path / "atlas.parquet")["tags"].to_pylist()
    assert tags[:4] == ["odd", "odd", "odd", None]


@pytest.mark.parametrize(("size", "shown"), [((64, 48), (64, 48)), ((300, 600), (64, 128))])
def test_a_thumbnail_is_reduced_if_it_is_large(rng, size, shown) -> None:
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    with Image.open(io.BytesIO(thumbnail(image))) as picture:
        assert (picture.height, picture.width) == shown


def test_what_cannot_be_an_atlas_is_refused(table, paths, tmp_path) -> None:
    with pytest.raises(ValueError, match="has no map 'UMAP': there are PCA"):
        write_atlas(table, tmp_path / "atlas.parquet", "UMAP")
    with pytest.raises(ValueError, match="is one of the inputs and would be lost"):
        write_atlas(table, paths[0], "PCA")
    assert not (tmp_path / "atlas.parquet").exists()


def test_the_command_writes_both(paths, checkpoint, tmp_path, capsys) -> None:
    table, atlas = tmp_path / "e.parquet", tmp_path / "an atlas.parquet"
    command = ["embed", str(paths[0].parent), "--model", str(checkpoint), "--maps", "PCA"]
    command += ["--out", str(table)]
    assert cli.main([*command, "--atlas", str(atlas)]) == 0
    said = capsys.readouterr().out
    assert f"embedding-atlas '{atlas}' --x x --y y --neighbors neighbors --image image" in said
    assert pq.read_metadata(atlas).num_rows == pq.read_metadata(table).num_rows == 24
    for wrong, why in ((tmp_path / "a.csv", "end its name in .parquet"), (table, "choose another")):
        table.unlink(missing_ok=True)
        assert cli.main([*command, "--atlas", str(wrong)]) == 2
        assert why in capsys.readouterr().err
        assert not table.exists()  # it is said before the work begins
    assert cli.main([*command, "--maps", "--atlas", str(atlas)]) == 2
    assert "let --maps name one" in capsys.readouterr().err
