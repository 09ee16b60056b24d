"""What is said where an image's history hides the traces: in every output and in files."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support import write_images

from dnadet_lib import zoo
from dnadet_lib.attribution import may_name, probabilities_of
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.checkpoints.weights import HEADER
from dnadet_lib.cli import main
from dnadet_lib.commands.printing import Summary, describe
from dnadet_lib.inference import answers
from dnadet_lib.model import Calibration, DNADet
from dnadet_lib.transforms import jpeg
from dnadet_lib.zoo.generators import sample_images

GOOD, BAD = Calibration(1.0, 0.9), Calibration(1.0, 0.1)


@pytest.fixture
def doubtful(tiny_model) -> DNADet:
    """The random model with two means a class; of no image it can tell the class."""
    model = DNADet(5, 8, classes=zoo.CLASSES, input=tiny_model.input, changes=("smaller",))
    model.main.load_state_dict(tiny_model.main.state_dict())
    model.reference, model.threshold = tiny_model.reference, 1e9
    model.calibrations = (BAD, BAD)
    return model.eval()


@pytest.fixture
def file(doubtful, tmp_path) -> Path:
    save_model(doubtful, tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.fixture
def pictures(tmp_path, rng) -> Path:
    write_images(tmp_path / "pictures", 3, rng, side=40)
    return tmp_path / "pictures"


def printed(capsys, *arguments: object) -> str:
    assert main(list(map(str, arguments))) == 0
    return capsys.readouterr().out


def test_no_class_is_named_in_any_output(file, pictures, tmp_path, capsys):
    attribute = ("attribute", pictures, "--model", file)
    (result, *_) = json.loads(printed(capsys, *attribute, "--json"))["results"]
    assert result["label"] is None and result["nearest"] in zoo.CLASSES
    assert result["cannot_tell"] == "of dev images changed like this, only 10% are named rightly"
    assert result["history"]["format"] == "PNG"
    line = json.loads(printed(capsys, *attribute, "--json", "--stream").splitlines()[0])
    assert line == result
    row = next(csv.DictReader(io.StringIO(printed(capsys, *attribute, "--csv"))))
    assert (row["label"], row["nearest"]) == ("", result["nearest"])
    assert "cannot tell: of dev images" in printed(capsys, *attribute).splitlines()[0]
    printed(capsys, "embed", pictures, "--model", file, "--maps", "--out", tmp_path / "e.parquet")
    table = pd.read_parquet(tmp_path / "e.parquet")
    assert table["label"].isna().all() and table["nearest"][0] == result["nearest"]
    printed(capsys, "report", pictures, "--model", file, "-o", tmp_path / "r.html")
    twin = json.loads((tmp_path / "r.json").read_text())
    assert twin["counts"]["cannot tell"] == 3 and twin["results"][0]["label"] is None
    assert 'data-kind="untold"' in (tmp_path / "r.html").read_text()


def test_force_names_the_class_and_says_so(file, pictures, tmp_path, capsys):
    attribute = ("attribute", pictures, "--model", file, "--force")
    (result, *_) = json.loads(printed(capsys, *attribute, "--json"))["results"]
    assert result["label"] == result["nearest"] and result["cannot_tell"]
    assert "(forced; without --force: cannot tell" in printed(capsys, *attribute)
    printed(capsys, "report", pictures, "--model", file, "-o", tmp_path / "r.html", "--force")
    twin = json.loads((tmp_path / "r.json").read_text())
    assert "forced" in twin["results"][0]["verdict"] and twin["counts"]["cannot tell"] == 0
    assert twin["command"].endswith("--force")


def test_python_gives_the_most_probable_class_and_the_verdict(doubtful, pictures):
    found = doubtful.attribute(sorted(pictures.iterdir()))
    assert set(found.labels) <= set(zoo.CLASSES)
    assert found.verdicts == [None] * 3
    doubtful.calibrations = (GOOD, GOOD)
    doubtful.classification_head[1].weight.data *= 1e4  # sure of itself
    found = doubtful.attribute(sorted(pictures.iterdir()))
    assert found.verdicts == found.labels


def test_a_class_that_is_not_probable_enough_is_not_named(doubtful, pictures):
    doubtful.calibrations = (replace(GOOD, temperature=1e6),) * 2
    (answer, *_) = answers(doubtful, sorted(pictures.iterdir()), [])
    assert (answer["label"], answer["cannot_tell"]) == (None, "no class is probable enough")


def test_each_change_has_its_own_temperature(doubtful):
    embeddings = torch.randn(200, doubtful.embedding_size) * 30
    looks = doubtful.change_numbers(embeddings).numpy()
    assert set(looks) == {0, 1}
    doubtful.calibrations = GOOD, replace(GOOD, temperature=1e6)
    confidence = probabilities_of(doubtful, embeddings).max(dim=1).values.numpy()
    assert np.allclose(confidence[looks == 1], 0.2, atol=1e-3)
    assert confidence[looks == 0].min() > 0.21


def test_the_summary_counts_what_cannot_be_told(file, pictures, capsys):
    main(["attribute", str(pictures), "--model", str(file)])
    assert "3 of 3 images read: cannot tell 3" in capsys.readouterr().err
    summary = Summary(1)
    summary.add({"known": False, "label": None})
    assert (summary.untold, summary.refused, summary.done) == (1, 0, 1)


def test_the_history_stands_in_the_line(doubtful, tmp_path, rng):
    doubtful.calibrations = ()
    (path,) = write_images(tmp_path, 1, rng)
    Image.open(path).save(tmp_path / "a.jpg", quality=75)
    (answer,) = answers(doubtful, [tmp_path / "a.jpg"], [])
    assert describe(answer).endswith("(JPEG of quality 75)")


# Files -------------------------------------------------------------------------------------------


def test_calibrations_are_kept_and_old_files_have_none(doubtful, tiny_model, file, tmp_path):
    again = load_model(file)
    assert again.changes == ("smaller",) and again.calibrations == (BAD, BAD)
    embeddings = torch.randn(4, again.embedding_size)
    assert torch.equal(probabilities_of(again, embeddings), probabilities_of(doubtful, embeddings))
    old = header_of(file)
    del old["changes"], old["calibrations"]
    save_model(tiny_model, tmp_path / "old.safetensors")
    write_header(tmp_path / "old.safetensors", header_of(tmp_path / "old.safetensors") | old)
    model = load_model(tmp_path / "old.safetensors")
    assert model.changes == model.calibrations == ()
    assert may_name(model, torch.zeros(2, model.embedding_size)).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"calibrations": 3}, "calibrations: 3: must list 2"),
        ({"calibrations": [{"temperature": 1, "accuracy": 1}]}, "1 given: must list 2"),
        ({"calibrations": [{"temperature": 0, "accuracy": 1}] * 2}, "temperature 0: must be"),
        ({"calibrations": [{"temperature": 1, "accuracy": 1.5}] * 2}, "accuracy 1.5: must be"),
        ({"calibrations": [{"temperature": 1}] * 2}, "needs temperature and accuracy"),
        ({"changes": "smaller"}, "changes 'smaller': must list"),
        ({"changes": ["a", "a"]}, "changes: 'a': each must be"),
        ({"changes": ["a", "b"]}, "must list 3"),
    ],
)
def test_a_bad_table_is_refused(change, reason, file):
    write_header(file, header_of(file) | change)
    with pytest.raises(ValueError, match=reason):
        load_model(file)


def header_of(file: Path) -> dict:
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()[HEADER])


def write_header(file: Path, header: dict) -> None:
    save_file(load_file(file), file, metadata={HEADER: json.dumps(header)})


# The shipped checkpoint --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> tuple[DNADet, list[np.ndarray], list[str]]:
    """The checkpoint, and images of the generators that it was fitted to."""
    images, names = [], []
    for g in [g for g in zoo.read_manifest() if g.role == "train"]:
        latents = zoo.draw_latents(zoo.LATENT_SEEDS["test"], 10)
        images += list(sample_images(g.load(), latents, 10).numpy())
        names += [g.architecture] * 10
    return load_model("pocket"), images, names


def test_clean_images_keep_their_names(shipped):
    model, images, names = shipped
    found = model.attribute(images)
    right = [verdict == name for verdict, name in zip(found.verdicts, names, strict=True)]
    assert np.mean(right) > 0.9
    assert found.verdicts.count(None) <= 1


@pytest.mark.parametrize(("quality", "least"), [(95, 0.7), (75, 0.4)])
def test_a_jpeg_of_a_generated_image_is_no_confident_photograph(shipped, quality, least):
    model, images, names = shipped
    found = model.attribute([jpeg(i, np.random.default_rng(0), quality=quality) for i in images])
    sure = found.probabilities[:, model.classes.index("Real")] >= 0.9
    assert not (sure & found.known).any()
    right = [label == name for label, name in zip(found.labels, names, strict=True)]
    assert np.mean(right) > least
