"""Where the shipped data and the run's products live."""

import os
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
