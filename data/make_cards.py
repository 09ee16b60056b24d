"""Write the data card, the contact sheets and the model cards from what is shipped.

    python data/make_cards.py
    python data/make_cards.py pocket    # the card of one checkpoint of stage 2, and its rows alone

Everything in them is measured or read here: photographs from `photos.csv`, generators from the
manifest, figures from the shipped checkpoints on the rendered set-ups.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from quality import below_the_line, mean_pairwise_distance, sliced_wasserstein
from sklearn.metrics import pairwise_distances_argmin
from train_gan import TRAINING_CROPS, write_sheet

from dnadet_lib.attribution import LEAST_ACCURACY, LEAST_CONFIDENCE
from dnadet_lib.bench.methods import PLAIN, SHIPPED, STAGE_1
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.data import origins
from dnadet_lib.evaluation.audit import Audit, audit, audit_markdown, image_facts
from dnadet_lib.evaluation.predictions import predict
from dnadet_lib.evaluation.results import (
    Row,
    markdown_table,
    results_table,
    summarise,
    write_results,
)
from dnadet_lib.evaluation.thumbnails import thumbnail_leak, train_judges
from dnadet_lib.explorer.projection import project
from dnadet_lib.images.kinds import KINDS
from dnadet_lib.model import DNADet
from dnadet_lib.plots.axes import scatter_map
from dnadet_lib.plots.style import class_legend, plt, use_style
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.stopping import ending_cleanly
from dnadet_lib.presets import get_preset
from dnadet_lib.stages.stage_1 import (
    predict_transformations,
    pretraining_scores,
    transformation_set,
)
from dnadet_lib.zoo.generators import sample_images
from dnadet_lib.zoo.manifest import CLASSES, Generator, read_manifest
from dnadet_lib.zoo.photographs import CONTENTS, GROUPS, cut_crops, load_photographs
from dnadet_lib.zoo.rendering import draw_latents, render
from dnadet_lib.zoo.setups import available_setups, load_setup, present_setups, setup_of

DATA = Path(__file__).resolve().parent
SHEETS = DATA / "zoo" / "sheets"
COLUMNS = 10
STAGE_2 = ("pocket", "pocket_plain", "whole_raw")
TRIVIAL = "linear, on trivial statistics"  # all statistics of the data card's audit


def kinds_table() -> str:
    """Write the table as Markdown."""
    rows = [f"| {kind} | {what} |" for kind, what in KINDS]
    return "\n".join(["| kind of file | what is read |", "|---|---|", *rows])


def write(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text.strip() + "\n", encoding="utf-8")


def photograph_table() -> str:
    """Count photographs by content and group."""
    rows = [
        {"content": c, **{g: len(load_photographs(c, g)) for g in GROUPS}} for c in CONTENTS
    ]
    return markdown_table(pd.DataFrame(rows))


def floor_table() -> str:
    """Distance between train and dev photographs: what a perfect generator would reach."""
    rows = []
    for content in CONTENTS:
        train, dev = (cut_crops(load_photographs(content, g), 1500)[0] for g in ("train", "dev"))
        distances = sliced_wasserstein(train, dev)
        ratio = mean_pairwise_distance(train) / mean_pairwise_distance(dev)
        figures = {f"SWD {k}": f"{v:.0f}" for k, v in distances.items()}
        rows.append({"photographs": content, **figures, "diversity": f"{ratio:.2f}"})
    return markdown_table(pd.DataFrame(rows))


def generator_table(generators: list[Generator]) -> str:
    """List the manifest with each generator's set-up and quality."""
    table = pd.read_csv(DATA / "zoo" / "manifest.csv")
    table["set-up"] = [setup_of(g, generators) for g in generators]
    columns = {
        "name": "name", "architecture": "class", "loss": "loss", "role": "role",
        "set-up": "set-up", "steps": "steps", "swd_64": "SWD 64", "swd_32": "SWD 32",
        "swd_16": "SWD 16", "diversity": "diversity",
    }  # fmt: skip
    return markdown_table(table[list(columns)].rename(columns=columns))


def quality_sentence() -> str:
    """Say whether every generator is above the quality line."""
    table = pd.read_csv(DATA / "zoo" / "manifest.csv")
    below = below_the_line(table)
    if not below:
        return f"All {len(table)} generators are above it."
    return "\n".join(["Below it:", "", *(f"- {sentence}" for sentence in below)])


@cache
def training_crops(content: str, group: str, seed: int) -> np.ndarray:
    """The crops that a generator was trained on."""
    return cut_crops(load_photographs(content, group), TRAINING_CROPS, seed)[0]


def nearest(images: np.ndarray, crops: np.ndarray) -> np.ndarray:
    """Find the crop that is nearest to each image, compared at 16 pixels by squared distance."""
    small = [
        np.stack([cv2.resize(i, (16, 16), interpolation=cv2.INTER_AREA).ravel() for i in part])
        for part in (images, crops)
    ]
    return crops[pairwise_distances_argmin(*(part.astype(np.float32) for part in small))]


