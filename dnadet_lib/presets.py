"""Every number of a training run. The `paper_*` presets are the paper's, the others ours."""

from dataclasses import dataclass, fields, replace

from dnadet_lib.model import InputSpec


@dataclass(frozen=True)
class Preset:
    """How a model is trained.

    With changes, copies of the training images are changed, so that the model looks past them: a
    discriminant has a prototype of each class for each, a network sees equally many of each.
    """

    name: str  # of the preset
    width: int = 64  # channels of the first stage
    input: InputSpec = InputSpec()  # resizes, patch side, front end and vote
    patches: int = 16  # random patches cut from each image and step; 0 for the whole image
    items: int = 32  # images per step and class; in pre-training, images per step
    learning_rate: float = 1e-4  # of Adam
    schedule: str = "step"  # "step": times `decay` every `decay_every` iterations; or "one-cycle"
    decay_every: int = 500  # iterations
    decay: float = 0.9  # factor
    epochs: int = 30  # at most
    patience: int = 20  # epochs without a better dev score before training stops
    select_by: str = "accuracy"  # what is best on dev; or "macro_f1", or "last" to keep the last
    temperature: float = 0.07  # of the contrastive loss
    weight_rate: float = 0.01  # learning rate of the automatic loss weights
    contrast: bool = True  # whether the contrastive loss is used beside cross-entropy
    learned_weights: bool = True  # whether the two losses have learned weights; else both count 1
    steps_per_epoch: int | None = None  # after which dev is scored; None: a pass over the images
    transform_size: int = 128  # pre-training: side of the crop that is transformed, in pixels
    double_softmax: bool = False  # the release's fault: softmax before cross-entropy
    flips: bool = False  # whether images are mirrored and turned at random before patches are cut
    discriminant: int = 0  # stage 2: blocks whose channels one is solved on; 0 trains the network
    shared_norm: bool = False  # whether batch norm sees the patches of all processes that train
    changes: tuple[str, ...] = ()  # stage 2: ways (of `changes.CHANGES`) to look past
    contents: tuple[str, ...] = ("horizons", "meadow", "nebulae", "stamps")  # of pre-training
    stage: int = 2  # 1 for pre-training on transformations, 2 for training on architectures

    def changed(self) -> dict[str, str]:
        """Write the fields that are not the defaults, so that a new field leaves it as it is.

        The stage is left out, since it changes no number of a run.
        """
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self)}
        del values["stage"]
        return {name: repr(own) for name, (own, default) in values.items() if own != default}

    def settings(self) -> str:
        """Write them in one line."""
        return ", ".join(f"{name}={value}" for name, value in self.changed().items())


paper_celeba = Preset("paper_celeba")
paper_lsun = Preset("paper_lsun", learning_rate=1e-3, decay_every=2500)
paper_wild = Preset(
    "paper_wild", input=InputSpec(resize_first=128), items=16, learning_rate=1e-3, decay_every=2500,
    select_by="macro_f1",
)  # fmt: skip
paper_pretrain = Preset("paper_pretrain", items=128, epochs=50, select_by="macro_f1", stage=1)

_NATIVE = InputSpec(resize=None, patch=32, vote="patches", high_pass=True)

rung = Preset(  # what the rows of the ablation change
    "rung",
    width=32,
    input=_NATIVE,
    patches=4,
    learning_rate=3e-4,
    schedule="one-cycle",
    epochs=2,
    select_by="last",
)
pocket_plain = Preset(  # a patch of 64 is all of a zoo image; larger ones get a grid of them
    "pocket_plain",
    width=32,
    input=replace(_NATIVE, patch=64, vote="turned"),
    discriminant=3,
)
pocket = replace(
    pocket_plain,
    name="pocket",
    changes=("fine JPEG", "coarse JPEG", "WebP", "smaller", "larger", "tone"),
)
pocket_pretrain = Preset(
    "pocket_pretrain", width=32, input=_NATIVE, patches=2, items=128, learning_rate=1e-3,
    schedule="one-cycle", epochs=8, patience=8, select_by="macro_f1", steps_per_epoch=500,
    transform_size=64, stage=1,
)  # fmt: skip
pocket_pretrain_raw = replace(
    pocket_pretrain, name="pocket_pretrain_raw", input=replace(_NATIVE, high_pass=False)
)
whole_raw = replace(
    rung, name="whole_raw", input=InputSpec(resize=None, vote="whole"), patches=0, contrast=False,
    learning_rate=1e-3,
)  # fmt: skip
smoke = replace(rung, name="smoke", width=8, items=4, epochs=2, patches=2, steps_per_epoch=4)
smoke_pretrain = replace(
    pocket_pretrain, name="smoke_pretrain", width=8, items=16, epochs=2, steps_per_epoch=4
)

PRESETS = {
    preset.name: preset
    for preset in (
        paper_celeba, paper_lsun, paper_wild, paper_pretrain,
        pocket, pocket_plain, pocket_pretrain, pocket_pretrain_raw,
        rung, whole_raw, smoke, smoke_pretrain,
    )
}  # fmt: skip


def get_preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def require_stage(preset: Preset, stage: int) -> None:
    """Refuse a preset of the other stage.

    Raises:
        ValueError: it is; it is named, with those that would do.
    """
    if preset.stage != stage:
        fitting = ", ".join(p.name for p in PRESETS.values() if p.stage == stage)
        does = {1: "pretrain", 2: "train"}
        raise ValueError(
            f"preset {preset.name} is of stage {preset.stage} (`dnadet {does[preset.stage]}`); "
            f"`dnadet {does[stage]}` takes one of {fitting}"
        )
