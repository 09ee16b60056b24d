"""What a run resumes from: another run's state or model is told, and never taken for its own."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import photograph

from dnadet_lib import training
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.data import ImageSet
from dnadet_lib.model import DNADet
from dnadet_lib.presets import get_preset
from dnadet_lib.stages import stage_2 as stages
from dnadet_lib.stages.folder import MODEL, STATE, OtherRunError
from dnadet_lib.stages.stage_1 import photograph_crops, run_pretraining
from dnadet_lib.stages.stage_2 import run_training

CLASSES = ("plain", "paired")
FEW = replace(get_preset("smoke"), epochs=1, steps_per_epoch=1, items=2)
TWO = replace(FEW, epochs=2)
SOLVED = replace(get_preset("pocket_plain"), width=8, discriminant=2)


def labelled(folder: Path, count: int, seed: int) -> ImageSet:
    """Photographs, every other one with pixels in pairs, as upsampling leaves them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    paths = [folder / f"{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        image = photograph(rng, 64, 64)
        image = image[::2, ::2].repeat(2, 0).repeat(2, 1) if i % 2 else image
        Image.fromarray(image).save(path)
    return ImageSet(paths, np.arange(count) % 2, CLASSES)


@pytest.fixture
def sets(tmp_path: Path) -> tuple[ImageSet, ImageSet]:
    return labelled(tmp_path / "train", 10, 0), labelled(tmp_path / "dev", 8, 1)


def stage_1(seed: int = 0) -> DNADet:
    torch.manual_seed(seed)
    return DNADet(170, 8, input=SOLVED.input).eval()


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def relabelled(images: ImageSet) -> ImageSet:
    labels = images.labels.copy()
    labels[[3, 4]] = 1 - labels[[3, 4]]
    return replace(images, labels=labels)


def renamed(images: ImageSet) -> ImageSet:
    return replace(images, classes=("plain", "tripled"))


def of_other_makers(images: ImageSet) -> ImageSet:
    return replace(images, sources=[f"g{i % 4}" for i in range(len(images))])


def redrawn(images: ImageSet) -> ImageSet:
    """Put another image in the place of one, in a file of its size and time."""
    copied = images.paths[0].parent.with_name(f"{images.paths[0].parent.name}_redrawn")
    shutil.copytree(images.paths[0].parent, copied)
    Image.fromarray(photograph(np.random.default_rng(9), 64, 64)).save(copied / "2.png")
    return replace(images, paths=[copied / path.name for path in images.paths])


CHANGES = {
    "labels": (
        lambda t, d: (relabelled(t), d), r"other labels \(2 of 10 differ, such as \S*3\.png\)",
    ),
    "images": (lambda t, d: (redrawn(t), d), r"other images \(1 of 10 differ, such as \S*2\.png\)"),
    "fewer": (lambda t, d: (t.take(np.arange(8)), d), r"other images \(10, now 8\)"),
    "order": (lambda t, d: (t.take(np.arange(10)[::-1]), d), r"the same in another order"),
    "classes": (
        lambda t, d: (renamed(t), renamed(d)),
        r"other class names \(plain, paired; now plain, tripled\)",
    ),
    "dev labels": (lambda t, d: (t, relabelled(d)), r"other dev labels \(2 of 8 differ"),
    "dev images": (lambda t, d: (t, redrawn(d)), r"other dev images \(1 of 8 differ"),
    "dev sources": (lambda t, d: (t, of_other_makers(d)), "other dev sources"),
}  # fmt: skip


@pytest.mark.parametrize("preset", [FEW, SOLVED], ids=["trained", "solved"])
@pytest.mark.parametrize("change", CHANGES)
def test_other_material_is_refused_and_named(sets, tmp_path, preset, change):
    run_training(preset, *sets, pretrained=stage_1(), folder=tmp_path / "run")
    before = contents(tmp_path / "run")
    alter, message = CHANGES[change]
    with pytest.raises(OtherRunError, match=message) as refused:
        run_training(preset, *alter(*sets), pretrained=stage_1(), folder=tmp_path / "run")
    assert "choose another folder, or remove its state.pt and model.safetensors" in str(refused)
    assert "\n" not in str(refused.value)
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("left", ["all", "state", "model"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pretrained": stage_1(1)}, "another pre-trained network"),
        ({"preset": replace(FEW, items=3)}, r"another preset \(items=2, now 3\)"),
        ({"seed": 5}, "seed 0, not 5"),
    ],
    ids=["stage 1", "preset", "seed"],
)
def test_another_start_is_refused_by_state_and_by_model(sets, tmp_path, left, arguments, message):
    own = {"preset": FEW, "pretrained": stage_1(), "seed": 0}
    run_training(train=sets[0], dev=sets[1], folder=tmp_path / "run", **own)
    if left != "all":
        (tmp_path / "run" / {"state": MODEL, "model": STATE}[left]).unlink()
    with pytest.raises(OtherRunError, match=message):
        run_training(train=sets[0], dev=sets[1], folder=tmp_path / "run", **own | arguments)


@pytest.mark.parametrize("preset", [FEW, SOLVED], ids=["trained", "solved"])
def test_a_finished_run_is_left_as_it_is(sets, tmp_path, capsys, preset, monkeypatch):
    model, history = run_training(preset, *sets, pretrained=stage_1(), folder=tmp_path / "run")
    before = contents(tmp_path / "run")
    for name in ("fit", "fit_discriminant", "calibrate"):
        monkeypatch.setattr(stages, name, None)  # nothing is done again
    again, same = run_training(preset, *sets, pretrained=stage_1(), folder=tmp_path / "run")
    assert "model.safetensors: already trained" in capsys.readouterr().out
    assert contents(tmp_path / "run") == before
    assert same == history
    assert again.threshold == model.threshold
    assert torch.equal(again.classification_head[1].weight, model.classification_head[1].weight)


def test_stage_1_is_kept_by_its_photographs_preset_and_start(world, tmp_path, capsys, monkeypatch):
    preset = replace(get_preset("smoke_pretrain"), epochs=1, steps_per_epoch=1)
    run = lambda own=preset, **changes: run_pretraining(  # noqa: E731
        own, profile="smoke", folder=tmp_path, **changes
    )
    first, _ = run()
    again, _ = run()
    assert "already trained" in capsys.readouterr().out
    assert torch.equal(first.main[0].main[0].weight, again.main[0].main[0].weight)
    with pytest.raises(OtherRunError, match="no pre-trained network"):
        run(start_from=first)
    with pytest.raises(OtherRunError, match="learning_rate=0.001, now 0.1"):
        run(replace(preset, learning_rate=0.1))
    crops = photograph_crops
    monkeypatch.setattr("dnadet_lib.stages.stage_1.photograph_crops", lambda *a: 255 - crops(*a))
    with pytest.raises(OtherRunError, match=r"other images \(60 of 60 differ\)"):
        run()


# Files that are no state -------------------------------------------------------------------------


def test_a_state_of_old_does_not_say_what_it_was_made_from(sets, tmp_path):
    torch.save({"parts": [], "history": [], "best": {}, "made_with": "seed 0"}, tmp_path / STATE)
    with pytest.raises(OtherRunError, match="state.pt does not say what .* choose another folder"):
        run_training(FEW, *sets, folder=tmp_path)


def test_a_model_of_unknown_origin_is_not_overwritten(sets, tmp_path):
    save_model(stage_1(), tmp_path / MODEL, preset="pocket", seed=0)
    before = contents(tmp_path)
    with pytest.raises(OtherRunError, match="model.safetensors does not say what it was made"):
        run_training(SOLVED, *sets, pretrained=stage_1(), folder=tmp_path)
    assert contents(tmp_path) == before


class Planted:
    def __reduce__(self):
        return Path.touch, (Path("planted"),)


@pytest.mark.parametrize("kind", ["cut short", "empty", "text", "code", "tensor", "no parts"])
def test_what_is_no_state_gets_one_line(sets, tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = tmp_path / "run" / STATE
    run_training(FEW, *sets, folder=state.parent)
    (state.parent / MODEL).unlink()
    whole = state.read_bytes()
    if kind == "code":
        torch.save(Planted(), state)
    elif kind == "tensor":
        torch.save(torch.zeros(3), state)
    elif kind == "no parts":
        torch.save({"key": torch.load(state, weights_only=True)["key"], "parts": []}, state)
    else:
        state.write_bytes({"cut short": whole[:-500], "empty": b"", "text": b"hello\n"}[kind])
    with pytest.raises(ValueError, match=f"^{re.escape(str(state))}") as refused:
        run_training(FEW, *sets, folder=state.parent)
    message = str(refused.value)
    assert "\n" not in message and "remove" in message and "weights_only" not in message
    assert not (tmp_path / "planted").exists()
    assert not (state.parent / MODEL).exists()


# Killed and failing runs -------------------------------------------------------------------------


def test_a_run_killed_before_it_is_calibrated_leaves_no_model(sets, tmp_path, monkeypatch):
    whole, _ = run_training(TWO, *sets, folder=tmp_path / "whole")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dnadet_lib.stages.stage_2.calibrate", killed)
        with pytest.raises(KeyboardInterrupt):
            run_training(TWO, *sets, folder=tmp_path / "run")
    assert sorted(contents(tmp_path / "run")) == ["history.csv", STATE]
    run_training(TWO, *sets, folder=tmp_path / "run")
    model = load_model(tmp_path / "run" / MODEL)
    assert np.isfinite(model.threshold) and model.reference is not None
    assert (tmp_path / "run" / MODEL).read_bytes() == (tmp_path / "whole" / MODEL).read_bytes()
    assert model.temperature == whole.temperature


def test_after_every_epoch_the_best_model_so_far_is_there_calibrated(sets, tmp_path, monkeypatch):
    three, whole = replace(FEW, epochs=3), training.train_epoch

    def killed_in_the_second(run, batches, preset, seed, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        return whole(run, batches, preset, seed, epoch)

    with monkeypatch.context() as patch:
        patch.setattr("dnadet_lib.training.train_epoch", killed_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            run_training(three, *sets, folder=tmp_path / "run")
    best, dev = load_model(tmp_path / "run" / "best.safetensors"), sets[1]
    assert best.classes == CLASSES
    assert best.temperature != 1 and np.isfinite(best.threshold)
    found = best.attribute(dev.paths)
    assert np.mean(found.known) >= 0.9
    saved = torch.load(tmp_path / "run" / STATE, weights_only=True)["best"]
    assert all(torch.equal(best.state_dict()[name], saved[name]) for name in saved)
    run_training(three, *sets, folder=tmp_path / "run")
    assert sorted(contents(tmp_path / "run")) == ["history.csv", MODEL, STATE]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), RuntimeError("disk full")])
def test_a_state_that_cannot_be_written_leaves_the_one_before(sets, tmp_path, monkeypatch, error):
    kept = {}

    def half(state, path):
        if (tmp_path / STATE).exists():
            kept.update(contents(tmp_path))
            Path(path).write_bytes(b"half of it")
            raise error
        save(state, path)

    save = torch.save
    monkeypatch.setattr(torch, "save", half)
    expected = OSError if isinstance(error, RuntimeError) else type(error)
    with pytest.raises(expected) as raised:
        run_training(TWO, *sets, folder=tmp_path)
    if expected is OSError:
        assert "state.pt: cannot be written (disk full); what was there is kept" in str(raised)
    assert contents(tmp_path)[STATE] == kept[STATE]
    assert not [name for name in contents(tmp_path) if name.startswith(".")]
    monkeypatch.undo()
    _, history = run_training(TWO, *sets, folder=tmp_path)
    assert len(history) == 2


def test_training_that_diverges_says_where_and_keeps_the_state(sets, tmp_path, monkeypatch):
    step, calls = training.train_step, []

    def diverging(run, views, labels):
        calls.append(1)
        if len(calls) == 2:
            next(run.model.parameters()).data.fill_(float("nan"))
        return step(run, views, labels)

    monkeypatch.setattr("dnadet_lib.training.train_step", diverging)
    message = r"^epoch 2, step 1: training diverges, the loss is nan; try a preset with a smaller"
    with pytest.raises(ValueError, match=message):
        run_training(TWO, *sets, folder=tmp_path)
    state = torch.load(tmp_path / STATE, weights_only=True)
    assert len(state["history"]) == 1
    assert not (tmp_path / MODEL).exists()


def test_weights_that_are_lost_in_the_last_step_are_found(sets, tmp_path, monkeypatch):
    step = training.train_step

    def losing(run, *rest):
        row = step(run, *rest)
        next(run.model.parameters()).data.fill_(float("inf"))
        return row

    monkeypatch.setattr("dnadet_lib.training.train_step", losing)
    with pytest.raises(ValueError, match="epoch 1, step 1: training diverges, the sum of some"):
        run_training(FEW, *sets, folder=tmp_path / "run")
    assert contents(tmp_path / "run") == {}


def test_a_folder_that_cannot_be_written_is_told_before_the_first_epoch(
    sets, tmp_path, monkeypatch
):
    monkeypatch.setattr("dnadet_lib.stages.stage_1.fit", None)
    monkeypatch.setattr("dnadet_lib.stages.stage_2.fit", None)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="cannot be written"):
        run_training(FEW, *sets, folder=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# What cannot be trained on -----------------------------------------------------------------------


def test_one_class_is_refused_before_an_image_is_read(tmp_path):
    images = ImageSet([tmp_path / "nowhere.png"] * 4, np.zeros(4, int), ("Real",))
    with pytest.raises(ValueError, match="one class only, 'Real': give images of two or more"):
        run_training(FEW, images, images, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_dev_images_of_one_class_are_refused_and_absent_classes_named(sets, tmp_path, capsys):
    train, dev = sets
    with pytest.raises(ValueError, match="dev images are of 1 of the 2 classes: two or more"):
        run_training(FEW, train, dev.take(np.flatnonzero(dev.labels == 0)))
    third = replace(train, labels=np.arange(10) % 3, classes=(*CLASSES, "tripled"))
    run_training(FEW, third, dev)
    assert "no dev image of tripled: epoch, temperature" in capsys.readouterr().err


def test_a_dev_class_that_train_has_not_is_found_before_the_first_epoch(sets, monkeypatch):
    monkeypatch.setattr("dnadet_lib.stages.stage_1.fit", None)
    monkeypatch.setattr("dnadet_lib.stages.stage_2.fit", None)
    dev = replace(sets[1], classes=("plain", "other"))
    with pytest.raises(ValueError, match="class other has no training images; train: plain"):
        run_training(FEW, sets[0], dev)


def test_a_dev_image_smaller_than_a_patch_is_found_before_the_first_epoch(sets, monkeypatch):
    monkeypatch.setattr("dnadet_lib.stages.stage_1.fit", None)
    monkeypatch.setattr("dnadet_lib.stages.stage_2.fit", None)
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(sets[1].paths[5])
    with pytest.raises(ValueError, match=r"dev.5\.png: image is 20x20 pixels, smaller than a"):
        run_training(FEW, *sets)


@pytest.mark.parametrize("preset", [FEW, SOLVED], ids=["trained", "solved"])
def test_copies_of_one_image_are_refused(sets, preset):
    train, dev = sets
    for path in train.paths[2::2]:
        shutil.copy(train.paths[0], path)
    with pytest.raises(ValueError, match=r"class 'plain' has 5 copies of one image \(\S*0\.png\)"):
        run_training(preset, train, dev, pretrained=stage_1())
    with pytest.raises(ValueError, match="class 'paired' has a single image"):
        run_training(preset, train.take(np.array([1, 2])).joined(dev.take(np.array([0]))), dev,
                     pretrained=stage_1())  # fmt: skip


def test_fewer_images_than_channels_still_solve_a_discriminant(sets):
    train, dev = sets
    few = train.take(np.arange(6))  # of 16 statistics: the covariance is shrunk
    model, _ = run_training(SOLVED, few, dev, pretrained=stage_1())
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    with pytest.raises(ValueError, match="too few or too much alike .* three or more of each"):
        run_training(SOLVED, train.take(np.arange(4)), dev, pretrained=stage_1())


def test_images_that_look_the_same_to_the_network_are_told(sets):
    train, dev = sets
    blind = stage_1()
    for block in blind.main:
        block.main[0].weight.data.zero_()
    with pytest.raises(ValueError, match="too much alike to solve a discriminant"):
        run_training(SOLVED, train, dev, pretrained=blind)
