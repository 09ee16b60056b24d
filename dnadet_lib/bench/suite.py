"""The table: methods by set-ups, several training seeds per row, with intervals."""

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed, parallel_config
from sklearn.base import ClassifierMixin, clone

from dnadet_lib.bench.networks import NetworkClassifier
from dnadet_lib.bench.tables import SETUPS
from dnadet_lib.checkpoints.models import find_checkpoint, shipped_file
from dnadet_lib.data import ImageSet, decoded_in_parts, load_images
from dnadet_lib.evaluation.predictions import predict
from dnadet_lib.images.reading import read_image
from dnadet_lib.plumbing.code_key import code_digest
from dnadet_lib.plumbing.files import atomic_path, locked
from dnadet_lib.plumbing.stopping import clean_up_when_stopped
from dnadet_lib.presets import PRESETS, Preset
from dnadet_lib.stages.stage_1 import pretrained_model
from dnadet_lib.stages.stage_2 import run_training, training_data
from dnadet_lib.zoo.setups import load_setup

Classifier = Callable[[ImageSet], np.ndarray]
Fit = Callable[[ImageSet, ImageSet, int, Path], Classifier]


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Its results are kept in a folder whose name goes by all that they depend on: images, settings,
    and code as `code_digest` counts it.

    Attributes:
        name: As printed.
        settings: What the result depends on beside images, seed and code, such as a file that `fit`
            reads.
        fit: Learns from train images, a seed, and a folder to keep its work in; returns a function
            that scores images: (N, K), the highest is the prediction. Dev images may calibrate the
            scores, and choose nothing.
        seeded: Whether the seed changes anything.
    """

    name: str
    settings: str
    fit: Fit
    seeded: bool = True

    def folder(self, images: str) -> str:
        """Name the folder for results of this method, its settings and code, and some images."""
        plain = "".join(c if c.isalnum() else "_" for c in self.name.lower())
        made_with = f"{self.settings} {images} {code_digest(self.fit)}"
        return f"{plain}-{hashlib.sha256(made_with.encode()).hexdigest()[:8]}"

    def seed_folder(self, images: str, seed: int) -> Path:
        """Name the folder of one training seed, `METHOD/seed_S`; all are one where none matters."""
        return Path(self.folder(images)) / f"seed_{seed if self.seeded else 0}"


def network(name: str, preset: Preset, pretrained: str | None = None) -> Method:
    """Make the row that trains DNA-Det's second stage as a preset says.

    It starts from what stage 1 makes by the pre-trained name, or from random weights. A
    discriminant has no randomness, so its seed is that of stage 1. A FileNotFoundError names a
    missing checkpoint.
    """
    start = stage_one_digest(pretrained) if pretrained else ""

    def fit(train: ImageSet, dev: ImageSet, seed: int, folder: Path) -> Classifier:
        stage_1_seed = seed if preset.discriminant else 0
        warm = pretrained_model(pretrained, stage_1_seed) if pretrained else None
        model, _ = run_training(preset, train, dev, pretrained=warm, seed=seed, folder=folder)
        return lambda images: predict(model, images).probabilities

    settings = f"{preset.settings()} {start}"
    return Method(name, settings, fit)


def stage_one_digest(name: str) -> str:
    """SHA-256 of a preset of stage 1 and of its shipped checkpoint; there must be one of them."""
    digest = hashlib.sha256()
    if name in PRESETS:
        digest.update(PRESETS[name].settings().encode())
    if name not in PRESETS or shipped_file(name).is_file():
        digest.update(find_checkpoint(name).read_bytes())
    return digest.hexdigest()


def baseline(name: str, estimator: ClassifierMixin) -> Method:
    """Make the row that trains a scikit-learn estimator."""

    def fit(train: ImageSet, dev: ImageSet, seed: int, folder: Path) -> Classifier:
        train.require_every_class()
        own = clone(estimator)
        pixels = load_images(train.paths, folder / "cache")
        if isinstance(own, NetworkClassifier):
            own.set_params(seed=seed)
        own.fit(pixels, train.labels)
        scores = own.predict_proba if hasattr(own, "predict_proba") else own.decision_function
        side = pixels.shape[1:3]
        return lambda tested: np.concatenate(
            [scores(part) for part in decoded_in_parts(tested.paths, *side)]
        )

    settings = code_digest(estimator)  # all parameters; repr cuts long ones short
    return Method(name, settings, fit, seeded=isinstance(estimator, NetworkClassifier))


def run_suite(
    methods: Iterable[Method], root: Path, folder: Path, *, seeds: Sequence[int] = (0, 1, 2),
    setups: Sequence[str] = SETUPS, only_there: bool = False, workers: int = 1,
    failures: list[str] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train and predict what is not there yet, and return one row per image.

    `METHOD/seed_S/` in the folder gets the training run and `SETUP.parquet`, or has them already.
    With `only_there`, nothing is trained, and what is not there in full is left out. `root` has the
    rendered images, `workers` is the number of processes. A row that fails is left out, and
    `failures`, where there is one, gets a line of it; without, its error is raised.

    Returns:
        Columns method, seed, setup, and those of `score_table` and `fill_row`.

    Raises:
        ValueError: fewer than one worker, or no row is there.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers: one or more are needed")
    train, dev = training_data(root)
    sets = {setup: load_setup(setup, root=root) for setup in setups}
    tests = {setup: HashedImages(own, pixel_hashes(own)) for setup, own in sets.items()}
    wanted = [(method, seed) for method in methods for seed in seeds]
    learned = rows_digest(train, dev)
    folders = [folder / method.seed_folder(learned, seed) for method, seed in wanted]
    rows = {work: wanted[folders.index(work)] for work in folders}  # of several seeds, the first
    lacking = [work for work in rows if len(read_row(work, tests)) < len(tests)]
    if lacking and not only_there:
        jobs = [(*rows[work], train, dev, tests, work) for work in lacking]
        threads = max(1, cpu_count() // workers)
        with parallel_config("loky", n_jobs=workers, inner_max_num_threads=threads):
            fill = fill_row if failures is None else try_row
            told = Parallel()(delayed(fill)(*job) for job in jobs)
        if failures is not None:
            failures += [text for text in told if text]
    tables = whole_tables(zip(wanted, folders, strict=True), tests)
    if tables:
        return pd.concat(tables, ignore_index=True)
    raise ValueError(f"{folder}: no row is there in full; dnadet suite trains them")


def whole_tables(
    rows: Iterable[tuple[tuple[Method, int], Path]], tests: "Mapping[str, HashedImages]"
) -> list[pd.DataFrame]:
    """Read the rows, each a method with a seed and its folder, that are there in full."""
    found = [(row, read_row(work, tests)) for row, work in rows]
    return [
        table.assign(method=method.name, seed=seed, setup=setup)
        for (method, seed), there in found
        if len(there) == len(tests)
        for setup, table in there.items()
    ]


class HashedImages(NamedTuple):
    """A set-up's images and the hashes of their pixels."""

    images: ImageSet
    hashes: list[str]


