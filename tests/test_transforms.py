from __future__ import annotations

import cv2
import numpy as np
import pytest
from support import photograph

from dnadet_lib.transforms import Transformation, image_transformations

SIZE = 128
QUALITIES = list(range(30, 100, 3))
SECOND = [
    39, 99, 36, 93, 60, 75, 81, 39, 63, 69, 60, 87, 90, 48, 81, 75, 72, 78, 54, 33, 81, 30, 36, 99,
]  # fmt: skip
KERNELS = list(range(3, 30, 2))
SCALES = [
    0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9,
]  # fmt: skip
INTERPOLATIONS = [
    cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4,
]  # fmt: skip
VARIANCES = list(range(10, 50, 3))
FAMILIES = {
    "JPEG": 24, "double JPEG": 24, "Gaussian blur": 14, "median blur": 14, "resize": 80,
    "Gaussian noise": 14,
}  # fmt: skip

TRANSFORMATIONS = image_transformations(SIZE)


def family(name: str) -> list[Transformation]:
    return [t for t in TRANSFORMATIONS if t.family == name]


def parameters(name: str) -> list[dict]:
    return [t.apply.keywords for t in family(name)]


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """A photograph with fine grain, so that every transformation has something to change."""
    rng = np.random.default_rng(1)
    grain = rng.normal(0, 6, (SIZE, SIZE, 3))
    return np.clip(photograph(rng, SIZE, SIZE) + grain, 0, 255).astype(np.uint8)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.astype(float) - b).mean())


def high_frequency(image: np.ndarray) -> float:
    return float(cv2.Laplacian(image.astype(np.float64), cv2.CV_64F).var())


def test_there_are_170_in_the_order_of_the_families():
    assert len(TRANSFORMATIONS) == 170
    expected = [name for name, count in FAMILIES.items() for _ in range(count)]
    assert [t.family for t in TRANSFORMATIONS] == expected
    assert len({t.name for t in TRANSFORMATIONS}) == 170


def test_parameters_are_the_papers():
    assert parameters("JPEG") == [{"quality": q} for q in QUALITIES]
    pairs = zip(QUALITIES, SECOND, strict=True)
    assert parameters("double JPEG") == [{"first": a, "second": b} for a, b in pairs]
    assert parameters("Gaussian blur") == [{"kernel": k} for k in KERNELS]
    assert parameters("median blur") == [{"kernel": k} for k in KERNELS]
    assert parameters("resize") == [
        {"scale": s, "interpolation": i, "size": SIZE} for i in INTERPOLATIONS for s in SCALES
    ]
    assert parameters("Gaussian noise") == [{"variance": v} for v in VARIANCES]


def test_names_carry_the_parameters():
    assert [TRANSFORMATIONS[i].name for i in (0, 23, 24, 48, 62, 76, 155, 156, 169)] == [
        "JPEG 30", "JPEG 99", "JPEG 30 then 39", "Gaussian blur 3", "median blur 3",
        "resize 0.15 nearest", "resize 0.90 Lanczos", "Gaussian noise 10", "Gaussian noise 49",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(170))
def test_keeps_shape_and_type_and_leaves_its_input_alone(number, image):
    before = image.copy()
    after = TRANSFORMATIONS[number](image, 3)
    assert after.shape == image.shape
    assert after.dtype == np.uint8
    assert np.array_equal(image, before)
    assert not np.array_equal(after, before)
    assert np.array_equal(after, TRANSFORMATIONS[number](image, 3))
    assert np.abs(after.mean((0, 1)) - image.mean((0, 1))).max() < 4  # colours stay in their place


def blockiness(image: np.ndarray) -> float:
    """Mean step across the borders of the 8x8 grid, over the mean step elsewhere."""
    steps = np.abs(np.diff(image.astype(float).mean(axis=2), axis=1)).mean(axis=0)
    border = np.arange(1, image.shape[1]) % 8 == 0
    return float(steps[border].mean() / steps[~border].mean())


def test_jpeg_leaves_an_8x8_grid_that_fades_with_quality(image):
    grids = [blockiness(t(image)) for t in family("JPEG")]
    assert grids[0] > blockiness(image) + 0.1
    assert grids[0] > grids[12] > grids[23] - 0.02


