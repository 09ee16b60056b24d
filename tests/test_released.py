"""The paper's released data set, in miniature: what is there, lists, training, the set-ups."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from support import write_images, write_released_tree

from dnadet_lib.cli import main
from dnadet_lib.data import ImageSet
from dnadet_lib.images.lists import read_list, write_list
from dnadet_lib.released.check import Folder, check_setup
from dnadet_lib.released.tree import CLASSES, FOLDERS, SETUPS, WILD_CLASSES
from dnadet_lib.zoo import manifest

CROSS = ("cross_seed", "cross_loss", "cross_finetune", "cross_dataset")
SEED = "GANs/ProGAN/multiseed_celeba/celeba_align_png_cropped_seed_v"


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A released tree with ten images in each folder; not to be written to."""
    root = tmp_path_factory.mktemp("tree") / "dataset"
    write_released_tree(root)
    return root


@pytest.fixture(scope="module")
def lists(tree, tmp_path_factory) -> Path:
    """Its lists."""
    out = tmp_path_factory.mktemp("lists")
    assert main(["data", "lists", str(tree), "--out", str(out)]) == 0
    return out


def listed(out: Path, mode: str, split: str = "test", setup: str = "") -> ImageSet:
    return ImageSet.from_annotation(out / f"{mode}_{split}/annotations/{mode}_{split}{setup}.txt")


def test_the_classes_are_the_librarys():
    assert CLASSES == manifest.CLASSES


def test_check_says_what_is_there(tree, capsys):
    assert main(["data", "check", str(tree)]) == 1
    out = capsys.readouterr().out
    assert f"{SEED}3: 10 images, 16x16, not 128x128 alone as released\n" in out
    assert "celeba, cross_seed: 90 images; fewer than released: " in out
    assert "10 of 2,000" in out and "and 6 more" in out


