"""Values that come from files, checked and shown in messages."""

from collections.abc import Sequence

from dnadet_lib.plumbing.text import one_line

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
    """Return class names.

    A ValueError names what is wrong if they are no list of 1 to 10,000 texts, one is empty or
    cannot be written as UTF-8, or two are equal.
    """
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
