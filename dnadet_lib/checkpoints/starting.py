"""Starting a model from a pre-trained one."""

from dnadet_lib.model import DNADet


def transfer_backbone(model: DNADet, pretrained: DNADet) -> None:
    """Start a model from the backbone of a pre-trained one that fits; the classifier stays.

    Raises:
        ValueError: its blocks are not those of the model; the values are named.
    """
    if len(pretrained.main) < len(model.main):
        raise ValueError(
            f"{pretrained.origin} has {len(pretrained.main)} blocks, {len(model.main)} needed"
        )
    if (model.width, model.input.high_pass) != (pretrained.width, pretrained.input.high_pass):
        raise ValueError(
            f"{pretrained.origin} has width {pretrained.width} and high-pass "
            f"{pretrained.input.high_pass}; needed: {model.width} and {model.input.high_pass}"
        )
    model.main.load_state_dict(pretrained.main[: len(model.main)].state_dict())
