"""What the benchmarks share: images to work on, and ways that take turns."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image


def write_pictures(folder: Path, count: int, side: int) -> list[Path]:
    """Write square PNG images that compress about as photographs do."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:06}.png" for number in range(count)]
    for path in paths:
        small = Image.fromarray(rng.integers(0, 256, (side // 4, side // 4, 3), np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(path)
    return paths


def taking_turns(
    ways: Sequence[Callable[[], object]], turns: int, warm_up: int = 1
) -> list[np.ndarray]:
    """Time some ways in turn, so that whatever else the machine does slows all: seconds (turns,).

    The first `warm_up` turns are not timed.
    """
    seconds = np.zeros((len(ways), warm_up + turns))
    for turn in range(warm_up + turns):
        for number, way in enumerate(ways):
            start = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[number, turn] = time.perf_counter() - start
    return list(seconds[:, warm_up:])
