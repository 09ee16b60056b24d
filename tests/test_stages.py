from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dnadet_lib import stages
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.model import DNADet
from dnadet_lib.presets import PRESETS, get_preset
from dnadet_lib.stages import stage_2
from dnadet_lib.zoo.manifest import CLASSES

ONE_EPOCH = {"epochs": 1, "steps_per_epoch": 2}


@pytest.fixture
def pretrained() -> DNADet:
    preset = get_preset("smoke_pretrain")
    return stages.build_model(tuple(str(k) for k in range(170)), preset, seed=5)


def test_stage_1_makes_a_model_of_170_transformations(world, tmp_path):
    preset = replace(get_preset("smoke_pretrain"), **ONE_EPOCH)
    model, history = stages.run_pretraining(preset, profile="smoke", folder=tmp_path)
    assert len(model.classes) == 170
    assert (model.classes[0], model.classes[-1]) == ("JPEG 30", "Gaussian noise 49")
    assert {"dev_accuracy", "dev_macro_f1", "contrast"} <= history[0].keys()
    assert load_model(tmp_path / "model.safetensors").classes == model.classes


def test_stage_1_goes_on_from_a_model(world, pretrained):
    preset = replace(get_preset("smoke_pretrain"), epochs=1, steps_per_epoch=1, learning_rate=0.0)
    model, _ = stages.run_pretraining(preset, profile="smoke", start_from=pretrained)
    for name, tensor in pretrained.named_parameters():
        torch.testing.assert_close(dict(model.named_parameters())[name], tensor)


def test_stage_1_is_scored_by_class_and_family(world):
    data = stages.transformation_set("test", 64, each=1)
    assert data.images.shape == (170, 64, 64, 3)
    assert data.labels.tolist() == list(range(170))
    scores = stages.pretraining_scores(data, data.labels)
    assert scores == {"accuracy": 1, "macro F1": 1, "family accuracy": 1}
    scores = stages.pretraining_scores(data, np.zeros(170, int))  # everything is "JPEG 30"
    assert scores["accuracy"] == pytest.approx(1 / 170)
    assert scores["family accuracy"] == pytest.approx(24 / 170)


def test_transformation_set_follows_from_its_seed(world):
    first, again = (stages.transformation_set("dev", 64, 1, seed=1) for _ in range(2))
    other = stages.transformation_set("dev", 64, 1, seed=2)
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_stage_2_makes_a_calibrated_model(world, tmp_path, pretrained):
    train, dev = stages.training_data(world.images)
    assert train.classes == dev.classes == CLASSES
    preset = replace(get_preset("smoke"), **ONE_EPOCH)
    model, history = stages.run_training(
        preset, train, dev, pretrained=pretrained, folder=tmp_path
    )
    assert len(history) == 1
    assert model.classes == CLASSES
    assert 0.25 <= model.temperature <= 64
    assert np.isfinite(model.threshold)
    assert model.reference.means.shape == (6, 2 * 16)  # of block 2

    loaded = load_model(tmp_path / "model.safetensors")
    assert (loaded.temperature, loaded.threshold) == (model.temperature, model.threshold)
    torch.testing.assert_close(loaded.reference, model.reference, atol=0, rtol=0)
    share = loaded.attribute(dev.paths).known.mean()
    assert 0.95 <= share <= 1  # the threshold lets 95% pass where their generators are not known


def test_stage_2_starts_from_the_pretrained_backbone(world, pretrained):
    train, dev = stages.training_data(world.images)
    preset = replace(get_preset("smoke"), epochs=1, steps_per_epoch=1, learning_rate=0.0)
    model, _ = stages.run_training(preset, train, dev, pretrained=pretrained)
    assert torch.equal(model.main[0].main[0].weight, pretrained.main[0].main[0].weight)
    scratch, _ = stages.run_training(preset, train, dev)
    assert not torch.equal(scratch.main[0].main[0].weight, pretrained.main[0].main[0].weight)


