"""Several processes train as one would: started by `torchrun`, on the CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import photograph

from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.plumbing import ranks

# What both sides run: a step of a small network without dropout, on a batch of which each process
# takes its share.
STEP = """
import sys
from dataclasses import replace
import numpy as np, torch
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.ranks import is_first, own_share, ranks, share_batch_norm
from dnadet_lib.presets import get_preset
from dnadet_lib import training
from dnadet_lib.training import start_run, train_step

torch.set_num_threads(1)
training.fast_bf16 = lambda device: False  # bfloat16 would hide what is to be equal
preset = replace(get_preset("smoke"), contrast=sys.argv[2] == "contrast")
rng = np.random.default_rng(0)
views = rng.integers(0, 256, (12, 2, 32, 32, 3), np.uint8)
labels = np.arange(3).repeat(4)
with ranks():
    torch.manual_seed(0)
    model = DNADet(3, 4, input=preset.input).train()
    model.classification_head[0].p = 0
    share_batch_norm(model)
    run = start_run(model, preset, steps=1)
    mine = own_share(np.arange(12), 4)
    told = train_step(run, views[mine], labels[mine])
    found = {f"gradient {k}": p.grad for k, p in model.named_parameters()}
    found |= {f"buffer {k}": v.float() for k, v in model.named_buffers()}
    found |= {f"loss weights {k}": p.grad for k, p in run.weights.named_parameters()}
    found["contrast"] = told.get("contrast", torch.zeros(()))
    if is_first():
        torch.save(found, sys.argv[1])
"""


def launch(arguments: list[str], processes: int) -> subprocess.CompletedProcess:
    """Run Python with some arguments, or `torchrun` where several processes are asked for."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run([*start, *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("loss", ["contrast", "classification"])
def test_two_processes_take_the_step_of_one_with_the_joined_batch(tmp_path, loss):
    script = tmp_path / "step.py"
    script.write_text(STEP)
    for processes in (1, 2):
        done = launch([str(script), str(tmp_path / f"{processes}.pt"), loss], processes)
        assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    assert one.keys() == two.keys()
    for name, expected in one.items():
        if expected is None:  # the loss weights learn nothing where there is one loss
            assert two[name] is None
        else:
            torch.testing.assert_close(two[name], expected, rtol=0, atol=1e-5, msg=name)


def test_a_share_has_as_many_of_every_class(monkeypatch):
    labels = np.arange(3).repeat(4)
    monkeypatch.setattr(ranks, "world_size", lambda: 2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        shares.append(ranks.own_share(np.arange(12), 4))
        assert np.bincount(labels[shares[-1]]).tolist() == [2, 2, 2]
    assert sorted(np.concatenate(shares)) == list(range(12))
    monkeypatch.setattr(ranks, "world_size", lambda: 3)
    with pytest.raises(ValueError, match="items 4: 3 processes cannot share them evenly"):
        ranks.own_share(np.arange(12), 4)


def test_two_processes_train_and_the_first_alone_writes_and_prints(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "dev"):
        for name in ("A", "B"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.fromarray(photograph(rng, 48, 48)).save(folder / f"{number}.png")
    command = ["-m", "dnadet_lib", "train", "--preset", "smoke"]
    command += ["--train", str(tmp_path / "train"), "--dev", str(tmp_path / "dev")]
    out = tmp_path / "out"
    done = launch([*command, "--out", str(out)], 2)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "2", "epoch", "epoch", str(out / "model.safetensors"),
    ]  # fmt: skip
    assert load_model(out / "model.safetensors").threshold < float("inf")  # it is calibrated
    again = launch([*command, "--out", str(out)], 2)
    assert again.stdout.splitlines()[-1] == str(Path(out / "model.safetensors"))
    assert "already trained" in again.stdout
