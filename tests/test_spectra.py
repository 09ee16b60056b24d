import numpy as np
import pytest

from dnadet_lib.fingerprints.spectra import (
    angular_profile,
    autocorrelation,
    decibels,
    fine_level,
    frequencies,
    level_map,
    lock_controls,
    period_level,
    radial_profile,
    resemblance,
    spectra_of,
)

SIDE, MIDDLE = 64, 32


def noise(count=200, deviation=3.0, seed=0):
    return np.random.default_rng(seed).normal(0, deviation, (count, SIDE, SIDE, 3))


def chequers(amplitude=2.0):
    y, x = np.mgrid[:SIDE, :SIDE]
    return amplitude * (-1.0) ** (x + y)[..., None]


def test_white_noise_is_flat_and_has_its_variance_at_every_frequency():
    found = spectra_of(noise(400))
    assert found.power.shape == (SIDE, SIDE)
    assert found.power.mean() == pytest.approx(9, rel=0.01)
    assert found.power.std() < 0.05 * found.power.mean()
    assert found.locked_power.mean() == pytest.approx(9 / 400, rel=0.05)
    assert found.locked_share == pytest.approx(0, abs=1e-3)
    radial, angular = radial_profile(found.power)[1], angular_profile(found.power)[1]
    np.testing.assert_allclose(radial, 9, rtol=0.1)
    np.testing.assert_allclose(angular, 9, rtol=0.02)
    assert abs(period_level(found.power)) < 0.5


def test_fine_level_counts_high_frequencies_alone():
    distance = np.hypot(*frequencies((SIDE, SIDE)))
    power = np.where(distance > 0.45, 100.0, 7.0)
    assert fine_level(power, 0.46) == pytest.approx(20)
    assert fine_level(np.where(distance < 0.38, 1e6, 10.0)) == pytest.approx(10)


def test_a_locked_pattern_shows_in_both_spectra():
    found = spectra_of(noise() + chequers())
    for power in (found.power, found.locked_power):
        assert np.unravel_index(power.argmax(), power.shape) == (0, 0)  # half a cycle each way
        assert power[0, 0] == pytest.approx(4 * SIDE**2, rel=0.05)
    assert found.locked_share == pytest.approx(4 / (4 + 9), rel=0.02)


def test_a_pattern_that_moves_shows_in_the_power_alone():
    shifts = np.random.default_rng(1).integers(0, 2, 200)
    moving = np.stack([np.roll(chequers(), shift, axis=1) for shift in shifts])
    found = spectra_of(noise() + moving)
    assert found.power[0, 0] == pytest.approx(4 * SIDE**2, rel=0.05)
    assert found.locked_power[0, 0] < 0.05 * found.power[0, 0]
    assert abs(found.locked_share) < 0.03


def test_the_locked_spectrum_is_that_of_the_mean_residual():
    found = spectra_of(noise(7))
    alone = spectra_of(found.mean_residual[None])
    np.testing.assert_allclose(found.locked_power, alone.power)
    assert np.isnan(alone.locked_share)


def test_equal_residuals_are_locked_altogether():
    assert spectra_of(np.repeat(noise(1), 5, axis=0)).locked_share == pytest.approx(1)


def test_controls_tell_a_locked_pattern_from_chance():
    for pattern, agree in ((chequers(), 0.9), (0 * chequers(), 0)):
        residuals = noise() + pattern
        halves, scattered = lock_controls(residuals, spectra_of(residuals))
        assert halves == pytest.approx(agree, abs=0.15)
        assert abs(scattered) < 0.01


def test_a_frame_around_all_residuals_is_no_pattern():
    frame = np.ones((64, 64, 1))
    frame[6:-6, 6:-6] = 0
    residuals = noise() + frame
    found = spectra_of(residuals)
    assert abs(lock_controls(residuals, found)[0]) < 0.15
    assert lock_controls(residuals, found, edge=0)[0] > 0.5


def test_generators_with_the_same_pattern_resemble_each_other():
    one, other = (spectra_of(noise(200, seed=seed) + chequers()) for seed in (0, 1))
    assert resemblance(one, other) == pytest.approx(0.98, abs=0.05)
    assert abs(resemblance(one, spectra_of(noise(200, seed=2)))) < 0.1


