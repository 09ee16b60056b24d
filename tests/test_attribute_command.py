"""`dnadet attribute` and `dnadet embed` as a user meets them: streams, signals, exit statuses."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import photograph, write_images

from dnadet_lib import cli
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.cli import main
from dnadet_lib.commands import printing as attribute_command
from dnadet_lib.explorer.embedding_file import read_embeddings
from dnadet_lib.explorer.embedding_parts import parts_folder
from dnadet_lib.explorer.embedding_writing import write_embeddings
from dnadet_lib.plumbing import progress

ROOT = Path(__file__).parents[1]


@pytest.fixture
def pictures(tmp_path, rng) -> Path:
    """A folder with twelve images."""
    write_images(tmp_path / "pictures", 12, rng)
    return tmp_path / "pictures"


@pytest.fixture
def attribute(checkpoint):
    """Call `dnadet attribute` with the small checkpoint."""
    return lambda *arguments: main(["attribute", *map(str, arguments), "--model", str(checkpoint)])


def heed_interrupts() -> None:
    """Undo what a shell does to a job in the background: that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def start(checkpoint):
    """Start `python -m dnadet_lib` in a process of its own."""

    def begin(command: str, *arguments: object, **options) -> subprocess.Popen:
        line = [sys.executable, "-m", "dnadet_lib", command, *map(str, arguments)]
        return subprocess.Popen(
            [*line, "--model", str(checkpoint)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            preexec_fn=None if os.name == "nt" else heed_interrupts, **options,
        )  # fmt: skip

    return begin


def results_of(text: str) -> list[dict]:
    return json.loads(text)["results"]


def test_the_summary_counts_classes_refusals_and_what_was_not_read(
    pictures, tiny_model, tmp_path, capsys
):
    scores = tiny_model.attribute(sorted(pictures.iterdir())).unknown_scores
    tiny_model.threshold = float(np.sort(scores)[[8, 9]].mean())
    save_model(tiny_model, tmp_path / "m.safetensors")
    (pictures / "empty.png").write_bytes(b"")
    (pictures / "notes.txt").write_text("no image")
    arguments = ["attribute", str(pictures), "--model", str(tmp_path / "m.safetensors")]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    summary = printed.err.splitlines()[-1]
    assert summary.startswith("dnadet: 12 of 13 images read: ")
    assert "outside what this model knows 3;" in summary
    assert "not read 1 (cannot be read as an image (the file is empty) 1)" in summary
    assert summary.endswith("left out 1 (.txt 1)")
    counted = sum(int(part.split()[-1]) for part in summary.split(": ")[2].split(", ")[:-1])
    assert counted == sum("outside" not in line for line in printed.out.splitlines()) == 9
    assert not any(ord(c) < 32 and c != "\n" for c in printed.err + printed.out)


def test_json_lines_hold_what_the_one_object_holds(pictures, attribute, capsys):
    (pictures / "3.png").write_bytes(b"")
    assert attribute(pictures, "missing.png", "--json") == 1
    whole = json.loads(capsys.readouterr().out)
    assert attribute(pictures, "missing.png", "--json", "--stream") == 1
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line for line in lines if "error" not in line] == whole["results"]
    assert [line for line in lines if "error" in line] == whole["errors"]
    assert last == {key: whole[key] for key in ("model", "notes", "skipped")}


def test_lines_come_before_the_end(pictures, attribute, monkeypatch, capsys):
    seen = []
    original = attribute_command.answers

    def watched(model, paths, errors, force):
        for result in original(model, paths, errors, force):
            seen.append(len(capsys.readouterr().out.splitlines()))
            yield result

    monkeypatch.setattr(attribute_command, "answers", watched)
    assert attribute(pictures) == 0
    assert seen == [0, *[1] * 11]


