"""Faults of the zoo's manifest and of the files it names."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from support import some_layouts, write_manifest, write_zoo, zoo_rows

from dnadet_lib import zoo
from dnadet_lib.zoo.generators import build_generator


def rows_with(changed: str, **changes: str) -> list[dict[str, str]]:
    rows = zoo_rows()
    for row in rows:
        row["sha256"] = "0" * 64
        if row["name"] == changed:
            row.update(changes)
    return rows


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("architecture", "DCGAN", "is none of ProGAN, MMDGAN, SNGAN, InfoMaxGAN"),
        ("loss", "lsgan", "is none of wgan-gp, mmd, hinge, infomax"),
        ("loss", "", "is none of wgan-gp, mmd, hinge, infomax"),
        ("content", "faces", "is none of horizons, meadow, nebulae, stamps"),
        ("role", "val", "is none of train, dev, test"),
        ("seed", "one", "is not a whole number"),
        ("seed", "-1", "is not a whole number"),
        ("steps", "", "is not a whole number"),
        ("file", "", "it is empty"),
        ("sha256", "", "it is empty"),
    ],
)
def test_wrong_field_is_named(tmp_path, field, value, right):
    write_manifest(tmp_path, rows_with("SNGAN_meadow_s1", **{field: value}))
    message = f"manifest.csv, row 'SNGAN_meadow_s1', {field}: .*{right}"
    with pytest.raises(ValueError, match=message):
        zoo.read_manifest(tmp_path)


def test_missing_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="manifest.csv: the zoo's manifest is missing"):
        zoo.read_manifest(tmp_path)


def test_empty_manifest(tmp_path):
    (tmp_path / "manifest.csv").write_text("")
    with pytest.raises(ValueError, match="manifest.csv: column 'name' is missing"):
        zoo.read_manifest(tmp_path)
    (tmp_path / "manifest.csv").write_text(",".join(zoo.FIELDS) + "\n")
    with pytest.raises(ValueError, match="manifest.csv: the manifest holds no generator"):
        zoo.read_manifest(tmp_path)


def test_missing_column(tmp_path):
    rows = zoo_rows()
    for row in rows:
        del row["seed"]
    write_manifest(tmp_path, rows)
    with pytest.raises(ValueError, match="manifest.csv: column 'seed' is missing; it needs name, "):
        zoo.read_manifest(tmp_path)


def test_row_that_is_too_short(tmp_path):
    text = ",".join(zoo.FIELDS) + "\nProGAN_meadow_s0,ProGAN,wgan-gp,meadow\n"
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match="manifest.csv, row 'ProGAN_meadow_s0', role: None"):
        zoo.read_manifest(tmp_path)


def test_name_that_stands_twice(tmp_path):
    write_manifest(tmp_path, rows_with("SNGAN_meadow_s1", name="SNGAN_meadow_s0"))
    with pytest.raises(ValueError, match="manifest.csv: two rows have the name 'SNGAN_meadow_s0'"):
        zoo.read_manifest(tmp_path)


@pytest.fixture
def one_generator(tmp_path):
    """A zoo folder with one generator, and its manifest row."""
    write_zoo(tmp_path / "zoo", zoo_rows()[:1])
    return tmp_path / "zoo", zoo.read_manifest(tmp_path / "zoo")[0]


def test_missing_weights(one_generator):
    _, generator = one_generator
    generator.file.unlink()
    with pytest.raises(FileNotFoundError, match="ProGAN_meadow_s0.*safetensors is missing"):
        generator.load()


def test_weights_that_are_not_the_manifests(one_generator):
    _, generator = one_generator
    weights = load_file(generator.file)
    weights["body.to_rgb.bias"] += 1
    save_file(weights, generator.file)
    with pytest.raises(ValueError, match="'ProGAN_meadow_s0', sha256: .* the manifest says"):
        generator.load()


@pytest.mark.parametrize(
    "fault", ["missing", "unexpected", "another architecture", "nan", "whole numbers"]
)
def test_weights_that_do_not_fit_the_architecture(one_generator, fault):
    folder, generator = one_generator
    weights = load_file(generator.file)
    if fault == "missing":
        del weights["body.to_rgb.weight"]
    elif fault == "unexpected":
        weights["body.to_rgb.scale"] = torch.ones(1)
    elif fault == "nan":
        weights["body.to_rgb.bias"][1] = float("nan")
    elif fault == "whole numbers":
        weights["body.to_rgb.bias"] = weights["body.to_rgb.bias"].to(torch.int32)
    else:
        weights = build_generator("MMDGAN", some_layouts()).state_dict()
    save_file(weights, generator.file)
    row = zoo_rows()[0]
    row["sha256"] = hashlib.sha256(generator.file.read_bytes()).hexdigest()
    write_manifest(folder, [row])
    with pytest.raises(ValueError, match=r"ProGAN_meadow_s0\.safetensors: .*tensor '"):
        zoo.read_manifest(folder)[0].load()


def test_weights_that_give_no_finite_pixels(tmp_path):
    write_zoo(tmp_path / "zoo", [row for row in zoo_rows() if row["name"] == "SNGAN_meadow_s0"])
    (generator,) = zoo.read_manifest(tmp_path / "zoo")
    weights = {name: 1e30 * w.float() for name, w in load_file(generator.file).items()}
    save_file(weights, generator.file)
    digest = hashlib.sha256(generator.file.read_bytes()).hexdigest()
    large = replace(generator, sha256=digest)
    with pytest.raises(ValueError, match=f"{generator.file}: the generator's pixels are not fin"):
        zoo.render_split(large, "train", 3, tmp_path / "images")
    assert not list((tmp_path / "images").rglob("*.png"))


def test_weights_that_are_cut_off(one_generator):
    folder, generator = one_generator
    generator.file.write_bytes(generator.file.read_bytes()[:-40])
    row = zoo_rows()[0]
    row["sha256"] = hashlib.sha256(generator.file.read_bytes()).hexdigest()
    write_manifest(folder, [row])
    with pytest.raises(ValueError, match=r"ProGAN_meadow_s0\.safetensors: .*cut off"):
        zoo.read_manifest(folder)[0].load()
