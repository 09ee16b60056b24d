"""The source of a student's function, with what it needs of the notebook around it."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

LAMBDA = "submitted"  # the name that a lambda gets
LITERAL_AT_MOST = 1000  # characters of a value that goes along


def source_of(function: Any) -> tuple[str, str]:
    """Return a name and the source that defines it, to be run elsewhere.

    Before the function itself come the imports, plain values and functions of the notebook that it
    uses. Both texts are empty where Python has no source, as for a built-in function.
    """
    parts: list[str] = []
    try:
        name = _add(function, parts, set())
    except (AttributeError, OSError, SyntaxError, TypeError, ValueError):  # no file, part of a line
        return "", ""
    return name, "\n".join(parts)


def _add(function: Any, parts: list[str], seen: set[str]) -> str:
    """Append the source of a function, after what it uses; return its name."""
    source = textwrap.dedent(inspect.getsource(function))
    name = function.__name__
    if name == "<lambda>":
        (node,) = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Lambda))
        name, source = LAMBDA, f"{LAMBDA} = {ast.get_source_segment(source, node)}\n"
    seen.add(name)
    outside = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
    used = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
    for other in sorted((used & outside.keys()) - seen):
        _define(other, outside[other], function, parts, seen)
    parts.append(source)
    return name


def _define(
    name: str, value: Any, user: Callable[..., Any], parts: list[str], seen: set[str]
) -> None:
    """Append what gives `name` its value; nothing where a line of source cannot."""
    seen.add(name)
    home, own = getattr(value, "__module__", None), getattr(value, "__name__", "")
    if isinstance(value, ModuleType):
        parts.append(f"import {value.__name__} as {name}\n")
    elif isinstance(value, FunctionType) and home == user.__module__:
        defined = _add(value, parts, seen)
        if defined != name:
            parts.append(f"{name} = {defined}\n")
    elif inspect.isclass(value) and home == user.__module__:
        parts.append(textwrap.dedent(inspect.getsource(value)))
    elif home in sys.modules and getattr(sys.modules[home], own, None) is value:
        parts.append(f"from {home} import {own} as {name}\n")
    elif len(repr(value)) <= LITERAL_AT_MOST and _is_literal(value):
        parts.append(f"{name} = {value!r}\n")


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (SyntaxError, ValueError):
        return False
