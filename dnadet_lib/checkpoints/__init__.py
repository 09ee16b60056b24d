"""Checkpoints: reading and writing, ours and released ones, and starting from one."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    models=("find_checkpoint", "load_model", "save_model"),
    starting=("transfer_backbone",),
)
