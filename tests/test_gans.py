from __future__ import annotations

import pytest
import torch
from support import some_layouts
from torch import nn

from dnadet_lib.zoo.generators import (
    ARCHITECTURES,
    UNKNOWN_ARCHITECTURES,
    build_generator,
    sample_images,
    sample_layouts,
)
from dnadet_lib.zoo.layers import (
    LATENT,
    SEEN,
    EqualizedConv2d,
    InverseHaar,
    ModulatedConv2d,
    PixelNorm,
    blur,
)
from dnadet_lib.zoo.layouts import Layouts, thumbnails

EVERY = [*ARCHITECTURES, *UNKNOWN_ARCHITECTURES]
# What leaves a trace: how it enlarges, batch norm, pixel norm, gates, tanh.
TRACES = {
    "ProGAN": ({"nearest"}, False, True, False, False),
    "MMDGAN": ({"transposed 4x4"}, True, False, False, True),
    "SNGAN": ({"nearest"}, True, False, False, True),
    "InfoMaxGAN": ({"bilinear"}, True, False, False, True),
    "SubPixelGAN": ({"PixelShuffle"}, True, False, False, True),
    "TransposedGAN": ({"transposed 3x3"}, True, False, False, True),
    "VAE": ({"nearest"}, False, False, False, False),
    "FastGAN": ({"nearest"}, True, False, True, True),
    "WaveletGAN": ({"InverseHaar"}, True, False, False, True),
    "StyleGAN2": ({"modulated, blurred"}, False, True, False, False),
    "BicubicGAN": ({"bicubic"}, True, False, False, True),
    "ViTGAN": (set(), False, False, False, True),
}


@pytest.fixture(scope="module")
def layouts() -> Layouts:
    return some_layouts()


def enlarges(module: nn.Module) -> str | None:
    if isinstance(module, nn.Upsample):
        return module.mode
    if isinstance(module, nn.PixelShuffle | InverseHaar):
        return type(module).__name__
    if isinstance(module, nn.ConvTranspose2d) and module.stride == (2, 2):
        return "transposed {}x{}".format(*module.kernel_size)
    return "modulated, blurred" if isinstance(module, ModulatedConv2d) and module.up else None


def traces(generator: nn.Module) -> tuple[set[str], bool, bool, bool, bool]:
    modules = list(generator.modules())
    kinds = (nn.BatchNorm2d, PixelNorm, nn.GLU, nn.Tanh)
    return (
        {way for m in modules if (way := enlarges(m))},
        *(any(isinstance(m, kind) for m in modules) for kind in kinds),
    )


@pytest.mark.parametrize("name", EVERY)
def test_layers_are_those_of_the_class(layouts, name):
    assert traces(build_generator(name, layouts)) == TRACES[name]


def test_no_two_classes_leave_the_same_trace():
    assert len({str(trace) for trace in TRACES.values()}) == len(TRACES) == len(EVERY)


def test_mmdgan_ends_as_dcgan_does(layouts):
    modules = build_generator("MMDGAN", layouts).modules()
    transposed = [m for m in modules if isinstance(m, nn.ConvTranspose2d)]
    assert [m.kernel_size for m in transposed] == [(4, 4)] * 2
    assert [m.stride for m in transposed] == [(2, 2)] * 2


@pytest.mark.parametrize("name", EVERY)
def test_size(layouts, name):
    generator = build_generator(name, layouts)
    parameters = sum(p.numel() for p in generator.parameters())
    assert 2e4 <= parameters <= 4e5
    generator.eval()
    with torch.no_grad():
        assert generator(torch.randn(3, LATENT)).shape == (3, 3, 64, 64)


def test_progan_scales_its_weights_at_run_time(layouts):
    convolution = EqualizedConv2d(8, 4, 3)
    x = torch.randn(1, 8, 5, 5)
    scale = (2 / (8 * 9)) ** 0.5
    expected = nn.functional.conv2d(x, convolution.weight * scale, convolution.bias)
    torch.testing.assert_close(convolution(x), expected)
    assert all(
        isinstance(m, EqualizedConv2d)
        for m in build_generator("ProGAN", layouts).modules()
        if isinstance(m, nn.Conv2d)
    )


def test_pixel_norm_has_unit_mean_square_over_channels():
    normed = PixelNorm()(5 * torch.randn(2, 16, 3, 3))
    torch.testing.assert_close(normed.square().mean(dim=1), torch.ones(2, 3, 3), atol=1e-4, rtol=0)


def test_modulated_convolution_is_one_with_its_own_weights_for_every_image():
    torch.manual_seed(0)
    layer = ModulatedConv2d(6, 4, 3, style=5)
    x, style = torch.randn(2, 6, 8, 8), torch.randn(2, 5, 1, 1)
    for image, scale, found in zip(x, layer.to_scale(style), layer(x, style), strict=True):
        weight = layer.weight * scale[None]
        weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
        expected = nn.functional.conv2d(image[None], weight, padding=1)[0]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_blur_is_the_binomial_filter():
    point = torch.zeros(1, 1, 7, 7)
    point[0, 0, 3, 3] = 1
    taps = torch.tensor([1.0, 3, 3, 1]) / 8
    found = blur(point)
    assert found.shape == (1, 1, 6, 6)
    torch.testing.assert_close(found[0, 0, 1:5, 1:5], torch.outer(taps, taps))
    assert found.sum() == pytest.approx(1)


def test_inverse_haar_undoes_the_transform():
    image = torch.randn(2, 3, 8, 8)
    a, b, c, d = (image[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))
    bands = (a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d)
    packed = torch.stack(bands, dim=2).flatten(1, 2) / 2
    torch.testing.assert_close(InverseHaar()(packed), image)


@pytest.mark.parametrize("name", ("SubPixelGAN", "WaveletGAN"))
def test_rearranging_generators_start_without_chequers(layouts, name):
    torch.manual_seed(0)
    with torch.no_grad():
        images = build_generator(name, layouts).body(torch.randn(8, SEEN, 16, 16))
    squares = images.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert images.std() > 0.05
    torch.testing.assert_close(squares.amax(4), squares.amin(4))


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


def test_samples_follow_from_their_latents(layouts):
    torch.manual_seed(0)
    generator = build_generator("SNGAN", layouts)
    latents = torch.randn(6, LATENT)
    images = sample_images(generator, latents, batch_size=3)
    assert torch.equal(sample_images(generator, latents, batch_size=3), images)
    assert len({image.numpy().tobytes() for image in images}) == 6
    assert not generator.training


def test_layouts_are_the_thumbnails_of_all_generators(layouts):
    latents = 0.2 * torch.randn(4, LATENT, generator=torch.Generator().manual_seed(0))
    names = "SNGAN", "ProGAN"
    bare, other = (sample_layouts(build_generator(name, layouts), latents) for name in names)
    assert bare.dtype == torch.uint8 and bare.shape == (4, 64, 64, 3)
    assert torch.equal(bare, other)
    drawn = sample_images(build_generator("SNGAN", layouts), latents)
    assert not torch.equal(bare, drawn)
    small, smaller = (thumbnails(x.permute(0, 3, 1, 2).float()) for x in (bare, drawn))
    assert (small - smaller).abs().mean() < 3  # what is clipped and rounded


def test_unknown_architecture(layouts):
    with pytest.raises(ValueError, match="'StyleGAN': choose one of ProGAN, MMDGAN, SNGAN"):
        build_generator("StyleGAN", layouts)