def test_jpeg_error_falls_with_quality(image):
    grey = image.astype(float).mean(axis=2)  # colour is kept at half resolution at any quality
    errors = [error(t(image).mean(axis=2), grey) for t in family("JPEG")]
    assert np.mean(np.diff(errors) < 0) > 0.9
    assert errors[0] > 3 * errors[-1]


def test_double_jpeg_is_one_after_the_other(image):
    single = dict(zip(QUALITIES, family("JPEG"), strict=True))
    for t, first, second in zip(family("double JPEG"), QUALITIES, SECOND, strict=True):
        assert np.array_equal(t(image), single[second](single[first](image)))
        if first != second:
            assert not np.array_equal(t(image), single[second](image))


@pytest.mark.parametrize("name", ["Gaussian blur", "median blur"])
def test_blur_lowers_high_frequencies_more_with_a_larger_kernel(name, image):
    energies = [high_frequency(image)] + [high_frequency(t(image)) for t in family(name)]
    assert np.all(np.diff(energies) < 0)
    assert energies[1] < 0.5 * energies[0]


@pytest.mark.parametrize("kernel", [9, 17, 29])
def test_gaussian_sigma_follows_from_the_kernel(kernel, image):
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    offset = np.arange(kernel) - kernel // 2
    weights = np.exp(-(offset**2) / (2 * sigma**2))
    weights /= weights.sum()
    expected = cv2.sepFilter2D(image.astype(np.float64), -1, weights, weights)
    blurred = family("Gaussian blur")[KERNELS.index(kernel)](image)
    assert np.abs(blurred - expected).max() <= 1.5


def test_median_removes_impulses_and_keeps_an_edge():
    image = np.full((SIZE, SIZE, 3), 60, np.uint8)
    image[:, SIZE // 2 :] = 180
    clean = image.copy()
    image[5::10, 5::10] = 255
    for t in family("median blur"):
        assert np.array_equal(t(image)[:, 20:-20], clean[:, 20:-20])
    gaussian = family("Gaussian blur")[0](image)
    assert not np.array_equal(gaussian[:, 20:-20], clean[:, 20:-20])


@pytest.mark.parametrize("start", range(16, 80, 16))
def test_resize_loses_less_at_a_larger_scale(start, image):
    errors = [error(t(image), image) for t in family("resize")[start : start + 16]]
    assert errors[0] > 1.5 * errors[7] > 2 * errors[15]


def test_interpolation_matters(image):
    resizes = family("resize")
    for scale in range(16):
        results = [resizes[16 * i + scale](image).astype(float) for i in range(5)]
        for a in range(5):
            for b in range(a):
                # At half size, linear and area both take the mean of 2x2 pixels on the way down.
                assert error(results[a], results[b]) > 0.1, (SCALES[scale], a, b)


def test_nearest_drops_and_repeats_pixels(image):
    known = set(map(tuple, image.reshape(-1, 3)))
    for t, scale in zip(family("resize")[:16], SCALES, strict=True):
        result = t(image)
        assert set(map(tuple, result.reshape(-1, 3))) <= known
        assert len({result[:, x].tobytes() for x in range(SIZE)}) == int(SIZE * scale)


@pytest.mark.parametrize("number", range(14))
def test_noise_has_its_variance_and_nothing_else(number):
    grey = np.full((256, 256, 3), 128, np.uint8)
    noise = family("Gaussian noise")[number](grey, 5).astype(float) - 128
    assert noise.var() == pytest.approx(VARIANCES[number] + 1 / 12, rel=0.03)  # 1/12: rounding
    assert abs(noise.mean()) < 0.05
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.02


def test_noise_follows_from_its_seed(image):
    noisy = family("Gaussian noise")[0]
    assert np.array_equal(noisy(image, 1), noisy(image, 1))
    assert not np.array_equal(noisy(image, 1), noisy(image, 2))


def test_noise_clips_and_does_not_wrap():
    for level in (0, 255):
        flat = np.full((64, 64, 3), level, np.uint8)
        assert np.abs(family("Gaussian noise")[-1](flat, 0).astype(int) - level).max() < 60


def test_scales_refer_to_the_size_given(image):
    resizes = [t for t in image_transformations(64) if t.family == "resize"]
    small = resizes[0](np.ascontiguousarray(image[:64, :64]))
    assert len({small[:, x].tobytes() for x in range(64)}) == int(64 * 0.15)


def test_a_size_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="size is 4 pixels"):
        image_transformations(4)
