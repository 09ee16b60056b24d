"""A report on some images: what the model says of each, as a page and as JSON."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    findings=("Finding", "Report", "Unread", "examine", "require_twin", "twin_of", "write_twin"),
)
