"""What is written: nothing of the user's is lost, and a second run is told."""

from __future__ import annotations

import ast
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from support import write_images, write_manifest, write_photographs, write_zoo, zoo_row

from dnadet_lib import cli, plots
from dnadet_lib.checkpoints.models import save_model
from dnadet_lib.cli import main
from dnadet_lib.course import lessons, site
from dnadet_lib.course.lesson_models import fresh
from dnadet_lib.course.running import execute, own_kernel
from dnadet_lib.data import ImageSet
from dnadet_lib.explorer import explorer, forms
from dnadet_lib.explorer.embedding_writing import write_embeddings
from dnadet_lib.explorer.page import write_page
from dnadet_lib.plumbing import files
from dnadet_lib.plumbing.files import LOCK, claimed_file, claimed_folder, locked
from dnadet_lib.zoo import manifest as zoo, photographs as photos
from dnadet_lib.zoo.manifest import CLASSES
from dnadet_lib.zoo.rendering import MARKER, render_photos, render_split, rendered_images

CLONE = Path(__file__).resolve().parents[2]


class Inline:
    """A pool that does the work in this process, at once."""

    def __init__(self, *arguments: object, **options: object) -> None:
        pass

    def __enter__(self) -> Inline:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def submit(self, function: Callable, *arguments: object) -> Future:
        done: Future = Future()
        done.set_result(function(*arguments))
        return done


@pytest.fixture(scope="module")
def small_data(tmp_path_factory) -> Path:
    """A data folder with two generators and a few photographs."""
    data = tmp_path_factory.mktemp("small") / "data"
    write_photographs(data / "photos")
    rows = [zoo_row("SNGAN", "meadow", 1, "dev"), zoo_row("MMDGAN", "meadow", 2, "test")]
    write_zoo(data / "zoo", rows)
    return data


@pytest.fixture
def small(small_data, tmp_path, monkeypatch) -> Path:
    """The small data, where the library looks for data; renders happen in this process."""
    monkeypatch.setenv("DNADET_DATA", str(small_data))
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr("dnadet_lib.zoo.rendering.ProcessPoolExecutor", Inline)
    return small_data


@pytest.fixture
def pictures(tmp_path, rng) -> Path:
    """A folder of class folders, two images each, and a list of them."""
    for name in CLASSES:
        write_images(tmp_path / "pictures" / name, 2, rng)
    lines = [f"pictures/{name}/{i}.png\t{k}" for k, name in enumerate(CLASSES) for i in range(2)]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "pictures"


@pytest.fixture
def state(tiny_model, pictures, tmp_path, monkeypatch) -> explorer.Explorer:
    """An explorer of the pictures, with a map."""
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    found = explorer.open_images(tiny_model, {"mine": ImageSet.from_folders(pictures)})
    found.maps["PCA"] = found.embeddings[:, :2].copy()
    return found


def snapshot(folder: Path, *left_out: Path) -> dict[str, str]:
    """What lies under a folder, outside some others: path -> hash, link or "folder"."""
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [n for n in folders if Path(place, n) not in left_out]
        for name in (*folders, *names):
            path = Path(place, name)
            if path in left_out:
                continue
            if path.is_symlink():
                kind = f"link to {os.readlink(path)}"
            else:
                kind = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = kind
    return found


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that fails, and return the line that says why, after notes on the images."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("dnadet: ") for line in lines)
    return lines[-1]


# Rendering ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["real/horizons/dev", "GANs/SNGAN/SNGAN_meadow_s1/dev"])
@pytest.mark.parametrize("name", ["holiday.jpg", "00000.png", "album/a.png"])
def test_render_refuses_a_folder_of_somebody_elses_files(small, tmp_path, capsys, place, name):
    own = tmp_path / "mine" / place / name
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    before = snapshot(tmp_path / "mine")
    arguments = ["render", "--profile", "smoke", "--count", "1", "--out", str(tmp_path / "mine")]
    line = refusal(arguments, capsys)
    what = f"{tmp_path / 'mine' / place}: holds '{name.split('/')[0]}', which no render wrote"
    assert what in line
    assert "choose another folder" in line
    after = snapshot(tmp_path / "mine")
    after.pop(LOCK)
    assert after == before  # not even the other folders are begun


def test_a_list_of_checksums_is_no_marker_of_ours(small, tmp_path, capsys):
    folder = tmp_path / "mine" / "real" / "meadow" / "dev"
    folder.mkdir(parents=True)
    (folder / "source.sha256").write_text(f"{'0' * 64}  a.png\n")
    (folder / "a.png").write_bytes(b"mine")
    arguments = ["render", "--profile", "smoke", "--count", "1", "--out", str(tmp_path / "mine")]
    assert "holds 'a.png', which no render wrote" in refusal(arguments, capsys)
    assert (folder / "a.png").read_bytes() == b"mine"


def rendered(root: Path, generator: zoo.Generator) -> Path:
    render_split(generator, "dev", 2, root)
    return root / "GANs" / generator.architecture / generator.name / "dev"


