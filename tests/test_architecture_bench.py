import numpy as np
import pytest
import torch

from dnadet_lib.fingerprints.architecture_bench import (
    CONTRAST,
    NORMALISATIONS,
    STRUCTURES,
    UPSAMPLINGS,
    Structure,
    bench_generator,
    bench_spectra,
    look_alikes,
    upsampling_confusion,
)
from dnadet_lib.fingerprints.spectra import period_level
from dnadet_lib.zoo.layers import LATENT


def latents(count=6, seed=0):
    return torch.randn(count, LATENT, generator=torch.Generator().manual_seed(seed))


def image_of(*choices):
    with torch.no_grad():
        return bench_generator(*choices)(latents())


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_every_structure_gives_images_of_the_same_contrast(structure):
    images = image_of(*structure, 0)
    assert images.shape == (6, 3, 64, 64)
    assert torch.isfinite(images).all()
    torch.testing.assert_close(images.std(dim=(0, 2, 3)), torch.full((3,), CONTRAST))


def test_the_seed_gives_the_weights_and_nothing_else_does():
    torch.manual_seed(1)
    first = image_of("nearest", "pixel", 3, 5)
    torch.manual_seed(2)
    torch.testing.assert_close(first, image_of("nearest", "pixel", 3, 5))
    assert not torch.allclose(first, image_of("nearest", "pixel", 3, 6))


@pytest.fixture(scope="module")
def bench():
    return bench_spectra([s for s in STRUCTURES if s.kernel == 3], 3, 16)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_learned_upsampling_leaves_a_chequer_that_interpolation_does_not(bench, normalisation):
    level = {
        name: np.median([period_level(s.power) for s in bench[Structure(name, normalisation, 3)]])
        for name in UPSAMPLINGS
    }
    for learned in ("transposed 4x4", "transposed 3x3", "sub-pixel"):
        for interpolated in ("nearest", "bilinear"):
            assert level[learned] > level[interpolated] + 10


def test_nearest_neighbour_keeps_more_of_the_highest_frequencies_than_bilinear(bench):
    shares = {}
    for name in ("nearest", "bilinear"):
        powers = [s.power for s in bench[Structure(name, "none", 3)]]
        shares[name] = np.mean([p[:16, :16].sum() / p.sum() for p in powers])
    assert shares["nearest"] > 4 * shares["bilinear"]


def test_interpolations_are_told_by_their_spectrum_whatever_the_weights(bench):
    pairs = look_alikes(bench)
    assert len(pairs) == 3 * len(bench)
    for own, other in pairs:
        assert (own.upsampling == other.upsampling) or "nearest" not in (own[0], other[0])
        assert (own.upsampling == other.upsampling) or "bilinear" not in (own[0], other[0])


def test_confusion_has_the_shares_of_each_upsamplings_look_alikes():
    near, blend, other = (
        Structure(name, "none", 3) for name in ("nearest", "bilinear", "sub-pixel")
    )
    table = upsampling_confusion([(near, near), (near, near), (near, other), (blend, blend)])
    assert table.loc["nearest", "sub-pixel"] == pytest.approx(1 / 3)
    assert table.loc["bilinear", "bilinear"] == 1
    assert table.shape == (5, 5)


def test_no_two_generators_of_the_bench_share_their_weights():
    structure = STRUCTURES[0]
    benches = (bench_spectra([structure], 2, 2, seed)[structure] for seed in (0, 1))
    maps = {s.power.tobytes() for members in benches for s in members}
    assert len(maps) == 4


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (("cubic", "none", 3), "upsampling 'cubic': choose one of nearest, bilinear"),
        (("nearest", "layer", 3), "normalisation 'layer': choose one of none, batch, pixel"),
        (("nearest", "none", 4), "kernel 4: choose one of 3, 5"),
    ],
)
def test_a_choice_that_is_none_is_named(choices, message):
    with pytest.raises(ValueError, match=message):
        bench_generator(*choices, seed=0)
