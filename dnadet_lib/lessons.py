"""What the lessons share: their set-up, the models they hand on, and running all of them."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnadet_lib import presets, runs, stages, zoo
from dnadet_lib.data import ImageSet, load_images, read_image
from dnadet_lib.files import atomic_path, claimed_folder
from dnadet_lib.model import DNADet, load_model, save_model
from dnadet_lib.paths import build_folder, data_folder
from dnadet_lib.presets import Preset
from dnadet_lib.trainable import training_key

PACKAGES = ("matplotlib", "pandas", "sklearn", "umap", "cv2")
INSTALL = "In a terminal, in the folder of the clone, type:\n    pip install -e \".[notebooks]\""
REPAIR = (
    "Leave data_dir in the parameters cell empty. To get the data of the clone back, type in a "
    "terminal, in the folder of the clone:\n    git checkout -- data"
)
DEFAULT_MODELS = ("pocket", "whole_raw")  # profile smoke may put a tiny model in their place
CLONE = Path(__file__).resolve().parent.parent


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


def start(profile: str, seed: int = 0, data_dir: str = "") -> Lesson:
    """Check what a lesson needs, render the images if they are missing, and set the style.

    Args:
        profile: "pocket" or "smoke".
        seed: Of everything drawn at random.
        data_dir: The data folder; empty for the shipped one.

    Raises:
        LessonError: something is missing; the message says what to type.
    """
    if profile not in zoo.PROFILES:
        raise LessonError(
            f"profile is {profile!r}: in the parameters cell, choose one of "
            f"{', '.join(map(repr, zoo.PROFILES))}"
        )
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise LessonError(f"These packages are missing: {', '.join(absent)}. {INSTALL}")
    if data_dir:
        os.environ["DNADET_DATA"] = str(Path(data_dir).expanduser().resolve())
    if (CLONE / "notebooks").is_dir():  # a notebook's working folder is not the clone's
        os.environ.setdefault("DNADET_BUILD", str(CLONE / "build"))
    _check_data()
    root = zoo.image_root(profile)
    if not is_rendered(profile, root):
        print(f"Rendering the images of profile {profile!r}, once ...", flush=True)
        try:
            zoo.render(profile)
        except (OSError, ValueError) as error:  # a weights file or a photograph is missing or cut
            raise LessonError(f"{error}\n{REPAIR}") from error
    torch.manual_seed(seed)
    from dnadet_lib.plots import use_style

    use_style()
    lesson = Lesson(profile, seed, root, build_folder() / "lessons" / profile)
    print(f"Profile {profile}, seed {seed}. Images: {_short(root)}. Device: {device_name()}.")
    return lesson


def _check_data() -> None:
    try:
        folder = data_folder()
        generators = zoo.read_manifest()
    except (FileNotFoundError, ValueError) as error:
        raise LessonError(
            f"{error}\nIn the parameters cell, data_dir names the data folder; empty means the "
            "one that comes with the clone."
        ) from error
    trained = {g.architecture for g in generators if g.role == "train"}
    lacking = [f"a training generator of {c}" for c in zoo.CLASSES[1:] if c not in trained]
    if not any(g.role == "dev" for g in generators):
        lacking.append("a dev generator")
    if not (folder / "photos" / "photos.csv").is_file():
        lacking.append("the photographs (photos/photos.csv)")
    if lacking:
        raise LessonError(f"The data folder {folder} lacks {'; '.join(lacking)}.\n{REPAIR}")


def is_rendered(profile: str, root: Path) -> bool:
    """Whether every generator and photograph group of the data has its images in a tree."""
    counts = zoo.PROFILES[profile]
    for generator, split, count in zoo.jobs_of(zoo.read_manifest(), counts):
        folder = root / "GANs" / generator.architecture / generator.name / split
        stamp = folder / zoo.MARKER
        if not stamp.is_file() or stamp.read_text() != generator.sha256:
            return False
        if len(zoo.rendered_images(folder)) < count:
            return False
    groups = zip(("train", "dev", "test", "finetune"), counts.photos, strict=True)
    return all(
        len(zoo.rendered_images(root / "real" / content / group)) >= count
        for group, count in groups
        for content in ("meadow", "stamps")
    )


def device_name() -> str:
    """Name what networks are trained on: a GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
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
    from dnadet_lib.training import fast_bf16

    return fast_bf16(torch.device("cpu"))


