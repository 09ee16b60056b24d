"""Maps of embeddings: projections to two dimensions, and how far they can be trusted."""

from importlib.util import find_spec

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from dnadet_lib.plumbing.code_key import code_digest

FIT_AT_LEAST = 4
FIT_AT_MOST = 20_000
FFT_FROM = 10_000  # embeddings, from which openTSNE makes t-SNE maps
SAME = 1e-6  # of unit length: embeddings that differ by less are those of one image
SCORED_AT_MOST = 2_000
METHODS = ("t-SNE", "UMAP", "PCA")


def project(embeddings: np.ndarray, method: str = "t-SNE", *, seed: int = 0,
            neighbours: int = 30) -> np.ndarray:  # fmt: skip
    """Project embeddings (N, D), scaled to unit length first, to a plane: float32 (N, 2).

    The loss compares directions, hence the unit length. `method` is "t-SNE", "UMAP" or "PCA";
    `neighbours` are the perplexity of t-SNE, or UMAP's neighbours. What computes it is chosen by
    the number of embeddings: `maker_of` names it.

    Raises:
        ValueError: unknown method, non-finite embeddings, too few that differ, or too many.
    """
    if method not in METHODS:
        raise ValueError(f"unknown projection {method!r}: choose one of {', '.join(METHODS)}")
    if fault := map_fault(embeddings):
        raise ValueError(fault)
    count = len(embeddings)
    if not np.isfinite(embeddings).all():
        row = int(np.flatnonzero(~np.isfinite(embeddings).all(axis=1))[0])
        raise ValueError(f"embedding {row} holds a value that is not finite")
    make = MAKERS[method, maker_of(method, count)]
    points = make(unit_rows(embeddings), min(neighbours, (count - 1) // 3), seed)
    return points.astype(np.float32)


def maker_of(method: str, count: int) -> str:
    """Name the package that projects so many embeddings by a method.

    For t-SNE that is scikit-learn (Barnes and Hut's tree) for few and openTSNE (interpolation and a
    Fourier transform) for many; `benchmarks/maps.py` times both. It is scikit-learn for all where
    openTSNE is not installed, as on Linux for ARM, where it would have to be compiled.
    """
    if method == "t-SNE" and count >= FFT_FROM and find_spec("openTSNE"):
        return "openTSNE"
    return "umap-learn" if method == "UMAP" else "scikit-learn"


def _pca(unit: np.ndarray, neighbours: int, seed: int) -> np.ndarray:
    return PCA(2, random_state=seed).fit_transform(unit)


def _tree_tsne(unit: np.ndarray, neighbours: int, seed: int) -> np.ndarray:
    tsne = TSNE(perplexity=max(1, neighbours), init="pca", random_state=seed)
    return tsne.fit_transform(unit)


def _fft_tsne(unit: np.ndarray, neighbours: int, seed: int) -> np.ndarray:
    """Map by openTSNE, from exact nearest neighbours: its own search is approximate."""
    import openTSNE

    index = NearestNeighbors(n_neighbors=3 * neighbours, algorithm="brute").fit(unit)
    distances, nearest = index.kneighbors()  # without the point itself
    affinities = openTSNE.affinity.PerplexityBasedNN(
        perplexity=neighbours,
        knn_index=openTSNE.nearest_neighbors.PrecomputedNeighbors(nearest, distances),
        n_jobs=-1,
    )
    start = openTSNE.initialization.pca(unit, random_state=seed)
    tsne = openTSNE.TSNE(negative_gradient_method="fft", n_jobs=-1, random_state=seed)
    return np.asarray(tsne.fit(affinities=affinities, initialization=start))


def _umap(unit: np.ndarray, neighbours: int, seed: int) -> np.ndarray:
    import umap

    reducer = umap.UMAP(n_neighbors=max(2, neighbours), random_state=seed, n_jobs=1)
    return reducer.fit_transform(unit)


MAKERS = {
    ("t-SNE", "scikit-learn"): _tree_tsne,
    ("t-SNE", "openTSNE"): _fft_tsne,
    ("UMAP", "umap-learn"): _umap,
    ("PCA", "scikit-learn"): _pca,
}


def map_fault(embeddings: np.ndarray) -> str:
    """Say why no map can be fitted on embeddings (N, D), as where too few differ; "" if one can."""
    count = len(embeddings)
    if not FIT_AT_LEAST <= count <= FIT_AT_MOST:
        return f"{count} embeddings: a map is fitted on {FIT_AT_LEAST} to {FIT_AT_MOST}"
    rest, different = unit_rows(embeddings), 0
    while len(rest) and different < FIT_AT_LEAST:
        rest = rest[~(np.abs(rest - rest[0]) <= SAME).all(axis=1)]
        different += 1
    if different < FIT_AT_LEAST:
        return (
            f"{count} embeddings, but only {different} that differ: a map is fitted on "
            f"{FIT_AT_LEAST} or more that do"
        )
    return ""


def unit_rows(embeddings: np.ndarray) -> np.ndarray:
    """Scale embeddings (N, D) to unit length."""
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)


def place(
    embeddings: np.ndarray, points: np.ndarray, new: np.ndarray, neighbours: int = 5
) -> np.ndarray:
    """Place new embeddings (M, D) between their nearest neighbours on a map (N, 2): (M, 2).

    Each comes to the mean of its nearest neighbours' places, weighted by the inverse of the cosine
    distance. The map stays as it is, whatever method made it; t-SNE or UMAP is not fitted again.
    """
    nearest, distance = nearest_to(embeddings, new, neighbours)
    weights = 1 / (distance + 1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("mk,mkc->mc", weights, points[nearest])


def projection_code() -> str:
    """Hash the code that makes maps, by which kept maps are known."""
    return code_digest(project, place)


def nearest_to(
    embeddings: np.ndarray, new: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest embeddings (N, D) of new ones (M, D): positions and cosine distances."""
    index = NearestNeighbors(n_neighbors=min(count, len(embeddings)), metric="cosine")
    distances, positions = index.fit(embeddings).kneighbors(new)
    return positions, distances


def map_quality(
    embeddings: np.ndarray, points: np.ndarray, labels: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Score the projection (N, 2) of embeddings (N, D) with labels (N,), on 2,000 of them at most.

    Returns:
        "trustworthiness" of the map (1: its neighbours are neighbours in the embedding), and of the
        classes on the map "kNN accuracy" (5 neighbours, cross-validated) and "silhouette".
    """
    rng = np.random.default_rng(seed)
    sample = rng.permutation(len(points))[:SCORED_AT_MOST]
    embeddings, points, labels = embeddings[sample], points[sample], labels[sample]
    unit = unit_rows(embeddings)
    sizes = np.unique(labels, return_counts=True)[1]
    folds = int(min(5, *sizes)) if len(sizes) else 0
    if len(sizes) < 2 or folds < 2:
        raise ValueError("a map is scored with two or more classes of two or more points each")
    knn = KNeighborsClassifier(min(5, len(points) // 2))
    return {
        "trustworthiness": float(
            trustworthiness(unit, points, n_neighbors=min(15, (len(points) - 1) // 2))
        ),
        "kNN accuracy": float(cross_val_score(knn, points, labels, cv=folds).mean()),
        "silhouette": float(silhouette_score(points, labels)),
    }
