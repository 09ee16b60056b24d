"""Measure the evidence and write `data/RESULTS.md`.

    python data/make_results.py suite         # the table; hours from scratch, resumes row by row
    python data/make_results.py table         # the table of those rows that are there already
    python data/make_results.py figure        # the table's figure, from its rows in results.json
    python data/make_results.py position      # what one cell of the grid teaches about the others
    python data/make_results.py unknown       # architectures that the model does not know
    python data/make_results.py calibration
    python data/make_results.py robustness
    python data/make_results.py abroad        # generators that other code made
    python data/make_results.py verdicts      # what is said of changed copies, and how surely
    python data/make_results.py page          # RESULTS.md from what the steps before left
    python data/make_results.py               # all of it

Every step leaves its figures in `data/results/`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from calibration import (
    brier_score,
    calibration_interval,
    expected_calibration_error,
    reliability,
)
from evidence import (
    accuracy_curves,
    block_table,
    degradation_curves,
    enlargement_table,
    open_set_table,
    reliability_curve,
    unknown_scores,
    with_repeated_seed,
)

from dnadet_lib.attribution import probabilities_of
from dnadet_lib.bench.ladder import read_rows
from dnadet_lib.bench.methods import PLAIN, SHIPPED, TOP, all_methods, make_method
from dnadet_lib.bench.position import INNER, compare_labels, generated, mean_maps, study_table
from dnadet_lib.bench.suite import run_suite
from dnadet_lib.bench.tables import (
    SETUPS,
    differences,
    generator_table,
    image_counts,
    mean_rows,
    write_suite,
)
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.data import ImageSet, load_images, origins
from dnadet_lib.evaluation.intervals import drawn_together, mean_interval, mean_of_setups
from dnadet_lib.evaluation.open_set import reference_traces
from dnadet_lib.evaluation.predictions import Predictions, predict
from dnadet_lib.evaluation.results import markdown_table, results_table
from dnadet_lib.evaluation.robustness import DEGRADATIONS, resize_back
from dnadet_lib.images.changes import webp
from dnadet_lib.inference import embed_images, image_features
from dnadet_lib.model import DNADet
from dnadet_lib.plots.results import (
    position_maps,
    suite_dots,
)
from dnadet_lib.plots.style import save, use_style
from dnadet_lib.plumbing.files import atomic_path, claimed_folder
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.plumbing.stopping import ending_cleanly
from dnadet_lib.transforms import jpeg
from dnadet_lib.unknown import LabelledTraces, held_out_distances, relative_distance
from dnadet_lib.zoo.abroad import read_abroad
from dnadet_lib.zoo.manifest import CLASSES, read_manifest
from dnadet_lib.zoo.rendering import image_root, render
from dnadet_lib.zoo.setups import load_setup

DATA = Path(__file__).resolve().parent
RESULTS = DATA / "results"
MODEL = PLAIN  # whose unknown score and calibration are measured
CENTRE = (2, 2)
POSITION_IMAGES = {"train": 1000, "test": 300}  # a generator
SEEDS = (0, 1, 2, 3)
WORKERS = 2  # that train rows of the table side by side
ROBUSTNESS_IMAGES = {PLAIN: 30, SHIPPED: 10}  # a generator
VERDICT_IMAGES = {"Real": 150, "": 30}  # of a content's photographs, of a generator
SURE = 0.9  # probability of a photograph that would mislead
COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # what test images undergo
    "as they are": lambda image: image,
    **{f"JPEG {q}": partial(jpeg, rng=np.random.default_rng(0), quality=q)
       for q in (95, 90, 75, 50)},
    "WebP 80": partial(webp, quality=80),
    "0.75x and back": lambda image: resize_back(image, 0.75, np.random.default_rng()),
    "1.5x and back": lambda image: resize_back(image, 1.5, np.random.default_rng()),
    "1.5x": lambda image: cv2.resize(image, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC),
}
BLOCK_IMAGES = 100  # a generator
PANELS = {d.name: d.unit + "\n(a pre-training class)" * d.pretrained for d in DEGRADATIONS}
GUARD = "relative distance"  # the score that `attribute` refuses images by
ANSWERS = "nearest right", "named rightly", "cannot tell", "refused", "sure and known as Real"
ABROAD = ["checkpoint", "split", "generator", "class", *ANSWERS[:-1], "taken for"]  # shown
CHANGED = ("seed", "loss", "finetune")  # unseen instances, of the content that was learned


def save_table(table: pd.DataFrame, name: str) -> None:
    """Write a table as CSV."""
    with atomic_path(RESULTS / f"{name}.csv") as temporary:
        table.round(4).to_csv(temporary, index=False)


def suite(only_there: bool = False) -> None:
    """Fill the table; at will from the rows that are there."""
    work = build_folder() / "suite" / "pocket"
    methods = [make_method(name) for name in all_methods()]
    setups = (*SETUPS, "abroad")
    predictions = run_suite(
        methods, image_root(), work, setups=setups, only_there=only_there, workers=WORKERS
    )
    write_suite(predictions, PLAIN, RESULTS)
    suite_figure()
    save_table(confusions(predictions), "confusions")
    every, counts = generator_table(predictions), image_counts(predictions)
    leads = mean_rows(differences(every, TOP), "lead", counts)
    with atomic_path(RESULTS / "leads.md") as temporary:
        temporary.write_text(results_table(leads, "lead"), encoding="utf-8")
    table = every.loc[[PLAIN, TOP], ["seed"], :]
    faulty = with_repeated_seed(table).rename("{}, first seed repeated".format, level="method")
    repeated = [mean_rows(part, "accuracy", counts) for part in (table, faulty)]
    with atomic_path(RESULTS / "fault_a.md") as temporary:
        temporary.write_text(results_table(sum(repeated, [])), encoding="utf-8")


def suite_figure() -> None:
    """Draw the table's rows, which `results.json` holds."""
    save(suite_dots(read_rows(RESULTS)), RESULTS / "results.png")


