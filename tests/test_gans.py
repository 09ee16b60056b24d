from __future__ import annotations

import pytest
import torch
from torch import nn

from dnadet_lib.gans import (
    ARCHITECTURES,
    LATENT,
    EqualizedConv2d,
    PixelNorm,
    build_generator,
    sample_images,
)

# What leaves a trace: upsampling mode (None: transposed convolution), batch norm, pixel norm, tanh.
TRACES = {
    "ProGAN": ({"nearest"}, False, True, False),
    "MMDGAN": (set(), True, False, True),
    "SNGAN": ({"nearest"}, True, False, True),
    "InfoMaxGAN": ({"bilinear"}, True, False, True),
}


def traces(generator: nn.Module) -> tuple[set[str], bool, bool, bool]:
    modules = list(generator.modules())
    modes = {m.mode for m in modules if isinstance(m, nn.Upsample)}
    kinds = (nn.BatchNorm2d, PixelNorm, nn.Tanh)
    return modes, *(any(isinstance(m, kind) for m in modules) for kind in kinds)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_layers_are_those_of_the_class(name):
    generator = build_generator(name)
    assert traces(generator) == TRACES[name]
    transposed = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(transposed) == (5 if name == "MMDGAN" else 0)
    assert all(m.kernel_size == (4, 4) for m in transposed)
    assert sum(m.stride == (2, 2) for m in transposed) == (4 if name == "MMDGAN" else 0)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_size(name):
    generator = build_generator(name)
    parameters = sum(p.numel() for p in generator.parameters())
    assert 0.55e6 <= parameters <= 1.05e6
    generator.eval()
    with torch.no_grad():
        assert generator(torch.randn(3, LATENT)).shape == (3, 3, 64, 64)


def test_progan_scales_its_weights_at_run_time():
    convolution = EqualizedConv2d(8, 4, 3)
    x = torch.randn(1, 8, 5, 5)
    scale = (2 / (8 * 9)) ** 0.5
    expected = nn.functional.conv2d(x, convolution.weight * scale, convolution.bias)
    torch.testing.assert_close(convolution(x), expected)
    assert all(
        isinstance(m, EqualizedConv2d)
        for m in build_generator("ProGAN").modules()
        if isinstance(m, nn.Conv2d)
    )


def test_pixel_norm_has_unit_mean_square_over_channels():
    normed = PixelNorm()(5 * torch.randn(2, 16, 3, 3))
    torch.testing.assert_close(normed.square().mean(dim=1), torch.ones(2, 3, 3), atol=1e-4, rtol=0)


class Constant(nn.Module):
    """A generator that gives its latent's first value."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z[:, 0, None, None, None].expand(-1, 3, 64, 64)


def test_samples_are_rounded_and_clipped_to_bytes():
    values = torch.tensor([-3.0, -1.0, 0.0, 0.01, 1.0, 7.0])
    images = sample_images(Constant(), values[:, None].expand(-1, LATENT))
    assert images.dtype == torch.uint8
    assert images.shape == (6, 64, 64, 3)
    # 127.5 rounds half to even.
    assert images[:, 0, 0, 0].tolist() == [0, 0, 128, 129, 255, 255]


def test_samples_follow_from_their_latents():
    torch.manual_seed(0)
    generator = build_generator("SNGAN")
    latents = torch.randn(6, LATENT)
    images = sample_images(generator, latents, batch_size=3)
    assert torch.equal(sample_images(generator, latents, batch_size=3), images)
    assert len({image.numpy().tobytes() for image in images}) == 6
    assert not generator.training


def test_unknown_architecture():
    with pytest.raises(ValueError, match="'StyleGAN': choose one of ProGAN, MMDGAN, SNGAN"):
        build_generator("StyleGAN")
