import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import numpy as np
import pandas as pd
import pytest
from evidence import with_repeated_seed

from dnadet_lib.bench import suite
from dnadet_lib.bench.baselines import DCTRegression, ResidualCorrelation
from dnadet_lib.bench.networks import DCTCNN, AttNet
from dnadet_lib.bench.tables import (
    MEAN,
    SETUPS,
    accuracy_rows,
    differences,
    generator_table,
    mean_rows,
    write_suite,
)
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.data import load_images
from dnadet_lib.evaluation.intervals import mean_of_setups
from dnadet_lib.images.reading import read_image
from dnadet_lib.presets import PRESETS, get_preset
from dnadet_lib.stages.stage_2 import training_data
from dnadet_lib.zoo.manifest import CLASSES
from dnadet_lib.zoo.setups import load_setup


class Calls(list):
    """Notes what a method is called with; a plain list would count by value among what it uses."""


@pytest.fixture
def counted():
    """A method that says Real of everything, and counts how often it is trained."""
    calls = Calls()

    def fit(train, dev, seed, folder):
        calls.append(seed)
        return lambda images: np.eye(len(CLASSES))[np.zeros(len(images), int)]

    return suite.Method("always Real", "none", fit), calls


def table_of(accuracies, seeds=1):
    """An accuracy table as `generator_table` gives it: {(method, setup, generator): value}."""
    index = pd.MultiIndex.from_tuples(accuracies, names=["method", "setup", "generator"])
    return pd.DataFrame({seed: list(accuracies.values()) for seed in range(seeds)}, index)


def test_every_image_of_every_setup_is_scored(world, tmp_path, counted):
    method, _ = counted
    found = suite.run_suite([method], world.images, tmp_path, seeds=[0], setups=["closed", "seed"])
    closed = load_setup("closed", root=world.images)
    rows = found[found["setup"] == "closed"]
    assert len(rows) == len(closed)
    assert rows["truth"].tolist() == [closed.classes[k] for k in closed.labels]
    assert set(rows["predicted"]) == {"Real"}
    accuracy = generator_table(found)[0]
    assert accuracy["always Real", "closed", "real/meadow"] == 1
    assert accuracy["always Real", "seed", "SNGAN_meadow_s2"] == 0


def test_what_is_there_is_not_trained_again(world, tmp_path, counted):
    method, calls = counted
    run = lambda **changes: suite.run_suite(  # noqa: E731
        [method], world.images, tmp_path, **{"seeds": [0], "setups": ["seed"], **changes}
    )
    first = run()
    assert calls == [0]
    pd.testing.assert_frame_equal(run(), first)
    assert calls == [0]
    run(seeds=[0, 1])
    assert calls == [0, 1]
    run(setups=["seed", "dataset"])
    assert calls == [0, 1, 0]


def test_two_at_the_same_row_train_it_once(world, tmp_path, counted):
    method, calls = counted
    started, train = Event(), load_setup("closed", "train", root=world.images)
    seed = load_setup("seed", root=world.images)

    def slow(*arguments):
        started.set()
        time.sleep(0.5)  # time enough for another to begin, if nothing held it
        return method.fit(*arguments)

    def fill():
        tests = {"seed": suite.HashedImages(seed, suite.pixel_hashes(seed))}
        row = replace(method, fit=slow)
        suite.fill_row(row, 0, train, train, tests, tmp_path / "row")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fill)
        assert started.wait(60)
        pool.submit(fill).result()
        first.result()
    assert calls == [0]
    assert len(pd.read_parquet(tmp_path / "row" / "seed.parquet")) == len(seed)


def test_nothing_to_read_is_said(world, tmp_path, counted):
    method, calls = counted
    with pytest.raises(ValueError, match="no row is there in full; dnadet suite trains"):
        suite.run_suite([method], world.images, tmp_path, seeds=[0], only_there=True)
    assert calls == []


def test_workers_change_nothing(world, tmp_path):
    methods = [suite.baseline(f"rival {k}", DCTCNN(epochs=k)) for k in (1, 2)]
    one, two = (
        suite.run_suite(
            methods, world.images, tmp_path / str(k), seeds=[0, 1], setups=["seed"], workers=k
        )
        for k in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two, rtol=1e-4)


