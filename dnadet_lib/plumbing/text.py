"""Names from outside, such as those of files and classes, made safe for each kind of output.

A file's name may hold a newline, a terminal's escape codes, bytes that are no text, or characters
that HTML, Markdown, a spreadsheet or matplotlib take for commands. Every name that is printed or
written goes through the function of its output; JSON and Parquet need only `storable`.
"""

import html
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# What Markdown takes for a command. An underscore inside a word is none, and a bracket only where
# it ends the text of a link.
MARKDOWN = re.compile(r"[\\`*<>|#~$]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])")
FORMULAS = tuple("=+-@＝＋－＠")  # what a spreadsheet runs when a cell starts with it
FIGURE_AT_MOST = 60  # characters of a name in a figure, which would else be squeezed aside
DOLLARS = re.compile(r"(?<!\\)\$")  # that `for_figure` has not written
SURROGATES = re.compile("[\ud800-\udfff]")
BYTES = re.compile(r"\\x([89a-f][0-9a-f])")


def one_line(text: object) -> str:
    r"""Write a text in one line of visible characters; others are written as `\x1b` or `\u202e`."""
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # how Python keeps a byte of a name that is no UTF-8
        number -= 0xDC00
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def shortened(text: object, at_most: int = FIGURE_AT_MOST) -> str:
    """Write a text in one line of at most so many characters: beginning and end are kept."""
    line = one_line(text)
    if len(line) <= at_most:
        return line
    end = at_most // 3
    return f"{line[: at_most - 1 - end]}…{line[-end:]}"


def for_html(text: object) -> str:
    """Write a text so that HTML shows it as it is, in one line, also inside an attribute."""
    return html.escape(one_line(text))


def for_markdown(text: object) -> str:
    """Write a text so that Markdown shows it as it is, in one line, also in a table's cell."""
    return MARKDOWN.sub(r"\\\g<0>", one_line(text)).replace("&", "&amp;")


def for_csv(text: object) -> str:
    """Write a text for a cell of CSV, in one line; a formula gets a `'` in front, and is text."""
    line = one_line(text)
    return f"'{line}" if line.startswith(FORMULAS) else line


def table_for_csv(table: Any) -> Any:
    """Make the texts of a pandas table, and the names of its columns, safe to write as CSV."""
    safe = table.map(lambda value: for_csv(value) if isinstance(value, str) else value)
    return safe.rename(columns=for_csv)


def for_figure(text: object) -> str:
    """Write a label for matplotlib, in one line of at most 60 characters, safe from `$` and `_`."""
    line = shortened(text).replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line


def for_title(text: str) -> str:
    """Write a title of some lines for matplotlib, so that no `$` in it begins a formula."""
    return DOLLARS.sub(r"\$", text)


def storable(text: object) -> str:
    r"""Write a text as Unicode that any program reads: a byte that is no UTF-8 becomes `\xe9`."""
    return SURROGATES.sub(lambda match: _escaped(match[0]), str(text))


def restored(path: str) -> Path:
    r"""Return the file that `storable` named; a byte stands behind `\xe9` if only that is there."""
    other = BYTES.sub(lambda match: chr(0xDC00 + int(match[1], 16)), path)
    return Path(other if not os.path.exists(path) and os.path.exists(other) else path)


def for_json(value: Any) -> Any:
    """Make plain values fit for JSON: every text `storable`, NaN and infinities None."""
    if isinstance(value, dict):
        return {storable(key): for_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [for_json(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return storable(value) if isinstance(value, str) else value


def is_storable(path: Path | str) -> bool:
    """Whether a path can be stored as text and found again: its name is UTF-8."""
    return not SURROGATES.search(str(path))


CLASSES_AT_MOST = 10_000
CHANGES_AT_MOST = 64


def is_whole(value: object) -> bool:
    """Whether a value of JSON is a whole number: true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_finite(value: object) -> bool:
    """Whether a value is a finite number, not true or false or text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300  # also of whole numbers that are no float


def check_changes(names: object) -> tuple[str, ...]:
    """Return names of changes; a ValueError unless they are at most 64 texts that differ."""
    if not isinstance(names, list | tuple) or len(names) > CHANGES_AT_MOST:
        raise ValueError(f"changes {shown(names)}: must list at most {CHANGES_AT_MOST} names")
    for name in names:
        if not isinstance(name, str) or not name.strip() or names.count(name) > 1:
            raise ValueError(f"changes: {shown(name)}: each must be a text, not empty, and differ")
    return tuple(names)


def check_class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return 1 to 10,000 class names that differ, none empty; else a ValueError says which."""
    if not isinstance(names, list | tuple) or not 1 <= len(names) <= CLASSES_AT_MOST:
        found = f"{len(names)} names" if isinstance(names, list | tuple) else shown(names)
        raise ValueError(f"classes: {found}: must be a list of 1 to {CLASSES_AT_MOST} names")
    for name in names:
        if not isinstance(name, str) or not name.strip() or not _is_text(name):
            raise ValueError(f"classes: {shown(name)}: each must be a text that is not empty")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"classes: {shown(twice)} stands twice: names must differ")
    return tuple(names)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object, length: int = 80) -> str:
    """Quote a value of a file in a message: in one line, and not at any length."""
    text = one_line(repr(value))
    return text if len(text) <= length else f"{text[:length]}..."
