"""The bench: rivals, rows of the table, the suite, the ladder and the position study."""

from dnadet_lib.plumbing.lazy import names_of

__getattr__, __dir__, __all__ = names_of(
    __name__,
    suite=("Method", "baseline", "network", "run_suite"),
    tables=("write_suite",),
    methods=("all_methods", "make_method"),
)
