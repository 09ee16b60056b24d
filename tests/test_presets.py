"""The numbers of METHOD.md's table, written out a second time."""

from __future__ import annotations

import dataclasses

import pytest

from dnadet_lib.presets import PRESETS, Preset, get_preset

PAPER = {
    # name: learning rate, decay every, items, epochs, selection, first resize
    "paper_celeba": (1e-4, 500, 32, 30, "accuracy", None),
    "paper_lsun": (1e-3, 2500, 32, 30, "accuracy", None),
    "paper_wild": (1e-3, 2500, 16, 30, "macro_f1", 128),
    "paper_pretrain": (1e-4, 500, 128, 50, "macro_f1", None),
}


@pytest.mark.parametrize("name", PAPER)
def test_paper_presets_have_the_papers_numbers(name):
    preset = get_preset(name)
    assert (
        preset.learning_rate, preset.decay_every, preset.items, preset.epochs, preset.select_by,
        preset.input.resize_first,
    ) == PAPER[name]  # fmt: skip
    assert (preset.width, preset.patches, preset.input.patch, preset.input.resize) == (
        64, 16, 64, 512,
    )  # fmt: skip
    assert (preset.schedule, preset.decay, preset.patience) == ("step", 0.9, 20)
    assert (preset.temperature, preset.weight_rate, preset.contrast) == (0.07, 0.01, True)
    assert (preset.input.vote, preset.input.resize_filter) == ("whole", "bicubic")
    assert not preset.input.high_pass
    assert not preset.double_softmax
    assert preset.transform_size == 128


def test_pocket_and_its_baseline_differ_in_what_the_table_compares():
    pocket, baseline = get_preset("pocket"), get_preset("whole_raw")
    assert pocket.width == baseline.width == 32
    assert 4 <= pocket.patches <= 8
    assert baseline.patches == 0
    assert not baseline.contrast
    assert not baseline.input.high_pass
    assert baseline.input.vote == "whole"
    assert (baseline.epochs, baseline.items) == (pocket.epochs, pocket.items)


def test_both_pocket_stages_share_a_backbone_and_a_front_end():
    first, second = get_preset("pocket_pretrain"), get_preset("pocket")
    assert (first.width, first.input) == (second.width, second.input)


def test_presets_are_frozen_and_found_by_name():
    assert all(PRESETS[name].name == name for name in PRESETS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["pocket"].items = 1
    with pytest.raises(ValueError, match="unknown preset 'pockets': choose one of .*pocket"):
        get_preset("pockets")


def test_no_preset_switches_a_fault_of_the_release_on():
    assert not any(preset.double_softmax for preset in PRESETS.values())
    assert not Preset("fresh").double_softmax
