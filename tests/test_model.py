from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from support import photograph, released_state_dict
from torch import Tensor
from torch.nn import functional as F

from dnadet_lib import DNADet, load_model
from dnadet_lib.attribution import infer, prepare, unknown_score
from dnadet_lib.checkpoints.models import save_model
from dnadet_lib.checkpoints.starting import transfer_backbone
from dnadet_lib.model import HighPass, InputSpec, ProjectionHead
from dnadet_lib.patches import grid_patches, normalise
from dnadet_lib.unknown import Distances, LabelledTraces, squared_distances, trace_distances


def plain_forward(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The released network, written out from METHOD.md."""
    for i in range(8):
        prefix = f"main.{i}.main"
        x = F.conv2d(
            x, state[f"{prefix}.0.weight"], state[f"{prefix}.0.bias"],
            stride=2 if i % 2 == 0 else 1, padding=1,
        )  # fmt: skip
        x = F.batch_norm(
            x, state[f"{prefix}.1.running_mean"], state[f"{prefix}.1.running_var"],
            state[f"{prefix}.1.weight"], state[f"{prefix}.1.bias"],
        )  # fmt: skip
        x = F.leaky_relu(x, 0.2)
    pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
    return F.linear(
        pooled, state["classification_head.1.weight"], state["classification_head.1.bias"]
    )


def test_backbone_has_5_89_million_parameters_at_width_64():
    model = DNADet(5)
    backbone = sum(p.numel() for p in model.main.parameters())
    assert backbone == 5_894_784
    assert sum(p.numel() for p in model.parameters()) == backbone + 5 * 512 + 5


def test_state_dict_has_the_released_keys_in_the_released_order():
    released = released_state_dict(5)
    ours = DNADet(5).state_dict()
    assert list(ours) == list(released)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in released.items()}


@pytest.mark.parametrize(("classes", "width"), [(5, 64), (11, 16)])
def test_released_checkpoint_gives_the_released_logits(tmp_path, classes, width):
    state = released_state_dict(classes, width)
    torch.save(state, tmp_path / "release.pth")
    model = load_model(tmp_path / "release.pth")
    assert (model.width, len(model.classes), model.training) == (width, classes, False)
    assert model.input == InputSpec(resize=512, vote="whole", high_pass=False)

    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        expected = plain_forward(state, images)
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(expected.sum(dim=1), torch.ones(2))  # logits, not softmax


def test_released_checkpoint_takes_class_names(tmp_path):
    torch.save(released_state_dict(3, 8), tmp_path / "release.pth")
    model = load_model(tmp_path / "release.pth", classes=["Real", "A", "B"])
    assert model.classes == ("Real", "A", "B")
    with pytest.raises(ValueError, match="2 class names given for 3 classes"):
        load_model(tmp_path / "release.pth", classes=["Real", "A"])


def test_embed_is_pooled_and_feeds_the_classifier(tiny_model):
    images = torch.randn(4, 3, 32, 48)
    embedded = tiny_model.embed(images)
    assert embedded.shape == (4, 64) == (4, tiny_model.embedding_size)
    torch.testing.assert_close(tiny_model.classification_head(embedded), tiny_model(images))


def test_projection_head_gives_unit_vectors():
    projected = ProjectionHead(64)(torch.randn(6, 64))
    assert projected.shape == (6, 128)
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(6))


def test_high_pass_has_the_kernel_and_no_weights_to_learn():
    front = HighPass()
    impulse = torch.zeros(1, 3, 5, 5)
    impulse[0, 1, 2, 2] = 1
    response = front(impulse)
    expected = torch.tensor([[-1.0, 2, -1], [2, -4, 2], [-1, 2, -1]])  # the kernel / 4, scaled by 4
    assert torch.equal(response[0, 1, 1:4, 1:4], expected)
    assert torch.equal(response[0, [0, 2]], torch.zeros(2, 5, 5))
    assert not list(front.parameters())
    assert not front.state_dict()


def test_high_pass_does_not_see_linear_ramps():
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    ramps = torch.stack([3 * x + 1, 2 * y - x, torch.full_like(x, 0.5)])[None]
    inner = HighPass()(ramps)[..., 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.zeros_like(inner), atol=1e-4, rtol=0)


def test_high_pass_is_part_of_the_model():
    torch.manual_seed(0)
    model = DNADet(3, 8, input=InputSpec(high_pass=True)).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model.embed(images), model.main(HighPass()(images)).mean((2, 3)))


def test_save_and_load_round_trip(tiny_model, checkpoint):
    tiny_model.temperature, tiny_model.trace_blocks = 1.7, (1, 2)
    traces = LabelledTraces(torch.rand(60, sum(tiny_model.trace_sizes)), np.arange(60) % 5)
    tiny_model.reference = trace_distances(traces, tiny_model.trace_sizes)
    save_model(tiny_model, checkpoint, preset="pocket", seed=3)
    loaded = load_model(checkpoint)
    assert loaded.classes == tiny_model.classes
    assert loaded.input == tiny_model.input
    assert (loaded.temperature, loaded.threshold, loaded.width) == (1.7, 0.5, 8)
    assert loaded.trace_blocks == tiny_model.trace_blocks == (1, 2)
    assert not loaded.training
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    torch.testing.assert_close(loaded.reference, tiny_model.reference, atol=0, rtol=0)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded(images), tiny_model(images))


def test_attribute_takes_paths_images_and_arrays_of_any_sizes(tiny_model, tmp_path, rng):
    arrays = [photograph(rng, *size) for size in ((64, 64), (33, 90), (200, 150))]
    path = tmp_path / "a.png"
    Image.fromarray(arrays[0]).save(path)
    grey = Image.fromarray(arrays[0]).convert("L")
    inputs = [path, str(path), Image.fromarray(arrays[0]), *arrays, grey]
    result = tiny_model.attribute(inputs)

    assert result.probabilities.shape == (7, 5)
    assert result.embeddings.shape == (7, 64)
    assert result.unknown_scores.shape == result.known.shape == (7,)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, rtol=1e-5)
    for row in (1, 2, 3):  # the same pixels, however they are given
        np.testing.assert_array_equal(result.probabilities[row], result.probabilities[0])
    best = result.probabilities.argmax(axis=1)
    assert result.labels == [tiny_model.classes[k] for k in best]


def test_attribute_votes_over_a_grid_and_never_resizes(tiny_model, rng):
    image = photograph(rng, 64, 96)
    patches = torch.from_numpy(grid_patches(image, 32))
    with torch.no_grad():
        logits = tiny_model(normalise(patches)).mean(dim=0)
    expected = (logits / tiny_model.temperature).softmax(dim=0).numpy()
    np.testing.assert_allclose(tiny_model.attribute([image]).probabilities[0], expected, atol=1e-5)


def test_whole_image_vote_resizes_as_the_checkpoint_says(rng):
    torch.manual_seed(0)
    model = DNADet(2, 8, input=InputSpec(resize_first=32, resize=64)).eval()
    image = photograph(rng, 50, 80)
    small = Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC)
    large = np.array(small.resize((64, 64), Image.Resampling.BICUBIC))
    with torch.no_grad():
        expected = model(normalise(torch.from_numpy(large[None]))).softmax(dim=1).numpy()
    np.testing.assert_allclose(model.attribute([image]).probabilities, expected, atol=1e-6)


def test_attribute_does_not_depend_on_the_company(tiny_model, rng):
    images = [photograph(rng, 64, 64) for _ in range(3)]
    together = tiny_model.attribute(images)
    alone = tiny_model.attribute(images[2:])
    np.testing.assert_allclose(alone.probabilities[0], together.probabilities[2], atol=1e-6)


def test_temperature_softens_without_changing_the_label(tiny_model, rng):
    image = photograph(rng, 64, 64)
    sharp = tiny_model.attribute([image])
    tiny_model.temperature = 10.0
    soft = tiny_model.attribute([image])
    assert soft.labels == sharp.labels
    assert soft.probabilities.max() < sharp.probabilities.max()


def test_unknown_score_is_the_relative_mahalanobis_distance(tiny_model):
    # Class means at 1 and -1 on the first axis; deviations 0.5 there and 2 on the second.
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    within, overall = torch.diag(torch.tensor([4.0, 0.25])), torch.diag(torch.tensor([0.8, 0.25]))
    tiny_model.reference = Distances(means, [torch.stack([within, overall])])
    probes = torch.tensor([[1.5, 2.0], [1.5, 40.0], [0.0, 0.0]])
    first = (0.5**2 * 4 + 2**2 * 0.25) - (1.5**2 * 0.8 + 2**2 * 0.25)
    scores = unknown_score(tiny_model, probes)
    assert scores[0].item() == pytest.approx(first / 2, rel=1e-5)
    assert scores[1].item() == pytest.approx(scores[0].item(), rel=1e-3)  # far from all alike
    assert scores[2].item() == pytest.approx(4 / 2)  # between the classes, where no image was

    # Another block, of one trace, which the second class is near to: its mean at 3, that of all 0.
    wider = torch.cat([means, torch.tensor([[9.0], [3.0], [0.0]])], dim=1)
    other = torch.tensor([[[2.0]], [[1.0]]])
    tiny_model.reference = Distances(wider, [torch.stack([within, overall]), other])
    squares = squared_distances(torch.tensor([[0.0, 0.0, 3.0]]), tiny_model.reference)
    torch.testing.assert_close(squares[:, 0], torch.tensor([[2.0, 2.0, 0.0], [72.0, 0.0, 9.0]]))
    score = unknown_score(tiny_model, torch.tensor([[0.0, 0.0, 3.0]]))
    assert score.item() == pytest.approx((2 + 0) / 2 - (0 + 9) / 2)  # nearest in both together


def test_turned_copies_of_a_patch_vote_together(tiny_model, rng):
    image = photograph(rng, 48, 40)
    alone = tiny_model.attribute([image]).embeddings
    tiny_model.input = replace(tiny_model.input, vote="turned")
    together = tiny_model.attribute([image]).embeddings
    patches = grid_patches(image, 32)
    copies = [patches, patches.swapaxes(1, 2)[:, ::-1][:, :, ::-1], patches[:, ::-1, ::-1]]
    copies.append(patches.swapaxes(1, 2))
    with torch.no_grad():
        each = [tiny_model.embed(normalise(torch.from_numpy(c.copy()))).mean(0) for c in copies]
    np.testing.assert_allclose(together[0], torch.stack(each).mean(dim=0), atol=1e-7)
    assert not np.allclose(together, alone, atol=1e-6)


def test_a_discriminant_has_its_own_pooling_and_travels(tmp_path, rng):
    torch.manual_seed(0)
    spec = InputSpec(resize=None, patch=32, vote="turned", high_pass=True)
    model = DNADet(3, 8, classes=("a", "b", "c"), input=spec, blocks=3, discriminant=True).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        maps = model.main(model.high_pass(images)).flatten(2)
        parts = [maps.mean(2), (maps.std(2, correction=0) + 0.05).log()]
        expected = model.whitening(torch.cat(parts, dim=1))
        torch.testing.assert_close(model.embed(images), expected, atol=1e-5, rtol=1e-4)
    assert expected.shape[1] == model.embedding_size == 32
    save_model(model, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert (len(loaded.main), loaded.discriminant, loaded.input) == (3, True, spec)
    image = photograph(rng, 64, 64)
    found, again = (m.attribute([image]).probabilities for m in (model, loaded))
    np.testing.assert_array_equal(found, again)


def test_features_are_those_of_the_trace_blocks_and_of_the_last(tiny_model, rng):
    views = [rng.integers(0, 256, (v, 32, 32, 3), dtype=np.uint8) for v in (1, 3)]
    found = infer(tiny_model, views)
    with torch.no_grad():
        pixels = [normalise(torch.from_numpy(v)) for v in views]
        embeddings = torch.stack([tiny_model.embed(p).mean(dim=0) for p in pixels])
        blocks = [tiny_model.main[: block + 1] for block in tiny_model.trace_blocks]
        maps = [[b(tiny_model.high_pass(p)).flatten(2) for b in blocks] for p in pixels]
        parts = [[s for m in own for s in (m.mean(2), (m.std(2, correction=0) + 0.05).log())]
                 for own in maps]  # fmt: skip
        traces = torch.stack([torch.cat(own, dim=1).mean(dim=0) for own in parts])
    torch.testing.assert_close(found.embeddings, embeddings, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.traces, traces, atol=1e-5, rtol=1e-4)


def test_folded_batch_norm_changes_nothing_but_rounding():
    torch.manual_seed(0)
    model = DNADet(3, 8, input=InputSpec(vote="whole")).eval()
    for block in model.main:
        norm = block.main[1]
        for values, low, high in ((norm.weight, -1, 2), (norm.bias, -1, 1),
                                  (norm.running_mean, -1, 1), (norm.running_var, 0.05, 5)):
            torch.nn.init.uniform_(values, low, high)
    images = torch.randn(2, 3, 64, 64)
    plain = model(images)  # where gradients are wanted, as in training, each layer runs
    with torch.no_grad():
        folded = model(images)
        ran = []
        model.main[0].main[1].register_forward_hook(lambda *_: ran.append(1))
        model(images)
    torch.testing.assert_close(folded, plain, atol=1e-5, rtol=1e-4)
    assert not ran and plain.abs().max() > 0.1
    model(images)
    assert ran


def test_images_of_several_sizes_run_together(rng):
    model = DNADet(3, 8, input=InputSpec(resize=None, vote="whole")).eval()
    images = [rng.integers(0, 256, (side, 40, 3), dtype=np.uint8) for side in (40, 64, 40)]
    found = infer(model, [prepare(model, image) for image in images])
    expected = model.attribute(images).embeddings
    np.testing.assert_allclose(found.embeddings, expected, atol=1e-5)


def test_known_follows_from_the_threshold(tiny_model, rng):
    image = photograph(rng, 64, 64)
    score = float(tiny_model.attribute([image]).unknown_scores[0])
    for threshold, known in ((score + 0.01, True), (score - 0.01, False)):
        tiny_model.threshold = threshold
        assert tiny_model.attribute([image]).known.tolist() == [known]


def test_without_training_traces_nothing_is_called_known_or_unknown(tiny_model, rng):
    tiny_model.reference = None
    result = tiny_model.attribute([photograph(rng, 64, 64)])
    assert np.isnan(result.unknown_scores).all()
    assert result.known.tolist() == [None]
    assert not bool(result.known[0]) and not bool((~result.known)[0])  # neither reads true
    assert (~result.known).sum() is np.ma.masked


def test_transfer_takes_the_backbone_and_leaves_the_classifier():
    torch.manual_seed(0)
    pretrained, model = DNADet(170, 8), DNADet(5, 8)
    head = model.classification_head[1].weight.clone()
    transfer_backbone(model, pretrained)
    for name, tensor in pretrained.main.state_dict().items():
        assert torch.equal(model.main.state_dict()[name], tensor)
    assert torch.equal(model.classification_head[1].weight, head)


@pytest.mark.parametrize("other", [DNADet(5, 16), DNADet(5, 8, input=InputSpec(high_pass=True))])
def test_transfer_between_models_that_differ_is_refused(other):
    with pytest.raises(ValueError, match="pre-trained model has width"):
        transfer_backbone(DNADet(5, 8), other)


def test_a_model_with_fewer_blocks_is_refused_as_a_start():
    with pytest.raises(ValueError, match="pre-trained model has 3 blocks, 4 needed"):
        transfer_backbone(DNADet(3, 8, blocks=4), DNADet(3, 8, blocks=3))
