"""Where the shipped data and the run's products live."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def data_folder() -> Path:
    """Return the folder with zoo, photographs and checkpoints: `data/` here, or DNADET_DATA."""
    named = os.environ.get("DNADET_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "data"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no data folder; install with `pip install -e .` from a clone, "
            "or set DNADET_DATA to the clone's data folder"
        )
    return folder


def build_folder() -> Path:
    """Return the folder for renders, caches and results: `build/` here, or DNADET_BUILD."""
    return Path(os.environ.get("DNADET_BUILD", "build"))


@contextmanager
def variables(**values: str) -> Iterator[None]:
    """Set environment variables inside a block, also for processes that are started there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