def _short(path: Path) -> str:
    """A path as seen from the clone, or whole."""
    path = Path(path).resolve()
    return str(path.relative_to(CLONE)) if path.is_relative_to(CLONE) else str(path)


# What is trained, by profile ---------------------------------------------------------------------


def pretraining_preset(profile: str) -> Preset:
    """Return the preset of a short continuation of stage 1: few steps, small learning rate."""
    if profile == "smoke":
        return presets.smoke_pretrain
    return replace(
        presets.pocket_pretrain,
        name="pocket_pretrain_continued",
        epochs=3,
        steps_per_epoch=150,
        learning_rate=1e-4,
    )


def training_preset(profile: str) -> Preset:
    """Return the preset of stage 2 as the paper has it: patches and the contrastive loss.

    The two passes of the table's rows are cut into six epochs, so that curves have points.
    """
    if profile == "smoke":
        return presets.smoke
    return replace(presets.rung, name="rung_in_six", epochs=6, steps_per_epoch=31)


def discriminant_preset(profile: str) -> Preset:
    """Return the preset of the shipped checkpoint: a discriminant on frozen channels."""
    width = presets.smoke.width if profile == "smoke" else presets.pocket.width
    return replace(presets.pocket, width=width)


def baseline_preset(profile: str) -> Preset:
    """Return the preset of the baseline: whole raw images, cross-entropy alone."""
    if profile != "smoke":
        return presets.whole_raw
    raw = presets.whole_raw
    return replace(presets.smoke, name="smoke_raw", input=raw.input, patches=0, contrast=False)


