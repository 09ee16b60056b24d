"""Training, data and evaluation against the release's loop: both timed side by side, in one run.

    python benchmarks/training.py                  # a table; build/benchmarks/training.json too
    python benchmarks/training.py --items 1 --turns 1 --width 8     # a quick look

Only the ratios carry over to other machines. The two ways take turns, so whatever else the machine
does slows both. A figure is the median over turns, with the range of the ratio over turns. The
release's way is restated in `benchmarks/release.py`; pixels are compared before they are timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from both_ways import CLASSES, DEVICE, PRODUCT, Ours, Released
from sides import taking_turns, write_pictures

from dnadet_lib.cli import HUGE_PAGES
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.devices import fast_bf16
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.presets import Preset

SIDE = 128
BOTH_WAYS = Path(__file__).with_name("both_ways.py")


@dataclass(frozen=True)
class Row:
    """What was measured of one comparison: images per second, and how many times the release's."""

    name: str
    release: float
    ours: float
    ratio: float
    lowest: float
    highest: float


class Worker:
    """A process that works in one way."""

    def __init__(self, way: str, folder: Path, items: int, width: int) -> None:
        """Start it."""
        line = [sys.executable, str(BOTH_WAYS), way, str(folder), str(items), str(width)]
        values = {HUGE_PAGES: "1"} if way == "ours" else {}  # as the command line has it
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **values},
        )  # fmt: skip

    def ask(self, name: str) -> float:
        """Have a piece of work done; return the peak memory so far in MiB."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(name, file=self.process.stdin, flush=True)
        if not (answer := self.process.stdout.readline()):
            raise RuntimeError(f"{name}: the process that does it ended")
        return float(answer)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Both:
    """A process for each way."""

    release: Worker
    ours: Worker

    @classmethod
    def start(cls, folder: Path, items: int, width: int) -> Both:
        """Start both on the images of a folder."""
        return cls(*(Worker(way, folder, items, width) for way in ("release", "ours")))

    def close(self) -> None:
        """End both."""
        self.release.close()
        self.ours.close()

    def compare(self, work: str, images: int, turns: int, name: str = "") -> Row:
        """Time a piece of work of so many images both ways in turn, after a warm-up of each."""
        ways = [lambda: self.ours.ask(work), lambda: self.release.ask(work)]
        mine, theirs = taking_turns(ways, turns)
        ratios = theirs / mine
        rates = images / np.median(theirs), images / np.median(mine)
        return Row(name or work,
                   *map(float, (*rates, np.median(ratios), ratios.min(), ratios.max())))


def require_equal(paths: Sequence[Path], items: int, width: int) -> Ours:
    """Refuse to time two ways that cut different patches or name different classes."""
    ours, release = Ours(paths, items, width), Released(paths, items, width)
    corners = ours.corners()
    equal = torch.allclose(ours.floats(corners), release.floats(corners), atol=1e-6)
    assert equal, "the two ways make different patches"
    assert ours.names() == release.names(), "the two ways name different classes"
    return ours


def rows_of(
    both: Both, images: int, transformations: int, turns: int
) -> Sequence[Callable[[], Row]]:
    """List the comparisons, each a call that makes it."""
    precisions = ("float32", "bfloat16")[: 1 + fast_bf16(DEVICE)]
    return [
        *(lambda p=p: both.compare(f"training, {p}", images, turns,
                                   f"training, {p}, data included") for p in precisions),
        lambda: both.compare("data", images, turns, "data of training alone, equal pixels"),
        lambda: both.compare("data of stage 1", transformations, turns,
                             "data of pre-training alone, each of 170 transformations"),
        lambda: both.compare("evaluation", images, turns,
                             "evaluation of whole images of 512, float32"),
    ]  # fmt: skip


def share_of_machine(worker: Worker, ours: Ours, turns: int) -> dict[str, float]:
    """Floating-point operations a second of a training step, over those of a large matrix product.

    A step counts three passes over the products of its convolutions: forward, and backward to
    weights and to maps (the first layer's maps need none).
    """
    patches = len(ours.labels) * ours.preset.patches
    operations = 3 * products_of(ours.model, ours.preset) * patches
    shares = {}
    for name in ("float32", "bfloat16")[: 1 + fast_bf16(DEVICE)]:
        ways = [lambda n=name, w=work: worker.ask(f"{w}, {n}") for work in ("step", "product")]
        step, product = map(np.median, taking_turns(ways, turns))
        shares[name] = float(operations / step / (2 * PRODUCT**3 / product))
    return shares


def products_of(model: DNADet, preset: Preset) -> float:
    """Count the operations of the convolutions for one patch, forward."""
    total, side = 0.0, preset.input.patch
    for block in model.main:
        convolution = block.main[0]
        side //= convolution.stride[0]
        kernel = convolution.kernel_size[0] ** 2 * convolution.in_channels
        total += 2.0 * side * side * kernel * convolution.out_channels
    return total


def peaks(folder: Path, items: int, width: int) -> dict[str, float]:
    """Peak memory of two steps of training in float32, in MiB, of a new process for each way."""
    both = Both.start(folder, items, width)
    found = {}
    for way, worker in (("release", both.release), ("ours", both.ours)):
        found[way] = [worker.ask("training, float32") for _ in range(2)][-1]
    both.close()
    return found


def machine() -> dict[str, object]:
    """Describe what the figures were taken on."""
    return {
        "processor": platform.processor() or platform.machine(), "torch": torch.__version__,
        "threads": torch.get_num_threads(), "device": str(DEVICE),
        "bfloat16 pays": fast_bf16(DEVICE),
    }  # fmt: skip


def main() -> None:
    """Print a table, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--items", type=int, default=4, help="images per class and step")
    parser.add_argument("--width", type=int, default=64, help="of the network")
    options = parser.parse_args()
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), end="\n\n")
    print("| images per second | release | ours | times (range over turns) |\n|---|---|---|---|")
    size = options.items, options.width
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_pictures(folder, CLASSES * options.items, SIDE)
        ours = require_equal(paths, *size)
        both, rows = Both.start(folder, *size), []
        for make in rows_of(both, len(paths), len(ours.every), options.turns):
            rows.append(row := make())
            spread = f"{row.ratio:.2f} ({row.lowest:.2f} to {row.highest:.2f})"
            print(f"| {row.name} | {row.release:.1f} | {row.ours:.1f} | {spread} |", flush=True)
        shares = share_of_machine(both.ours, ours, options.turns)
        both.close()
        memory = peaks(folder, *size)
    for name, share in shares.items():
        print(f"\nA step in {name} does {share:.2f} of a matrix product's operations per second.")
    print(f"\nPeak memory of training: {memory['release']:.0f} MiB as released, "
          f"{memory['ours']:.0f} MiB here.")  # fmt: skip
    found = {"machine": about, "rows": [asdict(row) for row in rows],
             "share of a matrix product": shares, "peak MiB": memory}  # fmt: skip
    with atomic_path(build_folder() / "benchmarks" / "training.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1, allow_nan=False))


if __name__ == "__main__":
    main()
