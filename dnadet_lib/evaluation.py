"""Predictions on a set-up, and figures with intervals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from dnadet_lib.data import ImageSet
from dnadet_lib.files import atomic_path
from dnadet_lib.inference import all_features, stream
from dnadet_lib.intervals import mean_interval
from dnadet_lib.model import DNADet, Features, join_features
from dnadet_lib.text import for_json, for_markdown, storable

BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Predictions:
    """What a model says of a set-up's images.

    Attributes:
        truth: (N,) class numbers.
        probabilities: (N, K).
        embeddings: (N, D).
        unknown_scores: (N,).
        sources: (N,) generator or folder, or `real/CONTENT/PHOTOGRAPH` for crops.
        classes: Names of the classes.
    """

    truth: np.ndarray
    probabilities: np.ndarray
    embeddings: np.ndarray
    unknown_scores: np.ndarray
    sources: np.ndarray
    classes: tuple[str, ...]

    @property
    def predicted(self) -> np.ndarray:
        """(N,) the most probable class numbers."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """(N,) whether the prediction is right."""
        return self.predicted == self.truth


def image_features(model: DNADet, images: Iterable[Path | np.ndarray]) -> Features:
    """Make the features of images, in batches.

    Args:
        model: Makes them.
        images: Files, or uint8 arrays (H, W, 3).

    Raises:
        OSError: a file cannot be read; it is named.
        ValueError: an image is smaller than a patch, or the model's numbers for it are not finite;
            its file is named.
    """
    return all_features(model, images)


def readable_features(
    model: DNADet, paths: Sequence[Path], errors: list[str]
) -> Iterator[tuple[list[int], Features]]:
    """Make the features of the images that can be read: positions and features, batch by batch.

    Args:
        model: Makes them.
        paths: Image files.
        errors: Gets a line for each file that cannot be read or is smaller than a patch, or for
            which the model's numbers are not finite.
    """
    for batch in stream(model, paths):
        errors += [str(failure.error) for failure in batch.failures]
        if batch.features is not None:
            yield batch.numbers, batch.features


def embed_images(model: DNADet, images: Sequence[Path | np.ndarray]) -> np.ndarray:
    """Embed images, in batches: (N, D). Errors are those of `image_features`."""
    return image_features(model, images).embeddings.cpu().numpy()


def predict(model: DNADet, images: ImageSet) -> Predictions:
    """Run a model over a set-up, in batches.

    The images' classes are matched with the model's by name.

    Raises:
        OSError: an image cannot be read; it is named.
        ValueError: an image is smaller than a patch, or its class is none of the model's.
    """
    images = images.with_classes(model.classes)
    return _predictions(model, images, image_features(model, images.paths))


def predict_readable(
    model: DNADet, images: ImageSet, errors: list[str]
) -> tuple[ImageSet, Predictions | None]:
    """Run a model over the images of a set-up that can be read, in batches.

    Args:
        model: Predicts.
        images: Their classes are matched with the model's by name.
        errors: Gets a line for each file that cannot be read or is smaller than a patch.

    Returns:
        The images that were read, and what the model says of them, None if there are none.

    Raises:
        ValueError: an image's class is none of the model's.
    """
    numbered = images.with_classes(model.classes)
    found = list(readable_features(model, images.paths, errors))
    kept = np.array([i for positions, _ in found for i in positions], int)
    if not found:
        return images.take(kept), None
    features = join_features([features for _, features in found])
    return images.take(kept), _predictions(model, numbered.take(kept), features)


def _predictions(model: DNADet, images: ImageSet, features: Features) -> Predictions:
    return Predictions(
        images.labels,
        model.probabilities(features.embeddings).cpu().numpy(),
        features.embeddings.cpu().numpy(),
        model.unknown_score(features.traces).cpu().numpy(),
        np.array(images.makers),
        images.classes,
    )


@dataclass(frozen=True)
class Interval:
    """A figure with its 95% interval, and what the interval is over."""

    value: float
    low: float
    high: float
    kind: str

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap_accuracy(correct: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    """Accuracy with a percentile bootstrap that draws whole groups.

    Args:
        correct: (N,) booleans.
        groups: (N,) what is drawn together: the photograph for crops, the image itself else.
        seed: Of the bootstrap.
    """
    _, number = np.unique(groups, return_inverse=True)
    hits = np.bincount(number, weights=correct)
    sizes = np.bincount(number)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(sizes), (BOOTSTRAPS, len(sizes)))
    accuracies = hits[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(accuracies, [0.025, 0.975])
    return Interval(float(np.mean(correct)), float(low), float(high), "images")


def origins(sources: np.ndarray) -> np.ndarray:
    """Name what each image counts under: its generator, or `real/CONTENT` for a crop."""
    names = sources.astype(str).tolist()
    return np.array(["/".join(n.split("/")[:2]) if n.startswith("real/") else n for n in names])


def drawn_together(sources: np.ndarray) -> np.ndarray:
    """Number what a bootstrap draws as one: the crops of a photograph, else each image alone."""
    names = [
        name if name.startswith("real/") and name.count("/") > 1 else str(i)
        for i, name in enumerate(sources.astype(str).tolist())
    ]
    return np.unique(names, return_inverse=True)[1]


def generator_accuracies(predictions: Predictions) -> dict[str, Interval]:
    """Accuracy on each generator, and on each content's photographs (Real by photograph)."""
    origin = origins(predictions.sources)
    rows = {}
    for name in sorted(set(origin)):
        member = origin == name
        groups = drawn_together(predictions.sources[member])
        rows[str(name)] = bootstrap_accuracy(predictions.correct[member], groups)
    return rows


