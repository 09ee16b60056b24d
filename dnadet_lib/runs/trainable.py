"""What a run of stage 2 is given: checks before work begins, and the key that it makes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from dnadet_lib.data import ImageSet
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet, InputSpec
from dnadet_lib.patches import check_patch_fits
from dnadet_lib.plumbing.text import one_line
from dnadet_lib.presets import Preset
from dnadet_lib.runs.key import KeptImages, RunKey, keep, network_digest


def require_trainable(
    preset: Preset, train: ImageSet, dev: ImageSet, pretrained: DNADet | None
) -> ImageSet:
    """Check that there is what calibration needs; return dev with the classes of train."""
    if preset.discriminant and pretrained is None:
        raise ValueError(
            f"preset {preset.name} solves a discriminant on a pre-trained model: give one "
            "(--pretrained), such as pocket_pretrain"
        )
    dev = dev.with_classes(train.classes)
    present = set(dev.labels.tolist())
    if len(present) < 2:
        raise ValueError(
            f"dev images are of {len(present)} of the {len(train.classes)} classes: two or more "
            "are needed, better all, to choose an epoch, a temperature and a threshold"
        )
    absent = [name for k, name in enumerate(train.classes) if k not in present]
    if absent:
        print(f"no dev image of {one_line(', '.join(absent))}: epoch, temperature and threshold "
              "are chosen without", file=sys.stderr, flush=True)  # fmt: skip
    return dev


def require_variety(train: ImageSet, kept: KeptImages) -> None:
    """Raise a ValueError if the images of a class are copies of a single one."""
    for number, name in enumerate(train.classes):
        own = np.flatnonzero(kept.labels == number)
        if len(np.unique(kept.hashes[own], axis=0)) < 2:
            copies = f"{len(own)} copies of one image" if len(own) > 1 else "a single image"
            raise ValueError(
                f"class {name!r} has {copies} ({one_line(train.paths[own[0]])}): give two or more "
                "that differ"
            )


def training_key(
    preset: Preset,
    train: ImageSet,
    dev: ImageSet,
    *,
    pretrained: DNADet | None = None,
    seed: int = 0,
    images: np.ndarray | None = None,
) -> RunKey:
    """Make the key of a run of stage 2; arguments are those of `run_training`.

    Args:
        preset: A stage 2 preset.
        train: Training images.
        dev: Dev images.
        pretrained: Stage 1 model.
        seed: Of the run.
        images: The training images' pixels, where they are decoded already.
    """
    dev = dev.with_classes(train.classes)
    start = "" if pretrained is None else network_digest(pretrained.main)
    pixels = images if images is not None else _read_for(preset.input, train.paths)
    return RunKey(
        preset, seed, train.classes, start, keep(pixels, train.labels, train.paths),
        keep(_read_for(preset.input, dev.paths), dev.labels, dev.paths), dev.makers,
    )  # fmt: skip


def _read_for(spec: InputSpec, paths: Iterable[Path]) -> Iterator[np.ndarray]:
    """Read images and refuse one that is smaller than a patch; its file is named."""
    for path in paths:
        image = read_image(path)
        require_patch(image, spec, path)
        yield image


def require_patch(image: np.ndarray, spec: InputSpec, path: Path) -> None:
    """Raise a ValueError that names the file if an image is smaller than a patch."""
    if spec.vote != "whole" and spec.resize is None and spec.resize_first is None:
        try:
            check_patch_fits(image.shape[0], image.shape[1], spec.patch)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
