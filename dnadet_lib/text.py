"""Names from outside, such as those of files and classes, made safe for each kind of output.

A file's name may hold a newline, a terminal's escape codes, bytes that are no text, or characters
that Markdown, a spreadsheet or matplotlib take for commands. Every name that is printed or written
goes through the function of its output; HTML has `html.escape(one_line(name))`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~$])")
FORMULAS = ("=", "+", "-", "@")  # what a spreadsheet runs when a cell starts with it


def one_line(text: object) -> str:
    r"""Write a text in one line of visible characters.

    Whatever cannot be printed (control characters, line separators, marks that turn the writing
    direction, and bytes of a file's name that are no UTF-8) is written as `\x1b` or `\u202e`.
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # how Python keeps a byte of a name that is no UTF-8
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def for_markdown(text: object) -> str:
    """Write a text so that Markdown shows it as it is, in one line, also in a table's cell."""
    return MARKDOWN.sub(r"\\\1", one_line(text)).replace("&", "&amp;")


def for_csv(text: object) -> str:
    """Write a text for a cell of CSV, in one line; a spreadsheet does not run it as a formula."""
    line = one_line(text)
    return f"'{line}" if line.startswith(FORMULAS) else line


def for_figure(text: object) -> str:
    """Write a text for a label of matplotlib, which would take what stands between `$` for TeX."""
    return one_line(text).replace("$", r"\$")


def finite(value: object) -> object:
    """Replace NaN and infinities inside plain values by None, since JSON has no word for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return value


def is_storable(path: Path | str) -> bool:
    """Whether a path can be stored as text and found again: its name is UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
