"""The device that networks run on: what `--device` or DNADET_DEVICE says, else the best one."""

import logging
import os
from typing import TYPE_CHECKING

from dnadet_lib.plumbing.notes import note

if TYPE_CHECKING:
    import torch

VARIABLE = "DNADET_DEVICE"
NAMES = ("auto", "cpu", "cuda", "mps")
LOG = logging.getLogger("dnadet")


def present_devices() -> list[str]:
    """List the devices of this machine that PyTorch can use, the best first."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [*(name for name, found in there.items() if found), "cpu"]


def require_device(name: str) -> str:
    """Return the device that a name stands for; a ValueError if there is none here."""
    there = present_devices()
    if name != "auto" and name not in there:
        raise ValueError(
            f"device {name!r}: there is none here; choose of {', '.join(['auto', *there])}"
        )
    return there[0] if name == "auto" else name


def chosen_device() -> "torch.device":
    """Return the device to run on; a ValueError if the one that is asked for is not there."""
    import torch

    return torch.device(require_device(os.environ.get(VARIABLE, "auto")))


def told_device() -> "torch.device":
    """Return the device to run on, with a note unless it is a CPU that nobody asked for."""
    device = chosen_device()
    LOG.info("device: %s", device)
    if device.type != "cpu" or VARIABLE in os.environ:
        note(f"device: {device}")
    return device


def fast_bf16(device: "torch.device") -> bool:
    """Whether bf16 autocast pays: on a GPU, or a CPU with bf16 instructions."""
    import torch

    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
