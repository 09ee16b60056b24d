"""How far a command is: a bar where a person looks at the terminal, plain lines or nothing else."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

EVERY = 30.0  # seconds between plain lines


class Progress:
    """Counts images on stderr; `line` writes plain lines where that is no terminal."""

    def __init__(
        self, total: int, *, quiet: bool = False, line: Callable[[str], None] | None = None
    ) -> None:
        self.total, self.done, self.bar = total, 0, None
        self.line = None if quiet else line
        self.start = self.said = time.monotonic()
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, unit=" images", file=sys.stderr, leave=False)

    def add(self, count: int = 1) -> None:
        """Count images that are done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(count)
        elif self.line and self.done and time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            speed = self.done / (self.said - self.start)
            self.line(f"{self.done:,} of {self.total:,} images, {speed:.0f} per second")

    def aside(self) -> AbstractContextManager[None]:
        """Take the bar away while something is printed in the block."""
        return nullcontext() if self.bar is None else type(self.bar).external_write_mode(sys.stdout)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()


@contextmanager
def counting(
    total: int, *, quiet: bool = False, line: Callable[[str], None] | None = None
) -> Iterator[Progress]:
    """Show progress while the block works; as `Progress`."""
    progress = Progress(total, quiet=quiet, line=line)
    try:
        yield progress
    finally:
        progress.close()
