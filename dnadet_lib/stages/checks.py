"""What a run of stage 2 is given: checked before work begins, and read once to make its key."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dnadet_lib.data import ImageSet
from dnadet_lib.images.lists import same_file_key
from dnadet_lib.images.names import listed
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.text import one_line
from dnadet_lib.presets import Preset, require_stage
from dnadet_lib.stages.key import KeptImages, RunKey, image_digest, network_digest
from dnadet_lib.stages.labelled import require_files

NAMED = 10  # faulty files in a message


def require_trainable(
    preset: Preset, train: ImageSet, dev: ImageSet, pretrained: DNADet | None = None
) -> ImageSet:
    """Refuse labels from which no model can be made; return dev with the classes of train.

    Raises:
        ValueError: the preset is of stage 1 or needs a pre-trained model, a class has no training
            image, there are fewer than two classes to train on or in dev, or dev has another one.
    """
    require_stage(preset, 2)
    if preset.discriminant and pretrained is None:
        raise ValueError(
            f"preset {preset.name} solves a discriminant on a pre-trained model: give one "
            "(--pretrained), such as pocket_pretrain"
        )
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
    if len(present) < 2:
        raise ValueError(
            f"dev images are of {len(present)} of the {len(train.classes)} classes: two or more "
            "are needed, better all, to choose an epoch, a temperature and a threshold"
        )
    if absent := [name for name in train.classes if name not in present]:
        print(f"no dev image of {one_line(', '.join(absent))}: epoch, temperature and threshold "
              "are chosen without", file=sys.stderr, flush=True)  # fmt: skip
    return dev.with_classes(train.classes)


def training_key(
    preset: Preset, train: ImageSet, dev: ImageSet, *, pretrained: DNADet | None = None,
    seed: int = 0,
) -> RunKey:  # fmt: skip
    """Read every image once and make the key of a run; arguments are those of `run_training`.

    Raises:
        FileNotFoundError: images are missing; ten are named, and all counted.
        ValueError: images cannot be read, are smaller than a patch or, to train on, of several
            sizes, or a class has copies of one image alone; files are named.
    """
    dev = dev.with_classes(train.classes)
    found = measured(train, dev)
    require_sizes(preset, found, train, dev)
    kept = [
        KeptImages(
            np.stack([np.frombuffer(found[path][1], np.uint8) for path in images.paths]),
            np.asarray(images.labels, np.int64), images.paths,
        )
        for images in (train, dev)
    ]  # fmt: skip
    require_variety(train, kept[0])
    start = "" if pretrained is None else network_digest(pretrained.main)
    return RunKey(preset, seed, train.classes, start, kept[0], kept[1], dev.makers)


Measured = Mapping[Path, tuple[tuple[int, int], bytes]]


def measured(train: ImageSet, dev: ImageSet) -> Measured:
    """Read images, each once: path -> (height, width) and the digest of its pixels.

    An error names up to ten of those that are missing or cannot be read, and counts all.
    """
    found, faults = {}, {}
    for path in dict.fromkeys([*train.paths, *dev.paths]):
        try:
            image = read_image(path)
        except OSError as error:
            faults[path] = str(error)
        else:
            found[path] = (image.shape[0], image.shape[1]), image_digest(image)
    if faults:
        if not any(path.is_file() for path in faults):
            require_files(train, "train")
            require_files(dev, "dev")
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise ValueError(
            f"{len(faults)} of {len(found) + len(faults)} images cannot be used, mend them or "
            f"take them out: {'; '.join(list(faults.values())[:NAMED])}{more}"
        )
    return found


def require_sizes(preset: Preset, found: Measured, train: ImageSet, dev: ImageSet) -> None:
    """Refuse images that are not resized and are smaller than a patch or, to train on, differ."""
    spec = preset.input
    if spec.resize_first is not None or spec.resize is not None:
        return
    if spec.vote != "whole":
        for what, images in (("train", train), ("dev", dev)):
            small = [path for path in images.paths if min(found[path][0]) < spec.patch]
            if small:
                height, width = found[small[0]][0]
                raise ValueError(
                    f"{small[0]}: image is {width}x{height} pixels, smaller than a patch of "
                    f"{spec.patch}x{spec.patch} ({len(small)} such {what} images: {listed(small)})"
                )
    first = train.paths[0]
    odd = [path for path in train.paths if found[path][0] != found[first][0]]
    if odd and not preset.discriminant:
        (height, width), (tall, wide) = found[odd[0]][0], found[first][0]
        raise ValueError(
            f"{odd[0]}: {width}x{height} pixels, but {first} is {wide}x{tall}; "
            f"training needs images of one size ({len(odd)} differ: {listed(odd)}), or a preset "
            "that resizes, such as paper_wild"
        )


def require_variety(train: ImageSet, kept: KeptImages) -> None:
    """Raise a ValueError if the images of a class are copies of a single one."""
    for number, name in enumerate(train.classes):
        members = np.flatnonzero(kept.labels == number)
        if len(np.unique(kept.hashes[members], axis=0)) < 2:
            copies = f"{len(members)} copies of one image" if len(members) > 1 else "a single image"
            raise ValueError(
                f"class {name!r} has {copies} ({one_line(train.paths[members[0]])}): give two or "
                "more that differ"
            )


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
