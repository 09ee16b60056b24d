"""What the lessons share: their set-up and the images that they show."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dnadet_lib.course.submission import keep_prediction
from dnadet_lib.data import ImageSet, load_images
from dnadet_lib.plumbing.devices import chosen_device
from dnadet_lib.plumbing.paths import build_folder, data_folder
from dnadet_lib.zoo.abroad import folder_abroad, read_abroad
from dnadet_lib.zoo.generators import sample_layouts
from dnadet_lib.zoo.layouts import LayoutGenerator
from dnadet_lib.zoo.manifest import CLASSES, read_manifest
from dnadet_lib.zoo.rendering import (
    MARKER,
    PROFILES,
    draw_latents,
    image_root,
    jobs_of,
    photo_jobs,
    render,
    rendered_images,
)
from dnadet_lib.zoo.setups import SETUPS, setup_of

PACKAGES = ("matplotlib", "pandas", "sklearn", "umap", "cv2")
INSTALL = "In a terminal, in the folder of the clone, type:\n    pip install -e \".[notebooks]\""
REPAIR = (
    "Leave data_dir in the parameters cell empty. To get the data of the clone back, type in a "
    "terminal, in the folder of the clone:\n    git checkout -- data"
)
BARE = 9_000_000  # first seed of the latents of bare layouts, far from those of the images
CLONE = Path(__file__).resolve().parents[2]


class LessonError(RuntimeError):
    """Something that a lesson needs is missing; the message says what to type."""

    def _render_traceback_(self) -> list[str]:
        """Show the message in a notebook, without the library's lines above it."""
        return [f"LessonError: {self}"]


@dataclass(frozen=True)
class Lesson:
    """What a lesson works with.

    Attributes:
        profile: "pocket", or "smoke" for a run in seconds that shows nothing but that it runs.
        seed: Of everything drawn at random.
        root: The rendered images.
        folder: Where this lesson leaves models for later ones.
    """

    profile: str
    seed: int
    root: Path
    folder: Path

    def predict(self, question: str, text: str) -> None:
        """Keep a prediction in what the student hands in; an empty text is asked for.

        Args:
            question: Number of the lesson, and what is asked, in a few words.
            text: What the student expects. Another text later is kept beside it.
        """
        keep_prediction(question, text)


def start(profile: str, seed: int = 0, data_dir: str = "") -> Lesson:
    """Check what a lesson needs, render the images if they are missing, and set the style.

    Args:
        profile: "pocket" or "smoke".
        seed: Of everything drawn at random.
        data_dir: The data folder; empty for the shipped one.

    Raises:
        LessonError: something is missing; the message says what to type.
    """
    if profile not in PROFILES:
        raise LessonError(
            f"profile is {profile!r}: in the parameters cell, choose one of "
            f"{', '.join(map(repr, PROFILES))}"
        )
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise LessonError(f"These packages are missing: {', '.join(absent)}. {INSTALL}")
    if data_dir:
        os.environ["DNADET_DATA"] = str(Path(data_dir).expanduser().resolve())
    if (CLONE / "notebooks").is_dir():  # a notebook's working folder is not the clone's
        os.environ.setdefault("DNADET_BUILD", str(CLONE / "build"))
    _check_data()
    root = image_root(profile)
    if not is_rendered(profile, root):
        print(f"Rendering the images of profile {profile!r}, once ...", flush=True)
        try:
            render(profile)
        except (OSError, ValueError) as error:  # a weights file or a photograph is missing or cut
            raise LessonError(f"{error}\n{REPAIR}") from error
    torch.manual_seed(seed)
    from dnadet_lib.plots.style import use_style

    use_style()
    lesson = Lesson(profile, seed, root, build_folder() / "lessons" / profile)
    print(f"Profile {profile}, seed {seed}. Images: {_short(root)}. Device: {device_name()}.")
    return lesson


def _check_data() -> None:
    try:
        folder = data_folder()
        generators = read_manifest()
    except (FileNotFoundError, ValueError) as error:
        raise LessonError(
            f"{error}\nIn the parameters cell, data_dir names the data folder; empty means the "
            "one that comes with the clone."
        ) from error
    trained = {g.architecture for g in generators if g.role == "train"}
    lacking = [f"a training generator of {c}" for c in CLASSES[1:] if c not in trained]
    if not any(g.role == "dev" for g in generators):
        lacking.append("a dev generator")
    if not (folder / "photos" / "photos.csv").is_file():
        lacking.append("the photographs (photos/photos.csv)")
    if lacking:
        raise LessonError(f"The data folder {folder} lacks {'; '.join(lacking)}.\n{REPAIR}")


def is_rendered(profile: str, root: Path) -> bool:
    """Whether every generator and photograph group of the data has its images in a tree."""
    counts = PROFILES[profile]
    made = [
        (root / "GANs" / generator.architecture / generator.name / split, generator.sha256, count)
        for generator, split, count in jobs_of(read_manifest(), counts)
    ]
    made += [
        (folder_abroad(generator, root), generator.sha256, min(counts.abroad, generator.images))
        for generator in read_abroad()
    ]
    for folder, stamp, count in made:
        marker = folder / MARKER
        if not marker.is_file() or marker.read_text() != stamp:
            return False
        if len(rendered_images(folder)) < count:
            return False
    return all(
        len(rendered_images(root / "real" / content / group)) >= count
        for content, group, count in photo_jobs(read_manifest(), counts)
    )


