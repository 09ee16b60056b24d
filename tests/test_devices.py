"""`--device`: which one is chosen, and that networks and tensors go there."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from support import photograph, released_state_dict, write_images

from dnadet_lib.attribution import infer, probabilities_of, unknown_score
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.cli import main
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing import devices
from dnadet_lib.presets import get_preset
from dnadet_lib.stages import stage_1
from dnadet_lib.training import start_run, train_step


@pytest.mark.parametrize(
    ("there", "chosen"),
    [(["cuda", "mps", "cpu"], "cuda"), (["mps", "cpu"], "mps"), (["cpu"], "cpu")],
)
def test_auto_is_cuda_then_mps_then_cpu(monkeypatch, there, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)
    monkeypatch.delenv("DNADET_DEVICE", raising=False)
    assert devices.present_devices() == there
    assert devices.chosen_device().type == chosen
    monkeypatch.setenv("DNADET_DEVICE", "cpu")
    assert devices.chosen_device().type == "cpu"


def test_a_device_that_is_not_there_is_one_line(monkeypatch, capsys, tmp_path, checkpoint):
    monkeypatch.setattr(devices, "present_devices", lambda: ["mps", "cpu"])
    assert main(["attribute", "nowhere.png", "--device", "cuda"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "dnadet: device 'cuda': there is none here; choose of auto, mps, cpu"
    monkeypatch.setenv("DNADET_DEVICE", "tpu")
    arguments = ["attribute", str(tmp_path / "nowhere.png"), "--model", str(checkpoint)]
    assert main(arguments) == 2
    assert "device 'tpu': there is none here" in capsys.readouterr().err
    assert main([*arguments, "--device", "cpu"]) == 2  # the option goes first
    told = capsys.readouterr().err
    assert "tpu" not in told and "nowhere.png" in told


@pytest.fixture
def images(tmp_path: Path, rng) -> Path:
    for name in ("Real", "ProGAN"):
        write_images(tmp_path / "images" / name, 3, rng)
    return tmp_path / "images"


@pytest.mark.parametrize(
    "command", ["attribute", "report", "embed", "evaluate", "train", "pretrain", "convert"]
)
def test_every_command_moves_its_network(command, images, checkpoint, tmp_path, capsys,
                                         monkeypatch):  # fmt: skip
    """On a machine that says it has a GPU; what is moved there stays where it can be run."""
    moved, move = [], torch.nn.Module.to

    def record(module, *arguments, **keywords):
        if arguments and torch.device(arguments[0]).type == "cuda":
            moved.append(type(module))
            return module
        return move(module, *arguments, **keywords)

    monkeypatch.setattr(devices, "present_devices", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(torch.nn.Module, "to", record)
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    torch.save(released_state_dict(2, 8), tmp_path / "x.pth")
    model, lists = ["--model", str(checkpoint)], ["--train", str(images), "--dev", str(images)]
    one_step = ["--set", "epochs=1", "steps_per_epoch=1"]
    assert main([command, *{
        "attribute": [str(images), *model],
        "report": [str(images), *model, "--out", str(tmp_path / "r.html")],
        "embed": [str(images), *model, "--out", str(tmp_path / "e.parquet"), "--maps", "PCA"],
        "evaluate": ["--test", str(images), *model],
        "train": ["--preset", "smoke", *lists, *one_step, "--out", str(tmp_path / "run")],
        "pretrain": ["--photos", str(images), "--preset", "smoke_pretrain", *one_step,
                     "--out", str(tmp_path / "run")],
        "convert": [str(tmp_path / "x.pth"), "--classes", "Real", "ProGAN", *lists,
                    "--out", str(tmp_path / "x.safetensors")],
    }[command], "--device", "cuda"]) == 0  # fmt: skip
    assert DNADet in moved
    assert "dnadet: device: cuda" in capsys.readouterr().err.splitlines()
    assert "DNADET_DEVICE" not in os.environ


def test_the_device_stands_in_the_record_of_attribute(images, checkpoint, capsys):
    arguments = ["attribute", str(images), "--model", str(checkpoint), "--json"]
    assert main([*arguments, "--device", "cpu"]) == 0
    assert '"device: cpu"' in capsys.readouterr().out
    assert main(arguments) == 0
    assert '"device: ' not in capsys.readouterr().out


# `meta` is a device that every machine has: it computes shapes, and refuses a tensor of the CPU.


def test_what_attribution_computes_stays_on_the_models_device(checkpoint, rng):
    model = load_model(checkpoint).to("meta")
    views = [np.stack([photograph(rng, 32, 32)] * n) for n in (1, 3)]
    found = infer(model, views)
    assert found.embeddings.shape[0] == found.traces.shape[0] == 2
    computed = *found, probabilities_of(model, found.embeddings), unknown_score(model, found.traces)
    assert {tensor.device.type for tensor in computed} == {"meta"}


def test_a_training_step_stays_on_the_models_device(monkeypatch, rng):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(stage_1, "chosen_device", lambda: torch.device("meta"))
    preset = get_preset("smoke")
    run = start_run(stage_1.build_model(("a", "b"), preset, 0), preset, steps=1)
    views = rng.integers(0, 256, (4, 2, 32, 32, 3), dtype=np.uint8)
    figures = train_step(run, views, np.array([0, 1, 0, 1]))
    assert {figure.device.type for figure in figures.values()} == {"meta"}
