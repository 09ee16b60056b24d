"""The table of the suite: accuracies and leads with intervals, and its files."""

from pathlib import Path

import numpy as np
import pandas as pd

from dnadet_lib.data import origins
from dnadet_lib.evaluation.intervals import (
    bootstrap_accuracy,
    drawn_together,
    mean_interval,
    mean_of_setups,
)
from dnadet_lib.evaluation.results import Row, results_json, results_table, setup_accuracy
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.text import for_markdown, table_for_csv

SETUPS = ("closed", "seed", "loss", "finetune", "dataset")
CROSS = SETUPS[1:]  # something changed against training
MEAN = "mean of the four"


def generator_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by method, set-up and generator, in the predictions' order; a column per seed."""
    found = predictions.assign(
        correct=predictions["truth"] == predictions["predicted"],
        generator=origins(predictions["source"].to_numpy()),
    )
    keys = ["method", "setup", "generator"]
    means = found.groupby([*keys, "seed"])["correct"].mean().unstack()
    return means.reindex(pd.MultiIndex.from_frame(found[keys].drop_duplicates()))


def accuracy_rows(predictions: pd.DataFrame) -> list[Row]:
    """Make every method's rows: each generator, each set-up's mean, the mean of the four.

    A generator's interval is over its images; a set-up's over generators and training seeds, or, of
    fewer than three generators, conditional on these.
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

    The table is one of `generator_table`, or of differences. An "accuracy" has its interval cut to
    [0, 1]; `images` counts those of every set-up.
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
    """Subtract each method's accuracies from those of a reference, which must be there."""
    methods = table.index.unique("method")
    if reference not in methods:
        raise ValueError(f"no method {reference!r} to compare with: {', '.join(methods)}")
    others = table.drop(index=reference, level="method")
    own = table.loc[reference].reindex(others.index.droplevel("method"))
    return others.rsub(own.to_numpy())


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
        predictions: One row per image.
        reference: The method whose lead over each other one is given, paired by generator.
        folder: Gets `results.json`, `accuracy.csv` and `results.md`.
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
