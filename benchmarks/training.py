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
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import release
import torch
from sides import taking_turns, write_pictures
from torch import Tensor

from dnadet_lib import training
from dnadet_lib.data import load_images
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.patches import cut_resized, normalise
from dnadet_lib.plumbing.devices import fast_bf16
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.memory import peak_memory
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.plumbing.workers import in_threads
from dnadet_lib.presets import Preset, get_preset
from dnadet_lib.stages.batches import PatchBatches, apply_transformations
from dnadet_lib.training import start_run, train_step
from dnadet_lib.transforms import image_transformations

CLASSES, SIDE = 5, 128
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Row:
    """What was measured of one comparison: images per second, and how many times the release's."""

    name: str
    release: float
    ours: float
    ratio: float
    lowest: float
    highest: float


@contextmanager
def bf16(on: bool) -> Iterator[None]:
    """Let training compute in bfloat16, or not."""
    before = training.fast_bf16
    training.fast_bf16 = lambda device: on
    try:
        yield
    finally:
        training.fast_bf16 = before


def compare(
    name: str, images: int, ours: Callable[[], object], other: Callable[[], object], turns: int
) -> Row:
    """Time both ways in turn, after a warm-up of each; images are those of one call."""
    mine, theirs = taking_turns([ours, other], turns)
    ratios = theirs / mine
    rates = images / np.median(theirs), images / np.median(mine)
    return Row(name, *map(float, (*rates, np.median(ratios), ratios.min(), ratios.max())))


def cut_all(images: np.ndarray, corners: Sequence[np.ndarray], preset: Preset) -> np.ndarray:
    """Cut patches (B, V, h, w, 3) of images (B, H, W, 3) at given corners, as the library does."""
    side, patch = preset.input.resize, preset.input.patch
    return np.stack(in_threads(lambda i, own: cut_resized(i, side, own, patch), images, corners))


class Sides:
    """Both ways to train by `paper_celeba` on the same images."""

    def __init__(self, paths: Sequence[Path], items: int, width: int) -> None:
        """Decode the images, and draw both networks."""
        self.preset = replace(get_preset("paper_celeba"), items=items, width=width)
        self.paths = list(paths)[: CLASSES * items]
        self.labels = np.arange(CLASSES).repeat(items)
        self.rng = np.random.default_rng(0)
        self.pixels = load_images(self.paths)
        torch.manual_seed(0)
        self.theirs = release.ReleaseRun.start(DNADet(CLASSES, width), self.preset)
        model = DNADet(CLASSES, width, input=self.preset.input)
        self.model = model.to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.run = start_run(self.model, replace(self.preset, epochs=1000), steps=1)

    def __len__(self) -> int:
        """Count the images of a step."""
        return len(self.paths)

    def corners(self) -> list[np.ndarray]:
        """Draw corners for every image."""
        return list(release.corners_of(len(self), self.preset, self.rng))

    def release_views(self, corners: Sequence[np.ndarray]) -> list[Tensor]:
        """Make a batch as the release does."""
        return release.labelled_views(self.paths, corners, self.preset)

    def our_views(self, corners: Sequence[np.ndarray]) -> np.ndarray:
        """Make the same as bytes, from images that are decoded once."""
        return cut_all(self.pixels, corners, self.preset)

    def train_theirs(self) -> None:
        """Take one step as the release does, data included."""
        views = self.release_views(self.corners())
        self.theirs.step(views, torch.from_numpy(self.labels), self.preset)

    def train_ours(self) -> None:
        """Take one step by the library, data included."""
        batches = PatchBatches(self.pixels, self.labels, self.preset)
        for views, labels in batches.epoch(self.rng):
            train_step(self.run, views, labels)

    def require_equal_pixels(self) -> None:
        """Refuse to time two ways that make different patches."""
        corners = self.corners()
        theirs = torch.stack(self.release_views(corners), dim=1).flatten(0, 1)
        ours = normalise(torch.from_numpy(self.our_views(corners)).flatten(0, 1))
        assert torch.allclose(theirs, ours, atol=1e-6), "the two ways make different patches"


