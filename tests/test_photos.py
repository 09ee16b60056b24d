from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from support import photograph

from dnadet_lib.fingerprints.residual import residuals
from dnadet_lib.zoo.photographs import (
    CONTENTS,
    CUTS,
    GROUPS,
    Photograph,
    cut_crops,
    load_photographs,
)

DATA = Path(__file__).parents[1] / "data"
SMOOTH = ("horizons", "nebulae")
ALIKE = 0.3  # unrelated photographs agree to at most 0.12 in their details


@pytest.fixture
def photographs(world) -> list[Photograph]:
    return load_photographs("meadow", "train")


def test_crops_are_deterministic(photographs):
    crops, names = cut_crops(photographs, 10, seed=3)
    again, same_names = cut_crops(photographs, 10, seed=3)
    other, _ = cut_crops(photographs, 10, seed=4)
    assert crops.shape == (10, 64, 64, 3)
    assert crops.dtype == np.uint8
    assert np.array_equal(crops, again)
    assert names == same_names
    assert not np.array_equal(crops, other)
    assert len({crop.tobytes() for crop in crops}) == 10


def test_every_photograph_gives_as_many_crops(photographs):
    _, names = cut_crops(photographs, 7)
    assert [names.count(p.name) for p in photographs] == [4, 3]


def test_a_photographs_crops_do_not_depend_on_its_company(photographs):
    both, names = cut_crops(photographs, 8, seed=1)
    alone, _ = cut_crops(photographs[1:], 4, seed=1)
    assert np.array_equal(both[[n == photographs[1].name for n in names]], alone)


def test_groups_share_no_photograph(world):
    for content in CONTENTS:
        names = [p.name for group in GROUPS for p in load_photographs(content, group)]
        assert len(names) == len(set(names)) == 8


def test_stamps_lie_on_plain_grounds_of_different_colours(world):
    crops, _ = cut_crops(load_photographs("stamps", "train"), 12)
    corners = crops[:, 0, 0].astype(int)
    assert len({tuple(c) for c in corners.tolist()}) > 8


def test_dull_crops_are_drawn_again(tmp_path, rng):
    """A photograph that is half flat: crops that show nothing are left out where they can be."""
    pixels = np.full((200, 600, 3), 90, np.uint8)
    pixels[:, 300:] = photograph(rng, 200, 300)
    Image.fromarray(pixels).save(tmp_path / "half.png")
    crops, _ = cut_crops([Photograph("half", "meadow", "train", tmp_path / "half.png")], 40)
    assert min(crop.mean(axis=2).std() for crop in crops) >= 12


