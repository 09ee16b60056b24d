from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import photograph, write_images

from dnadet_lib.data import ImageSet, decoded_in_parts, list_images, load_images
from dnadet_lib.images.lists import read_annotation
from dnadet_lib.images.reading import read_image
from dnadet_lib.stages.batches import balanced_batches


def test_reading_gives_rgb_bytes_whatever_the_file(tmp_path, rng):
    pixels = photograph(rng, 20, 30)
    image = Image.fromarray(pixels)
    for name, made in {
        "rgb.png": image,
        "alpha.png": image.convert("RGBA"),
        "grey.png": image.convert("L"),
        "palette.png": image.convert("P"),
        "bilevel.png": image.convert("1"),
        "print.tif": image.convert("CMYK"),
        "photo.JPG": image,
        "web.webp": image,
    }.items():
        made.save(tmp_path / name)
        read = read_image(tmp_path / name)
        assert (read.shape, read.dtype) == ((20, 30, 3), np.uint8), name
    assert np.array_equal(read_image(tmp_path / "rgb.png"), pixels)


def test_a_folder_is_searched_through_and_sorted(tmp_path, rng):
    write_images(tmp_path / "b", 2, rng)
    write_images(tmp_path / "a" / "deep", 1, rng)
    (tmp_path / "notes.md").write_text("not an image")
    (tmp_path / "a" / "._0.png").write_bytes(b"what macOS leaves beside a file")
    names = [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path)]
    assert names == ["a/deep/0.png", "b/0.png", "b/1.png"]


def test_globs_and_single_files(tmp_path, rng):
    paths = write_images(tmp_path, 12, rng, 8)
    assert list_images(str(tmp_path / "1*.png")) == sorted([paths[1], paths[10], paths[11]])
    assert list_images(paths[3]) == [paths[3]]


def test_annotation_files_keep_their_order_and_find_their_images(tmp_path, rng, monkeypatch):
    write_images(tmp_path / "GANs" / "ProGAN", 2, rng)
    annotations = tmp_path / "celeba_test" / "annotations"
    annotations.mkdir(parents=True)
    file = annotations / "seed.txt"
    file.write_text("GANs/ProGAN/1.png\t1\nGANs/ProGAN/0.png\t0\n\n")

    by_root = read_annotation(file, root=tmp_path)
    assert by_root == [
        (tmp_path / "GANs/ProGAN/1.png", 1),
        (tmp_path / "GANs/ProGAN/0.png", 0),
    ]
    monkeypatch.chdir(tmp_path)  # the release's paths start from the working folder
    assert [label for _, label in read_annotation(file)] == [1, 0]
    assert all(path.is_file() for path in list_images(file))

    images = ImageSet.from_annotation(file, ["Real", "ProGAN"])
    assert images.labels.tolist() == [1, 0]
    assert images.classes == ("Real", "ProGAN")


def test_class_folders_become_classes_in_sorted_order(tmp_path, rng):
    for name, count in (("b", 2), ("a", 3)):
        write_images(tmp_path / name, count, rng, 8)
    images = ImageSet.from_folders(tmp_path)
    assert images.classes == ("a", "b")
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert [p.parent.name for p in images.paths] == ["a", "a", "a", "b", "b"]


def test_take_keeps_paths_labels_and_sources_together():
    paths = [Path(f"{i}.png") for i in range(4)]
    images = ImageSet(paths, np.array([0, 1, 0, 1]), ("a", "b"), ["p", "q", "r", "s"])
    taken = images.take(np.array([3, 0]))
    assert (taken.paths, taken.labels.tolist(), taken.sources) == (
        [paths[3], paths[0]], [1, 0], ["s", "p"],
    )  # fmt: skip


