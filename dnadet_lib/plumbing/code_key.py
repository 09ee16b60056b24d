"""A hash of code, by which results that are kept on disk are known: edited code makes them anew.

The library counts by its source files. Code of your own, in a script or a notebook, counts as it is
compiled, with all of it that it goes through. Installed packages count by their names alone.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePath
from types import CodeType, FunctionType, ModuleType
from typing import Any

import joblib

LIBRARY = Path(__file__).parents[1]
# No figure of a result comes from these rooms, but for what is asked about itself.
ASIDE = ("commands", "course", "explorer", "plots", "plumbing", "report")
PLAIN = ("builtins", "numpy", "pathlib", "torch")  # packages whose objects count by value


def code_digest(*things: object) -> str:
    """Return a SHA-256 of the library, and of functions, classes, estimators and values.

    Of your own functions and classes count code, defaults, and the values that they use or close
    over; of estimators the class and all parameters; of plain values, containers, arrays, tensors
    and dataclasses the value; of other objects the class alone.
    """
    facts = "\n".join(_facts(list(things), {}))
    return hashlib.sha256(f"{_library_digest()} {facts}".encode()).hexdigest()


@cache
def _library_digest() -> str:
    files = [f for f in LIBRARY.rglob("*.py") if f.relative_to(LIBRARY).parts[0] not in ASIDE]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def _facts(value: Any, seen: dict[int, object]) -> Iterator[str]:
    """Write all that counts of a value; `seen` holds what was written, so that circles end."""
    if id(value) in seen:
        return
    parts: list[Any] = []
    if isinstance(value, FunctionType | type):
        yield f"{value.__module__}.{value.__qualname__}"
        parts = _parts(value) if _is_own(value.__module__) else []
        module = sys.modules.get(value.__module__)
        if (file := getattr(module, "__file__", None)) and Path(file).is_relative_to(LIBRARY):
            parts = [Path(file).read_bytes()]
    elif isinstance(value, CodeType):
        parts = [value.co_code, value.co_names, value.co_consts]
    elif isinstance(value, tuple) or type(value) in (dict, list):
        yield f"{type(value).__name__} {len(value)}"
        parts = [*value.items()] if isinstance(value, dict) else [*value]
    elif hasattr(value, "get_params"):
        parts = [type(value), value.get_params(deep=False)]
    elif callable(inner := getattr(value, "__func__", None) or getattr(value, "fget", None)):
        parts = [inner]  # a method, or a property
    else:
        plain = dataclasses.is_dataclass(value) or type(value).__module__.split(".")[0] in PLAIN
        yield f"{type(value).__name__} {joblib.hash(value) if plain else ''}"
        parts = [type(value)]
    if parts:
        seen[id(value)] = value
    for part in parts:
        yield from _facts(part, seen)


def _parts(value: FunctionType | type) -> list[Any]:
    """List what counts of a function or class of your own."""
    if isinstance(value, type):
        held = {k: v for k, v in vars(value).items() if callable(v) or not k.startswith("__")}
        return [value.__bases__, sorted(held.items())]
    names, globals_ = _names(value.__code__), value.__globals__
    used = [globals_[n] for n in sorted(names) if not isinstance(globals_.get(n, sys), ModuleType)]
    cells = [cell.cell_contents for cell in value.__closure__ or () if cell != type(cell)()]
    return [value.__code__, value.__defaults__, value.__kwdefaults__, used, cells]


def _names(code: CodeType) -> set[str]:
    """Names that code uses, and the code of functions inside it."""
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


@cache
def _is_own(module: str) -> bool:
    """Whether a module is neither the library's, nor Python's, nor an installed package's."""
    root = (module or "").partition(".")[0]
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    installed = not {"site-packages", "dist-packages"}.isdisjoint(PurePath(file).parts)
    return not (installed or root == LIBRARY.name or root in sys.stdlib_module_names) or (
        root == "__main__"
    )
