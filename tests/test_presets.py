"""The numbers of the paper's settings, written out a second time."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from dnadet_lib.attribution import prepare
from dnadet_lib.model import DNADet
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


def test_rung_and_its_baseline_differ_in_what_the_table_compares():
    rung, baseline = get_preset("rung"), get_preset("whole_raw")
    assert rung.width == baseline.width == 32
    assert 4 <= rung.patches <= 8
    assert baseline.patches == 0
    assert not baseline.contrast
    assert not baseline.input.high_pass
    assert baseline.input.vote == "whole"
    assert (baseline.epochs, baseline.items) == (rung.epochs, rung.items)


def test_both_pocket_stages_share_a_backbone_and_a_front_end():
    first = get_preset("pocket_pretrain")
    for second in (get_preset("rung"), get_preset("pocket")):
        assert first.width == second.width
        assert first.input == replace(
            second.input, patch=first.input.patch, vote=first.input.vote
        )


def test_pocket_sees_whole_images_of_the_zoo_and_a_grid_of_larger_ones():
    spec = get_preset("pocket").input
    model = DNADet(5, 8, input=spec)
    small, large = (np.zeros((side, side, 3), np.uint8) for side in (64, 128))
    assert prepare(model, small).shape == (4, 64, 64, 3)  # in four turned copies
    assert prepare(model, large).shape == (4 * 9, 64, 64, 3)


def test_presets_are_frozen_and_found_by_name():
    assert all(PRESETS[name].name == name for name in PRESETS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["pocket"].items = 1
    with pytest.raises(ValueError, match="unknown preset 'pockets': choose one of .*pocket"):
        get_preset("pockets")


def test_no_preset_switches_a_fault_of_the_release_on():
    assert not any(preset.double_softmax for preset in PRESETS.values())
    assert not Preset("fresh").double_softmax
