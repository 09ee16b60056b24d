"""Choose on dev copies which changed images the shipped recipe learns from, and find histories.

    python data/tune_changes.py            # changes.csv, makes.csv and history.csv of data/results
    python data/tune_changes.py history    # how often file histories are found in the pixels
    python data/tune_changes.py changes    # accuracy of candidates on dev copies; some 10 minutes
    python data/tune_changes.py makes      # what more than one generator per class would buy abroad

Features that are made once are kept in `build/changes/`.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from dnadet_lib.bench.methods import PLAIN
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.data import ImageSet, load_images, origins, some_of_each
from dnadet_lib.evaluation.robustness import add_noise, blur, compress, resize_back
from dnadet_lib.images.changes import CHANGES, changed_copies, webp
from dnadet_lib.images.history import COLOUR_AT, GRID_AT, LUMA, colour_phase, grid_share
from dnadet_lib.images.reading import read_image
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.code_key import code_digest
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.stages.stage_2 import training_data
from dnadet_lib.zoo.abroad import read_abroad
from dnadet_lib.zoo.rendering import image_root, render
from dnadet_lib.zoo.setups import load_setup

RESULTS = Path(__file__).resolve().parent / "results"
TRAIN_IMAGES, DEV_IMAGES, HISTORY_IMAGES = 400, 30, 100  # of a class; of a dev generator
CODECS = ("fine JPEG", "coarse JPEG", "WebP")
CANDIDATES = {  # which changed copies join the images as they are; one mean of a class for each
    "none": (),
    "compressed": CODECS,
    "compressed, reduced": (*CODECS, "smaller"),
    "compressed, reduced, tone": (*CODECS, "smaller", "tone"),
    "compressed, resized": (*CODECS, "smaller", "larger"),
    "compressed, resized, tone": (*CODECS, "smaller", "larger", "tone"),
    "all but mixed": tuple(name for name in CHANGES if name != "mixed"),
    "all": tuple(CHANGES),
    "mixed alone": ("mixed",),
}
Degrade = Callable[[np.ndarray], np.ndarray]


def enlarge(image: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge and keep so, bicubic."""
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def degradations() -> dict[str, Degrade]:
    """What dev images undergo: name -> what does it."""
    rng = np.random.default_rng(0)
    kinds = {
        "JPEG": (compress, (95, 90, 75, 50)),
        "resized and back": (resize_back, (0.9, 0.75, 0.5, 1.5)),
        "blur": (blur, (0.5, 1.0)),
        "noise": (add_noise, (2,)),
    }
    found: dict[str, Degrade] = {"as they are": lambda image: image}
    for name, (apply, strengths) in kinds.items():
        for strength in strengths:
            found[f"{name} {strength}"] = partial(apply_one, apply, strength, rng)
    found["WebP 80"] = partial(webp, quality=80)
    return {**found, "enlarged 1.5": partial(enlarge, factor=1.5)}


def apply_one(apply: Callable, strength: float, rng: np.random.Generator, image: np.ndarray):
    """Degrade an image; the arguments stand in the order that `partial` needs."""
    return apply(image, strength, rng)


def some_dev(count: int) -> ImageSet:
    """Take some images of each dev generator and of each content's photographs."""
    dev = training_data()[1]
    sources = np.unique(origins(np.array(dev.sources)), return_inverse=True)[1]
    return dev.take(some_of_each(sources, count))


# Candidates --------------------------------------------------------------------------------------


def traces(model: DNADet, name: str, images: ImageSet, make: Callable[[], object]) -> np.ndarray:
    """Make the statistics of some images, (N, T), or read those that are kept."""
    key = hashlib.sha256(f"{name} {images.paths} {model.input} {code_digest(make)}".encode())
    file = build_folder() / "changes" / f"{key.hexdigest()[:16]}.npy"
    if not file.is_file():
        found = image_features(model, make()).traces.numpy()  # type: ignore[arg-type]
        with atomic_path(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, found)
        print(f"{name}: {len(found)} images", flush=True)
    return np.load(file)


def models() -> tuple[DNADet, DNADet]:
    """Load what statistics come from: with votes of turned copies, and without them."""
    model = load_model(PLAIN)
    model.trace_blocks = (len(model.main) - 1,)
    upright = copy.copy(model)
    upright.input = replace(model.input, vote="patches")
    return model, upright


def some_train() -> ImageSet:
    """Take some training images of each class."""
    train = training_data()[0]
    return train.take(some_of_each(train.labels, TRAIN_IMAGES))


def copies_of(upright: DNADet, train: ImageSet, changes: tuple[str, ...]) -> list[np.ndarray]:
    """Make the statistics of the training images, and of copies that are changed in some ways."""
    return [
        traces(upright, "as they are", train, lambda: train.paths),
        *(traces(upright, name, train, partial(changed_copies, train.paths, name))
          for name in changes),
    ]  # fmt: skip


def candidates() -> None:
    """Solve each candidate on changed copies of training images, and test it on dev copies."""
    model, upright = models()
    train, dev = some_train(), some_dev(DEV_IMAGES).joined(load_setup("abroad", "dev"))
    learned = dict(zip(("", *CHANGES), copies_of(upright, train, tuple(CHANGES)), strict=True))
    pixels = [read_image(path) for path in dev.paths]
    tested = {
        name: traces(model, f"dev, {name}", dev, partial(map, degrade, pixels))
        for name, degrade in degradations().items()
    }
    rows = []
    for candidate, changes in CANDIDATES.items():
        parts = [(learned[name], train.labels) for name in ("", *changes)]
        predict = solved(parts, len(train.classes))
        for name, values in tested.items():
            rows.append({"candidate": candidate, "dev copies": name,
                         **accuracies(predict(values) == dev.labels, dev)})  # fmt: skip
        print(candidate, flush=True)
    save(pd.DataFrame(rows), "changes")