def test_what_is_put_among_rendered_images_stays_and_does_not_count(small, tmp_path):
    first, second = zoo.read_manifest()
    folder = rendered(tmp_path, first)
    own = [folder / "notes.txt", folder / "holiday.png", folder / "cut" / "00000.png"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    old = [path.read_bytes() for path in rendered_images(folder)]
    other = replace(second, name=first.name, architecture=first.architecture)
    other.__dict__["load"] = second.load  # its weights, under the first one's name
    render_split(other, "dev", 2, tmp_path)
    assert all(path.read_bytes() == b"mine" for path in own)
    assert [path.name for path in rendered_images(folder)] == ["00000.png", "00001.png"]
    assert all(path.read_bytes() not in old for path in rendered_images(folder))


def test_an_image_of_the_users_under_a_rendered_name_is_not_deleted(small, tmp_path):
    generator = zoo.read_manifest()[0]
    folder = rendered(tmp_path, generator)
    Image.new("RGB", (300, 200)).save(folder / "00001.png")
    (folder / MARKER).write_text("f" * 64)
    before = snapshot(folder)
    with pytest.raises(OSError, match="dev: holds '00001.png', which no render wrote"):
        render_split(generator, "dev", 2, tmp_path)
    assert snapshot(folder) == before


def test_renders_stay_where_weights_are_missing(small, tmp_path):
    generator = zoo.read_manifest()[0]
    folder = rendered(tmp_path, generator)
    before = snapshot(folder)
    gone = replace(generator, sha256="f" * 64, file=tmp_path / "gone.safetensors")
    with pytest.raises(FileNotFoundError, match="gone.safetensors is missing"):
        render_split(gone, "dev", 2, tmp_path)
    assert snapshot(folder) == before


def test_a_finished_render_is_recognised(small, tmp_path, monkeypatch):
    arguments = ["render", "--profile", "smoke", "--count", "2", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")}
    (marker,) = (tmp_path / "out" / "GANs" / "SNGAN").rglob("source.sha256")
    assert marker.read_text() == zoo.read_manifest()[0].sha256

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("rendered again")

    for name in ("cut_crops", "sample_images"):
        monkeypatch.setattr(f"dnadet_lib.zoo.rendering.{name}", fail)
    assert main(arguments) == 0
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.png")} == before
    assert len(before) == 2 * (2 * 4 + 2)


def test_a_linked_folder_that_leads_out_is_not_rendered_to(small, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "real").symlink_to(tmp_path / "elsewhere")
    arguments = ["render", "--profile", "smoke", "--count", "1", "--out", str(tmp_path / "out")]
    assert f"real/horizons/dev: leads out of {tmp_path / 'out'}" in refusal(arguments, capsys)
    assert not list((tmp_path / "elsewhere").iterdir())


HOSTILE_NAMES = ["..", "../up", "/tmp/abs", "a/b", ".hidden", "a\nb", "a\x1b[2Jb", "C:\\a", "x."]


@pytest.mark.parametrize("field", ["name", "file"])
@pytest.mark.parametrize("value", HOSTILE_NAMES)
def test_names_of_a_manifest_are_plain(tmp_path, field, value):
    rows = [zoo_row("SNGAN", "meadow", 0, "train") | {"sha256": "0" * 64, field: value}]
    write_manifest(tmp_path, rows)
    name = re.escape(repr(rows[0]["name"]))
    wanted = f"manifest.csv, row {name}, {field}: {re.escape(repr(value))} is no plain name"
    with pytest.raises(ValueError, match=wanted):
        zoo.read_manifest(tmp_path)


def test_names_of_a_manifest_that_some_systems_take_for_one(tmp_path):
    rows = [zoo_row("SNGAN", "meadow", 0, "train", name=name) for name in ("Net_1", "net_1")]
    write_manifest(tmp_path, [row | {"sha256": "0" * 64} for row in rows])
    with pytest.raises(ValueError, match="two rows have the name 'Net_1'"):
        zoo.read_manifest(tmp_path)


def test_a_weights_file_that_is_a_link_out_of_the_zoo(tmp_path):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "other.safetensors").write_bytes(b"")
    (tmp_path / "zoo" / "a.safetensors").symlink_to(tmp_path / "other.safetensors")
    row = zoo_row("SNGAN", "meadow", 0, "train") | {"sha256": "0" * 64, "file": "a.safetensors"}
    write_manifest(tmp_path / "zoo", [row])
    with pytest.raises(ValueError, match="a.safetensors: leads out of .*zoo"):
        zoo.read_manifest(tmp_path / "zoo")


@pytest.mark.parametrize("file", ["../a.png", "meadow/../../a.png", "ABSOLUTE", "", "link/a.png"])
def test_photographs_lie_in_their_folder(tmp_path, file):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    Image.new("RGB", (200, 200)).save(tmp_path / "a.png")
    file = str(tmp_path / "a.png") if file == "ABSOLUTE" else file
    (folder / "photos.csv").write_text(f"file,content,group\n{file},meadow,train\n")
    wanted = "photos.csv, row .*is no plain name|leads out of .*photos"
    with pytest.raises(ValueError, match=wanted):
        photos.load_photographs("meadow", "train", folder)


def test_a_column_that_photos_csv_lacks(tmp_path):
    (tmp_path / "photos.csv").write_text("file,content\na.png,meadow\n")
    with pytest.raises(ValueError, match="photos.csv: column 'group' is missing"):
        photos.load_photographs("meadow", "train", tmp_path)


# The site ----------------------------------------------------------------------------------------

OLD_PAGE = "<style>body { font: system-ui, sans-serif; color: #222; background: #fff; }</style>"


def make_site(build: Path) -> Path:
    return site.build_site([], build, [])


def test_site_removes_its_own_pages_alone(small, tmp_path):
    index = make_site(tmp_path / "build")
    folder = index.parent
    (folder / "00_old.html").write_text(OLD_PAGE)
    (folder / "01_old.html").write_text(index.read_text())
    own = {"notes.html": OLD_PAGE, "02_mine.html": "<p>mine</p>", "a.css": "a", "sub/x.html": "b"}
    for name, text in own.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    make_site(tmp_path / "build")
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == {*own, "index.html"}
    assert all((folder / name).read_text() == text for name, text in own.items())


@pytest.mark.parametrize("name", ["index.html", "explorer.html"])
def test_site_does_not_overwrite_a_page_of_somebody_else(small, tmp_path, capsys, name):
    folder = tmp_path / "build" / "site"
    folder.mkdir(parents=True)
    (folder / name).write_text("<h1>my own site</h1>")
    before = snapshot(folder)
    line = refusal(["site"], capsys)
    assert f"{folder / name}: is no page that dnadet wrote" in line and "move it elsewhere" in line
    assert snapshot(folder) == before


def test_a_site_folder_that_leads_elsewhere(small, tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "00_a.html").write_text(OLD_PAGE)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "site").symlink_to(tmp_path / "web")
    with pytest.raises(ValueError, match="site: leads out of .*build"):
        make_site(tmp_path / "build")
    assert [p.name for p in (tmp_path / "web").iterdir()] == ["00_a.html"]


