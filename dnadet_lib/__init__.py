"""dnadet: which generator architecture made this image?"""

from typing import TYPE_CHECKING

from dnadet_lib.plumbing.lazy import names_of

if TYPE_CHECKING:
    from dnadet_lib.checkpoints.models import load_model as load_model
    from dnadet_lib.model import Attribution as Attribution, DNADet as DNADet

# torch is imported when a name that needs it is used.
__getattr__, __dir__, __all__ = names_of(
    __name__, model=("Attribution", "DNADet"), checkpoints=("load_model",)
)
