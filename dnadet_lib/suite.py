"""The table: methods by set-ups, several training seeds a row, with intervals."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed, parallel_config
from sklearn.base import ClassifierMixin, clone

from dnadet_lib.baselines import NetworkClassifier
from dnadet_lib.code_key import code_digest
from dnadet_lib.data import ImageSet, load_images, read_image
from dnadet_lib.evaluation import (
    Row,
    bootstrap_accuracy,
    drawn_together,
    origins,
    predict,
    results_json,
    results_table,
    setup_accuracy,
)
from dnadet_lib.files import atomic_path, locked
from dnadet_lib.intervals import mean_interval, mean_of_setups
from dnadet_lib.model import find_checkpoint, shipped_file
from dnadet_lib.presets import PRESETS, Preset
from dnadet_lib.stages import pretrained_model, run_training, training_data
from dnadet_lib.stopping import clean_up_when_stopped
from dnadet_lib.text import for_markdown, table_for_csv
from dnadet_lib.zoo import load_jittered, load_setup

SETUPS = ("closed", "seed", "loss", "finetune", "dataset")
CROSS = SETUPS[1:]  # something changed against training
MEAN = "mean of the four"

Classifier = Callable[[ImageSet], np.ndarray]
Fit = Callable[[ImageSet, ImageSet, int, Path], Classifier]


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Its results are kept in a folder whose name goes by all that they depend on, so that results of
    other images, settings or code are never taken for them. Of code counts what `code_digest`
    finds: the compiled code of `fit`, and of each function and class of this library or your own
    that it goes through, without comments and docstrings; values that these use or close over count
    as they stand when the suite is asked. That works in a notebook too. Installed packages count by
    name alone: after another version of one, remove the folder.

    Attributes:
        name: As printed.
        settings: All that the result depends on, beside images, seed and code; what `fit` reads
            from elsewhere, such as a file, belongs here.
        fit: Learns from train images, a seed, and a folder to keep its work in; returns a function
            that scores images: (N, K), the highest is the prediction. Dev images may calibrate
            the scores, and choose nothing.
        seeded: Whether the seed changes anything.
        jittered: Whether images of jittered generators are among the training images.
    """

    name: str
    settings: str
    fit: Fit
    seeded: bool = True
    jittered: bool = False

    def folder(self, images: str) -> str:
        """Name the folder for results of this method, its settings and code, and some images."""
        plain = "".join(c if c.isalnum() else "_" for c in self.name.lower())
        made_with = f"{self.settings} {images} {code_digest(self.fit)}"
        return f"{plain}-{hashlib.sha256(made_with.encode()).hexdigest()[:8]}"

    def seed_folder(self, images: str, seed: int) -> Path:
        """Name the folder of one training seed, `METHOD/seed_S`; all are one where none matters."""
        return Path(self.folder(images)) / f"seed_{seed if self.seeded else 0}"


def network(name: str, preset: Preset, pretrained: Sequence[str] = ()) -> Method:
    """Make the row that trains DNA-Det's second stage as a preset says.

    It starts from what stage 1 makes by the pre-trained names, or from random weights.

    A discriminant has no randomness of its own, so its seed is that of stage 1.

    Raises:
        FileNotFoundError: there is no such checkpoint.
    """
    start = " ".join(stage_one_digest(own) for own in pretrained)

    def fit(train: ImageSet, dev: ImageSet, seed: int, folder: Path) -> Classifier:
        stage_1_seed = seed if preset.discriminant else 0
        warm = pretrained_model(pretrained, stage_1_seed) if pretrained else None
        model, _ = run_training(preset, train, dev, pretrained=warm, seed=seed, folder=folder)
        return lambda images: predict(model, images).probabilities

    settings = f"{preset.settings()} {start}"
    return Method(name, settings, fit, jittered=preset.jittered)


def stage_one_digest(name: str) -> str:
    """SHA-256 of the preset of stage 1, which makes it for some seeds, and of its file, if shipped.

    Raises:
        FileNotFoundError: there is neither.
    """
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
        return lambda images: scores(load_images(images.paths))

    settings = code_digest(estimator)  # all parameters; repr cuts long ones short
    return Method(name, settings, fit, seeded=isinstance(estimator, NetworkClassifier))