def fill_row(
    method: Method, seed: int, train: ImageSet, dev: ImageSet, tests: Mapping[str, HashedImages],
    folder: Path,
) -> None:  # fmt: skip
    """Train a method with a seed where scores of a set-up are missing, and write these.

    The column image has the SHA-256 of each image's pixels. Of several processes at the same
    folder, one works and the others wait and find it done.
    """
    clean_up_when_stopped()
    with locked(folder):
        there = read_row(folder, tests)
        missing = {setup: test for setup, test in tests.items() if setup not in there}
        if not missing:
            return
        start, row = time.perf_counter(), f"{method.name}, seed {seed}"
        print(row, file=sys.stderr, flush=True)
        classify = method.fit(train, dev, seed, folder)
        for setup, test in missing.items():
            table = score_table(classify, test.images.with_classes(train.classes))
            table["image"] = test.hashes
            with atomic_path(folder / f"{setup}.parquet") as temporary:
                table.to_parquet(temporary, index=False)
        minutes = (time.perf_counter() - start) / 60
        print(f"{row}: done in {minutes:.1f} min", file=sys.stderr, flush=True)


def try_row(method: Method, seed: int, *job: Any) -> str:
    """Fill a row as `fill_row` does; return what went wrong, in a line, or ""."""
    try:
        fill_row(method, seed, *job)
    except Exception as error:  # a method is anybody's code
        return f"{method.name}, seed {seed}: {error or type(error).__name__}"
    return ""


def pixel_hashes(images: ImageSet) -> list[str]:
    """SHA-256 of each image's pixels, which does not depend on how its file packs them."""
    return [hashlib.sha256(read_image(path).tobytes()).hexdigest() for path in images.paths]


def rows_digest(train: ImageSet, dev: ImageSet) -> str:
    """One SHA-256 over all that rows learn from: images of train and dev, and their classes."""
    classes = [(own.classes, own.labels.tolist(), own.sources) for own in (train, dev)]
    return hashlib.sha256(f"{images_digest(train, dev)} {classes}".encode()).hexdigest()


def images_digest(*sets: ImageSet) -> str:
    """One SHA-256 over all pixels of some sets of images."""
    hashes = "".join(value for images in sets for value in pixel_hashes(images))
    return hashlib.sha256(hashes.encode()).hexdigest()


def read_row(folder: Path, tests: Mapping[str, HashedImages]) -> dict[str, pd.DataFrame]:
    """Read the scores of those set-ups that are there, of these images."""
    files = {name: folder / f"{name}.parquet" for name in tests}
    found = {name: pd.read_parquet(file) for name, file in files.items() if file.is_file()}
    return {k: table for k, table in found.items() if table["image"].tolist() == tests[k].hashes}


def score_table(classify: Classifier, images: ImageSet) -> pd.DataFrame:
    """Score images: source (generator or photograph), truth, predicted, and a score per class."""
    scores = classify(images)
    names = np.array(images.classes)
    return pd.DataFrame({
        "source": images.sources,
        "truth": names[images.labels],
        "predicted": names[scores.argmax(axis=1)],
        **{f"score {name}": scores[:, k] for k, name in enumerate(images.classes)},
    })
