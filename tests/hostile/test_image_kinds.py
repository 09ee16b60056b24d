"""Every kind of image file is read rightly or named, and nothing of a folder is left out silently.

`write_kinds` makes the folder. Each file holds `PIXELS`, a smooth picture, or a known change of it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from make_cards import kinds_table
from PIL import Image, ImageCms, features
from support import write_images

from dnadet_lib import zoo
from dnadet_lib.cli import main
from dnadet_lib.data import ImageSet, list_images
from dnadet_lib.evaluation import audit
from dnadet_lib.images import reading as images
from dnadet_lib.images.converting import ORIENTATION, TURNS
from dnadet_lib.images.kinds import kinds_help
from dnadet_lib.images.reading import as_rgb, read_image
from dnadet_lib.plumbing.notes import NoteWarning, listening

SIDE, WIDE = 48, 64
HEIF = importlib.util.find_spec("pillow_heif") is not None


def smooth(height: int = SIDE, width: int = WIDE) -> np.ndarray:
    """A picture in which any turn, mirror or swap of channels shows, and that JPEG keeps well."""
    y, x = np.mgrid[:height, :width]
    return np.stack([3 * x + 20, 4 * y + 30, 2 * x + y + 60], axis=2).astype(np.uint8)


PIXELS = smooth()
GREY = np.repeat(PIXELS[..., :1], 3, axis=2)
HALF = np.arange(WIDE) < WIDE // 2  # columns that are seen through where there is transparency
ON_WHITE = np.where(HALF[None, :, None], np.uint8(255), PIXELS)


def deep(pixels: np.ndarray) -> np.ndarray:
    """The same levels in 16 bits, with what 8 bits cannot hold below them."""
    return pixels.astype(np.uint16) * 256 + 77


def saved(image: Image.Image, path: Path, **options: object) -> None:
    image.save(path, **options)


def with_alpha() -> Image.Image:
    alpha = np.where(HALF, 0, 255)[None].repeat(SIDE, axis=0).astype(np.uint8)
    return Image.fromarray(np.dstack([PIXELS, alpha]))


def palette(transparent: bool) -> tuple[Image.Image, np.ndarray]:
    """Sixteen colours as a palette image; colour 0, in the left half, may be transparent."""
    numbers = (np.mgrid[:SIDE, :WIDE][1] // 4).astype(np.uint8)
    numbers[:, HALF] = 0
    colours = smooth(16, 16)[7]
    image = Image.fromarray(numbers).convert("P")
    image.putdata(numbers.ravel().tolist())
    image.putpalette(colours.ravel().tolist())
    shown = colours[numbers]
    return image, np.where(numbers[..., None] == 0, np.uint8(255), shown) if transparent else shown


class Kinds:
    """A folder of image files, each with what must be read of it, or why it cannot be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[str, tuple[np.ndarray, float, str]] = {}  # pixels, mean error, note
        self.errors: dict[str, str] = {}
        self.others: list[str] = []

    def good(self, name: str, pixels: np.ndarray, note: str = "", off: float = 0.0) -> Path:
        """A file that must be read as these pixels, `off` levels from them in the mean at most."""
        self.read[name] = pixels, off, note
        return self.folder / name

    def bad(self, name: str, reason: str) -> Path:
        self.errors[name] = reason
        return self.folder / name

    def other(self, name: str) -> Path:
        self.others.append(name)
        return self.folder / name


