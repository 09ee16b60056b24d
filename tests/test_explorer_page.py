"""The page of the explorer's maps: every image in it, nothing from outside, no text as markup."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support import photograph, write_images

from dnadet_lib import zoo
from dnadet_lib.checkpoints.models import save_model
from dnadet_lib.course import site
from dnadet_lib.course.running import lesson_files
from dnadet_lib.data import ImageSet
from dnadet_lib.explorer import explorer, page as explorer_page
from dnadet_lib.explorer.explorer import Explorer
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet

NASTY = "</script><img src=x onerror=alert(1)>&amp;"


class Elements(HTMLParser):
    """Elements of a page, as a browser would find them, and the text of its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data = self.title = ""
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.found.append((tag, dict(attributes)))
        self.inside = dict(attributes).get("id") or tag

    def handle_endtag(self, tag) -> None:
        self.inside = ""

    def handle_data(self, data) -> None:
        self.data += data if self.inside == "data" else ""
        self.title += data if self.inside == "h1" else ""


@pytest.fixture
def state(tiny_model: DNADet, tmp_path: Path, rng, monkeypatch) -> Explorer:
    """Twelve images of two classes and set-ups, of two sizes, with names that look like markup."""
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    paths = write_images(tmp_path / "images" / "a<b> & 'c\"", 8, rng)
    paths += write_images(tmp_path / "images" / "wide", 4, rng, side=100)
    labels = np.array([0, 1, 2] * 4)
    images = ImageSet(paths, labels, ("Real", "ProGAN", NASTY), [f"{NASTY}{k % 5}" for k in labels])
    sets = {"closed": images.take(np.arange(5)), NASTY: images.take(np.arange(5, 12))}
    found = explorer.open_images(tiny_model, sets)
    for method in ("PCA", "t-SNE"):
        explorer.add_map(found, method)
    return found


@pytest.fixture
def text(state: Explorer, tmp_path: Path) -> str:
    file = explorer_page.write_page(state, tmp_path / "page.html", f"Map {NASTY}", NASTY)
    return file.read_text(encoding="utf-8")


def read(text: str) -> dict:
    return json.loads(Elements(text).data)


def pixels(text: str) -> list[np.ndarray]:
    """Cut every image out of the page's sheets."""
    data = read(text)
    found = [a["src"] for tag, a in Elements(text).found if tag == "img"]
    drawn = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
        for source in found
    ]
    return [drawn[s][y : y + h, x : x + w] for s, x, y, w, h in data["places"]]


def test_every_image_has_the_pixels_of_its_file(state: Explorer, text: str) -> None:
    images = pixels(text)
    assert len(images) == len(state) == 12
    for image, path in zip(images, state.paths, strict=True):
        assert np.array_equal(image, read_image(path))


def test_many_images_take_several_sheets_and_none_covers_another(rng, monkeypatch) -> None:
    monkeypatch.setattr(explorer_page, "SHEET", 256)
    images = [rng.integers(0, 255, (h, w, 3), np.uint8)
              for h, w in rng.integers(20, 256, (40, 2))]  # fmt: skip
    places = explorer_page.pack([image.shape[:2] for image in images])
    drawn = explorer_page.draw_sheets(images, places)
    assert len(drawn) > 3
    for image, (s, x, y, w, h) in zip(images, places, strict=True):
        assert np.array_equal(drawn[s][y : y + h, x : x + w], image)


def test_of_a_large_image_the_middle_is_shown_at_its_own_pixels(rng) -> None:
    image = photograph(rng, 300, 411)
    assert np.array_equal(explorer_page.middle(image), image[22:278, 77:333])
    assert explorer_page.middle(image[:40]).shape == (40, 256, 3)


