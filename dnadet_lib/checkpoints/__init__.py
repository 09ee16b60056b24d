"""Checkpoints: reading and writing, ours and released ones, and joining backbones."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    models=("find_checkpoint", "load_model", "save_model"),
    joining=("join_backbones", "transfer_backbone"),
)
