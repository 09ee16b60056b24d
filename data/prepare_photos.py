#!/usr/bin/env python3
"""Prepare the benchmark's photographs from Debian packages.

The list of photographs is ``data/photos/sources.csv``, chosen by eye: package, path inside the
package, subject, series, author and licence. This script downloads the packages (Debian 12
"bookworm", versions in ``PACKAGES``), takes the photographs out, crops and downsizes them, and
writes lossless WebP files, ``photos.csv`` and ``LICENSES.md``.

    python data/prepare_photos.py                    # download, rebuild everything
    python data/prepare_photos.py --debs FOLDER      # the same from .deb files already there
    python data/prepare_photos.py --check            # compare with what is committed, exit 1
    python data/prepare_photos.py --content nebulae  # one content; the others stay as they are

Groups: photographs of one series (one place, one shoot, numbered shots) stay together. Within each
subject, series are put in an order given by a seeded hash, and each goes to the group that lacks
most photographs against ``SHARES``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dnadet_lib.plumbing.files import atomic_path, inside, plain_name
from dnadet_lib.zoo.photographs import CONTENTS

DEBIAN_RELEASE = '12 "bookworm"'
PACKAGES = {
    "endless-sky-high-dpi": "0.9.8-1",
    "enlightenment-data": "0.25.4-2",
    "gcompris-qt-data": "3.1-2",
    "lomiri-wallpapers-16.04": "20.04.0-2",
    "lomiri-wallpapers-20.04": "20.04.0-2",
    "mate-backgrounds": "1.26.0-1",
    "palapeli-data": "4:22.12.3-1",
    "plasma-workspace-wallpapers": "4:5.27.5-2",
    "stellarium-data": "0.22.2-1",
    "tuxpaint-stamps-default": "2022.06.04-1",
}
MEADOW_SHORT_SIDE = 544
MEADOW_MAX_ASPECT = 4 / 3
STAMP_LONG_SIDE = 256
HORIZON_SIZE = (256, 128)
NEBULA_SIDE = 128
NEBULA_REACH = 2.4  # half side of the square kept, in spreads of the object's light
SHARES = {"train": 0.50, "dev": 0.12, "test": 0.25, "finetune": 0.13}
SEED = 104  # of 0..299, the one whose groups miss the fewest subjects (meadow and stamps); fixed
# before any training
COLUMNS = (
    "file content group author licence package package_version source width height sha256"
).split()
DATA = Path(__file__).resolve().parent
PHOTOS = DATA / "photos"


@dataclass(frozen=True)
class Source:
    """One row of ``sources.csv``: a photograph and where it comes from."""

    content: str
    name: str
    subject: str
    series: str
    author: str
    licence: str
    package: str
    source: str

    @property
    def file(self) -> str:
        """Path of the prepared photograph, relative to ``data/photos``."""
        return f"{self.content}/{self.name}.webp"


def read_sources(path: Path) -> list[Source]:
    """Read the list of chosen photographs."""
    with path.open(newline="", encoding="utf-8") as stream:
        sources = [Source(**row) for row in csv.DictReader(stream)]
    for source in sources:  # they become folders and files
        for field in ("content", "name", "package"):
            plain_name(getattr(source, field), f"{path}, row {source.name!r}, {field}")
    return sources


def assign_groups(sources: list[Source], seed: int = SEED) -> dict[str, str]:
    """Give every photograph of one content a group; returns file -> group.

    A series is never divided. The group chosen is the one furthest below its share, counting the
    shortfall within the subject and within the whole content alike.
    """
    series = defaultdict(list)
    for source in sources:
        series[source.series].append(source)
    units = sorted(series.values(), key=lambda unit: _unit_order(unit[0], seed))
    per_subject: dict[str, Counter] = defaultdict(Counter)
    total: Counter = Counter()
    groups = {}
    for unit in units:
        counts = per_subject[unit[0].subject]
        group = max(SHARES, key=lambda g: _lack(counts, g, unit) + _lack(total, g, unit))
        counts[group] += len(unit)
        total[group] += len(unit)
        groups.update({source.file: group for source in unit})
    return groups


def _unit_order(source: Source, seed: int) -> tuple[str, str]:
    """Sort key of a series: subject, then a seeded hash of the series name."""
    text = f"{seed}:{source.content}:{source.series}"
    return source.subject, hashlib.sha256(text.encode()).hexdigest()


def _lack(counts: Counter, group: str, unit: list[Source]) -> float:
    """Photographs that ``group`` is short of once ``unit`` is counted in."""
    return SHARES[group] * (counts.total() + len(unit)) - counts[group]


def download(packages: list[str], folder: Path) -> None:
    """Download the packages into ``folder`` with apt-get."""
    names = [f"{name}={PACKAGES[name]}" for name in packages]
    subprocess.run(["apt-get", "download", *names], cwd=folder, check=True)


def unpack(packages: list[str], debs: Path, folder: Path) -> None:
    """Unpack each package's .deb file from ``debs`` into ``folder/PACKAGE``."""
    for name in packages:
        version = PACKAGES[name]
        found = sorted(debs.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"))
        if not found:
            raise FileNotFoundError(f"{debs}: no .deb file of {name} {version}")
        subprocess.run(["dpkg-deb", "-x", str(found[0]), str(folder / name)], check=True)


def open_source(source: Source, unpacked: Path) -> Image.Image:
    """Open a photograph: a plain file, a member of a Qt resource file, or an Edje file's image."""
    inner, _, member = source.source.partition(":")
    path = inside(unpacked, unpacked / source.package / inner)
    if member:
        image = Image.open(io.BytesIO(read_rcc_member(path.read_bytes(), member)))
    elif path.suffix == ".edj":
        image = largest_jpeg(path.read_bytes())
    else:
        image = Image.open(path)
    return ImageOps.exif_transpose(image)


def read_rcc_member(data: bytes, member: str) -> bytes:
    """Return one file from the bytes of a Qt binary resource file."""
    for path, content in _walk_rcc(data, *struct.unpack(">4I", data[4:20]), node=0, prefix=""):
        if path == member:
            return content
    raise KeyError(f"no {member} in the Qt resource file")


def _walk_rcc(
    data: bytes, version: int, tree: int, blobs: int, names: int, node: int, prefix: str
) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of every file below a node of a Qt resource tree."""
    at = tree + node * (22 if version >= 2 else 14)
    name_at, flags, first, second = struct.unpack(">IHII", data[at : at + 14])
    if node:
        length = struct.unpack(">H", data[names + name_at : names + name_at + 2])[0]
        start = names + name_at + 6
        prefix = f"{prefix}/{data[start : start + 2 * length].decode('utf-16-be')}"
    if flags & 2:  # a folder: number of children, first child
        for child in range(second, second + first):
            yield from _walk_rcc(data, version, tree, blobs, names, child, prefix)
        return
    start = blobs + second
    length = struct.unpack(">I", data[start : start + 4])[0]
    content = data[start + 4 : start + 4 + length]
    yield prefix, zlib.decompress(content[4:]) if flags & 1 else content


def largest_jpeg(data: bytes) -> Image.Image:
    """Return the largest JPEG embedded in the bytes of an Edje file."""
    best = None
    start = data.find(b"\xff\xd8\xff")
    while start >= 0:
        try:
            image = Image.open(io.BytesIO(data[start:]))
        except OSError:
            image = None
        if image and (best is None or image.width * image.height > best.width * best.height):
            best = image
        start = data.find(b"\xff\xd8\xff", start + 3)
    if best is None:
        raise ValueError("no JPEG in the Edje file")
    return best


def prepare_meadow(image: Image.Image) -> Image.Image:
    """Crop the middle to at most 4:3 and bring the short side to ``MEADOW_SHORT_SIDE``."""
    image = image.convert("RGB")
    width, height = image.size
    longest = round(min(width, height) * MEADOW_MAX_ASPECT)
    width, height = min(width, longest), min(height, longest)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    image = image.crop((left, top, left + width, top + height))
    scale = MEADOW_SHORT_SIDE / min(image.size)
    if scale > 1:
        raise ValueError(f"short side {min(image.size)} is under {MEADOW_SHORT_SIDE}")
    return image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)


def prepare_stamp(image: Image.Image) -> Image.Image:
    """Trim to what is not transparent; the long side becomes at most ``STAMP_LONG_SIDE``."""
    image = image.convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox())
    scale = STAMP_LONG_SIDE / max(image.size)
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.size]
        image = image.resize(size, Image.Resampling.LANCZOS)
    return clear_hidden(image)


def prepare_horizon(image: Image.Image) -> Image.Image:
    """Downsize a panorama, twice as wide as high, to ``HORIZON_SIZE``."""
    return image.convert("RGB").resize(HORIZON_SIZE, Image.Resampling.LANCZOS)


def prepare_nebula(image: Image.Image) -> Image.Image:
    """Cut the square round the brightest object and downsize it to ``NEBULA_SIDE``."""
    image = image.convert("RGB")
    size = (NEBULA_SIDE, NEBULA_SIDE)
    return image.resize(size, Image.Resampling.LANCZOS, box=object_box(image))


def object_box(image: Image.Image) -> tuple[int, int, int, int]:
    """The square round the brightest object: ``NEBULA_REACH`` spreads of its light each way.

    It is never smaller than ``NEBULA_SIDE``, so that nothing is enlarged, and lies in the image.
    """
    cells = 32
    grey = image.convert("L").resize((cells, cells), Image.Resampling.BOX)
    light = np.asarray(grey, np.float64)
    light -= np.median(light)
    light[light < light.max() / 4] = 0
    y, x = np.mgrid[:cells, :cells] + 0.5
    x, y = x * image.width / cells, y * image.height / cells
    middle_x, middle_y = ((light * axis).sum() / light.sum() for axis in (x, y))
    variance = (light * ((x - middle_x) ** 2 + (y - middle_y) ** 2)).sum() / light.sum()
    side = round(2 * NEBULA_REACH * np.sqrt(variance))
    side = min(max(side, NEBULA_SIDE), *image.size)
    left = int(np.clip(round(middle_x - side / 2), 0, image.width - side))
    top = int(np.clip(round(middle_y - side / 2), 0, image.height - side))
    return left, top, left + side, top + side


def clear_hidden(image: Image.Image) -> Image.Image:
    """Set the colour of fully transparent pixels to black, so that equal images are equal."""
    pixels = np.array(image)
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels)


def prepare(source: Source, unpacked: Path) -> Image.Image:
    """Open a photograph and bring it to its final pixels."""
    steps = {
        "meadow": prepare_meadow,
        "stamps": prepare_stamp,
        "horizons": prepare_horizon,
        "nebulae": prepare_nebula,
    }
    try:
        return steps[source.content](open_source(source, unpacked))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{source.package}: {source.source}: {error}") from error


def write_photo(source: Source, unpacked: Path, group: str) -> dict[str, str]:
    """Write one photograph as lossless WebP and return its row of ``photos.csv``."""
    image = prepare(source, unpacked)
    with atomic_path(inside(PHOTOS, PHOTOS / source.file)) as temporary:
        image.save(temporary, "WEBP", lossless=True, method=6, quality=80)
    return facts(source, image, group)


def facts(source: Source, image: Image.Image, group: str) -> dict[str, str]:
    """The row of ``photos.csv`` of one photograph, its file being written."""
    return {
        "file": source.file,
        "content": source.content,
        "group": group,
        "author": source.author,
        "licence": source.licence,
        "package": source.package,
        "package_version": PACKAGES[source.package],
        "source": source.source,
        "width": str(image.width),
        "height": str(image.height),
        "sha256": hashlib.sha256((PHOTOS / source.file).read_bytes()).hexdigest(),
    }


def all_groups(sources: list[Source]) -> dict[str, str]:
    """Groups of all photographs; each content is divided on its own."""
    contents = sorted({source.content for source in sources})
    groups: dict[str, str] = {}
    for content in contents:
        groups |= assign_groups([source for source in sources if source.content == content])
    return groups


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Write ``photos.csv``."""
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def licences_text(sources: list[Source]) -> str:
    """The text of ``LICENSES.md``: one table row a photograph."""
    packages = ", ".join(f"{name} {version}" for name, version in PACKAGES.items())
    lines = [
        "# Licences of the photographs",
        "",
        f"The photographs in `photos/` come from packages of Debian {DEBIAN_RELEASE}: {packages}.",
        "They were cropped and downsized by `prepare_photos.py`, nothing else was changed.",
        "Authors and licences are those that the package states: Debian's copyright file, the",
        "README beside the pictures (gcompris-qt-data), the metadata of each wallpaper",
        "(plasma-workspace-wallpapers) or puzzle (palapeli-data), the change log",
        "(tuxpaint-stamps-default), the list of credits (CREDITS.md of stellarium-data; pictures",
        "of authors who have no licence there were left out). Where these name no",
        "photographer, the author column names the project or the copyright holder of the",
        "package. Each photograph stays under its own licence.",
        "",
        "| file | author | licence | source package |",
        "|---|---|---|---|",
    ]
    for source in sources:
        cells = (source.file, source.author, source.licence, source.package)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def build(sources: list[Source], unpacked: Path, contents: list[str]) -> None:
    """Write the photographs of ``contents``, their rows of ``photos.csv``, and ``LICENSES.md``."""
    groups = all_groups(sources)
    chosen = [source for source in sources if source.content in contents]
    files = [source.file for source in chosen]
    with ProcessPoolExecutor() as pool:
        written = list(pool.map(write_photo, chosen, repeat(unpacked), map(groups.get, files)))
    kept = [row for row in read_photos() if row["content"] not in contents]
    rows = {row["file"]: row for row in (*kept, *written)}
    write_csv(PHOTOS / "photos.csv", [rows[s.file] for s in sources if s.file in rows])
    with atomic_path(DATA / "LICENSES.md") as temporary:
        temporary.write_text(licences_text(sources), encoding="utf-8")


def read_photos() -> list[dict[str, str]]:
    """Rows of ``photos.csv``, none where it is not yet written."""
    path = PHOTOS / "photos.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def check(sources: list[Source], unpacked: Path, contents: list[str]) -> list[str]:
    """Compare what is committed with the packages of ``contents``; returns the differences."""
    rows = {row["file"]: row for row in read_photos()}
    committed = {path.relative_to(PHOTOS).as_posix() for path in PHOTOS.glob("*/*.webp")}
    expected = {source.file for source in sources}
    everywhere = committed & expected & set(rows)
    wrong = [
        f"{name}: not in all of the folder, photos.csv and sources.csv"
        for name in sorted((committed | expected | set(rows)) - everywhere)
    ]
    if (DATA / "LICENSES.md").read_text(encoding="utf-8") != licences_text(sources):
        wrong.append("LICENSES.md: differs from sources.csv")
    groups = all_groups(sources)
    for source in sources:
        if source.file in everywhere and source.content in contents:
            wrong += check_photo(source, unpacked, rows[source.file], groups[source.file])
    return wrong


def check_photo(source: Source, unpacked: Path, row: dict[str, str], group: str) -> list[str]:
    """Compare one committed photograph and its row with the package; returns the differences."""
    image = prepare(source, unpacked)
    with Image.open(PHOTOS / source.file) as stream:
        committed = stream.convert(image.mode)
    if committed.mode == "RGBA":
        committed = clear_hidden(committed)
    wrong = []
    if not np.array_equal(np.array(image), np.array(committed)):
        wrong.append(f"{source.file}: pixels differ")
    wrong += [
        f"{source.file}: {name} is {row[name]!r} in photos.csv, should be {value!r}"
        for name, value in facts(source, image, group).items()
        if row[name] != value
    ]
    return wrong


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--debs", type=Path, help="folder with the .deb files (else: download)")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    parser.add_argument(
        "--content", nargs="+", choices=CONTENTS, default=CONTENTS,
        help="which photographs to write or to check (else: all)",
    )  # fmt: skip
    args = parser.parse_args()
    sources = read_sources(PHOTOS / "sources.csv")
    packages = sorted({s.package for s in sources if s.content in args.content})
    with tempfile.TemporaryDirectory() as work:
        debs = args.debs
        if debs is None:
            debs = Path(work) / "debs"
            debs.mkdir()
            download(packages, debs)
        unpacked = Path(work) / "unpacked"
        unpacked.mkdir()
        unpack(packages, debs, unpacked)
        if not args.check:
            build(sources, unpacked, args.content)
            return 0
        wrong = check(sources, unpacked, args.content)
    for line in wrong:
        print(line, file=sys.stderr)
    checked = sum(source.content in args.content for source in sources)
    print(f"{checked} photographs checked, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