def test_a_lesson_that_does_not_exist_changes_nothing(small, tmp_path, capsys):
    make_site(tmp_path / "build")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "build").rglob("*")}
    assert main(["run", "99"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no lesson '99': choose one of 00_start_here" in line
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "build").rglob("*")} == before


# Lessons -----------------------------------------------------------------------------------------


def a_notebook(path: Path, source: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source)]
    spec = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
    return path


@pytest.mark.notebooks
def test_lessons_run_in_this_interpreter_whatever_python3_is(tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["false"], "display_name": "x", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    lesson = a_notebook(tmp_path / "a.ipynb", "import sys\nprint(sys.executable)")
    execute(lesson, tmp_path / "copy.ipynb", {}, tmp_path / "build")
    executed = nbformat.read(tmp_path / "copy.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text.strip() == sys.executable
    assert os.environ["JUPYTER_PATH"] == str(tmp_path / "jupyter")


def test_the_interpreter_that_lacks_a_kernel_is_named(monkeypatch):
    find = lessons.importlib.util.find_spec
    monkeypatch.setattr(
        lessons.importlib.util, "find_spec", lambda n: None if n == "ipykernel" else find(n)
    )
    wanted = f"ipykernel, .* is missing for {re.escape(sys.executable)}"
    with pytest.raises(lessons.LessonError, match=wanted), own_kernel():
        pass


def test_a_fresh_run_removes_a_training_state_and_nothing_else(tmp_path):
    folder = fresh(tmp_path / "run")
    torch.save({"history": [], "parts": []}, folder / "state.pt")
    (folder / "notes.txt").write_text("mine")
    fresh(folder)
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]
    for content in (b"mine", b""):
        (folder / "state.pt").write_bytes(content)
        with pytest.raises(lessons.LessonError, match="state.pt: is no state of a training run"):
            fresh(folder)
        assert (folder / "state.pt").read_bytes() == content


def test_no_lesson_removes_every_file_of_a_folder():
    for file in (CLONE / "notebooks").glob("*.ipynb"):
        source = "\n".join(cell.source for cell in nbformat.read(file, as_version=4).cells)
        assert not re.search(r"rmtree|in \w+\.iterdir\(\):\s+\w+\.unlink", source), file.name


def test_two_runs_of_the_lessons(small, tmp_path, capsys):
    with claimed_folder(tmp_path / "build" / "notebooks"):
        assert "notebooks: another run is writing it" in refusal(["run", "00"], capsys)


# The explorer ------------------------------------------------------------------------------------


def test_an_export_overwrites_exports_alone(state, tmp_path):
    folder = tmp_path / "out"
    explorer.export(state, np.arange(3), folder)
    explorer.export(state, np.arange(2, 6), folder)  # a second one, over what the first wrote
    assert len(pd.read_csv(folder / "selection.csv")) == 4
    copies = sorted(folder.glob("*.png"))
    assert copies[0].read_bytes() == state.paths[2].read_bytes()
    edited = folder / "selection.csv"
    edited.write_text(edited.read_text() + "my remark\n")
    before = snapshot(folder)
    with pytest.raises(FileExistsError, match="selection.csv: is there already and is not as"):
        explorer.export(state, np.arange(2), folder)
    assert snapshot(folder) == before


@pytest.mark.parametrize("name", ["selection.csv", "0001_1.png"])
def test_an_export_into_a_folder_of_ones_own(state, tmp_path, name):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=f"{name}: is there already"):
        explorer.export(state, np.arange(2), folder)
    assert snapshot(folder) == {name: hashlib.sha256(b"mine").hexdigest()}


def test_an_export_into_the_folder_of_the_images(state, tmp_path):
    linked = tmp_path / "out"
    linked.mkdir()
    (linked / "0000_0.png").symlink_to(state.paths[1])
    before = snapshot(tmp_path, linked)
    with pytest.raises(FileExistsError, match="0000_0.png: is there already"):
        explorer.export(state, np.arange(2), linked)
    assert snapshot(tmp_path, linked) == before


