"""`dnadet convert`: from a PyTorch checkpoint to ours and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support import released_state_dict, write_images
from torch import nn

from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.cli import main

NAMES = ["Real", "ProGAN", "MMDGAN"]


class Released(nn.Module):
    """The released network, written a second time: blocks, average pool, dropout, classifier."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        sizes = [3, *(width * 2**stage for stage in range(4) for _ in range(2))]
        self.main = nn.Sequential(*(self.block(*sizes[i : i + 2], i % 2) for i in range(8)))
        self.classification_head = nn.Sequential(nn.Dropout(0.2), nn.Linear(sizes[-1], classes))

    def block(self, c_in: int, c_out: int, odd: int) -> nn.Module:
        convolution = nn.Conv2d(c_in, c_out, 4 - odd, 2 - odd, padding=1)
        block = nn.Module()
        block.main = nn.Sequential(convolution, nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2))
        return block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.main:
            x = block.main(x)
        return self.classification_head(x.mean(dim=(2, 3)))


@pytest.fixture
def released(tmp_path: Path) -> Path:
    path = tmp_path / "x.pth"
    torch.save(released_state_dict(3, 8), path)
    return path


def images(tmp_path: Path, split: str, rng: np.random.Generator) -> Path:
    """Class folders, sorted otherwise than the numbers of the classes."""
    for name in NAMES:
        write_images(tmp_path / split / name, 4, rng)
    return tmp_path / split


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


@pytest.mark.parametrize("wrapped", ["bare", "module", "state_dict"])
def test_there_and_back_is_exact_tensor_for_tensor(tmp_path, capsys, wrapped):
    state = released_state_dict(3, 8)
    first, ours, back = (tmp_path / name for name in ("x.pth", "x.safetensors", "back.pth"))
    prefixed = {f"module.{k}": v for k, v in state.items()}
    torch.save({"bare": state, "module": prefixed, "state_dict": {"state_dict": prefixed}}[wrapped],
               first)  # fmt: skip
    assert convert(first, "--classes", *NAMES, "--out", ours) == 0
    assert convert(ours, "--out", back) == 0
    assert capsys.readouterr().out == f"{ours}\n{back}\n"
    found = torch.load(back, weights_only=True)
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    network = Released(3, 8).eval()
    network.load_state_dict(found)
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(load_model(ours)(pixels), network(pixels))


def test_names_temperature_and_unknown_score_are_added(tmp_path, released, capsys, rng):
    train, dev = images(tmp_path, "train", rng), images(tmp_path, "dev", rng)
    out = tmp_path / "x.safetensors"
    arguments = (released, "--classes", *NAMES, "--train", train, "--dev", dev, "--out", out)
    with torch.no_grad():
        assert convert(*arguments) == 0
    assert capsys.readouterr().err == ""
    model, plain = load_model(out), load_model(released)
    assert model.classes == tuple(NAMES) and model.named
    assert model.temperature != 1
    assert model.reference.means.shape[0] == len(NAMES) + 1
    paths = sorted(dev.rglob("*.png"))
    found = model.attribute(paths)
    assert np.mean(found.known) >= 0.9 and np.isfinite(found.unknown_scores).all()
    assert [plain.classes[NAMES.index(name)] for name in found.labels] == plain.attribute(
        paths
    ).labels


def test_without_images_it_says_what_is_lacking(tmp_path, released, capsys):
    out = tmp_path / "x.safetensors"
    assert convert(released, "--classes", *NAMES, "--out", out) == 0
    said = capsys.readouterr().err
    assert "no temperature was fitted and there is no unknown score" in said
    assert "give --train and --dev" in said and len(said.splitlines()) == 1
    assert load_model(out).classes == tuple(NAMES)


def test_names_may_stand_beside_the_list(tmp_path, released, capsys, rng):
    for split in ("train", "dev"):
        folder = images(tmp_path, split, rng)
        (tmp_path / f"{split}.txt").write_text("".join(
            f"{path}\t{k}\n" for k, n in enumerate(NAMES) for path in (folder / n).iterdir()))
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    lists = "--train", tmp_path / "train.txt", "--dev", tmp_path / "dev.txt"
    assert convert(released, *lists, "--out", tmp_path / "x.safetensors") == 0
    assert load_model(tmp_path / "x.safetensors").classes == tuple(NAMES)


def test_the_preset_of_the_weights_says_how_images_are_resized(tmp_path, released, checkpoint):
    out = tmp_path / "x.safetensors"
    assert convert(released, "--classes", *NAMES, "--preset", "paper_wild", "--out", out) == 0
    assert (load_model(out).input.resize_first, load_model(out).input.resize) == (128, 512)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.pth", "--out", "y.safetensors"], "x.pth: holds no class names: give its 3 with"),
        (["x.pth", "--classes", "a", "--out", "y.safetensors"], "1 class names given"),
        (["tiny.safetensors", "--out", "y.pth"], "has a high-pass front end, which the released"),
        (["x.pth", "--out", "y.bin"], "end the name in .safetensors or .pth"),
        (["x.pth", "--out", "x.pth"], "x.pth: is one of the inputs"),
        (["x.pth", "--train", "x.pth", "--out", "y.pth"], "--train and --dev go together"),
        (["x.pth", "--train", ".", "--dev", ".", "--out", "y.pth"], "a .pth holds weights alone"),
        (["x.pth", "--classes", "a", "b", "c", "--preset", "pocket", "--out", "y.safetensors"],
         "--preset pocket: not for x.pth: its network has no high-pass front end"),
        (["tiny.safetensors", "--preset", "pocket", "--out", "y.safetensors"],
         "--preset pocket: not for tiny.safetensors: it holds its own input"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_one_line(
    tmp_path, released, checkpoint, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert convert(*arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0], lines
    assert not list(tmp_path.glob("y.*"))
