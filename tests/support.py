"""Makers of synthetic photographs, generators and released checkpoints for tests."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from dnadet_lib.released.tree import FOLDERS
from dnadet_lib.zoo.generators import ARCHITECTURES, build_generator
from dnadet_lib.zoo.layouts import Layouts, fit_layouts
from dnadet_lib.zoo.photographs import CONTENTS

LOSSES = {"ProGAN": "hinge", "MMDGAN": "mmd", "SNGAN": "hinge", "InfoMaxGAN": "infomax"}
MANIFEST = (
    "name architecture loss content seed finetuned_from role steps file sha256 "
    "swd_64 swd_32 swd_16 diversity command commit"
).split()


def photograph(rng: np.random.Generator, height: int = 160, width: int = 176) -> np.ndarray:
    """A uint8 (H, W, 3) image with structure at every scale, as a photograph has."""
    image = np.zeros((height, width, 3), np.float32)
    for side in (4, 8, 16, 32, 64, 128):
        noise = rng.standard_normal((side, side, 3)).astype(np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 48 / side**0.4
    return np.clip(image + 128, 0, 255).astype(np.uint8)


def write_images(folder: Path, count: int, rng: np.random.Generator, side: int = 64) -> list[Path]:
    """Write PNG files `0.png`, `1.png`, ... and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(count)]
    for path in paths:
        Image.fromarray(photograph(rng, side, side)).save(path)
    return paths


def write_photographs(folder: Path) -> None:
    """Write photos.csv with two photographs a content and group."""
    rng = np.random.default_rng(7)
    rows = []
    for content in CONTENTS:
        (folder / content).mkdir(parents=True)
        for group in ("train", "dev", "test", "finetune"):
            for number in range(2):
                file = f"{content}/{content}_{group}_{number}.png"
                pixels = photograph(rng)
                if content == "stamps":
                    y, x = np.mgrid[:160, :176]
                    alpha = ((y - 80) ** 2 + (x - 88) ** 2 < 75**2) * np.uint8(255)
                    pixels = np.dstack([pixels, alpha.astype(np.uint8)])
                Image.fromarray(pixels).save(folder / file)
                rows.append({"file": file, "content": content, "group": group})
    with (folder / "photos.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "content", "group"])
        writer.writeheader()
        writer.writerows(rows)


def zoo_rows() -> list[dict[str, str]]:
    """A small zoo: closed set, dev, seed and dataset for every class, and one of the rest each."""
    rows = []
    for architecture in ARCHITECTURES:
        for content, seed, role in (
            ("meadow", 0, "train"), ("meadow", 1, "dev"), ("meadow", 2, "test"),
            ("stamps", 0, "test"),
        ):  # fmt: skip
            rows.append(zoo_row(architecture, content, seed, role))
    finetuned_from = "SNGAN_meadow_s0"
    return [
        *rows,
        zoo_row("MMDGAN", "meadow", 0, "test", name="MMDGAN_meadow_cramer", loss="cramer"),
        zoo_row("SNGAN", "meadow", 0, "test", name="SNGAN_tuned", finetuned_from=finetuned_from),
        zoo_row("SubPixelGAN", "meadow", 0, "dev", loss="hinge"),
        zoo_row("StyleGAN2", "meadow", 0, "test", loss="hinge"),
    ]


def zoo_row(
    architecture: str, content: str, seed: int, role: str, **changes: str
) -> dict[str, str]:
    """A manifest row, named by class, content and seed, with its class's own loss."""
    row = dict.fromkeys(MANIFEST, "") | {
        "name": f"{architecture}_{content}_s{seed}", "architecture": architecture,
        "loss": LOSSES.get(architecture, ""), "content": content, "seed": str(seed), "role": role,
        "steps": "0", **changes,
    }  # fmt: skip
    return row | {"file": f"{row['name']}.safetensors"}


def some_layouts() -> Layouts:
    """Layouts of synthetic photographs."""
    rng = np.random.default_rng(0)
    crops = np.stack([photograph(rng, 64, 64) for _ in range(100)])
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    return fit_layouts(images, images[:50])


def write_zoo(folder: Path, rows: list[dict[str, str]]) -> None:
    """Write random generators as fp16 safetensors, their layouts and their manifest."""
    folder.mkdir(parents=True)
    layouts = some_layouts()
    for content, group in {(row["content"], "train") for row in rows} | {("meadow", "finetune")}:
        layouts.save(folder / f"layouts_{content}_{group}.safetensors")
    for number, row in enumerate(rows):
        torch.manual_seed(number)
        weights = build_generator(row["architecture"], layouts).state_dict()
        path = folder / row["file"]
        save_file({k: v.half() for k, v in weights.items() if v.is_floating_point()}, path)
        row["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    write_manifest(folder, rows)


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> Path:
    """Write manifest.csv with the given rows."""
    path = folder / "manifest.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def released_state_dict(classes: int = 5, width: int = 64) -> dict[str, Tensor]:
    """A state dict with the key names, order and shapes of the method's public release."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * 0.05

    channels = [3] + [width * 2**stage for stage in range(4) for _ in range(2)]
    state: dict[str, Tensor] = {}
    for i, (c_in, c_out) in enumerate(zip(channels[:-1], channels[1:], strict=True)):
        kernel = 4 if i % 2 == 0 else 3
        state[f"main.{i}.main.0.weight"] = draw(c_out, c_in, kernel, kernel)
        state[f"main.{i}.main.0.bias"] = draw(c_out)
        state[f"main.{i}.main.1.weight"] = 1 + draw(c_out)
        state[f"main.{i}.main.1.bias"] = draw(c_out)
        state[f"main.{i}.main.1.running_mean"] = draw(c_out)
        state[f"main.{i}.main.1.running_var"] = 0.5 + draw(c_out).abs()
        state[f"main.{i}.main.1.num_batches_tracked"] = torch.tensor(7)
    state["classification_head.1.weight"] = draw(classes, channels[-1])
    state["classification_head.1.bias"] = draw(classes)
    return state


def write_released_tree(root: Path, each: int = 10) -> None:
    """Write all folders of the paper's data set with a few images of an eighth of their size."""
    rng = np.random.default_rng(3)
    for number, (folder, side) in enumerate(FOLDERS.items()):
        for path in write_images(root / folder, each, rng, side // 8):
            pixels = np.asarray(Image.open(path)) // 2 + np.uint8(number)  # each has its own tint
            Image.fromarray(pixels).save(path)