def test_predictions_of_other_images_are_not_used(world, tmp_path, counted):
    method, calls = counted
    suite.run_suite([method], world.images, tmp_path, seeds=[0], setups=["seed"])
    (file,) = tmp_path.rglob("seed.parquet")
    old = pd.read_parquet(file)
    old["image"] = old["image"].str.replace("a", "b")
    old.to_parquet(file)
    suite.run_suite([method], world.images, tmp_path, seeds=[0], setups=["seed"])
    assert calls == [0, 0]


def test_other_settings_are_trained_anew(world, tmp_path, counted):
    method, calls = counted
    for settings in ("none", "some"):
        changed = replace(method, settings=settings)
        suite.run_suite([changed], world.images, tmp_path, seeds=[0], setups=["seed"])
    assert calls == [0, 0]


def edited(base=AttNet, factor=1, batch_size=64):
    """AttNet, and how it scores: an estimator of one name and parameters whose method is edited."""
    if factor == 1:

        class Rival(base):
            def predict_proba(self, images):
                return np.eye(len(CLASSES))[np.zeros(len(images), int)]
    else:

        class Rival(base):
            def predict_proba(self, images):
                return np.eye(len(CLASSES))[np.ones(len(images), int)]

    return Rival(epochs=1, width=2, batch_size=batch_size)


def test_an_edited_method_does_not_return_its_old_row(world, tmp_path):
    run = lambda estimator: suite.run_suite(  # noqa: E731
        [suite.baseline("rival", estimator)], world.images, tmp_path, seeds=[0], setups=["loss"]
    )
    assert repr(edited(factor=1)) == repr(edited(factor=2))
    assert set(run(edited(factor=1))["predicted"]) == {CLASSES[0]}
    assert set(run(edited(factor=2))["predicted"]) == {CLASSES[1]}
    before = sorted(tmp_path.rglob("*"))
    assert set(run(edited(factor=1))["predicted"]) == {CLASSES[0]}
    assert sorted(tmp_path.rglob("*")) == before  # each has kept its own


def test_other_dev_images_and_labels_are_another_row(
    world, tmp_path, counted, monkeypatch
):
    method, calls = counted
    train, dev = training_data(world.images)
    found = [(train, dev), (train, dev.take(np.arange(len(dev) - 1)))]
    found.append((replace(train, labels=train.labels[::-1].copy()), dev))
    for sets in found:
        monkeypatch.setattr("dnadet_lib.bench.suite.training_data", lambda root, sets=sets: sets)
        suite.run_suite([method], world.images, tmp_path, seeds=[0], setups=["loss"])
    assert calls == [0, 0, 0]


def test_the_preset_of_a_shipped_stage_1_counts(checkpoint, tmp_path, monkeypatch):
    """It makes the stage 1 of the seeds that are not shipped."""
    preset = get_preset("smoke_pretrain")
    (tmp_path / "data" / "checkpoints").mkdir(parents=True)
    shutil.copy(checkpoint, tmp_path / "data" / "checkpoints" / "smoke_pretrain.safetensors")
    monkeypatch.setenv("DNADET_DATA", str(tmp_path / "data"))
    first = suite.stage_one_digest("smoke_pretrain")
    monkeypatch.setitem(PRESETS, "smoke_pretrain", replace(preset, epochs=3))
    assert suite.stage_one_digest("smoke_pretrain") != first


def test_settings_tell_presets_checkpoints_and_parameters_apart(checkpoint, tmp_path):
    preset = get_preset("smoke")
    other = tmp_path / "other.safetensors"
    other.write_bytes(checkpoint.read_bytes() + b" ")
    methods = [
        suite.network("a", preset), suite.network("a", replace(preset, items=5)),
        *(suite.network("a", preset, str(one)) for one in (checkpoint, other)),
        suite.baseline("a", AttNet()), suite.baseline("a", AttNet(high_pass=True)),
    ]  # fmt: skip
    assert len({method.settings for method in methods}) == len(methods)
    assert len({method.folder("images") for method in methods}) == len(methods)
    assert methods[0].folder("images") != methods[0].folder("other images")
    with pytest.raises(FileNotFoundError, match="nowhere: neither a checkpoint file nor"):
        suite.network("a", preset, "nowhere")


def test_an_images_hash_is_of_its_pixels(world):
    images = load_setup("seed", root=world.images)
    hashes = suite.pixel_hashes(images)
    pixels = {read_image(path).tobytes() for path in images.paths}
    assert len(set(hashes)) == len(pixels)
    assert all(len(value) == 64 for value in hashes)


