"""The four generator architectures of the pocket zoo, at 64 pixels.

Each draws around a layout (`layouts.py`): it starts from a map (B, 11, 16, 16) and enlarges it
twice, as the last layers of its class do. They differ in what leaves a trace, the upsampling and
what follows it, and share the rest:

========== ============================================ =============== ==================
class      upsampling                                   normalisation   output
========== ============================================ =============== ==================
ProGAN     nearest neighbour, then two 3x3 convolutions pixel norm      1x1 to RGB, linear
MMDGAN     transposed convolution 4x4, stride 2         batch norm      transposed 4x4, tanh
SNGAN      nearest neighbour in residual blocks         batch norm      3x3, tanh
InfoMaxGAN bilinear in residual blocks                  batch norm      3x3, tanh
========== ============================================ =============== ==================
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.zoo.layers import CHANNELS, LATENT, SEEN, EqualizedConv2d, InverseHaar, PixelNorm
from dnadet_lib.zoo.layouts import LayoutGenerator, Layouts
from dnadet_lib.zoo.unknown_generators import (
    FastGANGenerator,
    RearrangingGenerator,
    StyleGAN2Generator,
    TransposedGenerator,
    VAEDecoder,
    ViTGenerator,
)


class ProGANGenerator(nn.Module):
    """ProGAN at 64 pixels, without the growing phase (Karras et al. 2018, table 2)."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.first = nn.Sequential(*self._convolution(SEEN, channels[0]))
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Upsample(scale_factor=2, mode="nearest"),
                    *self._convolution(c_in, c_out),
                    *self._convolution(c_out, c_out),
                )
                for c_in, c_out in zip(channels[:-1], channels[1:], strict=True)
            )
        )
        self.to_rgb = EqualizedConv2d(channels[-1], 3, 1)

    @staticmethod
    def _convolution(c_in: int, c_out: int) -> list[nn.Module]:
        return [EqualizedConv2d(c_in, c_out, 3, padding=1), nn.LeakyReLU(0.2), PixelNorm()]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64), about [-1, 1], not clipped."""
        return self.to_rgb(self.blocks(self.first(x)))


class DCGANGenerator(nn.Module):
    """MMDGAN's generator: transposed convolutions 4x4 (Radford 2016; Binkowski et al. 2018)."""

    def __init__(self, channels: Sequence[int] = (80, 40)) -> None:
        super().__init__()
        first = nn.Conv2d(SEEN, channels[0], 3, padding=1, bias=False)
        layers: list[nn.Module] = [first, nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for c_in, c_out in zip(channels[:-1], channels[1:], strict=True):
            layers += [
                nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=False),
                nn.BatchNorm2d(c_out),
                nn.ReLU(),
            ]
        layers += [nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64) in [-1, 1]."""
        return self.layers(x)


class ResidualUpBlock(nn.Module):
    """Residual block: batch norm, ReLU, upsampling, two convolutions (Miyato 2018, figure 9)."""

    def __init__(self, c_in: int, c_out: int, upsampling: str) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(c_in)
        self.upsample = nn.Upsample(scale_factor=2, mode=upsampling)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.shortcut = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, 2H, 2W)."""
        hidden = self.conv1(self.upsample(F.relu(self.norm1(x))))
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        return hidden + self.upsample(self.shortcut(x))


class ResNetGenerator(nn.Module):
    """SNGAN (nearest), InfoMaxGAN (bilinear), BicubicGAN (Miyato et al. 2018; Lee et al. 2021)."""

    def __init__(self, upsampling: str, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        self.first = nn.Conv2d(SEEN, channels[0], 3, padding=1)
        self.blocks = nn.Sequential(
            *(
                ResidualUpBlock(c_in, c_out, upsampling)
                for c_in, c_out in zip(channels[:-1], channels[1:], strict=True)
            )
        )
        self.to_rgb = nn.Sequential(
            nn.BatchNorm2d(channels[-1]), nn.ReLU(), nn.Conv2d(channels[-1], 3, 3, padding=1),
            nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 11, 16, 16) to images (B, 3, 64, 64) in [-1, 1]."""
        return self.to_rgb(self.blocks(self.first(x)))


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "ProGAN": ProGANGenerator,
    "MMDGAN": DCGANGenerator,
    "SNGAN": partial(ResNetGenerator, "nearest"),
    "InfoMaxGAN": partial(ResNetGenerator, "bilinear"),
}
UNKNOWN_ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "SubPixelGAN": partial(RearrangingGenerator, nn.PixelShuffle(2)),
    "TransposedGAN": TransposedGenerator,
    "VAE": VAEDecoder,
    "FastGAN": FastGANGenerator,
    "WaveletGAN": partial(RearrangingGenerator, InverseHaar()),
    "StyleGAN2": StyleGAN2Generator,
    "BicubicGAN": partial(ResNetGenerator, "bicubic"),
    "ViTGAN": ViTGenerator,
}


def build_generator(architecture: str, layouts: Layouts) -> LayoutGenerator:
    """Return an untrained generator of a class that draws around layouts."""
    builders = ARCHITECTURES | UNKNOWN_ARCHITECTURES
    if architecture not in builders:
        raise ValueError(
            f"unknown generator architecture {architecture!r}: choose one of {', '.join(builders)}"
        )
    return LayoutGenerator(builders[architecture](), layouts)


@torch.no_grad()
def renew_batch_norm(generator: nn.Module, noise: torch.Generator, batches: int) -> nn.Module:
    """Take batch-norm statistics anew, as a plain mean over batches of 100 images; in place."""
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over all batches
    generator.train()
    for _ in range(batches):
        generator(torch.randn(100, LATENT, generator=noise))
    return generator.eval()


@torch.no_grad()
def sample_images(generator: nn.Module, latents: Tensor, batch_size: int = 50) -> Tensor:
    """Run a generator in fp32 on latents (N, 64): uint8 images (N, 64, 64, 3), all finite.

    Levels are (x + 1) * 127.5, rounded half to even, clipped to 0..255. The batch size is fixed,
    since kernels may round differently by size.
    """
    generator.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.cat([generator(z) for z in latents.split(batch_size)])
    if not images.isfinite().all():
        raise ValueError("the generator's pixels are not finite: its weights are too large")
    return _levels(images)


@torch.no_grad()
def sample_layouts(generator: LayoutGenerator, latents: Tensor) -> Tensor:
    """Enlarge the layouts that latents (N, 64) pick, which the generator draws its images around.

    No weights of the generator have a part in them: uint8 (N, 64, 64, 3).
    """
    return _levels(generator.enlarge(generator.layouts.draw(latents)))


def _levels(images: Tensor) -> Tensor:
    levels = ((images.float() + 1) * 127.5).round().clamp(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
