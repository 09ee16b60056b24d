"""The trainer of the zoo and its losses, on small crops of the shipped photographs."""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import gan_losses
import numpy as np
import pytest
import torch
import train_gan
from gan_losses import RECIPES
from torch import nn

from dnadet_lib import zoo

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def few_crops(monkeypatch):
    monkeypatch.setattr(train_gan, "TRAINING_CROPS", 48)


@pytest.fixture(scope="module")
def plan() -> dict[str, train_gan.Entry]:
    return train_gan.read_plan(train_gan.ZOO)


def trainer(entry: train_gan.Entry, **changes: object) -> train_gan.Trainer:
    return train_gan.Trainer(replace(entry, **{"steps": 4, **changes}), CPU)


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()]).clone()


def test_every_loss_that_a_manifest_may_name_can_be_trained():
    assert set(RECIPES) == set(zoo.LOSSES)


def test_squared_mmd_of_two_points_each():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [3.0]])
    # Distances 1 within x, 0 within y, 3 and 2 between: 2 * 2.5 - 1 - 0.
    assert gan_losses.squared_mmd(gan_losses.energy, x, y).item() == pytest.approx(4, abs=1e-3)

    def kernel(squared: float) -> float:
        return sum((1 + squared / (2 * a)) ** -a for a in (0.2, 0.5, 1.0, 2.0, 5.0))

    expected = kernel(1) + kernel(0) - (kernel(9) + kernel(4))
    found = gan_losses.squared_mmd(gan_losses.rational_quadratic, x, y).item()
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kernel", [gan_losses.energy, gan_losses.rational_quadratic])
def test_squared_mmd_is_zero_on_average_between_samples_alike(kernel):
    torch.manual_seed(0)
    alike = [gan_losses.squared_mmd(kernel, *torch.randn(2, 50, 3)).item() for _ in range(40)]
    apart = gan_losses.squared_mmd(kernel, torch.randn(50, 3), torch.randn(50, 3) + 1).item()
    mean = sum(alike) / len(alike)
    assert abs(mean) < 0.02
    assert apart > 10 * abs(mean)


def test_hinge_and_logistic_losses_of_known_scores():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert gan_losses.hinge(real, fake).item() == pytest.approx(0.25 + 0.5)
    undecided = RECIPES["non-saturating"].critic_loss(lambda x: x * 0, real, fake)
    assert undecided.item() == pytest.approx(2 * math.log(2))


def test_rotation_asks_for_the_turn_of_each_image():
    upright = torch.randint(0, 100, (8, 3, 64, 64)).float()  # whole numbers: sums are exact
    known = {upright[k].rot90(t, (1, 2)).sum((0, 2)).numpy().tobytes(): t
             for k in range(2) for t in range(4)}  # fmt: skip

    def critic(images: torch.Tensor) -> torch.Tensor:
        turns = torch.tensor([known[i.sum((0, 2)).numpy().tobytes()] for i in images])
        return torch.cat([torch.zeros(len(images), 1), 50.0 * torch.eye(4)[turns]], dim=1)

    assert gan_losses.rotation(critic, upright).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", RECIPES)
def test_critic_and_generator_both_learn(plan, loss):
    run = trainer(plan["MMDGAN_meadow_s0"], loss=loss)
    before = weights(run.critic), weights(run.generator), weights(run.average)
    assert all(math.isfinite(value) for value in run.train_step())
    after = weights(run.critic), weights(run.generator), weights(run.average)
    for old, new in zip(before, after, strict=True):
        assert new.isfinite().all()
        assert not torch.equal(old, new)