def write_plain(kinds: Kinds) -> None:
    """Files of 8 bits a channel, under all the suffixes that are met."""
    image = Image.fromarray(PIXELS)
    exact = (
        "a.png", "a.bmp", "a.dib", "a.tif", "A.TIFF", "a.ppm", "a.pnm", "a.tga", "a.pcx", "a.sgi",
        "a.im", "a.qoi", "a.PNG",
    )  # fmt: skip
    for name in exact:
        saved(image, kinds.good(name, PIXELS))
    for name in ("a.jpg", "a.jpeg", "a.jpe", "a.jfif", "a.JFIF"):
        saved(image, kinds.good(name, PIXELS, off=2.5), format="JPEG", quality=97, subsampling=0)
    if features.check("webp"):
        saved(image, kinds.good("a.webp", PIXELS), lossless=True)
    if features.check("jpg_2000"):
        saved(image, kinds.good("a.jp2", PIXELS))
        saved(image, kinds.good("a.j2k", PIXELS))
    if features.check("avif"):
        saved(image, kinds.good("a.avif", PIXELS, off=2.5), quality=98, subsampling="4:4:4")
    grey = Image.fromarray(GREY[..., 0])
    for name in ("grey.png", "grey.pgm", "grey.tif"):
        saved(grey, kinds.good(name, GREY))
    black_and_white = np.where(GREY > 100, np.uint8(255), np.uint8(0))
    saved(Image.fromarray(black_and_white[..., 0]).convert("1"),
          kinds.good("bits.png", black_and_white))  # fmt: skip
    coloured, shown = palette(transparent=False)
    for name in ("palette.png", "palette.gif"):
        saved(coloured, kinds.good(name, shown))
    saved(image, kinds.good("no suffix", PIXELS), format="PNG")
    saved(image, kinds.good("photo.jpg_large", PIXELS, off=2.5), format="JPEG", quality=97,
          subsampling=0)  # fmt: skip
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    saved(image, kinds.good("profile.png", PIXELS), icc_profile=profile)


def write_deep(kinds: Kinds) -> None:
    """Files of 12, 16 and 32 bits a channel."""
    cut, levels = "16 bits a channel are reduced to 8", deep(PIXELS)
    cv2.imwrite(str(kinds.good("rgb16.png", PIXELS, cut)), levels[..., ::-1])
    cv2.imwrite(str(kinds.good("rgb16.tif", PIXELS, cut)), levels[..., ::-1])
    cv2.imwrite(str(kinds.good("grey16.png", GREY, cut)), levels[..., 0])
    saved(Image.fromarray(levels[..., 0]), kinds.good("grey16.tif", GREY, cut))
    saved(Image.fromarray(levels[..., 0].astype(">u2")), kinds.good("grey16-big.tif", GREY, cut))
    head, big = f"{WIDE} {SIDE}\n65535\n".encode(), levels.astype(">u2")
    kinds.good("grey16.pgm", GREY, cut).write_bytes(b"P5\n" + head + big[..., 0].tobytes())
    kinds.good("rgb16.ppm", PIXELS, cut, off=0.5).write_bytes(b"P6\n" + head + big.tobytes())
    if features.check("jpg_2000"):
        saved(Image.fromarray(levels[..., 0]), kinds.good("grey16.jp2", GREY, cut))
    integers = Image.fromarray(levels[..., 0].astype(np.int32))
    saved(integers, kinds.good("grey32.tif", GREY, cut))
    beyond = Image.fromarray(levels[..., 0].astype(np.int32) * 1000)
    saved(beyond, kinds.bad("beyond.tif", "whole numbers from .* in 32 bits"))
    small = Image.fromarray(GREY[..., 0].astype(np.int32))
    saved(small, kinds.bad("small32.tif", "whole numbers from 20 to 209 in 32 bits"))
    cv2.imwrite(str(kinds.bad("small16.png", "whole numbers from 20 to 209 in 16 bits")),
                GREY[..., 0].astype(np.uint16))  # fmt: skip
    floats = Image.fromarray(GREY[..., 0].astype(np.float32) / 255)
    saved(floats, kinds.bad("float.tif", "floating point numbers"))
    rows = (GREY[..., 0].astype("<f4") / 255).tobytes()
    file = kinds.bad("float.pfm", "floating point numbers")
    file.write_bytes(f"Pf\n{WIDE} {SIDE}\n-1.0\n".encode() + rows)