def run_suite(
    methods: Iterable[Method],
    root: Path,
    folder: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    setups: Sequence[str] = SETUPS,
    only_there: bool = False,
    workers: int = 1,
) -> pd.DataFrame:
    """Train and predict what is not there yet, and return one row an image.

    Args:
        methods: Rows of the table.
        root: The rendered images.
        folder: `METHOD/seed_S/` gets the training run and `SETUP.parquet`; those that are there,
            of the same settings and images, are read.
        seeds: Training seeds.
        setups: Names of set-ups.
        only_there: Train nothing, and leave out what is not there in full.
        workers: Processes that train side by side; they share the cores.

    Returns:
        Columns method, seed, setup, source (generator, or `real/CONTENT/PHOTOGRAPH`), image
        (SHA-256 of its pixels), truth, predicted, and a score a class.

    Raises:
        ValueError: fewer than one worker, or no row is there.
    """
    if workers < 1:
        raise ValueError(f"{workers} workers: one or more are needed")
    train, dev = training_data(root)
    methods = list(methods)
    digests = {
        jittered: rows_digest(train, dev, root, jittered)
        for jittered in {method.jittered for method in methods}
    }
    sets = {setup: load_setup(setup, root=root) for setup in setups}
    tests = {setup: HashedImages(own, pixel_hashes(own)) for setup, own in sets.items()}
    wanted = [(method, seed) for method in methods for seed in seeds]
    folders = [
        folder / method.seed_folder(digests[method.jittered], seed) for method, seed in wanted
    ]
    found = {work: read_row(work, tests) for work in folders}
    lacking = [work for work, there in found.items() if len(there) < len(tests)]
    if lacking and not only_there:
        threads = max(1, cpu_count() // workers)
        with parallel_config("loky", n_jobs=workers, inner_max_num_threads=threads):
            Parallel()(
                delayed(fill_row)(*wanted[folders.index(work)], train, dev, tests, root, work)
                for work in lacking
            )
        found |= {work: read_row(work, tests) for work in lacking}
    tables = [
        table.assign(method=method.name, seed=seed, setup=setup)
        for (method, seed), work in zip(wanted, folders, strict=True)
        if len(found[work]) == len(tests)
        for setup, table in found[work].items()
    ]
    if not tables:
        raise ValueError(f"{folder}: no row is there in full; dnadet evaluate --suite trains them")
    return pd.concat(tables, ignore_index=True)


class HashedImages(NamedTuple):
    """A set-up's images and the hashes of their pixels."""

    images: ImageSet
    hashes: list[str]


def fill_row(
    method: Method,
    seed: int,
    train: ImageSet,
    dev: ImageSet,
    tests: Mapping[str, HashedImages],
    root: Path,
    folder: Path,
) -> None:
    """Train a method with a seed where scores of a set-up are missing, and write these.

    Of several processes at the same folder, one works and the others wait and find it done.
    """
    clean_up_when_stopped()
    with locked(folder):
        there = read_row(folder, tests)
        missing = {setup: test for setup, test in tests.items() if setup not in there}
        if not missing:
            return
        start, row = time.perf_counter(), f"{method.name}, seed {seed}"
        print(row, file=sys.stderr, flush=True)
        own = train.joined(load_jittered(root)) if method.jittered else train
        classify = method.fit(own, dev, seed, folder)
        for setup, test in missing.items():
            table = score_table(classify, test.images.with_classes(train.classes))
            table["image"] = test.hashes
            with atomic_path(folder / f"{setup}.parquet") as temporary:
                table.to_parquet(temporary, index=False)
        minutes = (time.perf_counter() - start) / 60
        print(f"{row}: done in {minutes:.1f} min", file=sys.stderr, flush=True)


def pixel_hashes(images: ImageSet) -> list[str]:
    """SHA-256 of each image's pixels, which does not depend on how its file packs them."""
    return [hashlib.sha256(read_image(path).tobytes()).hexdigest() for path in images.paths]


def rows_digest(train: ImageSet, dev: ImageSet, root: Path, jittered: bool) -> str:
    """One SHA-256 over all that rows learn from: images of train, jittered and dev, and classes."""
    sets = [train, load_jittered(root), dev] if jittered else [train, dev]
    classes = [(own.classes, own.labels.tolist(), own.sources) for own in sets]
    return hashlib.sha256(f"{images_digest(*sets)} {classes}".encode()).hexdigest()


def images_digest(*sets: ImageSet) -> str:
    """One SHA-256 over all pixels of some sets of images."""
    hashes = "".join(value for images in sets for value in pixel_hashes(images))
    return hashlib.sha256(hashes.encode()).hexdigest()


def read_scores(path: Path, test: HashedImages) -> pd.DataFrame | None:
    """Read a set-up's scores, or return None if they are not there or of other images."""
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    return table if table["image"].tolist() == test.hashes else None


def read_row(folder: Path, tests: Mapping[str, HashedImages]) -> dict[str, pd.DataFrame]:
    """Read the scores of those set-ups that are there, of these images."""
    found = {name: read_scores(folder / f"{name}.parquet", test) for name, test in tests.items()}
    return {name: table for name, table in found.items() if table is not None}


def score_table(classify: Classifier, images: ImageSet) -> pd.DataFrame:
    """Score images: columns source, truth, predicted, and one a class."""
    scores = classify(images)
    names = np.array(images.classes)
    return pd.DataFrame(
        {
            "source": images.sources,
            "truth": names[images.labels],
            "predicted": names[scores.argmax(axis=1)],
            **{f"score {name}": scores[:, k] for k, name in enumerate(images.classes)},
        }
    )


def generator_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by method, set-up and generator (or photographs of a content), a column a seed.

    Rows keep the order of the predictions.
    """
    found = predictions.assign(
        correct=predictions["truth"] == predictions["predicted"],
        generator=origins(predictions["source"].to_numpy()),
    )
    keys = ["method", "setup", "generator"]
    means = found.groupby([*keys, "seed"])["correct"].mean().unstack()
    return means.reindex(pd.MultiIndex.from_frame(found[keys].drop_duplicates()))


def accuracy_rows(predictions: pd.DataFrame) -> list[Row]:
    """Make every method's rows: each generator, each set-up's mean, the mean of the four.

    A generator's interval is over its images, conditional on it; a set-up's over generators and
    training seeds, or, of fewer than three generators, conditional on these.
    """
    rows = []
    for (method, setup), part in predictions.groupby(["method", "setup"], sort=False):
        hits = part.assign(correct=part["truth"] == part["predicted"])
        correct = hits.groupby(["source", "image"])["correct"].mean()
        sources = correct.index.get_level_values("source").to_numpy()
        names = origins(sources)
        each = {}
        for name in np.unique(names):
            own = names == name
            each[name] = bootstrap_accuracy(correct.to_numpy()[own], drawn_together(sources[own]))
            figures = each[name].value, each[name].low, each[name].high
            rows.append(Row(method, setup, f"accuracy {name}", *figures, int(own.sum()), 1))
        if len(each) < 3:
            overall = setup_accuracy(each.values())
            figures = overall.value, overall.low, overall.high
            rows.append(Row(method, setup, "accuracy", *figures, len(sources), len(each)))
    rows += mean_rows(generator_table(predictions), "accuracy", image_counts(predictions))
    methods, setups = (list(dict.fromkeys(predictions[k])) for k in ("method", "setup"))
    return sorted(rows, key=lambda r: (methods.index(r.method), [*setups, MEAN].index(r.setup)))


def image_counts(predictions: pd.DataFrame) -> pd.Series:
    """Images of every set-up."""
    return predictions.groupby("setup")["image"].nunique()


def mean_rows(table: pd.DataFrame, metric: str, images: pd.Series) -> list[Row]:
    """Make the rows of set-ups with three or more generators, and of the four cross set-ups.

    Args:
        table: As `generator_table` returns it, or differences of such.
        metric: "accuracy", whose interval is cut to [0, 1], or another name.
        images: Images of every set-up.
    """
    rows = []
    for method in table.index.unique("method"):
        own = table.loc[method].dropna(axis=1)  # the seeds it was trained with
        groups = {setup: own.loc[setup].to_numpy() for setup in own.index.unique("setup")}
        means = {setup: [setup] for setup, values in groups.items() if len(values) >= 3}
        if all(setup in groups for setup in CROSS):
            means[MEAN] = list(CROSS)
        for name, setups in means.items():
            value, low, high = mean_of_setups([groups[setup] for setup in setups])
            if metric == "accuracy":
                low, high = max(0.0, low), min(1.0, high)
            counts = int(images[setups].sum()), sum(len(groups[setup]) for setup in setups)
            rows.append(Row(method, name, metric, value, low, high, *counts))
    return rows


def differences(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Subtract each method's accuracies from a reference's, generator by generator, seed by seed.

    Raises:
        ValueError: the reference is not among the methods.
    """
    methods = table.index.unique("method")
    if reference not in methods:
        raise ValueError(f"no method {reference!r} to compare with: {', '.join(methods)}")
    others = table.drop(index=reference, level="method")
    own = table.loc[reference].reindex(others.index.droplevel("method"))
    return others.rsub(own.to_numpy())


def with_repeated_seed(table: pd.DataFrame) -> pd.DataFrame:
    """Switch the release's fault A on: its cross-seed list holds the first seed over and over.

    Args:
        table: As `generator_table` returns it.

    Returns:
        The table with every class's first generator of set-up "seed" in place of its others.
    """
    method, setup, names = (table.index.get_level_values(k) for k in table.index.names)
    classes = names.str.split("_").str[0]
    first = table.groupby([method, setup, classes]).transform("first")
    return table.where(pd.Series(setup != "seed", table.index), first, axis=0)


def each_lead(leads: pd.DataFrame, predictions: pd.DataFrame) -> list[Row]:
    """Make a row of every generator's lead: mean over training seeds, t-interval over them."""
    names = pd.Series(origins(predictions["source"].to_numpy()), predictions.index)
    images = predictions.groupby(["setup", names])["image"].nunique()
    rows = []
    for (method, setup, name), values in zip(leads.index, leads.to_numpy(), strict=True):
        figures = mean_interval(values[~np.isnan(values)])
        rows.append(Row(method, setup, f"lead {name}", *figures, int(images[setup, name]), 1))
    return rows


def write_suite(predictions: pd.DataFrame, reference: str, folder: Path) -> list[Row]:
    """Write the table of what `run_suite` returned, and return its rows.

    Args:
        predictions: One row an image.
        reference: The method whose lead over each other one is given, paired by generator.
        folder: Gets `results.json`, `accuracy.csv` (a row a generator, a column a seed) and
            `results.md`.
    """
    table = generator_table(predictions)
    rows = accuracy_rows(predictions)
    text = results_table(rows)
    text += "\nMean over generators and training seeds; 95% interval over both."
    seeds = {name: table.loc[name].dropna(axis=1).shape[1] for name in table.index.unique("method")}
    most = max(seeds.values())
    shown = {name: f"*{for_markdown(name)}*" for name in seeds}
    fewer = [
        f"{count} for {', '.join(shown[name] for name, own in seeds.items() if own == count)}"
        for count in sorted(set(seeds.values()) - {most}, reverse=True)
    ]
    text += f" Seeds: {'; '.join([str(most), *fewer])}.\n"
    if reference in table.index.unique("method") and table.index.unique("method").size > 1:
        leads = differences(table, reference)
        means = mean_rows(leads, "lead", image_counts(predictions))
        text += f"\nLead of {shown[reference]} over each, paired by generator and seed:\n\n"
        text += results_table(means, "lead")
        rows += [*each_lead(leads, predictions), *means]
    with atomic_path(folder / "accuracy.csv") as temporary:
        written = table.rename(columns="seed {}".format).round(4).reset_index()
        table_for_csv(written).to_csv(temporary, index=False)
    with atomic_path(folder / "results.json") as temporary:
        temporary.write_text(results_json(rows) + "\n", encoding="utf-8")
    with atomic_path(folder / "results.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return rows
