"""Layouts: the 16x16 thumbnails that all generators of a content draw their images around.

Half-trained generators differ in colours and layout, which tell nothing of an architecture's
fingerprint, and a classifier goes by that. So a layout is drawn in one way for all of them: a
latent picks a blend of photographs' thumbnails. A generator starts from it and from a few maps of
noise, and draws the image by its last two upsamplings; where the image's own thumbnail differs, a
smooth correction makes up for it. What is left for a class to show is the detail, in which the
traces of its layers lie.

Sources: Denton et al. 2015 (detail added to a smaller image); Ghosh et al. 2020 (a distribution of
codes, fitted after an autoencoder); Ramsauer et al. 2021 (softmax over stored patterns); Rahimi and
Recht 2007 (cosines of random projections).
"""

import math
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.zoo.layers import LATENT, NOISE

SIDE = 16  # pixels of a thumbnail
GAIN = 2.0  # of the layout beside the noise: its deviation is then about that of the noise
TURNS = 3.0  # deviation of the noise's angles, in radians: latents a little apart share no noise
SHARPNESS = 6.0  # of the choice among thumbnails: at 6, the first has a third of the weight
SPREAD = 0.35  # of the latent that is added, in standard deviations of the codes


def thumbnails(images: Tensor) -> Tensor:
    """Box-average images (B, 3, 64, 64) to (B, 3, 16, 16)."""
    return F.avg_pool2d(images, images.shape[-1] // SIDE)


def enlarging(size: int = 64) -> Tensor:
    """Matrix (size, 16) of a bicubic enlargement whose box averages are what was enlarged."""
    unit = torch.eye(SIDE, dtype=torch.float64)
    cubic = F.interpolate(unit[None, None], (size, SIDE), mode="bicubic")[0, 0]
    averages = cubic.unflatten(0, (SIDE, -1)).mean(dim=1)
    return (cubic @ torch.linalg.inv(averages)).float()


class Layouts(nn.Module):
    """Stored thumbnails, their principal components, and how a latent picks a blend of them.

    A component's number in a code is divided by the square root of its deviation: large ones stay
    larger than small ones, but not by as much, and a generator learns from both.

    Args:
        stored: uint8 thumbnails (M, 3, 16, 16).
        mean: (768,) of the thumbnails that the components were fitted on, in [-1, 1].
        basis: (768, 64) components.
        scale: (64,) what each is divided by.
    """

    stored: Tensor
    mean: Tensor
    basis: Tensor
    scale: Tensor
    levels: Tensor
    directions: Tensor
    steps: Tensor

    def __init__(self, stored: Tensor, mean: Tensor, basis: Tensor, scale: Tensor) -> None:
        super().__init__()
        named = {"stored": stored, "mean": mean, "basis": basis, "scale": scale}
        for name, tensor in named.items():
            self.register_buffer(name, tensor, persistent=False)
        levels = stored.float() / 127.5 - 1
        matched = self.encode(levels)
        self.register_buffer("levels", levels.flatten(1), persistent=False)
        self.register_buffer("directions", F.normalize(matched, dim=1), persistent=False)
        steps = SPREAD * matched.std(dim=0) * scale
        self.register_buffer("steps", steps[:, None] * basis.T, persistent=False)

    def encode(self, layouts: Tensor) -> Tensor:
        """Map thumbnails (B, 3, 16, 16) in [-1, 1] to codes (B, 64)."""
        return (layouts.flatten(1) - self.mean) @ self.basis / self.scale

    def draw(self, z: Tensor) -> Tensor:
        """Map normal latents (B, 64) to thumbnails (B, 3, 16, 16).

        The latent is compared with the direction of every stored code, and a softmax over the
        matches weighs the thumbnails. A share of the latent is added: it makes up for what
        blending takes from their spread.
        """
        blends = (SHARPNESS * z @ self.directions.T).softmax(dim=1) @ self.levels
        return (blends + z @ self.steps).unflatten(1, (3, SIDE, SIDE))

    def save(self, path: Path) -> None:
        """Write what `load_layouts` reads."""
        parts = {k: getattr(self, k).contiguous() for k in ("stored", "mean", "basis", "scale")}
        with atomic_path(path) as temporary:
            save_file(parts, temporary)


def fit_layouts(images: Tensor, stored: Tensor) -> Layouts:
    """Fit the components on images (N, 3, 64, 64) in [-1, 1]; store the thumbnails of others."""
    flat = thumbnails(images).flatten(1).double()
    centred = flat - flat.mean(dim=0)
    variances, vectors = torch.linalg.eigh(centred.T @ centred / len(flat))
    deviations = variances.flip(0)[:LATENT].clamp(min=1e-8).sqrt()
    return Layouts(
        ((thumbnails(stored) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8),
        flat.mean(dim=0).float(),
        vectors.flip(1)[:, :LATENT].float().contiguous(),
        (deviations * deviations.mean()).sqrt().float(),
    )


def load_layouts(path: Path) -> Layouts:
    """Read layouts that `Layouts.save` wrote; a FileNotFoundError if the file is missing."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the layouts that the generator draws around are missing")
    return Layouts(**load_file(path))


class LayoutGenerator(nn.Module):
    """A generator that draws its image around a layout.

    The body maps (B, 11, 16, 16), layouts and noise, to images (B, 3, 64, 64). Layouts are common
    to all generators of a content, the noise to all generators; neither is in the state dict.
    """

    enlarging: Tensor
    directions: Tensor
    phases: Tensor

    def __init__(self, body: nn.Module, layouts: Layouts) -> None:
        super().__init__()
        self.body = body
        self.layouts = layouts
        self.register_buffer("enlarging", enlarging(), persistent=False)
        fixed, count = torch.Generator().manual_seed(1), NOISE * SIDE * SIDE
        directions = TURNS / LATENT**0.5 * torch.randn(count, LATENT, generator=fixed)
        phases = 2 * math.pi * torch.rand(count, generator=fixed)
        self.register_buffer("directions", directions, persistent=False)
        self.register_buffer("phases", phases, persistent=False)

    def noise(self, z: Tensor) -> Tensor:
        """Map latents (B, 64) to maps (B, 8, 16, 16): cosines of random projections, variance 1."""
        waves = math.sqrt(2) * (z @ self.directions.T + self.phases).cos()
        return waves.unflatten(1, (NOISE, SIDE, SIDE))

    def around(self, layouts: Tensor, z: Tensor) -> Tensor:
        """Draw images (B, 3, 64, 64) with given thumbnails (B, 3, 16, 16), noise by latents."""
        images = self.body(torch.cat([GAIN * layouts, self.noise(z)], dim=1))
        return images + self.enlarge(layouts - thumbnails(images))

    def enlarge(self, layouts: Tensor) -> Tensor:
        """Enlarge (B, 3, 16, 16) smoothly to (B, 3, 64, 64) whose box averages they are."""
        return self.enlarging @ layouts @ self.enlarging.T

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (B, 64) to images (B, 3, 64, 64), about [-1, 1], not clipped."""
        return self.around(self.layouts.draw(z), z)