@pytest.mark.parametrize(
    "estimator", [ResidualCorrelation("high-pass"), DCTRegression(max_iter=20), AttNet(epochs=1)]
)
def test_a_baseline_scores_the_models_classes(world, tmp_path, estimator):
    method = suite.baseline("rival", estimator)
    found = suite.run_suite([method], world.images, tmp_path, seeds=[3], setups=["dataset"])
    scores = found[[f"score {name}" for name in CLASSES]].to_numpy()
    assert np.isfinite(scores).all()
    assert (np.array(CLASSES)[scores.argmax(axis=1)] == found["predicted"]).all()


def test_a_network_keeps_its_run(world, tmp_path):
    preset = replace(get_preset("smoke"), epochs=1, steps_per_epoch=2)
    method = suite.network("DNA-Det, tiny", preset)
    found = suite.run_suite([method], world.images, tmp_path, seeds=[0], setups=["closed"])
    np.testing.assert_allclose(found.filter(like="score ").sum(axis=1), 1, atol=1e-5)
    (model,) = tmp_path.rglob("model.safetensors")
    assert model.parent.name == "seed_0"
    assert model.parent.parent.name.startswith("dna_det__tiny-")


def test_a_discriminants_seed_is_that_of_stage_1(world, tmp_path, checkpoint, monkeypatch):
    asked = []

    def stage_1(name, seed=0):
        asked.append((name, seed))
        return load_model(checkpoint)

    monkeypatch.setattr("dnadet_lib.bench.suite.pretrained_model", stage_1)
    solved = replace(get_preset("pocket_plain"), width=8)
    trained = replace(get_preset("smoke"), epochs=1, steps_per_epoch=1)
    for preset in (solved, trained):
        method = suite.network(preset.name, preset, str(checkpoint))
        suite.run_suite([method], world.images, tmp_path, seeds=[0, 2], setups=["seed"])
    assert asked == [(str(checkpoint), seed) for seed in (0, 2, 0, 0)]


