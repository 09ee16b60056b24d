"""The paper's released data set, in miniature: what is there, lists, training, the set-ups."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import released_state_dict, write_images, write_released_tree

from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.cli import main
from dnadet_lib.data import ImageSet, list_images, load_images
from dnadet_lib.images.kept import ImageFiles
from dnadet_lib.images.lists import read_list, write_list
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet
from dnadet_lib.presets import (
    Preset,
    paper_celeba,
    paper_lsun,
    paper_pretrain,
    paper_wild,
    smoke,
)
from dnadet_lib.released.check import Folder, check_setup
from dnadet_lib.released.tree import CLASSES, FOLDERS, REAL, SETUPS, WILD_CLASSES
from dnadet_lib.stages.batches import TransformationBatches
from dnadet_lib.stages.stage_1 import TransformationSet, build_model, predict_transformations
from dnadet_lib.stages.stage_2 import run_training
from dnadet_lib.training import fit
from dnadet_lib.transforms import image_transformations
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
    out, said = capsys.readouterr()
    assert "denied" not in said  # a folder that is not there is no closed one
    assert "bedroom: 5 images, 128x128 (3), cannot be read (1), 64x32 (1), not 128x128 al" in out
    assert "GANs/SNGAN/ft_old_crop: not there" in out
    assert "lsun, closed_set: 5 images; lacks 4 folders: GANs/ProGAN/multiseed_lsun/" in out
    assert "celeba_test.txt: 3 lines; 1 images are not there (paths start from" in out
    assert "where you work); 1 lines repeat an image" in out
    assert main(["data", "lists", str(tmp_path), "--out", str(tmp_path / "lists")]) == 2
    assert "no set-up has all of its folders" in capsys.readouterr().err


def test_a_whole_set_up_is_complete():
    (setup,) = (s for s in SETUPS if (s.mode, s.name) == ("celeba", "closed_set"))
    whole = {s.folder: Folder(s.folder, 128, [Path("x")] * 20_000) for s in setup.sources}
    assert check_setup(setup, whole).text() == "celeba, closed_set: 100,000 images; complete"


def test_a_folder_without_the_tree_is_refused(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "give the folder in which real/ and GANs/ lie" in line
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


def small(preset: Preset, **fields: object) -> Preset:
    """The preset on images of an eighth of their size, with few patches, steps and channels."""
    spec = preset.input
    first = spec.resize_first and spec.resize_first // 8
    spec = replace(spec, resize_first=first, resize=64, patch=32)
    return replace(preset, width=8, input=spec, patches=2, epochs=1, **fields)


@pytest.fixture(scope="module")
def stage_1(tree) -> DNADet:
    """The paper's stage 1 on the real images of both contents."""
    preset = small(paper_pretrain, items=8, transform_size=16, steps_per_epoch=3)
    photographs = load_images([p for own in REAL.values() for p in list_images(tree / own)])
    dev = TransformationSet(photographs[:4], np.arange(4))
    names = tuple(t.name for t in image_transformations(16))
    model = build_model(names, preset, 0)
    history = fit(
        model, TransformationBatches(photographs, preset),
        lambda model: (dev.labels, predict_transformations(model, dev)), preset, seed=0,
    )  # fmt: skip
    assert len(model.classes) == 170 and np.isfinite(history[0]["contrast"])
    return model


