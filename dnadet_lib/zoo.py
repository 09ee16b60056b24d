"""The pocket zoo: its manifest, the set-ups that follow from it, and rendering to image folders."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from dnadet_lib.data import ImageSet
from dnadet_lib.files import atomic_path, inside, locked, plain_name
from dnadet_lib.gan_layers import LATENT
from dnadet_lib.gans import (
    ARCHITECTURES,
    UNKNOWN_ARCHITECTURES,
    build_around,
    build_generator,
    jittered_copy,
    sample_images,
)
from dnadet_lib.layouts import load_layouts
from dnadet_lib.model import load_weights
from dnadet_lib.paths import build_folder, data_folder
from dnadet_lib.photos import CONTENTS, CROP_SIZE, cut_crops, load_photographs
from dnadet_lib.stopping import start_worker
from dnadet_lib.weights import read_weights

CLASSES = ("Real", *ARCHITECTURES)
LOSSES = ("wgan-gp", "mmd", "hinge", "infomax", "cramer", "ssgan", "non-saturating")
ROLES = ("train", "dev", "test")
JITTERED = "jittered"  # images of copies of the training generators with noise on their weights
JITTER = (0.05, 0.6)  # least and most noise, in standard deviations of a weight tensor
LATENT_SEEDS = {"train": 0, "dev": 1_000_000, "test": 2_000_000, JITTERED: 3_000_000}  # the first
FIELDS = (
    "name", "architecture", "loss", "content", "seed", "finetuned_from", "role", "steps", "file",
    "sha256",
)  # fmt: skip
SETUPS = ("closed", "seed", "loss", "finetune", "dataset")  # those with a right answer, reported
OTHER_SETUPS = ("dev", "unknown")
REAL_SETUPS = ("closed", "dev", "dataset")  # set-ups in which photographs count
CHUNK = 50
MARKER = "source.sha256"  # in a folder of rendered images: hash of what they were made from
RENDERED = re.compile(r"(.+-)?\d{5,7}\.png")  # names that `render` gives
PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * CROP_SIZE.to_bytes(4)  # of a PNG of that size


@dataclass(frozen=True)
class Generator:
    """One manifest row: it differs from its class's training generator in one thing.

    Or its architecture is one that the closed set does not know.
    """

    name: str
    architecture: str
    loss: str
    content: str
    seed: int
    finetuned_from: str
    role: str
    steps: int
    file: Path
    sha256: str

    @property
    def layouts_file(self) -> Path:
        """The layouts that it draws around, common to all with the same photographs."""
        group = "finetune" if self.finetuned_from else "train"
        return self.file.with_name(f"layouts_{self.content}_{group}.safetensors")

    def load(self) -> nn.Module:
        """Build the generator and load its fp16 weights as fp32.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: its hash is not the manifest's, or its weights are of another architecture
                or type, or not finite.
        """
        if not self.file.is_file():
            raise FileNotFoundError(f"manifest row {self.name!r}, file: {self.file} is missing")
        found = hashlib.sha256(self.file.read_bytes()).hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"manifest row {self.name!r}, sha256: {self.file} has {found[:12]}..., "
                f"the manifest says {self.sha256[:12]}..."
            )
        weights = read_weights(self.file).tensors
        generator = (
            build_around(self.architecture, load_layouts(self.layouts_file))
            if any(name.startswith("body.") for name in weights)
            else build_generator(self.architecture)
        )
        load_weights(generator, weights, self.file)
        return generator.eval()


def read_manifest(folder: Path | None = None) -> list[Generator]:
    """Read `zoo/manifest.csv`.

    Raises:
        FileNotFoundError: the manifest is missing.
        ValueError: a field is wrong, a column is missing, a name stands twice, or there is no row;
            file, row and field are named. A name must be plain, and a file lie in the zoo's folder.
    """
    folder = folder or data_folder() / "zoo"
    path = folder / "manifest.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the zoo's manifest is missing")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        absent = [f for f in FIELDS if f not in (reader.fieldnames or ())]
        rows = list(reader)
    if absent:
        raise ValueError(f"{path}: column {absent[0]!r} is missing; it needs {', '.join(FIELDS)}")
    if not rows:
        raise ValueError(f"{path}: the manifest holds no generator")
    generators = [_parse(row, path) for row in rows]
    names = [g.name for g in generators]
    folded = [name.casefold() for name in names]  # some systems take a and A for one file
    if repeated := [n for n in names if folded.count(n.casefold()) > 1]:
        raise ValueError(f"{path}: two rows have the name {sorted(repeated)[0]!r}")
    return generators


def _parse(row: dict[str, str], path: Path) -> Generator:
    known = {
        "architecture": (*ARCHITECTURES, *UNKNOWN_ARCHITECTURES),
        "loss": LOSSES,
        "content": CONTENTS,
        "role": ROLES[1:] if row["architecture"] in UNKNOWN_ARCHITECTURES else ROLES,
    }
    for field, values in known.items():
        if row[field] not in values:
            raise ValueError(
                f"{path}, row {row['name']!r}, {field}: {row[field]!r} is none of "
                f"{', '.join(values)}"
            )
    for field in ("seed", "steps"):
        if not (row[field] or "").isdecimal():
            raise ValueError(
                f"{path}, row {row['name']!r}, {field}: {row[field]!r} is not a whole number"
            )
    for field in ("name", "file", "sha256"):
        if not row[field]:
            raise ValueError(f"{path}, row {row['name']!r}, {field}: it is empty")
    for field in ("name", "file"):
        plain_name(row[field], f"{path}, row {row['name']!r}, {field}")
    inside(path.parent, path.parent / row["file"])
    return Generator(
        **{k: row[k] for k in ("name", "architecture", "loss", "content", "role", "sha256")},
        finetuned_from=row["finetuned_from"],
        seed=int(row["seed"]),
        steps=int(row["steps"]),
        file=path.parent / row["file"],
    )


def setup_of(generator: Generator, generators: Iterable[Generator]) -> str:
    """Name the set-up that a generator belongs to: what differs from its training generator.

    Returns:
        "unknown" for an architecture outside the closed set, "closed" for a training generator,
        "dev" for a dev one, else the one thing that changed: "seed", "loss", "finetune" or
        "dataset".

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


