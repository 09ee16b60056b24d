"""DNA-Det's network, its checkpoints, and attribution of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.data import read_image
from dnadet_lib.files import atomic_path
from dnadet_lib.patches import grid_patches, normalise, resize
from dnadet_lib.paths import data_folder

TRACE_BLOCK = 4  # of `main`: chosen on dev, data/results/unknown_blocks.csv
DROPPED_KEYS = ("projection_head.",)  # used in training only


class ConvolutionBlock(nn.Module):
    """Convolution, batch norm, LeakyReLU 0.2. Even blocks halve the image, odd ones keep it."""

    def __init__(self, c_in: int, c_out: int, halve: bool) -> None:
        super().__init__()
        kernel, stride = (4, 2) if halve else (3, 1)
        self.main = nn.Sequential(
            nn.Conv2d(c_in, c_out, kernel, stride, padding=1),
            nn.BatchNorm2d(c_out),
            nn.LeakyReLU(0.2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C_in, H, W) to (B, C_out, H', W')."""
        return self.main(x)


class HighPass(nn.Module):
    """Fixed second-order difference [-1 2 -1; 2 -4 2; -1 2 -1] / 4, a channel at a time.

    It removes the content and leaves the residual in which generators leave their traces.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.tensor([[-1.0, 2, -1], [2, -4, 2], [-1, 2, -1]]) / 4
        self.register_buffer("kernel", kernel.repeat(3, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Filter (B, 3, H, W); borders are reflected. Scaled by 4 to about unit range."""
        return 4 * F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel, groups=3)


@dataclass(frozen=True)
class InputSpec:
    """How an image becomes the network's input. It travels with the checkpoint.

    Attributes:
        resize_first: Side in pixels of a first resize, or None.
        resize: Side in pixels of the resize before the network, or None for native resolution.
        resize_filter: Pillow's name of the resize filter.
        patch: Side in pixels of a patch, after the resize.
        vote: "whole": one pass over the whole image; "patches": mean over a grid of patches.
        high_pass: Whether the fixed high-pass front end is on.
    """

    resize_first: int | None = None
    resize: int | None = 512
    resize_filter: str = "bicubic"
    patch: int = 64
    vote: str = "whole"
    high_pass: bool = False


@dataclass(frozen=True)
class Attribution:
    """What `DNADet.attribute` says of N images.

    Attributes:
        probabilities: float (N, K), calibrated by the checkpoint's temperature.
        labels: The most probable class of each image.
        embeddings: float (N, 8 * width), mean over the image's patches.
        unknown_scores: (N,) distance to the nearest training images in an early block, or NaN where
            the checkpoint holds none. High means: unlike anything the model was trained on.
        known: (N,) whether the score is under the threshold that was chosen on dev generators.
    """

    probabilities: np.ndarray
    labels: list[str]
    embeddings: np.ndarray
    unknown_scores: np.ndarray
    known: np.ndarray


class Features(NamedTuple):
    """What the network makes of N images, each the mean over an image's patches.

    Attributes:
        embeddings: (N, 8 * width), of the last block: what the classifier sees.
        traces: (N, C), of an early block: what the unknown score goes by.
    """

    embeddings: Tensor
    traces: Tensor