def test_about_half_the_crops_are_mirrored(tmp_path):
    """On a ramp that rises to the right, a mirrored crop falls."""
    ramp = np.tile(np.linspace(0, 255, 300).astype(np.uint8)[None, :, None], (300, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    crops, _ = cut_crops([Photograph("ramp", "meadow", "train", tmp_path / "ramp.png")], 100)
    falls = np.mean(crops[:, 0, -1, 0] < crops[:, 0, 0, 0].astype(int))
    assert 0.3 < falls < 0.7


def test_missing_list_and_missing_photograph(tmp_path):
    with pytest.raises(FileNotFoundError, match="photos.csv: the list of photographs is missing"):
        load_photographs("meadow", "train", tmp_path)
    (tmp_path / "photos.csv").write_text("file,content,group\nmeadow/a.webp,meadow,train\n")
    with pytest.raises(FileNotFoundError, match="a.webp: named in photos.csv, but missing"):
        load_photographs("meadow", "train", tmp_path)
    with pytest.raises(ValueError, match="no photograph with content 'faces' and group 'train'"):
        load_photographs("faces", "train", tmp_path)


def test_horizons_stay_upright_and_nebulae_turn(rng):
    """On a picture that is light above and dark below: the sky never lies at the side."""
    falling = np.tile(np.linspace(255, 0, 128).astype(np.uint8)[:, None, None], (1, 256, 3))
    panorama, square = Image.fromarray(falling), Image.fromarray(falling[:, :128])
    for _ in range(10):
        crop = np.asarray(CUTS["horizons"](panorama, rng)).astype(int)
        assert crop[0].mean() - crop[-1].mean() > 150
    sides = set()
    for _ in range(40):
        grey = np.asarray(CUTS["nebulae"](square, rng)).mean(axis=2)
        edges = {"top": grey[0], "bottom": grey[-1], "left": grey[:, 0], "right": grey[:, -1]}
        sides.add(max(edges, key=lambda side: edges[side].mean()))
    assert sides == {"top", "bottom", "left", "right"}


def shipped(name: str) -> list[dict[str, str]]:
    with (DATA / "photos" / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_shipped_photograph_has_a_licence_and_a_group():
    rows = shipped("photos.csv")
    text = (DATA / "LICENSES.md").read_text(encoding="utf-8")
    for row in rows:
        assert row["group"] in GROUPS
        assert all(row[k] for k in ("author", "licence", "package", "package_version", "source"))
        line = "| " + " | ".join(row[k] for k in ("file", "author", "licence", "package")) + " |"
        assert line in text
    assert {row["content"] for row in rows} == set(CONTENTS)


def test_no_series_is_divided():
    groups = {row["file"]: row["group"] for row in shipped("photos.csv")}
    series: dict[tuple[str, str], set[str]] = {}
    for row in shipped("sources.csv"):
        group = groups[f"{row['content']}/{row['name']}.webp"]
        series.setdefault((row["content"], row["series"]), set()).add(group)
    assert [name for name, found in series.items() if len(found) > 1] == []


def residual_strength(content: str, group: str) -> float:
    """Root mean square of the high-pass residual, in grey levels."""
    crops, _ = cut_crops(load_photographs(content, group), 200)
    return float(np.sqrt(np.mean(residuals(crops, "high-pass") ** 2)))


@pytest.mark.parametrize("content", SMOOTH)
def test_smooth_contents_are_smooth(content):
    for group in GROUPS:
        assert 2 <= residual_strength(content, group) <= 6, group
    assert residual_strength("meadow", "train") > 9


def test_smooth_contents_are_many_and_small():
    for content in SMOOTH:
        numbers = {group: len(load_photographs(content, group)) for group in GROUPS}
        assert sum(numbers.values()) >= 120
        assert min(numbers.values()) >= 15
        assert sum(p.stat().st_size for p in (DATA / "photos" / content).iterdir()) < 12e6


def details(image: Image.Image) -> np.ndarray:
    """The signs of a photograph's fine structure, (62, 62), mean 0 and variance 1."""
    small = image.convert("RGBA").convert("L").resize((64, 64), Image.Resampling.BOX)
    grey = np.asarray(small, np.float32)
    fine = np.diff(np.diff(grey, 2, axis=0), 2, axis=1)
    fine = np.tanh(fine / (2 * np.median(np.abs(fine)) + 2))
    return (fine - fine.mean()) / fine.std()


def likeness(views: list[np.ndarray]) -> np.ndarray:
    """Agreement of details between every two photographs, the best of eight turns and mirrors."""
    flat = np.stack([view.ravel() for view in views])
    best = np.full((len(flat), len(flat)), -1.0)
    for turn in range(8):
        turned = [np.rot90(v[:, ::-1] if turn > 3 else v, turn % 4).ravel() for v in views]
        best = np.maximum(best, flat @ np.stack(turned).T / flat.shape[1])
    return best


def test_no_photograph_of_one_group_resembles_one_of_another():
    photos = [p for c in CONTENTS for g in GROUPS for p in load_photographs(c, g)]
    views = []
    for photo in photos:
        with Image.open(photo.path) as image:
            views.append(details(image))
    twins = [
        (photos[a].path.name, photos[b].path.name)
        for a, b in zip(*np.nonzero(likeness(views) > ALIKE), strict=True)
        if photos[a].group != photos[b].group
    ]
    assert twins == []


@pytest.mark.parametrize("content", SMOOTH)
def test_a_changed_copy_would_be_noticed(content, tmp_path):
    """The measure finds a copy that was mirrored, brightened and saved as JPEG."""
    for photo in load_photographs(content, "test")[:20]:
        with Image.open(photo.path) as image:
            copy = ImageEnhance.Brightness(ImageOps.mirror(image.convert("RGB"))).enhance(1.2)
            copy.save(tmp_path / "copy.jpg", quality=90)
            with Image.open(tmp_path / "copy.jpg") as other:
                assert likeness([details(image), details(other)])[0, 1] > ALIKE, photo.name
