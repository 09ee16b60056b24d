import numpy as np
import pytest
import torch
from evidence import SCORES, block_table, energy, maximum_logit, open_set_table, unknown_scores
from PIL import Image
from support import write_images

from dnadet_lib.attribution import Features, unknown_score
from dnadet_lib.data import ImageSet, some_of_each
from dnadet_lib.evaluation.open_set import REFERENCES_A_CLASS, open_set_figures
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import TRACE_BLOCKS
from dnadet_lib.unknown import (
    LabelledTraces,
    held_out_distances,
    relative_distance,
    trace_distances,
)


def known_distances(model, traces):
    return trace_distances(traces, model.trace_sizes)


def test_scores_by_hand():
    logits = np.array([[2.0, 0.0], [np.log(3), np.log(5)]])
    np.testing.assert_allclose(maximum_logit(logits), [-2, -np.log(5)])
    np.testing.assert_allclose(energy(logits), [-np.log(np.exp(2) + 1), -np.log(8)])


def test_a_model_scores_embeddings_in_three_ways(tiny_model):
    sizes = tiny_model.embedding_size, sum(tiny_model.trace_sizes)
    embeddings, traces = (torch.randn(7, size) for size in sizes)
    scores = unknown_scores(tiny_model, Features(embeddings, traces))
    assert tuple(scores) == SCORES
    with torch.no_grad():
        logits = tiny_model.classification_head(embeddings)
        near = unknown_score(tiny_model, traces)
    np.testing.assert_allclose(scores["maximum logit"], -logits.max(dim=1).values)
    np.testing.assert_allclose(scores["relative distance"], near)


def test_figures_where_the_score_is_perfect_useless_and_upside_down():
    known, right = np.linspace(0, 1, 100), np.ones(100, bool)
    perfect = open_set_figures(known, right, known + 2)
    assert (perfect.auroc, perfect.fpr95, perfect.oscr) == pytest.approx((1, 0, 1))
    useless = open_set_figures(known, right, known)
    assert (useless.auroc, useless.fpr95, useless.oscr) == pytest.approx((0.5, 0.95, 0.5))
    worst = open_set_figures(known, right, known - 2)
    assert (worst.auroc, worst.fpr95, worst.oscr) == pytest.approx((0, 1, 0))


def test_oscr_counts_only_what_is_named_rightly():
    """Four known at 0, 1, 2, 3; unknown at 0.5 and 2.5: by hand."""
    known, unknown = np.arange(4.0), np.array([0.5, 2.5])
    everything = open_set_figures(known, np.ones(4, bool), unknown)
    assert everything.oscr == pytest.approx(everything.auroc) == pytest.approx((1 / 4 + 3 / 4) / 2)
    half = open_set_figures(known, np.array([False, True, True, True]), unknown)
    assert half.oscr == pytest.approx((0 + 2 / 4) / 2)
    assert half.auroc == everything.auroc


def test_every_block_is_measured_and_the_model_left_alone(tiny_model, tmp_path, rng):
    sets = {}
    for name, side in (("train", 64), ("known", 64), ("unknown", 64)):
        paths = write_images(tmp_path / name, 12, rng, side)
        sources = [f"maker {i % 4}" for i in range(12)]
        sets[name] = ImageSet(paths, np.arange(12) % 2, ("Real", "GAN"), sources)
    for path in sets["unknown"].paths:  # pixels in pairs: a trace that the early blocks see
        pixels = read_image(path)
        Image.fromarray(pixels[::2, ::2].repeat(2, axis=0).repeat(2, axis=1)).save(path)
    before = tiny_model.reference
    table = block_table(tiny_model, **sets)
    assert table["blocks"].tolist()[:9] == [*"01234567", "0, 1"]
    assert len(table) == 8 + 8 * 7 // 2
    assert (table["unknown"][:4] > 0.9).all()
    assert (table["GAN"] < 0.9).all()  # it is like the other class
    assert np.allclose(table["mean"], (table["unknown"] + table["GAN"]) / 2)
    assert tiny_model.reference is before and tiny_model.trace_blocks == TRACE_BLOCKS


