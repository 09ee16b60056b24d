"""From image files to pixels: reading, kinds, folders and lists."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    reading=("as_rgb", "read_image"),
    lists=("read_annotation", "read_list"),
)
