"""`dnadet presets`, and the numbers of a preset that `--set` and `--changes` set."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from safetensors import safe_open
from support import write_images

from dnadet_lib.cli import main
from dnadet_lib.images.changes import changes_of
from dnadet_lib.model import InputSpec
from dnadet_lib.presets import PRESETS, Preset, get_preset
from dnadet_lib.stages.settings import field_texts, field_types, values_of, with_settings

RUNG = get_preset("rung")


def test_every_field_can_be_set_and_is_explained():
    own = {f.name for f in fields(Preset)} - {"name", "stage", "input"}
    assert field_types().keys() == own | {f.name for f in fields(InputSpec)}
    assert field_texts().keys() >= field_types().keys()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_printed_in_full_sets_itself(name, capsys):
    assert main(["presets", name]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    settings = [line.split("  ")[0] for line in lines]
    assert len(settings) >= 9
    preset = PRESETS[name]
    assert with_settings(preset, settings) == preset
    stranger = replace(Preset("other", stage=preset.stage), discriminant=preset.discriminant)
    found = values_of(with_settings(stranger, settings))
    names = {setting.partition("=")[0] for setting in settings}
    assert {k: found[k] for k in names} == {k: values_of(preset)[k] for k in names}


def test_the_list_has_a_row_of_main_numbers_for_each(capsys):
    assert main(["presets"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    table = {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows if row[:1] and
             row[0] in PRESETS}  # fmt: skip
    assert table.keys() == PRESETS.keys()
    paper = {"preset": "paper_lsun", "stage": "2", "width": "64", "resize": "512", "patch": "64",
             "patches": "16", "items": "32", "epochs": "30", "rate": "0.001"}  # fmt: skip
    assert table["paper_lsun"] == paper
    assert table["pocket"]["epochs"] == "-"


def test_fields_are_set_with_their_types():
    found = with_settings(RUNG, ["epochs=5", "learning_rate=2e-3", "contrast=false", "patch=64",
                                 "steps_per_epoch=none", "vote=turned", "changes=jpeg,webp"])
    assert found == replace(
        RUNG, epochs=5, learning_rate=0.002, contrast=False, steps_per_epoch=None,
        changes=("fine JPEG", "coarse JPEG", "WebP"),
        input=replace(RUNG.input, patch=64, vote="turned"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epoch=5", "--set 'epoch=5': write FIELD=VALUE, with a field of width, patches, items"),
        ("epochs", "--set 'epochs': write FIELD=VALUE"),
        ("epochs=0", "epochs='0': must be a whole number of 1 or more"),
        ("epochs=2.5", "epochs='2.5': must be a whole number"),
        ("width=99999", "width='99999': must be a whole number from 1 to 1024"),
        ("learning_rate=0", "learning_rate='0': must be a number above 0 and at most 1"),
        ("learning_rate=nan", "learning_rate='nan': must be a number above 0"),
        ("flips=yes", "flips='yes': must be true or false"),
        ("schedule=cosine", "schedule='cosine': must be one of step, one-cycle"),
        ("select_by=", "select_by='': must be one of accuracy, macro_f1, last"),
        ("changes=fog", "changes='fog': must be names with commas between them, of tone"),
        ("vote=all", "vote='all': must be one of whole, patches, turned"),
        ("patch=none", "patch='none': must be a whole number from 8 to 8192"),
        ("name=mine", "--set 'name=mine': write FIELD=VALUE"),
        ("transform_size=64", "transform_size: without effect, since preset rung learns"),
    ],
)
def test_what_cannot_be_set_is_named_with_what_would_be_right(setting, message, capsys, tmp_path):
    assert main(["train", "--preset", "rung", "--set", setting, "--out", str(tmp_path / "o")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0], lines
    assert not (tmp_path / "o").exists()


def test_a_number_without_effect_is_refused_and_not_ignored(tmp_path, capsys):
    out = ["--out", str(tmp_path / "o")]
    assert main(["train", "--set", "epochs=5", *out]) == 2
    assert "epochs: without effect, since preset pocket solves" in capsys.readouterr().err
    assert main(["pretrain", "--set", "changes=jpeg", *out]) == 2
    assert "preset pocket_pretrain learns transformations" in capsys.readouterr().err
    assert with_settings(get_preset("pocket"), ["discriminant=0", "epochs=5"]).epochs == 5


def test_names_of_changes():
    assert changes_of("JPEG, contrast,noise,fine jpeg") == (
        "fine JPEG", "coarse JPEG", "tone", "noise",
    )  # fmt: skip
    assert changes_of("none") == ()
    with pytest.raises(ValueError, match="unknown change 'fog': choose of tone, .*jpeg"):
        changes_of("jpeg,fog")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("jpeg,contrast", ["fine JPEG", "coarse JPEG", "tone"]),
     ("pocket", list(get_preset("pocket").changes))],
)  # fmt: skip
def test_a_network_learns_from_the_changed_copies_that_are_asked_for(
    tmp_path: Path, rng, monkeypatch, typed, meant
):
    from dnadet_lib.stages import batches

    for split in ("train", "dev"):
        for name in ("Real", "ProGAN"):
            write_images(tmp_path / split / name, 4, rng)
    seen, change_named = [], batches.change_named
    monkeypatch.setattr(batches, "change_named", lambda name: seen.append(name) or
                        change_named(name))  # fmt: skip
    arguments = ["train", "--preset", "smoke", "--changes", typed, "--out", str(tmp_path / "o")]
    arguments += ["--set", "epochs=1", "steps_per_epoch=1"]
    lists = ["--train", str(tmp_path / "train"), "--dev", str(tmp_path / "dev")]
    assert main([*arguments, *lists]) == 0
    assert seen == meant
    with safe_open(tmp_path / "o" / "model.safetensors", "pt") as file:
        run = json.loads(file.metadata()["dnadet"])["notes"]["run"]
    assert json.loads(run["preset"])["changes"] == repr(tuple(meant))
    assert main([*arguments, *lists, "--changes", "none"]) == 2  # another run
