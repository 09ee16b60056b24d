from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from support import photograph

from dnadet_lib.patches import (
    FILTERS,
    cut,
    cut_resized,
    grid_patches,
    normalise,
    random_patches,
    resize,
)


def coordinates(height: int, width: int) -> np.ndarray:
    """An image whose pixels hold their own row and column."""
    y, x = np.mgrid[:height, :width]
    return np.dstack([y, x, np.zeros_like(x)]).astype(np.uint8)


def test_random_patches_are_cut_not_resampled():
    images = np.stack([coordinates(40, 60), coordinates(40, 60)])
    images[1, ..., 2] = 1
    patches = random_patches(images, 16, 50, np.random.default_rng(0))
    assert patches.shape == (2, 50, 16, 16, 3)
    assert patches.dtype == np.uint8
    for item in range(2):
        for patch in patches[item]:
            top, left = patch[0, 0, :2]
            assert np.array_equal(patch, images[item, top : top + 16, left : left + 16])


def test_random_patches_reach_every_position():
    patches = random_patches(coordinates(20, 18)[None], 16, 500, np.random.default_rng(0))
    corners = {tuple(p[0, 0, :2].tolist()) for p in patches[0]}
    assert corners == {(y, x) for y in range(5) for x in range(3)}


def test_random_patches_follow_from_the_generator(rng):
    image = photograph(rng, 64, 64)[None]
    first, again, other = (
        random_patches(image, 32, 4, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (48, 63), (64, 64), (65, 100), (130, 40)])
def test_grid_covers_the_whole_image(size):
    patches = grid_patches(coordinates(*size), 32)
    seen = {tuple(p) for p in patches[..., :2].reshape(-1, 2).tolist()}
    assert len(seen) == size[0] * size[1]


def test_grid_overlaps_by_half():
    corners = [tuple(p[0, 0, :2].tolist()) for p in grid_patches(coordinates(64, 64), 32)]
    assert corners == [(y, x) for y in (0, 16, 32) for x in (0, 16, 32)]


def test_grid_is_bounded_on_large_images_and_reaches_their_ends():
    patches = grid_patches(np.zeros((2000, 3000, 3), np.uint8), 32, max_per_side=4)
    assert len(patches) == 16
    corners = [tuple(p[0, 0, :2].tolist()) for p in grid_patches(coordinates(250, 250), 32, 3)]
    assert corners[0] == (0, 0)
    assert corners[-1] == (218, 218)


@pytest.mark.parametrize("size", [(31, 64), (64, 31)])
def test_an_image_smaller_than_a_patch_is_refused(size):
    image = coordinates(*size)
    message = f"image is {size[1]}x{size[0]} pixels, smaller than a patch of 32x32"
    with pytest.raises(ValueError, match=message):
        grid_patches(image, 32)
    with pytest.raises(ValueError, match=message):
        random_patches(image[None], 32, 1, np.random.default_rng(0))


def test_normalise_maps_bytes_to_plus_minus_one():
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 4, 5, 3)
    result = normalise(images)
    assert result.shape == (1, 3, 4, 5)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result[0, :, 0, 0], torch.tensor([-1.0, -0.6, 1.0]))
    floats = images.float()
    assert torch.equal(normalise(floats), result)
    assert torch.equal(floats, images.float())  # what is given stays as it is


@pytest.mark.parametrize("name", ["bicubic", "bilinear", "nearest", "lanczos"])
def test_resize_uses_the_filter_that_is_named(name, rng):
    image = photograph(rng, 40, 30)
    expected = Image.fromarray(image).resize((64, 64), Image.Resampling[name.upper()])
    assert np.array_equal(resize(image, 64, name), np.asarray(expected))


def test_resize_to_the_same_size_changes_nothing(rng):
    image = photograph(rng, 64, 64)
    assert np.array_equal(resize(image, 64), image)


def test_an_unknown_filter_is_refused(rng):
    with pytest.raises(ValueError, match="'cubic': choose one of .*bicubic"):
        resize(photograph(rng), 64, "cubic")


def require_patches_of_the_whole(images, side, corners, patch, resize_filter):
    """Compare patches of what becomes of images with those cut from whole resized images."""
    patches = cut_resized(images, side, corners, patch, resize_filter)
    assert patches.shape == (*corners.shape[:2], patch, patch, 3)
    for image, own, cuts in zip(images, corners, patches, strict=True):
        assert np.array_equal(cuts, cut(resize(image, side, resize_filter), own, patch))


@pytest.mark.parametrize("resize_filter", FILTERS)
def test_patches_of_a_resized_image_are_those_of_the_whole(resize_filter):
    rng = np.random.default_rng(0)
    images = [
        rng.integers(0, 256, (*shape, 3), np.uint8)
        for shape in ((128, 128), (97, 131), (700, 512), (512, 512), (33, 600))
    ]
    for side in (512, 500):
        corners = np.array([(0, 0), (side - 64, side - 64), (17, 201), (256, 3)])
        every = np.stack([corners] * len(images))
        require_patches_of_the_whole(images, side, every, 64, resize_filter)


@pytest.mark.parametrize("resize_filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("times", [1, 2, 3, 4, 8, 16])
def test_patches_of_images_enlarged_together_are_those_of_the_whole(times, resize_filter):
    rng = np.random.default_rng(times)
    side, patch = 64 * times, 48  # some reach the border, where the filter is cut short
    images = rng.integers(0, 2, (4, 64, 64, 3), np.uint8) * 255  # it overshoots at both ends
    corners = rng.integers(0, side - patch + 1, (4, 200, 2))
    corners[:, :2] = 0, side - patch
    require_patches_of_the_whole(images, side, corners, patch, resize_filter)


def test_a_patch_may_be_all_of_a_small_image():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    require_patches_of_the_whole(images, 32, np.zeros((2, 1, 2), int), 32, "bicubic")


def test_patches_of_a_resized_image_need_a_filter_there_is():
    with pytest.raises(ValueError, match="resize filter 'cubist': choose one of nearest, "):
        cut_resized(np.zeros((1, 16, 16, 3), np.uint8), 32, np.zeros((1, 1, 2), int), 8, "cubist")