def confusions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Say what each method takes the images of each generator for.

    Returns:
        Columns method, setup, generator, predicted, share (of its images, over all seeds).
    """
    named = predictions.assign(generator=origins(predictions["source"].to_numpy()))
    groups = named.groupby(["method", "setup", "generator"], sort=False)["predicted"]
    return groups.value_counts(normalize=True).rename("share").reset_index()


def position() -> None:
    """Learn one cell, test all: by architecture and by weights, four sets of generators each."""
    manifest = read_manifest()
    own_loss = {g.architecture: g.loss for g in manifest if g.role == "train"}
    total = POSITION_IMAGES["train"] + POSITION_IMAGES["test"]
    images = {
        (g.architecture, g.seed): generated([g], total, "test")[0]
        for g in manifest
        if g.loss == own_loss.get(g.architecture)
        and (g.content, g.finetuned_from) == ("horizons", "")
        and g.seed in SEEDS
    }
    learned = [CENTRE, *(cell for cell in INNER if cell != CENTRE)]
    studies = compare_labels(images, POSITION_IMAGES["train"], len(SEEDS), learned=learned)
    save_table(study_table(studies), "position")
    maps = {f"label: {label}": accuracy for label, accuracy in mean_maps(studies).items()}
    save(position_maps(maps, CENTRE), RESULTS / "position.png")


def unknown() -> None:
    """Score unknown architectures against unseen instances of known ones, and compare blocks.

    The model knows dev generators; here each is scored as if it did not.
    """
    model, train = load_model(MODEL), load_setup("closed", "train")
    learned = reference_traces(model, train)
    tables, refused = [], []
    for split in ("dev", "test"):
        known, images = instances(split), load_setup("unknown", split)
        features = image_features(model, known.paths)
        correct = probabilities_of(model, features.embeddings).argmax(dim=1).numpy() == known.labels
        scores = unknown_scores(model, features)
        if split == "dev":
            traces = LabelledTraces(features.traces, known.labels)
            makers = np.array(known.makers)
            squares = held_out_distances(learned, traces, makers, model.trace_sizes)
            scores[GUARD] = relative_distance(squares).numpy()
        others = unknown_scores(model, image_features(model, images.paths))
        names = np.array(images.sources)
        tables.append(open_set_table(scores, correct, others, names).assign(split=split))
        every = np.concatenate([others[GUARD], scores[GUARD]])
        whose = np.concatenate([names, origins(np.array(known.sources))])
        means = pd.Series(every > model.threshold).groupby(whose).mean()
        refused.append(pd.DataFrame({"split": split, "generator": means.index, "refused": means}))
    known = first_of_each(instances("dev"), BLOCK_IMAGES)
    save_table(block_table(model, train, known, load_setup("unknown", "dev")), "unknown_blocks")
    save_table(pd.concat(tables), "unknown")
    save_table(pd.concat(refused), "refused")


def instances(split: str) -> ImageSet:
    """Unseen instances of known architectures, and photographs."""
    if split == "dev":
        return load_setup("dev")
    closed = load_setup("closed")  # the changed generators bring no photographs
    known = closed.take(np.flatnonzero(closed.labels == CLASSES.index("Real")))
    for setup in CHANGED:
        known = known.joined(load_setup(setup).with_classes(known.classes))
    return known


def at_temperature(model: DNADet, predictions: Predictions, temperature: float) -> np.ndarray:
    """Probabilities (N, K) of a set-up at a temperature."""
    with torch.no_grad():
        logits = model.logits(torch.from_numpy(predictions.embeddings))
    return (logits / temperature).softmax(dim=1).numpy()


def calibration() -> None:
    """Compare confidence with accuracy, before and after temperature scaling on dev; by seed."""
    model = load_model(MODEL)
    rows, tables = [], {}
    for setup in ("closed", *CHANGED, "dataset"):
        predictions = predict(model, load_setup(setup))
        for scaled, temperature in (("before", 1.0), ("after", model.temperature)):
            probabilities = at_temperature(model, predictions, temperature)
            if scaled == "after":
                tables[setup] = reliability(probabilities, predictions.truth)
            error = expected_calibration_error(probabilities, predictions.truth)
            score = brier_score(probabilities, predictions.truth)
            groups = drawn_together(predictions.sources)
            low, high = calibration_interval(probabilities, predictions.truth, groups)
            rows.append(
                {"setup": setup, "scaling": scaled, "temperature": temperature,
                 "calibration error": error, "low": low, "high": high, "Brier score": score}
            )  # fmt: skip
    save_table(pd.DataFrame(rows), "calibration")
    figure, axes = plt.subplots(1, len(tables), figsize=(3.6 * len(tables), 4))
    for axis, (setup, table) in zip(axes, tables.items(), strict=True):
        reliability_curve(axis, table, setup)
    save(figure, RESULTS / "calibration.png")
    work = build_folder() / "suite" / "pocket"
    scores = run_suite([make_method(PLAIN)], image_root(), work, only_there=True)
    save_table(calibration_by_seed(scores), "calibration_seeds")


def calibration_by_seed(scores: pd.DataFrame) -> pd.DataFrame:
    """Measure the calibration error of each training seed of a method, by set-up.

    Args:
        scores: As `run_suite` returns them.

    Returns:
        Columns setup, seed, accuracy, confidence (its mean), calibration error.
    """
    rows = []
    for (setup, seed), part in scores.groupby(["setup", "seed"], sort=False):
        probabilities = part[[f"score {name}" for name in CLASSES]].to_numpy()
        truth = part["truth"].map(CLASSES.index).to_numpy()
        rows.append(
            {"setup": setup, "seed": seed,
             "accuracy": np.mean(probabilities.argmax(axis=1) == truth),
             "confidence": probabilities.max(axis=1).mean(),
             "calibration error": expected_calibration_error(probabilities, truth)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def robustness() -> None:
    """Measure accuracy on degraded images; figures of a checkpoint that are there are kept."""
    kept = pd.read_csv(RESULTS / "robustness.csv").groupby("checkpoint")
    there = {name: curves for name, curves in kept}
    curves = pd.concat(
        [there[n] if n in there else degraded_accuracy(n) for n in (PLAIN, SHIPPED)]
    )
    save_table(curves, "robustness")
    means = robustness_means(curves[curves["checkpoint"] == SHIPPED])
    save(degradation_curves(means, PANELS), RESULTS / "robustness.png")


def degraded_accuracy(name: str) -> pd.DataFrame:
    """Measure a checkpoint on degraded images: set-ups of new generators, and photographs."""
    model, count = load_model(name), ROBUSTNESS_IMAGES[name]
    sets = {setup: first_of_each(load_setup(setup), count) for setup in CHANGED}
    closed = first_of_each(load_setup("closed"), count)
    sets["Real"] = closed.take(np.flatnonzero(closed.labels == CLASSES.index("Real")))

    def classify(images: np.ndarray) -> np.ndarray:
        features = torch.from_numpy(embed_images(model, images))
        return probabilities_of(model, features).argmax(dim=1).numpy()

    return pd.concat(
        accuracy_curves(
            classify, load_images(images.paths), images.labels, origins(np.array(images.sources))
        ).assign(setup=setup, checkpoint=name)
        for setup, images in sets.items()
    )


def answers(model: DNADet, asked: Sequence[Path | np.ndarray], images: ImageSet) -> pd.DataFrame:
    """Attribute paths or pixels of some labelled images: class, nearest and `ANSWERS` of each."""
    found = model.attribute(asked)
    real = found.probabilities[:, model.classes.index("Real")]
    truth = [images.classes[k] for k in images.labels]
    values = (
        [a == b for a, b in zip(found.labels, truth, strict=True)],
        [a == b for a, b in zip(found.verdicts, truth, strict=True)],
        [verdict is None for verdict in found.verdicts],
        ~found.known,
        (real >= SURE) & found.known,
    )
    columns = dict(zip(ANSWERS, values, strict=True))
    return pd.DataFrame({"class": truth, "nearest": found.labels, **columns})


def verdicts() -> None:
    """Say what the shipped checkpoint answers on changed copies of test images."""
    model, rows = load_model(SHIPPED), []
    for setup in ("closed", *CHANGED, "dataset", "unknown"):
        every = load_setup(setup)
        real = np.array([every.classes[k] == "Real" for k in every.labels])
        images = first_of_each(every.take(np.flatnonzero(~real)), VERDICT_IMAGES[""])
        if real.any():
            own = every.take(np.flatnonzero(real))
            images = images.joined(first_of_each(own, VERDICT_IMAGES["Real"]))
        pixels, names = load_images(images.paths), origins(np.array(images.sources))
        for copies, change in COPIES.items():
            copied = [np.ascontiguousarray(change(image)) for image in pixels]
            table = answers(model, copied, images).assign(generator=names)
            means = table.groupby("generator")[list(ANSWERS)].mean().reset_index()
            rows.append(means.assign(setup=setup, copies=copies))
            print(setup, copies, flush=True)
    save_table(pd.concat(rows), "verdicts")


def abroad() -> None:
    """Say what both checkpoints answer on images of generators abroad, in their own formats."""
    rows = []
    for name in (PLAIN, SHIPPED):
        model = load_model(name)
        for split in ("dev", "test"):
            images = load_setup("abroad", split)
            table = answers(model, images.paths, images).assign(generator=images.sources)
            groups = table.groupby(["generator", "class"], sort=False)
            means = groups[list(ANSWERS)].mean()
            means["taken for"] = groups["nearest"].agg(lambda names: names.mode()[0])
            rows.append(means.reset_index().assign(checkpoint=name, split=split))
    save_table(pd.concat(rows), "abroad")


def enlargement_abroad() -> pd.DataFrame:
    """Read what the rows of the table take test generators abroad for, by how these enlarge."""
    classes = {g.name: g.architecture for g in read_abroad()}
    confused = pd.read_csv(RESULTS / "confusions.csv").query("setup == 'abroad'")
    table = enlargement_table(confused.assign(**{"class": confused["generator"].map(classes)}))
    order = [name for name in all_methods() if name in set(table["method"])]
    return table.set_index("method").loc[order].reset_index()


def verdicts_table() -> str:
    """Average over new generators, all known GANs and photographs, as Markdown."""
    table = pd.read_csv(RESULTS / "verdicts.csv")
    real = table["generator"].str.startswith("real/")
    new = table[table["setup"].isin(CHANGED)].groupby("copies", sort=False)
    every = table[~real & (table["setup"] != "unknown")].groupby("copies", sort=False)
    others = table[table["setup"] == "unknown"].groupby("copies", sort=False)
    photographs = table[real].groupby("copies", sort=False)
    shown = pd.DataFrame({
        "new generators, named rightly": new["named rightly"].mean(),
        "nearest class right": new["nearest right"].mean(),
        "cannot tell": new["cannot tell"].mean(),
        "all GANs, sure and known as Real": every["sure and known as Real"].mean(),
        "unknown GANs, sure and known as Real": others["sure and known as Real"].mean(),
        "unknown GANs, refused": others["refused"].mean(),
        "photographs, named rightly": photographs["named rightly"].mean(),
        "photographs, cannot tell": photographs["cannot tell"].mean(),
    })  # fmt: skip
    return markdown_table(shown.round(3).rename_axis("copies").reset_index())


def robustness_means(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy over the set-ups of new generators, each counted once, with its interval."""
    rows = []
    changed = curves[curves["setup"] != "Real"]
    for (name, strength), part in changed.groupby(["degradation", "strength"], sort=False):
        groups = [values.to_numpy()[:, None] for _, values in part.groupby("setup")["accuracy"]]
        value, low, high = mean_of_setups(groups)
        rows.append((name, strength, value, max(0.0, low), min(1.0, high)))
    return pd.DataFrame(rows, columns=["degradation", "strength", "value", "low", "high"])


