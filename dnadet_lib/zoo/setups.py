"""Test set-ups, which follow from the manifest: what changed against training."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from dnadet_lib.data import ImageSet
from dnadet_lib.zoo.abroad import folder_abroad, read_abroad
from dnadet_lib.zoo.generators import UNKNOWN_ARCHITECTURES
from dnadet_lib.zoo.manifest import CLASSES, Generator, read_manifest
from dnadet_lib.zoo.rendering import image_root, rendered_images

SETUPS = ("closed", "seed", "loss", "finetune", "dataset")  # those with a right answer, reported
OTHER_SETUPS = ("dev", "unknown", "abroad")
REAL_SETUPS = ("closed", "dev", "dataset")  # set-ups in which photographs count


def setup_of(generator: Generator, generators: Iterable[Generator]) -> str:
    """Name the set-up that a generator belongs to: what differs from its training generator.

    That is "unknown" for an architecture outside the closed set, "closed" for a training generator,
    "dev" for a dev one, else the one thing that changed: "seed", "loss", "finetune" or "dataset".

    Raises:
        ValueError: there is no training generator of its class, not exactly one thing differs, or
            it was fine-tuned from another generator.
    """
    if generator.architecture in UNKNOWN_ARCHITECTURES:
        return "unknown"
    if generator.role != "test":
        return {"train": "closed", "dev": "dev"}[generator.role]
    trained = [
        g for g in generators if g.role == "train" and g.architecture == generator.architecture
    ]
    if len(trained) != 1:
        raise ValueError(
            f"manifest row {generator.name!r}, architecture: {len(trained)} training generators "
            f"of {generator.architecture!r}, expected one"
        )
    fields = {"seed": "seed", "loss": "loss", "finetuned_from": "finetune", "content": "dataset"}
    changed = [
        setup
        for field, setup in fields.items()
        if getattr(generator, field) != getattr(trained[0], field)
    ]
    if len(changed) != 1:
        raise ValueError(
            f"manifest row {generator.name!r}: differs from {trained[0].name!r} in "
            f"{changed or 'nothing'}; a test generator differs in exactly one thing"
        )
    if changed == ["finetune"] and generator.finetuned_from != trained[0].name:
        raise ValueError(
            f"manifest row {generator.name!r}, finetuned_from: {generator.finetuned_from!r} is not "
            f"its class's training generator {trained[0].name!r}"
        )
    return changed[0]


def load_setup(setup: str, split: str = "test", root: Path | None = None) -> ImageSet:
    """List the images of a set-up, such as "closed", "dev" or "unknown", from a rendered tree.

    The closed set has the splits "train", "dev" and "test", "unknown" and "abroad" the last two.
    Classes are `CLASSES`, or `UNKNOWN_ARCHITECTURES`; sources are generator names, and for
    photographs `real/CONTENT/NAME`.

    Raises:
        FileNotFoundError: the tree, or a generator's folder in it, is missing.
        ValueError: unknown set-up, or no generator belongs to it.
    """
    root = root or image_root()
    if setup not in (*SETUPS, *OTHER_SETUPS):
        known = ", ".join((*SETUPS, *OTHER_SETUPS))
        raise ValueError(f"unknown set-up {setup!r}: choose one of {known}")
    if setup == "abroad":
        return _listed(_groups_abroad(split, root), CLASSES)
    generators = read_manifest()
    members = [g for g in generators if setup_of(g, generators) == setup]
    if setup == "unknown":
        members = [g for g in members if g.role == split]
    if not members:
        raise ValueError(f"set-up {setup!r}: no generator of the manifest belongs to it")
    classes = tuple(UNKNOWN_ARCHITECTURES) if setup == "unknown" else CLASSES
    split = split if setup == "closed" else members[0].role
    groups = [
        (g.architecture, g.name, root / "GANs" / g.architecture / g.name / split) for g in members
    ]
    if setup in REAL_SETUPS:
        contents = sorted({g.content for g in members})
        groups += [("Real", f"real/{c}", root / "real" / c / split) for c in contents]
    return _listed(groups, classes)


def _groups_abroad(split: str, root: Path) -> list[tuple[str, str, Path]]:
    members = [g for g in read_abroad() if g.role == split]
    if not members:
        raise ValueError(f"set-up 'abroad': no generator with the role {split!r} belongs to it")
    return [(g.architecture, g.name, folder_abroad(g, root)) for g in members]


def _listed(groups: list[tuple[str, str, Path]], classes: tuple[str, ...]) -> ImageSet:
    """Join folders of rendered images, each given as class, source and folder."""
    paths: list[Path] = []
    labels: list[int] = []
    sources: list[str] = []
    for name, source, folder in groups:
        found = rendered_images(folder)
        if not found:
            raise FileNotFoundError(f"{folder}: no rendered images; run `dnadet render` first")
        paths += found
        labels += [classes.index(name)] * len(found)
        sources += [
            f"{source}/{path.stem.rsplit('-', 1)[0]}" if name == "Real" else source
            for path in found
        ]
    return ImageSet(paths, np.array(labels), classes, sources)


def present_setups() -> list[str]:
    """List the set-ups that the manifest's generators make up, in a fixed order."""
    generators = read_manifest()
    present = {setup_of(g, generators) for g in generators}
    if any(g.role == "test" for g in read_abroad()):
        present.add("abroad")
    return [setup for setup in (*SETUPS, *OTHER_SETUPS) if setup in present]


def available_setups() -> list[str]:
    """List those of them on which an accuracy is reported."""
    return [setup for setup in present_setups() if setup in SETUPS]