def fresh(folder: Path) -> Path:
    """Return a run's folder, made if need be, without an earlier run's state and model.

    Raises:
        LessonError: what stands in the state's place is none of a training run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / runs.STATE
    if state.exists() and not _is_training_state(state):
        raise LessonError(f"{state}: is no state of a training run. Move it elsewhere.")
    for name in (runs.STATE, runs.MODEL, runs.HISTORY):
        (folder / name).unlink(missing_ok=True)
    return folder


def _is_training_state(file: Path) -> bool:
    try:
        return "history" in torch.load(file, weights_only=True, map_location="cpu")
    except Exception:  # on bytes of another kind torch's unpickler can raise anything
        return False


# Models that lessons hand on ---------------------------------------------------------------------


def shipped(name: str) -> DNADet:
    """Load a checkpoint that comes with the data, or a file.

    Raises:
        LessonError: there is none; the message says what to type.
    """
    try:
        return load_model(name)
    except (FileNotFoundError, ValueError) as error:
        raise LessonError(
            f"{error}\nIn the parameters cell, model names a checkpoint. To get the shipped ones "
            "back, type:\n    git checkout -- data/checkpoints\nWithout any, set profile = "
            '"smoke": there the lesson trains a tiny model in seconds.'
        ) from error


def shipped_or_tiny(lesson: Lesson, name: str = "pocket") -> tuple[DNADet, str]:
    """Return the shipped checkpoint; at profile smoke, if there is none, a tiny one."""
    if lesson.profile == "smoke" and name in DEFAULT_MODELS and not _is_shipped(name):
        return _tiny(lesson, "detector", presets.smoke, stage_one(lesson)[0])
    return shipped(name), f"shipped checkpoint {name}"


def _is_shipped(name: str) -> bool:
    return Path(name).is_file() or (data_folder() / "checkpoints" / f"{name}.safetensors").is_file()


def stage_one(lesson: Lesson, name: str = "pocket") -> tuple[DNADet, str]:
    """Return the pre-trained model, and where it comes from.

    Profile pocket: the shipped `NAME_pretrain`. Profile smoke: a tiny one trained in seconds.
    """
    if lesson.profile != "smoke":
        return shipped(f"{name}_pretrain"), f"shipped checkpoint {name}_pretrain"
    file, preset = lesson.folder / "stage1.safetensors", presets.smoke_pretrain
    material = stages.pretraining_material(preset, "smoke", lesson.seed)
    if not _is_of(file, material.key.parts):
        print("Training a tiny stage 1, which profile smoke needs ...", flush=True)
        model, _ = stages.run_pretraining(preset, profile="smoke", seed=lesson.seed)
        _save(model, file, material.key)
    return load_model(file), "tiny stage 1 of profile smoke"


def _is_of(file: Path, wanted: dict[str, str]) -> bool:
    """Whether a model file was made by a run with these parts of a key."""
    try:
        made = runs.made_by(file) if file.is_file() else None
    except ValueError:  # cut short: it is made anew
        made = None
    return made is not None and wanted.items() <= made.items()


def _save(model: DNADet, file: Path, key: runs.RunKey) -> None:
    save_model(model, file, preset=key.preset.name, seed=key.seed, run=key.parts)


def _is_left_by(lesson: Lesson, file: Path, number: str) -> bool:
    """Whether an earlier lesson left a model that was trained with this seed on these images.

    If it left another, that is said. Its preset is the student's to choose.
    """
    if not file.is_file():
        return False
    train, _ = stages.training_data(lesson.root)
    kept = runs.keep(map(read_image, train.paths), train.labels).short()
    if _is_of(file, {**kept, "seed": str(lesson.seed)}):
        return True
    print(f"The model that lesson {number} left is of another seed or other images, and is not "
          f"used: run lesson {number} again to have one of seed {lesson.seed}.")  # fmt: skip
    return False


def stage_two(lesson: Lesson, name: str = "pocket") -> tuple[DNADet, str]:
    """Return DNA-Det's model, and where it comes from.

    The one that lesson 03 trained with this seed on these images, if it is there and no other was
    named; else the shipped one; at profile smoke, where none is there, a tiny one trained in
    seconds.
    """
    file = lesson.folder / "stage2" / "model.safetensors"
    if name == "pocket" and _is_left_by(lesson, file, "03"):
        return load_model(file), "trained in lesson 03"
    if lesson.profile != "smoke" or name not in DEFAULT_MODELS:
        return shipped(name), f"shipped checkpoint {name}"
    return _tiny(lesson, "detector", presets.smoke, stage_one(lesson)[0])


def whole_raw(lesson: Lesson) -> tuple[DNADet, str]:
    """Return the baseline, the same backbone on whole raw images, and where it comes from.

    The one that lesson 04 trained with this seed on these images, if it is there; else the shipped
    one, or at profile smoke a tiny one trained in seconds.
    """
    file = lesson.folder / "whole_raw" / "model.safetensors"
    if _is_left_by(lesson, file, "04"):
        return load_model(file), "trained in lesson 04"
    if lesson.profile == "smoke":
        return _tiny(lesson, "whole_raw", baseline_preset("smoke"), None)
    return shipped("whole_raw"), "shipped checkpoint whole_raw"


def _tiny(
    lesson: Lesson, name: str, preset: Preset, pretrained: DNADet | None
) -> tuple[DNADet, str]:
    file = lesson.folder / f"{name}.safetensors"
    train, dev = stages.training_data(lesson.root, jittered=preset.jittered)
    key = training_key(preset, train, dev, pretrained=pretrained, seed=lesson.seed)
    if not _is_of(file, key.parts):
        print(f"Training a tiny {name}, which profile smoke needs ...", flush=True)
        model, _ = stages.run_training(
            preset, train, dev, pretrained=pretrained, seed=lesson.seed
        )
        _save(model, file, key)
    return load_model(file), f"tiny {name} of profile smoke"


# Images that lessons show ------------------------------------------------------------------------


def present_setups() -> list[str]:
    """Return the set-ups that have generators, and print a line for each that has none."""
    generators = zoo.read_manifest()
    found = {zoo.setup_of(g, generators) for g in generators}
    for setup in zoo.SETUPS:
        if setup not in found:
            print(f"Set-up {setup}: skipped, no generator of the manifest belongs to it.")
    return [setup for setup in zoo.SETUPS if setup in found]


def pick(images: ImageSet, each: int, seed: int = 0) -> ImageSet:
    """Draw up to `each` images of every class, in an order that is shuffled by the seed."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    chosen = [order[images.labels[order] == k][:each] for k in np.unique(images.labels)]
    return images.take(rng.permutation(np.concatenate(chosen)))


