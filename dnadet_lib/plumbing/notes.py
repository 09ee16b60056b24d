"""What a user should know though nothing failed: said once, and kept for JSON.

Whoever lists or reads images calls `note`. Commands hear the notes with `listening`; elsewhere they
are Python warnings.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

PRINTED_AT_MOST = 20  # notes of one command on stderr; JSON has all


class NoteWarning(UserWarning):
    """A note that nobody listens to."""


@dataclass
class Notes:
    """What was noted, and files and folders that were left out: each once, in order."""

    texts: list[str] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    _known: set[object] = field(default_factory=set)

    def _is_new(self, thing: object) -> bool:
        new = thing not in self._known
        self._known.add(thing)
        return new


_heard: ContextVar[tuple[Notes, Callable[[str], None]] | None] = ContextVar("heard", default=None)


def note(text: str, left_out: Iterable[Path] = ()) -> None:
    """Tell the user something in one line; `left_out` are files that are not read, no errors."""
    heard = _heard.get()
    if heard is None:
        warnings.warn(text, NoteWarning, stacklevel=2)
        return
    notes, say = heard
    notes.left_out += [path for path in left_out if notes._is_new(path)]
    if notes._is_new(text):
        notes.texts.append(text)
        say(text)


@contextmanager
def listening(say: Callable[[str], None] = lambda text: None) -> Iterator[Notes]:
    """Collect what is noted inside the block; each new note is said at once."""
    notes = Notes()
    token = _heard.set((notes, say))
    try:
        yield notes
    finally:
        _heard.reset(token)


@contextmanager
def printing(say: Callable[[str], None]) -> Iterator[Notes]:
    """Collect notes, print the first twenty at once, and at the end how many more there were."""
    printed = 0

    def limited(text: str) -> None:
        nonlocal printed
        printed += 1
        if printed <= PRINTED_AT_MOST:
            say(text)

    with listening(limited) as notes:
        try:
            yield notes
        finally:
            if printed > PRINTED_AT_MOST:
                say(f"{printed - PRINTED_AT_MOST} further notes of such kinds are not shown")
