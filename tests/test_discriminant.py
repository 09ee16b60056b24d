"""Stage 2 in closed form: Fisher's discriminant on a pre-trained network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from support import photograph

from dnadet_lib import stages
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.data import ImageSet
from dnadet_lib.discriminant import fit_discriminant
from dnadet_lib.evaluation.predictions import predict
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet, channel_statistics
from dnadet_lib.presets import get_preset

CLASSES = ("plain", "paired", "tripled")
PRESET = replace(get_preset("pocket_plain"), width=8, discriminant=2)


def labelled(folder: Path, rng: np.random.Generator, each: int) -> ImageSet:
    """Photographs with single pixels, or pixels in pairs or triples, as upsampling leaves them."""
    paths, labels = [], []
    for size in (1, 2, 3):
        for i in range(each):
            small = photograph(rng, 66, 66)[::size, ::size]
            image = small.repeat(size, axis=0).repeat(size, axis=1)[:64, :64]
            paths.append(folder / f"{size}-{i}.png")
            Image.fromarray(image).save(paths[-1])
            labels.append(size - 1)
    return ImageSet(paths, np.array(labels), CLASSES)


@pytest.fixture
def sets(tmp_path: Path, rng: np.random.Generator) -> tuple[ImageSet, ImageSet]:
    found = []
    for name in ("train", "dev"):
        (tmp_path / name).mkdir()
        found.append(labelled(tmp_path / name, rng, 24))
    return found[0], found[1]


def fresh_model() -> DNADet:
    return stages.build_model(CLASSES, PRESET, seed=0).eval()


def test_it_learns_traces_and_leaves_the_blocks_alone(sets, tmp_path):
    train, dev = sets
    pretrained = DNADet(170, 8, input=replace(PRESET.input)).eval()
    model, history = stages.run_training(
        PRESET, train, dev, pretrained=pretrained, folder=tmp_path / "run"
    )
    assert predict(model, dev).correct.mean() > 0.9
    assert history[0]["dev_accuracy"] > 0.9
    for name, weights in model.main.state_dict().items():
        assert torch.equal(weights, pretrained.main.state_dict()[name])
    loaded = load_model(tmp_path / "run" / "model.safetensors")
    assert np.allclose(predict(loaded, dev).probabilities, predict(model, dev).probabilities)
    assert (tmp_path / "run" / "history.csv").read_text().startswith("epoch,dev_accuracy")


def test_it_is_solved_again_from_a_solved_one(sets):
    train, dev = sets
    start = stages.build_model(CLASSES, PRESET, 0).eval()
    model, _ = stages.run_training(PRESET, train, dev, pretrained=start)
    again, _ = stages.run_training(PRESET, train, dev, pretrained=model)
    assert np.allclose(predict(again, dev).probabilities, predict(model, dev).probabilities)


def test_the_classifier_is_that_of_scikit_learn(sets):
    train, dev = sets
    model = fresh_model()
    fit_discriminant(model, train)
    model.input = replace(model.input, vote="patches")  # as it learned
    statistics = [statistics_of(model, images) for images in sets]
    scale = statistics[0].std(axis=0)
    reference = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    reference.fit(statistics[0] / scale, train.labels)
    logits = model.classification_head(image_features(model, dev.paths).embeddings)
    expected = reference.decision_function(statistics[1] / scale)
    differences = logits.detach().numpy() - expected
    assert np.ptp(differences, axis=1).max() < 0.01 * np.ptp(expected)


@torch.no_grad()
def statistics_of(model: DNADet, images: ImageSet) -> np.ndarray:
    arrays = np.stack([np.asarray(Image.open(path)) for path in images.paths])
    pixels = torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1
    return channel_statistics(model.main(model.high_pass(pixels))).numpy()


def test_embeddings_are_white_within_the_classes(sets):
    train, _ = sets
    model = fresh_model()
    fit_discriminant(model, train)
    model.input = replace(model.input, vote="patches")
    embeddings = image_features(model, train.paths).embeddings.numpy()
    means = np.stack([embeddings[train.labels == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(means, model.classification_head[1].weight.detach(), atol=0.01)
    deviations = (embeddings - means[train.labels]).std(axis=0)
    assert 0.6 < deviations.min() and deviations.max() < 1.4


def test_a_discriminant_asks_for_a_pretrained_model(sets):
    with pytest.raises(ValueError, match="pocket_plain solves .*: give one .*pocket_pretrain"):
        stages.run_training(PRESET, *sets)
