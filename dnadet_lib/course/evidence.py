"""What the lessons and the site say about the shipped table: abroad, and how its rows were made."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dnadet_lib.bench import ladder
from dnadet_lib.bench.methods import (
    PLAIN,
    RIVALS,
    SHIPPED,
    all_methods,
    best_settings,
    networks,
    tuned_as,
)
from dnadet_lib.bench.tables import differences, mean_rows
from dnadet_lib.evaluation.results import Row, results_table
from dnadet_lib.presets import Preset, get_preset
from dnadet_lib.zoo.abroad import read_abroad
from dnadet_lib.zoo.manifest import CLASSES
from dnadet_lib.zoo.rendering import POCKET

ABROAD = "abroad"
PUBLISHED = "raw, all"  # the row of the published recipe, in our size
ABOUT_RIVALS = {
    "residual correlation": "the mean residual of each class is its fingerprint, and the best "
    "correlation names an image (F. Marra et al.: *Do GANs Leave Artificial Fingerprints?* MIPR "
    "2019). Nothing is trained",
    "DCT regression": "logistic regression on the standardised logarithms of DCT coefficients "
    "(J. Frank et al.: *Leveraging Frequency Analysis for Deep Fake Image Recognition*. ICML 2020)",
    "DCT-CNN": "a small convolutional network on the same coefficients (J. Frank et al. 2020), "
    "trained for 10 passes",
    "AttNet": "a plain convolutional network on whole images, without batch norm (N. Yu, L. Davis, "
    "M. Fritz: *Attributing Fake Images to GANs*. ICCV 2019)",
}


# Abroad ------------------------------------------------------------------------------------------


def classes_abroad() -> dict[str, str]:
    """Map each generator abroad to its class."""
    return {generator.name: generator.architecture for generator in read_abroad()}


def abroad_lines(
    rows: Sequence[Row], table: pd.DataFrame, classes: Mapping[str, str] | None = None
) -> list[str]:
    """Say whether any row of the table recognises the generators of other code.

    A row has to clear both guessing and a constant answer, the most frequent class.

    Args:
        rows: Of the suite.
        table: As `tables.generator_table` makes it.
        classes: Generator -> class; by default those of the data.

    Returns:
        Sentences, the last one with the verdict; none where nothing abroad was measured.
    """
    found = [row for row in rows if (row.metric, row.setup) == ("accuracy", ABROAD)]
    if not found:
        return []
    best = max(found, key=lambda row: row.value)
    each = table.loc[best.method].loc[ABROAD].mean(axis=1)
    owners = pd.Series(each.index.map(classes if classes is not None else classes_abroad()))
    guessing, constant = 1 / len(CLASSES), owners.value_counts(normalize=True).max()
    above, clear = ([r.method for r in found if r.low > bar] for bar in (guessing, constant))
    lines = [
        f"Abroad, {len(each)} generators. Highest of {len(found)} rows, picked by looking at this "
        f"test: {_told(best)}; its generators lie between {each.min():.2f} ({each.idxmin()}) and "
        f"{each.max():.2f} ({each.idxmax()}).",
        *(
            f"The published recipe, in our small size: {_told(row)}."
            for row in found if row.method == PUBLISHED
        ),
        f"The interval lies above guessing ({guessing:.2f}) in {_count(above)} of {len(found)} "
        f"rows, and above always naming one class ({constant:.2f}) in {_count(clear)}.",
    ]
    if clear:
        return [*lines, "Whether these solve it, the single generators say."]
    verdict = "No row solves it: with these data recognition across implementations is not shown."
    return [*lines, verdict]


def _told(row: Row) -> str:
    return f"{row.method!r}, {row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} ({'; '.join(names)})" if names else "none"


# How the rows were made --------------------------------------------------------------------------


def rung_lines() -> list[str]:
    """Write a line of Markdown about the training of each network of the table, from its preset."""
    images = POCKET.train * (len(CLASSES) - 1) + POCKET.photos[0]
    settings = best_settings()
    lines = []
    for name, (preset, start) in networks().items():
        first = _first_stage(get_preset(start)) if start else "none"
        if preset.discriminant:
            copies = f", as they are and in {len(preset.changes)} changed copies"
            second = f"solved on {images:,} images{copies if preset.changes else ''}; no steps"
        else:
            steps = POCKET.train // preset.items
            seen = f"{preset.patches} patches of each" if preset.patches else "whole images"
            rate = settings.get(tuned_as(name), {}).get(
                "learning_rate", preset.learning_rate
            )
            second = (
                f"{preset.epochs} passes of {steps} steps over {images:,} images, "
                f"{preset.items * len(CLASSES)} a step, {seen}; learning rate {rate:g}"
            )
        lines.append(f"| {name} | {first} | {second} |")
    return ["| row | stage 1 | stage 2 |", "|---|---|---|", *lines]


def _first_stage(preset: Preset) -> str:
    steps = preset.epochs * (preset.steps_per_epoch or 0)
    return (
        f"{steps:,} steps of {preset.items} transformed crops of photographs, {preset.patches} "
        "patches of each"
    )


def rival_lines(tuning: Path) -> list[str]:
    """Write a line of Markdown about each rival: what it is, its paper, and what was tuned."""
    tried = pd.read_csv(tuning)["method"].value_counts() if tuning.is_file() else {}
    best = best_settings()
    lines = []
    for name in RIVALS:
        chosen = json.dumps(best.get(name, {})).strip("{}").replace('"', "")
        lines.append(
            f"- **{name}**: {ABOUT_RIVALS[name]}. Settings tried on dev: {tried.get(name, 0)}; "
            f"taken: {chosen or 'the default'}."
        )
    return lines


def table_notes(folder: Path) -> str:
    """Write what the site says below the shipped table, as Markdown.

    Args:
        folder: With the suite's `results.json` and `accuracy.csv`; without them there are no notes.
    """
    if not all((folder / name).is_file() for name in ("results.json", "accuracy.csv")):
        return ""
    rows, table = ladder.read_rows(folder), ladder.read_accuracies(folder)
    parts = []
    if SHIPPED in table.index.unique("method"):
        counts = pd.Series(0, index=table.index.unique("setup"))
        leads = mean_rows(differences(table, SHIPPED), "lead", counts)
        parts.append(
            f"The lead above is that of *{PLAIN}*, whose classes were learned from unchanged "
            f"images alone, as in all rows but *{SHIPPED}*. Lead of *{SHIPPED}*, the shipped "
            "checkpoint's row, in the same way:"
        )
        parts.append(results_table(leads, "lead"))
    if abroad := abroad_lines(rows, table):
        parts += ["<h4>Does any row solve <em>abroad</em>?</h4>", " ".join(abroad)]
        parts.append(
            'In all other set-ups "same architecture" means one of this project\'s own four plans, '
            "built by the same code."
        )
    if set(all_methods()) & set(table.index.unique("method")):
        parts += ["<h4>What each row was trained with</h4>", "\n".join(rung_lines()), LADDER_NOTE]
        parts += ["<h4>The rivals</h4>", RIVALS_NOTE, "\n".join(rival_lines(folder / "tuning.csv"))]
    return "\n\n".join(parts) + "\n"


LADDER_NOTE = (
    "Learning rates were chosen on dev for each kind of row, so rows may differ in theirs. The "
    "step to *+ pre-training* adds more than a part: it adds a whole training on photographs, "
    "many times as long as stage 2. The ladder adds parts in one order. What a part gains is "
    "its gain in this order, at this place: one that comes late, near the ceiling, can gain "
    "little."
)
RIVALS_NOTE = (
    "They learn from the same images as stage 2, and see no photographs beyond those. What was "
    "tuned, was tuned on dev generators, with one training seed."
)
