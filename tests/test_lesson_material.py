"""What lessons hold a claim against: images without a trace, random weights, flat patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dnadet_lib import course as lessons
from dnadet_lib.explorer import closeup, gradcam
from dnadet_lib.images import read_image
from dnadet_lib.model import DNADet, InputSpec


def test_noise_has_no_relation_of_neighbours() -> None:
    images = lessons.noise(4, seed=1)
    assert list(images) == ["uniform", "normal"]
    for pixels in images.values():
        assert (pixels.dtype, pixels.shape) == (np.uint8, (4, 64, 64, 3))
        left, right = (part.astype(float).ravel() for part in (pixels[:, :, :-1], pixels[:, :, 1:]))
        assert abs(np.corrcoef(left, right)[0, 1]) < 0.02
    np.testing.assert_array_equal(images["normal"], lessons.noise(4, seed=1)["normal"])


def test_shuffled_images_keep_their_colours_and_nothing_else() -> None:
    ramp = np.arange(2 * 64 * 64 * 3).reshape(2, 64, 64, 3)
    images = (ramp // 97 % 256).astype(np.uint8)
    found = lessons.shuffled(images, seed=2)
    assert found.shape == images.shape
    for before, after in zip(images, found, strict=True):
        colours = (np.sort(x.reshape(-1, 3) @ [65536, 256, 1]) for x in (before, after))
        np.testing.assert_array_equal(*colours)
    near = [np.abs(np.diff(x.astype(int), axis=2)).mean() for x in (images, found)]
    assert near[1] > 5 * near[0]


def test_bare_layouts_are_smooth_and_drawn_by_seed() -> None:
    images = lessons.bare_layouts(3, seed=1)
    assert (images.dtype, images.shape) == (np.uint8, (3, 64, 64, 3))
    np.testing.assert_array_equal(images, lessons.bare_layouts(3, seed=1))
    assert (images != lessons.bare_layouts(3, seed=2)).any()
    drawn = lessons.noise(3)["normal"]
    levels = [np.abs(np.diff(x.astype(float), axis=2)).mean() for x in (images, drawn)]
    assert levels[0] < levels[1] / 5


def test_saved_images_are_labelled_and_read_back(tmp_path: Path) -> None:
    images = {"SNGAN": lessons.noise(2)["uniform"], "ProGAN": lessons.noise(1)["normal"]}
    found = lessons.saved(tmp_path, images)
    assert [found.classes[k] for k in found.labels] == ["SNGAN", "SNGAN", "ProGAN"]
    assert list(found.sources) == ["my_SNGAN", "my_SNGAN", "my_ProGAN"]
    np.testing.assert_array_equal(read_image(found.paths[1]), images["SNGAN"][1])


def test_a_model_is_named_by_its_method() -> None:
    assert lessons.name_of(DNADet(5, 8)) == "DNA-Det"
    filtered = DNADet(5, 8, input=InputSpec(high_pass=True))
    assert lessons.name_of(filtered) == "DNA-Det + high-pass"
    assert lessons.name_of(DNADet(5, 8, discriminant=True)) == "stage 1 + Fisher"


def test_flat_and_busy_patches_are_told_apart() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, 4:] = np.random.default_rng(0).integers(0, 256, (8, 4, 3))
    corners = np.array([[0, 0], [0, 4], [4, 0], [4, 4]])
    logits = np.array([[3.0, 0], [0, 1], [3, 0], [1, 0]])  # of the busy patches one disagrees
    votes = closeup.PatchVotes(image, corners, 4, logits, (2, 2))
    assert closeup.agreement_by_contrast(votes) == (1.0, 0.5)


def test_a_quarter_of_an_even_map_holds_a_quarter_whatever_its_sign() -> None:
    assert gradcam.strongest_quarter(np.ones((8, 8))) == 0.25
    assert gradcam.strongest_quarter(-np.ones((8, 8))) == 0.25
    one = np.zeros((8, 8))
    one[3, 4] = 2
    assert gradcam.strongest_quarter(one) == 1
    assert gradcam.strongest_quarter(-one) == 1
    assert gradcam.strongest_quarter(np.zeros((8, 8))) == 0


def test_maps_are_compared_with_those_of_random_weights() -> None:
    torch.manual_seed(7)
    model = DNADet(5, 8, input=InputSpec(patch=32, vote="patches", resize=None))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    table = gradcam.against_random(model, list(images), [0, 4, 2], draws=2)
    assert table.index.tolist() == ["trained", "random 0", "random 1"]
    assert table.loc["trained", "correlation"] == pytest.approx(1)
    assert (table["correlation"].iloc[1:] < 0.999).all()
    own = [gradcam.image_cam(model, x, k) for x, k in zip(images, (0, 4, 2), strict=True)]
    wanted = np.median([gradcam.strongest_quarter(values) for values in own])
    assert table.loc["trained", "strongest quarter"] == pytest.approx(wanted)


@pytest.mark.parametrize("discriminant", [False, True])
def test_an_untrained_network_has_the_plan_and_other_weights(discriminant: bool) -> None:
    spec = InputSpec(patch=32, vote="patches", high_pass=True, resize=None)
    model = DNADet(5, 8, input=spec, blocks=5, discriminant=discriminant)
    before = torch.random.get_rng_state()
    other, again = gradcam.untrained_like(model, 3), gradcam.untrained_like(model, 3)
    assert torch.equal(torch.random.get_rng_state(), before)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (model, other)]
    assert shapes[0] == shapes[1] and other.input == spec
    weights = [next(m.main.parameters()) for m in (model, other, again)]
    assert not torch.equal(weights[0], weights[1]) and torch.equal(weights[1], weights[2])