def write_transparent(kinds: Kinds) -> None:
    """Files with an alpha channel or a transparent colour, opaque ones and others."""
    white = "transparent parts are laid on white"
    for name in ("alpha.png", "alpha.tga", "alpha.tif"):
        saved(with_alpha(), kinds.good(name, ON_WHITE, white))
    if features.check("webp"):
        saved(with_alpha(), kinds.good("alpha.webp", ON_WHITE, white), lossless=True)
    opaque = Image.fromarray(PIXELS).convert("RGBA")
    saved(opaque, kinds.good("opaque.png", PIXELS))
    grey_alpha = with_alpha().convert("LA")
    shown = np.where(HALF[None, :, None], 255, np.asarray(Image.fromarray(PIXELS).convert("L"))[
        ..., None].repeat(3, axis=2)).astype(np.uint8)  # fmt: skip
    saved(grey_alpha, kinds.good("grey-alpha.png", shown, white))
    see_through, seen = palette(transparent=True)
    for name in ("see-through.png", "see-through.gif"):
        saved(see_through, kinds.good(name, seen, white), transparency=0)
    keyed = GREY[..., 0].copy()
    keyed[:, HALF] = 7
    shown = np.where(HALF[None, :, None], np.uint8(255), GREY)
    saved(Image.fromarray(keyed), kinds.good("key.png", shown, white), transparency=7)
    levels = deep(np.dstack([PIXELS, np.where(HALF, 0, 255)[None].repeat(SIDE, axis=0)]))
    levels[..., 3] = np.where(HALF, 0, 65535)
    cv2.imwrite(str(kinds.good("alpha16.png", ON_WHITE, white)), levels[..., [2, 1, 0, 3]])


def write_other_colours(kinds: Kinds) -> None:
    """Files in other colour spaces."""
    image = Image.fromarray(PIXELS)
    cmyk = "CMYK is turned into RGB without a colour profile"
    saved(image.convert("CMYK"), kinds.good("print.tif", PIXELS, cmyk, off=1))
    saved(image.convert("CMYK"), kinds.good("print.jpg", PIXELS, cmyk, off=3), quality=98)
    saved(image.convert("YCbCr"), kinds.good("ycbcr.tif", PIXELS, off=1.5))
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    lab = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    assert lab is not None
    saved(lab, kinds.good("lab.tif", PIXELS, "LAB is turned into RGB", off=3))


def write_frames(kinds: Kinds) -> None:
    """Animations, pages, and pictures that EXIF data turn."""
    frames = [Image.fromarray(np.roll(PIXELS, 9 * k, axis=1)) for k in range(12)]
    note = "frame 1 of 12 is read, the others are not"
    options = {"save_all": True, "append_images": frames[1:]}
    saved(frames[0], kinds.good("moving.gif", PIXELS, note, off=12), **options)
    saved(frames[0], kinds.good("moving.png", PIXELS, note), **options)
    saved(frames[0], kinds.good("pages.tif", PIXELS, note), **options)
    if features.check("webp"):
        saved(frames[0], kinds.good("moving.webp", PIXELS, note), lossless=True, **options)
    saved(frames[0], kinds.good("both eyes.mpo", PIXELS, "frame 1 of 2", off=3), save_all=True,
          append_images=frames[1:2], quality=98, subsampling=0)  # fmt: skip
    for orientation, turn in TURNS.items():
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        turned = np.asarray(Image.fromarray(PIXELS).transpose(turn))
        saved(frames[0], kinds.good(f"turn{orientation}.png", turned), exif=exif)
        if orientation in (3, 6, 8):
            saved(frames[0], kinds.good(f"turn{orientation}.jpg", turned, off=2.5), exif=exif,
                  quality=97, subsampling=0)  # fmt: skip
            saved(frames[0], kinds.good(f"turn{orientation}.tif", turned), exif=exif)


