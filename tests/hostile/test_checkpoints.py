"""Bad checkpoints: no tensor is dropped silently, and no code in a file is ever run."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from argparse import Namespace
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, safe_open, save_file
from support import photograph, released_state_dict, write_images

from dnadet_lib import DNADet, load_model
from dnadet_lib.attribution import infer, views_of
from dnadet_lib.checkpoints.models import save_model
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.predictions import predict
from dnadet_lib.inference import readable_features
from dnadet_lib.model import InputSpec
from dnadet_lib.presets import get_preset
from dnadet_lib.stages.stage_2 import run_training
from dnadet_lib.unknown import Distances


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
        {"blocks": 0},
        {"blocks": True},
        {"blocks": 2.0},
        {"classes": [0, 1, 2, 3, 4]},
        {"classes": ["a", "b", "c", "d", "a"]},
        {"classes": ["a", "b", "c", "d", " "]},
        {"classes": ["a", "b", "c", "d", "\ud800"]},
        {"classes": []},
        {"classes": ["Real"]},
        {"classes": "abcde"},
        {"classes": {"Real": 0}},
        {"width": 10**9},
        {"width": 0},
        {"width": -8},
        {"width": 8.0},
        {"width": 10**4000},
        {"backbones": 2},
        {"backbones": "2"},
        {"discriminant": "yes"},
        {"discriminant": 1},
        {"trace_blocks": [99]},
        {"trace_blocks": [4, 0]},
        {"trace_blocks": [0, 0]},
        {"trace_blocks": [-1]},
        {"trace_blocks": []},
        {"trace_blocks": "04"},
        {"trace_blocks": [[0]]},
        {"temperature": 0},
        {"temperature": -1.5},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "1"},
        {"temperature": True},
        {"temperature": 10**400},
        {"threshold": math.nan},
        {"threshold": -math.inf},
        {"threshold": "0.3"},
        {"threshold": [0.3]},
        {"input": None},
        {"input": []},
        {"input": {}},
        {"input": {"resize": None}},
    ],
    ids=lambda change: f"{change}"[:40],
)
def test_configuration_with_a_fault(checkpoint, change):
    rewrite(checkpoint, load_file(checkpoint), config_of(checkpoint) | change)
    field = next(iter(change))
    with pytest.raises(ValueError, match="tiny.safetensors: not a dnadet checkpoint") as caught:
        load_model(checkpoint)
    assert field in str(caught.value)  # which one it is
    assert_one_short_line(caught.value)


def assert_one_short_line(error: BaseException) -> None:
    assert str(error).isprintable() and len(str(error)) < 600


@pytest.mark.parametrize(
    "change",
    [
        {"vote": "majority"},
        {"vote": None},
        {"vote": ["whole"]},
        {"resize": -3},
        {"resize": 0},
        {"resize": 10**9},
        {"resize": 64.0},
        {"resize": True},
        {"resize_first": 10**9},
        {"resize_first": "64"},
        {"resize_filter": "nosuch"},
        {"resize_filter": None},
        {"patch": 0},
        {"patch": -32},
        {"patch": None},
        {"patch": 10**9},
        {"patch": 8},  # eight blocks halve it to nothing
        {"resize": 16},  # the patches have 32
        {"high_pass": "no"},
        {"high_pass": 0},
    ],
    ids=str,
)
def test_input_with_a_fault(checkpoint, change):
    config = config_of(checkpoint)
    config["input"] |= change
    rewrite(checkpoint, load_file(checkpoint), config)
    with pytest.raises(ValueError, match=r"tiny.safetensors: not a dnadet .* \(input ") as caught:
        load_model(checkpoint)
    assert_one_short_line(caught.value)


@pytest.mark.parametrize("change", [{"vote": "all"}, {"resize": 4}, {"patch": 7}, {"patch": 600}])
def test_an_input_of_ones_own_is_checked_too(change):
    with pytest.raises(ValueError, match=f"input {next(iter(change))} "):
        InputSpec(**change)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2]", "3", "null", '"text"', "[" * 10**5, '{"a":' * 10**5, "{}", "9" * 10**4,
     "\x00\x01", '{"classes": "' + "a" * 2**20 + '"}'],
    ids=lambda text: f"{text[:9]!r} {len(text)}",
)  # fmt: skip
def test_header_that_is_no_configuration(checkpoint, text):
    tensors = load_file(checkpoint)
    save_file(tensors, checkpoint, metadata={"dnadet": text})
    with pytest.raises(ValueError, match=r"tiny.safetensors: not a dnadet checkpoint \(") as caught:
        load_model(checkpoint)
    assert_one_short_line(caught.value)


@pytest.mark.parametrize("length", [2**60, 2**64 - 1, 2**24 + 1, 10**5])
def test_header_of_an_absurd_length(checkpoint, length):
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(struct.pack("<Q", length) + content[8 : 10**5])
    with pytest.raises(ValueError, match=f"tiny.safetensors: not a dnadet .*header of {length} "):
        load_model(checkpoint)


def test_header_with_more_classes_than_tensors_can_tell(checkpoint):
    many = {"classes": [str(k) for k in range(9_999)]}
    rewrite(checkpoint, load_file(checkpoint), config_of(checkpoint) | many)
    with pytest.raises(ValueError, match=r"tiny.safetensors: tensor '.*' has shape .*, expected"):
        load_model(checkpoint)
    many = {"classes": [str(k) for k in range(10_001)]}
    rewrite(checkpoint, load_file(checkpoint), config_of(checkpoint) | many)
    with pytest.raises(ValueError, match="not a dnadet checkpoint .*10001 names: must be a list"):
        load_model(checkpoint)


# Numbers that are not finite ---------------------------------------------------------------------


def weights_of(model: DNADet, path: Path) -> dict[str, torch.Tensor]:
    save_model(model, path)
    return load_file(path)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "name",
    ["main.0.main.0.weight", "main.3.main.1.running_mean", "main.3.main.1.running_var",
     "main.7.main.1.bias", "classification_head.1.bias", "reference.means",
     "reference.precisions.2"],
)  # fmt: skip
def test_weights_that_are_not_finite_are_refused(checkpoint, name, value):
    tensors = load_file(checkpoint)
    tensors[name].view(-1)[3] = value
    rewrite(checkpoint, tensors, config_of(checkpoint))
    message = f"tiny.safetensors: tensor '{name}' holds 1 numbers that are not finite"
    with pytest.raises(ValueError, match=message):
        load_model(checkpoint)


@pytest.mark.parametrize("name", ["whitening.weight", "whitening.bias"])
def test_whitening_that_is_not_finite_is_refused(tmp_path, name):
    path = tmp_path / "fisher.safetensors"
    tensors = weights_of(DNADet(3, 8, blocks=3, discriminant=True), path)
    tensors[name].view(-1)[0] = math.nan
    rewrite(path, tensors, config_of(path))
    with pytest.raises(ValueError, match=f"fisher.safetensors: tensor '{name}' holds 1 numbers"):
        load_model(path)


@pytest.mark.parametrize("kind", [".pth", "double", "variance"])
def test_released_weights_that_are_not_finite_are_refused(tmp_path, kind):
    path, state = tmp_path / "release.pth", released_state_dict(5, 8)
    state["main.2.main.1.running_var"][1] = -1.0 if kind == "variance" else math.nan
    if kind == "double":  # finite there, and not in single precision
        state["main.2.main.1.running_var"] = torch.full((16,), 1e300, dtype=torch.float64)
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"release.pth: tensor 'main\.2\.main\.1\.running_var' h"):
        load_model(path)


@pytest.mark.parametrize(
    "fault", ["weight", "reference", "temperature", "zero", "threshold", "note"]
)
def test_a_model_that_is_not_finite_is_not_written(tiny_model, tmp_path, fault):
    path, notes = tmp_path / "model.safetensors", {}
    path.write_text("what was there")
    if fault == "weight":
        with torch.no_grad():
            tiny_model.main[2].main[0].weight[0] = math.nan
    elif fault == "reference":
        tiny_model.reference.precisions[0][0, 0, 0] = math.inf
    elif fault in ("temperature", "zero"):
        tiny_model.temperature = math.nan if fault == "temperature" else 0.0
    elif fault == "threshold":
        tiny_model.threshold = math.nan
    else:
        notes = {"score": math.nan}
    with pytest.raises(ValueError, match="model.safetensors: not written: ") as caught:
        save_model(tiny_model, path, **notes)
    assert_one_short_line(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "what was there"


@pytest.mark.parametrize("select_by", ["accuracy", "last"])
def test_a_training_that_diverged_writes_no_model(tmp_path, rng, select_by):
    preset = replace(
        get_preset("smoke"), epochs=2, steps_per_epoch=2, items=2, learning_rate=1e30,
        select_by=select_by,
    )  # fmt: skip
    paths = write_images(tmp_path / "images", 4, rng, side=48)
    images = ImageSet(paths, np.arange(4) % 2, ("Real", "Fake"))
    folder = tmp_path / "run"
    with pytest.raises(ValueError, match="epoch 1, step 2: training diverges") as e:
        run_training(preset, images, images, folder=folder)
    assert_one_short_line(e.value)
    assert not (folder / "model.safetensors").exists()


@pytest.mark.parametrize("where", ["features", "logits", "distances"])
def test_numbers_that_overflow_are_no_answer(tiny_model, tmp_path, rng, where):
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    Image.fromarray(photograph(rng, 64, 64)).save(paths[0])
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(paths[1])  # all but no residual
    Image.fromarray(photograph(rng, 64, 64)).save(paths[2])
    with torch.no_grad():
        if where == "features":
            for block in tiny_model.main:
                block.main[0].weight.mul_(1e12)
                block.main[1].eps = 1e30
                block.main[1].weight.fill_(1e20)
        elif where == "logits":
            tiny_model.classification_head[1].bias.fill_(3e38)
            tiny_model.temperature = 0.01
        else:
            tiny_model.reference = Distances(
                tiny_model.reference.means + 1e25, tiny_model.reference.precisions
            )
    message = f"{paths[0]}: the model gives numbers that are not finite"
    with pytest.raises(ValueError, match=message):
        tiny_model.attribute(paths)
    with pytest.raises(ValueError, match=message):
        predict(tiny_model, ImageSet(paths, np.zeros(3, int), tiny_model.classes))
    errors: list[str] = []
    kept = [i for rows, _ in readable_features(tiny_model, paths, errors) for i in rows]
    assert len(kept) + len(errors) == 3 and message in errors[0]


def test_only_the_images_that_overflow_are_left_out(tiny_model, tmp_path, rng, monkeypatch):
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    for path in paths:
        Image.fromarray(photograph(rng, 64, 64)).save(path)
    whole = tiny_model.attribute(paths).embeddings
    odd = views_of(tiny_model, paths[1])

    def overflowing(model, views):
        features = infer(model, views)
        for place, view in enumerate(views):
            if np.array_equal(view, odd):
                features.traces[place, 0] = math.inf
        return features

    monkeypatch.setattr("dnadet_lib.inference.infer", overflowing)
    errors: list[str] = []
    found = list(readable_features(tiny_model, paths, errors))
    assert [number for kept, _ in found for number in kept] == [0, 2]
    embeddings = torch.cat([features.embeddings for _, features in found])
    np.testing.assert_allclose(embeddings, whole[[0, 2]], atol=1e-5)
    assert len(errors) == 1 and errors[0].startswith(f"{paths[1]}: ")


def test_an_image_smaller_than_the_network_can_take_is_named(tmp_path):
    model = DNADet(3, 8, input=InputSpec(resize=None)).eval()
    path = tmp_path / "small.png"
    Image.fromarray(np.zeros((15, 40, 3), np.uint8)).save(path)
    with pytest.raises(ValueError, match="small.png: image is 40x15 pixels, smaller than the 16x"):
        model.attribute([path])
    assert model.attribute([np.zeros((16, 16, 3), np.uint8)]).probabilities.shape == (1, 3)


# Files of weights of every kind ------------------------------------------------------------------


def assert_is_the_release(path: Path, precision: float = 0.0) -> DNADet:
    model = load_model(path)
    for name, tensor in released_state_dict(5, 8).items():
        found = model.state_dict()[name]
        assert found.dtype == (torch.int64 if name.endswith("tracked") else torch.float32)
        torch.testing.assert_close(found, tensor, atol=precision, rtol=precision)
    assert model.classes == ("0", "1", "2", "3", "4") and not model.named
    return model


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module.", "net.0."])
@pytest.mark.parametrize("old", [False, True])
def test_a_prefix_of_all_names_is_taken_off_and_told(tmp_path, capsys, prefix, old):
    path = tmp_path / "parallel.pth"
    state = OrderedDict((prefix + k, v) for k, v in released_state_dict(5, 8).items())
    torch.save(state, path, _use_new_zipfile_serialization=not old)
    assert_is_the_release(path)
    told = capsys.readouterr().err
    assert told == f"{path}: read without the prefix {prefix!r} of all its names\n"


def test_a_prefix_of_some_names_is_not(tmp_path):
    path, state = tmp_path / "mixed.pth", released_state_dict(5, 8)
    torch.save({k if "main.1" in k else f"module.{k}": v for k, v in state.items()}, path)
    with pytest.raises(ValueError, match="mixed.pth: .*only some names have the prefix of 'module"):
        load_model(path)


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model", "net"])
def test_a_dict_around_the_weights_is_opened_and_told(tmp_path, capsys, name):
    path, state = tmp_path / "run.tar", released_state_dict(5, 8)
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    rest = {"epoch": 3, "best": 0.9, "optimizer": optimiser.state_dict(), "names": ["a", None]}
    torch.save({**rest, name: {f"module.{k}": v for k, v in state.items()}}, path)
    assert_is_the_release(path)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"{path}: the weights are those of its entry {name!r}"
    assert len(told) == 2


def test_two_state_dicts_in_one_file_are_refused(tmp_path):
    path, state = tmp_path / "run.pth", released_state_dict(5, 8)
    torch.save({"model": state, "net": state}, path)
    with pytest.raises(ValueError, match="run.pth: .*holds 'model' and 'net'.* one state dict"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".txt", ""])
@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_the_content_decides_and_not_the_suffix(tmp_path, suffix, kind):
    path, state = tmp_path / f"release{suffix}", released_state_dict(5, 8)
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    assert_is_the_release(path)
    assert load_model(path, classes=list("abcde")).classes == tuple("abcde")


def test_our_own_checkpoint_under_another_suffix(checkpoint, tiny_model):
    moved = checkpoint.rename(checkpoint.with_suffix(".pth"))
    assert load_model(moved).classes == tiny_model.classes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ["zip", "old", "safetensors", "ours"])
def test_other_precisions_become_single(checkpoint, tmp_path, dtype, kind):
    path, state = tmp_path / "release.pth", released_state_dict(5, 8)
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    if kind == "ours":
        tensors = {k: v.to(dtype) for k, v in load_file(checkpoint).items()}
        rewrite(checkpoint, tensors, config_of(checkpoint))
        model = load_model(checkpoint)
        assert {v.dtype for v in model.state_dict().values()} == {torch.float32, torch.int64}
        assert model.reference.means.dtype == model.reference.precisions[0].dtype == torch.float32
        return
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    assert_is_the_release(path, precision=1e-2)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
@pytest.mark.parametrize("kind", ["release", "ours", "reference"])
def test_other_types_are_refused_and_named(checkpoint, tmp_path, dtype, kind):
    name = "reference.means" if kind == "reference" else "main.1.main.0.weight"
    path = checkpoint
    if kind == "release":
        path, state = tmp_path / "release.pth", released_state_dict(5, 8)
        torch.save(state | {name: state[name].to(dtype)}, path)
    else:
        tensors = load_file(checkpoint)
        rewrite(checkpoint, tensors | {name: tensors[name].to(dtype)}, config_of(checkpoint))
    found = f"{path.name}: tensor '{name}' is of type {str(dtype)[6:]}, expected float32 or"
    with pytest.raises(ValueError, match=found):
        load_model(path)


@pytest.mark.parametrize("old", [False, True])
def test_weights_saved_on_a_gpu_are_read(tmp_path, monkeypatch, old):
    path, state = tmp_path / "release.pth", released_state_dict(5, 8)
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(state, path, _use_new_zipfile_serialization=not old)
    assert b"cuda:0" in path.read_bytes()
    assert_is_the_release(path)


def test_parameters_and_views_are_read(tmp_path):
    path, state = tmp_path / "release.pth", released_state_dict(5, 8)
    name = "main.1.main.0.weight"
    big = torch.zeros(3, *state[name].shape).transpose(-1, -2)
    big[1] = state[name]
    assert not big[1].is_contiguous()
    torch.save(state | {name: torch.nn.Parameter(big[1])}, path)
    assert_is_the_release(path)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", ["model", "arguments", "numpy"])
def test_a_remedy_is_named_where_code_would_be_run(tmp_path, kind, old):
    path, state = tmp_path / "whole.pth", released_state_dict(5, 8)
    content = {
        "model": DNADet(5, 8),
        "arguments": {"state_dict": state, "args": Namespace(lr=1)},
        "numpy": {"state_dict": state, "best": np.float64(0.5)},
    }[kind]
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(ValueError, match="whole.pth: not a plain state dict; .* are refused") as e:
        load_model(path)
    named = {"model": "dnadet_lib.model.DNADet", "arguments": "argparse.Namespace"}
    assert named.get(kind, "numpy") in str(e.value)
    assert "save model.state_dict() in place" in str(e.value)
    assert "weights_only" not in str(e.value) and "torch.load" not in str(e.value)
    assert_one_short_line(e.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "neither safetensors nor what torch.save writes"),
        (b"\0" * 100, "neither safetensors nor what torch.save writes"),
        (pickle.dumps({"a": 1}), "a pickle, but not one that torch.save wrote"),
        (pickle.dumps([[0]] * 9)[:-3], "cut off or damaged"),
    ],
    ids=["lfs", "html", "zeros", "pickle", "cut"],
)
def test_other_files_are_told_apart(tmp_path, content, said):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"model.bin: not a dnadet checkpoint .*{said}"):
        load_model(path)


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="model.pth: .*not one that torch.save wrote"):
        load_model(path)


# Small files that ask for much -------------------------------------------------------------------


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def large_view(shape: tuple[int, ...], strides: tuple[int, ...]) -> Call:
    """A tensor that is declared larger than its storage."""
    storage = torch.zeros(4)._typed_storage()
    rebuild = torch._utils._rebuild_tensor_v2
    return Call(rebuild, storage, 0, shape, strides, False, OrderedDict())


def greedy_files(folder: Path, checkpoint: Path) -> list[Path]:
    """Small files, each of which asks for 8 GB or more."""
    state = released_state_dict(5, 8)
    contents = {
        "bytes": {"x": Call(bytearray, 2**33)},
        "storage": {"x": Call(torch.FloatStorage, 2**31)},
        "view": state | {"main.0.main.0.bias": large_view((2**31,), (1,))},
        "spread": state | {"classification_head.1.weight": large_view((2**16, 2**15), (0, 0))},
        "wide": {"classification_head.1.weight": torch.zeros(2, 8 * 8000)},
        "wider": {"classification_head.1.weight": torch.zeros(2, 8 * 20_000)},
    }
    old = {"_use_new_zipfile_serialization": False}
    for name, content in contents.items():
        torch.save(content, folder / f"{name}.pth")
        torch.save(content, folder / f"{name}_old.pth", **old)
    # The number of elements that a storage is said to have, as the pickle's BININT2 writes it.
    right, wrong = b"M" + struct.pack("<H", 12_345), b"M" + struct.pack("<H", 65_535)
    path = folder / "count_old.pth"
    torch.save({"x": torch.zeros(12_345)}, path, **old)
    path.write_bytes(path.read_bytes().replace(right, wrong))
    torch.save({"x": torch.zeros(12_345)}, folder / "saved.zip")
    with zipfile.ZipFile(folder / "saved.zip") as saved:
        with zipfile.ZipFile(folder / "count.pth", "w") as archive:
            for name in saved.namelist():
                archive.writestr(name, saved.read(name).replace(right, wrong))
    path = folder / "memo.pth"
    path.write_bytes(b"\x80\x02}r" + struct.pack("<I", 2**31) + b".")
    with zipfile.ZipFile(folder / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        with archive.open("archive/data/0", "w", force_zip64=True) as record:
            for _ in range(1024):
                record.write(bytes(2**20))
    changes = [{"width": 8000}, {"width": 8000, "discriminant": True}]
    for number, change in enumerate(changes):
        path = folder / f"header_{number}.safetensors"
        rewrite(path, load_file(checkpoint), config_of(checkpoint) | change)
    return sorted({*folder.glob("*.pth"), *folder.glob("*.safetensors")} - {checkpoint})


LIMITED = """
import json, resource, sys
from dnadet_lib import load_model
with open("/proc/self/statm") as file:
    own = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (own + 2**29, own + 2**29))
