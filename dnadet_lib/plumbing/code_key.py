"""A hash of what a function does: its compiled code, and all code of ours that it goes through.

Results that are kept on disk go by it, so that an edited method is not answered with what its old
code found. From a function it follows names to the functions, classes and values that they stand
for; what is part of Python or of an installed package counts by its name alone. Comments,
docstrings and line numbers do not count. Another version of Python compiles other code: there,
results are made anew.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

OWN = "dnadet_lib"
# They decide where results go and how messages read, or hold presets, whose values are in the keys.
PLUMBING = frozenset(
    f"{OWN}.{name}"
    for name in (
        "plumbing.code_key", "plumbing.files", "plumbing.paths", "plumbing.text", "presets",
        "runs.folder", "runs.key",
    )
)
PLAIN = (
    int, float, complex, str, bytes, bool, type(None), type(...), range, np.generic, np.dtype,
    PurePath,
)  # fmt: skip
HAS_DOCSTRING = 0x4000000  # a flag of code from Python 3.14 on


def code_digest(*roots: object) -> str:
    """Return a SHA-256 of functions, classes and values, and of the code of ours they go through.

    Plain values, containers, arrays, tensors, dataclasses and the parameters of estimators count by
    value, objects of other kinds by the code of their class alone.
    """
    walk = _Walk()
    for root in roots:
        walk.add(root)
    return walk.hash.hexdigest()


class _Walk:
    """Goes through code and values, and hashes each once, in a fixed order."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.seen: dict[int, object] = {}  # it holds them, so that no id is used twice

    def write(self, *words: object) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode(errors="surrogatepass")
            self.hash.update(len(data).to_bytes(8, "big") + data)

    def add(self, value: Any) -> None:
        if isinstance(value, PLAIN):
            self.write(type(value).__name__, repr(value))
        elif id(value) in self.seen:
            self.write("again")
        else:
            self.seen[id(value)] = value
            self.add_new(value)

    def add_new(self, value: Any) -> None:
        if isinstance(value, CodeType):
            self.add_code(value)
        elif isinstance(value, FunctionType):
            self.add_function(value)
        elif isinstance(value, type):
            self.add_class(value)
        elif isinstance(value, MethodType):
            self.add([value.__func__, value.__self__])
        elif isinstance(value, functools.partial):
            self.add([value.func, value.args, value.keywords])
        elif isinstance(value, property):
            self.add([value.fget, value.fset])
        elif isinstance(value, functools.cached_property):
            self.add(value.func)
        elif hasattr(value, "__wrapped__"):  # static and class methods, cached functions
            self.add(value.__wrapped__)
        elif isinstance(value, tuple) or type(value) in (list, dict, set, frozenset):
            self.add_container(value)
        elif isinstance(value, np.ndarray) and value.dtype != object:
            self.write(value.dtype, value.shape, np.ascontiguousarray(value).tobytes())
        else:
            self.add_instance(value)

    def add_container(self, value: Any) -> None:
        self.write(type(value).__name__, len(value))
        if isinstance(value, set | frozenset):  # their order changes from process to process
            self.write(*sorted(code_digest(item) for item in value))
        else:
            for item in value.items() if isinstance(value, dict) else value:
                self.add(item)

    def add_function(self, function: FunctionType) -> None:
        self.write(function.__qualname__)
        if not _is_own(function.__globals__.get("__name__")):
            self.write(function.__module__)  # or a wrapper from elsewhere around one of ours
            self.add(getattr(function, "__wrapped__", None))
            return
        self.add_code(function.__code__)
        self.add([function.__defaults__, function.__kwdefaults__])
        names = _names(function.__code__)
        for name in sorted(names.union(_annotated(function))):
            self.add_named(name, function.__globals__, names)
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not filled yet
                self.write("empty")

    def add_code(self, code: CodeType) -> None:
        self.write(code.co_argcount, code.co_kwonlyargcount, code.co_flags & ~HAS_DOCSTRING)
        self.write(code.co_code, code.co_names, code.co_varnames)
        self.add([None if k == 0 and _has_docstring(code) else constant
                  for k, constant in enumerate(code.co_consts)])  # fmt: skip

    def add_named(self, name: str, scope: dict[str, Any], used: set[str]) -> None:
        """Add what a function's name stands for, and of a module what the function uses of it."""
        if name in scope:
            value = scope[name]
        elif name.startswith(f"{OWN}."):  # imported where it is used
            value = importlib.import_module(name)
        else:
            return
        self.write(name)
        if not isinstance(value, ModuleType):
            self.add(value)
        elif _is_own(value.__name__):
            for inner in sorted(used & vars(value).keys()):
                self.write(inner)
                self.add(vars(value)[inner])

    def add_class(self, cls: type) -> None:
        self.write(cls.__qualname__)
        if not _is_own(cls.__module__):
            self.write(cls.__module__)
            return
        for base in cls.__mro__[1:]:
            self.add(base)
        for name, value in sorted(vars(cls).items()):
            if isinstance(value, FunctionType) or not name.startswith(("__", "_abc_")):
                self.write(name)
                self.add(value)

    def add_instance(self, value: Any) -> None:
        self.write(getattr(value, "__module__", ""), getattr(value, "__name__", ""))
        if dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                held = getattr(value, field.name)
                if not (isinstance(held, PLAIN) and held == field.default):
                    self.add([field.name, held])  # so that a new field changes nothing
        elif hasattr(value, "get_params"):
            self.add(value.get_params(deep=False))
        elif hasattr(value, "state_dict"):
            self.add(dict(value.state_dict()))
        elif hasattr(value, "detach"):
            self.add(value.detach().cpu().numpy())
        self.add(type(value))


def _is_own(module: str | None) -> bool:
    return module not in PLUMBING and not _is_installed((module or "").partition(".")[0])


@functools.cache
def _is_installed(root: str) -> bool:
    """Whether a top-level module is part of Python or of another installed package."""
    if root in (OWN, "__main__"):
        return False
    if root in sys.builtin_module_names or root in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(root), "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(PurePath(file).parts)


def _has_docstring(code: CodeType) -> bool:
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & HAS_DOCSTRING)
    return not code.co_name.startswith("<") and isinstance(code.co_consts[0], str)


def _names(code: CodeType) -> set[str]:
    """Names that a function's code uses, and the code of functions inside it."""
    inner = (part for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _annotated(function: FunctionType) -> Iterator[str]:
    """Names in a function's annotations: the classes whose methods it may call."""
    for text in function.__annotations__.values():
        if isinstance(text, str):
            yield from (n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name))