def contact_sheet(generator: Generator) -> None:
    """Draw two rows of samples, each above a row of their nearest training crops."""
    images = sample_images(generator.load(), draw_latents(0, 2 * COLUMNS)).numpy()
    group = "finetune" if generator.finetuned_from else "train"
    beside = nearest(images, training_crops(generator.content, group, generator.seed))
    rows = [part[start : start + COLUMNS] for start in (0, COLUMNS) for part in (images, beside)]
    write_sheet(np.concatenate(rows), SHEETS / f"{generator.name}.png", COLUMNS)


def data_card() -> None:
    """Write `data/README.md`, `data/audit.md` and a contact sheet for every generator."""
    generators = read_manifest()
    pictures = []
    for content in CONTENTS:
        crops, _ = cut_crops(load_photographs(content, "train"), 3 * COLUMNS)
        write_sheet(crops, SHEETS / f"photographs_{content}.png", COLUMNS)
        pictures.append(f"photographs_{content}")
    for generator in generators:
        contact_sheet(generator)
        pictures.append(generator.name)
    for sheet in SHEETS.glob("*.png"):
        if sheet.stem not in pictures:
            print(f"{sheet}: shows nothing of the manifest; remove it, or move it elsewhere")
    gallery = "\n\n".join(f"**{p}**\n\n![{p}](zoo/sheets/{p}.png)" for p in pictures)
    template = (DATA / "card_template.md").read_text(encoding="utf-8")
    write(
        DATA / "README.md",
        template.format(
            photographs=photograph_table(),
            floor=floor_table(),
            generators=generator_table(generators),
            quality=quality_sentence(),
            audit=audit_summary(),
            kinds=kinds_table(),
            gallery=gallery,
        ),
    )


@cache
def audits() -> dict[str, Audit]:
    """Audit the closed set's train list against every set-up."""
    train_list = load_setup("closed", "train")
    train, _ = image_facts(train_list)
    judges = train_judges(train_list)
    reports = {}
    for setup in present_setups():
        images = load_setup(setup)
        test, _ = image_facts(images)
        reports[setup] = audit(train, test, thumbnail_leak(judges, images))
    return reports


def audit_summary() -> str:
    """Write `data/audit.md` and return a table with a row per set-up."""
    origin = "Written by `python data/make_cards.py`; train list: closed set."
    heading = f"# Audit of the pocket zoo\n\n{origin}\n\n"
    sections = [audit_markdown(setup, report) for setup, report in audits().items()]
    write(DATA / "audit.md", heading + "\n".join(sections))
    rows = []
    for setup, report in audits().items():
        leaks = {k: len(getattr(report, k)) for k in ("exact", "near", "repeated")}
        shares = {**report.trivial, **report.thumbnails}
        figures = {k: f"{v.value:.2f}" for k, v in shares.items()}
        rows.append({"set-up": setup, "images": len(report.test), **leaks, **figures})
    return markdown_table(pd.DataFrame(rows).fillna(""))


def trivial_rows() -> list[Row]:
    """What a linear classifier reaches on trivial statistics, to stand beside each model."""
    rows = []
    for setup in available_setups():
        report = audits()[setup]
        value = report.trivial["all"]
        generators = len(set(origins(report.test["source"].to_numpy(str))))
        rows.append(
            Row(
                TRIVIAL, setup, "accuracy", value.value, value.low, value.high,
                len(report.test), generators,
            )
        )  # fmt: skip
    return rows


def stage_1_card(name: str, step: str, front: str) -> None:
    """Write the card of a pre-trained checkpoint, measured on test photographs."""
    model = load_model(name)
    data = transformation_set("test", 64, each=20)
    figures = pretraining_scores(data, predict_transformations(model, data))
    lines = "\n".join(f"| {name} | {value:.3f} |" for name, value in figures.items())
    write(
        DATA / "checkpoints" / f"{name}.md",
        f"""# {name}: the 170 transformations

Stage 1 of DNA-Det at pocket size, {front} the high-pass front end. It names which of 170 image
transformations a 64-pixel crop went through; stage 2 starts from its backbone.

- Data: crops of the train photographs of all contents; epoch chosen on dev photographs.
- Command: `python data/train_checkpoints.py {step}` (seed 0).
- Preset: `{get_preset(name).settings()}`

Measured on {len(data.labels)} transformed crops of test photographs of all contents, none of
which was seen in training (chance: accuracy {1 / 170:.3f}):

| figure | value |
|---|---|
{lines}

Limits: transformations of small crops of nature photographs. Neighbouring JPEG qualities, kernel
sizes and scales are hard to tell apart at this size; the family accuracy says how often the kind
of operation is right.
""",
    )


def kept_rows() -> list[Row]:
    """Read the rows that were measured before."""
    text = (DATA / "checkpoints" / "results.json").read_text(encoding="utf-8")
    nan = float("nan")
    return [
        Row(**{key: nan if value is None else value for key, value in row.items()})
        for row in json.loads(text)["rows"]
    ]


