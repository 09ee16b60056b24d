"""How long the explorer keeps one waiting, and how much memory its kernel takes.

    python benchmarks/explorer.py            # 10,000 and 100,000 points, in a process each

The kernel's part is timed, without a browser: what a person waits for besides is the drawing. The
embeddings are random clumps of the size that the `pocket` checkpoint makes, the images a few dozen
files that stand for many. Figures are seconds on this machine; the memory is the process's peak.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.explorer.explorer import open_table
from dnadet_lib.explorer.widgets import Panel, degrade
from dnadet_lib.plumbing.memory import peak_memory

FILES = 50
LASSO = 500  # images inside


def write_table(file: Path, count: int, size: int) -> None:
    """Write embeddings (count, size) of ten clumps, two maps, and the images' paths."""
    rng = np.random.default_rng(0)
    paths = [file.parent / f"generator_{i % 10}" / f"{i}.png" for i in range(FILES)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    owner = rng.integers(0, FILES, count)
    centres = rng.standard_normal((10, size)).astype(np.float32)
    embeddings = centres[owner % 10] + 0.5 * rng.standard_normal((count, size), np.float32)
    columns: dict[str, object] = {
        "path": [str(paths[i]) for i in owner],
        "embedding": pa.FixedSizeListArray.from_arrays(embeddings.ravel(), size),
    }
    for number, method in enumerate(("t-SNE", "UMAP")):
        for axis in range(2):
            columns[f"{method} {'xy'[axis]}"] = embeddings[:, 2 * number + axis]
    schema_notes = {"model": "pocket"}
    pq.write_table(pa.table(columns).replace_schema_metadata(schema_notes), file)


def seconds(action: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(count: int) -> None:
    """Print the figures of one number of points."""
    model = load_model("pocket")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "embeddings.parquet"
        write_table(file, count, model.embedding_size)
        start = time.perf_counter()
        state = open_table(file, model)
        panel = Panel(state)
        print(f"| {count:,} points: open, until shown (s) | {time.perf_counter() - start:.2f} |")
        rng = np.random.default_rng(1)

        def lasso() -> None:
            inside = rng.choice(len(state), min(LASSO, len(state)), replace=False)
            panel.maps[0].widget.selection = inside.tolist()

        def point() -> None:
            panel.maps[0].widget.hovering = int(rng.integers(len(state)))

        def click() -> None:
            panel.maps[0].widget.selection = [int(rng.integers(len(state)))]

        for name, action in (("lasso", lasso), ("point at a dot", point), ("click", click)):
            middle = np.median([seconds(action) for _ in range(7)])
            print(f"| {count:,} points: {name} (s) | {middle:.3f} |")
        image = np.asarray(Image.open(state.paths[0]))
        (kind, slider, _) = degrade(model, image, state=state).children

        def slide() -> None:
            places = len(slider.options)
            slider.index = (slider.index + 1) % places

        middle = np.median([seconds(slide) for _ in range(12)])
        print(f"| {count:,} points: slider to probabilities and place (s) | {middle:.3f} |")
    peak = (peak_memory() or 0) / 2**30
    print(f"| {count:,} points: peak memory (GiB) | {peak:.2f} |", flush=True)


def main() -> None:
    """Print a table; each number of points in a process of its own, for its memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, nargs="+", default=[10_000, 100_000])
    options = parser.parse_args()
    if len(options.points) == 1:
        measure(options.points[0])
        return
    print("| what | figure |\n|---|---|", flush=True)
    for count in options.points:
        subprocess.run([sys.executable, __file__, "--points", str(count)], check=True)


if __name__ == "__main__":
    main()
