"""Lists of the released data set's set-ups: seeded, stratified, with the sources of the images."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from dnadet_lib.images.lists import write_list
from dnadet_lib.released.check import Folder
from dnadet_lib.released.tree import CLOSED, SPLITS, SetUp, Source

Entry = tuple[Path, int, str]  # image, number of its class, folder of the tree
HELD_OUT = 0.1  # share of a folder's images that is in val, and in test
RELEASE_SEED = 1  # of the release's split


def write_setup(
    setup: SetUp, folders: Mapping[str, Folder], out: Path, seed: int = 0, *,
    release: bool = False,
) -> dict[str, int]:  # fmt: skip
    """Write the lists of a set-up, each with the names of its classes beside it.

    Of each folder as many images as the set-up takes are drawn at random, and those of the closed
    set are split 80/10/10, folder by folder. The draw of a folder depends on its images and the
    seed alone, so that a list of the same folders is the same wherever they lie.

    Args:
        setup: Some of its folders must be there.
        folders: What each folder holds.
        out: Gets `MODE_SPLIT/annotations/NAME.txt`.
        seed: Of the draw.
        release: Do as the release does: take the first images of a folder in place of a draw, split
            all with its seed, stratified by class, repeat the first seed's images in the place of
            the others' (fault A), and write no source.

    Returns:
        The images of each list, by its name.

    Raises:
        ValueError: a list would be empty, or (with `release`) a class too small to be split.
    """
    make = _as_released if release else _drawn
    written = {}
    for split, entries in make(setup, folders, seed).items():
        name = setup.file(split)
        if not entries:
            raise ValueError(f"{name}: no image is left for it; give three or more in each folder")
        paths, labels, sources = zip(*entries, strict=True)
        columns = () if release else sources
        write_list(out / name, paths, labels, setup.classes, columns, names_in="classes.txt")
        written[name] = len(entries)
    return written


def _drawn(setup: SetUp, folders: Mapping[str, Folder], seed: int) -> dict[str, list[Entry]]:
    splits: dict[str, list[Entry]] = {split: [] for split in SPLITS}
    for source in setup.sources:
        rng = np.random.default_rng([seed, zlib.crc32(source.folder.encode())])
        images = folders[source.folder].images
        entries = [_entry(images[i], source) for i in rng.permutation(len(images))[: source.wanted]]
        held = max(1, round(HELD_OUT * len(entries))) if setup.name == CLOSED else len(entries)
        splits["test"] += entries[:held]
        splits["val"] += entries[held : 2 * held]
        splits["train"] += entries[2 * held :]
    return splits if setup.name == CLOSED else {"test": splits["test"]}


def _as_released(setup: SetUp, folders: Mapping[str, Folder], seed: int) -> dict[str, list[Entry]]:
    entries = [
        _entry(path, source)
        for source in (_with_fault_a(setup) if setup.name == "cross_seed" else setup.sources)
        for path in folders[source.folder].images[: source.wanted]
    ]
    if setup.name != CLOSED:
        return {"test": entries}
    train, rest = _halves(entries, 0.2)
    first, second = _halves(rest, 0.5)
    names = ("val", "test") if setup.mode == "in_the_wild" else ("test", "val")
    return {"train": train, **dict(zip(names, (first, second), strict=True))}


def _with_fault_a(setup: SetUp) -> Iterator[Source]:
    """The list of files is not emptied between seeds, and cut to as many as the first has."""
    return (setup.sources[0] for _ in setup.sources)


def _halves(entries: list[Entry], share: float) -> list[list[Entry]]:
    labels = [label for _, label, _ in entries]
    return train_test_split(
        entries, test_size=share, random_state=RELEASE_SEED, stratify=labels
    )


def _entry(path: Path, source: Source) -> Entry:
    return path, source.label, source.folder