def write_faulty(kinds: Kinds) -> None:
    """Files that are damaged, absurd or no files at all."""
    whole = (kinds.folder / "a.png").read_bytes()
    kinds.bad("empty.png", "the file is empty").touch()
    kinds.bad("truncated.png", "truncated").write_bytes(whole[: len(whole) // 2])
    photo = (kinds.folder / "a.jpg").read_bytes()
    kinds.bad("truncated.jpg", "truncated").write_bytes(photo[: len(photo) // 2])
    kinds.bad("text.png", "no image that Pillow knows").write_text("no image\n")
    kinds.bad("page.jpg", "no image that Pillow knows").write_text("<!doctype html>")
    start = whole[12:16] + (60000).to_bytes(4, "big") * 2 + whole[24:29]
    huge = whole[:12] + start + zlib.crc32(start).to_bytes(4, "big") + whole[33:]
    kinds.bad("bomb.png", "more pixels than Pillow takes").write_bytes(huge)
    header = b"P6\n60000 60000\n255\n"
    kinds.bad("bomb.ppm", "more pixels than Pillow takes").write_bytes(header + b"x" * 99)
    kinds.bad("large.ppm", "truncated|end of file|not enough").write_bytes(
        b"P6\n10000 10000\n255\n" + b"x" * 99
    )
    if not HEIF:
        head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
        kinds.bad("phone.heic", "pip install pillow-heif").write_bytes(head + b"\0" * 99)
        kinds.bad("phone.HEIF", "pip install pillow-heif").write_bytes(head + b"\0" * 99)
    os.symlink("nowhere.png", kinds.bad("gone.png", "a link to a file that is not there"))
    os.mkfifo(kinds.bad("pipe.png", "is no regular file"))


def write_others(kinds: Kinds) -> None:
    """What is no image, and what leads twice to the same."""
    for name in ("notes.txt", "Thumbs.db", ".DS_Store", "._a.png", "drawing.svg", "table.csv"):
        kinds.other(name).write_text("no image\n")
    saved(Image.fromarray(PIXELS), kinds.other("raw.dng"), format="TIFF")
    os.symlink("a.png", kinds.other("0 link.png"))
    os.mkfifo(kinds.other("pipe"))


@pytest.fixture
def kinds(tmp_path: Path) -> Kinds:
    folder = tmp_path / "kinds"
    folder.mkdir()
    made = Kinds(folder)
    for write in (write_plain, write_deep, write_transparent, write_other_colours, write_frames,
                  write_faulty, write_others):  # fmt: skip
        write(made)
    assert len(os.listdir(folder)) == len(made.read) + len(made.errors) + len(made.others)
    assert len(made.read) + len(made.errors) > 40
    return made


def test_every_kind_is_read_rightly_or_named(kinds: Kinds) -> None:
    with listening() as heard:
        listed = {path.name for path in list_images(kinds.folder)}
    assert listed == set(kinds.read) | set(kinds.errors)
    assert {path.name for path in heard.left_out} == set(kinds.others)
    (told,) = heard.texts
    assert re.search(r"6 files are no images and were left out \(.*\.txt 1.*\)", told)
    assert "2 hidden files were left out" in told
    for name, (pixels, off, note) in kinds.read.items():
        with listening() as heard:
            found = read_image(kinds.folder / name)
        assert found.dtype == np.uint8 and found.shape == pixels.shape, name
        assert np.abs(found.astype(int) - pixels).mean() <= off, name
        said = " ".join(heard.texts)
        assert note in said if note else not said, (name, said)
        assert not heard.texts or heard.texts[0].startswith(f"{kinds.folder / name}: "), name
    for name, reason in kinds.errors.items():
        with pytest.raises(OSError, match=rf"cannot be read as an image \(.*({reason})") as caught:
            read_image(kinds.folder / name)
        text = str(caught.value)
        assert text.startswith(f"{kinds.folder / name}: ") and "\n" not in text, name
        assert text.count(str(kinds.folder)) == 1, text


def test_plain_files_give_the_bytes_of_pillow(kinds: Kinds) -> None:
    for name in ("a.png", "a.jpg", "a.bmp", "palette.gif", "grey.png", "opaque.png", "a.tif"):
        with Image.open(kinds.folder / name) as image:
            assert np.array_equal(read_image(kinds.folder / name), image.convert("RGB")), name


def test_pil_images_are_converted_as_files_are(kinds: Kinds) -> None:
    for name in ("grey16.png", "alpha.png", "turn6.jpg", "print.tif", "see-through.gif", "a.png"):
        with listening() as heard, Image.open(kinds.folder / name) as image:
            assert np.array_equal(as_rgb(image), read_image(kinds.folder / name)), name
        assert len(heard.texts) == bool(kinds.read[name][2]), name
    with pytest.raises(ValueError, match="floating point numbers"):
        as_rgb(Image.fromarray(np.zeros((40, 40), np.float32)))


def test_no_python_warning_is_printed(kinds: Kinds) -> None:
    with warnings.catch_warnings(), listening():
        warnings.simplefilter("error")
        for name in (*kinds.read, *kinds.errors):
            try:
                read_image(kinds.folder / name)
            except OSError as error:
                assert "Warning" not in str(error), name


def test_notes_are_warnings_where_nobody_listens(kinds: Kinds) -> None:
    with pytest.warns(NoteWarning, match=r"alpha\.png: transparent parts are laid on white"):
        read_image(kinds.folder / "alpha.png")


# Commands ----------------------------------------------------------------------------------------


@pytest.fixture
def labelled(kinds: Kinds) -> Path:
    """The folder as one class of two; the other holds plain images."""
    root = kinds.folder.parent / "labelled"
    root.mkdir()
    os.symlink(kinds.folder, root / "Real")
    write_images(root / "ProGAN", 4, np.random.default_rng(1))
    return root


def total(report: dict, read: int) -> int:
    return read + len(report["errors"]) + len(report["skipped"])


def test_attribute_accounts_for_every_file(kinds: Kinds, checkpoint, capsys) -> None:
    assert main(["attribute", str(kinds.folder), "--model", str(checkpoint), "--json"]) == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert {Path(r["path"]).name for r in report["results"]} == set(kinds.read)
    assert {Path(e["path"]).name for e in report["errors"]} == set(kinds.errors)
    assert {Path(path).name for path in report["skipped"]} == set(kinds.others)
    assert total(report, len(report["results"])) == len(os.listdir(kinds.folder))
    noted = [text for _, _, text in kinds.read.values() if text]
    assert len(report["notes"]) >= len(noted) + 1
    lines = printed.err.splitlines()
    assert all(line.startswith("dnadet: ") for line in lines)
    for name in kinds.errors:
        assert sum(f"/{name}: cannot be read" in line for line in lines) == 1, name
    assert sum("files are no images and were left out" in line for line in lines) == 1
    assert sum("further notes" in line for line in lines) == 1


def test_embed_accounts_for_every_file(kinds: Kinds, checkpoint, tmp_path, capsys) -> None:
    file = tmp_path / "e.parquet"
    options = ["--model", str(checkpoint), "--out", str(file), "--maps", "PCA"]
    assert main(["embed", str(kinds.folder), *options]) == 1
    printed = capsys.readouterr()
    table = pd.read_parquet(file)
    assert {Path(path).name for path in table["path"]} == set(kinds.read)
    assert printed.out == f"{file}: {len(kinds.read)} images\nmaps: PCA by scikit-learn\n"
    assert printed.err.count("cannot be read as an image") == len(kinds.errors)
    assert "6 files are no images and were left out" in printed.err


def test_evaluate_measures_what_can_be_read(kinds, labelled, checkpoint, tmp_path, capsys) -> None:
    (labelled / "stray.png").write_bytes((kinds.folder / "a.png").read_bytes())
    options = ["--model", str(checkpoint), "--json", "--out", str(tmp_path / "out")]
    assert main(["evaluate", "--test", str(labelled), *options]) == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    (row,) = (r for r in report["rows"] if r["metric"] == "accuracy")
    assert row["images"] == len(kinds.read) + 4
    files = len(os.listdir(kinds.folder)) + 4 + 1
    assert total(report, row["images"]) == files
    asked = len(kinds.read) + len(kinds.errors) + 4
    assert f"labelled: {row['images']} of {asked} images are measured" in printed.err
    assert "1 file beside the class folders left out (.png 1)" in printed.err
    for name in kinds.errors:
        assert f"/{name}: cannot be read" in printed.err, name
    written = pd.read_parquet(tmp_path / "out" / "predictions-labelled.parquet")
    assert len(written) == row["images"]


def test_audit_accounts_for_every_file(kinds, labelled, tmp_path, capsys) -> None:
    train = tmp_path / "train"
    for name in ("Real", "ProGAN"):
        write_images(train / name, 3, np.random.default_rng(2))
    assert main(["audit", "--train", str(train), "--test", str(labelled), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    (setup,) = report["setups"].values()
    assert setup["test"] == len(kinds.read) + 4
    assert total(report, setup["test"]) == len(os.listdir(kinds.folder)) + 4
    formats = setup["formats"]["Real"]
    assert f"PNG RGB {WIDE}x{SIDE}," in formats
    for told in ("PNG RGB 64x48 16 bits", "12 frames", "JPEG RGB 48x64 EXIF orientation 6"):
        assert told in formats


def test_report_goes_on_and_keeps_the_notes(kinds, checkpoint, tmp_path, capsys) -> None:
    file = tmp_path / "report.html"
    assert main(["report", str(kinds.folder), "--model", str(checkpoint), "--out", str(file)]) == 1
    text = file.read_text(encoding="utf-8")
    assert text.count('<tr data-kind="unread">') == len(kinds.errors)
    assert text.count('<article class="card"') == len(kinds.read)
    assert text.count("<tr data-kind=") == len(kinds.read) + len(kinds.errors)
    assert re.search(r"<li>\S*alpha\.png: transparent parts are laid on white", text)
    assert re.search(r"<li>[^<]*: 6 files are no images", text)
    said = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert total(said, len(said["results"])) == len(os.listdir(kinds.folder))


def test_train_names_all_bad_files_before_the_first_epoch(labelled, kinds, tmp_path, capsys):
    options = ["--preset", "smoke", "--out", str(tmp_path / "run")]
    assert main(["train", "--train", str(labelled), "--dev", str(labelled), *options]) == 2
    (last,) = (line for line in capsys.readouterr().err.splitlines() if "cannot be used" in line)
    assert f"{len(kinds.errors)} of " in last
    assert last.count("cannot be read as an image") == 10
    assert last.endswith(f"; and {len(kinds.errors) - 10} more")
    assert not (tmp_path / "run" / "history.csv").exists()


def test_a_set_of_which_nothing_can_be_read(tmp_path, checkpoint, capsys) -> None:
    for name in ("Real", "ProGAN"):
        (tmp_path / "t" / name).mkdir(parents=True)
        (tmp_path / "t" / name / "a.png").write_text("no image")
    assert main(["evaluate", "--test", str(tmp_path / "t"), "--model", str(checkpoint)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": ")[2] for line in lines[-2:]] == [
        "0 of 2 images are measured, the others not read",
        "no image could be read, so there is nothing to measure",
    ]


# Folders -----------------------------------------------------------------------------------------


def test_linked_folders_are_followed_once_and_without_end(tmp_path, rng) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write_images(root / "real", 2, rng, 8)
    write_images(outside / "deep", 2, rng, 8)
    links = {
        "to outside": outside, "to outside again": outside, "to deep": outside / "deep",
        "to real": root / "real", "up": tmp_path, "self": root, "loop": Path("loop"),
    }  # fmt: skip
    for name, target in links.items():
        os.symlink(target, root / name)
    os.symlink(root, outside / "back")
    with listening() as heard:
        found = list_images(root)
    names = [path.relative_to(root).as_posix() for path in found]
    assert [n for n in names if n.startswith("real/")] == ["real/0.png", "real/1.png"]
    real = [path.resolve() for path in found]
    assert len(real) == len(set(real)) == 4
    (told,) = heard.texts
    above = "3 links were not followed, leading to a folder that holds this one (self, back, up)"
    assert above in told
    for pattern in (root / "*", root / "**", root / "**" / "*.png"):
        with listening():
            assert {p.resolve() for p in list_images(str(pattern))} == set(real), pattern


def test_linked_class_folders_count(tmp_path, rng) -> None:
    write_images(tmp_path / "elsewhere", 3, rng, 8)
    write_images(tmp_path / "set" / "a", 2, rng, 8)
    os.symlink(tmp_path / "elsewhere", tmp_path / "set" / "b")
    assert ImageSet.from_folders(tmp_path / "set").labels.tolist() == [0, 0, 1, 1, 1]


def test_a_folder_named_like_an_image(tmp_path, rng) -> None:
    write_images(tmp_path / "x.png", 1, rng, 8)
    (tmp_path / "y.png").mkdir()
    with listening() as heard:
        assert list_images(tmp_path) == [tmp_path / "x.png" / "0.png"]
    assert heard.texts == [
        f"{tmp_path}: 2 folders were searched though named like an image (x.png, y.png)"
    ]
    with pytest.raises(FileNotFoundError, match=r"y\.png: the folder holds no image"):
        list_images(tmp_path / "y.png")
    with pytest.raises(OSError, match=r"y\.png: cannot be read as an image \(is a folder\)"):
        read_image(tmp_path / "y.png")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is denied here")
def test_what_may_not_be_read_is_named(tmp_path, rng) -> None:
    first, second = write_images(tmp_path / "a", 2, rng, 8)
    first.chmod(0)
    (tmp_path / "shut").mkdir(mode=0)
    with listening() as heard:
        assert list_images(tmp_path) == [first, second]
    (tmp_path / "shut").chmod(0o700)
    assert "1 folder was not searched, since reading is denied (shut)" in heard.texts[0]
    with pytest.raises(OSError, match=r"0\.png: cannot be read as an image \(permission denied\)"):
        read_image(first)


def test_a_folder_without_an_image_says_what_is_there(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with listening() as heard, pytest.raises(FileNotFoundError, match="holds no image"):
        list_images(tmp_path)
    assert heard.texts == [f"{tmp_path}: 1 file is no image and was left out (.txt 1)"]
    with listening(), pytest.raises(FileNotFoundError, match="no image is among what matches"):
        list_images(str(tmp_path / "*"))


def test_a_long_thin_image(tmp_path, tiny_model) -> None:
    for name, size in {"tall.png": (1, 60000), "wide.png": (60000, 1)}.items():
        Image.new("RGB", size, "red").save(tmp_path / name)
        assert read_image(tmp_path / name).shape == (size[1], size[0], 3)
        assert audit.file_facts(tmp_path / name)["format"] == f"PNG RGB {size[0]}x{size[1]}"
        with pytest.raises(ValueError, match=rf"{name}: image is .*, smaller than a patch"):
            tiny_model.attribute([tmp_path / name])


# HEIC --------------------------------------------------------------------------------------------


def test_heic_is_read_where_its_package_is_installed(tmp_path, monkeypatch) -> None:
    """A stand-in for the package registers itself as the real one does, and is asked only then."""
    file = tmp_path / "phone.heic"
    file.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99)
    package = tmp_path / "packages" / "pillow_heif"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from PIL import Image, ImageFile\n"
        "class HeifImageFile(ImageFile.ImageFile):\n"
        "    format = 'HEIF'\n"
        "    def _open(self):\n"
        "        self._size, self._mode = (3, 2), 'RGB'\n"
        "        self.tile = []\n"
        "    def load(self):\n"
        "        self.im = Image.new('RGB', (3, 2), (9, 8, 7)).im\n"
        "        return super().load()\n"
        "def register_heif_opener():\n"
        "    accept = lambda head: head[4:12] == b'ftypheic'\n"
        "    Image.register_open('HEIF', HeifImageFile, accept)\n"
    )
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from dnadet_lib.data import list_images, read_image\n"
        f"(file,) = list_images(Path({str(tmp_path)!r}) / '*.heic')\n"
        "assert 'pillow_heif' not in sys.modules\n"
        "assert (read_image(file) == [9, 8, 7]).all()\n"
    )
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([str(package.parent), root])
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {
        "PYTHONPATH": paths})  # fmt: skip


@pytest.mark.skipif(not HEIF, reason="pillow-heif is not installed")
def test_a_real_heic(tmp_path) -> None:
    assert images.register_heif()
    Image.fromarray(PIXELS).save(tmp_path / "a.heic", quality=95)
    with listening() as heard:
        (file,) = list_images(tmp_path)
        found = read_image(file)
    assert np.abs(found.astype(int) - PIXELS).mean() < 3
    assert heard.texts == []


# The table ---------------------------------------------------------------------------------------


def test_the_table_stands_in_the_data_card_and_in_the_help(capsys) -> None:
    card = Path(__file__).parents[2] / "data" / "README.md"
    assert kinds_table() in card.read_text(encoding="utf-8")
    for command in ("attribute", "embed", "report", "evaluate", "audit", "train"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert kinds_help() in capsys.readouterr().out, command


def test_shipped_and_rendered_images_are_not_noted(world) -> None:
    with listening() as heard:
        for path in zoo.load_setup("closed", root=world.images).paths[::40]:
            read_image(path)
    assert heard.texts == []


# Few images --------------------------------------------------------------------------------------


def ten_copies(folder: Path, rng: np.random.Generator) -> Path:
    (first,) = write_images(folder, 1, rng)
    for number in range(1, 10):
        (folder / f"{number}.png").write_bytes(first.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder, rng: write_images(folder, 3, rng), "3 embeddings: a map is fitted on 4"),
        (ten_copies, "10 embeddings, but only 1 that differ"),
    ],
)
def test_what_has_no_map_is_said(
    make: Callable, reason: str, tmp_path, rng, checkpoint, tiny_model, capsys
) -> None:
    from dnadet_lib.explorer import explorer, widgets as explorer_widgets

    make(tmp_path / "k", rng)
    file = tmp_path / "e.parquet"
    arguments = ["embed", str(tmp_path / "k"), "--model", str(checkpoint), "--out", str(file)]
    assert main(arguments) == 0
    assert f"e.parquet: no map is made: {reason}" in capsys.readouterr().err
    state = explorer.open_table(file, tiny_model)
    assert any("holds no map" in text for text in state.errors)
    message = rf"no map of the {len(state)} images to show: explorer\.add_map makes one"
    for show in (explorer_widgets.explore, explorer.figure):
        with pytest.raises(ValueError, match=message):
            show(state)
    for method in ("t-SNE", "UMAP", "PCA"):
        with pytest.raises(ValueError, match=reason):
            explorer.add_map(state, method)


@pytest.mark.parametrize("method", ["t-SNE", "UMAP", "PCA"])
def test_four_that_differ_have_a_map(method: str) -> None:
    from dnadet_lib.explorer.projection import project

    four = np.random.default_rng(0).standard_normal((4, 16)).astype(np.float32)
    for rows in (four, np.repeat(four, 3, axis=0)):
        assert np.isfinite(project(rows, method)).all()


def test_nothing_to_embed_writes_nothing(tmp_path, rng, checkpoint, capsys) -> None:
    from dnadet_lib.explorer import explorer

    folder = tmp_path / "k"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_text("no image")
    file = tmp_path / "e.parquet"
    file.write_text("what was there")
    assert main(["embed", str(folder), "--model", str(checkpoint), "--out", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.rpartition("/")[2] for line in printed.err.splitlines()] == [
        "a.png: cannot be read as an image (its content is no image that Pillow knows)",
        "b.png: cannot be read as an image (its content is no image that Pillow knows)",
        "e.parquet: not written, since no image could be read",
    ]
    assert file.read_text() == "what was there"
    empty = {"path": pd.Series([], dtype=str), "embedding": pd.Series([], dtype=object)}
    pd.DataFrame(empty).to_parquet(file)
    with pytest.raises(ValueError, match=r"e\.parquet: not a table of embeddings: it has no row"):
        explorer.open_table(file)


def test_added_images_are_noted(kinds, tiny_model, tmp_path, rng) -> None:
    from dnadet_lib.explorer import explorer

    paths = write_images(tmp_path / "first", 2, rng)
    state = explorer.open_images(tiny_model, {"a": ImageSet(paths, np.zeros(2, int), ("Real",))})
    added = explorer.add_images(state, [kinds.folder])
    assert len(added) == len(kinds.read)
    assert len(state.errors) == len(kinds.errors)
    assert any("moving.gif: frame 1 of 12 is read" in text for text in state.notes)
    assert any("6 files are no images" in text for text in state.notes)
