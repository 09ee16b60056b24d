"""How the method's public release trains, restated plainly: what the library is timed against.

Every image is decoded, resized whole and normalised whole for each epoch; its patches are cut from
the floats, and each patch number goes through the network in a pass of its own, in float32 and the
default memory format. Source: Yang et al. 2022. `DNADet` is the network of both sides, here with
activations as PyTorch makes them by default, not in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dnadet_lib.losses import AutomaticWeightedLoss, SupConLoss, classification_loss
from dnadet_lib.model import DNADet, ProjectionHead
from dnadet_lib.presets import Preset
from dnadet_lib.transforms import Transformation


def as_floats(image: Image.Image, side: int | None) -> Tensor:
    """Resize a whole image, if it is to be, and normalise all of it: (3, H, W) in [-1, 1]."""
    if side is not None:
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    resized = np.array(image)
    return torch.from_numpy(resized).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)


def cut_floats(image: Tensor, corners: np.ndarray, patch: int) -> list[Tensor]:
    """Cut patches (3, patch, patch) of a normalised image at top left corners (V, 2)."""
    return [image[:, t : t + patch, left : left + patch].clone() for t, left in corners]


def collate(patches: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Turn the V patches of each of B images into V batches (B, 3, patch, patch)."""
    return [torch.stack(batch) for batch in zip(*patches, strict=True)]


def labelled_views(
    paths: Sequence[Path], corners: Sequence[np.ndarray], preset: Preset
) -> list[Tensor]:
    """Make a batch of stage 2 from image files, and corners (V, 2) of the patches of each."""
    side, patch = preset.input.resize, preset.input.patch
    return collate(
        [
            cut_floats(as_floats(Image.open(path).convert("RGB"), side), own, patch)
            for path, own in zip(paths, corners, strict=True)
        ]
    )


def transformed_views(
    crops: np.ndarray, transformations: Sequence[Transformation], corners: Sequence[np.ndarray],
    preset: Preset,
) -> list[Tensor]:  # fmt: skip
    """Make a batch of stage 1 from crops (B, H, W, 3), a transformation and corners for each."""
    rng, batch = np.random.default_rng(0), []
    for crop, transformation, own in zip(crops, transformations, corners, strict=True):
        changed = Image.fromarray(transformation(crop, rng))
        batch.append(cut_floats(as_floats(changed, preset.input.resize), own, preset.input.patch))
    return collate(batch)


@dataclass
class ReleaseRun:
    """Network, heads, optimiser and schedule of the release's loop."""

    model: DNADet
    head: ProjectionHead
    weights: AutomaticWeightedLoss
    optimiser: torch.optim.Adam
    scheduler: torch.optim.lr_scheduler.StepLR

    @classmethod
    def start(cls, model: DNADet, preset: Preset) -> ReleaseRun:
        """Draw the heads of a model, whose activations are then not made in place."""
        for module in model.modules():
            if isinstance(module, nn.LeakyReLU):
                module.inplace = False  # PyTorch's default
        head, weights = ProjectionHead(model.embedding_size), AutomaticWeightedLoss(2)
        optimiser = torch.optim.Adam(
            [
                {"params": [*model.parameters(), *head.parameters()], "lr": preset.learning_rate},
                {"params": weights.parameters(), "lr": preset.weight_rate},
            ]
        )
        scheduler = torch.optim.lr_scheduler.StepLR(optimiser, preset.decay_every, preset.decay)
        return cls(model, head, weights, optimiser, scheduler)

    def step(self, views: Sequence[Tensor], labels: Tensor, preset: Preset) -> float:
        """One step on V batches of patches (B, 3, h, w): the loss."""
        logits, projected = [], []
        for batch in views:
            embeddings = self.model.embed(batch)
            logits.append(self.model.classification_head(embeddings))
            projected.append(self.head(embeddings))
        every = labels.repeat(len(views))
        classification = classification_loss(torch.cat(logits), every, preset.double_softmax)
        contrast = SupConLoss(preset.temperature)(torch.stack(projected, dim=1), labels)
        total = self.weights(classification, contrast)
        self.optimiser.zero_grad()
        total.backward()
        self.optimiser.step()
        self.scheduler.step()
        return total.item()


@torch.no_grad()
def evaluate(model: DNADet, paths: Sequence[Path], batch: int = 8) -> list[int]:
    """Name the classes of whole images, resized as the model's input says, in batches."""
    model.eval()
    found: list[int] = []
    for start in range(0, len(paths), batch):
        images = [Image.open(path).convert("RGB") for path in paths[start : start + batch]]
        floats = torch.stack([as_floats(image, model.input.resize or 512) for image in images])
        found += model(floats).argmax(dim=1).tolist()
    return found


def corners_of(
    count: int, preset: Preset, rng: np.random.Generator, native: int = 64
) -> Iterator[np.ndarray]:
    """Draw corners (V, 2) for each of some images, of that native side if they are not resized."""
    free = (preset.input.resize or native) - preset.input.patch + 1
    for _ in range(count):
        yield rng.integers(0, free, (preset.patches, 2))