@pytest.mark.parametrize("preset", [paper_celeba, paper_lsun], ids=lambda preset: preset.name)
def test_the_papers_presets_train_and_all_five_set_ups_are_measured(
    preset, stage_1, lists, tmp_path, capsys
):
    mode = preset.name.removeprefix("paper_")
    train, dev = (listed(lists, mode, split) for split in ("train", "val"))
    own = small(preset, items=4)
    model, history = run_training(own, train, dev, pretrained=stage_1, folder=tmp_path)
    assert history[0]["classification"] > 0 and model.classes == CLASSES
    names = [f"{mode}_test{name}" for name in ("", *(f"_{own}" for own in CROSS))]
    tests = sorted(map(str, lists.glob(f"{mode}_test/annotations/{mode}_test*.txt")))
    capsys.readouterr()
    command = ["evaluate", "--model", str(tmp_path / "model.safetensors"), "--json", "--test"]
    assert main([*command, *tests]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    found = {r["setup"]: (r["images"], r["generators"]) for r in rows if r["metric"] == "accuracy"}
    sizes = [(5, 5), (90, 9), (20, 2), (40, 4), (50, 5)]
    assert found == dict(zip(names, sizes, strict=True))
    own_figure = re.compile(r"accuracy GANs/ProGAN/multiseed_.*_seed_v[1-9]")
    of_seeds = {r["metric"] for r in rows if r["setup"] == f"{mode}_test_cross_seed"}
    assert sum(bool(own_figure.fullmatch(metric)) for metric in of_seeds) == 9


def test_in_the_wild_trains_on_a_list_of_mixed_sizes(lists, tmp_path, capsys):
    train, dev = (listed(lists, "in_the_wild", split) for split in ("train", "val"))
    sizes = {Image.open(path).size for path in train.paths}
    assert sizes == {(16, 16), (32, 32), (128, 128)}
    assert small(paper_wild).input.resize_first == 16
    model, history = run_training(small(paper_wild, items=2), train, dev, folder=tmp_path)
    assert model.classes == WILD_CLASSES and np.isfinite(history[0]["classification"])
    cross = lists / "in_the_wild_test/annotations/in_the_wild_test_cross_dataset.txt"
    capsys.readouterr()
    command = ["evaluate", "--model", str(tmp_path / "model.safetensors"), "--json"]
    assert main([*command, "--test", str(cross)]) == 0
    rows = {r["metric"]: r for r in json.loads(capsys.readouterr().out)["rows"]}
    assert {f"recall {name}" for name in WILD_CLASSES} <= set(rows)
    with pytest.raises(ValueError, match="training needs images of one size .* or a preset that"):
        run_training(replace(smoke, input=replace(smoke.input, patch=16)), train, dev)


def test_a_checkpoint_in_the_released_format_comes_back_exactly(lists, tmp_path, capsys):
    model = build_model(CLASSES, paper_celeba, 0).eval()
    state = model.state_dict()
    assert list(state) == list(released_state_dict())
    torch.save(state, tmp_path / "model.pth")
    test = lists / "celeba_test/annotations/celeba_test.txt"
    again = load_model(tmp_path / "model.pth", CLASSES)
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
    assert (again.input, again.classes) == (paper_celeba.input, CLASSES)
    command = ["evaluate", "--model", str(tmp_path / "model.pth"), "--test", str(test), "--json"]
    assert main(command) == 0  # the names of the classes lie beside the list
    confusion = json.loads(capsys.readouterr().out)["sets"]["celeba_test"]["confusion"]
    assert list(confusion) == list(CLASSES) == list(confusion["Real"])


def test_training_is_the_same_where_not_all_images_can_be_kept(lists, tmp_path, monkeypatch):
    train, dev = (listed(lists, "celeba", split) for split in ("train", "val"))
    preset = replace(small(paper_celeba, items=4), epochs=2)
    kept, history = run_training(preset, train, dev)
    monkeypatch.setattr("dnadet_lib.images.kept.MEMORY_LIMIT", 3 * 16 * 16 * 3)  # of 40 and 5
    anew, other = run_training(preset, train, dev)
    assert history == other
    assert all(torch.equal(value, anew.state_dict()[k]) for k, value in kept.state_dict().items())


def test_image_files_keep_no_more_than_they_may(tree, monkeypatch):
    paths = list_images(tree / REAL["lsun"])
    monkeypatch.setattr("dnadet_lib.images.kept.MEMORY_LIMIT", 3 * 16 * 16 * 3)
    files = ImageFiles(paths)
    decoded = [read_image(path) for path in paths]
    index = np.array([7, 2, 7, 9, 0, 1])
    for _ in range(2):
        for image, number in zip(files[index], index, strict=True):
            np.testing.assert_array_equal(image, decoded[number])
    given = list(files)
    assert [n for n, image in enumerate(given) if not isinstance(image, Path)] == [2, 7, 9]
    assert [image for image in given if isinstance(image, Path)] == [
        path for n, path in enumerate(paths) if n not in (2, 7, 9)
    ]
