"""`dnadet compare`: where two checkpoints disagree."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from support import released_state_dict, write_images

from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.cli import main


@pytest.fixture
def pair(checkpoint, tmp_path: Path, rng) -> tuple[Path, Path, Path]:
    """A checkpoint, one with other weights and its classes in another order, and six images."""
    second = load_model(checkpoint)
    second.classes = second.classes[::-1]
    layer = second.classification_head[1]
    with torch.no_grad():
        layer.weight.mul_(3)
        layer.bias.copy_(torch.randn(5, generator=torch.Generator().manual_seed(1)))
    save_model(second, tmp_path / "second.safetensors")
    write_images(tmp_path / "images", 6, rng)
    return checkpoint, tmp_path / "second.safetensors", tmp_path / "images"


def compare(*arguments: object) -> int:
    return main(["compare", *map(str, arguments)])


def test_csv_has_a_row_per_image_with_the_largest_disagreement_first(pair, capsys):
    first, second, folder = pair
    assert compare(*pair, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0]) == ["path", "a", "b", "p_a", "p_b", "difference"]
    assert {row["path"] for row in rows} == {str(path) for path in folder.iterdir()}
    apart = [float(row["difference"]) for row in rows]
    assert apart == sorted(apart, reverse=True) and apart[0] > 0.01
    a, b = load_model(first), load_model(second)
    for row in rows:
        x, y = a.attribute([row["path"]]), b.attribute([row["path"]])
        assert (row["a"], row["b"]) == (x.labels[0], y.labels[0])
        assert float(row["p_b"]) == pytest.approx(y.probabilities.max(), abs=1e-5)
        matched = y.probabilities[0][::-1]  # by name
        expected = np.abs(x.probabilities[0] - matched).sum() / 2
        assert float(row["difference"]) == pytest.approx(expected, abs=1e-5)


def test_counts_of_agreement_and_by_pair_add_up(pair, capsys):
    assert compare(*pair, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    differ = [row for row in rows if row["a"] != row["b"]]
    assert differ
    assert compare(*pair, "--top", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"6 images: {6 - len(differ)} agree, {len(differ)} disagree")
    start, end = lines.index("images  class by A / by B") + 1, lines.index("", 3)
    counted = dict(line.strip().split("  ")[::-1] for line in lines[start:end])
    assert sum(map(int, counted.values())) == len(differ)
    for names, count in counted.items():
        pairs = [f"{row['a']} / {row['b']}" for row in differ]
        assert pairs.count(names) == int(count)
    named = [line for line in lines[end + 2 :] if ".png: " in line]
    assert len(named) == 2 and rows[0]["path"] in named[0] and rows[1]["path"] in named[1]


def test_a_checkpoint_agrees_with_itself(pair, capsys):
    assert compare(pair[0], pair[0], pair[2], "--top", 0) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("6 images: 6 agree, 0 disagree")


def test_classes_that_one_alone_has_count_as_apart(pair, tmp_path, capsys):
    other = load_model(pair[1])
    other.classes = ("StyleGAN", *other.classes[1:])
    save_model(other, pair[1])
    assert compare(*pair) == 0
    said = capsys.readouterr().out
    assert "B alone knows StyleGAN" in said and "A alone knows InfoMaxGAN" in said


def test_what_cannot_be_read_is_named_and_the_rest_compared(pair, capsys):
    (pair[2] / "1.png").write_bytes(b"no image")
    assert compare(*pair) == 1
    said, told = capsys.readouterr()
    assert "5 images: " in said
    assert len([line for line in told.splitlines() if "1.png" in line]) == 1
    for path in pair[2].iterdir():
        path.write_bytes(b"no image")
    assert compare(*pair) == 2
    assert "nothing to compare" in capsys.readouterr().err


def test_numbers_are_not_compared_with_names(pair, tmp_path, capsys):
    torch.save(released_state_dict(5, 8), tmp_path / "x.pth")
    assert compare(pair[0], tmp_path / "x.pth", pair[2]) == 2
    assert "x.pth: holds no class names: `dnadet convert` adds them" in capsys.readouterr().err