class DNADet(nn.Module):
    """DNA-Det: four stages of two convolutions, average pooling, dropout, a linear classifier.

    Attributes:
        classes: Names of the classes, in the order of the logits.
        input: How images are prepared.
        temperature: Divides the logits before softmax, fitted on dev generators.
        threshold: Unknown score above which an image is outside what the model knows.
        reference: (M, C) traces of training images, which the unknown score goes by.
        trace_block: Number of the block of `main` whose features are the traces.

    Source:
        Yang et al. 2022, section 4.2; parameter names follow its public release.
    """

    reference: Tensor

    def __init__(
        self,
        num_classes: int,
        width: int = 64,
        *,
        classes: Sequence[str] | None = None,
        input: InputSpec | None = None,
    ) -> None:
        super().__init__()
        self.width = width
        self.classes = tuple(classes or (str(k) for k in range(num_classes)))
        if len(self.classes) != num_classes:
            raise ValueError(f"{len(self.classes)} class names given for {num_classes} classes")
        self.input = input or InputSpec()
        self.temperature, self.threshold = 1.0, float("inf")
        self.trace_block = TRACE_BLOCK
        channels = [3] + [width * 2**stage for stage in range(4) for _ in range(2)]
        self.high_pass = HighPass() if self.input.high_pass else nn.Identity()
        self.main = nn.Sequential(
            *(ConvolutionBlock(channels[i], channels[i + 1], i % 2 == 0) for i in range(8))
        )
        self.classification_head = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(channels[-1], num_classes)
        )
        traces = channels[TRACE_BLOCK + 1]
        self.register_buffer("reference", torch.empty(0, traces), persistent=False)

    @property
    def embedding_size(self) -> int:
        """Length of an embedding: 8 * width."""
        return 8 * self.width

    def embed(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to pooled features (B, 8 * width)."""
        return self.main(self.high_pass(images)).mean(dim=(2, 3))

    def features(self, images: Tensor) -> Features:
        """Map normalised images (B, 3, H, W) to pooled features of the last and an early block."""
        early = self.main[: self.trace_block + 1](self.high_pass(images))
        late = self.main[self.trace_block + 1 :](early)
        return Features(late.mean(dim=(2, 3)), early.mean(dim=(2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, K)."""
        return self.classification_head(self.embed(images))

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Turn one uint8 image (H, W, 3) into the views (V, h, w, 3) that the network votes over.

        Raises:
            ValueError: the image is smaller than a patch.
        """
        for side in (self.input.resize_first, self.input.resize):
            image = image if side is None else resize(image, side, self.input.resize_filter)
        if self.input.vote == "whole":
            return image[None]
        return grid_patches(image, self.input.patch)

    @torch.no_grad()
    def infer(self, views: Sequence[np.ndarray], batch_pixels: int = 2**18) -> Features:
        """Make the features of N images' views, in one stream of batches.

        The classifier is linear, so the mean embedding of an image's patches gives the mean of
        their logits: the vote.

        Args:
            views: For each image, uint8 (V, h, w, 3); those of one h and w run together.
            batch_pixels: Pixels a forward pass, about: what bounds the memory.

        Returns:
            Means over the views of each image.
        """
        self.eval()
        if len({v.shape[1:3] for v in views}) > 1:
            return join_features([self.infer([v], batch_pixels) for v in views])
        device = next(self.classification_head.parameters()).device
        stacked = np.concatenate(list(views))
        batch_size = max(1, batch_pixels // (stacked.shape[1] * stacked.shape[2]))
        chunks = [
            self.features(normalise(torch.from_numpy(part).to(device)))
            for part in np.array_split(stacked, -(-len(stacked) // batch_size))
        ]
        counts = [len(v) for v in views]
        return Features(
            *(
                torch.stack([views_of_one.mean(dim=0) for views_of_one in part.split(counts)])
                for part in join_features(chunks)
            )
        )

    @torch.no_grad()
    def probabilities(self, embeddings: Tensor) -> Tensor:
        """Map embeddings (N, D) to class probabilities (N, K), at the model's temperature."""
        return (self.classification_head(embeddings) / self.temperature).softmax(dim=1)

    def attribute(self, images: Sequence[Path | str | Image.Image | np.ndarray]) -> Attribution:
        """Say for each image which class it comes from.

        Args:
            images: Paths, PIL images or uint8 arrays (H, W, 3), of any sizes.

        Raises:
            ValueError: no images, an image is smaller than a patch (the file is named), or an
                array is not uint8 (H, W, 3).
            OSError: a file cannot be read as an image; the file is named.
        """
        if len(images) == 0:
            raise ValueError("no images given: attribute needs at least one")
        found = join_features([self.infer([self.views_of(image)]) for image in images])
        probabilities = self.probabilities(found.embeddings).cpu().numpy()
        scores = self.unknown_score(found.traces).cpu().numpy()
        return Attribution(
            probabilities,
            [self.classes[k] for k in probabilities.argmax(axis=1)],
            found.embeddings.cpu().numpy(),
            scores,
            ~(scores > self.threshold),
        )

    def views_of(self, image: Path | str | Image.Image | np.ndarray) -> np.ndarray:
        """Prepare an image of any kind: uint8 views (V, h, w, 3); errors name its file."""
        if isinstance(image, Path | str):
            try:
                return self.prepare(read_image(Path(image)))
            except ValueError as error:
                raise ValueError(f"{image}: {error}") from error
        if isinstance(image, Image.Image):
            image = np.asarray(image.convert("RGB"))
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"array of {image.dtype} {image.shape}: expected uint8 (H, W, 3), red first"
            )
        return self.prepare(image)

    def unknown_score(self, traces: Tensor, neighbours: int = 5) -> Tensor:
        """Mean distance of traces (N, C) to those of the nearest training images.

        Channels are divided by their standard deviation over the training images; the distance is
        the root of the mean square over channels. So 1 is a deviation in every channel.

        Later blocks keep what tells the known classes apart and drop the rest, a new architecture's
        trace with it; an early block still has it.

        Returns:
            (N,) scores, NaN where the checkpoint holds no training images' traces.

        Source:
            Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors".
        """
        if len(self.reference) < neighbours:
            return torch.full((len(traces),), float("nan"))
        reference = self.reference.to(traces.device)
        deviation = reference.std(dim=0, correction=0) + 1e-6
        distances = torch.cdist(traces / deviation, reference / deviation)
        nearest = distances.topk(neighbours, dim=1, largest=False).values.mean(dim=1)
        return nearest / reference.shape[1] ** 0.5