@pytest.mark.parametrize("name", ["..", ".", "/tmp/x", "../up", "a/b", "a\nb"])
def test_names_of_exports_are_plain(state, tmp_path, name):
    from dnadet_lib.explorer.widgets import Panel

    panel = Panel(state)
    panel.maps[0].widget.selection = [0, 1]
    panel.name.value = name
    before = snapshot(tmp_path)
    panel.say(panel._export)
    assert "is no plain name" in panel.said.value
    assert snapshot(tmp_path) == before


def test_added_files_stay_in_their_folder_and_apart(state, tmp_path):
    from dnadet_lib.explorer.widgets import Panel

    panel, added = Panel(state), tmp_path / "build" / "added"
    contents = [state.paths[i].read_bytes() for i in (0, 1)]
    before = snapshot(tmp_path, tmp_path / "build")
    for name in ("..", "a/..", "", "\\"):
        panel.say(lambda name=name: panel._add_files([{"name": name, "content": contents[0]}]))
        assert "is no name of a file" in panel.said.value
    for name in ("../../a.png", "C:\\pictures\\a.png", "/tmp/a.png"):
        panel.say(lambda name=name: panel._add_files([{"name": name, "content": contents[0]}]))
    panel.say(lambda: panel._add_files([{"name": "a.png", "content": contents[1]}]))
    assert sorted(p.name for p in added.iterdir()) == ["a-2.png", "a.png"]
    assert [(added / name).read_bytes() for name in ("a.png", "a-2.png")] == contents
    assert snapshot(tmp_path, tmp_path / "build") == before


def test_a_page_does_not_take_the_place_of_an_image(state):
    before = state.paths[0].read_bytes()
    with pytest.raises(ValueError, match="0.png: is one of the inputs"):
        write_page(state, state.paths[0])
    assert state.paths[0].read_bytes() == before


# Outputs that are inputs -------------------------------------------------------------------------


def linked(pictures: Path, output: str) -> None:
    """Put a list's image where a command writes: its bytes are PNG, its name is the output's."""
    target = pictures.parent / "out" / output
    target.parent.mkdir(exist_ok=True)
    target.write_bytes((pictures / "Real" / "0.png").read_bytes())
    lines = [(pictures.parent / "list.txt").read_text(), f"out/{output}\t0\n"]
    (pictures.parent / "list.txt").write_text("".join(lines))


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("embed", "a.parquet"), ("report", "a.html"), ("report", "a.json"),
        ("evaluate", "results.md"),
        ("evaluate", "results.json"), ("evaluate", "predictions-list.parquet"),
        ("audit", "audit.md"), ("audit", "audit-list.csv"), ("train", "history.csv"),
        ("train", "model.safetensors"), ("train", "state.pt"),
    ],
)  # fmt: skip
def test_an_image_that_a_list_names_is_not_overwritten(
    pictures, checkpoint, tmp_path, capsys, command, output
):
    linked(pictures, output)
    images, model = str(tmp_path / "list.txt"), ["--model", str(checkpoint)]
    classes, out = ["--classes", *CLASSES], str(tmp_path / "out")
    arguments = {
        "embed": [images, *model, "--out", f"{out}/{output}"],
        "report": [images, *model, "--out", f"{out}/a.html"],
        "evaluate": ["--test", images, *model, *classes, "--out", out],
        "audit": ["--train", images, "--test", images, *classes, "--out", out],
        "train": ["--preset", "smoke", "--train", images, "--dev", images, *classes, "--out", out],
    }
    before = snapshot(tmp_path)
    line = refusal([command, *arguments[command]], capsys)
    assert f"out/{output}: is one of the inputs and would be lost" in line
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("command", ["embed", "report"])
def test_a_name_that_ends_in_another_format_is_refused(
    pictures, checkpoint, tmp_path, capsys, command
):
    before = snapshot(tmp_path)
    for name in ("0.png", "x.csv", "x"):
        target = pictures / "Real" / name
        line = refusal(
            [command, str(pictures), "--model", str(checkpoint), "--out", str(target)], capsys
        )
        ending = {"embed": ".parquet", "report": ".html or .htm"}[command]
        assert f"{target}: end the name in {ending}, which is what is written" in line
    assert snapshot(tmp_path) == before


