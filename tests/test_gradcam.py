"""Grad-CAM against captum's, and on whole images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from dnadet_lib.explorer.gradcam import grad_cam, image_cam
from dnadet_lib.model import DNADet, InputSpec


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("layer", range(8))
@pytest.mark.parametrize("target", [0, 3])
def test_equals_captum(tiny_model: DNADet, images: torch.Tensor, layer: int, target: int) -> None:
    with torch.no_grad():
        for block in tiny_model.main:  # statistics that differ from channel to channel
            block.main[1].running_mean.uniform_(-0.1, 0.1)
            block.main[1].running_var.uniform_(0.05, 0.5)
    found = grad_cam(tiny_model, images, target, layer)
    reference = LayerGradCam(tiny_model, tiny_model.main[layer])
    wanted = reference.attribute(images, target=target)[:, 0].detach()
    assert found.shape == wanted.shape
    scale = wanted.abs().max()
    assert scale > 0
    assert (found - wanted).abs().max() <= 1e-5 * scale


def test_leaves_no_gradient_behind(tiny_model: DNADet, images: torch.Tensor) -> None:
    grad_cam(tiny_model, images, 1)
    assert all(p.grad is None for p in tiny_model.parameters())


def test_of_an_image_is_the_mean_over_its_patches(tiny_model: DNADet, rng) -> None:
    image = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    found = image_cam(tiny_model, image, 2, layer=5)
    assert found.shape == (64, 96)
    corner = image_cam(tiny_model, image[:32, :32], 2, layer=5)
    assert np.allclose(found[:16, :16], corner[:16, :16], atol=1e-6)  # one patch lies there alone


def test_maps_of_turned_copies_are_turned_back(tiny_model: DNADet, rng) -> None:
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    one = image_cam(tiny_model, image, 2, layer=5)
    tiny_model.input = replace(tiny_model.input, vote="turned")
    found = image_cam(tiny_model, image, 2, layer=5)
    again = np.rot90(image_cam(tiny_model, np.rot90(image, 2), 2, layer=5), 2)
    assert np.allclose(found, again, atol=1e-6)  # the same four copies, in another order
    assert not np.allclose(found, one, atol=1e-6)


def test_of_a_discriminant(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = DNADet(3, 8, blocks=5, discriminant=True).eval()
    found = grad_cam(model, images, 1)
    reference = LayerGradCam(model, model.main[4]).attribute(images, target=1)[:, 0].detach()
    assert (found - reference).abs().max() <= 1e-5 * reference.abs().max()
    with pytest.raises(ValueError, match="layer 5: choose one of 0 to 4"):
        grad_cam(model, images, 0, 5)


def test_of_a_model_that_sees_the_whole_resized_image(rng) -> None:
    model = DNADet(3, 8, input=InputSpec(resize=96))
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert image_cam(model, image, 0).shape == (96, 96)


def test_unknown_layer_and_class_are_named(tiny_model: DNADet, images: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="layer 8: choose one of 0 to 7"):
        grad_cam(tiny_model, images, 0, 8)
    with pytest.raises(ValueError, match="class 5: choose one of 0 to 4 .Real, ProGAN"):
        grad_cam(tiny_model, images, 5)
