from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from support import write_images

from dnadet_lib.data import ImageSet
from dnadet_lib.images.reading import read_image

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SPEED, EXPLORER = BENCHMARKS / "speed.py", BENCHMARKS / "explorer.py"
ATTRIBUTE, MEMORY = BENCHMARKS / "attribute.py", BENCHMARKS / "memory.py"


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_speed_prints_a_ratio_for_every_choice(monkeypatch, capsys):
    arguments = ["--turns", "1", "--width", "4", "--images", "4"]
    monkeypatch.setattr(sys, "argv", [str(SPEED), *arguments])
    runpy.run_path(str(SPEED), run_name="__main__")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 5
    assert all(float(row.split("|")[-2]) > 0 for row in rows)


def test_the_explorers_figures_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXPLORER), "--points", "60"])
    runpy.run_path(str(EXPLORER), run_name="__main__")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split(": ")[1].split(" (")[0] for row in rows] == [
        "open, until shown", "lasso", "point at a dot", "click",
        "slider to probabilities and place", "peak memory",
    ]  # fmt: skip
    assert all(float(row.split("|")[-2]) >= 0 for row in rows)


def test_the_figures_of_attribute_are_printed(monkeypatch, capsys):
    arguments = ["--images", "10", "--timed", "4", "--turns", "1"]
    monkeypatch.setattr(sys, "argv", [str(ATTRIBUTE), *arguments])
    runpy.run_path(str(ATTRIBUTE), run_name="__main__")
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line[:2] == "| "]
    assert len(rows) == 1 + 4 + 2 + 2
    assert all(float(row[2].split()[0]) > 0 for row in rows[1:])


def test_training_is_compared_with_the_release(monkeypatch, capsys, tmp_path):
    script = BENCHMARKS / "training.py"
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path))
    arguments = ["--items", "1", "--turns", "1", "--width", "2"]
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    runpy.run_path(str(script), run_name="__main__")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    found = json.loads((tmp_path / "benchmarks" / "training.json").read_text())
    assert len(rows) == len(found["rows"])
    names = [row["name"].split(",")[0] for row in found["rows"] if "bfloat16" not in row["name"]]
    assert names == [
        "training", "data of training alone", "data of pre-training alone",
        "evaluation of whole images of 512",
    ]  # fmt: skip
    assert all(row["lowest"] <= row["ratio"] <= row["highest"] for row in found["rows"])
    assert found["peak MiB"].keys() == {"release", "ours"}
    assert all(0 < share < 2 for share in found["share of a matrix product"].values())


def test_maps_are_compared_and_ended_at_a_limit(monkeypatch, capsys, tmp_path):
    script = BENCHMARKS / "maps.py"
    module = runpy.run_path(str(script))
    found = module["make"]("t-SNE", "scikit-learn", 200)
    assert found.seconds > 0 and found.trustworthiness > 0.8 and found.knn > 0.5
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(script), "--counts", "200", "--limit", "0.01"])
    runpy.run_path(str(script), run_name="__main__")
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[3] for row in rows if row[2] != "openTSNE"] == ["more than 0"] * 2
    assert [row[-1] for row in rows if row[2] == "scikit-learn"] == ["yes |"]
    kept = json.loads((tmp_path / "benchmarks" / "maps.json").read_text())
    assert all(made["seconds"] is None for made in kept)


def accuracy_module():
    """The benchmark of accuracy, as a module."""
    spec = importlib.util.spec_from_file_location("accuracy", BENCHMARKS / "accuracy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_accuracies_are_compared_after_equal_epochs(tmp_path, rng):
    module = accuracy_module()
    paths = [path for name in "ab" for path in write_images(tmp_path / name, 8, rng)]
    images = ImageSet(paths, np.arange(16) // 8, ("a", "b"), ["a"] * 8 + ["b"] * 8)
    found = module.after_epochs(images, images, 0, 1)
    assert all(0 <= found[way] <= 1 and found[f"{name} seconds"] > 0
               for way, name in (("ours", "our"), ("release", "release")))  # fmt: skip


def test_what_the_release_has_not_reached_is_a_bound():
    row = accuracy_module().time_row
    found = {"ours": 10.0, "accuracy": 0.95, "release": 120.0, "best": 0.6}
    assert row(0, found).endswith("| more than 120 | 0.600 | more than 12.0 |")
    assert row(0, found | {"best": 0.9}).endswith("| 120 | 0.900 | 12.0 |")
    assert row(0, found | {"accuracy": 0.8}).endswith("| ours does not reach it |")


def test_a_seed_that_is_done_is_not_run_again(tmp_path):
    kept, file = accuracy_module().Kept, tmp_path / "accuracy.json"
    assert kept(file, {"epochs": 1}).get("time", 0, lambda: {"ours": 1.0}) == {"ours": 1.0}
    again = kept(file, {"epochs": 1})
    assert again.get("time", 0, lambda: {"ours": 2.0}) == {"ours": 1.0}
    assert again.get("time", 1, lambda: {"ours": 3.0}) == {"ours": 3.0}
    assert kept(file, {"epochs": 2}).get("time", 0, lambda: {"ours": 4.0}) == {"ours": 4.0}


def test_peaks_of_memory_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(MEMORY), "--images", "20"])
    runpy.run_path(str(MEMORY), run_name="__main__")
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line[:2] == "| "]
    assert [row[1].strip() for row in rows[1:]] == ["train", "evaluate", "embed"]
    assert all(int(row[3].split()[0]) > 50 and row[5].strip() == "" for row in rows[1:])


def test_growth_of_memory_is_told_per_image(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("memory_benchmark", MEMORY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    peaks = iter([(300_000, 1.0)] * 3 + [(310_240, 2.0)] * 3)
    monkeypatch.setattr(module, "measure", lambda name, folder: next(peaks))
    monkeypatch.setattr(sys, "argv", [str(MEMORY), "--images", "100", "1124"])
    module.main()
    last = capsys.readouterr().out.splitlines()[-1]
    at_goal = (310_240 + 10 * (100_000 - 1124)) / 1024
    assert last == f"| embed | 1,124 | 303 MiB | 562 | 10.0 KiB | {at_goal:.0f} MiB |"


def test_the_images_of_the_memory_benchmark_have_names_of_their_own(tmp_path):
    runpy.run_path(str(MEMORY))["write_images"](tmp_path / "set", 30, 10)
    images = ImageSet.from_folders(tmp_path / "set" / "train")
    assert np.bincount(images.labels).tolist() == [6] * 5
    assert len({path.name for path in images.paths}) == 30
    assert read_image(images.paths[0]).shape == (128, 128, 3)
