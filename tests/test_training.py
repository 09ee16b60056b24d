from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import photograph

from dnadet_lib.attribution import infer, prepare, probabilities_of
from dnadet_lib.model import DNADet
from dnadet_lib.patches import normalise
from dnadet_lib.presets import Preset, get_preset
from dnadet_lib.stages.batches import PatchBatches, TransformationBatches, apply_transformations
from dnadet_lib.stages.folder import OtherRunError, RunFolder
from dnadet_lib.stages.key import RunKey, keep
from dnadet_lib.training import epoch_line, fit, start_run, train_step
from dnadet_lib.transforms import image_transformations

SMALL = replace(
    get_preset("smoke"), epochs=3, steps_per_epoch=3, items=4, learning_rate=1e-3,
    select_by="accuracy",
)  # fmt: skip
SMALL_STEPS = replace(SMALL, schedule="step", decay_every=2, decay=0.5)


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """Twelve images of three classes that differ in grain."""
    rng = np.random.default_rng(0)
    stack = np.stack([photograph(rng, 48, 48) for _ in range(12)])
    labels = np.arange(12) % 3
    grain = rng.normal(0, 1, stack.shape) * (8 * labels[:, None, None, None])
    return np.clip(stack + grain, 0, 255).astype(np.uint8), labels


def new_model(preset: Preset = SMALL, classes: int = 3) -> DNADet:
    torch.manual_seed(0)
    return DNADet(classes, preset.width, input=preset.input)


def train(images, folder: Path | None = None, *, preset=SMALL, seed=0, batches=None, **keywords):
    """Train a new model; return it with its history."""
    model = new_model(preset)

    def validate(candidate: DNADet) -> tuple[np.ndarray, np.ndarray]:
        embedded = infer(candidate, [prepare(candidate, image) for image in images[0]]).embeddings
        return images[1], probabilities_of(candidate, embedded).argmax(dim=1).numpy()

    batches = batches or PatchBatches(*images, preset)
    kept = keep(*images)
    key = RunKey(preset, seed, model.classes, "", kept, kept)
    run = RunFolder(folder, key) if folder else None
    history = fit(model, batches, validate, preset, seed=seed, run_folder=run, **keywords)
    return model, history


def assert_same(first: DNADet, second: DNADet) -> None:
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def differ(first: DNADet, second: DNADet) -> bool:
    return not torch.equal(first.main[0].main[0].weight, second.main[0].main[0].weight)


class KilledBatches(PatchBatches):
    """Dies in the middle of its second epoch, as a killed process would."""

    epochs = 0

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.epochs += 1
        for number, batch in enumerate(super().epoch(rng)):
            if (self.epochs, number) == (2, 1):
                raise KeyboardInterrupt
            yield batch


@pytest.mark.parametrize("preset", [SMALL, SMALL_STEPS], ids=["one-cycle", "step"])
def test_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(images, tmp_path, preset):
    whole, history = train(images, tmp_path / "whole", preset=preset)
    with pytest.raises(KeyboardInterrupt):
        train(images, tmp_path / "halted", preset=preset, batches=KilledBatches(*images, preset))
    torch.manual_seed(99)  # whatever happened in between
    resumed, resumed_history = train(images, tmp_path / "halted", preset=preset)
    assert_same(whole, resumed)
    assert resumed_history == history
    written = [(tmp_path / run / "history.csv").read_bytes() for run in ("whole", "halted")]
    assert written[0] == written[1]


def test_run_killed_in_an_epoch_goes_on_from_the_state_it_left(images, tmp_path):
    whole, history = train(images)
    with pytest.raises(KeyboardInterrupt):
        train(images, tmp_path, batches=KilledBatches(*images, SMALL))
    assert (tmp_path / "state.pt").is_file()
    assert not (tmp_path / "model.safetensors").exists()
    resumed, resumed_history = train(images, tmp_path)
    assert_same(whole, resumed)
    assert resumed_history == history
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]  # nothing half-written


def test_finished_run_is_not_trained_again(images, tmp_path):
    model, history = train(images, tmp_path)
    batches = KilledBatches(*images, SMALL)
    again, same_history = train(images, tmp_path, batches=batches)
    assert batches.epochs == 0
    assert_same(model, again)
    assert same_history == history


def test_a_folder_of_another_run_is_refused(images, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(images, tmp_path, batches=KilledBatches(*images, SMALL))
    with pytest.raises(OtherRunError, match=r"state\.pt was made with seed 0, not 1: choose"):
        train(images, tmp_path, seed=1)
    with pytest.raises(OtherRunError, match=r"another preset \(contrast=True, now False\)"):
        train(images, tmp_path, preset=replace(SMALL, contrast=False))


def test_seed_decides(images):
    first, history = train(images, seed=1)
    again, same_history = train(images, seed=1)
    other, _ = train(images, seed=2)
    assert_same(first, again)
    assert history == same_history
    assert differ(first, other)


def test_history_and_state_are_written_and_the_model_is_left_to_the_caller(images, tmp_path):
    _, history = train(images, tmp_path)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0].split(",")[:4] == ["epoch", "classification", "contrast", "train_accuracy"]
    assert len(lines) == 1 + len(history) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "state.pt"]