def test_what_lies_between_the_classes_is_less_known_than_what_is_odd_in_all(tiny_model, rng):
    size, labels = sum(tiny_model.trace_sizes), np.arange(4000) % 2
    noise = rng.normal(size=(4000, size)) @ rng.normal(size=(size, size))
    shift = 10 * np.eye(size)[0]  # between the classes
    _, strengths, axes = np.linalg.svd(noise, full_matrices=False)
    odd = 3 * strengths[0] / np.sqrt(len(noise)) * axes[0]  # where images vary most in every class
    scores = []
    for scale in (1, np.geomspace(0.01, 100, size)):  # channels of any sizes
        points = torch.from_numpy((0.2 * noise + labels[:, None] * shift) * scale)
        tiny_model.reference = known_distances(tiny_model, LabelledTraces(points, labels))
        probes = torch.from_numpy(np.stack([shift, shift / 2, shift + 0.2 * odd]) * scale)
        scores.append(unknown_score(tiny_model, probes.float()))
    at_mean, between, aside = scores[0].tolist()
    assert between > at_mean + 10 * abs(aside - at_mean)
    torch.testing.assert_close(*scores, atol=0.01, rtol=0.01)


def two_classes(size, rng):
    """Traces of two classes that differ in the first direction; the way from each to the other."""
    labels = np.arange(800) % 2
    way = np.eye(size)[0] * np.where(labels == 0, 10, -10)[:, None]
    noise = rng.normal(size=(800, size)) @ rng.normal(size=(size, size))  # channels go together
    values = 0.05 * noise + labels[:, None] * 10 * np.eye(size)[0]
    return LabelledTraces(torch.from_numpy(values).float(), labels), torch.from_numpy(way).float()


def test_what_varies_between_instances_of_a_class_is_less_strange(tiny_model, rng):
    train, way = two_classes(sum(tiny_model.trace_sizes), rng)
    steps = torch.tensor([-0.45, -0.15, 0.15, 0.45])  # of four instances
    reach = steps.repeat_interleave(200)[:, None]
    dev = LabelledTraces(train.values + reach * way, train.labels)
    between = way[:1] / 2
    tiny_model.reference = known_distances(tiny_model, train)
    alone = unknown_score(tiny_model, between)
    tiny_model.reference = known_distances(tiny_model, train.joined(dev))
    assert unknown_score(tiny_model, between) < 0.5 * alone


def test_each_generator_is_scored_as_if_it_were_not_known(tiny_model, rng):
    train, way = two_classes(sum(tiny_model.trace_sizes), rng)
    sources = np.repeat(["maker 0", "maker 1", "real/a/1", "real/a/2"], 200)
    for odd in (sources == "maker 0", sources >= "real"):
        moved = train.values + torch.from_numpy(odd)[:, None] * 0.4 * way
        dev = LabelledTraces(moved, train.labels)
        squares = held_out_distances(train, dev, sources, tiny_model.trace_sizes)
        scores = relative_distance(squares).numpy()
        tiny_model.reference = known_distances(tiny_model, train.joined(dev.take(~odd)))
        expected = unknown_score(tiny_model, dev.take(odd).values)
        np.testing.assert_allclose(scores[odd], expected, rtol=1e-4)
        tiny_model.reference = known_distances(tiny_model, train.joined(dev))
        assert scores[odd].mean() > 1.5 * unknown_score(tiny_model, dev.take(odd).values).mean()


def test_at_most_400_references_of_each_class():
    labels = np.repeat([0, 1], [500, 50])
    chosen = some_of_each(labels, REFERENCES_A_CLASS, seed=1)
    assert len(set(chosen)) == len(chosen) == 450
    assert (labels[chosen] == 1).sum() == 50


def test_both_kinds_of_images_are_needed():
    with pytest.raises(ValueError, match="0 known and 2 unknown images"):
        open_set_figures(np.array([]), np.array([], bool), np.ones(2))


def test_the_table_takes_each_generator_alone():
    known = {"good": np.zeros(10), "bad": np.zeros(10)}
    unknown = {"good": np.array([1.0, 1, -1, -1]), "bad": np.full(4, -1.0)}
    table = open_set_table(known, np.ones(10, bool), unknown, np.array(["a", "a", "b", "b"]))
    assert table.set_index(["score", "generator"])["auroc"].to_dict() == {
        ("good", "a"): 1, ("good", "b"): 0, ("bad", "a"): 0, ("bad", "b"): 0,
    }  # fmt: skip
