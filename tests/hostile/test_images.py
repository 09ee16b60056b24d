"""Bad folders, files and labels: each error names the file, the value and what would be right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import photograph, write_images

from dnadet_lib.data import ImageSet, list_images, load_images
from dnadet_lib.evaluation.predictions import predict
from dnadet_lib.images.lists import read_annotation
from dnadet_lib.images.reading import read_image
from dnadet_lib.presets import get_preset
from dnadet_lib.stages.stage_2 import run_training


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder with one folder"):
        ImageSet.from_folders(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder holds no image"):
        list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected a folder with one folder per class"):
        ImageSet.from_folders(tmp_path)
    (tmp_path / "ProGAN").mkdir()
    with pytest.raises(FileNotFoundError, match="ProGAN: the folder holds no image"):
        ImageSet.from_folders(tmp_path)


def test_glob_that_matches_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\*\.jpg: no such file or folder, and no file"):
        list_images(str(tmp_path / "*.jpg"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png 1\n", r"line 1: 'a\.png 1' is not an image path, a tab and a class number"),
        ("a.png\t1\nb.png\tcat\n", r"line 2: 'b\.png\\tcat'"),
        ("a.png\t-1\n", "line 1"),
        ("a.png\t1.5\n", "line 1"),
        ("\n \n", "the annotation file is empty"),
    ],
)
def test_annotation_file_with_a_fault(tmp_path, text, message):
    file = tmp_path / "seed.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"seed.txt.*{message}"):
        read_annotation(file)


def test_annotation_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.txt: no such annotation file"):
        read_annotation(tmp_path / "none.txt")


def test_annotated_image_that_is_missing(tmp_path):
    file = tmp_path / "seed.txt"
    file.write_text("gone.png\t0\n")
    images = ImageSet.from_annotation(file, ["Real"])
    with pytest.raises(OSError, match=r"gone\.png: cannot be read as an image \(no such file\)"):
        load_images(images.paths)


@pytest.mark.parametrize("label", [5, -1])
def test_label_outside_the_classes(label):
    with pytest.raises(ValueError, match=rf"a\.png: label {label} is outside .* 0 to 1 \(x, y\)"):
        ImageSet([Path("a.png")], np.array([label]), ("x", "y"))


def test_annotation_with_a_label_outside_the_classes(tmp_path):
    file = tmp_path / "seed.txt"
    file.write_text("a.png\t7\n")
    with pytest.raises(ValueError, match="label 7 is outside the classes 0 to 1"):
        ImageSet.from_annotation(file, ["Real", "ProGAN"])


def test_as_many_labels_as_paths():
    with pytest.raises(ValueError, match="1 paths, but 2 labels"):
        ImageSet([Path("a.png")], np.array([0, 0]), ("x",))


def test_class_without_an_image(tmp_path, rng):
    paths = write_images(tmp_path, 2, rng)
    images = ImageSet(paths, np.array([0, 2]), ("Real", "ProGAN", "SNGAN"))
    with pytest.raises(ValueError, match="class 'ProGAN' has no image: give some, or leave"):
        run_training(get_preset("smoke"), images, images)


def test_training_on_images_smaller_than_a_patch(tmp_path, rng):
    paths = write_images(tmp_path, 2, rng, side=20)
    images = ImageSet(paths, np.array([0, 1]), ("Real", "ProGAN"))
    with pytest.raises(ValueError, match="image is 20x20 pixels, smaller than a patch of 32x32"):
        run_training(get_preset("smoke"), images, images)


def test_training_on_images_of_two_sizes(tmp_path, rng):
    (small,) = write_images(tmp_path / "small", 1, rng, side=40)
    (large,) = write_images(tmp_path / "large", 1, rng, side=64)
    images = ImageSet([small, large], np.array([0, 1]), ("Real", "ProGAN"))
    message = r"large.0\.png: 64x64 pixels, but .*small.0\.png is 40x40"
    with pytest.raises(ValueError, match=message):
        run_training(get_preset("smoke"), images, images)


def test_image_smaller_than_a_patch_is_named(tmp_path, rng, tiny_model):
    (path,) = write_images(tmp_path, 1, rng, side=31)
    message = r"0\.png: image is 31x31 pixels, smaller than a patch of 32x32"
    with pytest.raises(ValueError, match=message):
        tiny_model.attribute([path])
    with pytest.raises(ValueError, match=message):
        predict(tiny_model, ImageSet([path], np.array([0]), tiny_model.classes))


def bad_files(folder: Path) -> dict[str, Path]:
    """A file of each kind that cannot be read as an image."""
    good = folder / "good.png"
    Image.fromarray(photograph(np.random.default_rng(0), 64, 64)).save(good)
    Image.open(good).save(folder / "good.jpg")
    files = {
        "truncated.png": good.read_bytes()[:2000],
        "truncated.jpg": (folder / "good.jpg").read_bytes()[:900],
        "text.png": b"this is no image\n",
        "empty.png": b"",
        "html.jpg": b"<!doctype html><title>404</title>",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in files}


NAMES = ["truncated.png", "truncated.jpg", "text.png", "empty.png", "html.jpg"]


@pytest.mark.parametrize("name", NAMES)
def test_file_that_is_no_image(tmp_path, name, tiny_model):
    path = bad_files(tmp_path)[name]
    message = f"{name}: cannot be read as an image"
    with pytest.raises(OSError, match=message):
        read_image(path)
    with pytest.raises(OSError, match=message):
        tiny_model.attribute([tmp_path / "good.png", path])
    with pytest.raises(OSError, match=message):
        load_images([tmp_path / "good.png", path])


def test_cache_is_not_left_half_filled(tmp_path, monkeypatch):
    monkeypatch.setattr("dnadet_lib.data.MEMORY_LIMIT", 0)
    path = bad_files(tmp_path)["truncated.png"]
    with pytest.raises(OSError, match="truncated.png"):
        load_images([tmp_path / "good.png", path], tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_folder_given_where_an_image_is_wanted(tmp_path, tiny_model):
    with pytest.raises(OSError, match="cannot be read as an image"):
        tiny_model.attribute([tmp_path])


def test_no_images(tiny_model):
    with pytest.raises(ValueError, match="no images given"):
        tiny_model.attribute([])
    with pytest.raises(ValueError, match="no images given"):
        load_images([])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((1, 64, 64, 3), np.uint8),
    ],
    ids=["grey", "alpha", "float", "batch"],
)
def test_array_that_is_no_rgb_image(tiny_model, array):
    with pytest.raises(ValueError, match=r"array of .*: expected uint8 \(H, W, 3\)"):
        tiny_model.attribute([array])
