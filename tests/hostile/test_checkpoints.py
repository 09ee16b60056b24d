"""Bad checkpoints: no tensor is dropped silently, and no code in a file is ever run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, safe_open, save_file
from support import released_state_dict

from dnadet_lib import load_model


def config_of(path: Path) -> dict:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["dnadet"])


def rewrite(path: Path, tensors: dict, config: dict) -> None:
    save_file(tensors, path, metadata={"dnadet": json.dumps(config)})


def test_name_that_is_not_shipped():
    with pytest.raises(FileNotFoundError, match="packet: neither a checkpoint file nor a shipped"):
        load_model("packet")


@pytest.mark.parametrize("kind", ["ours", "release"])
def test_missing_tensor_is_named(checkpoint, tmp_path, kind):
    if kind == "ours":
        path, tensors, config = checkpoint, load_file(checkpoint), config_of(checkpoint)
        del tensors["main.3.main.0.bias"]
        rewrite(path, tensors, config)
    else:
        path, tensors = tmp_path / "release.pth", released_state_dict(5, 8)
        del tensors["main.3.main.0.bias"]
        torch.save(tensors, path)
    with pytest.raises(ValueError, match=rf"{path.name}: tensor 'main\.3\.main\.0\.bias' is miss"):
        load_model(path)


@pytest.mark.parametrize("kind", ["ours", "release"])
def test_tensor_of_the_wrong_shape_is_named_with_both_shapes(checkpoint, tmp_path, kind):
    message = r"tensor 'main\.0\.main\.0\.weight' has shape \(8, 1, 4, 4\), expected \(8, 3, 4, 4\)"
    wrong = torch.zeros(8, 1, 4, 4)
    if kind == "ours":
        path, tensors = checkpoint, load_file(checkpoint)
        rewrite(path, tensors | {"main.0.main.0.weight": wrong}, config_of(checkpoint))
    else:
        path = tmp_path / "release.pth"
        torch.save(released_state_dict(5, 8) | {"main.0.main.0.weight": wrong}, path)
    with pytest.raises(ValueError, match=f"{path.name}: {message}"):
        load_model(path)


@pytest.mark.parametrize("extra", ["main.8.main.0.weight", "module.main.0.main.0.weight"])
def test_unexpected_tensor_is_named(tmp_path, extra):
    path = tmp_path / "release.pth"
    torch.save(released_state_dict(5, 8) | {extra: torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=f"release.pth: unexpected tensor '{extra}'"):
        load_model(path)


def test_wrong_width_in_the_configuration(checkpoint):
    config = config_of(checkpoint) | {"width": 16}
    rewrite(checkpoint, load_file(checkpoint), config)
    with pytest.raises(ValueError, match=r"tensor '.*' has shape .*, expected"):
        load_model(checkpoint)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": None},
        {"input": {"resise": 3}},
        {"width": "wide"},
        {"temperature": None},
        {"blocks": 9},
    ],
    ids=lambda change: next(iter(change)),
)
def test_configuration_with_a_fault(checkpoint, change):
    rewrite(checkpoint, load_file(checkpoint), config_of(checkpoint) | change)
    with pytest.raises(ValueError, match="tiny.safetensors: not a dnadet checkpoint"):
        load_model(checkpoint)


def test_safetensors_of_something_else(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="other.safetensors: not a dnadet checkpoint"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", [b"", b"this is text\n", b"\x80\x04garbage" * 10])
def test_file_that_is_no_checkpoint(tmp_path, suffix, content):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"bad{suffix}: not a"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_truncated_checkpoint(checkpoint, tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save(released_state_dict(5, 8), path)
    else:
        path.write_bytes(checkpoint.read_bytes())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"cut{suffix}: not a"):
        load_model(path)


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"classification_head.1.weight": 3}, {"state_dict": {}}, torch.zeros(3)],
    ids=["list", "number", "nested", "tensor"],
)
def test_pth_that_is_no_state_dict(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match="other.pth: "):
        load_model(path)


def test_classifier_of_an_impossible_shape(tmp_path):
    path = tmp_path / "release.pth"
    torch.save({"classification_head.1.weight": torch.zeros(5)}, path)
    with pytest.raises(ValueError, match=r"shape \(5,\), expected \(classes, 8 \* width\)"):
        load_model(path)


class Bomb:
    """Unpickling it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("kind", ["torch", "plain", "beside weights", "legacy"])
def test_pickle_bomb_does_not_go_off(tmp_path, kind):
    mark, path = tmp_path / "mark", tmp_path / "bomb.pth"
    if kind == "torch":
        torch.save(Bomb(mark), path)
    elif kind == "plain":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    elif kind == "legacy":
        torch.save({"x": Bomb(mark)}, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(released_state_dict(5, 8) | {"extra": Bomb(mark)}, path)
    with pytest.raises(ValueError, match="bomb.pth: not a plain state dict; .* are refused"):
        load_model(path)
    assert not mark.exists()


def test_pickle_bomb_in_a_zip_does_not_go_off(tmp_path):
    mark, path = tmp_path / "mark", tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(mark)))
        archive.writestr("archive/version", "3")
    with pytest.raises(ValueError, match="bomb.pth: not a plain state dict"):
        load_model(path)
    assert not mark.exists()


def test_the_bomb_would_go_off(tmp_path):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Bomb(mark)))
    assert mark.exists()
