from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from support import photograph

from dnadet_lib.photos import CONTENTS, GROUPS, Photograph, cut_crops, load_photographs


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
