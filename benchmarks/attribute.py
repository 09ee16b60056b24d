"""How fast images are attributed and embedded, against the network alone and image by image.

    python benchmarks/attribute.py                 # 1,000 and 5,000 PNGs of 64 pixels
    python benchmarks/attribute.py --busy          # beside a process that keeps one core busy

Speeds are taken side by side in one run: after each turn of one way comes one of the other; each
figure is the median over the turns. Only the ratios carry over to other machines. Memory is the
peak of a process of its own for each number of images.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from sides import taking_turns, write_pictures

from dnadet_lib.attribution import attribution, infer, views_of
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.explorer.embedding_writing import write_embeddings
from dnadet_lib.inference import answers
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.memory import peak_memory

BATCH = 32


def network_alone(model: DNADet, paths: list[Path]) -> Callable[[], object]:
    """Make a pass of the network over views that are there already, one thread a core."""
    views = [views_of(model, path) for path in paths]
    groups = [views[i : i + BATCH] for i in range(0, len(views), BATCH)]

    def run() -> None:
        threads = torch.get_num_threads()
        start = {"initializer": torch.set_num_threads, "initargs": (1,)}
        with ThreadPoolExecutor(threads, **start) as pool:  # type: ignore[arg-type]
            list(pool.map(lambda group: infer(model, group), groups))
        torch.set_num_threads(threads)

    return run


def speeds(ways: dict[str, Callable[[], object]], count: int, turns: int) -> dict[str, float]:
    """Images per second of each way, taking turns."""
    seconds = taking_turns(list(ways.values()), turns, warm_up=0)
    return {n: count / float(np.median(times)) for n, times in zip(ways, seconds, strict=True)}


@contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """Keep one core busy with another process, if wanted."""
    if not wanted:
        yield
        return
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def compare(folder: Path, count: int, turns: int) -> None:
    """Print the speeds of attribute and of embed."""
    model, paths = load_model("pocket"), write_pictures(folder, count, 64)
    out = folder / "out.parquet"
    found = speeds(
        {
            "network alone, four votes": network_alone(model, paths),
            "attribute": lambda: sum(1 for _ in answers(model, paths, [])),
            "image by image, as before": lambda: [
                attribution(model, infer(model, [views_of(model, path)])) for path in paths
            ],
            "embed, without maps": lambda: write_embeddings(
                model, paths, out, name="pocket", methods=()
            ),
        },
        count, turns,
    )  # fmt: skip
    alone, before = found["network alone, four votes"], found["image by image, as before"]
    for name, speed in found.items():
        print(
            f"| {name} | {speed:.0f} images/s | {speed / alone:.2f} | {speed / before:.1f} |",
            flush=True,
        )


def peak(source: Path, count: int) -> None:
    """Print the peak memory in MiB of attributing so many files of a folder."""
    model = load_model("pocket")
    for _ in answers(model, sorted(source.glob("*.png"))[:count], []):
        pass
    print(round((peak_memory() or 0) / 2**20))


def memory(folder: Path, counts: list[int]) -> None:
    """Print peak memory by number of images."""
    write_pictures(folder, max(counts), 64)
    for count in counts:
        line = [sys.executable, __file__, "--peak", str(folder), "--images", str(count)]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        print(f"| peak memory, {count:,} images | {done.stdout.strip()} MiB | | |", flush=True)


def waits(folder: Path) -> None:
    """Print the seconds to the first line, with the start, and of a large image beyond it."""
    write_pictures(folder, 500, 64)
    (folder / "large").mkdir()
    (large,) = write_pictures(folder / "large", 1, 4000)
    line = [sys.executable, "-m", "dnadet_lib", "attribute", "-q"]
    start = time.perf_counter()
    with subprocess.Popen([*line, str(folder)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        seconds = time.perf_counter() - start
        print(f"| first line of the command, with its start | {seconds:.1f} s | | |")
        running.kill()
    model = load_model("pocket")
    model.attribute([np.zeros((64, 64, 3), np.uint8)])
    start = time.perf_counter()
    (result,) = answers(model, [large], [])
    seconds, share = time.perf_counter() - start, 100 * result["looked_at"]
    print(f"| image of 4000x4000, {share:.1f}% looked at, beyond the start | {seconds:.1f} s | | |")


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=5000, help="for the memory; a fifth, too")
    parser.add_argument("--timed", type=int, default=400, help="images of a timed turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--busy", action="store_true", help="beside a busy process")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options.peak, options.images)
        return
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load before {load}\n")
    print("| what | figure | of the network alone | times image by image |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, busy(options.busy):
        for name in ("speed", "memory", "waits"):
            (Path(folder) / name).mkdir()
        compare(Path(folder) / "speed", options.timed, options.turns)
        memory(Path(folder) / "memory", [max(1, options.images // 5), options.images])
        waits(Path(folder) / "waits")


if __name__ == "__main__":
    main()
