"""A process that trains, cuts and evaluates in one way, ours or the release's, when it is asked to.

`benchmarks/training.py` starts one for each way, so neither finds memory or threads as the other
has left them. It reads the name of a piece of work in each line, does it, and answers with a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import release
import torch
from torch import Tensor

from dnadet_lib import training
from dnadet_lib.data import load_images
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.patches import cut_resized, normalise
from dnadet_lib.plumbing.memory import peak_memory
from dnadet_lib.presets import Preset, get_preset
from dnadet_lib.stages.batches import PatchBatches, apply_transformations
from dnadet_lib.training import start_run, train_step
from dnadet_lib.transforms import image_transformations

CLASSES = 5
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRODUCT = 4096  # side of the matrices whose product is timed


@contextmanager
def bf16(on: bool) -> Iterator[None]:
    """Let training compute in bfloat16, or not."""
    before = training.fast_bf16
    training.fast_bf16 = lambda device: on
    try:
        yield
    finally:
        training.fast_bf16 = before


def cut_all(images: np.ndarray, corners: Sequence[np.ndarray], preset: Preset) -> np.ndarray:
    """Cut patches (B, V, h, w, 3) of images (B, H, W, 3) at given corners, as the library does."""
    side, patch = preset.input.resize, preset.input.patch
    return cut_resized(images, side, np.stack(corners), patch)


class Way:
    """What both ways share: images, labels, the preset `paper_celeba`, corners of patches."""

    def __init__(self, paths: Sequence[Path], items: int, width: int) -> None:
        """Take the images of a step."""
        self.preset = replace(get_preset("paper_celeba"), items=items, width=width)
        self.paths = list(paths)[: CLASSES * items]
        self.labels = np.arange(CLASSES).repeat(items)
        self.rng = np.random.default_rng(0)
        self.stage_1 = get_preset("paper_pretrain")
        self.every = image_transformations(self.stage_1.transform_size)
        self.number = np.arange(len(self.every))
        torch.manual_seed(0)
        self.model = DNADet(CLASSES, width, input=self.preset.input)

    def corners(self) -> list[np.ndarray]:
        """Draw corners for every image."""
        return list(release.corners_of(len(self.paths), self.preset, self.rng))

    def crops(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Give a crop for each transformation, and corners in what becomes of it."""
        pixels = load_images(self.paths)
        corners = release.corners_of(len(self.every), self.stage_1, self.rng)
        return pixels[self.number % len(pixels)], list(corners)


class Ours(Way):
    """The library's way, on images that are decoded once."""

    def __init__(self, paths: Sequence[Path], items: int, width: int) -> None:
        """Decode the images."""
        super().__init__(paths, items, width)
        self.pixels = load_images(self.paths)
        self.model.to(DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.run = start_run(self.model, replace(self.preset, epochs=1000), steps=1)

    @cached_property
    def ready(self) -> np.ndarray:
        """A batch that is there."""
        return self.views(self.corners())

    @cached_property
    def matrices(self) -> dict[torch.dtype, Tensor]:
        """A large matrix in both precisions."""
        matrix = torch.randn(PRODUCT, PRODUCT, device=DEVICE)
        return {dtype: matrix.to(dtype) for dtype in (torch.float32, torch.bfloat16)}

    def views(self, corners: Sequence[np.ndarray]) -> np.ndarray:
        """Make a batch as bytes."""
        return cut_all(self.pixels, corners, self.preset)

    def floats(self, corners: Sequence[np.ndarray]) -> Tensor:
        """Make a batch as the network sees it, (B * V, 3, h, w)."""
        return normalise(torch.from_numpy(self.views(corners)).flatten(0, 1))

    def train(self) -> None:
        """Take one step, data included."""
        batches = PatchBatches(self.pixels, self.labels, self.preset)
        for views, labels in batches.epoch(self.rng):
            train_step(self.run, views, labels)

    def data(self) -> None:
        """Make a batch of stage 2."""
        self.views(self.corners())

    def data_of_stage_1(self) -> None:
        """Make a batch of stage 1."""
        crops, corners = self.crops()
        changed = apply_transformations(crops, self.number, self.every, self.rng)
        cut_all(changed, corners, self.stage_1)

    def names(self) -> list[int]:
        """Name the classes of whole images."""
        features = image_features(self.model, self.paths)
        return self.model.logits(features.embeddings).argmax(dim=1).tolist()

    def step(self) -> None:
        """Take one step on a batch that is there."""
        train_step(self.run, self.ready, self.labels)

    def multiply(self, dtype: torch.dtype) -> None:
        """Multiply large matrices."""
        matrix = self.matrices[dtype]
        torch.mm(matrix, matrix)

    def work(self) -> dict[str, Callable[[], object]]:
        """List what can be asked for."""
        def on(fast: bool, action: Callable[[], object]) -> Callable[[], None]:
            def run() -> None:
                with bf16(fast):
                    action()
            return run

        return {
            "training, float32": on(False, self.train), "training, bfloat16": on(True, self.train),
            "data": self.data, "data of stage 1": self.data_of_stage_1, "evaluation": self.names,
            "step, float32": on(False, self.step), "step, bfloat16": on(True, self.step),
            "product, float32": lambda: self.multiply(torch.float32),
            "product, bfloat16": lambda: self.multiply(torch.bfloat16),
        }  # fmt: skip


class Released(Way):
    """The release's way, from image files each time."""

    def __init__(self, paths: Sequence[Path], items: int, width: int) -> None:
        """Draw the heads."""
        super().__init__(paths, items, width)
        self.run = release.ReleaseRun.start(self.model, self.preset)

    def views(self, corners: Sequence[np.ndarray]) -> list[Tensor]:
        """Make a batch as floats."""
        return release.labelled_views(self.paths, corners, self.preset)

    def floats(self, corners: Sequence[np.ndarray]) -> Tensor:
        """Make a batch as the network sees it, (B * V, 3, h, w)."""
        return torch.stack(self.views(corners), dim=1).flatten(0, 1)

    def train(self) -> None:
        """Take one step, data included."""
        self.model.train()
        self.run.step(self.views(self.corners()), torch.from_numpy(self.labels), self.preset)

    def data(self) -> None:
        """Make a batch of stage 2."""
        self.views(self.corners())

    def data_of_stage_1(self) -> None:
        """Make a batch of stage 1."""
        crops, corners = self.crops()
        release.transformed_views(crops, self.every, corners, self.stage_1)

    def names(self) -> list[int]:
        """Name the classes of whole images."""
        return release.evaluate(self.model, self.paths)

    def work(self) -> dict[str, Callable[[], object]]:
        """List what can be asked for; the release computes in float32 alone."""
        return {
            "training, float32": self.train, "training, bfloat16": self.train, "data": self.data,
            "data of stage 1": self.data_of_stage_1, "evaluation": self.names,
        }  # fmt: skip


def serve(way: Ours | Released) -> None:
    """Do what each line asks for; "peak" is answered with the peak memory in MiB."""
    work = way.work()
    for line in sys.stdin:
        if (name := line.strip()) != "peak":
            work[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
        print(round((peak_memory() or 0) / 2**20), flush=True)


def main() -> None:
    """Serve one way until there are no more lines."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("way", choices=("ours", "release"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("items", type=int)
    parser.add_argument("width", type=int)
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.png"))
    if options.way == "release":
        serve(Released(paths, options.items, options.width))
        return
    serve(Ours(paths, options.items, options.width))


if __name__ == "__main__":
    main()
