from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import write_images

from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.cli import HUGE_PAGES, main, set_up
from dnadet_lib.explorer.projection import METHODS
from dnadet_lib.zoo.manifest import CLASSES


def strict(text: str) -> dict:
    """Parse JSON as other languages do: NaN is an error."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def pictures(tmp_path, rng) -> Path:
    """A folder with three images."""
    folder = tmp_path / "pictures"
    write_images(folder, 3, rng)
    return folder


def test_attribute_json(pictures, checkpoint, capsys):
    assert main(["attribute", str(pictures), "--model", str(checkpoint), "--json"]) == 0
    printed = capsys.readouterr()
    report = strict(printed.out)
    assert list(report) == ["model", "results", "errors", "notes", "skipped"]
    assert report["model"] == str(checkpoint)
    assert report["errors"] == []
    assert printed.err.startswith("dnadet: 3 of 3 images read: ")
    assert [r["path"] for r in report["results"]] == [str(pictures / f"{i}.png") for i in range(3)]

    expected = load_model(checkpoint).attribute([pictures / "1.png"])
    result = report["results"][1]
    assert list(result) == [
        "path", "label", "cannot_tell", "nearest", "confidence", "probabilities",
        "unknown_score", "known", "history", "looked_at",
    ]  # fmt: skip
    assert result["label"] == expected.verdicts[0]
    assert result["nearest"] == expected.labels[0]
    assert list(result["probabilities"]) == list(CLASSES)
    assert result["probabilities"][result["nearest"]] == result["confidence"]
    assert result["confidence"] == pytest.approx(float(expected.probabilities.max()), abs=1e-6)
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert result["unknown_score"] == pytest.approx(float(expected.unknown_scores[0]), abs=1e-5)
    assert result["known"] is bool(expected.known[0])


def test_attribute_names_bad_files_does_the_rest_and_exits_1(pictures, checkpoint, capsys):
    (pictures / "1.png").write_bytes(b"no image")
    (pictures / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut short")
    arguments = ["attribute", str(pictures), "missing.png", "--model", str(checkpoint), "--json"]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    report = strict(printed.out)
    assert [Path(r["path"]).name for r in report["results"]] == ["0.png", "2.png"]
    bad = {Path(e["path"]).name: e["error"] for e in report["errors"]}
    assert bad.keys() == {"1.png", "cut.jpg", "missing.png"}
    for name, message in bad.items():
        assert name in message
        assert message in printed.err
    assert "Traceback" not in printed.err


def test_attribute_on_an_image_that_is_too_small(tmp_path, checkpoint, capsys, rng):
    write_images(tmp_path, 1, rng, side=16)
    assert main(["attribute", str(tmp_path / "0.png"), "--model", str(checkpoint)]) == 2
    message = "0.png: image is 16x16 pixels, smaller than a patch of 32x32"
    assert message in capsys.readouterr().err


def test_attribute_takes_folders_globs_files_and_annotation_files_once(
    pictures, checkpoint, capsys
):
    (pictures / "list.txt").write_text("2.png\t0\n")
    sources = [pictures / "list.txt", pictures / "0.png", pictures / "[01].png", pictures]
    arguments = ["attribute", *map(str, sources), "--model", str(checkpoint), "--json"]
    assert main(arguments) == 0
    results = strict(capsys.readouterr().out)["results"]
    assert [Path(r["path"]).name for r in results] == ["2.png", "0.png", "1.png"]


def test_attribute_csv(pictures, checkpoint, capsys):
    assert main(["attribute", str(pictures), "--model", str(checkpoint), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == [
        "path", "label", "confidence", "unknown_score", "known", "looked_at", "nearest",
        "cannot_tell", "history", *CLASSES,
    ]  # fmt: skip
    assert len(rows) == 3
    for row in rows:
        best = max(CLASSES, key=lambda name: float(row[name]))
        assert row["nearest"] == best
        assert row["label"] == ("" if row["cannot_tell"] else best)


@pytest.mark.parametrize(("threshold", "outside"), [(1e9, False), (-1e9, True)])
def test_attribute_says_when_an_image_is_outside_what_the_model_knows(
    pictures, tiny_model, tmp_path, capsys, threshold, outside
):
    from dnadet_lib.checkpoints.models import save_model

    tiny_model.threshold = threshold
    save_model(tiny_model, tmp_path / "m.safetensors")
    assert main(["attribute", str(pictures), "--model", str(tmp_path / "m.safetensors")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert ("outside what this model knows (unknown score" in line) == outside
        assert any(name in line for name in CLASSES)


def test_missing_model_is_named(pictures, capsys):
    assert main(["attribute", str(pictures), "--model", "nowhere.pth"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("dnadet: nowhere.pth: neither a checkpoint file nor a shipped name")
    assert "Traceback" not in error


def test_embed_writes_a_table(pictures, checkpoint, tmp_path, rng):
    write_images(pictures, 5, rng)
    out = tmp_path / "e.parquet"
    assert main(["embed", str(pictures), "--model", str(checkpoint), "--out", str(out)]) == 0
    table = pd.read_parquet(out)
    maps = {f"{method} {axis}" for method in METHODS for axis in "xy"}
    assert set(table.columns) == {
        "path", "truth", "label", "nearest", "confidence", "unknown_score", "known", "embedding",
        *(f"p_{name}" for name in CLASSES), *maps,
    }  # fmt: skip
    expected = load_model(checkpoint).attribute(sorted(pictures.glob("*.png")))
    np.testing.assert_allclose(np.stack(table["embedding"]), expected.embeddings, atol=1e-5)
    probabilities = table[[f"p_{name}" for name in CLASSES]]
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)


def test_report_writes_a_page_and_json(pictures, checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    (pictures / "bad.png").write_bytes(b"")
    out = tmp_path / "report.html"
    assert main(["report", str(pictures), "--model", str(checkpoint), "-o", str(out)]) == 1
    assert capsys.readouterr().out == f"{out}\n"
    said = strict(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert {r["path"] for r in said["results"]} == {str(pictures / f"{i}.png") for i in range(3)}
    (error,) = said["errors"]
    assert error["path"] == str(pictures / "bad.png") and "the file is empty" in error["error"]
    assert main(["attribute", str(pictures), "--model", str(checkpoint), "--json"]) == 1
    for one in strict(capsys.readouterr().out)["results"]:
        (own,) = (r for r in said["results"] if r["path"] == one["path"])
        assert own["label"] == one["label"] and own["known"] is one["known"]
        assert own["confidence"] == pytest.approx(one["confidence"], abs=1e-6)


def test_no_page_is_written_where_no_image_can_be_read(tmp_path, checkpoint, capsys):
    (tmp_path / "bad.png").write_bytes(b"no image")
    out = tmp_path / "report.html"
    assert main(["report", str(tmp_path), "--model", str(checkpoint), "-o", str(out)]) != 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"dnadet: {out}: not written, since no image could be read"
    assert not out.exists() and not out.with_suffix(".json").exists()


def test_evaluate_on_the_zoo(world, checkpoint, tmp_path, capsys):
    arguments = ["evaluate", "--profile", "smoke", "--model", str(checkpoint), "--json"]
    assert main([*arguments, "--setups", "closed", "seed", "--out", str(tmp_path)]) == 0
    rows = strict(capsys.readouterr().out)["rows"]
    assert {row["setup"] for row in rows} == {"closed", "seed"}
    assert list(rows[0]) == [
        "method", "setup", "metric", "value", "low", "high", "images", "generators",
    ]  # fmt: skip
    assert strict((tmp_path / "results.json").read_text())["rows"] == rows
    table = pd.read_parquet(tmp_path / "predictions-closed.parquet")
    accuracy = (table["truth"] == table["predicted"]).groupby(table["truth"]).mean()
    for row in rows:
        if row["setup"] == "closed" and row["metric"].startswith("recall "):
            assert row["value"] == pytest.approx(accuracy[row["metric"][7:]])


def test_suite(world, tmp_path, capsys):
    arguments = ["suite", "--profile", "smoke", "--seeds", "0", "--out", str(tmp_path), "--json"]
    rows = ["--rows", "residual correlation", "--setups", "closed", "seed"]
    assert main([*arguments, *rows]) == 0
    found = strict(capsys.readouterr().out)["rows"]
    assert {row["method"] for row in found} == {"residual correlation"}
    assert {row["setup"] for row in found} == {"closed", "seed"}
    for file in ("results.json", "results.md", "accuracy.csv", "results.png"):
        assert (tmp_path / file).stat().st_size > 0
    assert main([*arguments, *rows, "--workers", "0"]) == 2
    assert "0 workers: one or more" in capsys.readouterr().err
    assert main([*arguments, "--rows", "magic"]) == 2
    assert "row 'magic': choose of residual correlation; DCT regress" in capsys.readouterr().err


def test_evaluate_on_images_of_ones_own(tmp_path, checkpoint, capsys, rng):
    for name in ("Real", "ProGAN", "MMDGAN", "SNGAN", "InfoMaxGAN"):
        write_images(tmp_path / "mine" / name, 2, rng)
    listed = tmp_path / "list.txt"
    listed.write_text("mine/ProGAN/0.png\t1\nmine/Real/1.png\t0\n")
    model = ["--model", str(checkpoint)]
    assert main(["evaluate", "--test", str(tmp_path / "mine"), *model, "--json"]) == 0
    assert strict(capsys.readouterr().out)["rows"][0]["images"] == 10
    assert main(["evaluate", "--test", str(listed), *model]) == 0
    assert "list.txt: no names given with --classes" in capsys.readouterr().err
    classes = ["--classes", *CLASSES]
    assert main(["evaluate", "--test", str(listed), *model, *classes, "--json"]) == 0
    assert strict(capsys.readouterr().out)["rows"][0]["images"] == 2


def test_classes_of_a_test_set_are_matched_by_name(tmp_path, checkpoint, capsys, rng):
    """Folders come in sorted order, a model's classes in its own: names decide."""
    for name in CLASSES:
        write_images(tmp_path / "mine" / name, 2, rng)
    arguments = ["evaluate", "--test", str(tmp_path / "mine"), "--model", str(checkpoint)]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    table = pd.read_parquet(tmp_path / "predictions-mine.parquet")
    assert [Path(p).parent.name for p in table["path"]] == table["truth"].tolist()
    model = load_model(checkpoint)
    assert model.attribute(table["path"].tolist()).labels == table["predicted"].tolist()


