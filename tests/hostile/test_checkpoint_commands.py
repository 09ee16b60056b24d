"""Bad checkpoints given to every command that takes one: a line on stderr, and no answer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, safe_open, save_file
from support import photograph, released_state_dict, write_images

from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.cli import main
from dnadet_lib.model import DNADet

COMMANDS = ("attribute", "json", "csv", "evaluate", "evaluate json", "embed", "report", "train")


@pytest.fixture
def folders(tmp_path: Path, rng) -> Path:
    """A folder of two class folders."""
    for name in ("Real", "ProGAN"):
        write_images(tmp_path / "images" / name, 2, rng)
    return tmp_path / "images"


def arguments_of(command: str, model: Path, images: Path) -> list[str]:
    """A command that uses a checkpoint, with whatever else it needs."""
    named, out = ["--model", str(model)], images.parent / "out"
    single = str(images / "Real")
    return {
        "attribute": ["attribute", single, *named],
        "json": ["attribute", single, *named, "--json"],
        "csv": ["attribute", single, *named, "--csv"],
        "evaluate": ["evaluate", "--test", str(images), *named, "--out", str(out)],
        "evaluate json": ["evaluate", "--test", str(images), *named, "--json"],
        "embed": ["embed", single, *named, "--out", str(out / "e.parquet"), "--maps", "PCA"],
        "report": ["report", single, *named, "--out", str(out / "r.html")],
        "train": [
            "train", "--train", str(images), "--dev", str(images), "--preset", "smoke",
            "--pretrained", str(model), "--out", str(out / "run"),
        ],
    }[command]  # fmt: skip


def bad_checkpoint(kind: str, checkpoint: Path) -> Path:
    """A checkpoint with a fault, made from a good one."""
    with safe_open(checkpoint, "pt") as file:
        config = json.loads(file.metadata()["dnadet"])
    tensors, path = load_file(checkpoint), checkpoint.with_name("bad.safetensors")
    changes = {
        "temperature": {"temperature": 0}, "width": {"width": 10**9},
        "vote": {"input": config["input"] | {"vote": "all"}},
        "classes": {"classes": ["a", "a", "b", "c", "d"]}, "threshold": {"threshold": "high"},
        "blocks": {"trace_blocks": [99]},
    }  # fmt: skip
    if kind == "nan":
        tensors["main.1.main.1.running_mean"][0] = math.nan
    elif kind == "whole":
        path = path.with_suffix(".pth")
        torch.save(DNADet(5, 8), path)
        return path
    elif kind == "text":
        path.write_text("not weights\n")
        return path
    elif kind == "list":
        config = [config]
    else:
        config |= changes[kind]
    save_file(tensors, path, metadata={"dnadet": json.dumps(config)})
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_checkpoint_is_one_line(checkpoint, folders, capsys, command):
    kinds = "nan temperature width vote classes threshold blocks whole text list".split()
    for kind in kinds:
        path = bad_checkpoint(kind, checkpoint)
        assert main(arguments_of(command, path, folders)) in (1, 2), kind
        said, told = capsys.readouterr()
        assert said == "", kind
        lines = [line for line in told.splitlines() if "are training images too" not in line]
        assert len(lines) == 1 and lines[0].startswith(f"dnadet: {path}: "), (kind, lines)
        assert "weights_only" not in told and lines[0].isprintable()
    assert not list((folders.parent / "out").rglob("*.*"))


@pytest.fixture
def overflowing(tiny_model, tmp_path: Path) -> Path:
    """A checkpoint whose weights are finite, and what it makes of images is not."""
    with torch.no_grad():
        tiny_model.classification_head[1].bias.fill_(3e38)
    tiny_model.temperature = 0.01
    save_model(tiny_model, tmp_path / "large.safetensors")
    return tmp_path / "large.safetensors"


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_an_image_without_a_finite_answer_is_named(overflowing, folders, capsys, command):
    assert main(arguments_of(command, overflowing, folders)) in (1, 2)
    said, told = capsys.readouterr()
    images = sorted((folders / "Real").iterdir())
    if command.startswith("evaluate"):
        images += sorted((folders / "ProGAN").iterdir())
    lines = [line for line in told.splitlines() if "numbers that are not finite" in line]
    named = [line for line in lines if any(f"{image}: " in line for image in images)]
    assert len(named) == len(images)
    assert all(any(str(image) in line for line in named) for image in images)
    assert "nan" not in said.lower() and "Real 0" not in said
    if command == "json":
        found = json.loads(said)
        assert found["results"] == [] and len(found["errors"]) == len(images)


def test_a_release_under_any_name_takes_the_names_of_a_list(tmp_path, rng, capsys):
    paths = write_images(tmp_path / "images", 2, rng)
    listed = tmp_path / "test.txt"
    listed.write_text("".join(f"{path}\t{k}\n" for k, path in enumerate(paths)))
    names = ["--classes", "Real", "Fake"]
    for name in ("release.pth", "release.pt", "release.safetensors"):
        state = released_state_dict(2, 8)
        model = tmp_path / name
        if model.suffix == ".safetensors":
            save_file(state, model)
        else:
            torch.save(state, model)
        with torch.no_grad():
            command = ["evaluate", "--test", str(listed), "--model", str(model), "--json", *names]
            assert main(command) == 0
        said, told = capsys.readouterr()
        assert {"recall Real", "recall Fake"} <= {row["metric"] for row in json.loads(said)["rows"]}
        assert told == ""


def test_a_line_says_what_was_done_to_names(tmp_path, capsys, rng):
    model, picture = tmp_path / "parallel.pth", tmp_path / "picture.png"
    torch.save({f"module.{k}": v for k, v in released_state_dict(2, 8).items()}, model)
    Image.fromarray(photograph(rng, 32, 32)).save(picture)
    assert main(["attribute", str(picture), "--model", str(model), "--json"]) == 0
    said, told = capsys.readouterr()
    assert told.splitlines()[0] == f"{model}: read without the prefix 'module.' of all its names"
    result = json.loads(said)["results"][0]
    expected = load_model(model).attribute([picture]).probabilities[0]
    np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-6)
