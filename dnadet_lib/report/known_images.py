"""A few images of every class that the zoo's checkpoints were fitted to, to set others beside.

They are rendered, and kept in `build/cache/known_images` with what a checkpoint makes of them.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dnadet_lib.attribution import infer, prepare
from dnadet_lib.explorer.projection import nearest_to
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.code_key import code_digest
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.zoo.generators import sample_images
from dnadet_lib.zoo.manifest import CLASSES, Generator, read_manifest
from dnadet_lib.zoo.photographs import cut_crops, load_photographs
from dnadet_lib.zoo.rendering import LATENT_SEEDS, draw_latents

EACH = 24  # images of a class


@dataclass(frozen=True)
class KnownImages:
    """Images (N, 64, 64, 3) of known classes (N,), with embeddings (N, D) of one checkpoint."""

    images: np.ndarray
    labels: np.ndarray
    embeddings: np.ndarray

    def nearest(self, embedding: np.ndarray, count: int) -> list[tuple[int, float]]:
        """Find the images nearest to an embedding (D,): positions and cosine distances."""
        positions, distances = nearest_to(self.embeddings, embedding[None], count)
        return list(zip(positions[0].tolist(), distances[0].tolist(), strict=True))

    def of(self, label: str) -> np.ndarray:
        """Return the images of a class."""
        return self.images[self.labels == label]


def known_images(model: DNADet, say: Callable[[str], None] = lambda text: None) -> KnownImages:
    """Render images of a checkpoint's classes and embed them, or read what an earlier call kept.

    A ValueError if a class is none of the zoo's, whose images alone can be rendered; an OSError if
    a generator or a photograph is missing. `say` is called with a line where it takes some seconds.
    """
    if odd := [name for name in model.classes if name not in CLASSES]:
        raise ValueError(
            f"images of the class {odd[0]} do not come with this package, which has those of "
            f"{', '.join(CLASSES)}"
        )
    generators = [
        g for g in read_manifest() if g.role == "train" and g.architecture in model.classes
    ]
    file = build_folder() / "cache" / "known_images" / f"{_key(model, generators)}.npz"
    kept = _read(file)
    if kept is not None:
        return kept
    say(f"rendering {EACH} known images of each class to compare with, once for this checkpoint")
    parts = list(_rendered(generators, "Real" in model.classes))
    images = np.concatenate([images for _, images in parts])
    labels = np.repeat([name for name, _ in parts], [len(images) for _, images in parts])
    embeddings = infer(model, [prepare(model, image) for image in images]).embeddings.cpu().numpy()
    with suppress(OSError), atomic_path(file) as temporary:  # what cannot be kept is made again
        np.savez(temporary, images=images, labels=labels, embeddings=embeddings)
    return KnownImages(images, labels, embeddings)


def _rendered(
    generators: list[Generator], photographs: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Give class and images: the first of those that the checkpoint was fitted to."""
    latents = draw_latents(LATENT_SEEDS["train"], EACH)
    for content in sorted({g.content for g in generators}) if photographs else ():
        yield "Real", cut_crops(load_photographs(content, "train"), EACH)[0]
    for generator in generators:
        yield generator.architecture, sample_images(generator.load(), latents, EACH).numpy()


def _key(model: DNADet, generators: list[Generator]) -> str:
    found = hashlib.sha256(f"{model.sha256} {code_digest(_rendered, DNADet)}".encode())
    for generator in generators:
        found.update(generator.sha256.encode())
    for content in sorted({g.content for g in generators}):
        for photograph in load_photographs(content, "train"):
            found.update(photograph.path.read_bytes())
    return found.hexdigest()[:20]


def _read(file: Path) -> KnownImages | None:
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile), np.load(file) as kept:
        return KnownImages(kept["images"], kept["labels"], kept["embeddings"])
    return None
