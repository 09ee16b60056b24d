"""How much each choice of the library saves: both ways timed side by side, in one run.

    python benchmarks/speed.py

Only the ratios carry over to other machines. The two ways take turns, so that whatever else the
machine does slows both; each figure is the median over the turns.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sides import taking_turns, write_pictures
from torch import Tensor
from torch.nn import functional as F

from dnadet_lib.data import load_images
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet
from dnadet_lib.patches import normalise
from dnadet_lib.plumbing import convolving
from dnadet_lib.plumbing.devices import fast_bf16

CLASSES = 5
EPOCHS = 8


@dataclass(frozen=True)
class Comparison:
    """Two ways to do the same, the library's and the other one."""

    name: str
    ours: Callable[[], object]
    other: Callable[[], object]


@dataclass(frozen=True)
class Network:
    """A network in training mode, and how it computes."""

    model: DNADet
    layout: torch.memory_format
    bf16: bool

    def learn(self, batches: Sequence[Tensor]) -> None:
        """Forward and backward pass over uint8 patches (B, H, W, 3), a batch at a time."""
        for pixels in batches:
            images = normalise(pixels).contiguous(memory_format=self.layout)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                logits = self.model(images)
            targets = torch.zeros(len(pixels), dtype=torch.long)
            F.cross_entropy(logits.float(), targets).backward()
        self.model.zero_grad()


def make_network(width: int, layout: torch.memory_format, bf16: bool) -> Network:
    """Draw a network's weights."""
    torch.manual_seed(0)
    model = DNADet(CLASSES, width).to(memory_format=layout)  # type: ignore[call-overload]
    return Network(model, layout, bf16)


def make_patches(count: int, side: int) -> Tensor:
    """Random uint8 patches (count, side, side, 3)."""
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8)


def comparisons(width: int, images: int, folder: Path) -> list[Comparison]:
    """List what is compared.

    Args:
        width: Of the network.
        images: PNG images of the decoding comparison.
        folder: Where they are written.
    """
    used = make_network(width, torch.channels_last, fast_bf16(torch.device("cpu")))
    bf16 = make_network(width, torch.channels_last, True)
    fp32 = make_network(width, torch.contiguous_format, False)
    patches = make_patches(16 * CLASSES, 64)  # 16 patches of one image a class
    small = make_patches(16 * CLASSES, 32)
    native, enlarged = make_patches(4 * CLASSES, 32), make_patches(4 * CLASSES, 128)
    paths = write_pictures(folder, images, 64)
    return [
        Comparison(
            "all patches in one forward pass, against 16 passes, a patch of each image",
            lambda: used.learn([patches]),
            lambda: used.learn(patches.split(CLASSES)),
        ),
        Comparison(
            "bf16 with channels_last, against fp32",
            lambda: bf16.learn([patches]),
            lambda: fp32.learn([patches]),
        ),
        Comparison(
            "small maps in bf16 as matrix products, against PyTorch's convolutions",
            lambda: bf16.learn([small]),
            lambda: without_products(bf16, small),
        ),
        Comparison(
            f"images decoded once for {EPOCHS} epochs, against decoded in each",
            lambda: gather(load_images(paths)),
            lambda: [read_image(path) for _ in range(EPOCHS) for path in paths],
        ),
        Comparison(
            "patches of 32 native pixels, against the same enlarged 4 times",
            lambda: used.learn([native]),
            lambda: used.learn([enlarged]),
        ),
    ]


def without_products(network: Network, pixels: Tensor) -> None:
    """Forward and backward pass with PyTorch's own convolutions for maps of every size."""
    limit, convolving.SMALL = convolving.SMALL, 0
    try:
        network.learn([pixels])
    finally:
        convolving.SMALL = limit


def gather(images: np.ndarray) -> None:
    """Draw every image once an epoch, in random order, 32 at a time."""
    rng = np.random.default_rng(0)
    for _ in range(EPOCHS):
        for index in np.array_split(rng.permutation(len(images)), -(-len(images) // 32)):
            images[index]


def measure(comparison: Comparison, turns: int) -> tuple[float, float]:
    """Median seconds of the library's way and of the other, taking turns after a warm-up."""
    ours, other = taking_turns([comparison.ours, comparison.other], turns)
    return float(np.median(ours)), float(np.median(other))


def main() -> None:
    """Print one line a comparison."""
    parser = argparse.ArgumentParser(description="Time both ways of each choice side by side.")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--width", type=int, default=64, help="of the network")
    parser.add_argument("--images", type=int, default=500, help="for the decoding comparison")
    options = parser.parse_args()
    fast = "bf16" if fast_bf16(torch.device("cpu")) else "no fast bf16"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, CPU with {fast}\n")
    print("| ours, against the other way | ours (ms) | other (ms) | times faster |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for comparison in comparisons(options.width, options.images, Path(folder)):
            ours, other = measure(comparison, options.turns)
            times = f"{1000 * ours:.1f} | {1000 * other:.1f} | {other / ours:.2f}"
            print(f"| {comparison.name} | {times} |", flush=True)


if __name__ == "__main__":
    main()
