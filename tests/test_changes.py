"""Random changes of training images: seeded, named, and part of a run's key."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support import photograph, write_images

from dnadet_lib.data import ImageSet
from dnadet_lib.images.changes import CHANGES, change_named, changed_copies
from dnadet_lib.presets import get_preset
from dnadet_lib.stages.batches import changed_at_random
from dnadet_lib.stages.checks import training_key


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_keeps_the_size_and_follows_from_its_seed(name, rng):
    image = photograph(rng, 48, 64)
    before, change = image.copy(), change_named(name)
    first, again, other = (change(image, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == image.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(image, before)


def test_a_change_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="unknown change 'magic': choose of tone, smaller"):
        change_named("magic")


def test_copies_differ_by_image_and_by_seed(tmp_path, rng):
    paths = write_images(tmp_path, 2, rng)
    Image.open(paths[0]).save(paths[1])
    one, two = changed_copies(paths, "tone", seed=0)
    (other, _) = changed_copies(paths, "tone", seed=1)
    assert (one != two).any() and (one != other).any()
    np.testing.assert_array_equal(one, next(changed_copies(paths, "tone", seed=0)))


def test_changes_are_part_of_the_key_of_a_run(tmp_path, rng):
    paths = write_images(tmp_path, 4, rng)
    images = ImageSet(paths, np.array([0, 0, 1, 1]), ("A", "B"))
    preset = get_preset("pocket")
    keys = [
        training_key(replace(preset, changes=names), images, images).parts["preset"]
        for names in ((), ("tone",), preset.changes)
    ]
    assert len(set(keys)) == 3
    assert "changes" not in keys[0] and "coarse JPEG" in keys[2]


def test_a_network_sees_images_as_they_are_and_changed(rng):
    preset = replace(get_preset("rung"), changes=("noise",))
    images = np.stack([photograph(rng, 32, 32)] * 40)
    assert changed_at_random(images, get_preset("rung"), rng) is images
    seen = changed_at_random(images, preset, rng)
    same = (seen == images).all(axis=(1, 2, 3))
    assert 8 < same.sum() < 32
