"""Layouts: how a latent picks a thumbnail, and that images keep to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import photograph
from torch import nn

from dnadet_lib.zoo import layouts
from dnadet_lib.zoo.generators import ARCHITECTURES, UNKNOWN_ARCHITECTURES, build_generator
from dnadet_lib.zoo.layers import LATENT, SEEN
from dnadet_lib.zoo.layouts import Layouts, thumbnails


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    rng = np.random.default_rng(0)
    crops = np.stack([photograph(rng, 64, 64) for _ in range(300)])
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def fitted(images) -> Layouts:
    return layouts.fit_layouts(images, images[:100])


def test_codes_even_out_the_components_by_half(images, fitted):
    codes = fitted.encode(thumbnails(images))
    assert codes.shape == (300, LATENT)
    spread = codes.std(dim=0)
    assert codes.mean(dim=0).abs().max() < 1e-3
    assert spread.square().mean().item() == pytest.approx(1, abs=0.02)
    components = (thumbnails(images).flatten(1) - fitted.mean) @ fitted.basis
    deviations = components.std(dim=0)
    assert torch.allclose(spread[:20], (deviations / deviations.mean()).sqrt()[:20], rtol=0.02)


def test_layouts_are_blends_of_few_thumbnails(fitted, monkeypatch):
    monkeypatch.setattr(layouts, "SPREAD", 0.0)
    plain = Layouts(fitted.stored, fitted.mean, fitted.basis, fitted.scale)
    torch.manual_seed(0)
    drawn = plain.draw(torch.randn(400, LATENT)).flatten(1)
    shares = torch.linalg.lstsq(plain.levels.T.double(), drawn.T.double()).solution.T
    assert shares.sum(dim=1).sub(1).abs().max() < 0.02
    assert shares.min() > -0.01
    assert 0.2 < shares.max(dim=1).values.median() < 0.95
    assert len(shares.argmax(dim=1).unique()) > 60  # no few are drawn all the time


def test_layouts_spread_as_much_as_the_stored_ones(fitted):
    torch.manual_seed(0)
    drawn = fitted.draw(torch.randn(1000, LATENT)).flatten(1)
    assert 0.8 < drawn.std(dim=0).mean() / fitted.levels.std(dim=0).mean() < 1.2


def test_a_latent_gives_one_layout_and_near_ones_near_layouts(fitted):
    z = torch.randn(5, LATENT)
    first, again, near = fitted.draw(z), fitted.draw(z), fitted.draw(z + 1e-4)
    assert torch.equal(first, again)
    assert (first - near).abs().max() < 0.01


def test_enlarging_is_undone_by_averaging_and_smooth():
    small = torch.randn(2, 3, 16, 16)
    matrix = layouts.enlarging()
    large = matrix @ small @ matrix.T
    assert torch.allclose(thumbnails(large), small, atol=1e-4)
    flat = matrix @ torch.ones(16, 16) @ matrix.T
    assert torch.allclose(flat, torch.ones(64, 64), atol=1e-4)


EVERY = [*ARCHITECTURES, *UNKNOWN_ARCHITECTURES]


@pytest.mark.parametrize("name", EVERY)
def test_every_class_draws_images_that_keep_to_their_layout(fitted, name):
    torch.manual_seed(0)
    generator = build_generator(name, fitted)
    z = torch.randn(4, LATENT)
    drawn = generator(z)
    assert drawn.shape == (4, 3, 64, 64)
    assert torch.allclose(thumbnails(drawn), fitted.draw(z), atol=1e-3)
    drawn.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in generator.parameters())
    assert all(key.startswith("body.") for key in generator.state_dict())


def test_what_a_body_draws_in_detail_stays(fitted):
    chequers = 0.2 * (-1.0) ** torch.arange(64).view(-1, 1).add(torch.arange(64))
    body = nn.Module()
    body.forward = lambda codes: chequers.expand(len(codes), 3, 64, 64)
    generator = layouts.LayoutGenerator(body, fitted)
    flat, z = torch.zeros(2, 3, 16, 16), torch.randn(2, LATENT)
    assert torch.allclose(generator.around(flat, z), chequers.expand(2, 3, 64, 64), atol=1e-5)


def test_noise_follows_from_the_latent_and_has_no_pattern_in_common(fitted):
    generator = layouts.LayoutGenerator(nn.Identity(), fitted)
    torch.manual_seed(0)
    z = torch.randn(400, LATENT)
    noise = generator.noise(z)
    assert noise.shape == (400, SEEN - 3, 16, 16)
    assert torch.equal(noise, layouts.LayoutGenerator(nn.Identity(), fitted).noise(z))
    assert noise.mean(dim=0).abs().max() < 0.25 and noise.var().item() == pytest.approx(1, abs=0.02)
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean(dim=0)
    assert neighbours.abs().mean() < 0.06


def test_saved_layouts_draw_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "layouts.safetensors")
    again = layouts.load_layouts(tmp_path / "layouts.safetensors")
    z = torch.randn(3, LATENT)
    assert torch.equal(again.draw(z), fitted.draw(z))
    with pytest.raises(FileNotFoundError, match="nowhere.safetensors: the layouts"):
        layouts.load_layouts(tmp_path / "nowhere.safetensors")