for path in sys.argv[1:]:
    try:
        load_model(path)
        said = "loaded"
    except ValueError as error:
        said = str(error)
    except BaseException as error:
        said = repr(error)
    print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")
def test_a_small_file_does_not_get_the_machines_memory(checkpoint, tmp_path):
    folder = tmp_path / "greedy"
    folder.mkdir()
    files = greedy_files(folder, checkpoint)
    assert max(path.stat().st_size for path in files) < 2**22
    command = [sys.executable, "-c", LIMITED, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = map(json.loads, done.stdout.splitlines())
    for path, line in zip(files, said, strict=True):
        assert line.startswith(f"{path}: "), line
        if not path.name.startswith("storage"):  # others are refused before they are made
            assert "cut off or damaged" not in line, line
        assert line.isprintable() and len(line) < 600
    assert done.stderr == ""


# Names -------------------------------------------------------------------------------------------


def test_names_of_a_checkpoint_are_its_own(checkpoint, tiny_model):
    own = list(tiny_model.classes)
    assert load_model(checkpoint, classes=own).classes == tuple(own)
    for others in (own[::-1], ["a", *own[1:]], list("abcde")):
        with pytest.raises(ValueError, match="tiny.safetensors: classes .* has names of its own"):
            load_model(checkpoint, classes=others)
    with pytest.raises(ValueError, match="2 class names given for 5 classes"):
        load_model(checkpoint, classes=own[:2])


@pytest.mark.parametrize("names", [["a", "b", "a"], ["a", "b", ""], ["a", "b", 3]])
def test_names_given_to_a_release_are_checked(tmp_path, names):
    path = tmp_path / "release.pth"
    torch.save(released_state_dict(3, 8), path)
    with pytest.raises(ValueError, match="release.pth: classes: "):
        load_model(path, classes=names)


def test_a_checkpoint_is_known_by_its_hash(checkpoint, tiny_model):
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert load_model(checkpoint).sha256 == digest
    assert tiny_model.sha256 == ""


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
