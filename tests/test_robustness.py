import numpy as np
import pytest
from evidence import accuracy_curves
from support import photograph

from dnadet_lib import plots
from dnadet_lib.evaluation.robustness import DEGRADATIONS, answer_shares, degrade

each = pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda d: d.name)
NAMED = {d.name: d for d in DEGRADATIONS}


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return np.stack([photograph(rng, 64, 64) for _ in range(6)])


@each
def test_images_keep_their_kind(degradation, images):
    assert len(degradation.strengths) == 5
    for strength in degradation.strengths:
        degraded = degrade(images, degradation, strength)
        assert (degraded.dtype, degraded.shape) == (np.uint8, images.shape)
        assert not np.array_equal(degraded, images)


@each
def test_mildest_comes_first(degradation, images):
    change = [
        np.abs(degrade(images, degradation, strength) - images.astype(float)).mean()
        for strength in degradation.strengths
    ]
    assert change[0] < change[-1]


@each
def test_an_image_is_degraded_the_same_whatever_stands_beside_it(degradation, images):
    strength = degradation.strengths[2]
    together = degrade(images, degradation, strength, seed=3)
    np.testing.assert_array_equal(together[:2], degrade(images[:2], degradation, strength, seed=3))


def test_operations_that_pretraining_has_seen_are_marked():
    seen = {name for name, degradation in NAMED.items() if degradation.pretrained}
    assert seen == {"JPEG", "blur", "noise", "resize"}


def test_a_shift_moves_pixels_unchanged(images):
    shifted = degrade(images, NAMED["shift"], 3)
    np.testing.assert_array_equal(shifted[:, 3:, 3:], images[:, :-3, :-3])


def test_noise_has_the_named_deviation():
    flat = np.full((4, 64, 64, 3), 128, np.uint8)
    assert degrade(flat, NAMED["noise"], 7).std() == pytest.approx(7, rel=0.03)


def test_colour_jitter_changes_colours_and_keeps_edges(images):
    degraded = degrade(images, NAMED["colour jitter"], 0.2)
    assert np.abs(degraded.mean(axis=(1, 2)) - images.mean(axis=(1, 2))).max() > 3
    for before, after in zip(images, degraded, strict=True):
        assert np.corrcoef(before.mean(axis=2).ravel(), after.mean(axis=2).ravel())[0, 1] > 0.99


def test_a_crop_keeps_a_window_of_that_share(images):
    """Half of a ramp's width, enlarged to all of it, is half as steep."""
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, None, :, None] * 3, images.shape)
    cropped = degrade(np.ascontiguousarray(ramp), NAMED["crop and resize"], 0.5).astype(float)
    slope = np.diff(cropped[:, 30, 8:-8, 0], axis=1).mean()
    assert slope == pytest.approx(1.5, rel=0.1)


def test_another_strength_is_refused(images):
    with pytest.raises(ValueError, match="JPEG, quality 42: choose one of 95, 90, 80, 65, 50"):
        degrade(images, NAMED["JPEG"], 42)


def test_curves_hold_every_degradation_strength_and_generator():
    """A classifier of brightness: noise cannot fool it, a strong change of colours can."""
    rng = np.random.default_rng(4)
    images = rng.integers(0, 20, (40, 16, 16, 3)) + np.where(np.arange(40) < 20, 100, 120)[
        :, None, None, None
    ]
    truth, generators = (np.arange(40) >= 20).astype(int), np.array(["dark", "light"]).repeat(20)
    curves = accuracy_curves(
        lambda x: (x.mean(axis=(1, 2, 3)) > 119).astype(int), images.astype(np.uint8), truth,
        generators, [NAMED["noise"], NAMED["colour jitter"]],
    )  # fmt: skip
    table = curves.pivot_table(index=["degradation", "strength"], columns="generator")["accuracy"]
    assert len(table) == 11
    assert table.loc["none", 0].tolist() == [1, 1]
    assert table.loc["noise", 12].tolist() == [1, 1]
    assert table.loc["colour jitter", 0.5].mean() < 0.9


def test_answers_are_counted_beside_what_is_right(images):
    truth = np.array(["SNGAN"] * 4 + ["Real"] * 2)

    def name(changed):
        """Names everything rightly until noise is strong, then calls everything Real."""
        noisy = np.abs(changed.astype(float) - images).std() > 5
        return ["Real"] * len(changed) if noisy else truth.tolist()

    table = answer_shares(name, images, truth, [NAMED["noise"], NAMED["shift"]])
    assert table.loc["noise"].index.tolist() == ["none", "1", "2", "4", "7", "12"]
    assert table.loc[("noise", "1"), ["SNGAN", "Real", "right"]].tolist() == [4 / 6, 2 / 6, 1]
    assert table.loc[("noise", "12"), ["SNGAN", "Real", "right"]].tolist() == [0, 1, 2 / 6]
    assert (table.drop(columns="right").sum(axis=1) == 1).all()
    figure = plots.answer_bars(table, ["SNGAN", "Real"], {"noise": "sigma", "shift": "pixels"})
    assert [axis.get_title() for axis in figure.axes] == ["noise", "shift"]
    assert [axis.get_xlabel() for axis in figure.axes] == ["sigma", "pixels"]
    tops = [patch.get_y() + patch.get_height() for patch in figure.axes[0].patches[6:]]
    assert tops == pytest.approx([1] * 6)