def device_name() -> str:
    """Name what networks are trained on: the chosen device, by default a GPU if there is one."""
    device = chosen_device().type
    if device != "cpu":
        return torch.cuda.get_device_name(0) if device == "cuda" else device
    return f"CPU, {os.cpu_count()} cores"


def environment() -> dict[str, str]:
    """Return the versions and the machine, to be printed at the top of a report."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none (none is needed)"
    return {
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "CPU": f"{os.cpu_count()} cores, threads used: {torch.get_num_threads()}",
        "bf16 arithmetic": "fast" if _bf16() else "not fast here: fp32 is used",
        "GPU": gpu,
    }


def _bf16() -> bool:
    from dnadet_lib.plumbing.devices import fast_bf16

    return fast_bf16(torch.device("cpu"))


def _short(path: Path) -> str:
    """A path as seen from the clone, or whole."""
    path = Path(path).resolve()
    return str(path.relative_to(CLONE)) if path.is_relative_to(CLONE) else str(path)


# Images that lessons show ------------------------------------------------------------------------


def present_setups() -> list[str]:
    """Return the set-ups that have generators, and print a line for each that has none."""
    generators = read_manifest()
    found = {setup_of(g, generators) for g in generators}
    for setup in SETUPS:
        if setup not in found:
            print(f"Set-up {setup}: skipped, no generator of the manifest belongs to it.")
    return [setup for setup in SETUPS if setup in found]


def pick(images: ImageSet, each: int, seed: int = 0) -> ImageSet:
    """Draw up to `each` images of every class, in an order that is shuffled by the seed."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    chosen = [order[images.labels[order] == k][:each] for k in np.unique(images.labels)]
    return images.take(rng.permutation(np.concatenate(chosen)))


def noise(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw images that no generator made, uint8 (N, 64, 64, 3), by the kind of their noise."""
    rng, shape = np.random.default_rng(seed), (count, 64, 64, 3)
    normal = rng.normal(128, 40, shape).clip(0, 255).astype(np.uint8)
    return {"uniform": rng.integers(0, 256, shape, np.uint8), "normal": normal}


def bare_layouts(count: int, seed: int = 0) -> np.ndarray:
    """Draw layouts of the training generators, enlarged, without detail: uint8 (N, 64, 64, 3)."""
    generator = next(g for g in read_manifest() if g.role == "train").load()
    assert isinstance(generator, LayoutGenerator)
    return sample_layouts(generator, draw_latents(BARE + seed * count, count)).numpy()


def shuffled(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Move whole pixels of uint8 images (N, H, W, 3) to random places, the same in all images."""
    pixels = images.reshape(len(images), -1, 3)
    return np.random.default_rng(seed).permutation(pixels, axis=1).reshape(images.shape)


def saved(folder: Path, images: Mapping[str, np.ndarray]) -> ImageSet:
    """Write images of one's own as PNG files: class -> uint8 (N, H, W, 3), in `my_CLASS`."""
    own = {f"my_{name}": (name, batch) for name, batch in images.items()}
    return saved_sources(folder, own, CLASSES)


def saved_sources(
    folder: Path, sources: Mapping[str, tuple[str, np.ndarray]], classes: tuple[str, ...]
) -> ImageSet:
    """Write images as PNG files, so that they are read like anybody's.

    Args:
        folder: Gets a folder for each source.
        sources: Source -> its class, and uint8 (N, H, W, 3).
        classes: All of them, in order.
    """
    paths, labels, names = [], [], []
    for source, (name, batch) in sources.items():
        (folder / source).mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(batch):
            paths.append(folder / source / f"{number:03d}.png")
            Image.fromarray(pixels).save(paths[-1])
        labels += [classes.index(name)] * len(batch)
        names += [source] * len(batch)
    return ImageSet(paths, np.array(labels), classes, names)


def images_by_seed(lesson: Lesson, each: int) -> dict[tuple[str, int], np.ndarray]:
    """Load images that no model was trained on, of generators that differ in their seed alone.

    Args:
        lesson: Says where the rendered images are.
        each: Images of a generator, at most.

    Returns:
        (class, seed) -> uint8 (N, H, W, 3), in the order of the classes. The test photographs of
        the training generators' content stand under ("Real", 0).
    """
    generators = read_manifest()
    trained = {g.architecture: g for g in generators if g.role == "train"}
    content = next(iter(trained.values())).content
    folders = {("Real", 0): lesson.root / "real" / content / "test"}
    for name in CLASSES[1:]:
        like = (name, trained[name].loss, content, "")
        for g in sorted(generators, key=lambda g: g.seed):
            if (g.architecture, g.loss, g.content, g.finetuned_from) == like:
                split = "test" if g.role == "train" else g.role
                folders[name, g.seed] = lesson.root / "GANs" / name / g.name / split
    images = {}
    for key, folder in folders.items():
        paths = rendered_images(folder)
        step = max(1, len(paths) // each)  # the crops of one photograph stand side by side
        images[key] = load_images(paths[::step][:each])
    return images
