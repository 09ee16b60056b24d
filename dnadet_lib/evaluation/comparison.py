"""Where two models disagree."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dnadet_lib.attribution import probabilities_of
from dnadet_lib.inference import readable_features
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.text import storable


def probabilities_by_name(
    model: DNADet, paths: Sequence[Path], classes: Sequence[str], errors: list[str]
) -> pd.DataFrame:
    """Attribute the images that can be read: a row for each, by position, and a column per class.

    A class that the model does not have gets 0. `errors` gets a line for each other image.
    """
    names = list(model.classes)
    parts = [
        pd.DataFrame(probabilities_of(model, features.embeddings).cpu().numpy(), kept, names)
        for kept, features in readable_features(model, paths, errors)
    ]
    table = pd.concat(parts) if parts else pd.DataFrame(columns=names)
    return table.reindex(columns=classes, fill_value=0)


def compared(
    first: DNADet, second: DNADet, paths: Sequence[Path]
) -> tuple[pd.DataFrame, list[str]]:
    """Compare what two models say of images, classes matched by name.

    Returns:
        A table with a row per image, the largest disagreement first, and a line for each image that
        one of them could not read. Columns: path; a and b, the most probable classes; p_a and p_b,
        their probabilities; difference, half the sum of the differences of all probabilities, from
        0 to 1 (total variation).
    """
    classes, errors = list(dict.fromkeys([*first.classes, *second.classes])), list[str]()
    a, b = (probabilities_by_name(model, paths, classes, errors) for model in (first, second))
    both = a.index.intersection(b.index)
    if both.empty:
        return pd.DataFrame(), list(dict.fromkeys(errors))
    a, b = a.loc[both], b.loc[both]
    table = pd.DataFrame({
        "path": [storable(paths[position]) for position in both],
        "a": a.idxmax(axis=1), "b": b.idxmax(axis=1), "p_a": a.max(axis=1), "p_b": b.max(axis=1),
        "difference": np.abs(a.to_numpy() - b.to_numpy()).sum(axis=1) / 2,
    })  # fmt: skip
    table = table.sort_values("difference", ascending=False, kind="stable", ignore_index=True)
    return table, list(dict.fromkeys(errors))


def differing_pairs(table: pd.DataFrame) -> list[tuple[tuple[str, str], int]]:
    """Count the images of each pair of classes that differ, the most frequent first."""
    apart = table[table["a"] != table["b"]]
    counts = apart.groupby(["a", "b"], sort=True).size().sort_values(ascending=False, kind="stable")
    return [(pair, int(count)) for pair, count in counts.items()]
