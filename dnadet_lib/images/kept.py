"""Images of any sizes and number to draw from, in bounded memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dnadet_lib.images.reading import read_image
from dnadet_lib.plumbing.notes import listening
from dnadet_lib.plumbing.workers import in_threads

MEMORY_LIMIT = 512 * 2**20  # bytes of decoded images that are kept


class ImageFiles:
    """Image files, decoded when they are asked for, on all cores; the first 512 MiB are kept.

    What is to be noted of a file is not noted here: whoever checked the files has done so.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths, self._kept, self._size = list(paths), dict[int, np.ndarray](), 0

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray | Path]:
        """Give each image, or the path of one that is not kept."""
        for number, path in enumerate(self.paths):
            if number not in self._kept and self._size < MEMORY_LIMIT:
                self[np.array([number])]
            yield self._kept.get(number, path)

    def __getitem__(self, index: np.ndarray) -> list[np.ndarray]:
        """Return the images at some positions, uint8 (H, W, 3); an OSError names a bad file."""
        missing = [i for i in dict.fromkeys(index.tolist()) if i not in self._kept]
        decoded = dict(zip(missing, in_threads(self._decoded, missing), strict=True))
        for number, image in decoded.items():
            if self._size < MEMORY_LIMIT:
                self._kept[number] = image
                self._size += image.nbytes
        return [decoded[i] if i in decoded else self._kept[i] for i in index.tolist()]

    def _decoded(self, number: int) -> np.ndarray:
        with listening():
            return read_image(self.paths[number])