def join_features(parts: Sequence[Features]) -> Features:
    """Join the features of batches."""
    return Features(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


class ProjectionHead(nn.Sequential):
    """Linear, ReLU, linear to 128, L2 normalisation: what the contrastive loss sees."""

    def __init__(self, features: int, projected: int = 128) -> None:
        super().__init__(
            nn.Linear(features, features), nn.ReLU(), nn.Linear(features, projected)
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map embeddings (B, D) to unit vectors (B, 128)."""
        return F.normalize(super().forward(embeddings), dim=1)


def save_model(model: DNADet, path: Path, **notes: object) -> None:
    """Write weights and configuration to one safetensors file, atomically.

    Args:
        model: What to save.
        path: File to write, `.safetensors`.
        notes: JSON values kept in the header, such as seed and preset.
    """
    config = {
        "classes": model.classes,
        "width": model.width,
        "input": asdict(model.input),
        "temperature": model.temperature,
        "threshold": model.threshold if np.isfinite(model.threshold) else None,
        "notes": notes,
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    tensors["reference"] = model.reference.detach().cpu().half().contiguous()
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"dnadet": json.dumps(config)})


def find_checkpoint(path_or_name: str | Path) -> Path:
    """Return a checkpoint's file.

    Raises:
        FileNotFoundError: neither a file nor a shipped name.
    """
    path = Path(path_or_name)
    if path.is_file():
        return path
    shipped = data_folder() / "checkpoints"
    path = shipped / f"{path_or_name}.safetensors"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.safetensors")))
        raise FileNotFoundError(
            f"{path_or_name}: neither a checkpoint file nor a shipped name ({names})"
        )
    return path


def load_model(path_or_name: str | Path, classes: Sequence[str] | None = None) -> DNADet:
    """Load a checkpoint.

    Args:
        path_or_name: A file of ours (`.safetensors`), a released `.pth`, or the name of a shipped
            checkpoint such as "pocket".
        classes: Names of the classes of a released `.pth`, which does not hold them.

    Returns:
        The model, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: neither a file nor a shipped name.
        ValueError: the file is not a checkpoint, or a tensor is missing, unexpected or of the
            wrong shape; file and tensor are named.
    """
    path = find_checkpoint(path_or_name)
    load = _load_safetensors if path.suffix == ".safetensors" else _load_released
    return load(path, classes).eval()


def _load_safetensors(path: Path, classes: Sequence[str] | None) -> DNADet:
    try:
        with safe_open(path, "pt") as file:
            config = json.loads((file.metadata() or {})["dnadet"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        model = DNADet(
            len(config["classes"]),
            config["width"],
            classes=config["classes"],
            input=InputSpec(**config["input"]),
        )
        threshold = config["threshold"]
        model.temperature = float(config["temperature"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a dnadet checkpoint ({error})") from error
    model.threshold = float("inf") if threshold is None else threshold
    reference = tensors.pop("reference", model.reference).float()
    if len(reference) and reference.shape[1] != model.reference.shape[1]:
        raise ValueError(
            f"{path}: tensor 'reference' has shape {tuple(reference.shape)}, expected "
            f"{(len(reference), model.reference.shape[1])}"
        )
    model.reference = reference if len(reference) else model.reference
    load_weights(model, tensors, path)
    return _renamed(model, classes, path)


def _renamed(model: DNADet, classes: Sequence[str] | None, path: Path) -> DNADet:
    if classes and len(classes) != len(model.classes):
        raise ValueError(
            f"{path}: {len(classes)} class names given for {len(model.classes)} classes"
        )
    model.classes = tuple(classes or model.classes)
    return model


def _load_released(path: Path, classes: Sequence[str] | None) -> DNADet:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on bytes of another kind torch's unpickler can raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"{path}: not a plain state dict; files that need code to be run are refused ({reason})"
        ) from error
    if not isinstance(tensors, dict) or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise ValueError(f"{path}: not a plain state dict: it must map names to tensors")
    head = tensors.get("classification_head.1.weight")
    if head is None or head.ndim != 2 or head.shape[1] < 8:
        found = "no such tensor" if head is None else f"shape {tuple(head.shape)}"
        raise ValueError(
            f"{path}: 'classification_head.1.weight': {found}, expected (classes, 8 * width): "
            "not a DNA-Det release"
        )
    model = DNADet(head.shape[0], head.shape[1] // 8)
    load_weights(model, tensors, path)
    return _renamed(model, classes, path)


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: Path | str) -> None:
    """Copy tensors into a model, all of them or none.

    Raises:
        ValueError: a tensor is missing, unexpected or of the wrong shape; it is named.
    """
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    tensors = {k: v for k, v in tensors.items() if not k.startswith(DROPPED_KEYS)}
    optional = {k for k in expected if k.endswith("num_batches_tracked")}
    if missing := sorted(expected.keys() - tensors.keys() - optional):
        raise ValueError(f"{source}: tensor {missing[0]!r} is missing ({len(missing)} in all)")
    if unexpected := sorted(tensors.keys() - expected.keys()):
        count = len(unexpected)
        raise ValueError(f"{source}: unexpected tensor {unexpected[0]!r} ({count} in all)")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name]:
            raise ValueError(
                f"{source}: tensor {name!r} has shape {tuple(tensor.shape)}, "
                f"expected {expected[name]}"
            )
    model.load_state_dict(tensors, strict=False)


def transfer_backbone(model: DNADet, pretrained: DNADet) -> None:
    """Start a model from the backbone of a pre-trained one; the classifier stays as it is.

    Raises:
        ValueError: the two differ in width or front end.
    """
    if (model.width, model.input.high_pass) != (pretrained.width, pretrained.input.high_pass):
        raise ValueError(
            f"pre-trained model has width {pretrained.width} and high-pass "
            f"{pretrained.input.high_pass}; this one {model.width} and {model.input.high_pass}"
        )
    model.main.load_state_dict(pretrained.main.state_dict())


__all__ = [
    "Attribution",
    "DNADet",
    "InputSpec",
    "ProjectionHead",
    "load_model",
    "load_weights",
    "save_model",
    "transfer_backbone",
]