def images_by_seed(lesson: Lesson, each: int) -> dict[tuple[str, int], np.ndarray]:
    """Load images that no model was trained on, of generators that differ in their seed alone.

    Args:
        lesson: Says where the rendered images are.
        each: Images of a generator, at most.

    Returns:
        (class, seed) -> uint8 (N, H, W, 3), in the order of the classes. The test photographs of
        the training generators' content stand under ("Real", 0).
    """
    generators = zoo.read_manifest()
    trained = {g.architecture: g for g in generators if g.role == "train"}
    content = next(iter(trained.values())).content
    folders = {("Real", 0): lesson.root / "real" / content / "test"}
    for name in zoo.CLASSES[1:]:
        like = (name, trained[name].loss, content, "")
        for g in sorted(generators, key=lambda g: g.seed):
            if (g.architecture, g.loss, g.content, g.finetuned_from) == like:
                split = "test" if g.role == "train" else g.role
                folders[name, g.seed] = lesson.root / "GANs" / name / g.name / split
    images = {}
    for key, folder in folders.items():
        paths = zoo.rendered_images(folder)
        step = max(1, len(paths) // each)  # the crops of one photograph stand side by side
        images[key] = load_images(paths[::step][:each])
    return images


# Running all of them -----------------------------------------------------------------------------


def lesson_files(names: Sequence[str] | None = None) -> list[Path]:
    """List the lessons in order, or those whose names start as given.

    Raises:
        LessonError: there are no lessons, or none starts with a given name.
    """
    files = sorted((CLONE / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not files:
        raise LessonError(
            f"{CLONE / 'notebooks'}: no lessons. They come with the clone; install with "
            "`pip install -e .` from there"
        )
    if names is None:
        return files
    for name in names:
        if not any(file.stem.startswith(name) for file in files):
            known = ", ".join(file.stem for file in files)
            raise LessonError(f"no lesson {name!r}: choose one of {known}")
    return [file for file in files if file.stem.startswith(tuple(names))]


def run_lessons(profile: str, names: Sequence[str] | None = None, seed: int = 0) -> int:
    """Execute lessons in order into `build/notebooks/` and print the results table.

    A lesson that fails is reported in a line; the rest are still run.

    Args:
        profile: "pocket" or "smoke".
        names: Beginnings of lesson names, such as "03"; all lessons by default.
        seed: Handed to every lesson.

    Returns:
        0 if every lesson ran to its end, else 1.
    """
    try:
        files = lesson_files(names)
    except LessonError as error:
        print(error)
        return 1
    build = build_folder().resolve()
    results = build / "results.md"
    before = results.stat().st_mtime_ns if results.is_file() else None
    begin = time.monotonic()
    with claimed_folder(build / "notebooks"):
        failed = [file.stem for file in files if not _run_lesson(file, profile, seed, build)]
    minutes = (time.monotonic() - begin) / 60
    print(f"{len(files) - len(failed)} of {len(files)} lessons ran, {minutes:.1f} minutes in all.")
    print(f"Executed copies: {_short(build / 'notebooks')}")
    if results.is_file() and results.stat().st_mtime_ns != before:
        print(f"Results: {_short(results)} and results.json\n")
        print(results.read_text(encoding="utf-8"))
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return int(bool(failed))


def _run_lesson(file: Path, profile: str, seed: int, build: Path) -> bool:
    """Execute one lesson and print its line; return whether it ran to its end."""
    begin = time.monotonic()
    copy = build / "notebooks" / file.name
    print(f"{file.stem:<24}", end="", flush=True)
    try:
        execute(file, copy, {"profile": profile, "seed": seed}, build)
        problem = ""
    except Exception as error:  # a kernel can die in many ways: the other lessons still run
        problem = describe_failure(error)
    print(f"{(time.monotonic() - begin) / 60:5.1f} min", flush=True)
    if problem:
        print(f"    FAILED {problem}\n    See {_short(copy)}", flush=True)
    return not problem


def execute(file: Path, copy: Path, parameters: dict[str, object], build: Path) -> None:
    """Execute one notebook with papermill, in the clone's folder.

    Its kernel is a process of its own of the interpreter that runs this, whatever `python3` means
    to the Jupyter that is installed.

    Raises:
        LessonError: papermill or ipykernel is not installed.
        papermill.PapermillExecutionError: a cell failed.
    """
    try:
        import papermill
    except ModuleNotFoundError as error:
        raise LessonError(f"papermill, which runs the lessons, is missing. {INSTALL}") from error
    copy.parent.mkdir(parents=True, exist_ok=True)
    settings = {"DNADET_BUILD": str(build), "TQDM_DISABLE": "1", "DNADET_WIDGETS": "off"}
    with own_kernel(), variables(**settings):
        papermill.execute_notebook(
            str(file), str(copy), parameters=parameters, kernel_name="python3",
            cwd=str(CLONE), progress_bar=False,
            start_timeout=600,  # a busy machine starts kernels slowly
            extra_arguments=["--IPKernelApp.log_level=50"],
        )  # fmt: skip
    _join_streams(copy)


@contextmanager
def own_kernel() -> Iterator[None]:
    """Inside the block, make Jupyter's kernel `python3` this very interpreter.

    Raises:
        LessonError: ipykernel is not installed for it.
    """
    if importlib.util.find_spec("ipykernel") is None:
        raise LessonError(
            f"ipykernel, which runs the lessons, is missing for {sys.executable}. {INSTALL}"
        )
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels" / "python3" / "kernel.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(spec), encoding="utf-8")
        others = os.environ.get("JUPYTER_PATH")
        with variables(JUPYTER_PATH=os.pathsep.join([folder, *([others] if others else [])])):
            yield


def _join_streams(file: Path) -> None:
    """Make one output of printed lines that follow each other, as JupyterLab shows them."""
    import nbformat

    notebook = nbformat.read(file, as_version=4)
    for cell in notebook.cells:
        joined: list[Any] = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and joined and output.name == joined[-1].get("name"):
                joined[-1].text += output.text
            else:
                joined.append(output)
        if cell.cell_type == "code":
            cell.outputs = joined
    with atomic_path(file) as temporary:
        nbformat.write(notebook, temporary)


def describe_failure(error: Exception) -> str:
    """Say in a line or two which cell of a notebook failed, and with what."""
    if hasattr(error, "ename") and hasattr(error, "evalue"):
        cell = getattr(error, "exec_count", None)
        return f"in cell [{cell}]: {error.ename}: {error.evalue}"
    return f"{type(error).__name__}: {error}"


@contextmanager
def variables(**values: str) -> Iterator[None]:
    """Set environment variables inside a block, for the kernels that are started there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
