import numpy as np
import pandas as pd
import pytest

from dnadet_lib.bench.position import (
    CELLS,
    INNER,
    PositionStudy,
    compare_labels,
    cut_cell,
    generated,
    mean_maps,
    position_study,
    study_table,
    verdict,
)
from dnadet_lib.zoo.manifest import read_manifest


def traced(count, seed, local):
    """Noise with one of two traces: the same in every cell, or turned about in every other cell."""
    rng = np.random.default_rng(seed)
    images = rng.normal(128, 12, (2 * count, 60, 60, 3))
    y, x = np.mgrid[:60, :60]
    traces = (-1.0) ** (x + y), (-1.0) ** x * np.cos(np.pi * y / 2)
    turned = local * ((y // 12 + x // 12) % 2)
    for label in range(2):
        trace = np.where(turned, traces[1 - label], traces[label])
        images[label * count : (label + 1) * count] += 15 * trace[..., None]
    return images.clip(0, 255).astype(np.uint8), np.repeat(["first", "second"], count)


def test_cells_touch_and_do_not_overlap():
    image = np.arange(64 * 64 * 3).reshape(1, 64, 64, 3)
    cells = [[cut_cell(image, row, column)[0] for column in range(CELLS)] for row in range(CELLS)]
    whole = np.concatenate([np.concatenate(row, axis=1) for row in cells])
    np.testing.assert_array_equal(whole, image[0, :60, :60])


def test_a_trace_that_is_the_same_everywhere_is_named_everywhere():
    study = position_study(
        traced(100, 0, False), traced(40, 1, False), learned=[(2, 2), (1, 3)], epochs=6
    )
    assert study.accuracy.shape == (2, 5, 5)
    assert study.own.min() > 0.95
    assert study.elsewhere.min() > 0.95
    assert study.chance == 0.5


def test_a_trace_that_differs_by_region_is_named_only_where_it_was_learned():
    study = position_study(
        traced(100, 0, True), traced(40, 1, True), learned=[(2, 2), (1, 3)], epochs=6
    )
    same = (np.add.outer(range(CELLS), range(CELLS)) % 2 == 0)[None]
    assert study.own.min() > 0.95
    assert study.accuracy[:, same[0]].min() > 0.9
    assert study.accuracy[:, ~same[0]].max() < 0.1


def test_the_fall_off_leaves_the_border_out():
    accuracy = np.full((3, CELLS, CELLS), 0.3)  # the border
    accuracy[:, 1:-1, 1:-1] = 0.6
    for number, (row, column) in enumerate(INNER[:3]):
        accuracy[number, row, column] = 0.8 + 0.05 * number
    study = PositionStudy(INNER[:3], accuracy, 0.25)
    np.testing.assert_allclose(study.elsewhere, 0.6)
    np.testing.assert_allclose(study.border, 0.3)
    assert study.fall_off == pytest.approx(0.25)


def test_labels_are_compared_on_sets_of_the_same_generators():
    """Two classes with a trace each; seeds that differ in nothing cannot be told apart."""
    images = {}
    for seed in range(3):
        pixels, labels = traced(40, seed, False)
        images |= {(name, seed): pixels[labels == name] for name in ("first", "second")}
    studies = compare_labels(images, 30, sets=3, learned=[(2, 2)], epochs=8)
    by_architecture = [("architecture", f"seed {seed}") for seed in range(3)]
    assert list(studies) == [*by_architecture, ("weights", "first"), ("weights", "second")]
    table = study_table(studies).set_index(["label", "generators"])
    assert table.loc["architecture", "elsewhere inside"].min() > 0.9
    assert table.loc["weights", "learned cell"].max() < 0.7
    for key, study in studies.items():
        assert study.chance == pytest.approx(1 / 2 if key[0] == "architecture" else 1 / 3)
        assert table.loc[key, "fall-off"] == study.fall_off
    maps = mean_maps(studies)
    assert list(maps) == ["architecture", "weights"]
    expected = np.mean([studies[key].accuracy[0] for key in by_architecture], axis=0)
    np.testing.assert_allclose(maps["architecture"], expected)


def test_generators_give_the_images_that_are_rendered(world):
    from dnadet_lib.data import load_images
    from dnadet_lib.zoo.setups import load_setup

    chosen = [g for g in read_manifest() if g.role == "train"][:2]
    images, names = generated(chosen, 12, "test")
    assert names.tolist() == [g.name for g in chosen for _ in range(12)]
    rendered = load_setup("closed", root=world.images)
    for generator in chosen:
        index = np.flatnonzero(np.array(rendered.sources) == generator.name)
        mine = images[names == generator.name]
        difference = mine - load_images(rendered.take(index).paths).astype(float)
        assert np.abs(difference).max() <= 1  # another batch size may round otherwise


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((0.20, 0.22, 0.21, 0.23), "Settled: traces of the weights are more local"),
        ((0.00, 0.02, 0.01, 0.03), "Settled, against the claim"),
        ((0.02, 0.40, 0.01, 0.02), "Not settled which of the two losses is the larger"),
    ],
)
def test_the_verdict_follows_from_the_interval_of_the_difference(weights, said):
    fall_offs = {"architecture": (0.10, 0.09, 0.11, 0.10), "weights": weights}
    table = pd.DataFrame(
        {"label": label, "learned cell": 0.9, "fall-off": fall_off}
        for label, values in fall_offs.items()
        for fall_off in values
    )
    told = verdict(table).splitlines()
    assert told[0].startswith(
        "architecture: accuracy 0.900 in the learned cell, 0.800 in the others: a loss of 0.100"
    )
    assert told[2].startswith(
        f"Loss for weights, minus that for architecture: {np.mean(weights) - 0.1:+.3f}"
    )
    assert told[4].startswith(said)
    assert (len(told) == 6) == (not said.startswith("Settled: "))
    if len(told) == 6:
        kept = 0.9 - np.mean(weights)
        assert told[5].startswith(f"Weights are still named in {kept:.2f} of the images")


def test_weights_near_guessing_away_from_the_cell_deny_nothing():
    table = pd.DataFrame(
        {"label": label, "learned cell": 0.3, "fall-off": fall_off}
        for label in ("architecture", "weights")
        for fall_off in (0.02, 0.06, 0.01, 0.04)
    )
    assert len(verdict(table).splitlines()) == 5