def training_rows(sides: Sides, turns: int) -> list[Row]:
    """Compare steps of training, data included, and the data alone."""
    sides.require_equal_pixels()
    rows = []
    for name, on in (("float32", False), ("bfloat16", fast_bf16(DEVICE))):
        if name == "float32" or on:
            with bf16(on):
                rows.append(compare(f"training, {name}, data included", len(sides),
                                    sides.train_ours, sides.train_theirs, turns))  # fmt: skip
    corners = sides.corners()
    data = compare("data of training alone, equal pixels", len(sides),
                   lambda: sides.our_views(corners), lambda: sides.release_views(corners),
                   turns)  # fmt: skip
    return [*rows, data]


def pretraining_row(pixels: np.ndarray, turns: int) -> Row:
    """Compare the data of stage 1: crops, transformed and cut."""
    preset, rng = get_preset("paper_pretrain"), np.random.default_rng(0)
    every = image_transformations(preset.transform_size)
    count = len(every)
    crops = pixels[np.arange(count) % len(pixels)]
    corners = list(release.corners_of(count, preset, rng))

    def ours() -> np.ndarray:
        changed = apply_transformations(crops, np.arange(count), every, rng)
        return cut_all(changed, corners, preset)

    def theirs() -> list[Tensor]:
        return release.transformed_views(crops, every, corners, preset)

    return compare("data of pre-training alone, each of 170 transformations", count, ours, theirs,
                   turns)  # fmt: skip


def evaluation_row(paths: Sequence[Path], width: int, turns: int) -> Row:
    """Compare the naming of whole images of 512 pixels, in float32."""
    torch.manual_seed(0)
    model = DNADet(CLASSES, width, input=get_preset("paper_celeba").input).eval()
    ours = model.logits(image_features(model, paths).embeddings).argmax(dim=1).tolist()
    assert ours == release.evaluate(model, paths), "the two ways name different classes"
    return compare("evaluation of whole images of 512, float32", len(paths),
                   lambda: image_features(model, paths), lambda: release.evaluate(model, paths),
                   turns)  # fmt: skip


def share_of_machine(sides: Sides, turns: int) -> dict[str, float]:
    """Floating-point operations a second of a training step, over those of a large matrix product.

    A step counts three passes over the products of its convolutions: forward, and backward to
    weights and to maps (the first layer's maps need none).
    """
    views = torch.from_numpy(sides.our_views(sides.corners())).numpy()
    operations = 3 * products_of(sides.model, sides.preset) * views.shape[0] * views.shape[1]
    shares = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        if name == "bfloat16" and not fast_bf16(DEVICE):
            continue
        a = torch.randn(2048, 2048, device=DEVICE, dtype=dtype)
        with bf16(name == "bfloat16"):
            row = compare("", 1, lambda: train_step(sides.run, views, sides.labels),
                          lambda a=a: a @ a, turns)  # fmt: skip
        shares[name] = operations * row.ours / (2 * 2048**3 * row.release)
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


def train_and_tell(way: str, folder: Path, items: int, width: int) -> None:
    """Train two steps, and print the peak memory of this process in MiB."""
    sides = Sides(sorted(folder.glob("*.png")), items, width)
    for _ in range(2):
        (sides.train_ours if way == "ours" else sides.train_theirs)()
    print(round((peak_memory() or 0) / 2**20))


def peaks(folder: Path, items: int, width: int) -> dict[str, float]:
    """Peak memory of two steps of training in a process of its own, in MiB, for both ways."""
    own = [sys.executable, __file__, "--items", str(items), "--width", str(width), "--images",
           str(folder), "--memory"]  # fmt: skip
    return {
        way: float(subprocess.run([*own, way], stdout=subprocess.PIPE, check=True).stdout)
        for way in ("release", "ours")
    }


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
    parser.add_argument("--memory", choices=("release", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--images", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        train_and_tell(options.memory, options.images, options.items, options.width)
        return
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()), end="\n\n")
    print("| images per second | release | ours | times (range over turns) |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder), CLASSES * options.items, SIDE)
        sides = Sides(paths, options.items, options.width)
        rows = []
        for make in (
            lambda: training_rows(sides, options.turns),
            lambda: [pretraining_row(sides.pixels, options.turns)],
            lambda: [evaluation_row(paths, options.width, options.turns)],
        ):
            for row in make():
                rows.append(row)
                spread = f"{row.ratio:.2f} ({row.lowest:.2f} to {row.highest:.2f})"
                print(f"| {row.name} | {row.release:.1f} | {row.ours:.1f} | {spread} |", flush=True)
        shares = share_of_machine(sides, options.turns)
        memory = peaks(Path(folder), options.items, options.width)
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