def test_classes_are_matched_by_name():
    images = ImageSet([Path(f"{i}.png") for i in range(3)], np.array([0, 2, 1]), ("a", "b", "c"))
    assert images.with_classes(("a", "b", "c")) is images
    matched = images.with_classes(("c", "x", "b", "a"))
    assert matched.labels.tolist() == [3, 0, 2]
    assert matched.classes == ("c", "x", "b", "a")
    with pytest.raises(ValueError, match="class 'c' is none of the model's: a, b;"):
        images.with_classes(("a", "b"))
    # A class without an image need not be there.
    assert images.take(np.array([0, 2])).with_classes(("b", "a")).labels.tolist() == [1, 0]


def test_memory_mapped_cache_equals_memory(tmp_path, rng, monkeypatch):
    paths = write_images(tmp_path / "images", 5, rng)
    in_memory = load_images(paths, tmp_path / "cache")
    assert not isinstance(in_memory, np.memmap)
    assert not (tmp_path / "cache").exists()

    monkeypatch.setattr("dnadet_lib.data.MEMORY_LIMIT", 0)
    mapped = load_images(paths, tmp_path / "cache")
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, in_memory)
    assert np.array_equal(in_memory[2], np.asarray(Image.open(paths[2])))


def test_cache_is_read_again_and_made_anew_when_an_image_changes(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("dnadet_lib.data.MEMORY_LIMIT", 0)
    paths = write_images(tmp_path / "images", 3, rng)
    load_images(paths, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    written = file.stat().st_mtime_ns
    load_images(paths, tmp_path / "cache")
    assert [p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()] == [written]

    other = photograph(rng, 64, 64)
    Image.fromarray(other).save(paths[1])
    os.utime(paths[1], ns=(1, 1))
    assert np.array_equal(load_images(paths, tmp_path / "cache")[1], other)


def test_cache_is_made_anew_when_a_file_is_replaced_by_one_of_its_size_and_time(
    tmp_path, rng, monkeypatch
):
    monkeypatch.setattr("dnadet_lib.data.MEMORY_LIMIT", 0)
    paths = [tmp_path / "0.bmp", tmp_path / "1.bmp"]
    for path in paths:
        Image.fromarray(photograph(rng, 64, 64)).save(path)
    load_images(paths, tmp_path / "cache")
    before, other = paths[1].stat(), photograph(rng, 64, 64)
    Image.fromarray(other).save(paths[1])
    os.utime(paths[1], ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert paths[1].stat().st_size == before.st_size
    assert np.array_equal(load_images(paths, tmp_path / "cache")[1], other)


def test_batches_hold_every_class_equally_and_every_image_of_the_largest_once(rng):
    labels = np.array([0] * 12 + [1] * 5 + [2] * 3)
    batches = list(balanced_batches(labels, 4, rng))
    assert len(batches) == 3
    for batch in batches:
        assert np.bincount(labels[batch]).tolist() == [4, 4, 4]
    seen = np.bincount(np.concatenate(batches), minlength=20)
    assert (seen[:12] == 1).all()
    assert seen[12:17].sum() == 12
    assert seen[12:17].max() - seen[12:17].min() <= 1
    assert (seen[17:] == 4).all()


def test_batches_follow_from_the_seed():
    labels = np.arange(40) % 4
    first, again, other = (
        np.concatenate(list(balanced_batches(labels, 5, np.random.default_rng(seed))))
        for seed in (3, 3, 4)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_items_than_images_still_make_one_batch(rng):
    (batch,) = balanced_batches(np.array([0, 0, 1]), 8, rng)
    assert len(batch) == 16


def test_of_larger_images_the_middle_is_taken_and_smaller_ones_are_named(tmp_path):
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (side, side, 3), np.uint8) for side in (8, 14)]
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    for image, path in zip(pixels, paths, strict=True):
        Image.fromarray(image).save(path)
    (part,) = decoded_in_parts(paths, 8, 8)
    assert np.array_equal(part, np.stack([pixels[0], pixels[1][3:11, 3:11]]))
    with pytest.raises(ValueError, match=r"0\.png: 8x8 pixels; 10x10 were learned"):
        list(decoded_in_parts(paths, 10, 10))
