"""Names from outside that would forge a line, run as markup or formula, or break a file."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nbconvert.filters import markdown2html
from PIL import Image
from support import photograph, write_images

from dnadet_lib import plots
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.cli import main
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.predictions import predict
from dnadet_lib.evaluation.results import markdown_table, summarise
from dnadet_lib.explorer import (
    closeup,
    explorer,
    page as explorer_page,
    widgets as explorer_widgets,
)
from dnadet_lib.explorer.embedding_file import read_embeddings
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet, InputSpec
from dnadet_lib.plumbing import text
from dnadet_lib.plumbing.files import plain_name, plain_stem

NAMES = [
    "new\nline: Real 1.00", "\x1b[2K\x1b[31mReal 1.00", "carriage\rreturn", "bell\x07", "a|b",
    "<img src=x onerror=alert(1)>", "=1+1", "@SUM(1)", "+1", "quo\"te's", "back\\slash", "\\x41",
    "\u202egnp.exe", "line\u2028separator", "-x", "$\\frac{1$", "_under_", "😀", "long" * 50,
    "[a](b)", "<script><b>", "&amp;", "{{data}}", "`code`", "*bold*", "tab\tin", "ünï",
]  # fmt: skip
CLASSES = [
    "path", "label", "truth", "embedding", "known", "unknown_score", "t-SNE x", "$\\frac{1$",
    "<img src=x onerror=alert(1)>", "a|b", "=1+1", "\x1b[31mred", "new\nline", "_hidden", "&quot;",
    "very long " * 20,
]  # fmt: skip
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]")
NO_BYTES = not sys.platform.startswith("linux")  # other systems refuse names that are no UTF-8


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def folder(tmp_path: Path, rng) -> Path:
    """A folder with an image under each hostile name, and of bytes that are no UTF-8."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [f"{name}.png" for name in NAMES]
    names += [] if NO_BYTES else [os.fsdecode(b"caf\xe9\xff.png")]
    for name in names:
        Image.fromarray(photograph(rng, 32, 32)).save(folder / name)
    return folder


@pytest.fixture
def odd_model(tmp_path: Path) -> tuple[DNADet, Path]:
    """A random model of classes with hostile names, and its file."""
    spec = InputSpec(resize=None, patch=32, vote="patches", high_pass=True)
    model = DNADet(len(CLASSES), 4, classes=CLASSES, input=spec).eval()
    file = tmp_path / "odd.safetensors"
    save_model(model, file)
    return model, file


def class_folders(root: Path, rng, each: int = 2) -> Path:
    """Write a folder of images a class."""
    for name in CLASSES:
        write_images(root / name, each, rng, side=32)
    return root


def shown(path: Path | str) -> str:
    return text.one_line(path)


def cells(markdown: str) -> list[list[str]]:
    """Render Markdown; return the text of every cell of its tables."""
    rendered = markdown2html(markdown)
    assert "<img" not in rendered and "<b>" not in rendered and "<script" not in rendered
    rows = re.findall(r"<tr>(.*?)</tr>", rendered, re.DOTALL)
    return [re.findall(r"<t[dh].*?>(.*?)</t[dh]>", row, re.DOTALL) for row in rows]


# Files of hostile names --------------------------------------------------------------------------


def test_a_line_an_image(folder, checkpoint, capsys):
    assert main(["attribute", "-q", str(folder), "--model", str(checkpoint)]) == 0
    printed = capsys.readouterr()
    paths = sorted(folder.iterdir())
    lines = printed.out.split("\n")[:-1]
    assert len(lines) == len(paths) > 20
    for line, path in zip(lines, paths, strict=True):
        assert line.startswith(f"{shown(path)}: ")
        assert not CONTROL.search(line)
    assert printed.err == ""


