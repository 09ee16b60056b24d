"""The table: methods by set-ups, several training seeds a row, with intervals over generators."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin, clone

from dnadet_lib.baselines import NetworkClassifier
from dnadet_lib.data import ImageSet, load_images, read_image
from dnadet_lib.evaluation import Row, origins, predict, results_json, results_table
from dnadet_lib.files import atomic_path
from dnadet_lib.intervals import mean_interval, mean_of_groups
from dnadet_lib.model import load_model
from dnadet_lib.presets import Preset
from dnadet_lib.stages import run_training, training_data
from dnadet_lib.zoo import load_setup

SETUPS = ("closed", "seed", "loss", "finetune", "dataset")
CROSS = SETUPS[1:]  # something changed against training
KEY = ["method", "setup", "generator"]

Classifier = Callable[[ImageSet], np.ndarray]
Fit = Callable[[ImageSet, ImageSet, int, Path], Classifier]


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        name: As printed.
        fit: Learns from train and dev images, a seed, and a folder to keep its work in; returns a
            function that scores images: (N, K), the highest is the prediction.
    """

    name: str
    fit: Fit

    @property
    def slug(self) -> str:
        """The name as a folder."""
        return "".join(c if c.isalnum() else "_" for c in self.name.lower()).strip("_")


def network(preset: Preset, pretrained: str | None = None) -> Fit:
    """Train DNA-Det's second stage as a preset says, from a pre-trained checkpoint or none."""

    def fit(train: ImageSet, dev: ImageSet, seed: int, folder: Path) -> Classifier:
        start = load_model(pretrained) if pretrained else None
        model, _ = run_training(preset, train, dev, pretrained=start, seed=seed, folder=folder)
        return lambda images: predict(model, images).probabilities

    return fit


def baseline(estimator: ClassifierMixin) -> Fit:
    """Train a scikit-learn estimator; dev images choose the epoch of one that has epochs."""

    def fit(train: ImageSet, dev: ImageSet, seed: int, folder: Path) -> Classifier:
        train.require_every_class()
        own = clone(estimator)
        pixels = load_images(train.paths, folder / "cache")
        if isinstance(own, NetworkClassifier):
            labels = dev.with_classes(train.classes).labels
            own.set_params(seed=seed).fit(pixels, train.labels, (load_images(dev.paths), labels))
        else:
            own.fit(pixels, train.labels)
        scores = own.predict_proba if hasattr(own, "predict_proba") else own.decision_function
        return lambda images: scores(load_images(images.paths))

    return fit


def run_suite(
    methods: Iterable[Method],
    root: Path,
    folder: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    setups: Sequence[str] = SETUPS,
) -> pd.DataFrame:
    """Train and predict what is not there yet, and return one row an image.

    Args:
        methods: Rows of the table.
        root: The rendered images.
        folder: `TRAINING_IMAGES/METHOD/seed_S/` gets the training run and `SETUP.parquet`; those
            that are there, of the same images, are read.
        seeds: Training seeds.
        setups: Names of set-ups.

    Returns:
        Columns method, seed, setup, generator, image (SHA-256 of its pixels), truth, predicted,
        and a score a class.
    """
    train, dev = training_data(root)
    digest = hashlib.sha256("".join(pixel_hashes(train) + pixel_hashes(dev)).encode()).hexdigest()
    tests = {setup: load_setup(setup, root=root) for setup in setups}
    hashes = {setup: pixel_hashes(images) for setup, images in tests.items()}
    tables = []
    for method in methods:
        for seed in seeds:
            work = folder / digest[:8] / method.slug / f"seed_{seed}"
            classify = None
            for setup, images in tests.items():
                file = work / f"{setup}.parquet"
                table = read_scores(file, hashes[setup])
                if table is None:
                    if classify is None:
                        print(f"{method.name}, seed {seed}", file=sys.stderr, flush=True)
                        classify = method.fit(train, dev, seed, work)
                    table = score_table(classify, images.with_classes(train.classes))
                    table["image"] = hashes[setup]
                    with atomic_path(file) as temporary:
                        table.to_parquet(temporary, index=False)
                tables.append(table.assign(method=method.name, seed=seed, setup=setup))
    return pd.concat(tables, ignore_index=True)


def pixel_hashes(images: ImageSet) -> list[str]:
    """SHA-256 of each image's pixels, which does not depend on how its file packs them."""
    return [hashlib.sha256(read_image(path).tobytes()).hexdigest() for path in images.paths]


