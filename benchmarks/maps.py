"""Seconds and quality of maps: scikit-learn's t-SNE, openTSNE's and UMAP, by number of embeddings.

    python benchmarks/maps.py                          # 2,000, 10,000 and 50,000 embeddings of 256
    python benchmarks/maps.py --counts 300 --limit 60  # a quick look

The embeddings are made, from a seed: each of 20 generators, four to a class, has a curved patch of
six dimensions of its own, bent into 256, with noise in all of them. The generators of a class lie
near each other. Each map is made in a process of its own, as `dnadet embed` makes it, from
embeddings that are there already; what a package compiles on its first use counts. A process is
ended at a limit. Quality is taken on a seeded sample of 2,000: trustworthiness, and how often the
five nearest points name the generator.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec

import numpy as np

from dnadet_lib.explorer.projection import MAKERS, maker_of, map_quality, unit_rows
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.paths import build_folder

CLASSES, GENERATORS, SIZE, BENT = 5, 20, 256, 6
NEIGHBOURS = 30
COMPARED = [(method, maker) for method, maker in MAKERS if method != "PCA"]


@dataclass(frozen=True)
class Made:
    """A map: who made it, seconds (None: not within the limit), and its quality."""

    method: str
    maker: str
    count: int
    seconds: float | None
    trustworthiness: float | None = None
    knn: float | None = None


def embeddings(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make embeddings (count, 256) of unit length, and the generator of each (count,)."""
    rng = np.random.default_rng(seed)
    own = np.arange(count) % GENERATORS
    classes = 1.5 * rng.standard_normal((CLASSES, SIZE))
    centres = classes[np.arange(GENERATORS) % CLASSES]
    centres += 0.3 * rng.standard_normal((GENERATORS, SIZE))
    rows = np.empty((count, SIZE), np.float32)
    for generator in range(GENERATORS):
        inside = np.flatnonzero(own == generator)
        places = rng.standard_normal((len(inside), BENT))
        straight, curved = rng.standard_normal((2, BENT, SIZE)) / 2
        noise = 0.5 * rng.standard_normal((len(inside), SIZE))
        bent = places @ straight + (places**2 - 1) @ curved / 2
        rows[inside] = centres[generator] + bent + noise
    return unit_rows(rows), own


def make(method: str, maker: str, count: int) -> Made:
    """Make one map, in this process."""
    unit, own = embeddings(count)
    start = time.perf_counter()
    points = MAKERS[method, maker](unit, NEIGHBOURS, 0)
    seconds = time.perf_counter() - start
    found = map_quality(unit, points, own)
    scores = found["trustworthiness"], found["kNN accuracy"]
    return Made(method, maker, count, seconds, *map(float, scores))


def made_apart(method: str, maker: str, count: int, limit: float) -> Made:
    """Make one map in a process of its own, which is ended at a limit in seconds."""
    own = [sys.executable, __file__, "--one", method, maker, "--counts", str(count)]
    try:
        done = subprocess.run(own, stdout=subprocess.PIPE, check=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return Made(method, maker, count, None)
    return Made(**json.loads(done.stdout.splitlines()[-1]))


def row(made: Made, limit: float) -> str:
    """Write a map as a line of the table."""
    used = "yes" if maker_of(made.method, made.count) == made.maker else ""
    figures = f"more than {limit:.0f} | | "
    if made.seconds is not None:
        figures = f"{made.seconds:.1f} | {made.trustworthiness:.3f} | {made.knn:.3f}"
    return f"| {made.count:,} | {made.method} | {made.maker} | {figures} | {used} |"


def main() -> None:
    """Print a table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[2_000, 10_000, 50_000])
    parser.add_argument("--limit", type=float, default=300, help="seconds for one map, with start")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(make(*options.one, options.counts[0]))))
        return
    print("| embeddings | map | package | seconds | trustworthiness | kNN accuracy | chosen |")
    print("|---|---|---|---|---|---|---|")
    found = []
    for count in options.counts:
        for method, maker in COMPARED:
            if maker == "openTSNE" and not find_spec("openTSNE"):
                print(f"| {count:,} | {method} | {maker} | not installed | | | |")
                continue
            found.append(made_apart(method, maker, count, options.limit))
            print(row(found[-1], options.limit), flush=True)
    with atomic_path(build_folder() / "benchmarks" / "maps.json") as temporary:
        temporary.write_text(json.dumps([asdict(made) for made in found], indent=1))


if __name__ == "__main__":
    main()
