"""What is checked before a model is trained on labelled images, so that no epoch is lost."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from dnadet_lib.data import ImageSet
from dnadet_lib.images.lists import same_file_key
from dnadet_lib.images.names import listed
from dnadet_lib.presets import Preset, require_stage
from dnadet_lib.runs.labelled import require_files

Size = tuple[int, int]


def check_before_training(preset: Preset, train: ImageSet, dev: ImageSet) -> None:
    """Refuse what would fail, or make no model of architectures, before work begins.

    Raises:
        FileNotFoundError: an image is missing; ten are named, and all counted.
        ValueError: the preset is of stage 1, there is one class only, a class has no training
            image, there are no dev images or some are of a class that is not trained on, or sizes
            of images do not fit.
    """
    require_stage(preset, 2)
    train.require_every_class()
    if len(train.classes) < 2:
        raise ValueError(f"one class only, {train.classes[0]!r}: give images of two or more")
    if not len(dev):
        raise ValueError("no dev images: they are needed to choose an epoch and to calibrate")
    present = {dev.classes[k] for k in dev.labels.tolist()}
    if unknown := sorted(present - set(train.classes)):
        raise ValueError(
            f"dev: class {listed(unknown)} has no training images; train: "
            f"{listed(train.classes)}; dev: {listed(dev.classes)}"
        )
    require_files(train, "train")
    require_files(dev, "dev")
    require_sizes(preset, train, dev)


def require_sizes(preset: Preset, train: ImageSet, dev: ImageSet) -> None:
    """Check, from the files' headers, that images are large enough and, to train on, of one size.

    Files that cannot be read as images are passed over: whoever decodes them names them.

    Raises:
        ValueError: they are not; the files are named.
    """
    sizes = {what: _sizes(images) for what, images in (("train", train), ("dev", dev))}
    spec = preset.input
    if spec.resize_first is None and spec.resize is None and spec.vote != "whole":
        for what, found in sizes.items():
            small = [path for path, size in found.items() if min(size) < spec.patch]
            if small:
                width, height = found[small[0]]
                raise ValueError(
                    f"{small[0]}: image is {width}x{height} pixels, smaller than a patch of "
                    f"{spec.patch}x{spec.patch} ({len(small)} such {what} images: {listed(small)})"
                )
    if preset.discriminant:  # makes a grid of patches of each image by itself
        return
    first, expected = next(iter(sizes["train"].items()), (None, (0, 0)))
    # A turned photograph may say its size the other way round: decoding decides then.
    odd = [p for p, size in sizes["train"].items() if sorted(size) != sorted(expected)]
    if odd:
        width, height = sizes["train"][odd[0]]
        raise ValueError(
            f"{odd[0]}: {width}x{height} pixels, but {first} is {expected[0]}x{expected[1]}; "
            f"training needs images of one size ({len(odd)} differ: {listed(odd)})"
        )


def _sizes(images: ImageSet) -> dict[Path, Size]:
    found = {}
    for path in images.paths:
        try:
            with Image.open(path) as image:
                found[path] = image.size
        except Exception:  # of a file that is no image, Pillow's readers raise anything
            continue
    return found


def training_remarks(train: ImageSet, dev: ImageSet) -> list[str]:
    """Remark on images that are trained on and stand in dev too."""
    keys = {same_file_key(path) for path in train.paths}
    both = [path for path in dev.paths if same_file_key(path) in keys]
    if not both:
        return []
    return [
        f"{len(both)} dev images are training images too: {listed(both)}; figures on dev, "
        "temperature and threshold will be too good"
    ]
