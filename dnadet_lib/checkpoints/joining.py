"""The backbones of pre-trained networks, joined or handed on."""

from collections.abc import Sequence

import torch

from dnadet_lib.model import DNADet


def join_backbones(networks: Sequence[DNADet]) -> DNADet:
    """Put the backbones of pre-trained networks that fit side by side in one.

    The filters of their first convolutions see the same image; each later one sees the channels of
    its own backbone alone. A single network is returned as it is.
    """
    first = networks[0]
    if len(networks) == 1:
        return first
    joined = DNADet(
        len(first.classes), first.width, classes=first.classes, input=first.input,
        blocks=len(first.main), backbones=sum(network.backbones for network in networks),
    )  # fmt: skip
    for network in networks:
        require_fit(network, joined)
    states = [network.main.state_dict() for network in networks]
    joined.main.load_state_dict({
        name: torch.cat([state[name] for state in states]) if tensor.ndim else tensor
        for name, tensor in states[0].items()
    })
    joined.origin = " + ".join(network.origin for network in networks)
    return joined.eval()


def transfer_backbone(model: DNADet, pretrained: DNADet) -> None:
    """Start a model from the backbone of a pre-trained one that fits; the classifier stays."""
    require_fit(pretrained, model)
    if pretrained.backbones != model.backbones:
        raise ValueError(
            f"{pretrained.origin} has {pretrained.backbones} backbones, {model.backbones} needed"
        )
    model.main.load_state_dict(pretrained.main[: len(model.main)].state_dict())


def require_fit(pretrained: DNADet, model: DNADet) -> None:
    """Refuse a pre-trained model whose blocks are not those of another; the values are named."""
    if len(pretrained.main) < len(model.main):
        raise ValueError(
            f"{pretrained.origin} has {len(pretrained.main)} blocks, {len(model.main)} needed"
        )
    if (model.width, model.input.high_pass) != (pretrained.width, pretrained.input.high_pass):
        raise ValueError(
            f"{pretrained.origin} has width {pretrained.width} and high-pass "
            f"{pretrained.input.high_pass}; needed: {model.width} and {model.input.high_pass}"
        )