def test_text_of_names_is_never_markup(state: Explorer, text: str) -> None:
    page = Elements(text)
    tags = [tag for tag, _ in page.found]
    assert tags.count("script") == 2
    assert tags.count("img") == 1  # the one sheet
    assert not any("onerror" in a for _, a in page.found)
    assert page.title == f"Map {NASTY}"
    data = json.loads(page.data)
    assert data["columns"]["class"] == state.table["class"].tolist()
    assert NASTY in data["columns"]["set-up"]
    assert NASTY in data["columns"]["class"]
    assert data["paths"][0] == "a<b> & 'c\"/0.png"


def test_the_page_loads_nothing_and_names_no_folder_of_the_machine(text: str, tmp_path) -> None:
    without = re.sub(r"data:image/webp;base64,[\w+/=]+", "", text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch\(|import\(", without)
    for tag, attributes in Elements(text).found:
        assert tag not in ("link", "iframe", "object", "embed")
        assert (attributes.get("src") or "data:").startswith("data:")
    assert "default-src 'none'" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("name", explorer.CATEGORIES)
def test_colours_and_filters_are_the_explorers(state: Explorer, text: str, name: str) -> None:
    shown, legend = explorer.colours(state, name)
    colouring = read(text)["colours"][name]
    assert dict(colouring["entries"]) == legend
    assert colouring["points"] == shown.tolist()
    labels = [colouring["entries"][k][0] for k in colouring["entry"]]
    assert labels == state.table[name].astype(str).tolist()


def ends_of(label: str) -> tuple[float, float]:
    """The ends of a step of the legend."""
    if label.startswith("up to "):
        return -np.inf, float(label.removeprefix("up to "))
    if label.startswith("above "):
        return float(label.removeprefix("above ").split(" (")[0]), np.inf
    low, high = label.split(" (")[0].split(" to ")
    return float(low), float(high)


def test_extreme_numbers_leave_the_others_apart_and_the_threshold_is_an_edge() -> None:
    values = np.append(np.linspace(0, 0.1, 100), [2.0, 5.0])
    found = explorer_page.number_colouring(values, 1.0)
    labels = [label for label, _ in found["entries"]]
    assert labels[0].startswith("up to 0.02") and labels[-1] == "above 1.000 (refused)"
    numbers = np.bincount(found["entry"])
    assert numbers.tolist() == [20, 21, 20, 21, 18, 2] and len(labels) == 6
    beyond = explorer_page.number_colouring(values, 9.0)
    assert beyond["entries"][-1][0] == "above 9.000 (refused)"  # nothing lies there
    assert max(beyond["entry"]) == len(beyond["entries"]) - 2
    at = explorer_page.number_colouring(np.array([0.5, 1.0]), 1.0)
    assert at["entries"][at["entry"][1]][0].endswith(" to 1.000")  # a score at it passes as known
    strange = explorer_page.number_colouring(np.array([3.0, np.nan]), 1.0)
    assert [strange["entries"][k][0] for k in strange["entry"]] == ["above 1.000 (refused)", "none"]
    nothing = explorer_page.number_colouring(np.full(2, np.nan), 1.0)
    assert [label for label, _ in nothing["entries"]] == ["none"]


@pytest.mark.parametrize("name", explorer.NUMBERS)
def test_numbers_fall_into_the_legends_steps(state: Explorer, text: str, name: str) -> None:
    colouring = read(text)["colours"][name]
    for value, k in zip(state.table[name], colouring["entry"], strict=True):
        label = colouring["entries"][k][0]
        low, high = ends_of(label)
        assert low - 6e-4 <= value <= high + 6e-4, label
    most = state.table[name].argmax()
    assert colouring["entry"][most] == max(colouring["entry"]) >= 2
    reds = [int(c[1:3], 16) for c in colouring["points"]]
    assert reds[most] == max(reds) > min(reds)


def test_what_has_no_number_is_named_so(state: Explorer, tmp_path: Path) -> None:
    state.table["unknown score"] = [np.nan, *[0.5] * 11]
    state.table["named rightly"] = pd.array([pd.NA, *[True] * 11], dtype="boolean")
    text = explorer_page.write_page(state, tmp_path / "page.html").read_text(encoding="utf-8")
    data = read(text)
    assert data["columns"]["unknown score"][:2] == [None, 0.5]
    assert data["columns"]["named rightly"][:2] == [None, True]
    rightly = data["colours"]["named rightly"]
    assert [rightly["entries"][k][0] for k in rightly["entry"]] == ["not labelled", *["True"] * 11]
    colouring = data["colours"]["unknown score"]
    labels = [colouring["entries"][k][0] for k in colouring["entry"]]
    assert labels == ["none", *["up to 0.500"] * 11]  # the threshold is at 0.5


def test_the_page_has_the_maps_and_the_models_word(state: Explorer, text: str) -> None:
    data = read(text)
    assert list(data["maps"]) == ["PCA", "t-SNE"]
    assert np.allclose(data["maps"]["PCA"], state.maps["PCA"])
    assert data["classes"] == list(state.model.classes)
    assert np.allclose(data["probabilities"], state.probabilities, atol=1e-5)
    assert data["columns"]["confidence"] == state.table["confidence"].astype(float).tolist()


def test_what_cannot_be_shown_is_refused(state: Explorer, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(explorer_page, "AT_MOST", 11)
    with pytest.raises(ValueError, match="12 images: a page holds 11"):
        explorer_page.write_page(state, tmp_path / "page.html")
    state.maps.clear()
    with pytest.raises(ValueError, match="no map to show"):
        explorer_page.write_page(state, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_template_is_installed_with_the_package() -> None:
    project = Path(__file__).parents[1] / "pyproject.toml"
    tools = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = tools["package-data"]["*"]
    assert any(explorer_page.TEMPLATE.match(pattern) for pattern in patterns)
    assert explorer_page.TEMPLATE.is_file()


# In the site -------------------------------------------------------------------------------------


@pytest.fixture
def shipped(world, tiny_model: DNADet, tmp_path: Path, monkeypatch) -> Path:
    """The small world with a checkpoint named pocket; returns its data folder."""
    data = tmp_path / "data"
    shutil.copytree(world.data, data)
    save_model(tiny_model, data / "checkpoints" / "pocket.safetensors", preset="none", seed=0)
    monkeypatch.setenv("DNADET_DATA", str(data))
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    return data


def test_the_site_links_a_map_of_every_set_up(world, shipped: Path, tmp_path: Path) -> None:
    page = tmp_path / "site" / "explorer.html"
    entry = site.map_page(world.build, page)
    assert '<a href="explorer.html">' in entry
    text = page.read_text(encoding="utf-8")
    data = read(text)
    table = pd.DataFrame(data["columns"])
    assert set(table["set-up"]) == {"closed", "seed", "loss", "finetune", "dataset", "unknown"}
    assert set(table.groupby(["generator", "set-up"]).size()) == {site.MAP_IMAGES["smoke"]}
    assert "checkpoint pocket" in text
    assert "seed 0" in text
    assert ("a", {"href": "index.html"}) in Elements(text).found
    assert not any("train" in Path(path).parts for path in data["paths"])
    index = site.index_page([], [], entry)
    assert entry in index


def test_the_sample_is_drawn_by_seed(world) -> None:
    closed = zoo.load_setup("closed", root=world.images)
    first, again, other = (explorer_page.sample(closed, 4, seed).paths for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_without_images_the_site_says_what_to_type(world, tmp_path: Path) -> None:
    index = site.build_site(lesson_files(["00"]), tmp_path / "empty", [])
    assert not (index.parent / site.MAP).exists()
    assert "Type: <code>dnadet render</code>" in index.read_text(encoding="utf-8")


def test_without_a_checkpoint_the_site_says_what_to_type(world, tmp_path: Path) -> None:
    entry = site.map_page(world.build, tmp_path / "explorer.html")
    assert not (tmp_path / "explorer.html").exists()
    assert "pocket: neither a checkpoint file nor a shipped name" in entry
    assert "<code>git checkout -- data</code>" in entry
