"""The trainer of the zoo and its losses, on small crops of the shipped photographs."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import augmentation
import gan_losses
import numpy as np
import pytest
import texture
import torch
import train_gan
from filelock import FileLock
from gan_losses import RECIPES
from safetensors.torch import load_file
from torch import nn

from dnadet_lib import zoo
from dnadet_lib.zoo.generators import ARCHITECTURES
from dnadet_lib.zoo.layers import LATENT
from dnadet_lib.zoo.layouts import thumbnails

PLANNED = train_gan.ZOO
STEPS = 4
ENTRY = train_gan.Entry("SNGAN_meadow_s0", "SNGAN", "hinge", "meadow", 0, "", "train", STEPS)
DCGAN = replace(ENTRY, name="MMDGAN_meadow_s0", architecture="MMDGAN", loss="mmd")
TUNED = replace(ENTRY, name="SNGAN_meadow_finetuned", finetuned_from="SNGAN_meadow_s0")


@pytest.fixture(autouse=True)
def few_crops(monkeypatch):
    monkeypatch.setattr(train_gan, "TRAINING_CROPS", 48)


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(autouse=True)
def codes_go_elsewhere(monkeypatch, runs):
    monkeypatch.setattr(train_gan, "ZOO", runs)


@pytest.fixture
def own_zoo(monkeypatch, tmp_path) -> Path:
    """A zoo of two planned generators, one fine-tuned from the other, and none trained."""
    fields = list(vars(ENTRY))
    with (tmp_path / "plan.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows([vars(ENTRY), vars(TUNED)])
    monkeypatch.setattr(train_gan, "ZOO", tmp_path)
    monkeypatch.setattr(train_gan, "measure", lambda *_: {"swd_64": 1.0})
    return tmp_path


@pytest.fixture
def plan(monkeypatch) -> dict[str, train_gan.Entry]:
    monkeypatch.setattr(train_gan, "ZOO", PLANNED)
    return train_gan.read_plan(train_gan.ZOO)


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
def test_critic_generator_and_average_all_learn(runs, loss):
    run = train_gan.Trainer(replace(DCGAN, loss=loss), runs)
    run.warm = 0
    before = weights(run.critic), weights(run.generator), weights(run.average)
    losses = run.train_step()
    assert set(losses) == {"pyramid", "patches", "likeness", "critic", "generator"}
    assert all(math.isfinite(value) for value in losses.values())
    after = weights(run.critic), weights(run.generator), weights(run.average)
    for old, new in zip(before, after, strict=True):
        assert new.isfinite().all()
        assert not torch.equal(old, new)


@pytest.mark.parametrize("loss", RECIPES)
def test_critic_step_improves_the_critic_on_a_batch(runs, loss):
    run = train_gan.Trainer(replace(DCGAN, loss=loss), runs)
    torch.manual_seed(0)
    real, fake = run._seen(run._real()[:16]), torch.randn(16, 6, 64, 64).clamp(-1, 1)
    losses = []
    for _ in range(12):
        torch.manual_seed(1)  # the gradient penalty draws its points anew
        value = run.recipe.critic_loss(run.critic, real, fake)
        run._descend("critic", value)
        losses.append(value.item())
    assert losses[-1] < losses[0]


def test_warm_up_learns_to_draw_photographs_before_the_critic_is_heard(runs):
    run = train_gan.Trainer(replace(DCGAN, steps=500), runs)
    assert run.warm == int(train_gan.WARM * 500) > 20
    losses = [run.train_step() for _ in range(run.warm)]
    assert all("generator" not in each for each in losses)
    assert losses[-1]["pyramid"] < 0.7 * losses[0]["pyramid"]
    assert "generator" in run.train_step()


def test_distance_of_patches_sees_blur_noise_and_grids():
    torch.manual_seed(0)
    smooth = torch.rand(16, 3, 16, 16).repeat_interleave(4, 2).repeat_interleave(4, 3)
    photographs = smooth + 0.1 * torch.randn(16, 3, 64, 64)
    others = smooth.flip(0) + 0.1 * torch.randn(16, 3, 64, 64)
    grid = smooth.clone()
    grid[..., ::2, ::2] += 0.3
    near = texture.patch_distance(others, photographs)
    for wrong in (
        grid,
        nn.functional.avg_pool2d(others, 3, 1, 1),
        others + 0.2 * torch.randn_like(others),
    ):
        assert near < 0.5 * texture.patch_distance(wrong, photographs)


def test_likeness_sees_a_common_mark_in_either_sign():
    torch.manual_seed(0)
    details, mark = torch.randn(16, 3, 64, 64), torch.randn(3, 64, 64)
    signs = torch.tensor([1.0, -1.0]).repeat(8)[:, None, None, None]
    assert texture.likeness(details) < 0.01
    assert texture.likeness(details + signs * mark) == pytest.approx(0.25, abs=0.02)
    assert texture.likeness(5 * signs * mark) == pytest.approx(1)


@pytest.mark.parametrize("loss", ("mmd", "cramer"))
def test_critic_of_a_discrepancy_wants_the_two_apart_and_the_generator_near(loss):
    torch.manual_seed(0)
    real, fake = torch.randn(2, 16, 8)
    recipe, same = RECIPES[loss], nn.Identity()
    assert recipe.critic_loss(same, real, fake - 3) < recipe.critic_loss(same, real, fake)
    assert recipe.generator_loss(same, real, fake - 3) > recipe.generator_loss(same, real, fake)


def test_resumed_run_goes_on_as_if_it_had_not_stopped(runs):
    whole = train_gan.Trainer(ENTRY, runs)
    for _ in range(2):  # one of the warm-up, one with the critic
        whole.train_step()
    buffer = io.BytesIO()
    torch.save(whole.state(), buffer)
    whole.train_step()
    buffer.seek(0)
    second = train_gan.Trainer(ENTRY, runs)
    second.restore(torch.load(buffer, weights_only=True))
    second.train_step()
    for name in ("generator", "critic", "average"):
        assert torch.equal(weights(getattr(whole, name)), weights(getattr(second, name)))


def test_trained_entries_are_published_and_the_others_follow(own_zoo, runs, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train_gan.py", "--runs", str(runs)])
    (runs / TUNED.name).mkdir(exist_ok=True)
    with FileLock(runs / TUNED.name / ".lock"):
        train_gan.main()
    assert f"{TUNED.name}: another trainer has it" in capsys.readouterr().out
    assert list(train_gan.manifest_rows(train_gan.ZOO)) == [ENTRY.name]

    stored = load_file(own_zoo / f"{ENTRY.name}.safetensors")
    assert all(name.startswith("body.") for name in stored)
    assert all(not v.is_floating_point() or v.dtype == torch.float16 for v in stored.values())
    (listed,) = zoo.read_manifest(own_zoo)
    loaded, z = listed.load(), torch.randn(2, LATENT)
    with torch.no_grad():
        assert torch.allclose(thumbnails(loaded(z)), loaded.layouts.draw(z), atol=1e-4)
    first = (own_zoo / f"{ENTRY.name}.safetensors").stat().st_mtime_ns
    train_gan.main()
    assert list(train_gan.manifest_rows(train_gan.ZOO)) == [ENTRY.name, TUNED.name]
    assert (own_zoo / f"{ENTRY.name}.safetensors").stat().st_mtime_ns == first


def test_fine_tuning_starts_from_the_published_weights_on_other_photographs(own_zoo, runs):
    base = train_gan.Trainer(ENTRY, runs)
    train_gan.publish(base, np.zeros((2, 64, 64, 3), np.uint8), own_zoo, "train it")
    run = train_gan.Trainer(TUNED, runs)
    assert run.warm == 0
    half = base.averaged_generator().half().float()
    assert torch.equal(weights(run.generator), weights(half))
    assert not np.array_equal(run.crops, base.crops)
    tuned, trained = run.generator.layouts, base.generator.layouts
    assert not torch.equal(tuned.stored, trained.stored)
    assert torch.equal(tuned.basis, trained.basis)


def test_fine_tuning_what_is_not_there_names_it(own_zoo, runs):
    with pytest.raises(ValueError, match="_finetuned, finetuned_from: 'SNGAN_meadow_s0'"):
        train_gan.Trainer(TUNED, runs)


def test_classes_and_seeds_share_their_layouts(runs):
    z = torch.randn(3, LATENT)
    first = train_gan.Trainer(ENTRY, runs)
    for other in (DCGAN, replace(ENTRY, seed=3)):
        run = train_gan.Trainer(other, runs)
        drawn, same = (t.averaged_generator()(z).detach() for t in (run, first))
        assert torch.allclose(thumbnails(drawn), thumbnails(same), atol=1e-4)
        assert not torch.allclose(drawn, same, atol=1e-2)
    assert not np.array_equal(run.crops, first.crops)  # but each seed has crops of its own


def test_pyramid_distance_counts_each_band_once():
    images = torch.zeros(2, 3, 64, 64)
    assert train_gan.pyramid_distance(images + 0.5, images).item() == pytest.approx(0.5)
    rough = 0.5 * (-1.0) ** torch.arange(64).repeat(64, 1)
    assert train_gan.pyramid_distance(images + rough, images).item() == pytest.approx(0.5)


def test_shift_moves_by_whole_pixels():
    torch.manual_seed(0)
    images = torch.zeros(8, 1, 64, 64)
    images[:, :, 32, 32] = 1
    moved = augmentation.shift(images)
    assert (moved.flatten(1).sum(dim=1) == 1).all()
    places = moved.flatten(1).argmax(dim=1)
    assert len(places.unique()) > 4
    assert ((places // 64 - 32).abs() <= 8).all() and ((places % 64 - 32).abs() <= 8).all()


def test_shift_lets_gradients_through():
    images = torch.rand(6, 3, 64, 64).requires_grad_()
    augmentation.shift(images).sum().backward()
    reached = images.grad.mean(dim=(1, 2, 3))
    assert ((reached > 0.7) & (reached <= 1)).all()


def test_plan_is_a_controlled_experiment(plan):
    generators = [
        zoo.Generator(**{**vars(e), "file": Path("x"), "sha256": "0"}) for e in plan.values()
    ]
    counts = Counter(zoo.setup_of(g, generators) for g in generators)
    assert counts == {"closed": 4, "dev": 9, "seed": 24, "loss": 7, "finetune": 4, "dataset": 12,
                      "unknown": 8}  # fmt: skip
    roles = Counter(e.role for e in plan.values() if e.architecture not in ARCHITECTURES)
    assert roles == {"dev": 4, "test": 4}
    for entry in plan.values():
        if entry.finetuned_from:
            assert 0.1 <= entry.steps / plan[entry.finetuned_from].steps <= 0.2
    losses = {e.architecture: {o.loss for o in plan.values() if o.architecture == e.architecture}
              for e in plan.values() if e.role == "train"}  # fmt: skip
    own = {e.architecture: e.loss for e in plan.values() if e.role == "train"}
    for name, found in losses.items():  # every class meets a loss that is another class's own
        assert found & (set(own.values()) - {own[name]}), name


def test_train_and_dev_come_first(plan):
    roles = [entry.role for entry in plan.values()]
    assert roles == sorted(roles, key=["train", "dev", "test"].index)


def test_name_that_is_not_planned(monkeypatch, capsys, plan):
    monkeypatch.setattr("sys.argv", ["train_gan.py", "--name", "SNGAN_meadow_s99"])
    with pytest.raises(SystemExit):
        train_gan.main()
    told = capsys.readouterr().err
    assert "'SNGAN_meadow_s99' is not in zoo/plan.csv; entries: ProGAN_" in told


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


def test_a_generator_that_diverged_is_not_published(runs, tmp_path, monkeypatch):
    run = train_gan.Trainer(ENTRY, runs)
    averaged = run.averaged_generator()
    with torch.no_grad():
        next(iter(averaged.parameters()))[0] = 1e6  # finite, but not in fp16
    monkeypatch.setattr(run, "averaged_generator", lambda: averaged)
    with pytest.raises(ValueError, match="SNGAN_meadow_s0: not published: tensor .* not finite"):
        train_gan.publish(run, np.zeros((2, 64, 64, 3), np.uint8), tmp_path, "train it")
    assert list(tmp_path.iterdir()) == []
