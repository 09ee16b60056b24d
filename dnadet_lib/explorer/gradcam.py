"""Grad-CAM: where in an image a layer finds what speaks for a class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from dnadet_lib.attribution import prepare
from dnadet_lib.model import DNADet
from dnadet_lib.patches import grid_corners, normalise, turned_back


def grad_cam(
    model: DNADet, images: Tensor, target: int, layer: int | None = None
) -> Tensor:
    """Map where a layer speaks for a class (positive) or against it (negative): (B, h, w).

    Each channel of the layer is weighted by the mean of the class logit's gradient over its places;
    the map is the weighted sum of the channels, without the paper's ReLU, so that negative values
    stay.

    Args:
        model: Evaluated as it is; its weights get no gradient.
        images: Normalised (B, 3, H, W).
        target: Number of the class.
        layer: Number of a block of `model.main`, by default the last one. Block 1 is half as fine
            as the image, and each second block twice as coarse as the one before.

    A ValueError if there is no such layer or class. Source: Selvaraju et al. 2017, equations 1 and
    2.
    """
    layer = len(model.main) - 1 if layer is None else layer
    if not 0 <= layer < len(model.main):
        raise ValueError(f"layer {layer}: choose one of 0 to {len(model.main) - 1}")
    if not 0 <= target < len(model.classes):
        raise ValueError(
            f"class {target}: choose one of 0 to {len(model.classes) - 1} "
            f"({', '.join(model.classes)})"
        )
    model.eval()
    with torch.no_grad():
        activations = model.main[: layer + 1](model.high_pass(images))
    with torch.enable_grad():
        activations.requires_grad_(True)
        embeddings = model.pool(model.main[layer + 1 :](activations))
        logit = model.logits(embeddings)[:, target].sum()
        (gradients,) = torch.autograd.grad(logit, activations)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return (weights * activations.detach()).sum(dim=1)


def image_cam(
    model: DNADet, image: np.ndarray, target: int, layer: int | None = None
) -> np.ndarray:
    """Grad-CAM of one uint8 image (H, W, 3) as the model sees it: through its patches, if it votes.

    The vote is the mean of the patches' logits, so each patch's map is enlarged to the patch's
    size, turned back where the patch was turned, and the maps are averaged where they overlap.

    Returns:
        float32 (H', W') of the image as the model sees it; zero in the gaps of a large image's
        grid.
    """
    views = prepare(model, image)
    device = next(model.parameters()).device
    batch = normalise(torch.from_numpy(np.array(views)).to(device))
    maps = grad_cam(model, batch, target, layer)
    side = views.shape[1:3]
    enlarged = F.interpolate(maps[:, None], side, mode="bilinear", align_corners=False)
    large = enlarged[:, 0].cpu().numpy()
    if model.input.vote == "whole":
        return large[0]
    height, width = (model.input.resize or pixels for pixels in image.shape[:2])
    total = np.zeros((height, width), np.float32)
    count = np.zeros((height, width), np.float32)
    corners = grid_corners(height, width, model.input.patch)
    copies = large.reshape(-1, len(corners), *side)
    for number, maps in enumerate(copies):
        for (top, left), patch_map in zip(corners, turned_back(maps, number), strict=True):
            place = np.s_[top : top + side[0], left : left + side[1]]
            total[place] += patch_map
            count[place] += 1
    return total / count.clip(1)


def strongest_quarter(values: np.ndarray) -> float:
    """Share of a map's (H, W) total that its strongest quarter holds, for the class or against it.

    Signs do not count: with random weights, a map may speak against a class everywhere.
    """
    sizes = np.sort(np.abs(values), axis=None)[::-1]
    return float(sizes[: len(sizes) // 4].sum() / max(sizes.sum(), 1e-9))


def untrained_like(model: DNADet, seed: int = 0) -> DNADet:
    """Make a network of the same plan with random weights, to hold a map against."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return DNADet(
            len(model.classes), model.width, input=model.input, blocks=len(model.main),
            discriminant=model.discriminant,
        )  # fmt: skip


def against_random(
    model: DNADet, images: Sequence[np.ndarray], targets: Sequence[int], draws: int = 5
) -> pd.DataFrame:
    """Compare a model's maps with those of networks that learned nothing.

    Args:
        model: Has learned.
        images: uint8 (H, W, 3), all of one size.
        targets: Number of the class to ask for, of each image.
        draws: So many networks of the same plan with random weights, of seeds 0, 1, ...

    Returns:
        A row for the model, "trained", and for each draw. Columns are medians over the images:
        "strongest quarter", its share of a map; "correlation" with the model's map of that image;
        and "of the mean map", the strongest quarter's share of the maps' mean.
    """
    networks = {"trained": model}
    networks |= {f"random {seed}": untrained_like(model, seed) for seed in range(draws)}
    maps = {
        name: [image_cam(network, *case) for case in zip(images, targets, strict=True)]
        for name, network in networks.items()
    }
    rows = {}
    for name, own in maps.items():
        pairs = zip(own, maps["trained"], strict=True)
        alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]
        rows[name] = {
            "strongest quarter": np.median([strongest_quarter(values) for values in own]),
            "of the mean map": strongest_quarter(np.mean(own, axis=0)),
            "correlation": np.median(alike),
        }
    return pd.DataFrame(rows).T
