"""The set-up abroad: images from zips, in their own formats, beside the zoo's."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import photograph

from dnadet_lib import zoo
from dnadet_lib.plumbing.files import sha256_of
from dnadet_lib.zoo.setups import load_setup

ROWS = (("d_a", "MMDGAN", "dev", "PNG", "png"), ("d_b", "MMDGAN", "test", "JPEG", "jpg"),
        ("p_a", "ProGAN", "test", "WEBP", "webp"))  # fmt: skip


def write_zip(path: Path, kind: str, suffix: str, count: int, seed: int, side: int = 64) -> None:
    rng = np.random.default_rng(seed)
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(count):
            buffer = io.BytesIO()
            Image.fromarray(photograph(rng, side, side)).save(buffer, kind)
            archive.writestr(f"{index:05d}.{suffix}", buffer.getvalue())


def write_abroad(folder: Path, **changes: str) -> None:
    """Three generators of three images each; changes are made to the first row."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (name, architecture, role, kind, suffix) in enumerate(ROWS):
        write_zip(folder / f"{name}.zip", kind, suffix, 3, number, side=64 * (1 + number // 2))
        digest = sha256_of(folder / f"{name}.zip")
        rows.append({"name": name, "architecture": architecture, "role": role, "images": "3",
                     "sha256": digest})  # fmt: skip
    rows[0] |= changes
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def abroad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DNADET_DATA", str(tmp_path / "data"))
    write_abroad(tmp_path / "data" / "abroad")
    return tmp_path / "images"


def unpacked(root: Path, count: int = 3) -> None:
    for generator in zoo.read_abroad():
        zoo.render_abroad(generator, generator.role, count, root)


def test_images_come_out_as_they_went_in(abroad: Path):
    unpacked(abroad)
    images = load_setup("abroad", "test", abroad)
    assert images.classes == zoo.CLASSES
    assert [images.classes[k] for k in images.labels] == ["MMDGAN"] * 3 + ["ProGAN"] * 3
    assert images.sources == ["d_b"] * 3 + ["p_a"] * 3
    with zipfile.ZipFile(abroad.parent / "data" / "abroad" / "p_a.zip") as archive:
        assert [archive.read(p.name) for p in images.paths[3:]] == [
            archive.read(name) for name in sorted(archive.namelist())
        ] == [p.read_bytes() for p in images.paths[3:]]  # fmt: skip
    assert {Image.open(path).size for path in images.paths[3:]} == {(128, 128)}
    assert load_setup("abroad", "dev", abroad).sources == ["d_a"] * 3


def test_a_second_render_keeps_what_is_there_and_adds_what_is_missing(abroad: Path):
    unpacked(abroad, 2)
    first = load_setup("abroad", "dev", abroad).paths
    times = [path.stat().st_mtime_ns for path in first]
    unpacked(abroad, 3)
    again = load_setup("abroad", "dev", abroad).paths
    assert again[:2] == first and len(again) == 3
    assert [path.stat().st_mtime_ns for path in first] == times


def test_images_of_an_earlier_zip_go_and_other_files_stay(abroad: Path):
    unpacked(abroad)
    folder = load_setup("abroad", "test", abroad).paths[0].parent
    before = {p.name: p.read_bytes() for p in folder.glob("*.jpg")}
    (folder / "notes.txt").write_text("mine")
    data = abroad.parent / "data" / "abroad"
    write_zip(data / "d_b.zip", "JPEG", "jpg", 3, seed=9)
    rows = (data / "manifest.csv").read_text().splitlines()
    rows[2] = f"d_b,MMDGAN,test,3,{sha256_of(data / 'd_b.zip')}"
    (data / "manifest.csv").write_text("\n".join(rows) + "\n")
    unpacked(abroad)
    after = {p.name: p.read_bytes() for p in folder.glob("*.jpg")}
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "StyleGAN2"}, "architecture: 'StyleGAN2' is none of ProGAN, "),
        ({"role": "train"}, "role: 'train' is none of dev, test"),
        ({"images": "few"}, "images: 'few' is no number"),
        ({"name": "../d_a"}, "row '../d_a', name"),
    ],
)
def test_a_wrong_row_is_named(abroad: Path, changes: dict[str, str], message: str):
    write_abroad(abroad.parent / "data" / "abroad", **changes)
    with pytest.raises(ValueError, match=message):
        zoo.read_abroad()


def test_a_zip_that_is_missing_or_changed_is_named(abroad: Path):
    data = abroad.parent / "data" / "abroad"
    write_zip(data / "d_a.zip", "PNG", "png", 3, seed=8)
    (data / "d_b.zip").unlink()
    changed, gone, _ = zoo.read_abroad()
    with pytest.raises(ValueError, match=r"'d_a', sha256: .*d_a.zip has .*, the manifest says"):
        zoo.render_abroad(changed, "dev", 3, abroad)
    with pytest.raises(FileNotFoundError, match=r"'d_b': .*d_b.zip is missing"):
        zoo.render_abroad(gone, "test", 3, abroad)


def test_a_zip_writes_nothing_outside_its_folder(abroad: Path):
    data = abroad.parent / "data" / "abroad"
    with zipfile.ZipFile(data / "d_a.zip", "w") as archive:
        for name in ("../../../../evil.png", "00001.png", "00002.png"):
            archive.writestr(name, b"x")
    rows = (data / "manifest.csv").read_text().splitlines()
    rows[1] = f"d_a,MMDGAN,dev,3,{sha256_of(data / 'd_a.zip')}"
    (data / "manifest.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(ValueError, match="evil.png"):
        zoo.render_abroad(zoo.read_abroad()[0], "dev", 3, abroad)
    assert not list(abroad.parent.rglob("evil.png"))


def test_without_a_manifest_there_is_no_setup_abroad(abroad: Path):
    (abroad.parent / "data" / "abroad" / "manifest.csv").unlink()
    assert zoo.read_abroad() == []
    with pytest.raises(ValueError, match="set-up 'abroad': no generator with the role 'test'"):
        load_setup("abroad", "test", abroad)
