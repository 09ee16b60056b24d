"""The photographs of the benchmark and the 64x64 crops that are cut from them."""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from dnadet_lib.images.reading import open_image
from dnadet_lib.plumbing.files import inside, plain_name
from dnadet_lib.plumbing.paths import data_folder

CROP_SIZE = 64
CONTENTS = ("horizons", "meadow", "nebulae", "stamps")
GROUPS = ("train", "dev", "test", "finetune")
DULL_BELOW = 12.0  # standard deviation of the grey levels under which a crop shows nothing


@dataclass(frozen=True)
class Photograph:
    """One source photograph: its name, content, group and file."""

    name: str
    content: str
    group: str
    path: Path


def load_photographs(content: str, group: str, folder: Path | None = None) -> list[Photograph]:
    """List the photographs of one content and group in the order of `photos.csv`.

    Raises:
        FileNotFoundError: `photos.csv` or a photograph is missing.
        ValueError: there is none, a column is missing, or a file is none inside the folder.
    """
    folder = folder or data_folder() / "photos"
    table = folder / "photos.csv"
    if not table.is_file():
        raise FileNotFoundError(f"{table}: the list of photographs is missing")
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if absent := {"file", "content", "group"} - set(reader.fieldnames or ()):
            raise ValueError(f"{table}: column {sorted(absent)[0]!r} is missing")
        rows = [r for r in reader if (r["content"], r["group"]) == (content, group)]
    if not rows:
        raise ValueError(
            f"{table}: no photograph with content {content!r} and group {group!r}; "
            f"contents are {CONTENTS}, groups {GROUPS}"
        )
    photographs = [
        Photograph(Path(r["file"] or "").stem, content, group, folder / (r["file"] or ""))
        for r in rows
    ]
    for row, photograph in zip(rows, photographs, strict=True):
        for part in (row["file"] or "").split("/"):
            plain_name(part, f"{table}, row {row['file']!r}, file")
        inside(folder, photograph.path)
        if not photograph.path.is_file():
            raise FileNotFoundError(f"{photograph.path}: named in {table.name}, but missing")
    return photographs


def cut_meadow(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut a square of 128 to 400 pixels and bring it to 64 with Lanczos."""
    side = int(rng.integers(128, min(400, *photo.size) + 1))
    return _square(photo, side, rng)


def cut_stamp(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Put a cut-out object on a plain square ground of random colour, 0.9 to 1.4 times its size."""
    side = int(max(photo.size) * rng.uniform(0.9, 1.4))
    ground = tuple(int(v) for v in rng.integers(0, 256, 3))
    canvas = Image.new("RGB", (side, side), ground)
    slack = (side - photo.width, side - photo.height)
    left, top = (int(rng.integers(min(0, s), max(0, s) + 1)) for s in slack)
    canvas.paste(photo, (left, top), photo)
    return canvas.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.LANCZOS)


def cut_horizon(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut a square of nearly the full height, so that the sky stays above, and bring it to 64."""
    side = int(rng.integers(photo.height * 13 // 16, photo.height + 1))
    return _square(photo, side, rng)


def cut_nebula(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut a square of 0.75 to 1 of the side, bring it to 64, and turn it by quarters at random."""
    side = int(rng.integers(photo.height * 3 // 4, photo.height + 1))
    crop = _square(photo, side, rng)
    return Image.fromarray(np.rot90(np.asarray(crop), int(rng.integers(4))).copy())


def _square(photo: Image.Image, side: int, rng: np.random.Generator) -> Image.Image:
    left = int(rng.integers(0, photo.width - side + 1))
    top = int(rng.integers(0, photo.height - side + 1))
    box = (left, top, left + side, top + side)
    return photo.resize((CROP_SIZE, CROP_SIZE), Image.Resampling.LANCZOS, box=box)


CUTS = {
    "meadow": cut_meadow, "stamps": cut_stamp, "horizons": cut_horizon, "nebulae": cut_nebula,
}  # fmt: skip


def cut_crops(
    photographs: list[Photograph], count: int, seed: int = 0
) -> tuple[np.ndarray, list[str]]:
    """Cut `count` crops, the same number from every photograph (one more from the first ones).

    Crops with little contrast are drawn again; half of them are mirrored. Crop i of a photograph
    depends on the photograph's name, i and the seed alone. Returns uint8 (count, 64, 64, 3), and
    for each the name of its photograph; an OSError names one that cannot be read.
    """
    crops = np.empty((count, CROP_SIZE, CROP_SIZE, 3), np.uint8)
    names: list[str] = [""] * count
    for start, photograph in enumerate(photographs):
        cut = CUTS[photograph.content]
        with open_image(photograph.path) as file:
            photo = file.convert("RGBA" if photograph.content == "stamps" else "RGB")
        rng = np.random.default_rng([seed, zlib.crc32(photograph.name.encode())])
        for index in range(start, count, len(photographs)):
            crops[index], names[index] = _cut_one(photo, cut, rng), photograph.name
    return crops, names


def _cut_one(photo: Image.Image, cut, rng: np.random.Generator) -> np.ndarray:
    for _ in range(20):
        crop = np.asarray(cut(photo, rng))
        if crop.mean(axis=2).std() >= DULL_BELOW:
            break
    return crop[:, ::-1] if rng.random() < 0.5 else crop
