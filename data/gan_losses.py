"""The losses of the zoo. Each pairs a critic with what the critic and the generator minimise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from gan_critics import SpectralCritic, WassersteinCritic
from torch import Tensor, nn
from torch.nn import functional as F

ObjectiveFunction = Callable[[nn.Module, Tensor, Tensor], Tensor]


def _gradient_norm(outputs: Tensor, inputs: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


def _interpolate(real: Tensor, fake: Tensor) -> Tensor:
    weight = torch.rand(len(real), 1, 1, 1, device=real.device)
    return torch.lerp(real, fake, weight).detach().requires_grad_()


def wgan_gp_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Wasserstein loss, gradient penalty 10 and drift 0.001 (Gulrajani 2017; Karras 2018)."""
    scores_real, scores_fake = critic(real), critic(fake)
    between = _interpolate(real, fake)
    penalty = (_gradient_norm(critic(between), between) - 1).square().mean()
    drift = scores_real.square().mean()
    return scores_fake.mean() - scores_real.mean() + 10 * penalty + 1e-3 * drift


def wgan_generator(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The generator raises the critic's score."""
    return -critic(fake).mean()


def rational_quadratic(x: Tensor, y: Tensor) -> Tensor:
    """Sum of rational-quadratic kernels (Binkowski 2018, section 3).

    Args:
        x: (N, D).
        y: (M, D).

    Returns:
        (N, M) kernel values.
    """
    squared = (x[:, None] - y[None]).square().sum(-1)
    return sum((1 + squared / (2 * a)) ** -a for a in (0.2, 0.5, 1.0, 2.0, 5.0))


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy of (N, D) and (N, D)."""
    n = len(x)
    kernels = rational_quadratic(x, x), rational_quadratic(y, y)
    inside = [(k.sum() - k.diagonal().sum()) / (n * (n - 1)) for k in kernels]
    return sum(inside) - 2 * rational_quadratic(x, y).mean()


def mmd_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Minus the squared MMD of the critic's features, with spectral norm (Wang 2019)."""
    return -mmd_generator(critic, real, fake)


def mmd_generator(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The generator lowers the MMD."""
    return squared_mmd(critic(real).float(), critic(fake).float())


def hinge_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss (Miyato 2018)."""
    return F.relu(1 - critic(real)).mean() + F.relu(1 + critic(fake)).mean()


def info_nce(critic: nn.Module, images: Tensor) -> Tensor:
    """Contrast of an image's global feature with its own and others' local ones (Lee 2021)."""
    local, pooled = critic.features(images)
    local = critic.project_local(local).flatten(2)  # (B, R, P)
    logits = torch.einsum("ir,jrp->ijp", critic.project_global(pooled), local).float()
    batch = torch.arange(len(images), device=images.device)
    positive = logits[batch, batch]  # (B, P)
    others = logits.masked_fill(torch.eye(len(batch), device=logits.device).bool()[..., None], -1e4)
    negatives = others.flatten(1).logsumexp(1, keepdim=True)
    return (torch.logaddexp(positive, negatives) - positive).mean()


def infomax_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Hinge plus 0.2 InfoNCE on real images."""
    return hinge_critic(critic, real, fake) + 0.2 * info_nce(critic, real)


def infomax_generator(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Score plus 0.2 InfoNCE on generated images."""
    return wgan_generator(critic, real, fake) + 0.2 * info_nce(critic, fake)


@dataclass(frozen=True)
class Recipe:
    """How a loss is trained: its critic, its two objectives, and Adam's settings."""

    critic: Callable[[], nn.Module]
    critic_loss: ObjectiveFunction
    generator_loss: ObjectiveFunction
    generator_rate: float
    critic_rate: float
    betas: tuple[float, float]
    batch_size: int


RECIPES = {
    "wgan-gp": Recipe(
        WassersteinCritic, wgan_gp_critic, wgan_generator, 3e-3, 3e-3, (0.0, 0.99), 16
    ),
    "mmd": Recipe(
        partial(SpectralCritic, outputs=16), mmd_critic, mmd_generator, 4e-4, 4e-4, (0.0, 0.9), 32
    ),
    "hinge": Recipe(SpectralCritic, hinge_critic, wgan_generator, 4e-4, 4e-4, (0.0, 0.9), 16),
    "infomax": Recipe(
        SpectralCritic, infomax_critic, infomax_generator, 4e-4, 4e-4, (0.0, 0.9), 16
    ),
}