def test_float32_residuals_serve_as_well():
    plain = noise(20)
    np.testing.assert_allclose(
        spectra_of(plain.astype(np.float32)).power, spectra_of(plain).power, rtol=1e-3
    )


def test_a_map_of_levels_is_around_its_mean():
    one = spectra_of(noise(40))
    np.testing.assert_allclose(level_map([one, one]), decibels(one.power / one.power.mean()))


def test_autocorrelation_peaks_at_the_shift_of_a_copy():
    first = noise(50)
    copied = first + 0.5 * np.roll(first, (3, -5), axis=(1, 2))
    found = autocorrelation(spectra_of(copied).power, reach=10)
    assert found.shape == (21, 21)
    assert found[10, 10] == pytest.approx(1)
    expected = 0.5 / (1 + 0.25)
    assert found[10 + 3, 10 - 5] == pytest.approx(expected, abs=0.03)
    assert found[10 - 3, 10 + 5] == pytest.approx(expected, abs=0.03)
    found[10, 10] = found[13, 5] = found[7, 15] = 0
    assert np.abs(found).max() < 0.03


def test_autocorrelation_reaches_no_further_than_half_an_image():
    assert autocorrelation(np.ones((64, 64))).shape == (63, 63)
    assert autocorrelation(np.ones((20, 33))).shape == (19, 19)
    with pytest.raises(ValueError, match="zero everywhere"):
        autocorrelation(np.zeros((8, 8)))


@pytest.mark.parametrize(("down", "across", "degrees"), [(0, 12, 0), (12, 0, 90), (12, 12, 45)])
def test_profiles_find_a_wave(down, across, degrees):
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = np.cos(2 * np.pi * (down * y + across * x) / SIDE)
    power = spectra_of(np.repeat(wave[None, ..., None], 3, axis=3)).power
    frequency, radial = radial_profile(power)
    assert frequency[radial.argmax()] == pytest.approx(np.hypot(down, across) / SIDE, abs=0.5 / 64)
    directions, angular = angular_profile(power)
    assert directions[angular.argmax()] == degrees


def test_profiles_of_odd_and_oblong_maps():
    for shape in ((63, 63), (48, 96), (33, 20)):
        frequency, radial = radial_profile(np.full(shape, 2.0))
        np.testing.assert_allclose(radial, 2)
        assert frequency[-1] == pytest.approx(np.sqrt(0.5), abs=0.06)
        np.testing.assert_allclose(angular_profile(np.full(shape, 2.0), 8)[1], 2)
    with pytest.raises(ValueError, match="200 directions are too many"):
        angular_profile(np.ones((16, 16)), 200)


def test_frequencies_are_zero_in_the_middle():
    down, across = frequencies((SIDE, 30))
    assert down[MIDDLE, 0] == across[0, 15] == 0
    assert down[0, 0] == -0.5


@pytest.mark.parametrize("period", [2, 4, 8])
def test_the_level_of_a_period_is_that_of_its_own_peaks(period):
    rng = np.random.default_rng(2)
    tile = rng.normal(0, period, (period, period, 1))
    tiled = noise() + np.tile(tile, (SIDE // period, SIDE // period, 1))
    power = spectra_of(tiled).power
    assert period_level(power, period) > 20
    assert abs(period_level(power, 2 * period)) < 1.5
    with pytest.raises(ValueError, match="period 5 does not divide"):
        period_level(power, 5)


def test_an_axis_of_high_power_is_no_peak():
    power = np.ones((SIDE, SIDE))
    power[MIDDLE] = power[:, MIDDLE] = 1000
    assert period_level(power) < 3.1


def test_decibels():
    np.testing.assert_allclose(decibels(np.array([1.0, 10, 1000]), 10), [-10, 0, 20])


def test_residuals_of_the_wrong_shape_are_named():
    with pytest.raises(ValueError, match=r"residuals are \(4, 8, 8\)"):
        spectra_of(np.zeros((4, 8, 8)))
    with pytest.raises(ValueError, match="N above 0"):
        spectra_of(np.zeros((0, 8, 8, 3)))