def test_check_in_json(tree, capsys):
    assert main(["data", "check", str(tree), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert len(report["folders"]) == len(FOLDERS) == len({f["folder"] for f in report["folders"]})
    by_name = {(s["mode"], s["name"]): s for s in report["setups"]}
    assert [name for mode, name in by_name if mode == "lsun"] == ["closed_set", *CROSS]
    assert by_name["in_the_wild", "closed_set"]["images"] == 180  # of 18 folders
    assert report["lists"] == []


def test_what_a_set_up_lacks_is_named(tmp_path, rng, capsys):
    write_images(tmp_path / "real/lsun/bedroom", 3, rng, 128)
    Image.new("RGB", (64, 32)).save(tmp_path / "real/lsun/bedroom/odd.png")
    (tmp_path / "real/lsun/bedroom/cut.png").write_bytes(b"\x89PNG")
    file = tmp_path / "celeba_test/annotations/celeba_test.txt"
    image = tmp_path / "real/lsun/bedroom/0.png"
    write_list(file, [image, image, tmp_path / "gone.png"], [0, 0, 1], CLASSES)
    assert main(["data", "check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "real/lsun/bedroom: 5 images, 128x128 (3), cannot be read (1), 64x32 (1), not 128x128 alone" in out
    assert "GANs/SNGAN/ft_old_crop: not there" in out
    assert "lsun, closed_set: 5 images; lacks 4 folders: GANs/ProGAN/multiseed_lsun/" in out
    assert "celeba_test.txt: 3 lines; 1 images are not there; 1 lines repeat an image" in out
    assert main(["data", "lists", str(tmp_path), "--out", str(tmp_path / "lists")]) == 2
    assert "no set-up has all of its folders" in capsys.readouterr().err


def test_a_whole_set_up_is_complete():
    (setup,) = (s for s in SETUPS if (s.mode, s.name) == ("celeba", "closed_set"))
    whole = {s.folder: Folder(s.folder, 128, [Path("x")] * 20_000) for s in setup.sources}
    assert check_setup(setup, whole).text() == "celeba, closed_set: 100,000 images; complete"


def test_a_folder_without_the_tree_is_refused(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "give the folder in which real/ and GANs/ lie" in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "--out goes with lists" in capsys.readouterr().err


@pytest.mark.parametrize(("mode", "folders"), [("celeba", 5), ("lsun", 5), ("in_the_wild", 18)])
def test_the_closed_set_is_split_folder_by_folder(lists, mode, folders):
    parts = {split: listed(lists, mode, split) for split in ("train", "val", "test")}
    for split, share in (("train", 8), ("val", 1), ("test", 1)):
        assert set(Counter(parts[split].sources).values()) == {share}, split
        assert len(set(parts[split].sources)) == folders
        assert parts[split].classes == (WILD_CLASSES if mode == "in_the_wild" else CLASSES)
    every = [path for images in parts.values() for path in images.paths]
    assert len(set(every)) == len(every) == 10 * folders


@pytest.mark.parametrize(
    ("mode", "setup", "labels"),
    [
        ("celeba", "_cross_seed", {1: 90}), ("lsun", "_cross_seed", {1: 90}),
        ("celeba", "_cross_loss", {2: 10, 4: 10}),
        ("lsun", "_cross_finetune", {1: 10, 2: 10, 3: 10, 4: 10}),
        ("celeba", "_cross_dataset", dict.fromkeys(range(5), 10)),
    ],
)  # fmt: skip
def test_a_cross_list_has_each_folder_with_the_class_it_counts_as(lists, mode, setup, labels):
    images = listed(lists, mode, setup=setup)
    assert Counter(images.labels.tolist()) == labels
    assert set(Counter(images.sources).values()) == {10}
    assert all(source in path.as_posix() for source, path in zip(images.sources, images.paths,
                                                                 strict=True))  # fmt: skip


def test_in_the_wild_tests_contents_that_were_not_trained_on(lists):
    images = listed(lists, "in_the_wild", setup="_cross_dataset")
    trained = set(listed(lists, "in_the_wild", "train").sources)
    assert not trained & set(images.sources)
    assert {*trained, *images.sources} <= set(FOLDERS)
    names = {images.classes[k] for k in images.labels}
    assert names == set(WILD_CLASSES)


def test_lists_follow_from_seed_and_tree(tree, lists, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    assert main(["data", "lists", str(tree), "--out", str(again), "-q"]) == 0
    command = ["data", "lists", str(tree), "--out", str(other), "--modes", "celeba", "-q"]
    assert main([*command, "--seed", "1"]) == 0
    name = Path("celeba_train/annotations/celeba_train.txt")
    assert (again / name).read_bytes() == (lists / name).read_bytes()
    drawn = [set(read_list(out / name).paths) for out in (other, lists)]
    assert drawn[0] != drawn[1] and len(drawn[0]) == 40
    assert not (other / "lsun_train").exists()


def test_the_releases_own_lists_repeat_one_seed(tree, tmp_path, capsys):
    out = tmp_path / "lists"
    assert main(["data", "lists", str(tree), "--out", str(out), "--release-lists"]) == 0
    seeds = read_list(out / "celeba_test/annotations/celeba_test_cross_seed.txt")
    assert Counter(path.parent.as_posix() for path in seeds.paths) == {f"{tree}/{SEED}1": 90}
    assert not seeds.columns  # a line is a path, a tab and a label, as released
    splits = [listed(out, "celeba", split) for split in ("train", "val", "test")]
    assert [Counter(images.labels.tolist()) for images in splits] == [
        dict.fromkeys(range(5), count) for count in (8, 1, 1)
    ]
    assert len({path for images in splits for path in images.paths}) == 50


def test_an_image_that_a_list_cannot_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a list cannot name this image"):
        write_list(tmp_path / "l.txt", [tmp_path / "a\tb.png"], [0], ["a"])
    assert not (tmp_path / "l.txt").exists()