def first_of_each(images: ImageSet, count: int) -> ImageSet:
    """Keep the first `count` images of every generator, or of a content's photographs in turn."""
    names = origins(np.array(images.sources))
    turns = pd.Series(images.sources).groupby(images.sources).cumcount().to_numpy()
    order = np.argsort(turns, kind="stable")
    kept = [order[names[order] == name][:count] for name in dict.fromkeys(names.tolist())]
    return images.take(np.concatenate(kept))


def share(values: pd.Series) -> str:
    """Write mean and 95% interval of shares, one a generator or seed, cut to [0, 1]."""
    mean, low, high = mean_interval(values.tolist())
    return f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} [{max(low, 0):.3f}, {min(high, 1):.3f}]"


def difference(values: pd.Series) -> str:
    """Write mean and 95% interval of differences of shares."""
    mean, low, high = mean_interval(values.tolist())
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def summary(name: str, by: list[str], columns: dict[str, Callable[[pd.Series], str]]) -> str:
    """Average the columns of a results table over what is left, as Markdown."""
    table = pd.read_csv(RESULTS / f"{name}.csv")
    return markdown_table(table.groupby(by, sort=False).agg(columns).reset_index())


def changes_table() -> str:
    """Write what candidates for the shipped recipe reach on dev copies, as Markdown."""
    table = pd.read_csv(RESULTS / "changes.csv")
    table["right"] = [
        ", ".join(f"{v:.2f}" for v in (row.horizons, row.stamps, row.abroad, row.photographs))
        for row in table.itertuples()
    ]
    candidates = table["candidate"].unique()
    shown = table.pivot(index="dev copies", columns="candidate", values="right")
    return markdown_table(shown.loc[table["dev copies"].unique(), candidates].reset_index())


