from __future__ import annotations

import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss as ReferenceSupConLoss
from torch.nn import functional as F

from dnadet_lib.losses import AutomaticWeightedLoss, SupConLoss, classification_loss


def unit_features(batch: int, views: int, size: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(batch, views, size, generator=generator), dim=2)


@pytest.mark.parametrize("temperature", [0.05, 0.07, 0.2, 1.0])
@pytest.mark.parametrize(("batch", "views", "classes"), [(12, 2, 3), (9, 4, 5), (10, 1, 2)])
def test_supcon_agrees_with_pytorch_metric_learning(temperature, batch, views, classes):
    labels = torch.arange(batch) % classes
    ours = unit_features(batch, views).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()

    # The reference normalises by itself; both gradients then pass through a normalisation.
    loss = SupConLoss(temperature)(F.normalize(ours, dim=2), labels)
    reference = ReferenceSupConLoss(temperature)(
        theirs.flatten(0, 1), labels.repeat_interleave(views)
    )
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5, abs=1e-5)
    loss.backward()
    reference.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_supcon_leaves_out_anchors_without_a_positive():
    features = unit_features(3, 1)
    loss = SupConLoss(0.5)(features, torch.tensor([0, 0, 1]))
    z = features[:, 0]
    by_hand = 0.0
    for i, j in ((0, 1), (1, 0)):
        others = [a for a in range(3) if a != i]
        scores = torch.stack([z[i] @ z[a] / 0.5 for a in others])
        by_hand -= (z[i] @ z[j] / 0.5 - scores.logsumexp(0)).item() / 2
    assert loss.item() == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("count", [1, 4])
def test_supcon_without_any_positive_is_zero_with_a_zero_gradient(count):
    features = unit_features(count, 1).requires_grad_()
    loss = SupConLoss()(features, torch.arange(count))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_supcon_falls_as_classes_part():
    labels = torch.tensor([0, 0, 1, 1])
    corners = torch.eye(2)[labels][:, None]
    assert SupConLoss()(corners, labels) < 1e-4
    assert SupConLoss()(corners, torch.tensor([0, 1, 0, 1])) > 10


def test_supcon_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(4, 2\).*expected \(B, V, D\)"):
        SupConLoss()(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(ValueError, match="temperature is 0"):
        SupConLoss(0)


def test_weighted_loss_by_hand():
    weighting = AutomaticWeightedLoss(2)
    total = weighting(torch.tensor(3.0), torch.tensor(5.0))
    assert total.item() == pytest.approx(0.5 * 3 + 0.5 * 5 + 2 * math.log(2), abs=1e-6)

    with torch.no_grad():
        weighting.scales.copy_(torch.tensor([2.0, 0.5]))
    total = weighting(torch.tensor(3.0), torch.tensor(5.0))
    by_hand = 0.5 / 4 * 3 + math.log(5) + 0.5 / 0.25 * 5 + math.log(1.25)
    assert total.item() == pytest.approx(by_hand, abs=1e-6)


def test_weighted_loss_gradient_by_hand():
    weighting = AutomaticWeightedLoss(2)
    with torch.no_grad():
        weighting.scales.copy_(torch.tensor([2.0, 0.5]))
    losses = torch.tensor([3.0, 5.0], requires_grad=True)
    weighting(*losses).backward()
    torch.testing.assert_close(losses.grad, torch.tensor([0.125, 2.0]))
    # d/ds of 0.5 L / s^2 + log(1 + s^2) is -L / s^3 + 2 s / (1 + s^2).
    expected = [-3 / 8 + 4 / 5, -5 / 0.125 + 1 / 1.25]
    torch.testing.assert_close(weighting.scales.grad, torch.tensor(expected))


def test_weighted_loss_counts_its_losses():
    with pytest.raises(ValueError, match="1 losses given, 2 expected"):
        AutomaticWeightedLoss(2)(torch.tensor(1.0))


def test_double_softmax_cannot_fall_under_its_floor():
    labels = torch.arange(5)
    perfect = 1000 * torch.eye(5)
    assert classification_loss(perfect, labels).item() == pytest.approx(0, abs=1e-6)
    floor = classification_loss(perfect, labels, double_softmax=True).item()
    assert floor == pytest.approx(math.log(1 + 4 / math.e), abs=1e-6)
    assert floor == pytest.approx(0.905, abs=5e-4)


def test_double_softmax_is_off_by_default():
    logits, labels = torch.randn(8, 5), torch.arange(8) % 5
    plain = F.cross_entropy(logits, labels)
    assert torch.equal(classification_loss(logits, labels), plain)
    assert classification_loss(logits, labels, True) != plain