def test_a_pretrained_model_that_does_not_fit_is_refused(world):
    train, dev = stages.training_data(world.images)
    with pytest.raises(ValueError, match="pre-trained model has width 16 .*; needed: 8"):
        stages.run_training(get_preset("smoke"), train, dev, pretrained=DNADet(170, 16))


def test_temperature_undoes_overconfidence(tiny_model, rng):
    truth = rng.integers(0, 5, 400)
    guess = np.where(rng.random(400) < 0.7, truth, rng.integers(0, 5, 400))
    # Logits of 20 for the guess: sure of itself, and wrong on a quarter.
    tiny_model.classification_head[1].weight.data = 20 * torch.eye(5, 64)
    tiny_model.classification_head[1].bias.data.zero_()
    embeddings = np.eye(64, dtype=np.float32)[guess]
    temperature = stages.fit_temperature(tiny_model, torch.from_numpy(embeddings), truth)
    right = np.mean(guess == truth)
    best = 20 / np.log(4 * right / (1 - right))  # where confidence is the share that is right
    assert temperature == pytest.approx(best, rel=0.05)


def test_history_becomes_a_table():
    table = stages.history_frame([{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}])
    assert table.index.tolist() == [1, 2]
    assert table.loss.tolist() == [2.0, 1.0]


def test_stage_1_takes_photographs_of_both_contents_and_is_trained_once(
    world, tmp_path, monkeypatch
):
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path))
    crops = stages.photograph_crops(("meadow", "stamps"), "train", 7, seed=1)
    shares = (("meadow", 4), ("stamps", 3))
    alone = [stages.photograph_crops((content,), "train", n, 1) for content, n in shares]
    assert np.array_equal(crops, np.concatenate(alone))
    both = replace(
        get_preset("smoke_pretrain"), name="both", contents=("meadow", "stamps"), **ONE_EPOCH
    )
    monkeypatch.setitem(PRESETS, "both", both)
    monkeypatch.setattr("dnadet_lib.stages.stage_1.PRETRAINING_CROPS", {"pocket": 20})
    monkeypatch.setattr("dnadet_lib.stages.stage_1.IMAGES_A_TRANSFORMATION", {"pocket": 1})
    first = stages.pretrained_model("both", seed=3)
    file = tmp_path / "checkpoints" / "both_seed_3" / "model.safetensors"
    before = file.stat().st_mtime_ns
    again = stages.pretrained_model("both", seed=3)
    assert file.stat().st_mtime_ns == before
    assert torch.equal(again.main[0].main[0].weight, first.main[0].main[0].weight)
    monkeypatch.setitem(PRESETS, "both", replace(both, learning_rate=1e-4))
    message = r"both_seed_3.*another preset \(learning_rate=0\.001, now 0\.0001\)"
    with pytest.raises(ValueError, match=message):
        stages.pretrained_model("both", seed=3)
    assert file.stat().st_mtime_ns == before


def test_where_calibrating_takes_longer_than_an_epoch_few_models_are_kept(
    world, tmp_path, monkeypatch
):
    now, kept, ready = [0.0], [], stage_2.calibrate

    def slow(model, *arguments):
        now[0] += 1
        return ready(model, *arguments)

    def epoch_done(line):
        now[0] += 4
        return ""

    monkeypatch.setattr(stage_2, "monotonic", lambda: now[0])
    monkeypatch.setattr(stage_2, "calibrate", slow)
    monkeypatch.setattr("dnadet_lib.training.epoch_line", epoch_done)
    monkeypatch.setattr(stage_2.RunFolder, "keep", lambda run, model: kept.append(now[0]))
    preset = replace(get_preset("smoke"), epochs=6, steps_per_epoch=1)
    stages.run_training(preset, *stages.training_data(world.images), folder=tmp_path)
    assert kept == [5, 18]  # after epochs 1 and 4: at 4 and at 17, and one second of calibrating