def setup_accuracy(per_generator: Iterable[Interval]) -> Interval:
    """Mean accuracy over generators, each counted once.

    With three or more, a t-interval over the generators' accuracies, cut to [0, 1]: what to
    expect of one more such generator set. With fewer, the mean of the image bootstraps,
    conditional on these generators.
    """
    rows = list(per_generator)
    values = [row.value for row in rows]
    if len(values) < 3:
        mean = float(np.mean(values))
        low, high = (float(np.mean([getattr(r, end) for r in rows])) for end in ("low", "high"))
        return Interval(mean, low, high, "images, conditional on these generators")
    mean, low, high = mean_interval(values)
    return Interval(mean, max(0.0, low), min(1.0, high), "generators")


def resampled(sources: int) -> str:
    """Say what the interval of a set-up's accuracy is over, given its number of sources."""
    if sources >= 3:
        return f"interval over {sources} sources"
    if sources == 1:
        return "interval over images, one source"
    return f"interval over images, conditional on these {sources} sources"


@dataclass(frozen=True)
class Row:
    """One figure of the results table."""

    method: str
    setup: str
    metric: str
    value: float
    low: float
    high: float
    images: int
    generators: int


def summarise(method: str, setup: str, predictions: Predictions) -> list[Row]:
    """Make a set-up's rows: mean accuracy, macro F1, recall a class, accuracy a generator."""
    each = generator_accuracies(predictions)
    overall = setup_accuracy(each.values())
    count, truth, predicted = len(predictions.truth), predictions.truth, predictions.predicted
    # Accuracies count photographs of one content as one more generator.
    rows = [
        Row(method, setup, "accuracy", overall.value, overall.low, overall.high, count, len(each))
    ]
    present = sorted(set(truth.tolist()))
    macro = f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
    nan = float("nan")
    rows.append(Row(method, setup, "macro F1", float(macro), nan, nan, count, len(each)))
    recalls = recall_score(truth, predicted, labels=present, average=None, zero_division=0)
    for number, recall in zip(present, recalls, strict=True):
        member = truth == number
        sources = predictions.sources[member]
        interval = bootstrap_accuracy(predictions.correct[member], drawn_together(sources))
        rows.append(
            Row(
                method, setup, f"recall {predictions.classes[number]}", float(recall),
                interval.low, interval.high, len(sources), len(set(origins(sources))),
            )
        )  # fmt: skip
    for name, interval in each.items():
        size = int(np.sum(origins(predictions.sources) == name))
        figures = (interval.value, interval.low, interval.high)
        rows.append(Row(method, setup, f"accuracy {name}", *figures, size, 1))
    return rows


def confusion(predictions: Predictions) -> pd.DataFrame:
    """Confusion matrix: true classes as rows, predicted as columns, each row summing to 1."""
    present = sorted(set(predictions.truth.tolist()))
    matrix = confusion_matrix(
        predictions.truth, predictions.predicted, labels=range(len(predictions.classes))
    )[present]
    names = [predictions.classes[k] for k in present]
    return pd.DataFrame(
        matrix / matrix.sum(axis=1, keepdims=True), names, list(predictions.classes)
    )


def write_results(rows: Sequence[Row], folder: Path, **more: object) -> None:
    """Write `results.json` (all rows, and more) and `results.md` (accuracy by set-up)."""
    with atomic_path(folder / "results.json") as temporary:
        temporary.write_text(results_json(rows, **more) + "\n", encoding="utf-8")
    with atomic_path(folder / "results.md") as temporary:
        temporary.write_text(results_table(rows), encoding="utf-8")


def results_json(rows: Sequence[Row], **more: object) -> str:
    """Write rows, and more under its own keys, as one JSON object; what is NaN is null."""
    found = for_json({"rows": [asdict(row) for row in rows], **more})
    return json.dumps(found, indent=1, allow_nan=False)


def results_table(rows: Sequence[Row], metric: str = "accuracy") -> str:
    """Markdown table of one figure: a line a method, a column a set-up, 95% intervals."""
    accuracies = {(r.method, r.setup): r for r in rows if r.metric == metric}
    setups = list(dict.fromkeys(setup for _, setup in accuracies))
    lines = []
    for method in dict.fromkeys(m for m, _ in accuracies):
        found = [accuracies.get((method, setup)) for setup in setups]
        cells = [str(Interval(r.value, r.low, r.high, "")) if r else "" for r in found]
        lines.append([storable(method), *cells])
    return markdown_table(pd.DataFrame(lines, columns=["method", *map(storable, setups)])) + "\n"


def markdown_table(table: pd.DataFrame) -> str:
    """Write a table as Markdown, without its index; names in it are shown as they are."""
    rows = [table.columns, *table.to_numpy(object)]
    lines = ["| " + " | ".join(map(for_markdown, row)) + " |" for row in rows]
    lines.insert(1, "|---" * len(table.columns) + "|")
    return "\n".join(lines)


def write_predictions(predictions: Predictions, images: ImageSet, path: Path) -> None:
    r"""Write one row an image as Parquet: path, source, true and predicted class, probabilities.

    A byte of a name that is no UTF-8 is written as `\xe9`.
    """
    classes = [storable(name) for name in predictions.classes]
    table = pd.DataFrame(
        {
            "path": [storable(p) for p in images.paths],
            "source": [storable(source) for source in predictions.sources],
            "truth": [classes[k] for k in predictions.truth],
            "predicted": [classes[k] for k in predictions.predicted],
            "unknown_score": predictions.unknown_scores,
        }
    )
    for number, name in enumerate(classes):
        table[f"p_{name}"] = predictions.probabilities[:, number]
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        table.to_parquet(stream)
