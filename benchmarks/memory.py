"""Peak memory and speed of training, evaluate and embed on many images.

    python benchmarks/memory.py                          # 20,000 and 100,000 images
    python benchmarks/memory.py --images 5000 10000

Each part runs in a process of its own, as a user runs it: one epoch of a small preset over all
images, a tenth of as many for dev; `dnadet evaluate` and `dnadet embed --maps PCA` with its model.
Images are 1,000 different PNG files of 128 pixels under as many names as are asked for (hard
links): paths, labels, predictions and decoded images are as many as of so many files, what the
system reads from the disk is less, so that speeds are those of files that were read before.

The last columns say how much memory grew per image since the count before, and what that makes of
100,000 images. Training keeps up to 512 MiB of decoded images, some 10,900 of these, so that under
this number its growth is that of the pixels (48 KiB per image) and the last column too high.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sides import write_pictures

from dnadet_lib.plumbing.memory import peak_memory

CLASSES = ("Real", "ProGAN", "MMDGAN", "SNGAN", "InfoMaxGAN")
DIFFERENT = 1000
SIDE = 128
GOAL = 100_000


def write_images(folder: Path, train: int, dev: int) -> None:
    """Write class folders under `train` and `dev`, with names for the same images in turn."""
    (folder / "pool").mkdir(parents=True)
    pool = write_pictures(folder / "pool", min(DIFFERENT, train), SIDE)
    for split, count in (("train", train), ("dev", dev)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
        for number in range(count):
            name = CLASSES[number % len(CLASSES)]
            os.link(pool[number % len(pool)], folder / split / name / f"{number:07}.png")


def train(folder: Path) -> None:
    """Train one epoch over all images."""
    from dataclasses import replace

    from dnadet_lib.data import ImageSet
    from dnadet_lib.model import InputSpec
    from dnadet_lib.presets import rung
    from dnadet_lib.stages.stage_2 import run_training

    spec = InputSpec(resize=64, patch=32, high_pass=True)
    preset = replace(rung, name="memory", width=16, epochs=1, patches=2, input=spec)
    sets = [ImageSet.from_folders(folder / split) for split in ("train", "dev")]
    run_training(preset, *sets, folder=folder / "model")


def evaluate(folder: Path) -> None:
    """Measure the model on all images."""
    from dnadet_lib.cli import main as dnadet

    model = str(folder / "model/model.safetensors")
    dnadet(["evaluate", "--model", model, "--test", str(folder / "train")])


def embed(folder: Path) -> None:
    """Embed all images."""
    from dnadet_lib.cli import main as dnadet

    model, out = str(folder / "model/model.safetensors"), str(folder / "out.parquet")
    dnadet(["embed", str(folder / "train"), "--model", model, "--out", out, "--maps", "PCA", "-q"])


PARTS: dict[str, Callable[[Path], None]] = {"train": train, "evaluate": evaluate, "embed": embed}


def run_part(name: str, folder: Path) -> None:
    """Run a part in this process, and print its peak memory in KiB and its seconds."""
    start = time.perf_counter()
    PARTS[name](folder)
    peak = (peak_memory() or 0) // 1024
    print(f"PEAK {peak} {time.perf_counter() - start}")


def measure(name: str, folder: Path) -> tuple[int, float]:
    """Run a part in a child process: its peak memory in KiB and its seconds."""
    line = [sys.executable, __file__, "--part", name, "--folder", str(folder)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    _, peak, seconds = done.stdout.splitlines()[-1].split()
    return int(peak), float(seconds)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[GOAL // 5, GOAL])
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        run_part(options.part, options.folder)
        return
    print("| what | images | peak memory | images/s | growth per image | at 100,000 |")
    print("|---|---|---|---|---|---|")
    before: dict[str, tuple[int, int]] = {}
    for count in options.images:
        with tempfile.TemporaryDirectory() as folder:
            write_images(Path(folder), count, max(count // 10, 2 * len(CLASSES)))
            for name in PARTS:
                peak, seconds = measure(name, Path(folder))
                last, least = before.get(name, (count, peak))
                each = (peak - least) / (count - last) if count > last else 0.0
                grown = f"{each:.1f} KiB | {(peak + each * (GOAL - count)) / 1024:.0f} MiB"
                told = f"{peak / 1024:.0f} MiB | {count / seconds:.0f}"
                print(f"| {name} | {count:,} | {told} | {grown if count > last else ' | '} |",
                      flush=True)  # fmt: skip
                before[name] = count, peak


if __name__ == "__main__":
    main()
