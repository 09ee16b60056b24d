from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from quality import (
    below_the_line,
    laplacian_pyramid,
    mean_pairwise_distance,
    sliced_wasserstein,
)
from support import photograph


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([photograph(rng, 64, 64) for _ in range(60)])


def cartoon(rng: np.random.Generator) -> np.ndarray:
    """A square on a plain ground."""
    image = np.full((64, 64, 3), rng.integers(0, 256, 3), np.uint8)
    y, x = rng.integers(4, 36, 2)
    image[y : y + 20, x : x + 20] = rng.integers(0, 256, 3)
    return image


def test_distance_within_a_distribution_is_far_below_that_between_two(photographs, rng):
    first, second = photographs[:30], photographs[30:]
    cartoons = np.stack([cartoon(rng) for _ in range(30)])
    same, other = sliced_wasserstein(first, second), sliced_wasserstein(first, cartoons)
    assert list(same) == [64, 32, 16]
    for level, factor in ((64, 8), (32, 5), (16, 1.5)):
        assert factor * same[level] < other[level]


def test_distance_follows_from_its_seed(photographs):
    first = photographs[:10]
    assert sliced_wasserstein(first, first) == sliced_wasserstein(first, first)
    assert sliced_wasserstein(first, first) != sliced_wasserstein(first, first, seed=1)


def test_pyramid_adds_up_to_the_image(photographs):
    fine, middle, coarse = laplacian_pyramid(photographs[:2])
    assert [b.shape[1] for b in (fine, middle, coarse)] == [64, 32, 16]
    rebuilt = fine[0] + cv2.pyrUp(middle[0] + cv2.pyrUp(coarse[0]))
    np.testing.assert_allclose(rebuilt, photographs[0], atol=1e-3)


def test_diversity_tells_a_collapsed_generator(photographs):
    collapsed = np.repeat(photographs[:1], 40, axis=0)
    assert mean_pairwise_distance(collapsed) == 0
    assert mean_pairwise_distance(photographs) > 20


def test_diversity_by_hand():
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[1] = 10
    assert mean_pairwise_distance(images) == pytest.approx(10)


def test_quality_line_is_drawn_for_each_content_and_level():
    rows = [  # name, content, SWD at 64, 32 and 16 pixels, diversity
        ("best", "meadow", 20.0, 30.0, 40.0, 1.0),
        ("just", "meadow", 60.0, 90.0, 120.0, 0.5),
        ("coarse", "meadow", 25.0, 30.0, 121.0, 1.0),
        ("dull", "meadow", 25.0, 30.0, 40.0, 0.49),
        ("other", "stamps", 100.0, 100.0, 100.0, 1.0),
    ]
    columns = ["name", "content", "swd_64", "swd_32", "swd_16", "diversity"]
    assert below_the_line(pd.DataFrame(rows, columns=columns)) == [
        "coarse: swd_16 is 121.0, more than 120.0",
        "dull: diversity is 0.49, less than 0.5",
    ]
