"""What file and pixels tell of an image's past."""

import io

import numpy as np
import pytest
from PIL import Image
from support import photograph

from dnadet_lib.images.history import History, history_of
from dnadet_lib.images.reading import read_coded


@pytest.fixture
def picture(rng) -> np.ndarray:
    return photograph(rng, 120, 136)


def decoded(image: np.ndarray, format: str, **options: object) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format, **options)
    return np.asarray(Image.open(file).convert("RGB"))


def test_nothing_is_found_in_an_image_as_it_was_made(picture):
    found = history_of(picture)
    assert found == History() and found.text == ""


@pytest.mark.parametrize("quality", (95, 75, 50))
@pytest.mark.parametrize("corner", ((0, 0), (3, 5)))
def test_a_jpeg_is_found_in_a_png_also_after_cropping(picture, quality, corner, tmp_path):
    top, left = corner
    cut = decoded(picture, "JPEG", quality=quality)[top:, left:]
    Image.fromarray(cut).save(tmp_path / "a.png")
    found = history_of(*read_coded(tmp_path / "a.png"))
    assert found.grid and found.lossless and found.quality is None
    assert found.text == "looks compressed as JPEG before, saved as PNG"


def test_webp_is_found_in_a_png(picture, tmp_path):
    Image.fromarray(decoded(picture, "WEBP", quality=80)).save(tmp_path / "a.png")
    found = history_of(*read_coded(tmp_path / "a.png"))
    assert found.half_colour and not found.grid
    assert found.text.startswith("looks compressed before (colours at half resolution)")


@pytest.mark.parametrize("quality", (95, 80, 40))
def test_a_jpeg_says_its_quality(picture, quality, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=quality)
    found = history_of(*read_coded(tmp_path / "a.jpg"))
    assert found.text == f"JPEG of quality {quality}" and not found.lossless
    assert found.as_dict() | {"grid": True} == {
        "format": "JPEG", "lossless": False, "quality": quality, "grid": True,
        "half_colour": True, "looks": None, "found": f"JPEG of quality {quality}",
    }  # fmt: skip


def test_webp_files_with_and_without_loss(picture, tmp_path):
    for lossless, text in ((True, ""), (False, "compressed as WEBP")):
        Image.fromarray(picture).save(tmp_path / "a.webp", lossless=lossless)
        assert history_of(*read_coded(tmp_path / "a.webp")).text == text


@pytest.mark.parametrize("size", ((1, 1), (8, 300), (47, 47), (1500, 900)))
def test_images_of_any_size_have_a_history(size, rng):
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    assert not history_of(image).grid


def test_flat_and_grey_images_are_no_jpegs(rng):
    grey = np.repeat(photograph(rng, 64, 64)[..., :1], 3, axis=2)
    for image in (np.full((64, 64, 3), 200, np.uint8), grey):
        assert history_of(image) == History()


def test_what_a_model_sees_stands_behind_what_the_pixels_say():
    assert History().seen_as("smaller").text == "looks resized or blurred"
    assert History(grid=True).seen_as("smaller").text == "looks compressed as JPEG before"
    assert History().seen_as("tone").text == ""

