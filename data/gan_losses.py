"""The losses of the zoo. Each pairs a critic with what the critic and the generator minimise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from gan_critics import SpectralCritic, WassersteinCritic
from torch import Tensor, nn
from torch.nn import functional as F

Kernel = Callable[[Tensor, Tensor], Tensor]
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


def score_generator(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The generator raises the critic's score."""
    return -critic(fake).mean()


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances (N, M) between the rows of (N, D) and (M, D)."""
    return (x[:, None] - y[None]).square().sum(-1)


def rational_quadratic(x: Tensor, y: Tensor) -> Tensor:
    """Sum of rational-quadratic kernels, (N, M), of (N, D) and (M, D) (Binkowski 2018)."""
    squared = squared_distances(x, y)
    return sum((1 + squared / (2 * a)) ** -a for a in (0.2, 0.5, 1.0, 2.0, 5.0))


def energy(x: Tensor, y: Tensor) -> Tensor:
    """Minus the distances, (N, M), of (N, D) and (M, D).

    The kernel whose MMD is the Cramer distance (Bellemare 2017, appendix).
    """
    return -(squared_distances(x, y) + 1e-8).sqrt()


def within(kernel: Kernel, x: Tensor) -> Tensor:
    """Mean kernel value of two different ones of (N, D)."""
    values = kernel(x, x)
    return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))


def squared_mmd(kernel: Kernel, x: Tensor, y: Tensor) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy of (N, D) and (N, D)."""
    return within(kernel, x) + within(kernel, y) - 2 * kernel(x, y).mean()


def mmd_generator(kernel: Kernel, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The generator lowers the MMD of the critic's features."""
    return squared_mmd(kernel, critic(real).float(), critic(fake).float())


def hinge(scores_real: Tensor, scores_fake: Tensor) -> Tensor:
    """Hinge loss of a critic's scores (Miyato 2018)."""
    return F.relu(1 - scores_real).mean() + F.relu(1 + scores_fake).mean()


def mmd_critic(kernel: Kernel, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The critic raises the MMD of its features (Binkowski 2018), the first with a hinge as well.

    From a warm start real and generated images are so near that their MMD is flat: alone, it found
    no difference in some hundred steps.
    """
    x, y = critic(real).float(), critic(fake).float()
    return hinge(x[:, 0], y[:, 0]) - squared_mmd(kernel, x, y)


def hinge_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss."""
    return hinge(critic(real), critic(fake))


def logistic_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of telling real from fake (Goodfellow 2014)."""
    return F.softplus(-critic(real)).mean() + F.softplus(critic(fake)).mean()


def non_saturating_generator(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The generator raises the probability of "real" (Goodfellow 2014, section 3)."""
    return F.softplus(-critic(fake)).mean()


def rotation(critic: nn.Module, images: Tensor) -> Tensor:
    """Cross-entropy of naming the quarter turn of a quarter of the images (Chen 2019)."""
    upright = images[: len(images) // 4]
    turned = torch.cat([upright.rot90(k, (2, 3)) for k in range(4)])
    turns = torch.arange(4, device=images.device).repeat_interleave(len(upright))
    return F.cross_entropy(critic(turned)[:, 1:].float(), turns)


def ssgan_critic(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Hinge on the first output, and the turns of real images from the other four."""
    return hinge(critic(real)[:, 0], critic(fake)[:, 0]) + rotation(critic, real)


def ssgan_generator(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Score plus 0.2 times the turns of generated images."""
    return -critic(fake)[:, 0].mean() + 0.2 * rotation(critic, fake)


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
    return score_generator(critic, real, fake) + 0.2 * info_nce(critic, fake)


@dataclass(frozen=True)
class Recipe:
    """How a loss is trained: its critic, the two objectives, and what Adam is given.

    Critics see an image and, as three more channels, its detail: what is left without its layout,
    amplified. Layouts are alike in photographs and generated images; seeing the whole alone, no
    critic had found a difference after a hundred steps.
    """

    critic: Callable[..., nn.Module]
    critic_loss: ObjectiveFunction
    generator_loss: ObjectiveFunction
    critic_rate: float = 2e-4
    generator_rate: float = 4e-4
    scaled_rate: float = 3e-3  # of generator weights that are scaled at run time
    betas: tuple[float, float] = (0.5, 0.99)
    batch_size: int = 16
    averaging: float = 0.99  # decay of the generator's moving average, at most


CHANNELS = 6  # that critics see
SPECTRAL = partial(SpectralCritic, channels=CHANNELS)
FEATURES = partial(SPECTRAL, outputs=16)
RECIPES = {
    "wgan-gp": Recipe(
        partial(WassersteinCritic, channels=CHANNELS), wgan_gp_critic, score_generator,
        critic_rate=3e-3,
        scaled_rate=1e-3,  # at the critic's rate the generator outruns it and draws blobs
        betas=(0.0, 0.99),
    ),
    "mmd": Recipe(
        FEATURES, partial(mmd_critic, rational_quadratic),
        partial(mmd_generator, rational_quadratic),
    ),
    "cramer": Recipe(FEATURES, partial(mmd_critic, energy), partial(mmd_generator, energy)),
    "hinge": Recipe(SPECTRAL, hinge_critic, score_generator),
    "infomax": Recipe(SPECTRAL, infomax_critic, infomax_generator),
    "ssgan": Recipe(partial(SPECTRAL, outputs=5), ssgan_critic, ssgan_generator),
    "non-saturating": Recipe(SPECTRAL, logistic_critic, non_saturating_generator),
}  # fmt: skip
