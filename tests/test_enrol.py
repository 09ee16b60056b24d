"""A new class from a few images, and how well that is measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import photograph

from dnadet_lib import stages
from dnadet_lib.bench.few_shot import Pool, few_shot_rows
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.cli import main
from dnadet_lib.data import ImageSet
from dnadet_lib.model import DNADet
from dnadet_lib.presets import get_preset
from dnadet_lib.stages.enrolment import Shots, enrol, head, new_class, take_shots
from dnadet_lib.zoo.manifest import CLASSES as ZOO_CLASSES

CLASSES = ("plain", "paired", "tripled")
PRESET = replace(
    get_preset("pocket_plain"), width=8, discriminant=2, changes=("fine JPEG",)
)  # fmt: skip


def write(folder: Path, size: int, each: int, rng: np.random.Generator) -> list[Path]:
    """Write photographs whose pixels are repeated, as upsampling by `size` leaves them."""
    folder.mkdir(parents=True)
    paths = [folder / f"{i}.png" for i in range(each)]
    for path in paths:
        small = photograph(rng, 68, 68)[::size, ::size]
        Image.fromarray(small.repeat(size, axis=0).repeat(size, axis=1)[:64, :64]).save(path)
    return paths


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[DNADet, Path]:
    """A discriminant on three classes, its file, and images of a fourth in `new` and `more`."""
    root, rng = tmp_path_factory.mktemp("enrol"), np.random.default_rng(0)
    sets = []
    for split in ("train", "dev", "test"):
        paths = [p for k, c in enumerate(CLASSES) for p in write(root / split / c, k + 1, 20, rng)]
        sets.append(ImageSet(paths, np.repeat([0, 1, 2], 20), CLASSES))
    pretrained = DNADet(170, 8, input=replace(PRESET.input)).eval()
    model, _ = stages.run_training(PRESET, *sets[:2], pretrained=pretrained)
    save_model(model, root / "model.safetensors")
    for name in ("new", "more"):
        write(root / name, 4, 20, rng)
    return load_model(root / "model.safetensors"), root


def run(root: Path, *arguments: object) -> int:
    return main(["enrol", *map(str, arguments), "--model", str(root / "model.safetensors")])


def test_a_class_is_added_and_every_command_takes_the_checkpoint(
    trained, tmp_path, capsys, monkeypatch
):
    model, root = trained
    out = tmp_path / "four.safetensors"
    assert run(root, "quad", root / "new", "--to", out) == 0
    assert capsys.readouterr().out == f"{out}\n"
    four = load_model(out)
    assert four.classes == (*CLASSES, "quad")
    more = sorted((root / "more").glob("*.png"))
    before, after = model.attribute(more), four.attribute(more)
    assert np.mean([label == "quad" for label in after.labels]) >= 0.9
    assert np.mean(after.known) > np.mean(before.known)
    assert np.mean(after.known) >= 0.8
    assert (after.unknown_scores <= before.unknown_scores + 1e-5).all()
    for key, tensor in model.state_dict().items():  # nothing is trained
        if not key.startswith("classification_head"):
            torch.testing.assert_close(four.state_dict()[key], tensor)
    tests = sorted((root / "test").rglob("*.png"))
    truth = [path.parent.name for path in tests]
    rights = [np.mean(np.array(m.attribute(tests).labels) == truth) for m in (model, four)]
    assert rights[1] >= rights[0] - 0.05

    named = ["--model", str(out)]
    assert main(["attribute", str(more[0]), *named, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert list(result["probabilities"]) == list(four.classes)
    (tmp_path / "list.txt").write_text("".join(f"{path}\t3\n" for path in more))
    assert main(["evaluate", "--test", str(tmp_path / "list.txt"), *named, "--json"]) == 0
    rows = {r["metric"]: r["value"] for r in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["recall quad"] >= 0.9
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    assert main(["report", str(more[0]), *named, "--out", str(tmp_path / "r.html")]) == 0
    assert "quad" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_one_image_will_do_and_a_second_class_follows(trained, tmp_path, capsys):
    _, root = trained
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    assert run(root, "quad", root / "new" / "0.png", "--to", one) == 0
    options = ["--model", str(one), "--to", str(two)]
    assert main(["enrol", "again", str(root / "more"), *options]) == 0
    assert load_model(two).classes == (*CLASSES, "quad", "again")
    assert main(["enrol", "quad", str(root / "more"), *options]) == 2
    assert "has a class 'quad': give the new one another name" in capsys.readouterr().err


def test_a_mean_is_drawn_in_the_more_the_fewer_images_there_are(trained):
    model, _ = trained
    known = head(model)[0]
    middle = known.mean(dim=1)
    point = middle + 3 * torch.randn(known.shape[2], generator=torch.manual_seed(0))
    away = []
    for count in (1, 10, 500):
        shots = Shots(point[:, None].expand(-1, count, -1),
                      torch.zeros(2, count, sum(model.trace_sizes)))  # fmt: skip
        found = new_class(model, shots)
        share = (found.weights - middle) / (point - middle)
        spread = (known - middle[:, None]).square().sum(dim=(1, 2)) / (2 * known.shape[2])
        expected = (spread / (spread + 0.5 / count))[:, None].expand_as(share)
        torch.testing.assert_close(share, expected, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found.biases, -found.weights.square().sum(dim=1) / 2)
        away.append(share.mean().item())
    assert away[0] < away[1] < away[2] <= 1
    # A class at a known class's own mean has its logit.
    own = Shots(known[:, :1].expand(-1, 500, -1), torch.zeros(2, 500, sum(model.trace_sizes)))
    logits = enrol(model, "same", own).scores(known[0, :1])[0, 0]
    torch.testing.assert_close(logits[3], logits[0], rtol=0.05, atol=0)


def test_changed_copies_have_means_of_their_own(trained):
    model, root = trained
    paths = sorted((root / "new").glob("*.png"))[:5]
    shots = take_shots(model, paths, model.changes)
    assert shots.embeddings.shape == (2, 5, model.embedding_size)
    plain = model.attribute(paths).embeddings
    np.testing.assert_allclose(shots.embeddings[0], plain, atol=1e-4)
    assert not np.allclose(shots.embeddings[1], plain, atol=1e-1)
    assert new_class(model, shots).weights.shape == (2, model.embedding_size)


def test_files_that_cannot_be_read_are_named_and_the_rest_is_learned(trained, tmp_path, capsys):
    _, root = trained
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "bad.png").write_bytes(b"no image")
    Image.open(root / "new" / "0.png").save(tmp_path / "own" / "good.png")
    out = tmp_path / "m.safetensors"
    assert run(root, "quad", tmp_path / "own", "--to", out) == 1
    error = capsys.readouterr().err
    assert "bad.png" in error and "quad: learned from 1 images" in error
    (tmp_path / "own" / "good.png").unlink()
    out.unlink()
    assert run(root, "quad", tmp_path / "own", "--to", out) == 2
    assert "no image could be read, so there is nothing to learn from" in capsys.readouterr().err
    assert not out.exists()


def test_of_more_than_500_images_some_are_taken(trained, tmp_path, capsys, monkeypatch):
    _, root = trained
    monkeypatch.setattr("dnadet_lib.stages.enrolment.MOST", 3)
    assert run(root, "quad", root / "new", "--to", tmp_path / "m.safetensors") == 0
    error = capsys.readouterr().err
    assert "20 images given: 3 of them, chosen at random, are taken" in error
    assert "learned from 3 images" in error


def test_what_cannot_be_done_is_refused(trained, checkpoint, tmp_path, capsys):
    _, root = trained
    out = ["--to", str(tmp_path / "m.safetensors")]
    for arguments in (["quad"], ["quad", str(root / "new")], ["quad", *out],
                      ["quad", str(root / "new"), *out, "--episodes", "2"]):  # fmt: skip
        assert main(["enrol", *arguments, "--model", str(checkpoint)]) == 2
        assert "give NAME, FOLDER and --to to add a class, or" in capsys.readouterr().err
    assert main(["enrol", "q", str(root / "new"), "--model", str(checkpoint), *out]) == 2
    assert "no discriminant, so a class cannot be added without" in capsys.readouterr().err
    assert run(root, " ", root / "new", *out) == 2
    assert "must be a text that is not empty" in capsys.readouterr().err
    assert run(root, "q", root / "new", "--to", root / "model.safetensors") == 2
    assert "is one of the inputs and would be lost" in capsys.readouterr().err
    assert run(root, "q", root / "new", "--to", tmp_path / "m.pth") == 2
    assert "end the name in .safetensors" in capsys.readouterr().err


def pool_of(model: DNADet, rng: np.random.Generator, apart: float) -> Pool:
    """Two unknown architectures, one with two generators, and a new instance of each class."""
    known, parts = head(model)[0], 1 + len(model.changes)
    size, shots, architectures, truths = known.shape[2], {}, {}, {}

    def add(name: str, architecture: str, centre: np.ndarray) -> None:
        points = centre + 0.1 * rng.normal(size=(parts, 30, size))
        traces = torch.zeros(parts, 30, sum(model.trace_sizes))
        shots[name] = Shots(torch.from_numpy(points).float(), traces)
        architectures[name] = architecture

    for name, architecture in (("a1", "A"), ("a2", "A"), ("b1", "B")):
        add(name, architecture, apart * np.eye(size)[ord(architecture) - ord("A")])
    for number, name in enumerate(model.classes):
        add(f"{name}_new", name, known[0, number].numpy())
        truths[f"{name}_new"] = number
    return Pool(shots, architectures, ("a1", "a2", "b1"), truths)


def test_episodes_measure_what_they_say(trained, rng):
    model, _ = trained
    far = few_shot_rows(model, pool_of(model, rng, 40.0), (1, 10), ways=5, episodes=4)
    found = {(r.setup, r.metric): r for r in far}
    assert len(found) == len(far) == 1 + 2 * 3 * (1 + 3)
    assert found["0 shots", "accuracy of known classes"].value == 1
    for shots in ("1 shots", "10 shots"):
        for metric in ("5-way accuracy", "recall of the new class", "accuracy of known classes"):
            assert found[shots, metric].value == 1
            assert found[shots, metric].generators == 3
            assert found[shots, f"{metric} b1"].generators == 1
    pool = pool_of(model, rng, 0.0)  # A and B are one: two ways at random
    rows = few_shot_rows(model, pool, (5,), ways=2, episodes=60)
    two = {r.metric: r for r in rows}
    assert 0.25 < two["2-way accuracy"].value < 0.75
    assert two["2-way accuracy"].low < two["2-way accuracy"].value < two["2-way accuracy"].high
    assert rows[1:] == few_shot_rows(model, pool, (5,), ways=2, episodes=60)[1:]  # seeded
    with pytest.raises(ValueError, match="30 shots, 5 ways, 100 episodes: .* 1 to 29 shots"):
        few_shot_rows(model, pool, (30,))


def test_the_zoos_unknown_architectures_are_measured(world, tmp_path, capsys):
    torch.manual_seed(0)
    spec = replace(get_preset("pocket").input)
    model = DNADet(5, 8, classes=ZOO_CLASSES, input=spec, blocks=2, discriminant=True)
    save_model(model.eval(), tmp_path / "m.safetensors")
    command = ["enrol", "--model", str(tmp_path / "m.safetensors"), "--profile", "smoke"]
    command += ["--episodes", "3", "--shots", "1", "2", "--ways", "3"]
    for role, name in (("dev", "SubPixelGAN_meadow_s0"), ("test", "StyleGAN2_meadow_s0")):
        assert main([*command, "--role", role, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        assert {row["setup"] for row in rows} == {"0 shots", "1 shots", "2 shots"}
        assert f"3-way accuracy {name}" in {row["metric"] for row in rows}
        assert all(0 <= row["value"] <= 1 for row in rows)
    assert main(command) == 0
    assert "| figure | 0 shots | 1 shots | 2 shots |" in capsys.readouterr().out
