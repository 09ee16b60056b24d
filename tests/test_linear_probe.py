"""The linear probe of a pre-trained network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from support import photograph

from dnadet_lib.linear_probe import LinearProbe, turned_copies
from dnadet_lib.model import load_model
from dnadet_lib.patches import normalise


@pytest.fixture
def images(rng) -> tuple[np.ndarray, np.ndarray]:
    """Photographs, half of them with pixels in pairs, as nearest-neighbour upsampling leaves."""
    plain = np.stack([photograph(rng, 32, 32) for _ in range(60)])
    paired = plain[30:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2)
    return np.concatenate([plain[:30], paired]), np.repeat(["plain", "paired"], 30)


def test_it_tells_traces_apart_on_new_images(checkpoint, images) -> None:
    pixels, labels = images
    probe = LinearProbe(str(checkpoint), block=1).fit(pixels[::2], labels[::2])
    assert probe.classes_.tolist() == ["paired", "plain"]
    assert probe.score(pixels[1::2], labels[1::2]) > 0.9
    probabilities = probe.predict_proba(pixels[:5])
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probe.classes_[probabilities.argmax(axis=1)] == probe.predict(pixels[:5])).all()
    assert clone(probe).get_params() == {"checkpoint": str(checkpoint), "block": 1, "votes": 1}


def test_features_are_mean_and_deviation_of_the_blocks_channels(checkpoint, images) -> None:
    probe = LinearProbe(str(checkpoint), block=2).fit(*images)
    network = load_model(checkpoint)
    with torch.no_grad():
        x = network.main[:3](network.high_pass(normalise(torch.from_numpy(images[0][:1]))))
    found = probe.features(images[0])[0]
    assert found.shape == (2 * 16,)
    np.testing.assert_allclose(found[:16], x[0].mean(dim=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(found[16:], x[0].flatten(1).std(dim=1), atol=1e-5)


def test_turned_copies_vote_together(checkpoint, images) -> None:
    pixels, labels = images
    one, four = (LinearProbe(str(checkpoint), 1, votes).fit(pixels, labels) for votes in (1, 4))
    copies = list(turned_copies(pixels[:6], 4))
    logs = np.mean([np.log(one.predict_proba(copy)) for copy in copies], axis=0)
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    assert np.allclose(four.predict_proba(pixels[:6]), expected, atol=1e-4)


def test_there_are_eight_ways_to_turn_a_square() -> None:
    image = np.arange(27).reshape(1, 3, 3, 3)
    copies = list(turned_copies(image, 8))
    assert np.array_equal(copies[0], image)
    assert len({copy.tobytes() for copy in copies}) == 8


def test_what_is_odd_is_named(checkpoint, images) -> None:
    with pytest.raises(ValueError, match="block 8: choose 0 to 7"):
        LinearProbe(str(checkpoint), block=8).fit(*images)
    with pytest.raises(FileNotFoundError, match="nowhere: neither a checkpoint file"):
        LinearProbe("nowhere").fit(*images)
    with pytest.raises(ValueError, match="16x32 pixels: give squares"):
        LinearProbe(str(checkpoint), votes=4).fit(images[0][:, :, :16], images[1])
    probe = LinearProbe(str(checkpoint)).fit(*images)
    with pytest.raises(ValueError, match="32"):
        probe.predict(np.zeros((1, 64, 64, 3), np.uint8))