@pytest.mark.parametrize("loss", RECIPES)
def test_critic_step_improves_the_critic_on_a_batch(plan, loss):
    run = trainer(plan["MMDGAN_meadow_s0"], loss=loss)
    torch.manual_seed(0)
    real, fake = run._real(), torch.randn(16, 3, 64, 64).clamp(-1, 1)
    losses = []
    for _ in range(12):
        torch.manual_seed(1)  # the gradient penalty draws its points anew
        value = run.recipe.critic_loss(run.critic, real, fake)
        run._descend("critic", value)
        losses.append(value.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("loss", ("mmd", "cramer"))
def test_repulsive_critic_wants_real_images_apart_and_generated_ones_together(loss):
    near, far = 0.1 * torch.randn(2, 16, 8), 3 * torch.randn(2, 16, 8)
    critic_loss = RECIPES[loss].critic_loss
    assert critic_loss(torch.nn.Identity(), far[0], near[0]) < 0
    assert critic_loss(torch.nn.Identity(), near[1], far[1]) > 0


def test_critic_of_the_energy_distance_lets_go_of_what_is_far_apart():
    real = torch.tensor([[0.0], [1.0], [20.0]], requires_grad=True)
    gan_losses.bounded_energy(real, real).sum().backward()
    assert real.grad[2] == 0
    assert real.grad[0] != 0
    assert gan_losses.bounded_energy(real, real).min() == -4


def test_resumed_run_goes_on_as_if_it_had_not_stopped(plan):
    entry = plan["SNGAN_meadow_s0"]
    whole = trainer(entry)
    whole.train_step()
    buffer = io.BytesIO()
    torch.save(whole.state(), buffer)
    whole.train_step()
    buffer.seek(0)
    second = trainer(entry)
    second.restore(torch.load(buffer, weights_only=True))
    second.train_step()
    for name in ("generator", "critic", "average"):
        assert torch.equal(weights(getattr(whole, name)), weights(getattr(second, name)))


def test_fine_tuning_starts_from_the_shipped_weights_on_other_photographs(plan):
    entry = plan["SNGAN_meadow_finetuned"]
    run = trainer(entry)
    shipped = {g.name: g for g in zoo.read_manifest()}["SNGAN_meadow_s0"].load()
    assert torch.equal(weights(run.generator), weights(shipped))
    assert not torch.equal(run.crops, trainer(plan["SNGAN_meadow_s0"]).crops)

    seen = []
    critic_step = run._critic_step
    run._critic_step = lambda: (seen.append(weights(run.generator)), critic_step())[1]
    run.train_step()
    assert len(seen) == 5  # the new critic alone for as many steps as are planned, then both
    assert all(torch.equal(w, weights(shipped)) for w in seen)
    assert not torch.equal(weights(run.generator), weights(shipped))
    run.train_step()
    assert len(seen) == 6


def test_fine_tuning_what_is_not_there_names_it(plan):
    entry = replace(plan["SNGAN_meadow_finetuned"], finetuned_from="SNGAN_meadow_s9")
    with pytest.raises(ValueError, match="_finetuned, finetuned_from: 'SNGAN_meadow_s9'"):
        train_gan.Trainer(entry, CPU)


def test_plan_is_a_controlled_experiment(plan):
    generators = [
        zoo.Generator(**{**vars(e), "file": Path("x"), "sha256": "0"}) for e in plan.values()
    ]
    counts = Counter(zoo.setup_of(g, generators) for g in generators)
    assert counts == {"closed": 4, "dev": 10, "seed": 12, "loss": 7, "finetune": 4, "dataset": 4,
                      "unknown": 4}  # fmt: skip
    for entry in plan.values():
        if entry.finetuned_from:
            assert 0.1 <= entry.steps / plan[entry.finetuned_from].steps <= 0.2
    losses = {e.architecture: {o.loss for o in plan.values() if o.architecture == e.architecture}
              for e in plan.values() if e.role == "train"}  # fmt: skip
    own = {e.architecture: e.loss for e in plan.values() if e.role == "train"}
    for name, found in losses.items():  # every class meets a loss that is another class's own
        assert found & (set(own.values()) - {own[name]}), name


def test_name_that_is_not_planned(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train_gan.py", "--name", "SNGAN_meadow_s99"])
    with pytest.raises(SystemExit):
        train_gan.main()
    assert "'SNGAN_meadow_s99' is not in zoo/plan.csv; entries: ProGAN_" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["text", "list", "nan"])
def test_a_state_with_a_fault_is_named(tmp_path, fault):
    file = tmp_path / "state.pt"
    if fault == "text":
        file.write_text("no state")
    elif fault == "list":
        torch.save([1], file)
    else:
        weights = {"to_rgb.bias": torch.tensor([1.0, float("nan")])}
        torch.save({"modules": {"generator": weights}}, file)
    named = "tensor 'generator.to_rgb.bias' holds 1 num" if fault == "nan" else "no state of a trai"
    with pytest.raises(ValueError, match=f"state.pt: {named}"):
        train_gan.read_state(file, torch.device("cpu"))


def test_a_generator_that_diverged_is_not_published(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(train_gan, "ZOO", tmp_path)
    run = trainer(plan["SNGAN_meadow_s0"])
    averaged = run.averaged_generator()
    with torch.no_grad():
        next(iter(averaged.parameters())).view(-1)[0] = 1e6  # finite, but not in fp16
    monkeypatch.setattr(run, "averaged_generator", lambda: averaged)
    with pytest.raises(ValueError, match="SNGAN_meadow_s0: not published: tensor .* not finite"):
        train_gan.publish(run, np.zeros((2, 64, 64, 3), np.uint8), tmp_path, "train it")
    assert list(tmp_path.iterdir()) == []
