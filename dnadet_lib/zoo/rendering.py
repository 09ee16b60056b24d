"""The pocket zoo and its photographs, rendered to folders of images."""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dnadet_lib.plumbing.files import atomic_path, inside, locked
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.plumbing.stopping import start_worker
from dnadet_lib.zoo.abroad import GeneratorAbroad, folder_abroad, read_abroad, unpack
from dnadet_lib.zoo.generators import sample_images
from dnadet_lib.zoo.layers import LATENT
from dnadet_lib.zoo.manifest import ROLES, Generator, read_manifest
from dnadet_lib.zoo.photographs import CONTENTS, CROP_SIZE, cut_crops, load_photographs

LATENT_SEEDS = {"train": 0, "dev": 1_000_000, "test": 2_000_000}  # the first
CHUNK = 50
MARKER = "source.sha256"  # in a folder of rendered images: hash of what they were made from
RENDERED = re.compile(r"(.+-)?\d{5,7}\.(png|jpg|webp)")  # names that `render` gives
RENDERED_SIZES = ((CROP_SIZE, CROP_SIZE), (2 * CROP_SIZE, 2 * CROP_SIZE))  # the second: abroad


@dataclass(frozen=True)
class RenderCounts:
    """How many images are rendered: of a generator by split, and of photographs by group."""

    train: int = 1500
    dev: int = 300
    closed_test: int = 500
    test: int = 250
    photos: tuple[int, int, int] = (1500, 300, 500)  # train, dev, test
    abroad: int = 200


POCKET = RenderCounts()
SMOKE = RenderCounts(24, 12, 12, 12, (24, 12, 12), 12)
PROFILES = {"pocket": POCKET, "smoke": SMOKE}


def image_root(profile: str = "pocket") -> Path:
    """Return the folder that `render` writes a profile's images to; a ValueError if unknown."""
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}: choose one of {', '.join(PROFILES)}")
    return build_folder() / "images" / profile


def jobs_of(generators: list[Generator], counts: RenderCounts) -> list[tuple[Generator, str, int]]:
    """List what is rendered: generator, split and number of images."""
    jobs = []
    for generator in generators:
        if generator.role == "train":
            splits = {"train": counts.train, "dev": counts.dev, "test": counts.closed_test}
        else:
            splits = {generator.role: getattr(counts, generator.role)}
        jobs += [(generator, split, count) for split, count in splits.items()]
    return jobs


def photo_jobs(
    generators: list[Generator], counts: RenderCounts
) -> list[tuple[str, str, int]]:
    """List which photographs are cut: content, group and number of crops.

    Those to train on are of the training generators' content; the others test every content.
    """
    closed = {generator.content for generator in generators if generator.role == "train"}
    return [
        (content, group, number)
        for group, number in zip(ROLES, counts.photos, strict=True)
        for content in CONTENTS
        if group != "train" or content in closed
    ]


def render(
    profile: str = "pocket", root: Path | None = None, workers: int | None = None, *,
    count: int | None = None, splits: Sequence[str] = ROLES,
) -> Path:  # fmt: skip
    """Render generators and photographs to PNG folders; what is there already is kept.

    Of several processes that render into one folder, one works and the others wait. The tree has
    the layout of the released data set: `real/CONTENT/GROUP/*.png` and
    `GANs/CLASS/NAME/SPLIT/*.png`, and `abroad/CLASS/NAME/SPLIT/*` beside them. Image i of a split
    comes from latent seed `LATENT_SEEDS[split] + i`. Bytes are equal for one version of torch on
    one machine.

    Args:
        profile: "pocket", or "smoke" for a few images of each generator.
        root: Where to write; by default `image_root(profile)`, with a count another folder.
        workers: Processes; as many as the machine has cores by default.
        count: Images per generator and split, and crops per content; by default the profile's.
        splits: "train", "dev", "test".

    Raises:
        OSError: the folder cannot be written, or holds somebody else's files where images go.
        ValueError: a split or the count is out of range, or a folder leads out of the root.
    """
    if odd := [s for s in splits if s not in ROLES]:
        raise ValueError(f"unknown split {odd[0]!r}: choose of {', '.join(ROLES)}")
    if count is not None and not 0 < count <= LATENT_SEEDS["dev"]:
        raise ValueError(f"count {count}: give 1 to {LATENT_SEEDS['dev']} images")
    counts = PROFILES[profile]
    if count is not None:
        counts = RenderCounts(count, count, count, count, (count,) * 3, count)
        root = root or build_folder() / "images" / f"{count}_each"
    root = root or image_root(profile)
    tasks = tasks_of(counts, splits, root)
    with locked(root):
        for function, arguments in tasks:  # all of them, before anything is written
            _require_own(FOLDERS[function](arguments[0], arguments[1], root))
        with ProcessPoolExecutor(
            workers or os.cpu_count(), get_context("spawn"), initializer=start_worker
        ) as pool:
            for future in [pool.submit(function, *arguments) for function, arguments in tasks]:
                future.result()
    return root


