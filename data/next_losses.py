"""The losses of the next zoo: those of the present one, with what its trainer needs otherwise.

Critics see an image and, as three more channels, its detail: what is left without its layout,
amplified. Layouts are alike in photographs and generated images; seeing the whole alone, no critic
had found a difference after a hundred steps.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from gan_losses import RECIPES as PRESENT, Kernel, energy, hinge, rational_quadratic, squared_mmd
from torch import Tensor, nn

CHANNELS = 6  # that critics see


def mmd_critic(kernel: Kernel, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """The critic raises the MMD of its features (Binkowski 2018), the first with a hinge as well.

    From a warm start real and generated images are so near that their MMD is flat: alone, it found
    no difference in some hundred steps.
    """
    x, y = critic(real).float(), critic(fake).float()
    return hinge(x[:, 0], y[:, 0]) - squared_mmd(kernel, x, y)


EVERY = {"batch_size": 16, "averaging": 0.99}
ADAM = {"critic_rate": 2e-4, "betas": (0.5, 0.99)}
OTHERWISE = {
    "wgan-gp": {},  # keeps its rates
    "mmd": {**ADAM, "critic_loss": partial(mmd_critic, rational_quadratic)},
    "cramer": {**ADAM, "critic_loss": partial(mmd_critic, energy)},
}
RECIPES = {
    loss: replace(
        recipe,
        critic=partial(recipe.critic, channels=CHANNELS),
        **{**EVERY, **OTHERWISE.get(loss, ADAM)},
    )
    for loss, recipe in PRESENT.items()
}