def test_a_rival_gets_the_seed_and_no_dev_image(world, tmp_path):
    seen = []

    class Watched(AttNet):
        def fit(self, images, labels):
            seen.append((self.seed, images))
            return super().fit(images, labels)

    method = suite.baseline("watched", Watched(epochs=1))
    found = suite.run_suite([method], world.images, tmp_path, seeds=[0, 1], setups=["closed"])
    train = load_setup("closed", "train", root=world.images)
    assert [seed for seed, _ in seen] == [0, 1]
    for _, images in seen:
        np.testing.assert_array_equal(images, load_images(train.paths))
    first, second = (found[found["seed"] == seed].filter(like="score ") for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_what_no_seed_changes_is_trained_once(world, tmp_path, counted):
    method, calls = counted
    found = suite.run_suite(
        [replace(method, seeded=False)], world.images, tmp_path, seeds=[0, 1], setups=["seed"]
    )
    assert calls == [0]
    assert found.groupby("seed").size().nunique() == 1
    assert set(found["seed"]) == {0, 1}
    estimators = ResidualCorrelation(), DCTRegression(), AttNet()
    assert [suite.baseline("", e).seeded for e in estimators] == [False, False, True]


def test_means_are_over_setups_generators_and_seeds():
    values = {
        ("ours", setup, f"{setup}{k}"): 0.6 + 0.1 * k for setup in SETUPS for k in range(3)
    }
    table = table_of(values, seeds=2)
    table[1] += 0.02  # the second seed: they differ less than generators do
    images = pd.Series(10, SETUPS)
    rows = {r.setup: r for r in mean_rows(table, "accuracy", images)}
    assert list(rows) == [*SETUPS, MEAN]
    seed, four = rows["seed"], rows[MEAN]
    expected = mean_of_setups([table.loc["ours", "seed"].to_numpy()])
    assert (seed.value, seed.low, seed.high) == pytest.approx(
        (0.71, expected[1], min(1, expected[2]))
    )
    assert (seed.images, seed.generators) == (10, 3)
    assert (four.value, four.images, four.generators) == (pytest.approx(0.71), 40, 12)
    assert seed.low < four.low < 0.71 < four.high  # four set-ups know more than one


def test_a_generators_interval_is_over_its_images(world, tmp_path, counted):
    method, _ = counted
    found = suite.run_suite([method], world.images, tmp_path, seeds=[0], setups=["loss", "closed"])
    half = found["truth"] == "MMDGAN"
    found.loc[half, "predicted"] = np.where(np.arange(half.sum()) % 2, "MMDGAN", "Real")
    rows = {(r.setup, r.metric): r for r in accuracy_rows(found)}
    one = rows["loss", "accuracy MMDGAN_meadow_cramer"]
    assert one.value == 0.5
    assert 0 < one.low < 0.5 < one.high < 1
    overall = rows["loss", "accuracy"]  # a single generator: conditional on it
    assert (overall.value, overall.low, overall.high) == (one.value, one.low, one.high)
    assert rows["closed", "accuracy"].generators == 5


def test_differences_are_paired_by_generator():
    names = [f"g{k}" for k in range(4)]
    hard = np.array([0.9, 0.5, 0.7, 0.3])
    table = table_of(
        {("ours", "seed", n): v for n, v in zip(names, hard, strict=True)}
        | {("rival", "seed", n): v - 0.1 for n, v in zip(names[::-1], hard[::-1], strict=True)}
    )
    lead = differences(table, "ours")
    assert lead.index.unique("method").tolist() == ["rival"]
    np.testing.assert_allclose(lead[0], 0.1)
    (row,) = mean_rows(lead, "lead", pd.Series({"seed": 40}))
    assert (row.low, row.high) == pytest.approx((0.1, 0.1))  # though generators differ by 60 points
    with pytest.raises(ValueError, match="no method 'theirs' to compare with: ours, rival"):
        differences(table, "theirs")


def test_rows_may_have_fewer_seeds_and_nothing_need_be_trained(world, tmp_path, counted):
    method, calls = counted
    rival = replace(method, name="rival")
    run = lambda methods, **options: suite.run_suite(  # noqa: E731
        methods, world.images, tmp_path / "work", **options
    )
    run([method], seeds=[0, 1])
    run([rival], seeds=[0])
    run([rival], seeds=[1], setups=["closed"])
    found = run([method, rival], seeds=[0, 1], only_there=True)
    assert calls == [0, 1, 0, 1]
    assert found.groupby(["method", "seed"]).ngroups == 3
    rows = write_suite(found, "always Real", tmp_path)
    assert "Seeds: 2; 1 for *rival*." in (tmp_path / "results.md").read_text()
    figures = {(r.method, r.setup, r.metric): r.value for r in rows}
    assert figures["rival", "seed", "lead"] == 0
    assert figures["rival", "closed", "lead real/meadow"] == 0


def test_fault_a_repeats_each_classs_first_seed():
    values = {("ours", "seed", f"{c}_meadow_s{k}"): k + v for k in (2, 3) for c, v in
              (("ProGAN", 0.1), ("SNGAN", 0.2))}  # fmt: skip
    table = table_of(values | {("ours", "loss", "ProGAN_meadow_mmd"): 0.5,
                               ("ours", "loss", "ProGAN_meadow_hinge"): 0.7}, seeds=2)  # fmt: skip
    found = with_repeated_seed(table)
    assert found.index.equals(table.index)
    assert found.loc["ours", "seed"][0].tolist() == [2.1, 2.2, 2.1, 2.2]
    other = found.index.get_level_values("setup") == "loss"
    pd.testing.assert_frame_equal(found[other], table[other])


def test_the_table_is_written_with_its_leads(world, tmp_path, counted):
    always, _ = counted
    rival = suite.Method("never Real", "", lambda *_: lambda images: np.eye(5)[[1] * len(images)])
    predictions = suite.run_suite([always, rival], world.images, tmp_path / "work", seeds=[0, 1])
    rows = write_suite(predictions, "always Real", tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert "| method | closed | seed | loss | finetune | dataset | mean of the four |" in text
    assert "Lead of *always Real* over each" in text
    found = {(r.method, r.setup, r.metric): r.value for r in rows}
    assert found["always Real", "closed", "accuracy real/meadow"] == 1
    assert found["never Real", "seed", "accuracy ProGAN_meadow_s2"] == 1
    assert found["never Real", "seed", "lead ProGAN_meadow_s2"] == -1
    written = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert len(written) == len(rows)
    table = pd.read_csv(tmp_path / "accuracy.csv")
    assert list(table) == ["method", "setup", "generator", "seed 0", "seed 1"]
    assert len(table) == sum(r.metric.startswith("accuracy ") for r in rows)
