"""What is there of the released data set, and what each set-up lacks."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dnadet_lib.images.folders import images_in
from dnadet_lib.images.lists import read_list, same_file_key
from dnadet_lib.images.reading import open_image
from dnadet_lib.plumbing.text import one_line
from dnadet_lib.released.tree import FOLDERS, SETUPS, SetUp

MEASURED = 50  # images of a folder whose size is looked up, spread over it
NAMED = 3  # folders in a line


@dataclass(frozen=True)
class Folder:
    """What a folder of the tree holds."""

    folder: str
    side: int  # of an image as released, in pixels
    images: list[Path] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)  # "WIDTHxHEIGHT" -> images of those seen

    def as_dict(self) -> dict[str, Any]:
        """Say it in plain values, for JSON."""
        return {"folder": self.folder, "expected": self.usual, "images": len(self.images),
                "sizes": self.sizes}  # fmt: skip

    @property
    def usual(self) -> str:
        """The size that an image has as released."""
        return f"{self.side}x{self.side}"

    def text(self) -> str:
        """Write it in a line."""
        if not self.images:
            return f"{self.folder}: not there"
        sizes = ", ".join(f"{size} ({n})" if len(self.sizes) > 1 else size
                          for size, n in self.sizes.items())  # fmt: skip
        odd = "" if set(self.sizes) <= {self.usual} else f", not {self.usual} alone as released"
        return f"{self.folder}: {len(self.images):,} images, {sizes}{odd}"


@dataclass(frozen=True)
class Found:
    """What a set-up has and lacks."""

    mode: str
    name: str
    images: int  # that it would take
    missing: list[str]  # folders without an image
    fewer: dict[str, str]  # folder -> "HAS of WANTED" images

    def text(self) -> str:
        """Write it in a line."""
        said = f"{self.mode}, {self.name}: {self.images:,} images"
        if self.missing:
            said += f"; lacks {len(self.missing)} folders: {_some(self.missing)}"
        if self.fewer:
            said += f"; fewer than released: {_some([f'{k} {v}' for k, v in self.fewer.items()])}"
        return said if self.missing or self.fewer else f"{said}; complete"


@dataclass(frozen=True)
class FoundList:
    """What an annotation file holds."""

    file: str
    images: int
    repeated: int  # lines that name an image again
    absent: int  # images that are not there
    fault: str = ""  # why it cannot be read

    def text(self) -> str:
        """Write it in a line."""
        if self.fault:
            return one_line(self.fault)
        said = f"{self.file}: {self.images:,} lines"
        if self.absent:
            said += f"; {self.absent:,} images are not there (paths start from the list's folder " \
                "or from where you work)"  # fmt: skip
        return said + (f"; {self.repeated:,} lines repeat an image" if self.repeated else "")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return one_line(", ".join(names[:NAMED]) + more)


def look_at(root: Path, folder: str) -> Folder:
    """List the images of a folder of the tree, and look up the sizes of some."""
    side = FOLDERS[folder]
    try:
        images = images_in(root / folder)
    except FileNotFoundError:
        return Folder(folder, side)
    sizes: Counter[str] = Counter()
    for place in np.unique(np.linspace(0, len(images) - 1, MEASURED).astype(int)):
        try:
            with open_image(images[place]) as image:
                sizes[f"{image.width}x{image.height}"] += 1
        except OSError:
            sizes["cannot be read"] += 1
    return Folder(folder, side, images, dict(sizes.most_common()))


def look_at_tree(root: Path) -> dict[str, Folder]:
    """Look at every folder of the tree; a FileNotFoundError if none of them is there."""
    found = {folder: look_at(root, folder) for folder in FOLDERS}
    if not any(folder.images for folder in found.values()):
        raise FileNotFoundError(
            f"{root}: holds none of the {len(FOLDERS)} folders of the released data set, such as "
            f"{next(iter(FOLDERS))}; give the folder in which real/ and GANs/ lie"
        )
    return found


def check_setup(setup: SetUp, folders: dict[str, Folder]) -> Found:
    """Compare what a set-up takes with what is there."""
    counts = {s.folder: (len(folders[s.folder].images), s.wanted) for s in setup.sources}
    return Found(
        setup.mode, setup.name, sum(min(pair) for pair in counts.values()),
        [folder for folder, (has, _) in counts.items() if not has],
        {folder: f"{has:,} of {wanted:,}" for folder, (has, wanted) in counts.items()
         if 0 < has < wanted},
    )  # fmt: skip


def check_lists(root: Path) -> list[FoundList]:
    """Read the annotation files that lie in the tree, with paths from there or as `read_list`."""
    found = []
    for file in [root / name for setup in SETUPS for name in setup.files]:
        name = str(file.relative_to(root))
        if not file.is_file():
            continue
        try:
            paths = read_list(file).paths
        except ValueError as error:
            found.append(FoundList(name, 0, 0, 0, str(error)))
            continue
        different = {same_file_key(path): path for path in paths}
        absent = sum(not path.is_file() for path in different.values())
        found.append(FoundList(name, len(paths), len(paths) - len(different), absent))
    return found


@dataclass(frozen=True)
class TreeReport:
    """What there is of the released data set."""

    folders: dict[str, Folder]
    setups: list[Found]
    lists: list[FoundList]

    @property
    def complete(self) -> bool:
        """Whether no set-up lacks anything."""
        return not any(found.missing or found.fewer for found in self.setups)

    def text(self) -> str:
        """Write a line per folder, set-up and list."""
        blocks = ([part.text() for part in self.folders.values()],
                  [part.text() for part in self.setups], [part.text() for part in self.lists])
        return "\n\n".join("\n".join(block) for block in blocks if block)

    def as_dict(self) -> dict[str, Any]:
        """Say it in plain values, for JSON."""
        return {
            "folders": [folder.as_dict() for folder in self.folders.values()],
            "setups": [asdict(found) for found in self.setups],
            "lists": [asdict(found) for found in self.lists],
        }


def check_tree(root: Path) -> TreeReport:
    """Look at every folder, set-up and list; errors are those of `look_at_tree`."""
    folders = look_at_tree(root)
    return TreeReport(folders, [check_setup(s, folders) for s in SETUPS], check_lists(root))