def test_what_is_not_checked_reads_neither_true_nor_false(pictures, tiny_model, tmp_path, capsys):
    tiny_model.reference = None
    save_model(tiny_model, tmp_path / "m.safetensors")
    arguments = ["attribute", str(pictures / "1.png"), "--model", str(tmp_path / "m.safetensors")]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "not checked whether the model knows such images" in printed.out
    assert "not checked whether the model knows such images 1" in printed.err
    assert main([*arguments, "--json"]) == 0
    (result,) = results_of(capsys.readouterr().out)
    assert (result["known"], result["unknown_score"]) == (None, None)
    assert main([*arguments, "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["known"], row["unknown_score"]) == ("", "")
    out = tmp_path / "e.parquet"
    assert main(["embed", *arguments[1:], "--out", str(out)]) == 0
    assert pd.read_parquet(out)["known"].tolist() == [None]


def test_of_a_large_image_a_part_is_looked_at_and_that_is_said(tmp_path, rng, attribute, capsys):
    write_images(tmp_path, 1, rng, side=900)
    assert attribute(tmp_path / "0.png") == 0
    assert capsys.readouterr().out.endswith(" (8.1% of the image looked at)\n")
    assert attribute(tmp_path / "0.png", "--json") == 0
    assert results_of(capsys.readouterr().out)[0]["looked_at"] == pytest.approx(256**2 / 900**2)


def test_paths_come_from_stdin_and_home(pictures, attribute, monkeypatch, capsys):
    lines = f"{pictures}/2.png\n\n~/pictures/5.png\n".encode()
    monkeypatch.setenv("HOME", str(pictures.parent))
    monkeypatch.setenv("USERPROFILE", str(pictures.parent))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert attribute("-", "~/pictures/7.png", "--json") == 0
    names = [Path(result["path"]).name for result in results_of(capsys.readouterr().out)]
    assert names == ["2.png", "5.png", "7.png"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert attribute("-") == 2
    assert "dnadet: -: no path came on standard input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sources", "status"), [(["0.png"], 0), (["0.png", "bad.png"], 1), (["bad.png", "gone.png"], 2)]
)
def test_exit_status(pictures, attribute, capsys, sources, status):
    (pictures / "bad.png").write_bytes(b"")
    assert attribute(*(pictures / name for name in sources)) == status
    assert len(capsys.readouterr().out.splitlines()) == (status < 2)


def test_json_and_csv_exclude_each_other(attribute, capsys):
    with pytest.raises(SystemExit) as stopped:
        attribute("a.png", "--json", "--csv")
    assert stopped.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
    assert attribute("a.png", "--stream") == 2
    assert "--stream is for --json" in capsys.readouterr().err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_has_examples_and_exit_statuses(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for example in cli.COMMANDS[command].EXAMPLES:
        assert f"  dnadet {command}{example}\n" in text
    for status in (0, 1, 2, 130, 141, 143):
        assert f"\n  {status:<3}  " in text


def test_every_command_has_an_example_that_its_parser_takes():
    parser = cli.build_parser()
    for name, module in cli.COMMANDS.items():
        assert module.EXAMPLES
        for example in module.EXAMPLES:
            words = example.replace("'", "").split(" | ")[0].split(" < ")[0].split()
            assert parser.parse_args([name, *words]).command


def test_quiet_and_verbose(pictures, attribute, checkpoint, capsys):
    (pictures / "notes.txt").write_text("no image")
    assert attribute(pictures, "-q") == 0
    printed = capsys.readouterr()
    assert (len(printed.out.splitlines()), printed.err) == (12, "")
    assert attribute(pictures, "missing.png", "-q") == 1
    assert capsys.readouterr().err.startswith("dnadet: missing.png: no such file")
    assert attribute(pictures, "-v") == 0
    digest = load_model(checkpoint).sha256
    said = f"dnadet: model {checkpoint}: loaded from {checkpoint.resolve()}, SHA-256 {digest}\n"
    assert said in capsys.readouterr().err


def test_a_terminal_sees_a_bar_and_a_file_plain_lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    lines: list[str] = []
    with progress.counting(40, line=lines.append) as count:
        count.add(10)
    assert [line.split(",")[0] for line in lines] == ["10 of 40 images"]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress.counting(40, line=lines.append) as count:
        count.add(10)
        with count.aside():
            print("a result")
    printed = capsys.readouterr()
    assert "images" in printed.err and "40" in printed.err
    assert printed.out == "a result\n"
    assert len(lines) == 1
    with progress.counting(40, quiet=True) as count:
        count.add(10)
    assert capsys.readouterr().err == ""


def test_version_and_module(start):
    with subprocess.Popen(
        [sys.executable, "-m", "dnadet_lib", "--version"], stdout=subprocess.PIPE, cwd=ROOT
    ) as done:
        assert done.stdout.read().startswith(b"dnadet")
    assert done.returncode == 0


def many(folder: Path, rng, count: int, side: int = 256) -> Path:
    """Write a list that names a few files often enough for a run of some time."""
    paths = write_images(folder, 1, rng, side=side)
    for number in range(1, count):
        (folder / f"copy{number}.png").hardlink_to(paths[0])
    listed = folder / "paths"
    listed.write_text("".join(f"{path}\n" for path in sorted(folder.glob("*.png"))))
    return listed


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_what_was_found(start, tmp_path, rng, sent, status):
    listed = many(tmp_path / "many", rng, 3000)
    with listed.open("rb") as source, start("attribute", "-", stdin=source) as running:
        first = running.stdout.readline().decode()
        running.send_signal(sent)
        out, err = (text.decode() for text in running.communicate(timeout=120))
    assert running.returncode == status
    lines = [first, *out.splitlines(keepends=True)]
    assert all(line.startswith(str(tmp_path)) and line.endswith("\n") for line in lines)
    assert len(lines) < 3000
    assert "Traceback" not in err
    if sent == signal.SIGINT:
        (line,) = err.splitlines()
        assert line.startswith(f"dnadet: interrupted: {len(lines)} of 3,000 images read: ")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_what_an_interrupted_run_found_is_valid_json(start, tmp_path, rng):
    listed = many(tmp_path / "many", rng, 3000)
    options = ("attribute", "-", "--json", "--stream")
    with listed.open("rb") as source, start(*options, stdin=source) as running:
        first = json.loads(running.stdout.readline())
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=120)
    *results, last = map(json.loads, out.splitlines())
    assert running.returncode == 130
    assert all(result.keys() == first.keys() for result in results)
    assert list(last) == ["model", "notes", "skipped"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_that_goes_away_ends_it_quietly(start, tmp_path, rng):
    listed = many(tmp_path / "many", rng, 3000)
    with listed.open("rb") as source, start("attribute", "-", stdin=source) as running:
        running.stdout.readline()
        running.stdout.close()
        err = running.stderr.read()
        running.wait(timeout=120)
    assert (running.returncode, err) == (141, b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_embed_goes_on_after_a_kill(start, tmp_path, rng, checkpoint, capsys):
    listed = many(tmp_path / "many", rng, 1500, side=64)
    out = tmp_path / "e.parquet"
    folder = parts_folder(out)
    with listed.open("rb") as source, start("embed", "-", "--out", out, stdin=source) as running:
        while running.poll() is None and not (folder / "000000.parquet").is_file():
            pass
        running.kill()
    assert running.returncode == -signal.SIGKILL
    done = pd.read_parquet(folder / "000000.parquet")
    assert 500 <= len(done) < 1500 and not out.exists()
    kept = sorted(folder.glob("0*.parquet"))
    few = listed.read_text().splitlines()
    model = load_model(checkpoint)
    counts: list[int] = []
    arguments = {"name": str(checkpoint), "methods": ("PCA",), "progress": counts.append}
    with pytest.warns(UserWarning, match=r"goes on after [0-9,]+ of 1,500 images"):
        assert write_embeddings(model, [Path(p) for p in few], out, **arguments) == (1500, [])
    assert counts[0] >= len(done) * len(kept) / 2 and sum(counts) == 1500
    assert not folder.exists()
    assert [str(path) for path in read_embeddings(out).paths] == few


class Killed(BaseException):
    """Stands for the end of the process."""


def die_after(count: int):
    """Make a progress function that stops the work after so many images."""
    done = 0

    def progress(more: int) -> None:
        nonlocal done
        done += more
        if done > count:
            raise Killed

    return progress


@pytest.mark.parametrize("change", ["nothing", "an image", "the list", "the checkpoint", "a part"])
def test_what_is_done_is_used_only_if_nothing_has_changed(
    change, pictures, checkpoint, tiny_model, tmp_path, rng, monkeypatch, capsys
):
    monkeypatch.setattr("dnadet_lib.explorer.embedding_writing.PART", 3)
    monkeypatch.setattr("dnadet_lib.inference._workers", lambda model: 1)  # parts end at 3 and 7
    (pictures / "1.png").write_bytes(b"")
    paths, out = sorted(pictures.iterdir()), tmp_path / "e.parquet"
    options = {"name": "tiny", "methods": ()}
    with pytest.raises(Killed):
        write_embeddings(load_model(checkpoint), paths, out, progress=die_after(7), **options)
    assert list(parts_folder(out).glob("0*.parquet"))
    if change == "an image":
        write_images(pictures, 1, rng, side=70)
    elif change == "the list":
        paths = paths[1:]
    elif change == "the checkpoint":
        tiny_model.temperature = 3.0
        save_model(tiny_model, checkpoint)
    elif change == "a part":
        (parts_folder(out) / "000001.parquet").write_bytes(b"PAR1")
    counts: list[int] = []
    count, errors = write_embeddings(
        load_model(checkpoint), paths, out, progress=counts.append, **options
    )
    assert (counts[0] >= 6) == (change == "nothing")
    assert (counts[0] > 0) == (change in ("nothing", "a part"))
    assert count == len(paths) - 1
    assert len(errors) == 1 and "1.png" in errors[0]
    expected = load_model(checkpoint).attribute([p for p in paths if p.name != "1.png"])
    np.testing.assert_allclose(read_embeddings(out).embeddings, expected.embeddings, atol=1e-5)
    assert not parts_folder(out).exists()


def test_arrays_are_named_by_number(tiny_model, rng):
    from dnadet_lib.inference import answers

    errors: list[dict[str, str]] = []
    images = [photograph(rng, 64, 64), photograph(rng, 16, 16)]
    assert [result["path"] for result in answers(tiny_model, images, errors)] == ["image 0"]
    assert errors[0]["path"] == "image 1" and "smaller than a patch" in errors[0]["error"]
