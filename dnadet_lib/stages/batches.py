"""What the training loop is fed: patches of labelled images, and transformed crops."""

import math
from collections.abc import Iterator

import numpy as np

from dnadet_lib.images.changes import change_named
from dnadet_lib.images.kept import ImageFiles
from dnadet_lib.patches import Images, cut_resized, random_corners, random_patches, random_turns
from dnadet_lib.plumbing.ranks import own_share, random_share
from dnadet_lib.plumbing.workers import in_threads
from dnadet_lib.presets import Preset
from dnadet_lib.transforms import Transformation, image_transformations


def balanced_batches(
    labels: np.ndarray, items: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield index batches with `items` images of every class.

    One pass uses each image of the largest class once; smaller classes start over. An incomplete
    last batch is left out unless it is the only one.
    """
    members = [np.flatnonzero(labels == k) for k in np.unique(labels)]
    longest = max(len(m) for m in members)
    batches = max(1, longest // items)
    columns = []
    for member in members:
        rounds = math.ceil(batches * items / len(member))
        columns.append(np.concatenate([rng.permutation(member) for _ in range(rounds)]))
    for start in range(0, batches * items, items):
        yield np.concatenate([column[start : start + items] for column in columns])


class PatchBatches:
    """Stage 2: images with labels (N,), `patches` random patches from each.

    Images are uint8 (N, H, W, 3), or files, of several sizes if the preset resizes them. Of several
    processes, each gets its share of every batch, as many images of every class.
    """

    def __init__(
        self, images: np.ndarray | ImageFiles, labels: np.ndarray, preset: Preset
    ) -> None:
        self.images, self.labels, self.preset = images, np.asarray(labels), preset
        counts = np.bincount(self.labels)
        passes = max(1, int(counts.max()) // preset.items)
        self.steps = preset.steps_per_epoch or passes

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield uint8 patches (B, V, h, w, 3) and labels (B,)."""
        done, own = 0, random_share(rng)
        while done < self.steps:
            for batch in balanced_batches(self.labels, self.preset.items, rng):
                if done == self.steps:
                    return
                index = own_share(batch, self.preset.items)
                images = changed_at_random(self.images[index], self.preset, own)
                yield cut_views(images, self.preset, own), self.labels[index]
                done += 1


def changed_at_random(images: Images, preset: Preset, rng: np.random.Generator) -> Images:
    """Change each image (H, W, 3) in one of the preset's ways, or leave it as it is."""
    if not preset.changes:
        return images
    ways = [lambda image, rng: image, *map(change_named, preset.changes)]
    return [ways[rng.integers(len(ways))](image, rng) for image in images]


class TransformationBatches:
    """Stage 1: random crops of uint8 photographs (N, H, W, 3), each transformed in one way.

    Of several processes, each gets its share of every batch.
    """

    def __init__(self, images: np.ndarray, preset: Preset) -> None:
        self.images, self.preset = images, preset
        self.transformations = image_transformations(preset.transform_size)
        self.steps = preset.steps_per_epoch or max(1, len(images) // preset.items)

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield uint8 patches (B, V, h, w, 3) and transformation numbers (B,)."""
        own = random_share(rng)
        for _ in range(self.steps):
            drawn = rng.integers(0, len(self.images), self.preset.items)
            index = own_share(drawn, self.preset.items)
            labels = own.integers(0, len(self.transformations), len(index))
            crops = random_patches(self.images[index], self.preset.transform_size, 1, own)[:, 0]
            changed = apply_transformations(crops, labels, self.transformations, own)
            yield cut_views(changed, self.preset, own), labels


def apply_transformations(
    images: np.ndarray, labels: np.ndarray, transformations: list[Transformation],
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Put each uint8 image of (B, H, W, 3) through the transformation that its label names."""

    def apply(image: np.ndarray, label: int, own: np.random.Generator) -> np.ndarray:
        return transformations[label].apply(np.ascontiguousarray(image), own)

    return np.stack(in_threads(apply, images, labels, rng.spawn(len(images))))


def cut_views(images: Images, preset: Preset, rng: np.random.Generator) -> np.ndarray:
    """Resize B images (H, W, 3) as the preset says and cut its patches: (B, V, h, w, 3).

    Of the enlarged images no pixel is made that no patch shows.
    """
    spec = preset.input
    if preset.flips:
        images = random_turns(images, rng)
    side = spec.resize
    if preset.patches == 0 or side is None:
        resized = np.stack([spec.resized(image) for image in images])
        if preset.patches == 0:
            return resized[:, None]
        return random_patches(resized, spec.patch, preset.patches, rng)
    shape = len(images), preset.patches
    corners = random_corners(side, side, spec.patch, shape, rng)
    return cut_resized(
        in_threads(spec.resized_first, images), side, corners, spec.patch, spec.resize_filter
    )
