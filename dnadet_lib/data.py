"""Images from folders, globs and annotation files, decoded once and kept as bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dnadet_lib.images.folders import by_suffix, counted, images_in, images_matching
from dnadet_lib.images.kept import MEMORY_LIMIT
from dnadet_lib.images.lists import ImageList, folder_sources, is_list, read_annotation, read_list
from dnadet_lib.images.names import names_beside, require_class_names
from dnadet_lib.images.reading import read_image
from dnadet_lib.plumbing.code_key import code_digest
from dnadet_lib.plumbing.files import atomic_path, reserve
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import storable


def list_images(source: Path | str) -> list[Path]:
    """List the images that a folder (searched through), a glob, an annotation file or a file names.

    Of a folder, whatever Pillow opens is listed, linked folders included; what is left out is
    noted (`folders.images_in`).

    Returns:
        Paths in sorted order; those of an annotation file in its own order.

    Raises:
        FileNotFoundError: nothing is there, or it holds no image.
    """
    path = Path(source)
    if path.is_dir():
        return images_in(path)
    if is_list(path) and path.is_file():
        return [image for image, _ in read_annotation(path)]
    if os.path.lexists(path):  # also a pipe or a link to nothing, which reading then names
        return [path]
    return images_matching(str(source))


@dataclass(frozen=True)
class ImageSet:
    """Labelled image files: paths (N,), class numbers (N,) and the names of the classes.

    `sources` (N,), if any, are the generator of each image, or the photograph it is cut from.
    """

    paths: list[Path]
    labels: np.ndarray
    classes: tuple[str, ...]
    sources: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        require_class_names(self.classes)
        if len(self.paths) != len(self.labels):
            raise ValueError(f"{len(self.paths)} paths, but {len(self.labels)} labels")
        for path, label in zip(self.paths, self.labels, strict=True):
            if not 0 <= label < len(self.classes):
                raise ValueError(
                    f"{path}: label {label} is outside the classes 0 to {len(self.classes) - 1} "
                    f"({', '.join(self.classes)})"
                )

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def makers(self) -> list[str]:
        """(N,) the source of each image, or where none are known, the name of its class."""
        return self.sources or [self.classes[k] for k in self.labels]

    def require_every_class(self) -> None:
        """Raise a ValueError if a class has no image, since training would never see it."""
        present = set(self.labels.tolist())
        for number, name in enumerate(self.classes):
            if number not in present:
                raise ValueError(f"class {name!r} has no image: give some, or leave the class out")

    def take(self, index: np.ndarray) -> ImageSet:
        """Return the images at the given positions."""
        sources = [self.sources[i] for i in index] if self.sources else []
        paths = [self.paths[i] for i in index]
        return ImageSet(paths, self.labels[index], self.classes, sources)

    def joined(self, other: ImageSet) -> ImageSet:
        """Return these images and then those of another set, whose classes are matched by name."""
        other = other.with_classes(self.classes)
        labels = np.concatenate([self.labels, other.labels])
        sources = self.makers + other.makers if self.sources or other.sources else []
        return ImageSet(self.paths + other.paths, labels, self.classes, sources)

    def with_classes(self, classes: Sequence[str]) -> ImageSet:
        """Return the same images with labels that number `classes`, matched by name.

        Raises:
            ValueError: an image's class is none of them.
        """
        if tuple(classes) == self.classes:
            return self
        present = [self.classes[k] for k in np.unique(self.labels)]
        if unknown := [name for name in present if name not in classes]:
            raise ValueError(
                f"class {unknown[0]!r} is none of the model's: {', '.join(classes)}; "
                f"those of the images: {', '.join(self.classes)}; name them as the model does"
            )
        number = {name: k for k, name in enumerate(classes)}
        labels = np.array([number[self.classes[k]] for k in self.labels])
        return ImageSet(self.paths, labels, tuple(classes), self.sources)

    @classmethod
    def from_annotation(cls, path: Path, classes: Sequence[str] | None = None) -> ImageSet:
        """Read a list of images, as released annotation files are (`path<TAB>label` lines).

        A third column holds the sources; without it, an image's source is its folder.

        Args:
            path: The list.
            classes: Names in the order of the numbers; by default those in a file beside the list.

        Raises:
            FileNotFoundError: the list is missing.
            ValueError: the list has a fault, a number is outside the classes, or their names are
                neither given nor beside it; file and line are named.
        """
        return cls.from_list(read_list(Path(path)), classes)

    @classmethod
    def from_list(cls, found: ImageList, classes: Sequence[str] | None = None) -> ImageSet:
        """Name the classes of a list that was read; as `from_annotation`."""
        if classes is None:
            beside = names_beside(found.file)
            if beside is None:
                raise ValueError(
                    f"{found.file}: which classes the numbers mean is not said: give --classes, "
                    "the names in order, or write them to classes.txt beside the list, one a line"
                )
            classes = beside[0]
        require_class_names(classes, str(found.file))
        for line, label in zip(found.lines, found.labels, strict=True):
            if label >= len(classes):
                raise ValueError(
                    f"{found.file}, line {line}: label {label} is outside the classes 0 to "
                    f"{len(classes) - 1} ({', '.join(classes)}); numbers start from 0"
                )
        # A missing image stands where the list says, so that it does not move the root of all.
        places = [path if path.is_file() else found.file.parent / path for path in found.paths]
        sources = found.columns.get("source") or folder_sources(places)
        return cls(found.paths, np.array(found.labels), tuple(classes), sources)

    @classmethod
    def from_folders(cls, root: Path) -> ImageSet:
        """Read a folder with one folder of images per class; classes in sorted order.

        An image's source is the folder that holds it, the class's own or one inside that.

        Raises:
            FileNotFoundError: the root, or the images of a class, are missing.
        """
        root = Path(root)
        inside = sorted(root.iterdir()) if root.is_dir() else []
        folders = [p for p in inside if p.is_dir() and not p.name.startswith(".")]
        if not folders:
            raise FileNotFoundError(f"{root}: expected a folder with one folder per class")
        if beside := [p for p in inside if p not in folders]:
            note(
                f"{root}: {counted(beside, 'file')} beside the class folders left out "
                f"({by_suffix(beside)})", beside
            )  # fmt: skip
        groups = [list_images(folder) for folder in folders]
        labels = np.repeat(np.arange(len(folders)), [len(g) for g in groups])
        paths = [p for g in groups for p in g]
        names = tuple(storable(p.name) for p in folders)
        require_class_names(names, str(root))
        return cls(paths, labels, names, folder_sources(paths, root))


def load_images(paths: Sequence[Path], cache: Path | None = None) -> np.ndarray:
    """Decode images of one size, once, to uint8; `kept.ImageFiles` is for more than fit in memory.

    Args:
        paths: Image files, all of one size.
        cache: Folder for a memory-mapped copy, which is used where the decoded images would take
            more than 512 MiB and read again by the next call on files of the same content.

    Returns:
        uint8 (N, H, W, 3), in memory or memory-mapped.

    Raises:
        OSError: a file cannot be read; it is named.
        ValueError: no paths, or an image has another size than the first; it is named.
    """
    if len(paths) == 0:
        raise ValueError("no images given")
    first = read_image(paths[0])
    shape = (len(paths), *first.shape)
    if cache is None or np.prod(shape) <= MEMORY_LIMIT:
        images = np.empty(shape, np.uint8)
        _fill(images, paths)
        return images
    # A file may be replaced by one of its size and time: what is in it counts, and how it is read.
    content = hashlib.sha256(code_digest(read_image).encode())
    for path in paths:
        content.update(hashlib.sha256(path.read_bytes()).digest())
    file = Path(cache) / f"{content.hexdigest()[:16]}.npy"
    if not file.is_file():
        with atomic_path(file) as temporary:
            mapped = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
            reserve(temporary)
            _fill(mapped, paths)
            mapped.flush()
    return np.load(file, mmap_mode="r")


def decoded_in_parts(paths: Sequence[Path], height: int, width: int) -> Iterator[np.ndarray]:
    """Decode images to uint8 (N, height, width, 3), at most 512 MiB at a time.

    Of larger images the middle is taken; a ValueError names one that is smaller.
    """
    at_once = max(1, MEMORY_LIMIT // (3 * height * width))
    for start in range(0, len(paths), at_once):
        part = paths[start : start + at_once]
        images = np.empty((len(part), height, width, 3), np.uint8)
        for slot, path in zip(images, part, strict=True):
            slot[...] = _middle(path, height, width)
        yield images


def _middle(path: Path, height: int, width: int) -> np.ndarray:
    image = read_image(path)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise ValueError(
            f"{path}: {image.shape[1]}x{image.shape[0]} pixels; {width}x{height} were learned, "
            "and a test image must be as large or larger"
        )
    return image[top : top + height, left : left + width]


def _fill(images: np.ndarray, paths: Sequence[Path]) -> None:
    for slot, path in zip(images, paths, strict=True):
        image = read_image(path)
        if image.shape != slot.shape:
            raise ValueError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but {paths[0]} is "
                f"{slot.shape[1]}x{slot.shape[0]}; training needs images of one size"
            )
        slot[...] = image


def some_of_each(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Choose at most `count` images of each class at random: their positions."""
    rng = np.random.default_rng(seed)
    classes = [rng.permutation(np.flatnonzero(labels == k)) for k in np.unique(labels)]
    return np.concatenate([own[:count] for own in classes])


def origins(sources: np.ndarray) -> np.ndarray:
    """Name what each image counts under: its generator, or `real/CONTENT` for a crop."""
    names = sources.astype(str).tolist()
    return np.array(["/".join(n.split("/")[:2]) if n.startswith("real/") else n for n in names])
