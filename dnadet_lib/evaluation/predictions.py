"""What a model says of a set-up's images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dnadet_lib.attribution import (
    Features,
    may_name,
    probabilities_of,
    unknown_score,
)
from dnadet_lib.data import ImageSet
from dnadet_lib.inference import Source, feature_batches, readable_features
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.text import storable, table_for_csv


@dataclass(frozen=True)
class Predictions:
    """What a model says of a set-up's images."""

    truth: np.ndarray  # (N,) class numbers
    probabilities: np.ndarray  # (N, K)
    embeddings: np.ndarray  # (N, D)
    unknown_scores: np.ndarray  # (N,)
    sources: np.ndarray  # (N,) generator or folder, or `real/CONTENT/PHOTOGRAPH` for crops
    classes: tuple[str, ...]  # names of the classes
    told: np.ndarray | None = None  # (N,) whether `attribute` names the class; None: not asked

    @property
    def predicted(self) -> np.ndarray:
        """(N,) the most probable class numbers."""
        return self.probabilities.argmax(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """(N,) whether the prediction is right."""
        return self.predicted == self.truth


def predict(model: DNADet, images: ImageSet) -> Predictions:
    """Run a model over a set-up in batches; classes are matched with the model's by name.

    Raises:
        OSError: an image cannot be read; it is named.
        ValueError: an image is smaller than a patch, or its class is none of the model's.
    """
    return predict_images(model, images, images.paths)


def predict_images(model: DNADet, images: ImageSet, pixels: Iterable[Source]) -> Predictions:
    """Run a model over the images of a set-up as `pixels` gives them; errors as `predict`."""
    numbered = images.with_classes(model.classes)
    return joined([
        predictions_of(model, numbered.take(np.array(numbers)), features)
        for numbers, features in feature_batches(model, pixels)
    ])


def predict_readable(
    model: DNADet, images: ImageSet, errors: list[str]
) -> tuple[ImageSet, Predictions | None]:
    """Run a model over the images of a set-up that can be read, in batches; as `predict`.

    `errors` gets a line for each other file. Returns the images that were read, and what the model
    says of them, None if there are none.
    """
    numbered = images.with_classes(model.classes)
    kept: list[int] = []
    parts = []
    for numbers, features in readable_features(model, images.paths, errors):
        kept += numbers
        parts.append(predictions_of(model, numbered.take(np.array(numbers)), features))
    return images.take(np.array(kept, int)), joined(parts) if parts else None


def predictions_of(model: DNADet, images: ImageSet, features: Features) -> Predictions:
    """Say what a model makes of images, numbered as its classes are, whose features are there."""
    return Predictions(
        images.labels, probabilities_of(model, features.embeddings).cpu().numpy(),
        features.embeddings.cpu().numpy(), unknown_score(model, features.traces).cpu().numpy(),
        np.array(images.makers), images.classes, may_name(model, features.embeddings),
    )  # fmt: skip


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Put predictions of one model together."""
    names = ["truth", "probabilities", "embeddings", "unknown_scores", "sources"]
    names += ["told"] if all(part.told is not None for part in parts) else []
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Predictions(**arrays, classes=parts[0].classes)


def predictions_table(predictions: Predictions, images: ImageSet) -> pd.DataFrame:
    r"""Make one row per image; a byte of a name that is no UTF-8 becomes `\xe9`."""
    classes = [storable(name) for name in predictions.classes]
    table = pd.DataFrame({
        "path": [storable(p) for p in images.paths],
        "source": [storable(source) for source in predictions.sources],
        "truth": [classes[k] for k in predictions.truth],
        "predicted": [classes[k] for k in predictions.predicted],
        "unknown_score": predictions.unknown_scores,
    })
    if predictions.told is not None:
        table["told"] = predictions.told
    for number, name in enumerate(classes):
        table[f"p_{name}"] = predictions.probabilities[:, number]
    return table


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write a table of predictions as CSV where the file's name ends so, else as Parquet."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        if path.suffix.lower() == ".csv":
            table_for_csv(table).to_csv(stream, index=False)
        else:
            table.to_parquet(stream)