@dataclass(frozen=True)
class RenderCounts:
    """How many images are rendered: of a generator by split, and of photographs by group."""

    train: int = 3000
    dev: int = 500
    closed_test: int = 1000
    test: int = 500
    photos: tuple[int, int, int, int] = (3000, 600, 1500, 600)  # train, dev, test, finetune
    jittered: int = 3000


POCKET = RenderCounts()
SMOKE = RenderCounts(24, 12, 12, 12, (24, 12, 12, 12), 24)
PROFILES = {"pocket": POCKET, "smoke": SMOKE}


def image_root(profile: str = "pocket") -> Path:
    """Return the folder that `render` writes a profile's images to.

    Raises:
        ValueError: no such profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}: choose one of {', '.join(PROFILES)}")
    return build_folder() / "images" / profile


def jobs_of(generators: list[Generator], counts: RenderCounts) -> list[tuple[Generator, str, int]]:
    """List what is rendered: generator, split and number of images."""
    jobs = []
    for generator in generators:
        if generator.role == "train":
            splits = {"train": counts.train, "dev": counts.dev, "test": counts.closed_test}
            splits[JITTERED] = counts.jittered
        else:
            splits = {generator.role: getattr(counts, generator.role)}
        jobs += [(generator, split, count) for split, count in splits.items()]
    return jobs


def render(
    profile: str = "pocket",
    root: Path | None = None,
    workers: int | None = None,
    *,
    count: int | None = None,
    splits: Sequence[str] = ROLES,
) -> Path:
    """Render generators and photographs to PNG folders; what is there already is kept.

    Of several processes that render into one folder, one works and the others wait.

    The tree has the layout of the released data set: `real/CONTENT/GROUP/*.png` and
    `GANs/CLASS/NAME/SPLIT/*.png`. Image i of a split comes from latent seed
    `LATENT_SEEDS[split] + i`; the splits' ranges never overlap. Bytes are equal for one version
    of torch on one machine.

    Args:
        profile: "pocket", or "smoke" for a few images of each.
        root: Where to write; by default `image_root(profile)`, or with a count a folder of its own.
        workers: Processes; as many as the machine has cores by default.
        count: Images of every generator, and crops of every content, a split; by default the
            profile's numbers.
        splits: "train", "dev", "test"; the photographs for fine-tuning and the images of jittered
            copies go with "train".

    Returns:
        The root folder.

    Raises:
        OSError: the folder cannot be written, or holds files of somebody else where images go.
        ValueError: a split is none of the three, or the count is not positive or goes beyond a
            split's latent seeds; or a folder for images leads out of the root.
    """
    if odd := [s for s in splits if s not in ROLES]:
        raise ValueError(f"unknown split {odd[0]!r}: choose of {', '.join(ROLES)}")
    if count is not None and not 0 < count <= LATENT_SEEDS["dev"]:
        raise ValueError(f"count {count}: give 1 to {LATENT_SEEDS['dev']} images")
    counts = PROFILES[profile]
    if count is not None:
        counts = RenderCounts(count, count, count, count, (count,) * 4, count)
        root = root or build_folder() / "images" / f"{count}_each"
    root = root or image_root(profile)
    groups = zip(("train", "dev", "test", "finetune"), counts.photos, strict=True)
    tasks: list[tuple[Callable, tuple]] = [
        (render_photos, (content, group, number, root))
        for group, number in groups
        for content in CONTENTS
        if {"finetune": "train"}.get(group, group) in splits
    ]
    every = jobs_of(read_manifest(), counts)
    jobs = [job for job in every if {JITTERED: "train"}.get(job[1], job[1]) in splits]
    tasks += [(render_split, (*job, root)) for job in jobs]
    tasks.sort(key=lambda task: -task[1][2])  # long ones first
    with locked(root):
        for function, arguments in tasks:  # all of them, before anything is written
            _require_own(FOLDERS[function](arguments[0], arguments[1], root))
        with ProcessPoolExecutor(
            workers or os.cpu_count(), get_context("spawn"), initializer=start_worker
        ) as pool:
            for future in [pool.submit(function, *arguments) for function, arguments in tasks]:
                future.result()
    return root


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
    """Render one split of one generator into `GANs/CLASS/NAME/SPLIT/`.

    Jittered, every 50 images come from another copy, whose seed and strength follow from theirs.
    """
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
        copied = network
        if split == JITTERED:
            strength = float(np.random.default_rng(first).uniform(*JITTER))
            copied = jittered_copy(network, strength, first)
        try:
            images = sample_images(copied, draw_latents(first, CHUNK), CHUNK).numpy()
        except ValueError as error:
            raise ValueError(f"{generator.file}: {error}") from error
        for image, path in zip(images, paths, strict=False):
            _write_png(image, path)


def rendered_images(folder: Path) -> list[Path]:
    """List the images that `render` wrote to a folder, and no other file."""
    return sorted(p for p in folder.glob("*.png") if RENDERED.fullmatch(p.name))


def _photo_folder(content: str, group: str, root: Path) -> Path:
    return inside(root, root / "real" / content / group)


def _split_folder(generator: Generator, split: str, root: Path) -> Path:
    return inside(root, root / "GANs" / generator.architecture / generator.name / split)


def draw_latents(first_seed: int, count: int) -> torch.Tensor:
    """Draw (count, 64) latents, each from a seed of its own: first_seed, first_seed + 1, ..."""
    return torch.stack(
        [
            torch.randn(LATENT, generator=torch.Generator().manual_seed(first_seed + i))
            for i in range(count)
        ]
    )


FOLDERS: dict[Callable, Callable[..., Path]] = {
    render_photos: _photo_folder,
    render_split: _split_folder,
}


def _stamp(folder: Path) -> str | None:
    """Read what a folder's images were made from; None where no render marked the folder."""
    marker = folder / MARKER
    if not marker.is_file():
        return None
    stamp = marker.read_bytes()[:65].decode(errors="replace")
    return stamp if re.fullmatch(r"([0-9a-f]{64})?", stamp) else None  # empty: killed in writing it