def tasks_of(
    counts: RenderCounts, splits: Sequence[str], root: Path
) -> list[tuple[Callable, tuple]]:
    """List what is rendered: a function and its arguments, long ones first."""
    generators = read_manifest()
    tasks: list[tuple[Callable, tuple]] = [
        (render_photos, (*job, root)) for job in photo_jobs(generators, counts) if job[1] in splits
    ]
    every = jobs_of(generators, counts)
    jobs = [job for job in every if job[1] in splits]
    tasks += [(render_split, (*job, root)) for job in jobs]
    tasks += [
        (render_abroad, (generator, generator.role, counts.abroad, root))
        for generator in read_abroad() if generator.role in splits
    ]  # fmt: skip
    return sorted(tasks, key=lambda task: -task[1][2])


def render_photos(content: str, group: str, count: int, root: Path) -> None:
    """Cut the crops of one content and group into `real/CONTENT/GROUP/`."""
    photographs = load_photographs(content, group)
    stamp = hashlib.sha256(b"".join(p.path.read_bytes() for p in photographs)).hexdigest()
    folder = _fresh_folder(_photo_folder(content, group, root), stamp)
    if len(rendered_images(folder)) == count:
        return
    crops, names = cut_crops(photographs, count)
    for number, (crop, name) in enumerate(zip(crops, names, strict=True)):
        _write_png(crop, folder / f"{name}-{number:05d}.png")


def render_split(generator: Generator, split: str, count: int, root: Path) -> None:
    """Render one split of one generator into `GANs/CLASS/NAME/SPLIT/`."""
    folder = _split_folder(generator, split, root)
    # Weights that are missing or wrong are found before images of others are removed.
    network = None if _stamp(folder) == generator.sha256 else generator.load()
    _fresh_folder(folder, generator.sha256)
    for start in range(0, count, CHUNK):
        paths = [folder / f"{i:05d}.png" for i in range(start, min(start + CHUNK, count))]
        if all(path.is_file() for path in paths):
            continue
        network = network or generator.load()
        first = LATENT_SEEDS[split] + start
        try:
            images = sample_images(network, draw_latents(first, CHUNK), CHUNK).numpy()
        except ValueError as error:
            raise ValueError(f"{generator.file}: {error}") from error
        for image, path in zip(images, paths, strict=False):
            _write_png(image, path)


def render_abroad(generator: GeneratorAbroad, role: str, count: int, root: Path) -> None:
    """Unpack images of a generator abroad into `abroad/CLASS/NAME/ROLE/`."""
    folder = _fresh_folder(folder_abroad(generator, root), generator.sha256)
    unpack(generator, count, folder)


def rendered_images(folder: Path) -> list[Path]:
    """List the images that `render` wrote to a folder, and no other file."""
    return sorted(p for p in folder.glob("*") if RENDERED.fullmatch(p.name))


def _photo_folder(content: str, group: str, root: Path) -> Path:
    return inside(root, root / "real" / content / group)


def _split_folder(generator: Generator, split: str, root: Path) -> Path:
    return inside(root, root / "GANs" / generator.architecture / generator.name / split)


def draw_latents(first_seed: int, count: int) -> torch.Tensor:
    """Draw (count, 64) latents, each from a seed of its own: first_seed, first_seed + 1, ..."""
    return torch.stack([
        torch.randn(LATENT, generator=torch.Generator().manual_seed(first_seed + i))
        for i in range(count)
    ])


FOLDERS: dict[Callable, Callable[..., Path]] = {
    render_photos: _photo_folder,
    render_split: _split_folder,
    render_abroad: lambda generator, role, root: folder_abroad(generator, root),
}


def _stamp(folder: Path) -> str | None:
    """Read what a folder's images were made from; None where no render marked the folder."""
    marker = folder / MARKER
    if not marker.is_file():
        return None
    stamp = marker.read_bytes()[:65].decode(errors="replace")
    return stamp if re.fullmatch(r"([0-9a-f]{64})?", stamp) else None  # empty: killed in writing it


def _require_own(folder: Path) -> None:
    """Refuse a file where a folder of images goes, and a folder of somebody else's files."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: is a file where images go; move it elsewhere")
    if folder.is_dir() and _stamp(folder) is None:
        _refuse(folder, [path for path in folder.iterdir() if not path.name.startswith(".")])


def _refuse(folder: Path, strange: list[Path]) -> None:
    if strange:
        raise FileExistsError(
            f"{folder}: holds {min(strange).name!r}, which no render wrote: move it elsewhere, or "
            "choose another folder to render to"
        )


def _is_rendered(path: Path) -> bool:
    """Whether a file is an image of a size and format that is rendered, and no link to one."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            return image.size in RENDERED_SIZES and image.format in ("PNG", "JPEG", "WEBP")
    except OSError:
        return False


def _fresh_folder(folder: Path, stamp: str) -> Path:
    """Make the folder; remove nothing but images of an earlier render from other sources."""
    if _stamp(folder) == stamp:
        return folder
    _require_own(folder)
    rendered = rendered_images(folder)
    _refuse(folder, [path for path in rendered if not _is_rendered(path)])
    for path in rendered:
        path.unlink()
    with atomic_path(folder / MARKER) as temporary:
        temporary.write_text(stamp)
    return folder


def _write_png(image: np.ndarray, path: Path) -> None:
    import cv2  # four times as quick as Pillow, and as small

    quick = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
    _, encoded = cv2.imencode(".png", image[:, :, ::-1], quick)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
