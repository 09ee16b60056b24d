"""Generators abroad: their plan, their architectures, and a run that goes on after a kill."""

from __future__ import annotations

import copy
import shutil
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import architectures
import numpy as np
import pytest
import torch
import train_abroad
import train_gan
from PIL import Image

from dnadet_lib.zoo.photographs import load_photographs

PLAN = train_abroad.read_plan()
TINY = replace(PLAN["progan_a"], size=16, width=4, latent=8, batch=4, steps=6)


@pytest.fixture(autouse=True)
def few_photographs(monkeypatch, tmp_path: Path) -> None:
    two = load_photographs("stamps", "train")[:2]
    monkeypatch.setattr(train_abroad, "load_photographs", lambda content, group: two)
    monkeypatch.setattr(train_abroad, "CROPS", 20)
    monkeypatch.setattr(train_abroad, "IMAGES", {16: 12})
    shutil.copy(train_abroad.ABROAD / "plan.csv", tmp_path)
    monkeypatch.setattr(train_abroad, "ABROAD", tmp_path)
    monkeypatch.setattr(train_abroad, "sliced_wasserstein", lambda a, b: {16: 1.0})


def test_each_class_has_two_generators_for_choices_and_two_for_reports():
    counts = {(e.architecture, e.role): 0 for e in PLAN.values()}
    for entry in PLAN.values():
        counts[entry.architecture, entry.role] += 1
    assert counts == {
        (name, role): 2
        for name in ("ProGAN", "MMDGAN", "SNGAN", "InfoMaxGAN") for role in ("dev", "test")
    }  # fmt: skip


def test_two_generators_of_a_class_differ_in_many_things():
    entries = list(PLAN.values())
    for a in entries:
        for b in entries:
            if a.architecture == b.architecture and a.name < b.name:
                first, second = asdict(a), asdict(b)
                assert sum(first[k] != second[k] for k in first) >= 8, (a.name, b.name)


@pytest.mark.parametrize("name", PLAN)
def test_planned_generators_draw_images_of_their_size(name: str):
    entry = PLAN[name]
    options = {k: getattr(entry, k) for k in ("latent", "width", "size", "bias")}
    with torch.device("meta"):
        generator = architectures.build(entry.architecture, **options)
        drawn = generator(torch.randn(2, entry.latent))
    assert drawn.shape == (2, 3, entry.size, entry.size)


def second_difference(architecture: str) -> torch.Tensor:
    """Mean second difference of an untrained generator's first enlargement, by column parity."""
    torch.manual_seed(0)
    generator = architectures.build(architecture, latent=8, width=4, size=16, bias=True)
    block = generator.blocks[0]
    x = block._larger(torch.randn(4, 3, 8, 8))
    return (x[..., 1:] - x[..., :-1]).abs().mean(dim=(0, 1, 2))


def test_sngan_repeats_pixels_and_infomaxgan_blends_them():
    assert second_difference("SNGAN")[::2].max() == 0
    assert second_difference("InfoMaxGAN")[::2].min() > 0


def test_priors():
    many = {prior: train_abroad.latents(replace(TINY, prior=prior), 500)
            for prior in ("normal", "uniform", "sphere")}  # fmt: skip
    assert many["uniform"].abs().max() <= 1
    assert many["normal"].abs().max() > 2
    assert torch.allclose(many["sphere"].norm(dim=1), torch.tensor(8**0.5))


def test_gradient_penalty_is_none_where_the_slope_is_one():
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1, bias=False))
    direction = torch.nn.functional.normalize(torch.randn(1, 12))
    real, fake = torch.randn(2, 5, 3, 2, 2)
    for scale, wanted in ((1, 0), (3, 40)):
        flat[1].weight.data = scale * direction
        found = train_abroad.gradient_penalty(flat, real, fake).item()
        assert found == pytest.approx(wanted, abs=1e-4)


def test_each_loss_leads_critic_and_generator_apart():
    good, bad = torch.tensor([3.0]), torch.tensor([-3.0])
    for kind in {entry.loss for entry in PLAN.values()}:
        told_apart = train_abroad.critic_loss(kind, good, bad)
        assert told_apart < train_abroad.critic_loss(kind, bad, good), kind
        taken_for_real = train_abroad.generator_loss(kind, torch.tensor([1.0]))
        assert taken_for_real < train_abroad.generator_loss(kind, bad), kind


@pytest.mark.parametrize("start", ["gan", "vae"])
def test_a_resumed_run_is_the_run_that_was_not_stopped(start: str):
    entry = replace(TINY, start=start)
    whole = train_abroad.Trainer(entry)
    for _ in range(3):
        whole.train_step()
    state = copy.deepcopy(whole.state())
    for _ in range(3):
        whole.train_step()
    resumed = train_abroad.Trainer(entry)
    resumed.restore(state)
    for _ in range(3):
        resumed.train_step()
    assert np.array_equal(whole.sample(5), resumed.sample(5))


def test_a_killed_run_goes_on_from_its_file(tmp_path: Path, capsys):
    folder = tmp_path / "runs" / TINY.name
    folder.mkdir(parents=True)
    begun = train_abroad.Trainer(TINY)
    begun.train_step()
    torch.save(begun.state(), folder / "state.pt")
    train_abroad.train(TINY, tmp_path / "runs")
    assert f"{TINY.name}: resumed at step 1" in capsys.readouterr().out
    (folder / "state.pt").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="state.pt: no state of a trainer; remove it to begin"):
        train_abroad.train(TINY, tmp_path / "runs")


FORMATS = [("png", "png"), ("jpeg95", "jpg"), ("webp90", "webp")]


@pytest.mark.parametrize(("form", "suffix"), FORMATS)
def test_images_are_published_in_their_format(tmp_path: Path, form: str, suffix: str):
    (tmp_path / "runs" / TINY.name).mkdir(parents=True)
    train_abroad.train(replace(TINY, format=form), tmp_path / "runs")
    assert train_gan.manifest_rows(tmp_path)[TINY.name]["images"] == "12"
    with zipfile.ZipFile(tmp_path / f"{TINY.name}.zip") as archive:
        names = archive.namelist()
        assert names == [f"{index:05d}.{suffix}" for index in range(12)]
        with Image.open(archive.open(names[0])) as image:
            assert image.size == (16, 16)