def _require_own(folder: Path) -> None:
    """Refuse a file where a folder of images goes, and a folder of somebody else's files.

    Raises:
        OSError: it is one; it is named.
    """
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
    """Whether a file is a PNG of the size that is rendered, and no link to one."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(PNG_START)) == PNG_START


def _fresh_folder(folder: Path, stamp: str) -> Path:
    """Make the folder; remove images of an earlier render from other weights or photographs.

    Nothing else is removed.
    """
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
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, "PNG", compress_level=1)


def load_setup(setup: str, split: str = "test", root: Path | None = None) -> ImageSet:
    """List the images of a set-up from a rendered tree.

    Args:
        setup: "closed", "dev", one of the cross set-ups, or "unknown".
        split: For the closed set: "train", "dev" or "test"; for "unknown": "dev" or "test".
        root: Rendered tree; the pocket profile's by default.

    Returns:
        Images with classes `CLASSES`, or `UNKNOWN_ARCHITECTURES`; sources are generator names,
        and for photographs `real/CONTENT/NAME`.

    Raises:
        FileNotFoundError: the tree, or a generator's folder in it, is missing.
        ValueError: unknown set-up, or no generator belongs to it.
    """
    root = root or image_root()
    if setup not in (*SETUPS, *OTHER_SETUPS):
        known = ", ".join((*SETUPS, *OTHER_SETUPS))
        raise ValueError(f"unknown set-up {setup!r}: choose one of {known}")
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


def load_jittered(root: Path | None = None) -> ImageSet:
    """List the images of jittered copies of the training generators: more instances to learn from.

    Args:
        root: Rendered tree; the pocket profile's by default.

    Raises:
        FileNotFoundError: a folder is missing.
    """
    root = root or image_root()
    trained = [g for g in read_manifest() if g.role == "train"]
    folders = [root / "GANs" / g.architecture / g.name / JITTERED for g in trained]
    return _listed(
        [(g.architecture, g.name, f) for g, f in zip(trained, folders, strict=True)], CLASSES
    )


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
    return [setup for setup in (*SETUPS, *OTHER_SETUPS) if setup in present]


def available_setups() -> list[str]:
    """List those of them on which an accuracy is reported."""
    return [setup for setup in present_setups() if setup in SETUPS]
