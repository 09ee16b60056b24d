"""Results of a set-up: rows with intervals, tables and files of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, f1_score, recall_score

from dnadet_lib.data import origins
from dnadet_lib.evaluation.intervals import (
    Interval,
    bootstrap_accuracy,
    drawn_together,
    mean_interval,
)
from dnadet_lib.evaluation.predictions import Predictions
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.text import for_json, for_markdown, storable


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

    With three or more, a t-interval over their accuracies, cut to [0, 1]: what to expect of one
    more such set. With fewer, the mean of the image bootstraps, conditional on these generators.
    """
    rows = list(per_generator)
    values = [row.value for row in rows]
    if len(values) < 3:
        mean = float(np.mean(values))
        low, high = (float(np.mean([getattr(r, end) for r in rows])) for end in ("low", "high"))
        return Interval(mean, low, high, "images, conditional on these generators")
    mean, low, high = mean_interval(values)
    return Interval(mean, max(0.0, low), min(1.0, high), "generators")


def scored_accuracy(
    truth: np.ndarray, probabilities: np.ndarray, sources: np.ndarray, classes: tuple[str, ...]
) -> Interval:
    """Mean accuracy over generators of probabilities (N, K) against class numbers (N,)."""
    count = len(truth)
    predictions = Predictions(
        truth, probabilities, np.zeros((count, 0)), np.zeros(count), sources, classes
    )
    return setup_accuracy(generator_accuracies(predictions).values())


def lead(first: Predictions, second: Predictions) -> Interval:
    """How far one model is ahead of another on the same images: difference in mean accuracy.

    Each generator, and each content's photographs, counts once and is compared with itself. The
    95% interval is over them.
    """
    ours, theirs = generator_accuracies(first), generator_accuracies(second)
    gains = [ours[name].value - theirs[name].value for name in ours]
    return Interval(*mean_interval(gains), "generators")


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
    each, origin = generator_accuracies(predictions), origins(predictions.sources)
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
        size = int(np.sum(origin == name))
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


def figures_table(rows: Sequence[Row], at_most: int = 40) -> str:
    """Markdown table of all figures of one set-up: a line each, with its 95% interval."""
    lines = [
        [row.metric, f"{row.value:.3f}",
         "" if np.isnan(row.low) else f"[{row.low:.3f}, {row.high:.3f}]", row.images]
        for row in rows[:at_most]
    ]  # fmt: skip
    more = len(rows) - at_most
    table = pd.DataFrame(lines, columns=["figure", "value", "95% interval", "images"])
    return markdown_table(table) + (f"\n\nand {more} figures more (--json)" if more > 0 else "")


def confusion_table(matrix: pd.DataFrame) -> str:
    """Markdown table of `confusion`: a line per true class, shares of what it is called."""
    table = matrix.map("{:.3f}".format).reset_index(names="true class, called")
    return markdown_table(table)


def markdown_table(table: pd.DataFrame) -> str:
    """Write a table as Markdown, without its index; names in it are shown as they are."""
    rows = [table.columns, *table.to_numpy(object)]
    lines = ["| " + " | ".join(map(for_markdown, row)) + " |" for row in rows]
    lines.insert(1, "|---" * len(table.columns) + "|")
    return "\n".join(lines)