def stage_2_cards(names: Sequence[str] = ()) -> None:
    """Write the cards of attribution checkpoints, measured on every set-up.

    Args:
        names: Of those to measure; the rows of the others are kept. By default all.
    """
    kept = [row for row in kept_rows() if row.method not in names] if names else trivial_rows()
    rows = [row for row in kept if row.method == TRIVIAL]
    for name in STAGE_2:
        if names and name not in names:
            rows += [row for row in kept if row.method == name]
            continue
        model = load_model(name)
        for setup in available_setups():
            rows += summarise(name, setup, predict(model, load_setup(setup)))
    write_results(rows, DATA / "checkpoints")
    for name in names or STAGE_2:
        model = load_model(name)
        each = pd.DataFrame(
            [
                {"set-up": r.setup, "figure": r.metric, "value": f"{r.value:.3f}",
                 "95% interval": f"{r.low:.3f} to {r.high:.3f}", "images": r.images}
                for r in rows
                if r.method == name and r.metric.startswith(("accuracy ", "recall Real"))
            ]
        )  # fmt: skip
        card = stage_2_text(name, model, rows, each)
        write(DATA / "checkpoints" / f"{name}.md", card)


def stage_2_text(name: str, model: DNADet, rows: list, each: pd.DataFrame) -> str:
    """Fill the card of one attribution checkpoint."""
    what = {
        PLAIN: "the network of DNA-Det's stage 1 and a discriminant on its channels",
        SHIPPED: f"`{PLAIN}`, solved again with changed copies of the training images",
        "whole_raw": "a baseline: the same backbone on whole raw images, nothing else",
    }[name]
    stage_1 = f"; stage 1: `{STAGE_1}`"
    step = SHIPPED if name == SHIPPED else "train"
    return f"""# {name}: {what}

Names the generator architecture of an image: {", ".join(model.classes)}.

- Data: closed set of the pocket zoo; temperature and unknown threshold chosen on dev generators.
  Preset: `{get_preset(name).settings()}`
- Command: `python data/train_checkpoints.py {step}` (seed 0){stage_1 * model.discriminant}.
- Temperature {model.temperature:.2f}, unknown threshold {model.threshold:.3f}.
{changes_text(model)}
Mean accuracy over generators (photographs of one content count as one more), with the 95%
t-interval over generators, or with fewer than three the bootstrap over images; one training seed:

{results_table([r for r in rows if r.method in (name, TRIVIAL)])}
Every generator:

{markdown_table(each)}

[RESULTS.md](../RESULTS.md) compares it with rivals, says how many training seeds each row has, and
what was chosen on dev generators and why.

Limits: 64-pixel images of small generators with four kinds of photographs. It does not know large
generators or other contents; `dnadet attribute` says so where the unknown score is past the
threshold, and can be wrong about that, too.
"""


def changes_text(model: DNADet) -> str:
    """Say how far answers on changed images can be trusted."""
    if not model.calibrations:
        return ""
    table = pd.DataFrame({
        "image looks": ["as it was made", *model.changes],
        "temperature": [f"{found.temperature:.2f}" for found in model.calibrations],
        "named rightly on dev": [f"{found.accuracy:.3f}" for found in model.calibrations],
    })  # fmt: skip
    return f"""
Each class has a mean for its images as they are and for the copies changed in each way; the nearest
says how an image looks. Calibrated on dev images as they are (they count half) and changed in these
ways. No class is named where less than {LEAST_ACCURACY} are right or its probability is
less than {LEAST_CONFIDENCE}:

{markdown_table(table)}
"""


def readme_figure(each: int = 150) -> None:
    """Draw the README's picture: t-SNE of both models, seen generators beside new seeds."""
    use_style()
    rng = np.random.default_rng(0)
    sets = {"seen": load_setup("closed"), "new seed": load_setup("seed")}
    for name, images in sets.items():
        order = rng.permutation(len(images))
        parts = [order[images.labels[order] == k][:each] for k in np.unique(images.labels)]
        sets[name] = images.take(np.concatenate(parts))
    labels = np.concatenate([images.labels for images in sets.values()])
    seen = np.arange(len(labels)) < len(sets["seen"])
    figure, axes = plt.subplots(2, 2, figsize=(8, 8), sharex="row", sharey="row")
    names = {"whole_raw": "whole raw images", "pocket": "pocket"}
    for row, name in zip(axes, names, strict=True):
        model = load_model(name)
        vectors = np.concatenate([predict(model, s).embeddings for s in sets.values()])
        points = project(vectors, "t-SNE", seed=0)
        for axis, part, which in zip(row, (seen, ~seen), sets, strict=True):
            title = f"{names[name]}, {which}"
            scatter_map(axis, points[part], labels[part], CLASSES, title)
    class_legend(figure, CLASSES)
    with atomic_path(DATA / "figures" / "embedding.png") as temporary:
        figure.savefig(temporary, dpi=110)


def main() -> None:
    """Render what is missing and write every card, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*STAGE_2, []], help="default: all")
    names = parser.parse_args().names
    with ending_cleanly():
        render()
        if not names:
            readme_figure()
            data_card()
            stage_1_card("pocket_pretrain", "pretrain", "with")
            stage_1_card("pocket_pretrain_raw", "pretrain_raw", "without")
        stage_2_cards(names)


if __name__ == "__main__":
    main()