def robustness_table() -> str:
    """Write the means of every degradation, and the accuracy on photographs, as Markdown."""
    curves, shown = pd.read_csv(RESULTS / "robustness.csv"), pd.DataFrame()
    for checkpoint, own in curves.groupby("checkpoint"):
        table = robustness_means(own)
        shown["degradation"] = table["degradation"]
        shown["strength"] = table["strength"].map("{:g}".format)
        shown[f"{checkpoint}, new generators"] = [
            f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in table.itertuples()
        ]
        real = own.loc[own["setup"] == "Real", "accuracy"]
        shown[f"{checkpoint}, photographs"] = real.map("{:.3f}".format).to_numpy()
    return markdown_table(shown)


def calibration_table() -> str:
    """Write the calibration errors with their intervals, as Markdown."""
    table = pd.read_csv(RESULTS / "calibration.csv")
    ends = zip(table.pop("low"), table.pop("high"), strict=True)
    table["calibration error"] = [
        f"{value:.3f} [{low:.3f}, {high:.3f}]"
        for value, (low, high) in zip(table["calibration error"], ends, strict=True)
    ]
    return markdown_table(table.round(3))


def calibration_seeds_table() -> str:
    """Write the calibration error of every seed and their mean, as Markdown, a row per set-up."""
    table = pd.read_csv(RESULTS / "calibration_seeds.csv")
    seeds = table.pivot(index="setup", columns="seed", values="calibration error")
    seeds = seeds.loc[table["setup"].unique()]
    means = [share(row) for _, row in seeds.iterrows()]
    shown = seeds.map("{:.3f}".format).add_prefix("seed ").assign(mean=means)
    return markdown_table(shown.reset_index())