def test_json_leads_to_the_files(folder, checkpoint, capsys):
    assert main(["attribute", str(folder), "--model", str(checkpoint), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    for result in results:
        result["path"].encode()  # no lone surrogates: other parsers refuse them
    found = [text.restored(result["path"]) for result in results]
    assert found == sorted(folder.iterdir())
    same = [result["path"] == str(path) for result, path in zip(results, found, strict=True)]
    assert same.count(False) == (0 if NO_BYTES else 1)


def test_csv_has_a_record_an_image_and_no_formula(folder, checkpoint, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    names = sorted(os.listdir("."))
    assert main(["attribute", "--model", str(checkpoint), "--csv", "--", *names]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == len(names) + 1
    records = list(csv.DictReader(io.StringIO(out)))
    for record, name in zip(records, names, strict=True):
        assert record["path"].removeprefix("'") == shown(name)
        assert record["path"][0] not in "=+-@"
    assert not CONTROL.search(out.replace("\r\n", "\n"))


def test_report_shows_names_as_they_are(folder, checkpoint, tmp_path):
    (folder / "bad\n| forged | Real |.png").write_bytes(b"no image")
    out = tmp_path / "report.html"
    assert main(["report", str(folder), "--model", str(checkpoint), "--out", str(out)]) == 1
    written = out.read_text(encoding="utf-8")
    assert not CONTROL.search(written)
    assert written.count("<script") == 1 and "<img src=x" not in written
    paths = sorted(folder.iterdir())
    found = re.findall(r'<tr data-kind="\w+"><th scope="row">(?:<a [^>]*>)?([^<]*)<', written)
    assert sorted(map(html.unescape, found)) == sorted(shown(path.name) for path in paths)
    data = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    every = [*data["results"], *data["errors"]]
    assert sorted(text.restored(entry["path"]) for entry in every) == paths


def test_embeddings_of_every_image_are_written_and_read(folder, checkpoint, tmp_path, capsys):
    out = tmp_path / "e.parquet"
    arguments = ["embed", str(folder), "--model", str(checkpoint), "--maps", "PCA"]
    assert main([*arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert ("1 names that are no UTF-8" in said) is not NO_BYTES
    paths = sorted(folder.iterdir())
    assert read_embeddings(out).paths == paths
    state = explorer.open_table(out)
    assert state.paths == paths and state.errors == []
    assert set(state.table["class"]) == {"not labelled"}
    page = explorer_page.write_page(state, tmp_path / "page.html", "T\x1b\udce9", "a\nb\udce9")
    written = page.read_text(encoding="utf-8")
    assert not CONTROL.search(written)
    assert written.count("<script") == 2 and "<img src=x" not in written
    data = json.loads(written.partition('id="data">')[2].partition("</script>")[0])
    assert data["paths"] == [shown(path.name) for path in paths]
    panel = explorer_widgets.Panel(state)
    panel.maps[0].widget.selection = list(range(len(state)))
    panel.maps[0].widget.selection = [0]
    for i in range(len(state)):
        panel.maps[0].widget.hovering = i
        assert "<img src=x" not in panel.hover.value
    assert shown(paths[0].name) in panel.close_up.value
    file = explorer.export(state, np.arange(len(state)), tmp_path / "selection")
    exported = pd.read_csv(file)
    assert exported["path"].tolist() == [shown(path) for path in paths]
    assert len(list(file.parent.glob("[0-9]*"))) == len(paths)


def test_errors_are_a_line_each(folder, checkpoint, capsys):
    for path in folder.iterdir():
        path.write_bytes(b"no image")
    forged = "no\nsuch: Real 1.00\x1b[2K"
    arguments = ["attribute", "-q", str(folder), forged, "--model", str(checkpoint)]
    assert main(arguments) == 2
    printed = capsys.readouterr()
    lines = printed.err.split("\n")[:-1]
    assert len(lines) == len(list(folder.iterdir())) + 1
    assert all(line.startswith("dnadet: ") for line in lines)
    assert not CONTROL.search(printed.err) and printed.out == ""
    assert main(["attribute", str(folder), "--model", "\x1b[31m\nno"]) == 2
    assert not CONTROL.search(capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [["attribute", "-x.png"], ["\x1b[31m"], ["run", "--\x1b"]])
def test_wrong_usage_shows_no_control_characters(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert not CONTROL.search(capsys.readouterr().err)


@pytest.mark.skipif(NO_BYTES, reason="locales are set so on Linux")
@pytest.mark.parametrize(
    "environment",
    [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}],
    ids=["C locale", "ascii"],
)
def test_an_output_that_cannot_encode(tmp_path, checkpoint, rng, environment):
    Image.fromarray(photograph(rng, 32, 32)).save(tmp_path / "Größe😀.png")
    done = subprocess.run(
        [sys.executable, "-m", "dnadet_lib.cli", "attribute", "-q", "Größe😀.png", "none\u2028.png",
         "--model", str(checkpoint)],
        cwd=tmp_path, capture_output=True, check=False,
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(rb"Gr\\x\S*e\\\S*\.png: .+\n", done.stdout)
    assert done.stderr.count(b"\n") == 1 and b"none" in done.stderr


# Classes of hostile names ------------------------------------------------------------------------


def test_every_class_has_its_column(odd_model, tmp_path, rng):
    model, file = odd_model
    folder, out = class_folders(tmp_path / "mine", rng), tmp_path / "e.parquet"
    arguments = ["embed", str(folder), "--model", str(file), "--maps", "PCA", "--out", str(out)]
    assert main(arguments) == 0
    table = pq.read_table(out)
    assert len(set(table.column_names)) == len(table.column_names)
    paths = [Path(path) for path in table.column("path").to_pylist()]
    assert table.column("truth").to_pylist() == [path.parent.name for path in paths]
    probabilities = np.stack([table.column(f"p_{name}").to_numpy() for name in CLASSES], axis=1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    state = explorer.open_table(out)
    assert state.table["class"].tolist() == [path.parent.name for path in paths]
    assert state.table["named rightly"].tolist() == [
        model.attribute([path]).labels[0] == path.parent.name for path in paths
    ]


def test_the_explorer_shows_every_class(odd_model, tmp_path, rng, monkeypatch):
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    model, _ = odd_model
    images = ImageSet.from_folders(class_folders(tmp_path / "mine", rng, 1))
    state = explorer.open_images(model, {"<set>\n": images})
    explorer.add_map(state, "PCA")
    for column in explorer.CATEGORIES:
        explorer.figure(state, column).canvas.draw()
    figure = explorer.figure(state, "class")
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(CLASSES)
    figure.canvas.draw()
    assert legend.get_window_extent().width <= figure.bbox.width
    explorer.selection_figure(state, np.arange(len(state))).canvas.draw()
    explorer.neighbours_figure(state, [0, 1], 3).canvas.draw()
    panel = explorer_widgets.Panel(state)
    boxes = panel.key.boxes
    assert len(boxes) == len(CLASSES)
    assert max(len(box.description) for box in boxes) <= text.FIGURE_AT_MOST
    for box in boxes[:3]:
        box.value = False
    hidden = {box.names for box in boxes[:3]}
    kept = np.flatnonzero(~explorer.as_text(state, "class").isin(hidden))
    assert panel.maps[0].widget.filter.tolist() == kept.tolist()
    panel.maps[0].widget.selection = list(range(len(state)))
    assert "<img src=x" not in panel.grid.value and not CONTROL.search(panel.grid.value)
    assert not any(CONTROL.search(f"{p['label']}{p['caption']}") for p in panel.pictures.pictures)
    page = explorer_page.write_page(state, tmp_path / "page.html").read_text(encoding="utf-8")
    assert not CONTROL.search(page) and "<img src=x" not in page


def test_selections_of_hostile_names(odd_model, tmp_path, rng, monkeypatch):
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    images = ImageSet(write_images(tmp_path / "some", 4, rng, side=32), np.zeros(4, int), ("x",))
    state = explorer.open_images(odd_model[0], {"mine": images})
    explorer.add_map(state, "PCA")
    panel = explorer_widgets.Panel(state)
    panel.maps[0].widget.selection = [0, 1]
    for name in ("<b>bold</b>", "..", "../up", "\x1b[31m"):
        panel.name.value = name
        panel.say(panel._keep)
        assert "<b>" not in panel.said.value and not CONTROL.search(panel.said.value)
        panel.say(panel._export)
        assert "is no plain name" in panel.said.value
    assert not list((tmp_path / "build").rglob("selection.csv"))
    panel.name.value = "fine"
    panel.say(panel._export)
    assert (tmp_path / "build" / "selections" / "fine" / "selection.csv").is_file()


def test_evaluate_and_audit_by_hostile_class_folders(odd_model, tmp_path, rng, capsys):
    folder, out = class_folders(tmp_path / "mine |\x1b", rng), tmp_path / "out"
    arguments = ["--test", str(folder), "--out", str(out)]
    assert main(["evaluate", "--model", str(odd_model[1]), *arguments]) == 0
    printed = capsys.readouterr().out
    assert not CONTROL.search(printed)
    tables = [cells(part) for part in printed.split("\n\n") if part.startswith("|")]
    assert [len(rows[0]) for rows in tables] == [2, 4, 1 + len(CLASSES)]
    table = pd.read_parquet(out / "predictions-mine __.parquet")
    assert len(table) == 2 * len(CLASSES)
    assert {f"p_{name}" for name in CLASSES} <= set(table.columns)
    assert main(["audit", "--train", str(folder), *arguments]) == 0
    printed = capsys.readouterr().out
    assert (out / "audit.md").read_text(encoding="utf-8") == printed
    assert not CONTROL.search(printed)
    rows = [row for row in cells(printed) if len(row) > 3]
    assert len(rows) == len(CLASSES) + 1
    facts = pd.read_csv(out / "audit-mine __.csv")
    assert len(facts) == 2 * len(CLASSES)
    assert not facts["class"].str.startswith(("=", "+", "-", "@")).any()
    assert main(["audit", "--train", str(folder), *arguments, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["setups"]["mine |\x1b"]["formats"]) == set(
        CLASSES
    )


@pytest.mark.skipif(NO_BYTES, reason="names that are no UTF-8 are Linux's")
def test_class_folders_that_are_no_utf8(checkpoint, tmp_path, rng, capsys):
    root = tmp_path / os.fsdecode(b"set\xff")
    for name in (b"caf\xe9", b"other"):
        write_images(root / os.fsdecode(name), 2, rng, side=32)
    images = ImageSet.from_folders(root)
    assert images.classes == (r"caf\xe9", "other")
    model = DNADet(2, 4, classes=images.classes, input=InputSpec(resize=None, patch=32))
    save_model(model, tmp_path / "m.safetensors")
    for command in ("evaluate", "audit"):
        given = ["--test", str(root), "--out", str(tmp_path / "out"), "--json"]
        given += ["--train", str(root)] if command == "audit" else ["--model"]
        given += [] if command == "audit" else [str(tmp_path / "m.safetensors")]
        assert main([command, *given]) == 0
        json.loads(capsys.readouterr().out)
    assert len(pd.read_parquet(tmp_path / "out" / "predictions-set_xff.parquet")) == 4
    assert len(pd.read_csv(tmp_path / "out" / "audit-set_xff.csv")) == 4
    state = explorer.open_images(model.eval(), {"mine": images})
    assert set(state.table["class"]) == set(images.classes)


def test_figures_of_hostile_classes(odd_model, rng):
    model, _ = odd_model
    image = photograph(rng, 32, 32)
    shares = pd.DataFrame(np.eye(len(CLASSES)), CLASSES, CLASSES)
    figure, axis = plt.subplots()
    plots.matrix(axis, shares)
    plots.class_legend(figure, CLASSES)
    figure.canvas.draw()
    probabilities = model.attribute([image]).probabilities
    title = "$\\frac{1$\nand $5"
    plots.attributions([image], probabilities, CLASSES, [title], columns=1).canvas.draw()
    plots.image_grid([image], [title], 1).canvas.draw()
    closeup.overview_figure(model, image).canvas.draw()
    closeup.votes_figure(model, [image], [title]).canvas.draw()
    closeup.degradation_figure(model, image, "noise").canvas.draw()


def test_figures_of_hostile_setups(odd_model, tmp_path, rng):
    images = ImageSet.from_folders(class_folders(tmp_path, rng, 1))
    rows = summarise("$\\frac{1$", "$\\alpha", predict(odd_model[0], images))
    plots.generator_dots(rows).canvas.draw()
    plots.suite_dots(rows).canvas.draw()


# Labels, lists and tables ------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path, rng) -> Path:
    """A list beside four images that lie in a folder whose name is no class."""
    write_images(tmp_path / "folder", 4, rng, side=32)
    file = tmp_path / "list.txt"
    file.write_text("".join(f"folder/{i}.png\t{i % 2}\n" for i in range(4)))
    return file


def truths(out: Path) -> list:
    return pq.read_table(out).column("truth").to_pylist()


def test_labels_of_a_list_are_kept(listed, checkpoint, tmp_path, capsys):
    out = tmp_path / "e.parquet"
    arguments = ["embed", str(listed), "--model", str(checkpoint), "--maps", "--out", str(out)]
    assert main(arguments) == 0
    assert truths(out) == ["Real", "ProGAN", "Real", "ProGAN"]
    err = capsys.readouterr().err
    assert "list.txt: numbers taken for the model's classes: 0 Real, 1 ProGAN, " in err
    assert main([*arguments, "--classes", "SNGAN", "Real"]) == 0
    assert truths(out) == ["SNGAN", "Real", "SNGAN", "Real"]
    assert capsys.readouterr().err == ""
    model = load_model(checkpoint)
    state = explorer.open_table(out)
    expected = [
        label == truth for label, truth in zip(model.attribute(state.paths).labels, truths(out),
                                               strict=True)
    ]  # fmt: skip
    assert state.table["named rightly"].tolist() == expected
    assert state.table["generator"].tolist() == ["folder"] * 4


def test_numbers_that_the_model_has_not_are_not_labels(listed, checkpoint, tmp_path, capsys):
    listed.write_text("folder/0.png\t0\nfolder/1.png\t7\n")
    out = tmp_path / "e.parquet"
    arguments = ["embed", str(listed), "--model", str(checkpoint), "--maps", "--out", str(out)]
    assert main(arguments) == 0
    assert "list.txt: label 7 is none of the model's classes" in capsys.readouterr().err
    assert truths(out) == [None, None]
    assert set(explorer.open_table(out).table["class"]) == {"not labelled"}
    assert explorer.open_table(out).table["named rightly"].isna().all()
    assert main([*arguments, "--classes", "a", "b"]) == 2
    assert "list.txt: label 7 is none of the classes named (0 a, 1 b)" in capsys.readouterr().err


def test_only_folders_called_after_a_class_are_labels(checkpoint, tmp_path, rng):
    for name in ("mine/Real", "mine/SNGAN/deep", "mine/holidays"):
        write_images(tmp_path / name, 1, rng, side=32)
    out = tmp_path / "e.parquet"
    arguments = ["--model", str(checkpoint), "--maps", "--out", str(out)]
    assert main(["embed", str(tmp_path / "mine"), *arguments]) == 0
    assert truths(out) == ["Real", "SNGAN", None]
    assert main(["embed", str(tmp_path / "mine" / "Real" / "0.png"), *arguments]) == 0
    assert truths(out) == ["Real"]
    assert main(["embed", str(tmp_path / "mine"), *arguments, "--classes", "holidays"]) == 0
    assert truths(out) == [None, None, "holidays"]


def test_tables_of_the_older_layout_are_read(tmp_path):
    rows = np.ones((2, 3), np.float32)
    table = {"path": ["Real/a.png", "b.png"], "Real": [0.5, 1], "truth": [0.5, 0],
             "embedding": list(rows)}  # fmt: skip
    pd.DataFrame(table).to_parquet(tmp_path / "old.parquet")
    read = read_embeddings(tmp_path / "old.parquet")
    assert read.truths == [None, None]
    assert [str(path) for path in read.paths] == ["Real/a.png".replace("/", os.sep), "b.png"]


LISTS = [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([("path", [1, 2]), ("embedding", LISTS)], "column 'path' holds int64, not text"),
        ([("path", ["a", "b"]), ("path", ["a", "b"]), ("embedding", LISTS)], "'path' stands 2"),
        ([("path", ["a", "b"]), ("embedding", ["x", "y"])], "holds string, not lists of numbers"),
        ([("path", ["a", "b"]), ("embedding", [["x"], ["y"]])], "not lists of numbers"),
        ([("path", ["a", "b"]), ("embedding", [[1.0], None])], "row 1 has no embedding"),
        ([("path", ["a", "b"]), ("embedding", [[], []])], "row 0 has no embedding"),
        ([("path", [None, None]), ("embedding", LISTS)], "holds null, not text"),
        ([("path", ["a", "b"]), ("embedding", [[None], [None]])], "finite numbers and a path"),
        ([("path", ["a", "b"]), ("embedding", LISTS), ("unknown_score", ["x", "y"])],
         "column 'unknown_score' holds string, not numbers"),
        ([("path", ["a", "b"]), ("embedding", LISTS), ("PCA x", ["", ""]), ("PCA y", [1, 2])],
         "column 'PCA x' holds string, not numbers"),
        ([("embedding", LISTS)], "no column 'path'"),
    ],
)  # fmt: skip
def test_tables_of_the_wrong_kind_are_a_line(tmp_path, columns, message):
    file = tmp_path / "t.parquet"
    names, values = zip(*columns, strict=True)
    pq.write_table(pa.table([pa.array(v) for v in values], list(names)), file)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        explorer.open_table(file)
    assert str(raised.value).startswith(f"{file}: not a table of embeddings: ")


def test_tables_without_rows_or_a_checkpoint(tmp_path):
    kinds = pa.schema([("path", pa.string()), ("embedding", pa.list_(pa.float32(), 2))])
    file = tmp_path / "t.parquet"
    pq.write_table(kinds.empty_table(), file)
    with pytest.raises(ValueError, match="t.parquet: not a table of embeddings: it has no row"):
        explorer.open_table(file)
    pq.write_table(pa.table({"path": ["a"], "embedding": [[1.0]]}), file)
    with pytest.raises(ValueError, match="t.parquet: names no checkpoint: give the one"):
        explorer.open_table(file)


def test_rows_without_a_path_are_left_out_and_counted(tmp_path):
    file = tmp_path / "t.parquet"
    paths = ["a.png", None, "", "x" * 5000 + r"\xe9"]
    rows = [[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [3, 4]]
    pq.write_table(pa.table({"path": paths, "embedding": rows}), file)
    read = read_embeddings(file)
    assert [str(path) for path in read.paths] == [paths[0], paths[3]]
    assert read.errors == [f"{file}: 2 rows have no path"]
    spec = InputSpec(resize=None, patch=32)
    model = DNADet(5, 4, input=spec)
    with pytest.raises(ValueError, match="embeddings of 2 numbers, the model's have 32"):
        explorer.open_table(file, model)


@pytest.mark.parametrize("name", ["..txt", "a\x1bb.txt", "x" * 240 + ".txt", "my list.txt"])
def test_outputs_are_called_after_a_list_plainly(name, listed, checkpoint, tmp_path, capsys):
    source = listed.rename(tmp_path / name)
    given = ["--classes", *load_model(checkpoint).classes, "--out", str(tmp_path / "out")]
    arguments = ["--test", str(source), *given]
    assert main(["evaluate", "--model", str(checkpoint), *arguments]) == 0
    assert main(["audit", "--train", str(source), *arguments]) == 0
    assert not CONTROL.search(capsys.readouterr().out)
    written = sorted(file.name for file in (tmp_path / "out").iterdir())
    stem = plain_stem(source.stem)
    expected = [f"audit-{stem}.csv", "audit.md", f"predictions-{stem}.parquet", "results.json"]
    assert written == [*expected, "results.md"]
    for file in written:
        plain_name(file, "output")


def test_plain_stems():
    stems = {"closed": "closed", "..": "unnamed", "": "unnamed", "a/b\n": "a_b_", " x. ": "x"}
    assert {text: plain_stem(text) for text in stems} == stems
    assert plain_stem("Größe 😀") == "Größe 😀"
    assert len(plain_stem("😀" * 99).encode()) <= 150


def test_markdown_tables_keep_their_cells():
    table = pd.DataFrame([[name, 0.5] for name in NAMES], columns=["a|b", "0.5 [0.4, 0.6]"])
    written = markdown_table(table)
    assert written.count("\n") == len(NAMES) + 1
    assert written.startswith("| a\\|b | 0.5 [0.4, 0.6] |\n|---|---|\n")
    assert all(len(row) == 2 for row in cells(written))


def test_images_are_still_read_behind_restored_names(folder):
    for path in folder.iterdir():
        assert read_image(text.restored(text.storable(path))).shape == (32, 32, 3)
