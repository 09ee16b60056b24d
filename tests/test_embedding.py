from __future__ import annotations

import numpy as np
import pytest

from dnadet_lib.explorer import projection
from dnadet_lib.explorer.projection import MAKERS, METHODS, maker_of, map_quality, project


@pytest.fixture(scope="module")
def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Three bundles of directions in 32 dimensions."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 40)
    centres = rng.standard_normal((3, 32)) * 3
    return (centres[labels] + rng.standard_normal((120, 32)) * 0.5).astype(np.float32), labels


@pytest.mark.parametrize("method", METHODS)
def test_a_map_keeps_clusters_apart_and_follows_from_its_seed(clusters, method):
    embeddings, labels = clusters
    points = project(embeddings, method, seed=1)
    assert points.shape == (120, 2)
    assert points.dtype == np.float32
    quality = map_quality(embeddings, points, labels)
    assert quality["trustworthiness"] > 0.75
    assert quality["kNN accuracy"] > 0.95
    assert quality["silhouette"] > 0.4
    assert np.array_equal(project(embeddings, method, seed=1), points)


def test_the_package_is_chosen_by_the_number_of_embeddings(monkeypatch):
    few = [(method, maker_of(method, 100)) for method in METHODS]
    assert few == [("t-SNE", "scikit-learn"), ("UMAP", "umap-learn"), ("PCA", "scikit-learn")]
    assert set(few) < MAKERS.keys()
    monkeypatch.setattr(projection, "find_spec", lambda name: name == "openTSNE")
    assert maker_of("t-SNE", 20_000) == "openTSNE"
    monkeypatch.setattr(projection, "find_spec", lambda name: None)  # it is not installed
    assert maker_of("t-SNE", 20_000) == "scikit-learn"


def test_a_map_of_many_keeps_clusters_apart_and_follows_from_its_seed(clusters, monkeypatch):
    pytest.importorskip("openTSNE")  # not on Linux for ARM
    embeddings, labels = clusters
    points = project(embeddings, seed=1)
    monkeypatch.setattr(projection, "FFT_FROM", 100)
    other = project(embeddings, seed=1)
    assert other.dtype == np.float32 and not np.array_equal(points, other)
    assert np.array_equal(project(embeddings, seed=1), other)
    quality = map_quality(embeddings, other, labels)
    assert quality["trustworthiness"] > 0.75 and quality["kNN accuracy"] > 0.95


def test_a_map_ignores_the_length_of_embeddings(clusters, rng):
    embeddings = clusters[0]
    scaled = embeddings * rng.uniform(0.5, 2, (len(embeddings), 1))
    first, second = project(embeddings, "PCA"), project(scaled, "PCA")
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_shuffled_map_scores_badly(clusters, rng):
    embeddings, labels = clusters
    points = rng.permutation(project(embeddings, "PCA"))
    quality = map_quality(embeddings, points, labels)
    assert quality["trustworthiness"] < 0.65
    assert quality["kNN accuracy"] < 0.6
    assert quality["silhouette"] < 0.1


def test_what_cannot_be_mapped_is_named(clusters):
    embeddings = clusters[0].copy()
    with pytest.raises(ValueError, match="'PaCMAP': choose one of t-SNE, UMAP, PCA"):
        project(embeddings, "PaCMAP")
    with pytest.raises(ValueError, match="3 embeddings: a map is fitted on 4 to 20000"):
        project(embeddings[:3])
    embeddings[7, 3] = np.nan
    with pytest.raises(ValueError, match="embedding 7 holds a value that is not finite"):
        project(embeddings)


def test_a_map_is_scored_with_two_classes_or_more(clusters):
    embeddings, labels = clusters
    with pytest.raises(ValueError, match="two or more classes of two or more points"):
        map_quality(embeddings, embeddings[:, :2], np.zeros_like(labels))
