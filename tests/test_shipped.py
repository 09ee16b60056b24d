"""The data in the repository: weights, photographs and checkpoints are what their lists say."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import make_cards
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from quality import below_the_line
from support import photograph
from test_gans import TRACES, traces

from dnadet_lib import load_model, zoo
from dnadet_lib.cli import main
from dnadet_lib.transforms import image_transformations
from dnadet_lib.zoo.generators import UNKNOWN_ARCHITECTURES, sample_images
from dnadet_lib.zoo.photographs import CONTENTS, GROUPS, load_photographs

DATA = Path(__file__).parents[1] / "data"
CHECKPOINTS = ("pocket_pretrain", "pocket_pretrain_raw", "pocket_plain", "pocket", "whole_raw")


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    monkeypatch.setenv("DNADET_DATA", str(DATA))


@pytest.fixture(scope="module")
def generators() -> list[zoo.Generator]:
    return zoo.read_manifest(DATA / "zoo")


@pytest.fixture(scope="module")
def plan() -> dict[str, dict[str, str]]:
    with (DATA / "zoo" / "plan.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_generators_are_trained_as_planned(generators, plan):
    for g in generators:
        row = plan[g.name]
        for field in ("architecture", "loss", "content", "finetuned_from", "role"):
            assert getattr(g, field) == row[field], (g.name, field)
        assert g.seed == int(row["seed"])
        assert g.steps == int(row["steps"]), g.name


def test_every_planned_generator_is_there(generators, plan):
    assert {g.name for g in generators} == plan.keys()


def test_every_setup_has_every_class(generators):
    setups: dict[str, list[str]] = {}
    for g in generators:
        setups.setdefault(zoo.setup_of(g, generators), []).append(g.architecture)
    for setup in ("closed", "dev", "seed", "loss", "finetune", "dataset"):
        assert set(setups[setup]) == set(zoo.CLASSES[1:]), setup
    assert set(setups["unknown"]) == set(UNKNOWN_ARCHITECTURES)
    assert len(setups["closed"]) == 4
    assert len(setups["seed"]) == 24


def test_generators_below_the_quality_line_are_named_in_the_data_card():
    """Three seeds of MMDGAN are a little above three times the best SWD at the finest level."""
    below = below_the_line(pd.read_csv(DATA / "zoo" / "manifest.csv"))
    assert [sentence.split(":")[0] for sentence in below] == [
        "MMDGAN_horizons_s2", "MMDGAN_horizons_s3", "MMDGAN_horizons_s6"
    ]  # fmt: skip
    card = (DATA / "README.md").read_text(encoding="utf-8")
    assert all(sentence in card for sentence in below)


def test_data_card_shows_every_generator_as_the_manifest_has_it():
    card = (DATA / "README.md").read_text(encoding="utf-8")
    table = pd.read_csv(DATA / "zoo" / "manifest.csv")
    for _, row in table.iterrows():
        line = next(x for x in card.splitlines() if x.startswith(f"| {row['name']} |"))
        assert f"| {row['swd_64']} | {row['swd_32']} | {row['swd_16']} | " in line
        assert f"(zoo/sheets/{row['name']}.png)" in card
    sheets = {p.stem for p in (DATA / "zoo" / "sheets").glob("*.png")}
    assert sheets == {*table["name"], *(f"photographs_{content}" for content in CONTENTS)}


def test_nearest_crop_is_the_one_that_looks_alike():
    rng = np.random.default_rng(0)
    crops = np.stack([photograph(rng, 64, 64) for _ in range(8)])
    brighter = np.clip(crops[[5, 2]].astype(int) + 4, 0, 255).astype(np.uint8)
    assert np.array_equal(make_cards.nearest(brighter, crops), crops[[5, 2]])


def test_weights_take_no_more_room_than_a_clone_should():
    assert sum(p.stat().st_size for p in (DATA / "zoo").glob("*.safetensors")) <= 20e6


def test_weights_are_the_manifests_and_fit_their_class(generators):
    for g in generators:
        assert g.file.parent == DATA / "zoo"
        assert hashlib.sha256(g.file.read_bytes()).hexdigest() == g.sha256, g.name
        assert g.file.stat().st_size < 2.5e6, g.name
        network = g.load()
        assert traces(network) == TRACES[g.architecture], g.name
        assert all(p.isfinite().all() for p in network.parameters()), g.name


def test_no_weights_lie_there_without_a_row(generators):
    needed = {file for g in generators for file in (g.file, g.layouts_file)}
    assert set((DATA / "zoo").glob("*.safetensors")) == needed


def test_generators_give_images_that_differ_and_are_no_noise(generators):
    for g in generators:
        images = sample_images(g.load(), zoo.draw_latents(zoo.LATENT_SEEDS["test"], 20), 20)
        flat = images.float().flatten(1)
        spread = (flat[:10] - flat[10:]).square().mean(dim=1).sqrt()
        assert spread.min() > 5, f"{g.name}: two images are nearly the same"
        assert flat.std(dim=1).mean() > 15, f"{g.name}: images are flat"
        pixels = images.float().mean(dim=3)
        step = (pixels[:, :, 1:] - pixels[:, :, :-1]).square().mean().sqrt()
        assert step < 1.1 * flat.std(), f"{g.name}: neighbouring pixels do not go together"


def test_photographs_are_listed_split_and_not_too_large():
    with (DATA / "photos" / "photos.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    listed = {DATA / "photos" / row["file"] for row in rows}
    assert len(listed) == len(rows)
    stored = {p for c in CONTENTS for p in (DATA / "photos" / c).iterdir()}
    assert listed == stored
    assert sum(p.stat().st_size for p in stored) <= 55e6
    hashes = [hashlib.sha256(p.read_bytes()).hexdigest() for p in listed]
    assert len(set(hashes)) == len(hashes)
    for content in CONTENTS:
        names = [p.name for group in GROUPS for p in load_photographs(content, group)]
        assert len(names) == len(set(names))
        assert len(load_photographs(content, "train")) >= 10
    assert len([row for row in rows if row["content"] == "meadow"]) >= 60


def thumbnail(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        small = image.convert("RGBA").convert("L").resize((16, 16), Image.Resampling.BOX)
    grey = np.asarray(small, np.float32).ravel()
    return (grey - grey.mean()) / (grey.std() + 1e-6)


@pytest.mark.parametrize("content", [c for c in CONTENTS if c != "nebulae"])
def test_no_photograph_stands_in_two_groups(content):
    """Elliptical galaxies are alike as thumbnails: test_photos compares their detail."""
    groups = {group: load_photographs(content, group) for group in GROUPS}
    views = {
        (group, p.name): thumbnail(p.path) for group, photos in groups.items() for p in photos
    }
    keys, stack = list(views), np.stack(list(views.values()))
    mirrored = stack.reshape(-1, 16, 16)[:, :, ::-1].reshape(len(stack), -1)
    likeness = np.maximum(stack @ stack.T, stack @ mirrored.T) / stack.shape[1]
    twins = [
        (keys[a], keys[b])
        for a, b in zip(*np.nonzero(likeness > 0.97), strict=True)
        if keys[a][0] != keys[b][0]
    ]
    assert not twins


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoint_is_sound_and_has_a_card(name):
    model = load_model(name)
    if name.startswith("pocket_pretrain"):
        assert model.classes == tuple(t.name for t in image_transformations(64))
    else:
        assert model.classes == zoo.CLASSES
        assert np.isfinite(model.threshold)
        parts = [model.reference.means, *model.reference.precisions]
        assert all(part.isfinite().all() for part in parts)
    assert all(p.isfinite().all() for p in model.parameters())
    assert (DATA / "checkpoints" / f"{name}.md").is_file()


def test_shipped_model_knows_the_generators_it_was_trained_on(generators):
    """Not the benchmark: 40 images of each are enough to see that weights and data fit."""
    model = load_model("pocket")
    trained = [g for g in generators if g.role == "train"]
    right = []
    for g in trained:
        latents = zoo.draw_latents(zoo.LATENT_SEEDS["test"], 40)
        images = sample_images(g.load(), latents, 40).numpy()
        right.append(np.mean([label == g.architecture for label in model.attribute(images).labels]))
    assert np.mean(right) > 0.95


def test_own_images_are_learned_on_the_shipped_stage_1(generators, tmp_path):
    """As the README says, without naming a preset or a checkpoint."""
    for g in [g for g in generators if g.role == "train"][:2]:
        for split, count in (("train", 60), ("dev", 20)):
            latents = zoo.draw_latents(zoo.LATENT_SEEDS[split], count)
            folder = tmp_path / split / g.architecture
            folder.mkdir(parents=True)
            for number, image in enumerate(sample_images(g.load(), latents, count).numpy()):
                Image.fromarray(image).save(folder / f"{number}.png")
    sources = ["--train", str(tmp_path / "train"), "--dev", str(tmp_path / "dev")]
    assert main(["train", *sources, "--out", str(tmp_path / "mine")]) == 0
    model = load_model(tmp_path / "mine" / "model.safetensors")
    assert model.classes == tuple(sorted(g.name for g in (tmp_path / "dev").iterdir()))
    for folder in (tmp_path / "dev").iterdir():
        labels = model.attribute(sorted(folder.iterdir())).labels
        assert labels.count(folder.name) >= 18
