"""Shared fixtures: a small world of data of its own, so that unit tests need nothing shipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import support
import torch
from filelock import FileLock

from dnadet_lib import course as lessons, zoo
from dnadet_lib.checkpoints.models import save_model
from dnadet_lib.model import DNADet, InputSpec
from dnadet_lib.unknown import LabelledTraces, trace_distances

BROWSERS = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
CHROMIUM = os.environ.get("DNADET_CHROMIUM") or next(filter(None, BROWSERS), None)
FLAGS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread each is quickest when two tests run at once
    torch.set_num_threads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@dataclass(frozen=True)
class World:
    """A data folder, and the smoke profile rendered from it."""

    data: Path
    build: Path
    images: Path


@pytest.fixture(scope="session")
def built_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    own = tmp_path_factory.getbasetemp()
    base = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "world"
    data, build = base / "data", base / "build"
    with FileLock(f"{base}.lock"):  # one worker builds it, the others wait
        if not base.is_dir():
            support.write_photographs(data / "photos")
            support.write_zoo(data / "zoo", support.zoo_rows())
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DNADET_DATA", str(data))
                patch.setenv("DNADET_BUILD", str(build))
                zoo.render("smoke", workers=1)
    return World(data, build, build / "images" / "smoke")


@pytest.fixture
def world(built_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The small world, where the library looks for data. It is shared: do not write to it."""
    monkeypatch.setenv("DNADET_DATA", str(built_world.data))
    monkeypatch.setenv("DNADET_BUILD", str(built_world.build))
    return built_world


@pytest.fixture
def tiny_model() -> DNADet:
    """A random five-class model of width 8 with the pocket preset's input."""
    torch.manual_seed(0)
    spec = InputSpec(resize=None, patch=32, vote="patches", high_pass=True)
    model = DNADet(5, 8, classes=zoo.CLASSES, input=spec)
    traces = LabelledTraces(torch.rand(60, sum(model.trace_sizes)), np.arange(60) % 5)
    model.reference = trace_distances(traces, model.trace_sizes)
    model.threshold = 0.5
    return model.eval()


@pytest.fixture
def checkpoint(tiny_model: DNADet, tmp_path: Path) -> Path:
    """The random model as a file."""
    path = tmp_path / "tiny.safetensors"
    save_model(tiny_model, path, preset="none", seed=0)
    return path


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke profile of the shipped data, rendered once for all test processes."""
    base = tmp_path_factory.getbasetemp()
    build = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "lessons-build"
    with FileLock(f"{build}.lock"), lessons.variables(DNADET_BUILD=str(build)):
        root = zoo.image_root("smoke")
        if not lessons.is_rendered("smoke", root):
            zoo.render("smoke", workers=1)
    return root


@pytest.fixture
def build(rendered: Path, tmp_path: Path) -> Iterator[Path]:
    """A build folder that holds the smoke images and nothing else, as for a lesson run alone."""
    folder = tmp_path / "build"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "smoke").symlink_to(rendered, target_is_directory=True)
    with lessons.variables(DNADET_BUILD=str(folder)):
        yield folder


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Headless Chromium, with WebGL drawn by the processor."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return lacking("playwright is not installed: pip install -e '.[test]'")
    if CHROMIUM is None:
        return lacking("no Chromium: apt install chromium, or name one in DNADET_CHROMIUM")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def lacking(what: str) -> None:
    """Skip, or fail where a browser is required."""
    if os.environ.get("DNADET_BROWSER") == "required":
        pytest.fail(what)
    pytest.skip(f"NOT TESTED IN A BROWSER: {what}")
