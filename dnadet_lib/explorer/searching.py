"""Find images: by words of their paths, or by an expression over the columns of the table."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from dnadet_lib.explorer.state import Explorer
from dnadet_lib.explorer.tags import tags_of
from dnadet_lib.plumbing.text import one_line, shown

AT_MOST = 500  # characters of a search
# A text with one of these is an expression, another one is words.
EXPRESSION = re.compile(r"""[<>]|[=!]=|\bin\s*[\[("']|["']\s*(?:not\s+)?in\b""")
QUOTED = r""""[^"]*"|'[^']*'"""
COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
JOINS = {ast.And: np.logical_and, ast.Or: np.logical_or,
         ast.BitAnd: np.logical_and, ast.BitOr: np.logical_or}  # fmt: skip


def search(state: Explorer, text: str) -> np.ndarray:
    """Return the positions of the images that a text finds, in order; none for an empty text.

    Words find the images whose path holds every one of them, in upper or lower case. A text with
    a comparison is an expression over `path` and the columns of the table, such as
    `confidence < 0.5 and known == False and predicted == "Real"`, `"blurry" in tags` or
    `class in ["SNGAN", "Real"]`. It knows comparisons, `in`, `and`, `or`, `not` and brackets.
    Where a column is empty, no comparison with it holds.

    Raises:
        ValueError: the expression cannot be understood; it is quoted, and the columns are listed.
    """
    text = text.strip()
    if not EXPRESSION.search(text):
        words = text.casefold().split()
        paths = [one_line(path).casefold() for path in state.paths]
        hits = [bool(words) and all(word in path for word in words) for path in paths]
        return np.flatnonzero(hits)
    columns = _columns(state)
    try:
        return np.flatnonzero(_evaluated(text, columns))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        why = error if type(error) is ValueError else "it cannot be understood"
        there = ", ".join(map(one_line, columns))
        raise ValueError(f"search {shown(text)}: {why}. The columns are: {there}") from None


def _columns(state: Explorer) -> dict[str, pd.Series]:
    paths = pd.Series([one_line(path) for path in state.paths], dtype=object)
    return {"path": paths, **{str(name): state.table[name] for name in state.table.columns}}


def _evaluated(text: str, columns: Mapping[str, pd.Series]) -> np.ndarray:
    """Say of each image whether an expression holds, (N,)."""
    if len(text) > AT_MOST:
        raise ValueError(f"it is longer than {AT_MOST} characters")
    values: dict[str, Any] = {}
    names = {_plain(name): name for name in columns}
    spelled = "|".join(
        re.sub(r"[_ -]|\\ |\\-", "[ _-]", re.escape(name))
        for name in sorted(columns, key=len, reverse=True)
    )

    def put(match: re.Match) -> str:
        """Put a name that Python can read for a quoted text, or for a column."""
        found, place = match[0], f"_{len(values)}"
        quoted = found[0] in "\"'"
        values[place] = found[1:-1] if quoted else columns[names[_plain(found.strip("`"))]]
        return f" {place} "

    text = re.sub(rf"{QUOTED}|`(?:{spelled})`|(?<!\w)(?:{spelled})(?!\w)", put, text)
    return _condition(ast.parse(" ".join(text.split()), mode="eval").body, values)


def _plain(name: str) -> str:
    return re.sub("[ _-]", "_", name)


def _condition(node: ast.expr, values: Mapping[str, Any]) -> np.ndarray:
    """Evaluate what is true or false of each image: (N,)."""
    if isinstance(node, ast.BoolOp):
        return reduce(JOINS[type(node.op)], [_condition(part, values) for part in node.values])
    if isinstance(node, ast.BinOp) and type(node.op) in JOINS:
        left, right = (_condition(part, values) for part in (node.left, node.right))
        return JOINS[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        return ~_condition(node.operand, values)
    if isinstance(node, ast.Compare):
        parts = [_value(part, values) for part in (node.left, *node.comparators)]
        steps = zip(parts[:-1], node.ops, parts[1:], strict=True)
        return np.logical_and.reduce([_compared(*step) for step in steps])
    value = _value(node, values)
    if not isinstance(value, pd.Series) or _kind(value) != "true or false":
        raise ValueError(f"{_name(value)} alone is no condition: compare it with something")
    return _filled(value)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """Return a column, or a constant, or a list of constants."""
    if isinstance(node, ast.Name):
        if node.id not in values:
            raise ValueError(f"there is no column {node.id!r}; text stands in quotes")
        return values[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, values)
        if _kind(value) == "numbers":
            return -value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(part, values) for part in node.elts]
    raise ValueError("it may hold columns, numbers, texts in quotes, comparisons, and, or, not")


def _compared(left: Any, how: ast.cmpop, right: Any) -> np.ndarray:
    """Compare a column with a value or another column; `in` looks into a list, or into a text."""
    if isinstance(how, ast.In | ast.NotIn):
        inside = _inside(left, right)
        return inside if isinstance(how, ast.In) else ~inside
    if type(how) not in COMPARISONS:
        raise ValueError("it compares with == != < <= > >= and in")
    if not any(isinstance(value, pd.Series) for value in (left, right)):
        raise ValueError("a comparison needs a column")
    kinds = _kind(left), _kind(right)
    if kinds[0] != kinds[1]:
        raise ValueError(f"{_name(left)} holds {kinds[0]}, {_name(right)} is {kinds[1]}")
    if kinds[0] == "true or false" and not isinstance(how, ast.Eq | ast.NotEq):
        raise ValueError(f"{_name(left)} is true or false: compare it with == or !=")
    present = np.logical_and.reduce(
        [value.notna().to_numpy() for value in (left, right) if isinstance(value, pd.Series)]
    )
    return _filled(COMPARISONS[type(how)](left, right)) & present


def _inside(left: Any, right: Any) -> np.ndarray:
    if isinstance(left, pd.Series) and isinstance(right, list):
        return left.isin(right).to_numpy(bool)
    if isinstance(left, str) and isinstance(right, pd.Series) and _kind(right) == "text":
        if right.name == "tags":
            return np.array([left in tags_of(text) for text in right])
        sought = left.casefold()
        return np.array([sought in str(text).casefold() for text in right])
    raise ValueError('write \'"text" in COLUMN\', or \'COLUMN in ["one", "another"]\'')


def _filled(found: pd.Series) -> np.ndarray:
    return found.fillna(False).to_numpy(bool)


def _kind(value: Any) -> str:
    """Name what a column or a constant holds."""
    if isinstance(value, pd.Series):
        if pd.api.types.is_bool_dtype(value.dtype):
            return "true or false"
        return "numbers" if pd.api.types.is_numeric_dtype(value.dtype) else "text"
    if isinstance(value, bool):
        return "true or false"
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "numbers"


def _name(value: Any) -> str:
    return str(value.name or "path") if isinstance(value, pd.Series) else shown(value)