def read_scores(path: Path, hashes: list[str]) -> pd.DataFrame | None:
    """Read a set-up's scores, or return None if they are not there or of other images."""
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    return table if table["image"].tolist() == hashes else None


def score_table(classify: Classifier, images: ImageSet) -> pd.DataFrame:
    """Score images: columns generator, truth, predicted, and one a class."""
    scores = classify(images)
    names = np.array(images.classes)
    return pd.DataFrame(
        {
            "generator": origins(np.array(images.sources)),
            "truth": names[images.labels],
            "predicted": names[scores.argmax(axis=1)],
            **{f"score {name}": scores[:, k] for k, name in enumerate(images.classes)},
        }
    )


def generator_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on every generator: a row a method, set-up and generator, a column a seed."""
    correct = predictions["truth"] == predictions["predicted"]
    return correct.groupby([predictions[k] for k in [*KEY, "seed"]], sort=False).mean().unstack()


def table_rows(accuracy: pd.DataFrame, images: pd.Series, metric: str = "accuracy") -> list[Row]:
    """Make the rows of every method: each generator, each set-up's mean, the mean of the four.

    Args:
        accuracy: As `generator_table` returns it, or differences of such.
        images: Images of each generator, by set-up and generator.
        metric: Name of the figure.
    """
    rows = []
    each = accuracy.mean(axis=1)
    for method in each.index.unique("method"):
        own = each.loc[method]
        by_setup = {setup: own.loc[setup] for setup in own.index.unique("setup")}
        for setup, values in by_setup.items():
            for generator, value in values.items():
                count, nan = int(images[setup, generator]), float("nan")
                rows.append(Row(method, setup, f"{metric} {generator}", value, nan, nan, count, 1))
            figures = clip(mean_interval(values), metric)
            count = int(images[setup].sum())
            rows.append(Row(method, setup, metric, *figures, count, len(values)))
        if all(setup in by_setup for setup in CROSS):
            groups = [by_setup[setup].to_numpy() for setup in CROSS]
            figures = clip(mean_of_groups(groups), metric)
            counts = int(sum(images[setup].sum() for setup in CROSS)), sum(map(len, groups))
            rows.append(Row(method, "mean of the four", metric, *figures, *counts))
    return rows


def clip(figures: tuple[float, float, float], metric: str) -> tuple[float, float, float]:
    """Keep the ends of an accuracy's interval between 0 and 1; a difference is left as it is."""
    value, low, high = figures
    return figures if metric != "accuracy" else (value, float(max(low, 0)), float(min(high, 1)))


def differences(accuracy: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Subtract each method's accuracies from a reference's, generator by generator, seed by seed.

    Raises:
        ValueError: the reference is not among the methods.
    """
    methods = accuracy.index.unique("method")
    if reference not in methods:
        raise ValueError(f"no method {reference!r} to compare with: {', '.join(methods)}")
    others = accuracy.drop(index=reference, level="method")
    own = accuracy.loc[reference].reindex(others.index.droplevel("method"))
    return others.rsub(own.to_numpy())


def write_suite(predictions: pd.DataFrame, reference: str, folder: Path) -> list[Row]:
    """Write the table of what `run_suite` returned, and return its rows.

    Args:
        predictions: One row an image.
        reference: The method whose lead over each other one is given, paired by generator.
        folder: Gets `results.json`, `accuracy.csv` (a row a generator, a column a seed)
            and `results.md`.
    """
    accuracy = generator_table(predictions)
    first = predictions[predictions["seed"] == predictions["seed"].iloc[0]]
    first = first[first["method"] == first["method"].iloc[0]]
    images = first.groupby(["setup", "generator"]).size()
    rows = table_rows(accuracy, images)
    text = results_table(rows)
    text += "\nMean over generators and training seeds; 95% interval over generators.\n"
    if reference in accuracy.index.unique("method"):
        leads = table_rows(differences(accuracy, reference), images, "lead")
        if leads:
            text += f"\nLead of *{reference}* over each, paired by generator:\n\n"
            text += results_table(leads, "lead")
        rows += leads
    with atomic_path(folder / "accuracy.csv") as temporary:
        accuracy.rename(columns="seed {}".format).round(4).to_csv(temporary)
    with atomic_path(folder / "results.json") as temporary:
        temporary.write_text(results_json(rows) + "\n", encoding="utf-8")
    with atomic_path(folder / "results.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return rows
