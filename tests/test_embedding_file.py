"""Embeddings written and read as Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import write_images

from dnadet_lib.explorer.embedding_file import map_makers, read_embeddings
from dnadet_lib.explorer.embedding_writing import write_embeddings
from dnadet_lib.explorer.projection import project


@pytest.fixture
def paths(tmp_path: Path, rng) -> list[Path]:
    return write_images(tmp_path / "images", 12, rng)


def test_what_is_written_is_read(paths, tiny_model, tmp_path) -> None:
    file = tmp_path / "e.parquet"
    count, errors = write_embeddings(tiny_model, paths, file, name="tiny", methods=("PCA",))
    assert (count, errors) == (12, [])
    read = read_embeddings(file)
    expected = tiny_model.attribute(paths)
    assert read.model == "tiny"
    assert read.makers == map_makers(file) == {"PCA": "scikit-learn"}
    assert read.paths == paths
    np.testing.assert_allclose(read.embeddings, expected.embeddings, atol=1e-5)
    np.testing.assert_allclose(read.maps["PCA"], project(read.embeddings, "PCA"), atol=1e-5)
    table = pd.read_parquet(file)
    assert table["label"].tolist() == expected.labels
    np.testing.assert_allclose(table["unknown_score"], expected.unknown_scores, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["e.parquet"]


def test_batches_and_sample_change_no_row(paths, tiny_model, tmp_path, monkeypatch) -> None:
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
    write_embeddings(tiny_model, paths, whole, name="", methods=())
    monkeypatch.setattr("dnadet_lib.explorer.embedding_writing.PART", 5)
    monkeypatch.setattr("dnadet_lib.explorer.embedding_writing.ROWS", 4)
    monkeypatch.setattr("dnadet_lib.explorer.embedding_file.ROWS", 4)
    monkeypatch.setattr("dnadet_lib.explorer.embedding_writing.FIT_AT_MOST", 7)
    write_embeddings(tiny_model, paths, parts, name="", methods=("PCA",), seed=1)
    first, second = read_embeddings(whole), read_embeddings(parts)
    assert second.paths == first.paths
    np.testing.assert_allclose(second.embeddings, first.embeddings, atol=1e-5)
    fitted = np.sort(np.random.default_rng(1).permutation(12)[:7])
    expected = project(second.embeddings[fitted], "PCA", seed=1)
    np.testing.assert_allclose(second.maps["PCA"][fitted], expected, atol=1e-5)
    low, high = expected.min(axis=0), expected.max(axis=0)
    assert ((second.maps["PCA"] >= low) & (second.maps["PCA"] <= high)).all()


def test_files_that_cannot_be_read_are_named(paths, tiny_model, tmp_path) -> None:
    paths[3].write_text("no image")
    file = tmp_path / "e.parquet"
    count, errors = write_embeddings(tiny_model, paths, file, name="", methods=())
    assert count == 11
    assert len(errors) == 1 and str(paths[3]) in errors[0]
    assert read_embeddings(file).paths == paths[:3] + paths[4:]


def test_fewer_than_four_images_have_no_map(paths, tiny_model, tmp_path) -> None:
    file = tmp_path / "e.parquet"
    assert write_embeddings(tiny_model, paths[:3], file, name="") == (3, [])
    assert read_embeddings(file).maps == {}


def test_rows_that_are_no_numbers_are_left_out(tmp_path) -> None:
    rows = np.ones((4, 3), np.float32)
    rows[2, 1] = np.nan
    file = tmp_path / "e.parquet"
    names = ["a.png", "b.png", "c.png", "d.png"]
    pd.DataFrame({"path": names, "embedding": list(rows)}).to_parquet(file)
    read = read_embeddings(file)
    assert [path.name for path in read.paths] == ["a.png", "b.png", "d.png"]
    assert read.errors == [f"{file}: 1 rows are not finite, such as c.png"]


def test_tables_of_another_kind_are_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.parquet: no such file; `dnadet embed`"):
        read_embeddings(tmp_path / "nowhere.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("a,b\n")
    with pytest.raises(ValueError, match="text.parquet: not a table of embeddings"):
        read_embeddings(text)
    file = tmp_path / "e.parquet"
    pd.DataFrame({"path": ["a.png"]}).to_parquet(file)
    with pytest.raises(ValueError, match="no column 'embedding'"):
        read_embeddings(file)
    lists = pa.table({"path": ["a", "b"], "embedding": [[1.0, 2.0], [1.0]]})
    pq.write_table(lists, file)
    with pytest.raises(ValueError, match="row 1 has an embedding of 1 numbers, row 0 of 2"):
        read_embeddings(file)
    nothing = {"path": ["a.png"], "embedding": [np.array([np.nan])]}
    pd.DataFrame(nothing).to_parquet(file)
    with pytest.raises(ValueError, match="no row holds finite numbers"):
        read_embeddings(file)