def scripted(scores: list[float]):
    """A validation that gives these accuracies, and keeps the weights it was shown."""
    truth, shown = np.zeros(10, int), []

    def validate(model: DNADet) -> tuple[np.ndarray, np.ndarray]:
        right = round(10 * scores[len(shown)])
        shown.append({k: v.clone() for k, v in model.state_dict().items()})
        return truth, np.array([0] * right + [1] * (10 - right))

    return validate, shown


@pytest.mark.parametrize(
    ("scores", "epochs", "best"),
    [
        ([0.5, 0.9, 0.2, 0.3, 0.9, 0.9], 4, 1),  # two epochs without a better one end it
        ([0.5, 0.5, 0.5, 0.5], 3, 0),  # on ties the first one is kept
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6, 5),  # it goes on as long as it gets better
    ],
)
def test_early_stopping_keeps_the_best_epoch(images, scores, epochs, best):
    preset = replace(SMALL, epochs=6, patience=2, steps_per_epoch=1)
    validate, shown = scripted(scores)
    model = new_model()
    history = fit(model, PatchBatches(*images, preset), validate, preset, seed=0)
    assert len(history) == epochs
    for name, tensor in shown[best].items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_the_last_epoch_is_kept_where_the_preset_says_so(images):
    preset = replace(SMALL, patience=1, steps_per_epoch=1, select_by="last")
    validate, shown = scripted([0.9, 0.5, 0.2])
    model = new_model()
    assert len(fit(model, PatchBatches(*images, preset), validate, preset, seed=0)) == 3
    for name, tensor in shown[2].items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_training_learns_a_difference_in_grain(images):
    preset = replace(SMALL, epochs=6, patience=6, steps_per_epoch=8, items=4)
    _, history = train(images, preset=preset)
    assert history[-1]["classification"] < 0.5 * history[0]["classification"]
    assert history[-1]["train_accuracy"] > 0.9
    assert max(row["dev_accuracy"] for row in history) > 0.5


def test_double_softmax_is_a_switch(images):
    views, labels = next(PatchBatches(*images, SMALL).epoch(np.random.default_rng(0)))
    losses = {}
    for switch in (False, True):
        preset = replace(SMALL, double_softmax=switch)
        run = start_run(new_model(), preset, steps=1)
        torch.manual_seed(0)
        losses[switch] = train_step(run, views, labels)["classification"]
    assert losses[False] != losses[True]
    floor, ceiling = math.log(1 + 2 / math.e), math.log(2 + math.e)
    assert floor < losses[True] < ceiling  # what cross-entropy of three probabilities can be


def test_one_forward_pass_takes_all_patches(images):
    sizes = []
    run = start_run(new_model(), SMALL, steps=1)
    run.model.main.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    views, labels = next(PatchBatches(*images, SMALL).epoch(np.random.default_rng(0)))
    train_step(run, views, labels)
    assert sizes == [views.shape[0] * views.shape[1]]


def test_without_contrast_the_projection_head_stays_as_it_is(images):
    preset = replace(SMALL, contrast=False)
    run = start_run(new_model(), preset, steps=1)
    before = run.head[0].weight.clone()
    views, labels = next(PatchBatches(*images, preset).epoch(np.random.default_rng(0)))
    assert "contrast" not in train_step(run, views, labels)
    assert torch.equal(run.head[0].weight, before)


def test_loss_weights_stay_as_they_are_unless_they_are_learned(images):
    moved = {}
    for learned in (True, False):
        preset = replace(SMALL, learned_weights=learned)
        run = start_run(new_model(), preset, steps=1)
        before = [p.clone() for p in run.weights.parameters()]
        views, labels = next(PatchBatches(*images, preset).epoch(np.random.default_rng(0)))
        train_step(run, views, labels)
        moved[learned] = not all(map(torch.equal, before, run.weights.parameters()))
    assert moved == {True: True, False: False}


def test_learning_rate_falls_as_the_preset_says(images):
    run = start_run(new_model(), SMALL_STEPS, steps=4)
    batches = PatchBatches(*images, replace(SMALL_STEPS, steps_per_epoch=4))
    rates = []
    for views, labels in batches.epoch(np.random.default_rng(0)):
        rates.append(run.optimiser.param_groups[0]["lr"])
        train_step(run, views, labels)
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4])


