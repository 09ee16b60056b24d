import numpy as np
import pytest
from support import photograph

from dnadet_lib.fingerprints.residual import DENOISERS, residuals, wavelet_denoise


@pytest.fixture(scope="module")
def smooth():
    """Images without detail: a residual of them is what was added to them."""
    y, x = np.mgrid[:64, :64]
    return np.stack([np.stack([128 + 40 * np.sin((x + k * y) / 20)] * 3, -1) for k in range(4)])


@pytest.mark.parametrize("name", DENOISERS)
def test_the_residual_of_a_flat_image_is_zero(name):
    flat = np.full((2, 64, 64, 3), 90, np.uint8)
    np.testing.assert_allclose(residuals(flat, name), 0, atol=1e-3)


@pytest.mark.parametrize("name", DENOISERS)
def test_the_residual_keeps_a_fingerprint(name, smooth):
    rng = np.random.default_rng(0)
    fingerprint = rng.normal(0, 4, (64, 64, 3))
    images = np.round(smooth + fingerprint).clip(0, 255).astype(np.uint8)
    mean = residuals(images, name).mean(axis=0)
    assert np.corrcoef(mean.ravel(), fingerprint.ravel())[0, 1] > 0.6


def test_the_wavelet_filter_takes_noise_off_and_leaves_edges():
    rng = np.random.default_rng(1)
    clean = np.zeros((1, 64, 64, 3), np.float32) + 60
    clean[:, :, 32:] = 190
    noisy = clean + rng.normal(0, 5, clean.shape).astype(np.float32)
    denoised = wavelet_denoise(noisy)
    away = np.r_[4:26, 38:60]  # from the edge
    left, before = (np.abs(x - clean)[:, :, away].std() for x in (denoised, noisy))
    assert left < 0.5 * before
    assert np.abs(np.diff(denoised[0, :, 31:33, 0], axis=1)).min() > 110


@pytest.mark.parametrize("side", (32, 64, 50, 101))
def test_residuals_have_the_images_size(side):
    images = photograph(np.random.default_rng(2), side, side + 7)[None]
    for name in DENOISERS:
        assert residuals(images, name).shape == images.shape


def test_a_denoiser_of_ones_own_is_used_and_checked():
    images = photograph(np.random.default_rng(3), 32, 32)[None]
    np.testing.assert_array_equal(residuals(images, np.zeros_like), images)
    with pytest.raises(ValueError, match=r"denoiser gave \(1, 32, 32\) for images of"):
        residuals(images, lambda x: x.mean(axis=3))
    with pytest.raises(ValueError, match="'bm4d': choose one of wavelet, median, high-pass"):
        residuals(images, "bm4d")
