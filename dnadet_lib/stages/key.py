"""The key of a training run: everything that its result follows from."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dnadet_lib.plumbing.text import one_line
from dnadet_lib.presets import Preset

FORMAT = 1  # of the training code: to be raised where the same key comes to give other weights
SHORT = 16  # digits of a hash that a model's header keeps


@dataclass(frozen=True)
class KeptImages:
    """What a key knows of labelled images."""

    hashes: np.ndarray  # uint8 (N, 32), SHA-256 of each image's size and pixels
    labels: np.ndarray  # (N,) class numbers
    paths: Sequence[Path] = ()  # (N,) files, for messages; empty for images that are in no file

    def short(self) -> dict[str, str]:
        """One short hash of all images, and one of their labels."""
        labels = np.ascontiguousarray(self.labels, np.int64)
        return {"images": _short(self.hashes.tobytes()), "labels": _short(labels.tobytes())}


def image_digest(image: np.ndarray) -> bytes:
    """SHA-256 of a uint8 image's size and pixels."""
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).digest()


def keep(
    images: Iterable[np.ndarray], labels: np.ndarray, paths: Sequence[Path] = ()
) -> KeptImages:
    """Hash uint8 images (H, W, 3) with class numbers (N,)."""
    hashes = [image_digest(image) for image in images]
    table = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), 32)
    return KeptImages(table, np.asarray(labels, np.int64), paths)


@dataclass(frozen=True)
class RunKey:
    """Everything that a run's result follows from.

    `start` is the hash of the pre-trained network's weights, empty without one; `dev_sources` are
    generators or photographs, which the unknown threshold goes by.
    """

    preset: Preset
    seed: int
    classes: tuple[str, ...]
    start: str
    train: KeptImages
    dev: KeptImages
    dev_sources: Sequence[str] = ()

    @cached_property
    def parts(self) -> dict[str, str]:
        """The key in short: name of each part and its value or hash."""
        train, dev = self.train.short(), self.dev.short()
        return {
            "training code": str(FORMAT),
            "preset": json.dumps(self.preset.changed()),
            "seed": str(self.seed),
            "class names": json.dumps(self.classes),
            "pre-trained network": self.start[:SHORT],
            **train,
            **{f"dev {name}": value for name, value in dev.items()},
            "dev sources": _short("\n".join(self.dev_sources).encode("utf-8", "surrogateescape")),
        }

    def stored(self) -> dict:
        """The key as plain values and tensors, for a state."""
        tables = {"": self.train, "dev ": self.dev}
        return {
            "parts": self.parts,
            **{f"{k}hashes": torch.from_numpy(v.hashes.copy()) for k, v in tables.items()},
            **{f"{k}labels": torch.from_numpy(v.labels.copy()) for k, v in tables.items()},
        }


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:SHORT]


def network_digest(network: nn.Module) -> str:
    """SHA-256 of a network's weights: names, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def differences(old: Mapping, key: RunKey) -> list[str]:
    """Say in words what another run was made with, by its key as stored, or its `parts` alone."""
    parts = old["parts"]
    changed = [name for name, value in key.parts.items() if parts.get(name) != value]
    if "images" in changed:  # then numbers are no help: other images have other labels
        changed = [name for name in changed if name != "labels"]
    if "dev images" in changed:
        changed = [name for name in changed if name not in ("dev labels", "dev sources")]
    return [_difference(name, old, key) for name in changed]


def _difference(name: str, old: Mapping, key: RunKey) -> str:
    was, now = old["parts"].get(name, ""), key.parts[name]
    if name == "training code":
        return "another version of the training code"
    if name == "seed":
        return f"seed {one_line(was)}, not {now}"
    if name == "preset":
        return f"another preset ({_changes(was, now)})"
    if name == "class names":
        return f"other class names ({_joined(was)}; now {_joined(now)})"
    if name == "pre-trained network":
        return "another pre-trained network" if was else "no pre-trained network"
    if name in ("images", "dev images"):
        return f"other {name}{_counted(old, key, name, 'hashes')}"
    return f"other {name}{_counted(old, key, name, 'labels')}"


def _changes(was: str, now: str) -> str:
    """Name the fields in which two presets differ."""
    defaults = {f.name: repr(f.default) for f in fields(Preset)}
    before, after = defaults | json.loads(was), defaults | json.loads(now)
    apart = [name for name in before if before[name] != after.get(name)]
    return one_line("; ".join(f"{name}={before[name]}, now {after.get(name)}" for name in apart))


def _joined(names: str) -> str:
    return one_line(", ".join(json.loads(names)))


def _counted(old: Mapping, key: RunKey, name: str, what: str) -> str:
    """Count the images that differ and name one, as far as the old key says."""
    front = "dev " if name.startswith("dev ") else ""
    kept = key.dev if front else key.train
    if f"{front}{what}" not in old or name.endswith("sources"):
        return ""
    was, now = old[f"{front}{what}"].cpu().numpy(), getattr(kept, what)
    if len(was) != len(now):
        return f" ({len(was)}, now {len(now)})"
    apart = np.flatnonzero((was != now).reshape(len(now), -1).any(axis=1))
    if what == "hashes" and sorted(map(bytes, was)) == sorted(map(bytes, now)):
        return " (the same in another order)"
    such = f", such as {one_line(kept.paths[apart[0]])}" if len(kept.paths) else ""
    return f" ({len(apart)} of {len(now)} differ{such})"