def test_the_checkpoint_is_not_overwritten(pictures, checkpoint, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    started = checkpoint.rename(tmp_path / "run" / "model.safetensors")
    before = started.read_bytes()
    own = ["--train", str(pictures), "--dev", str(pictures)]
    line = refusal(
        ["train", "--preset", "smoke", *own, "--pretrained", str(started),
         "--out", str(tmp_path / "run")], capsys,
    )  # fmt: skip
    assert "run/model.safetensors: is one of the inputs" in line
    assert started.read_bytes() == before


@pytest.mark.parametrize("place", ["", "run"])
def test_a_run_among_class_folders_is_refused(pictures, tmp_path, capsys, place):
    arguments = ["train", "--preset", "smoke", "--train", str(pictures), "--dev", str(pictures)]
    line = refusal([*arguments, "--out", str(pictures / place)], capsys)
    assert "lies in the images' folder" in line and "choose another place" in line


def test_embeddings_are_not_written_over_an_image(tiny_model, pictures, tmp_path):
    file = (pictures / "Real" / "0.png").rename(tmp_path / "a.parquet")
    before = file.read_bytes()
    with pytest.raises(ValueError, match="a.parquet: is one of the inputs"):
        write_embeddings(tiny_model, [file], file, name="tiny", methods=())
    with pytest.raises(ValueError, match="x.csv: the table is written as Parquet"):
        write_embeddings(tiny_model, [file], tmp_path / "x.csv", name="tiny", methods=())
    assert file.read_bytes() == before


def test_a_figure_is_written_in_the_format_of_its_name(tmp_path):
    starts = {"a.png": b"\x89PNG", "a.pdf": b"%PDF", "a.SVG": b"<?xml"}
    for name, start in starts.items():
        plots.save(plt.figure(), tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    for name in ("a.txt", "a"):
        with pytest.raises(ValueError, match=f"{name}: no format of a figure"):
            plots.save(plt.figure(), tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 3
    plt.close("all")


# Before work begins ------------------------------------------------------------------------------

WRITERS = {  # every command that writes to --out, and what it writes there
    "pretrain": ([], "folder"),
    "train": ([], "folder"),
    "evaluate": ([], "folder"),
    "suite": ([], "folder"),
    "audit": ([], "folder"),
    "render": ([], "folder"),
    "embed": (["a.png"], "x.parquet"),
    "report": (["a.png"], "x.html"),
    "grade": (["."], "x.csv"),
    "enrol": (["new", "a.png"], "x.safetensors"),
    "convert": (["x.pth"], "x.safetensors"),
    "data": (["lists", "."], "folder"),
}
each_writer = pytest.mark.parametrize("command", WRITERS)


def written_to(command: str, out: Path) -> list[str]:
    options, kind = WRITERS[command]
    target = out if kind == "folder" else out.with_name(kind)
    return [command, *options, "--out", str(target)]


def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every command fail the test if it begins."""

    def fail(options: object) -> int:
        raise AssertionError("work began")

    for name, module in cli.COMMANDS.items():
        if name != "render":
            monkeypatch.setattr(module, "run", fail)


def test_every_command_with_an_output_is_tried():
    parser = cli.build_parser()
    (commands,) = (a.choices for a in parser._actions if isinstance(a.choices, dict))
    with_output = {
        name for name, own in commands.items() if any(a.dest == "out" for a in own._actions)
    }
    assert with_output == WRITERS.keys()


@each_writer
def test_a_place_that_cannot_be_written_is_found_before_work(
    small, tmp_path, monkeypatch, capsys, command
):
    no_work(monkeypatch)
    (tmp_path / "file").write_text("mine")
    below = refusal(written_to(command, tmp_path / "file" / "out"), capsys)
    assert re.search(r"file/\S+: cannot be written \(.*\); choose another place", below)
    if WRITERS[command][1] == "folder":
        taken = refusal(written_to(command, tmp_path / "file"), capsys)
        assert "file: cannot be written: it is a file; give a folder's name" in taken
    assert (tmp_path / "file").read_text() == "mine"


@each_writer
def test_a_folder_without_the_right_to_write(small, tmp_path, monkeypatch, capsys, command):
    no_work(monkeypatch)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", refuse)
    line = refusal(written_to(command, tmp_path / "out"), capsys)
    assert "cannot be written (Permission denied); choose another place" in line


@pytest.mark.parametrize("command", ["embed", "report"])
def test_files_that_are_protected_or_none(tmp_path, monkeypatch, capsys, command):
    no_work(monkeypatch)
    target = tmp_path / WRITERS[command][1]
    target.write_text("mine")
    target.chmod(0o444)
    assert "write-protected" in refusal(written_to(command, target), capsys)
    assert target.read_text() == "mine"
    target.unlink()
    target.mkdir()
    assert "it is a folder; give a file's name" in refusal(written_to(command, target), capsys)
    target.rmdir()
    os.mkfifo(target)
    assert "it is no plain file" in refusal(written_to(command, target), capsys)
    with pytest.raises(OSError, match="no plain file"), files.atomic_path(target):
        pass


@pytest.mark.parametrize("command", [c for c in WRITERS if c != "render"])
def test_a_second_run_is_told(tmp_path, monkeypatch, capsys, command):
    no_work(monkeypatch)
    arguments = written_to(command, tmp_path / "out")
    claim = claimed_folder if WRITERS[command][1] == "folder" else claimed_file
    with claim(Path(arguments[-1])):
        assert f"{arguments[-1]}: another run is writing it" in refusal(arguments, capsys)


def test_of_two_renders_one_waits(small, tmp_path, monkeypatch):
    waited = []
    held = locked

    @contextmanager
    def watched(folder: Path) -> Iterator[None]:
        waited.append(folder)
        with held(folder):
            yield

    monkeypatch.setattr("dnadet_lib.zoo.rendering.locked", watched)
    arguments = ["render", "--profile", "smoke", "--count", "1", "--out", str(tmp_path / "out")]
    with held(tmp_path / "out"):
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys\nfrom dnadet_lib.plumbing.files import locked\n"
             "from pathlib import Path\nprint('asked', flush=True)\n"
             "with locked(Path(sys.argv[1])):\n    print('held')", str(tmp_path / "out")],
            stdout=subprocess.PIPE, text=True, cwd=CLONE,
        )  # fmt: skip
        assert process.stdout is not None and process.stdout.readline() == "asked\n"
        time.sleep(0.5)
        assert process.poll() is None  # it waits
    assert process.communicate(timeout=120)[0] == "held\n"
    assert main(arguments) == 0
    assert waited == [tmp_path / "out"]


def test_a_lock_is_not_written_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK).symlink_to(tmp_path / "mine")
    for hold in (files.locked, claimed_folder):
        with pytest.raises(OSError, match="is a link where a lock"), hold(tmp_path / "out"):
            pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_lock_file_of_the_users_stays(tmp_path):
    (tmp_path / ".lock").write_text("mine")
    for hold in (files.locked, claimed_folder):
        with hold(tmp_path):
            pass
    assert (tmp_path / ".lock").read_text() == "mine"


@pytest.mark.parametrize("name", ["a" * 243 + ".parquet", "ä" * 120 + ".parquet", "\udcff.parquet"])
def test_long_and_odd_names_of_outputs(tmp_path, name):
    target = tmp_path / name
    with claimed_file(target), files.atomic_path(target) as temporary:
        temporary.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert target.read_text() == "x"


# A full disk -------------------------------------------------------------------------------------


@contextmanager
def full_disk(left: int = 4096) -> Iterator[None]:
    """Inside the block, let no file grow beyond some bytes: it fails as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


PIXELS = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)


def memory_map(path: Path) -> None:
    mapped = np.lib.format.open_memmap(path, "w+", np.uint8, (1000, 100))
    files.reserve(path)
    mapped[:] = 1


LIBRARIES: dict[str, Callable[[Path], Any]] = {
    "a.txt": lambda path: path.write_text("x" * 9999),
    "a.png": lambda path: Image.fromarray(PIXELS).save(path, "PNG"),
    "a.webp": lambda path: Image.fromarray(PIXELS).save(path, "WEBP", lossless=True),
    "a.safetensors": lambda path: save_file({"a": torch.zeros(9999)}, path),
    "a.pt": lambda path: torch.save({"a": torch.zeros(9999)}, path),
    "a.parquet": lambda path: pd.DataFrame({"a": PIXELS.ravel()}).to_parquet(path),
    "a.csv": lambda path: pd.DataFrame({"a": PIXELS.ravel()}).to_csv(path),
    "a.npy": lambda path: np.save(path, PIXELS),
    "map.npy": memory_map,
    "figure.png": lambda path: plt.figure().add_subplot().imshow(PIXELS).figure.savefig(path),
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_full_disk_is_named_and_what_was_there_is_kept(tmp_path, name):
    target = tmp_path / name
    target.write_bytes(b"old")
    wanted = rf"{name}: cannot be written \(.*(?i:file too large|full).*\); what was there .*kept"
    with full_disk(), pytest.raises(OSError, match=wanted) as caught:
        with files.atomic_path(target) as temporary:
            LIBRARIES[name](temporary)
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == {name: hashlib.sha256(b"old").hexdigest()}
    plt.close("all")


@pytest.mark.parametrize(
    ("error", "caught"),
    [
        (RuntimeError("a fault of the program"), RuntimeError),
        (KeyError("x"), KeyError),
        (FileNotFoundError(2, "No such file or directory", "input.png"), FileNotFoundError),
        (OSError("input.png: cannot be read as an image"), OSError),
    ],
)
def test_other_errors_pass_as_they_are(tmp_path, error, caught):
    with pytest.raises(caught) as found, files.atomic_path(tmp_path / "a"):
        raise error
    assert found.value is error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["embed", "report", "evaluate", "audit"])
def test_a_command_on_a_full_disk_says_one_line(pictures, checkpoint, tmp_path, capsys, command):
    out, model = tmp_path / "out", ["--model", str(checkpoint)]
    out.mkdir()
    images = str(pictures)
    arguments = {
        "embed": [images, *model, "--maps", "PCA", "--out", str(out / "a.parquet")],
        "report": [images, *model, "--out", str(out / "a.html")],
        "evaluate": ["--test", images, *model, "--out", str(out)],
        "audit": ["--train", images, "--test", images, "--out", str(out)],
    }
    old = {"embed": "a.parquet", "report": "a.html", "evaluate": "results.md", "audit": "audit.md"}
    (out / old[command]).write_text("old")
    with full_disk(64):
        line = refusal([command, *arguments[command]], capsys)
    assert re.search(r"out/\S+: cannot be written \(.*too large.*\)", line)
    kept = {k: v for k, v in snapshot(out).items() if ".partial" not in k}  # embed goes on from it
    assert kept == {old[command]: hashlib.sha256(b"old").hexdigest()}


def test_a_model_on_a_full_disk(tiny_model, tmp_path):
    save_model(tiny_model, tmp_path / "m.safetensors")
    before = snapshot(tmp_path)
    with full_disk(), pytest.raises(OSError, match="m.safetensors: cannot be written"):
        save_model(tiny_model, tmp_path / "m.safetensors")
    assert snapshot(tmp_path) == before


# Being stopped -----------------------------------------------------------------------------------

STOPPED = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from dnadet_lib.plumbing.files import atomic_path, claimed_folder
from dnadet_lib.plumbing.stopping import clean_up_when_stopped, ending_cleanly

def work(path):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        time.sleep(600)

def pool(kind, folder):
    if kind == "alone":
        work(folder / "a")
    elif kind == "render":
        with ProcessPoolExecutor(2, get_context("spawn"), initializer=clean_up_when_stopped) as own:
            for future in [own.submit(work, folder / str(i)) for i in range(9)]:
                future.result()
    else:
        from joblib import Parallel, delayed, parallel_config
        with parallel_config("loky", n_jobs=2):
            Parallel()(delayed(in_suite)(folder / str(i)) for i in range(9))

def in_suite(path):
    clean_up_when_stopped()
    work(path)

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    with ending_cleanly(), claimed_folder(folder):
        pool(sys.argv[1], folder)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize("kind", ["alone", "render", "suite"])
def test_a_run_that_is_told_to_stop_leaves_nothing_half_written(tmp_path, kind, whole_group):
    (tmp_path / "script.py").write_text(STOPPED)
    out = tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": str(CLONE)}
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), kind, str(out)], env=environment,
        start_new_session=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    expected = 1 if kind == "alone" else 2
    while process.poll() is None and len(list(out.glob(".[0-9a]*-*"))) < expected:
        time.sleep(0.05)
    assert process.poll() is None
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    assert process.wait(timeout=120) == 143
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
def test_a_command_ends_with_143_and_the_signal_means_what_it_did(monkeypatch, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    stop = lambda _: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr("dnadet_lib.commands.report.run", stop)
    with pytest.raises(SystemExit) as stopped:
        main(["report", "a.png", "--out", str(tmp_path / "a.html")])
    assert stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list(tmp_path.iterdir())


# The scripts that made the data -----------------------------------------------------------------


@pytest.mark.parametrize("field", ["content", "name", "package"])
def test_photographs_are_prepared_under_plain_names(tmp_path, field):
    import prepare_photos

    row = dict.fromkeys(
        ("content", "name", "subject", "series", "author", "licence", "package", "source"), "x"
    ) | {field: "../up"}
    (tmp_path / "sources.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    with pytest.raises(ValueError, match=f"row .*, {field}: '../up' is no plain name"):
        prepare_photos.read_sources(tmp_path / "sources.csv")


def test_rows_are_added_under_locks_that_windows_has(tmp_path, monkeypatch):
    import train_gan
    import tune

    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(tune, "TUNING", tmp_path / "results" / "tuning.csv")
    for number in range(2):
        tune.add_row({"method": "a", "seed": number, "images": "f" * 8})
    assert len(pd.read_csv(tmp_path / "results" / "tuning.csv")) == 2
    plan = (train_gan.ZOO / "plan.csv").read_text()
    (tmp_path / "plan.csv").write_text(plan)
    first, second = list(train_gan.read_plan(tmp_path).values())[:2]
    for entry in (second, first):
        train_gan.add_manifest_row(vars(entry), tmp_path)
    assert list(train_gan.manifest_rows(tmp_path)) == [first.name, second.name]


# Everywhere --------------------------------------------------------------------------------------


def test_no_module_needs_what_windows_lacks():
    sources = [*CLONE.glob("*/*.py"), *CLONE.glob("notebooks/*/*.py")]
    texts = {path: path.read_text(encoding="utf-8") for path in sources}
    for path in (CLONE / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        lines = "\n\n".join(c.source for c in cells if c.cell_type == "code").splitlines()
        texts[path] = "\n".join(li for li in lines if not li.lstrip().startswith(("%", "!")))
    assert len(texts) > 50
    for path, text in texts.items():
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
        }  # fmt: skip
        assert "fcntl" not in imported, path


# Whatever names come in --------------------------------------------------------------------------

ODD_NAMES = (
    "plain", "..", "../keep", "../../keep", "keep.txt", "/keep", "a/../../keep.txt", "...", "..x",
    ".hidden", "a\nb", "a\x1b[31mb", "\u202egnp", "a\u2028b", "=cmd()", "a|b", "<img src=x>", "$x$",
    "path", "label", "\udcff\udcfe", "ü" * 90, "a" * 240, "a\\b", "C:\\keep", "con", "-o", "~", "*",
)  # fmt: skip


class HostileRuns:
    """A folder with an output, and around it files that no run may change.

    Attributes:
        base: All of it; `out` and `build` in it may change.
        wrote: How many runs left something in the output.
    """

    def __init__(self, base: Path, data: Path, checkpoint: Path, seed: int) -> None:
        self.base, self.checkpoint = base, checkpoint
        self.rng, self.wrote = np.random.default_rng(seed), 0
        self.manifest = (data / "zoo" / "manifest.csv").read_text()
        self.photos = (data / "photos" / "photos.csv").read_text()
        self.data = data
        for name in ("keep.txt", "keep", "real/meadow/dev/00000.png", "selection.csv", "x.parquet"):
            path = base / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"mine: {name}")
        write_images(base / "images", 3, self.rng)

    @property
    def out(self) -> Path:
        return self.base / "out"

    def odd(self) -> str:
        """Draw a name; sometimes an absolute one of a file that must stay."""
        if self.rng.random() < 0.15:
            return str(self.base / "keep.txt")
        return ODD_NAMES[self.rng.integers(len(ODD_NAMES))]

    def run(self) -> None:
        """Set the output up anew, draw a case and run it; all else must stay as it is."""
        for name in ("out", "build", "given"):
            shutil.rmtree(self.base / name, ignore_errors=True)
            (self.base / name).mkdir()
        cases = (self.render, self.photographs, self.listed, self.folder, self.classes,
                 self.outputs, self.exports, self.added, self.site)  # fmt: skip
        case = cases[self.rng.integers(len(cases))]
        self.plant()
        work = case()
        before = snapshot(self.base, self.out, self.base / "build")
        kept = snapshot(self.out)
        try:
            work()
        except (SystemExit, OSError, ValueError):
            pass
        assert snapshot(self.base, self.out, self.base / "build") == before, case.__name__
        self.wrote += set(snapshot(self.out)) > set(kept)
        (self.data / "zoo" / "manifest.csv").write_text(self.manifest)
        (self.data / "photos" / "photos.csv").write_text(self.photos)

    def plant(self) -> None:
        """Now and then, put a link that leads out where a command writes."""
        names = ("results.md", "results.json", "audit.md", "real", "GANs", LOCK, "selection.csv",
                 "0000_0.png", "predictions-list.parquet")  # fmt: skip
        if self.rng.random() < 0.4:
            target = self.base / ("real" if self.rng.random() < 0.5 else "keep.txt")
            (self.out / names[self.rng.integers(len(names))]).symlink_to(target)
        if self.rng.random() < 0.2:
            (self.base / "build" / "site").symlink_to(self.base / "real")

    def render(self) -> Callable[[], object]:
        rows = list(csv.DictReader(self.manifest.splitlines()))
        field = ("name", "file", "finetuned_from", "sha256")[self.rng.integers(4)]
        rows[0][field] = self.odd() if self.rng.random() < 0.8 else rows[0][field]
        path = self.data / "zoo" / "manifest.csv"
        with path.open("w", newline="", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return lambda: main(["render", "--profile", "smoke", "--count", "1", "--split", "dev",
                             "--out", str(self.out)])  # fmt: skip

    def photographs(self) -> Callable[[], object]:
        lines = ["file,content,group", f'"{self.odd()}",meadow,dev', "keep.txt,stamps,dev"]
        text = "\n".join(lines)
        (self.data / "photos" / "photos.csv").write_text(text, errors="surrogateescape")
        return lambda: render_photos("meadow", "dev", 1, self.out)

    def reading(self, source: str, command: str) -> Callable[[], object]:
        """A command that reads some images and writes to the output."""
        model = ["--model", str(self.checkpoint)]
        arguments = {
            "embed": [source, *model, "--maps", "--out", str(self.out / "x.parquet")],
            "report": [source, *model, "--out", str(self.out / "x.html")],
            "evaluate": ["--test", source, *model, "--classes", *CLASSES, "--out", str(self.out)],
            "audit": ["--train", source, "--test", source, "--classes", *CLASSES,
                      "--out", str(self.out)],
        }  # fmt: skip
        return lambda: main([command, *arguments[command]])

    def listed(self) -> Callable[[], object]:
        names = [self.odd() for _ in range(2)] + ["../images/0.png", "../images/1.png"]
        text = "".join(f"{name}\t{k % 2}\n" for k, name in enumerate(names))
        if self.rng.random() < 0.5:  # else the good lines would hardly ever be read
            text = "".join(f"{name}\t{k}\n" for k, name in enumerate(names[2:]))
        file = self.base / "given" / "list.txt"
        file.write_text(text, errors="surrogateescape")
        commands = ("embed", "report", "evaluate", "audit")
        return self.reading(str(file), commands[self.rng.integers(4)])

    def an_image(self, *parts: str) -> None:
        """Put an image under a drawn name, where the file system takes it and it is no path."""
        path = self.base / "given" / Path(*parts)
        name = self.odd()
        if "/" in name or name in ("..", "."):
            name = "plain"
        path.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            (path / f"{name}.png").write_bytes((self.base / "images" / "0.png").read_bytes())

    def folder(self) -> Callable[[], object]:
        for _ in range(3):
            self.an_image()
        command = "embed" if self.rng.random() < 0.5 else "report"
        return self.reading(str(self.base / "given"), command)

    def classes(self) -> Callable[[], object]:
        self.an_image("Real")
        name = self.odd()
        self.an_image(name if "/" not in name and name != ".." and len(name) < 200 else "ProGAN")
        return self.reading(str(self.base / "given"), "evaluate")

    def outputs(self) -> Callable[[], object]:
        command, suffix = (("embed", ".parquet"), ("report", ".html"))[self.rng.integers(2)]
        name = self.odd()
        name = "plain" if "/" in name or name == ".." else name
        target = self.out / (name + suffix if self.rng.random() < 0.8 else name)
        options = ["--maps"] if command == "embed" else []
        model = ["--model", str(self.checkpoint), *options]
        return lambda: main([command, str(self.base / "images"), *model, "--out", str(target)])

    def explored(self) -> explorer.Explorer:
        """An explorer of images whose names a table gave; no network is run."""
        names = [self.base / "images" / "0.png", Path(self.odd()), self.base / "keep.txt"]
        table = pd.DataFrame({"class": ["a"] * 3})
        return explorer.Explorer(None, names, table, np.zeros((3, 2)), np.zeros((3, 2)), ())

    def exports(self) -> Callable[[], object]:
        state, chosen = self.explored(), self.rng.permutation(3)
        return lambda: explorer.export(state, chosen, self.out)

    def added(self) -> Callable[[], object]:
        name = self.odd()

        def work() -> None:
            path = forms.place_of(name, b"mine")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"mine")

        return work

    def site(self) -> Callable[[], object]:
        return lambda: main(["site"])


def test_nothing_outside_the_output_changes_in_200_hostile_runs(
    small_data, checkpoint, tmp_path, monkeypatch
):
    shutil.copytree(small_data, tmp_path / "data")
    monkeypatch.setenv("DNADET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr("dnadet_lib.zoo.rendering.ProcessPoolExecutor", Inline)
    monkeypatch.setattr("dnadet_lib.zoo.rendering.CHUNK", 1)
    monkeypatch.setattr("dnadet_lib.course.site.lesson_files", lambda: [])
    monkeypatch.chdir(tmp_path / "data")  # where a path that is not absolute would lead
    runs = HostileRuns(tmp_path, tmp_path / "data", checkpoint, seed=0)
    for _ in range(200):
        runs.run()
    assert runs.wrote > 60  # not all of them are refused at the door