def test_patch_batches_are_balanced_and_cut_from_their_own_image(images):
    preset = replace(SMALL, items=2, patches=3)
    views, labels = next(PatchBatches(*images, preset).epoch(np.random.default_rng(0)))
    assert views.shape == (6, 3, 32, 32, 3)
    assert np.bincount(labels).tolist() == [2, 2, 2]
    for patches, label in zip(views, labels, strict=True):
        own = images[0][images[1] == label]
        windows = np.lib.stride_tricks.sliding_window_view(own, (32, 32, 3), (1, 2, 3))
        for patch in patches:
            assert (windows[:, :, :, 0] == patch).all(axis=(-1, -2, -3)).any()


def test_whole_image_preset_takes_the_whole_image(images):
    preset = replace(get_preset("whole_raw"), items=1)
    views, labels = next(PatchBatches(*images, preset).epoch(np.random.default_rng(0)))
    assert views.shape == (3, 1, 48, 48, 3)
    for view, label in zip(views, labels, strict=True):
        assert (images[0][images[1] == label] == view[0]).all(axis=(1, 2, 3)).any()


def test_an_epoch_is_a_pass_over_the_images(images):
    preset = replace(SMALL, steps_per_epoch=None, items=2)
    batches = PatchBatches(*images, preset)
    assert batches.steps == 2 == len(list(batches.epoch(np.random.default_rng(0))))
    batches = PatchBatches(*images, replace(preset, steps_per_epoch=7))
    assert batches.steps == 7 == len(list(batches.epoch(np.random.default_rng(0))))


def test_transformations_are_applied_by_their_number(rng):
    transformations = image_transformations(64)
    images = np.stack([photograph(rng, 64, 64) for _ in range(3)])
    labels = np.array([0, 60, 100])
    changed = apply_transformations(images, labels, transformations, rng)
    for image, label, result in zip(images, labels, changed, strict=True):
        assert np.array_equal(result, transformations[label](image))


def test_pretraining_batches_show_every_transformation_in_time(rng):
    preset = replace(get_preset("smoke_pretrain"), items=200, steps_per_epoch=10)
    photographs = np.stack([photograph(rng, 64, 64) for _ in range(4)])
    batches = TransformationBatches(photographs, preset)
    seen: set[int] = set()
    for views, labels in batches.epoch(rng):
        assert views.shape == (200, preset.patches, 32, 32, 3)
        seen |= set(labels.tolist())
    assert len(seen) == 170


PAPER_CLASSES = {"paper_celeba": 5, "paper_lsun": 5, "paper_wild": 11}


@pytest.mark.parametrize("name", PAPER_CLASSES)
def test_one_step_of_a_paper_preset(name, rng):
    preset = replace(get_preset(name), items=2)
    classes = PAPER_CLASSES[name]
    images = np.stack([photograph(rng, 128, 128) for _ in range(2 * classes)])
    labels = np.repeat(np.arange(classes), 2)
    check_one_step(preset, classes, PatchBatches(images, labels, preset), 2 * classes)


def test_one_step_of_the_paper_pretraining(rng):
    preset = replace(get_preset("paper_pretrain"), items=2)
    photographs = np.stack([photograph(rng, 160, 160) for _ in range(2)])
    check_one_step(preset, 170, TransformationBatches(photographs, preset), 2)


def check_one_step(preset: Preset, classes: int, batches, items: int) -> None:
    """Take one step and see that every part moved, from the loss of a guess."""
    views, labels = next(iter(batches.epoch(np.random.default_rng(0))))
    assert views.shape == (items, 16, 64, 64, 3)
    model = new_model(preset, classes)
    run = start_run(model, preset, batches.steps)
    before = [p.detach().clone() for p in (*model.parameters(), *run.head.parameters())]
    losses = train_step(run, views, labels)
    assert losses["classification"] == pytest.approx(math.log(classes), rel=0.4)
    assert 0 < losses["contrast"] < 20
    after = (*model.parameters(), *run.head.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert (run.weights.scales != 1).all()
    groups = run.optimiser.param_groups
    assert [group["initial_lr"] for group in groups] == [preset.learning_rate, 0.01]
    assert model(normalise(torch.from_numpy(views[0, :2]))).isfinite().all()


def test_the_line_of_an_epoch_fits_a_page() -> None:
    row = {"epoch": 12, "classification": 1.83456, "contrast": 12.334, "train_accuracy": 0.398,
           "dev_accuracy": 0.5, "dev_macro_f1": 0.25, "score": 0.25}  # fmt: skip
    line = epoch_line(row)
    assert line.startswith("epoch 12  classification 1.835  contrast 12.334  train accuracy 0.398")
    assert line.endswith("dev accuracy 0.500  dev F1 0.250")
    assert len(line) < 104
