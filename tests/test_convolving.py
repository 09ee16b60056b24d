"""Convolutions as matrix products."""

import pytest
import torch
from torch import nn

from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.convolving import MANY, SMALL, Unfolded, convolve

KINDS = {"keeps the size": (3, 1), "halves it": (4, 2)}


@pytest.mark.parametrize(("kernel", "stride"), KINDS.values(), ids=list(KINDS))
@pytest.mark.parametrize("side", [4, 5, 8])
def test_products_are_the_convolution_and_its_gradients(kernel, stride, side):
    torch.manual_seed(0)
    own = nn.Conv2d(3, 5, kernel, stride, padding=1).double()
    x = torch.randn(2, 3, side, side + 1, dtype=torch.float64, requires_grad=True)
    given = (x, own.weight, own.bias)
    wanted, found = own(x), Unfolded.apply(*given, stride, 1)
    torch.testing.assert_close(found, wanted)
    back = torch.randn_like(wanted)
    for a, b in zip(torch.autograd.grad(found, given, back),
                    torch.autograd.grad(wanted, given, back), strict=True):  # fmt: skip
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("side", "channels", "autocast", "pays"),
    [(SMALL, 2, True, True), (SMALL + 1, MANY, True, False), (SMALL, 2, False, False),
     (SMALL, MANY, False, True)],
)  # fmt: skip
def test_products_are_used_where_they_pay(side, channels, autocast, pays, monkeypatch):
    used = []
    monkeypatch.setattr(Unfolded, "apply", lambda x, *_: used.append(1) or x)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        own = nn.Conv2d(2, channels, 3)
        convolve(torch.zeros(1, 2, side, side), own.weight, own.bias, 1, 1)
    assert bool(used) == pays


def test_a_network_learns_the_same_with_products(monkeypatch):
    """Gradients of all weights in bfloat16 autocast: those of PyTorch's convolutions."""
    images, gradients = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1)), []
    for limit in (SMALL, 0):
        monkeypatch.setattr("dnadet_lib.plumbing.convolving.SMALL", limit)
        torch.manual_seed(0)
        model = DNADet(2, width=8).train()
        with torch.autocast("cpu", torch.bfloat16):
            model.embed(images).float().square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.main.parameters()]))
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert cosine > 0.999