def makes() -> None:
    """Learn from a second generator per class, of another make; test on the makes that are left.

    Of the two dev generators of each class abroad, one is learned from and the other is tested.
    """
    model, upright = models()
    train = some_train()
    images = load_setup("abroad", "dev").with_classes(train.classes)
    names, labels, classes = np.array(images.sources), images.labels, len(train.classes)
    tested = traces(model, "dev abroad", images, lambda: images.paths)
    seen = traces(upright, "dev abroad, upright", images, lambda: images.paths)
    first = np.char.endswith(names, "a")
    rows = []
    for candidate in ("none", "compressed"):
        home = [(x, train.labels) for x in copies_of(upright, train, CANDIDATES[candidate])]
        for second in ("no second make", "a mean of its own", "one mean per class"):
            predicted = np.empty(len(images), int)
            for held_out in (first, ~first):
                other = seen[~held_out], labels[~held_out]
                parts = home if second == "no second make" else [*home, other]
                if second == "one mean per class":
                    parts = [tuple(map(np.concatenate, zip(*parts, strict=True)))]
                predicted[held_out] = solved(parts, classes)(tested[held_out])
            each = pd.Series(predicted == labels).groupby(names).mean()
            rows.append({"changed copies": candidate, "second make": second,
                         "mean": each.mean(), **each})  # fmt: skip
    save(pd.DataFrame(rows), "makes")


def solved(parts: list[tuple[np.ndarray, np.ndarray]], classes: int) -> Callable:
    """Solve a discriminant with a mean of each class and part; return what predicts classes.

    Args:
        parts: Statistics (N, T) and labels (N,); a part need not have every class.
        classes: Their number.
    """
    values = np.concatenate([values for values, _ in parts]).astype(float)
    numbers = np.concatenate([labels + classes * k for k, (_, labels) in enumerate(parts)])
    there, scaler = np.unique(numbers), StandardScaler()
    rule = LinearDiscriminantAnalysis(
        solver="lsqr", shrinkage="auto", priors=np.full(len(there), 1 / len(there))
    ).fit(scaler.fit_transform(values), numbers)

    def predict(values: np.ndarray) -> np.ndarray:
        scores = torch.full((len(values), len(parts) * classes), -torch.inf, dtype=torch.double)
        found = rule.decision_function(scaler.transform(values.astype(float)))
        scores[:, there] = torch.from_numpy(found)
        return scores.unflatten(1, (len(parts), classes)).logsumexp(dim=1).argmax(dim=1).numpy()

    return predict


def accuracies(right: np.ndarray, dev: ImageSet) -> dict[str, float]:
    """Average over generators of horizons, of stamps, abroad, and over photographs."""
    names = origins(np.array(dev.sources))
    each = pd.Series(right).groupby(names).mean()
    real = each.index.str.startswith("real/")
    return {
        "abroad": each[each.index.isin([g.name for g in read_abroad()])].mean(),
        "horizons": each[~real & each.index.str.contains("horizons")].mean(),
        "stamps": each[~real & each.index.str.contains("stamps")].mean(),
        "photographs": each[real].mean(),
    }


# Histories ---------------------------------------------------------------------------------------


def histories() -> None:
    """Measure how often compression is found in the pixels of dev copies."""
    dev = some_dev(HISTORY_IMAGES)
    pixels, names = load_images(dev.paths), origins(np.array(dev.sources))
    real = np.char.startswith(names, "real/")
    rows = []
    for name, degrade in degradations().items():
        found = np.array([measures(degrade(image)) for image in pixels])
        row: dict[str, object] = {"dev copies": name}
        limits = {"grid": GRID_AT, "colour": COLOUR_AT}
        for (column, limit), measured in zip(limits.items(), found.T, strict=True):
            row[f"{column}, generators"] = np.mean(measured[~real] > limit)
            row[f"{column}, photographs"] = np.mean(measured[real] > limit)
            if name == "as they are":
                print(f"{column}: 1 in 100 above {np.quantile(measured, 0.99):.3f}", flush=True)
        rows.append(row)
    save(pd.DataFrame(rows), "history")


def measures(image: np.ndarray) -> tuple[float, float]:
    """Measure the JPEG grid and the resolution of the colours."""
    planes = torch.from_numpy(image.copy()).float().permute(2, 0, 1)
    luma = (planes * torch.tensor(LUMA)[:, None, None]).sum(dim=0)
    return grid_share(luma), colour_phase(planes, luma)


def save(table: pd.DataFrame, name: str) -> None:
    """Write a table as CSV."""
    with atomic_path(RESULTS / f"{name}.csv") as temporary:
        table.round(3).to_csv(temporary, index=False)


def main() -> None:
    """Run the named steps, or all."""
    steps = {"history": histories, "changes": candidates, "makes": makes}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("steps", nargs="*", choices=[*steps, []], help="default: all")
    options = parser.parse_args()
    if not image_root().is_dir():
        render()
    for name in options.steps or steps:
        steps[name]()


if __name__ == "__main__":
    main()
