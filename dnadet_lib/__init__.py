"""dnadet: which generator architecture made this image?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnadet_lib.model import Attribution, DNADet, load_model

__all__ = ["Attribution", "DNADet", "load_model"]


def __getattr__(name: str) -> Any:
    """Import torch only when a name that needs it is used."""
    if name in __all__:
        from dnadet_lib import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
