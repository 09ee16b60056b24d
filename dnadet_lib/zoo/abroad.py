"""Generators abroad: images of the four architectures that were made by other code than the zoo's.

Several things differ from the zoo's generators at once, as in a stranger's: `data/abroad/` has the
code, the plan and a zip of images per generator.
"""

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dnadet_lib.plumbing.files import atomic_path, inside, plain_name, sha256_of
from dnadet_lib.plumbing.paths import data_folder
from dnadet_lib.zoo.generators import ARCHITECTURES

ROLES = ("dev", "test")
FIELDS = ("name", "architecture", "role", "images", "sha256")


@dataclass(frozen=True)
class GeneratorAbroad:
    """A row of `data/abroad/manifest.csv`, and the zip of its images."""

    name: str
    architecture: str
    role: str
    images: int
    sha256: str
    file: Path


def read_abroad(folder: Path | None = None) -> list[GeneratorAbroad]:
    """Read the manifest of the generators abroad; none where there is no manifest.

    Raises:
        ValueError: a column is missing, or a field is wrong; file, row and field are named.
    """
    path = (folder or data_folder() / "abroad") / "manifest.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if absent := [f for f in FIELDS if f not in (reader.fieldnames or ())]:
            raise ValueError(f"{path}: column {absent[0]!r} is missing")
        return [_parse(row, path) for row in reader]


def _parse(row: dict[str, str], path: Path) -> GeneratorAbroad:
    where = f"{path}, row {row['name']!r}"
    plain_name(row["name"], f"{where}, name")
    for field, values in {"architecture": tuple(ARCHITECTURES), "role": ROLES}.items():
        if row[field] not in values:
            raise ValueError(f"{where}, {field}: {row[field]!r} is none of {', '.join(values)}")
    if not (row["images"] or "").isdecimal() or not int(row["images"]):
        raise ValueError(f"{where}, images: {row['images']!r} is no number of images")
    return GeneratorAbroad(
        **{k: row[k] for k in ("name", "architecture", "role", "sha256")},
        images=int(row["images"]),
        file=path.parent / f"{row['name']}.zip",
    )


def folder_abroad(generator: GeneratorAbroad, root: Path) -> Path:
    """Where a rendered tree has a generator's images: `abroad/CLASS/NAME/ROLE`."""
    parts = (generator.architecture, generator.name, generator.role)
    return inside(root, root.joinpath("abroad", *parts))


def unpack(generator: GeneratorAbroad, count: int, folder: Path) -> None:
    """Write a generator's first images, as they were saved, to a folder; what is there is kept.

    Raises:
        FileNotFoundError: the zip is missing.
        ValueError: the zip is not the manifest's, or holds something other than its images.
    """
    if not generator.file.is_file():
        raise FileNotFoundError(f"abroad {generator.name!r}: {generator.file} is missing")
    digest = sha256_of(generator.file)
    if digest != generator.sha256:
        raise ValueError(
            f"abroad {generator.name!r}, sha256: {generator.file} has {digest[:12]}..., "
            f"the manifest says {generator.sha256[:12]}..."
        )
    with zipfile.ZipFile(generator.file) as archive:
        names = sorted(archive.namelist())
        if len(names) != generator.images:
            raise ValueError(f"{generator.file}: {len(names)} images, expected {generator.images}")
        for name in names[:count]:
            target = folder / plain_name(name, str(generator.file))
            if target.is_file():
                continue
            content = archive.read(name)
            Image.open(io.BytesIO(content)).verify()
            with atomic_path(target) as temporary:
                temporary.write_bytes(content)