def test_a_test_set_with_classes_the_model_has_not_is_refused(tmp_path, checkpoint, capsys, rng):
    for name in ("Real", "StyleGAN"):
        write_images(tmp_path / "mine" / name, 1, rng)
    arguments = ["evaluate", "--test", str(tmp_path / "mine"), "--model", str(checkpoint)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "StyleGAN" in error
    assert all(name in error for name in CLASSES)


def test_pretrain_train_and_attribute_follow_on_each_other(world, tmp_path, capsys):
    smoke = ["--profile", "smoke"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["pretrain", *smoke, "--preset", "smoke_pretrain", "--out", str(first)]) == 0
    start = ["--pretrained", str(first / "model.safetensors")]
    assert main(["train", *smoke, "--preset", "smoke", *start, "--out", str(second)]) == 0
    model = second / "model.safetensors"
    assert capsys.readouterr().out.splitlines()[-1] == str(model)
    image = next(world.images.rglob("*.png"))
    assert main(["attribute", str(image), "--model", str(model)]) == 0


def test_render_says_where_the_images_are(world, capsys):
    assert main(["render", "--profile", "smoke", "--workers", "1"]) == 0  # nothing is missing
    assert capsys.readouterr().out.strip() == str(world.images)


def test_train_and_dev_go_together(tmp_path, capsys):
    assert main(["train", "--train", str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert "--train and --dev go together" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["atribute"], ["attribute"], ["render", "--profile", "x"]]
)
def test_wrong_usage_exits_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: dnadet" in capsys.readouterr().err


def loaded_after(code: str) -> set[str]:
    """Run code in a fresh interpreter; return the modules it leaves loaded."""
    program = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_library_and_its_command_line_start_without_torch():
    loaded = loaded_after("import dnadet_lib, dnadet_lib.cli; dnadet_lib.cli.build_parser()")
    assert "dnadet_lib.cli" in loaded
    assert not loaded & {"torch", "numpy", "matplotlib", "pandas"}


def test_attribution_starts_without_what_it_does_not_need(checkpoint, pictures):
    loaded = loaded_after(
        "import contextlib, io\n"
        "from dnadet_lib.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    assert main(['attribute', {str(pictures)!r}, '--model', {str(checkpoint)!r}]) == 0"
    )
    assert "torch" in loaded
    assert not loaded & {"umap", "numba", "matplotlib", "sklearn", "pandas", "cv2", "IPython"}


def test_large_pages_are_asked_for_unless_the_user_says_otherwise(monkeypatch):
    options = argparse.Namespace(quiet=False)
    monkeypatch.delenv(HUGE_PAGES, raising=False)
    with set_up(options):
        assert os.environ[HUGE_PAGES] == "1"
    assert HUGE_PAGES not in os.environ
    monkeypatch.setenv(HUGE_PAGES, "0")
    with set_up(options):
        assert os.environ[HUGE_PAGES] == "0"