def tuning_table() -> str:
    """Write what was tried on the dev generators, the best setting of each row, as Markdown."""
    table = pd.read_csv(RESULTS / "tuning.csv").drop(columns=["images", "minutes"])
    return markdown_table(table.round(3))


def page() -> None:
    """Write `data/RESULTS.md` from the figures that the other steps left."""
    cells = dict.fromkeys(("learned cell", "elsewhere inside", "border"), share)
    text = (DATA / "results_template.md").read_text(encoding="utf-8").format(
        suite=(RESULTS / "results.md").read_text(encoding="utf-8"),
        leads=(RESULTS / "leads.md").read_text(encoding="utf-8"),
        fault_a=(RESULTS / "fault_a.md").read_text(encoding="utf-8"),
        tuning=tuning_table(),
        position=summary("position", ["label"], {**cells, "fall-off": difference}),
        unknown=summary(
            "unknown", ["split", "score"], dict.fromkeys(("auroc", "fpr95", "oscr"), share)
        ),
        blocks=markdown_table(pd.read_csv(RESULTS / "unknown_blocks.csv").round(3)),
        refused=summary("refused", ["split", "generator"], {"refused": share}),
        calibration=calibration_table(),
        calibration_seeds=calibration_seeds_table(),
        robustness=robustness_table(),
        verdicts=verdicts_table(),
        abroad=markdown_table(pd.read_csv(RESULTS / "abroad.csv")[ABROAD].round(2)),
        enlargement=markdown_table(enlargement_abroad().round(2)),
        changes=changes_table(),
        makes=markdown_table(pd.read_csv(RESULTS / "makes.csv").round(2)),
        histories=markdown_table(pd.read_csv(RESULTS / "history.csv")),
    )  # fmt: skip
    with atomic_path(DATA / "RESULTS.md") as temporary:
        temporary.write_text(text, encoding="utf-8")


STEPS = {
    "suite": suite, "table": partial(suite, only_there=True), "figure": suite_figure,
    "position": position, "unknown": unknown, "calibration": calibration,
    "abroad": abroad, "robustness": robustness, "verdicts": verdicts, "page": page,
}  # fmt: skip
WITHOUT_IMAGES = {"figure", "page"}  # steps that read results only


def main() -> None:
    """Run the named steps, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], help="default: all in order")
    steps = parser.parse_args().steps or [step for step in STEPS if step != "table"]
    use_style()
    with ending_cleanly(), claimed_folder(RESULTS):
        if not set(steps) <= WITHOUT_IMAGES:
            render()
        for name in steps:
            STEPS[name]()


if __name__ == "__main__":
    main()
