"""The explorer in a real browser: JupyterLab with lesson 06, driven with the mouse.

Chromium is looked for on the path, or where DNADET_CHROMIUM says. Without it the tests are skipped;
with DNADET_BROWSER=required they fail instead. Screenshots go to `build/browser/`.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from dnadet_lib.data import ImageSet
from dnadet_lib.explorer import explorer, page as explorer_page
from dnadet_lib.zoo.generators import UNKNOWN_ARCHITECTURES

ROOT = Path(__file__).parents[1]
SHOTS = ROOT / "build" / "browser"
MINUTE = 60_000  # milliseconds
SCREEN = {"width": 1366, "height": 768}  # of a small laptop
SETTINGS = {  # cells that are not in sight are on the page; no question pops up
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
CUT_OFF = """element => {  // whether a box around it scrolls, or hides a part of it
  const own = element.getBoundingClientRect();
  for (let box = element.parentElement; box?.closest('.explorer'); box = box.parentElement) {
    const outer = box.getBoundingClientRect();
    if (getComputedStyle(box).overflowY === 'visible') continue;
    if (own.bottom > outer.bottom + 2 || own.right > outer.right + 2) return true;
  }
  return false;
}"""
SCROLLERS = """element => [element, ...element.querySelectorAll('*')].filter(
  (e) => /auto|scroll/.test(getComputedStyle(e).overflowY) && e.scrollHeight > e.clientHeight + 2
).map((e) => e.className)"""
UNLABELLED = """element => [...element.querySelectorAll('input, select, button')].filter((e) =>
  e.checkVisibility() && e.type !== 'file' && !e.labels?.length && !e.textContent.trim() &&
  !e.title && !e.getAttribute('aria-label')).map((e) => e.outerHTML)"""
COUNTED = """\
kept = explorer.frame(state, "mine")
print("KEPT", len(kept), *sorted(kept["generator"].value_counts().tolist()))"""

REOPENED = """\
again = explorer.open_table(state.file)
print("OPENED", *(int((again.table[name] != "").sum()) for name in ("tags", "note")), len(again))
explorer_widgets.explore(again)"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a copy of lesson 06 at the smoke profile; the address of its page."""
    folder = tmp_path_factory.mktemp("lab")
    lesson = nbformat.read(ROOT / "notebooks" / "06_explore.ipynb", 4)
    (parameters,) = (c for c in lesson.cells if "parameters" in c.metadata.get("tags", ()))
    parameters.source = parameters.source.replace('"pocket"', '"smoke"', 1)
    lesson.cells += [nbformat.v4.new_code_cell(code) for code in (COUNTED, REOPENED)]
    nbformat.write(lesson, folder / "06_explore.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    own = {"DNADET_BUILD": str(folder / "build"), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    own["JUPYTERLAB_SETTINGS_DIR"] = own["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "config")
    for name, setting in SETTINGS.items():
        file = folder / "config" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(setting))
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}",
    ]  # fmt: skip
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env={**os.environ, **own}, stdout=log, stderr=log)
    try:
        wait_for(f"{address}/api", server, folder / "lab.log")
        yield f"{address}/lab/tree/06_explore.ipynb?reset"
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    """Wait until a server answers."""
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(f"no answer from {address}: {log.read_text()}")


@pytest.fixture(scope="module")
def lesson(browser, lab: str) -> Iterator:
    """The page of lesson 06, all of its cells run."""
    page = browser.new_page(viewport=SCREEN)
    page.set_default_timeout(3 * MINUTE)
    page.goto(lab)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    ended = cell(page, COUNTED.split("\n")[0]).locator(".jp-OutputArea-output")
    failed = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']")
    ended.or_(failed).first.wait_for(timeout=8 * MINUTE)  # on a busy machine
    assert "no selection 'mine'" in failed.first.inner_text()  # nothing is kept yet, so it stops
    page.set_default_timeout(MINUTE)
    yield page
    page.close()


def cell(page, text: str):
    """The cell whose code holds a text."""
    return page.locator(".jp-CodeCell").filter(has_text=text).first


def explorer_cell(page):
    """The cell of the first linked maps, its maps in sight."""
    found = cell(page, "explorer_widgets.show(explorer_widgets.explore, state)")
    found.locator("canvas").first.wait_for()
    to_top(page, found.locator(".explorer"))
    return found


def to_top(page, found) -> None:
    """Scroll a part of the notebook to the top, as one does who works with it."""
    found.evaluate("element => element.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(300)


def require_in_view(page, found) -> None:
    """Hold that an element lies whole in what is seen of the notebook, and nothing cuts it off."""
    box = found.bounding_box()
    assert box and box["width"] > 0 and box["height"] > 0
    seen = page.locator(".jp-WindowedPanel-outer").first.bounding_box()
    for side, size in (("x", "width"), ("y", "height")):
        assert box[side] >= seen[side] - 2, (box, seen)
        assert box[side] + box[size] <= seen[side] + seen[size] + 2, (box, seen)
    assert found.evaluate(CUT_OFF) is False


def require_proportions(images) -> None:
    """Hold that images are shown in the proportions of their pixels."""
    assert images.count()
    for image in images.all():
        width, height = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
        shown = image.bounding_box()
        if image.evaluate("image => getComputedStyle(image).objectFit") != "contain":
            assert abs(shown["width"] / shown["height"] - width / height) < 0.03 * width / height


def maps(found) -> list[dict[str, float]]:
    """Where the maps lie on the page."""
    boxes = [canvas.bounding_box() for canvas in found.locator("canvas").all()]
    large = [box for box in boxes if box["height"] > 200]
    return [box for i, box in enumerate(large) if box not in large[:i]]


def pixels(page, box: dict[str, float]) -> np.ndarray:
    """What a part of the page shows: (H, W, 3)."""
    picture = page.screenshot(clip=box)
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def shot(page, name: str) -> None:
    """Keep a screenshot to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def lasso(page, found, box: dict[str, float], share: float) -> None:
    """Choose the lasso beside a map, and draw an ellipse around its middle with the mouse."""
    found.get_by_title("Activate lasso selection").first.click()
    angles = np.linspace(0, 2 * np.pi, 40)
    x = box["x"] + box["width"] * (0.5 + 0.5 * share * np.cos(angles))
    y = box["y"] + box["height"] * (0.5 + 0.5 * share * np.sin(angles))
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for place in zip(x[1:], y[1:], strict=True):
        page.mouse.move(*place)
    page.mouse.up()


def test_the_maps_are_drawn(lesson) -> None:
    found = explorer_cell(lesson)
    lesson.wait_for_timeout(1000)
    shot(lesson, "maps")
    places = maps(found)
    assert len(places) == 2
    for box in places:
        shown = pixels(lesson, box)
        colourful = np.ptp(shown, axis=2) > 60  # dots; ground and controls are grey
        assert 20 < colourful.sum() < 0.5 * colourful.size


def test_a_lasso_fills_the_grid_and_the_kernel_has_the_same(lesson) -> None:
    found = explorer_cell(lesson)
    found.get_by_text("Nothing is selected").wait_for()
    lasso(lesson, found, maps(found)[0], 0.7)
    heading = found.locator(".explorer-pages b")
    heading.wait_for()
    number = int(heading.inner_text().split()[0])
    assert number > 3
    pictures = found.locator(".explorer-pictures")
    lesson.wait_for_timeout(500)
    assert pictures.locator("img").count() == min(number, 24)
    assert all(image.get_attribute("alt") for image in pictures.locator("img").all())
    require_proportions(pictures.locator("img"))
    rows = found.locator(".explorer-grid tbody tr").all()
    counted = [int(row.locator("td").nth(3).inner_text()) for row in rows]
    assert sum(counted) == number
    found.get_by_placeholder("name of the selection").fill("mine")
    found.get_by_role("button", name="keep").click()
    found.get_by_text("kept: ").wait_for()
    shot(lesson, "lasso")
    for part in (".explorer-maps", ".explorer-pictures", ".explorer-grid", ".explorer-said"):
        require_in_view(lesson, found.locator(part))
    require_in_view(lesson, found.get_by_role("button", name="export"))
    assert found.locator(".explorer").evaluate(SCROLLERS) == []
    last = cell(lesson, COUNTED.split("\n")[0])
    last.locator(".cm-content").click()
    lesson.keyboard.press("Control+Enter")
    said = last.locator(".jp-OutputArea-output").filter(has_text="KEPT")
    said.wait_for()
    kept = [int(value) for value in said.inner_text().split()[1:]]
    assert kept[0] == sum(kept[1:]) == number
    assert set(kept[1:]) >= set(counted[:-1])


def test_pointing_shows_an_image_and_a_click_shows_it_close_up(lesson) -> None:
    found = explorer_cell(lesson)
    found.get_by_title("Activate pan & zoom").first.click()
    x, y = dot(lesson, found)
    lesson.mouse.move(x - 40, y)
    lesson.mouse.move(x, y, steps=8)
    found.locator(".explorer-hover img").wait_for()
    assert "confidence: " in found.locator(".explorer-hover").inner_text()
    require_proportions(found.locator(".explorer-hover img"))
    require_in_view(lesson, found.locator(".explorer-hover img"))
    lesson.mouse.click(x, y)
    close_up = found.locator(".explorer-close-up")
    close_up.get_by_text("Nearest in the embedding").wait_for()
    assert close_up.locator("img").count() == 8  # the image, six neighbours, a figure
    assert all(image.get_attribute("alt") for image in close_up.locator("img").all())
    lesson.wait_for_timeout(500)
    shot(lesson, "close_up")
    require_proportions(close_up.locator("img"))
    for image in close_up.locator("img").all():
        require_in_view(lesson, image)
    assert found.locator(".explorer").evaluate(SCROLLERS) == []
    assert not found.locator(".explorer-pictures").is_visible()


def test_a_new_selection_never_lies_under_a_close_up(lesson) -> None:
    found = explorer_cell(lesson)
    assert found.locator(".explorer-close-up img").first.is_visible()  # of the test before
    lasso(lesson, found, maps(found)[0], 0.7)
    found.locator(".explorer-pictures img").nth(3).wait_for()
    lesson.wait_for_timeout(300)
    assert found.locator(".explorer-close-up img").count() == 0
    require_in_view(lesson, found.locator(".explorer-pictures"))


def test_the_selection_is_reached_by_keyboard(lesson) -> None:
    found = explorer_cell(lesson)
    found.get_by_role("button", name="clear selection").focus()
    lesson.keyboard.press("Enter")
    found.get_by_text("Nothing is selected").wait_for()  # the pictures of the test before are gone
    found.get_by_role("button", name="select all shown").focus()
    lesson.keyboard.press("Enter")
    pictures = found.locator(".explorer-pictures")
    pictures.locator("img").nth(20).wait_for()
    found.get_by_title("the images after these").focus()
    for _ in range(3):  # Tab goes on to the first picture, arrow keys from there
        lesson.keyboard.press("Tab")
        if lesson.evaluate("document.activeElement.closest('.explorer-pictures') !== null"):
            break
    lesson.keyboard.press("ArrowRight")
    lesson.keyboard.press("ArrowDown")
    focused = pictures.locator("button:focus")
    assert focused.count() == 1
    asked = focused.get_attribute("title")
    assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    found.locator(".explorer-hover img").wait_for()
    lesson.keyboard.press("Enter")
    close_up = found.locator(".explorer-close-up")
    close_up.get_by_text("Nearest in the embedding").wait_for()
    assert close_up.locator("img").first.get_attribute("alt") == asked.split(" (")[0]
    shot(lesson, "keyboard")
    found.get_by_role("button", name="selection", exact=True).click()
    pictures.locator("button").first.focus()
    lesson.keyboard.press("Escape")
    found.get_by_text("Nothing is selected").wait_for()


def test_every_control_has_a_label(lesson) -> None:
    found = explorer_cell(lesson)
    found.get_by_role("button", name="compare, add images").click()
    for part in (found, cell(lesson, "explorer_widgets.show(explorer_widgets.degrade")):
        assert part.evaluate(UNLABELLED) == []
    found.get_by_role("button", name="selection", exact=True).click()


def dot(page, found) -> tuple[float, float]:
    """Where a dot of the first map lies on the page."""
    box = maps(found)[0]
    shown = np.ptp(pixels(page, box), axis=2) > 60
    shown[:, :60] = False  # the buttons
    y, x = np.argwhere(shown)[shown.sum() // 2].tolist()
    return box["x"] + x, box["y"] + y


def test_added_images_are_placed_and_marked(lesson, tmp_path: Path) -> None:
    found = explorer_cell(lesson)
    good, bad = tmp_path / "mine.png", tmp_path / "broken.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(good)
    bad.write_text("no image")
    found.get_by_role("button", name="compare, add images").click()
    with lesson.expect_file_chooser() as chosen:
        found.get_by_role("button", name="add images (0)").click()
    chosen.value.set_files([good, bad])
    found.get_by_text("1 images added").wait_for()
    assert "broken.png" in found.get_by_text("1 images added").inner_text()
    found.locator(".explorer-close-up").get_by_text("mine.png").wait_for()
    found.get_by_role("button", name="selection", exact=True).click()
    assert "added" in found.locator(".explorer-grid").inner_text()
    shot(lesson, "added")


def search(found, text: str, images: int | None = None) -> int:
    """Search in an explorer as one types, and return how many images it says it has found."""
    field = found.get_by_placeholder("search: ")
    field.fill(text)
    field.press("Enter")
    said = found.locator(".explorer-said").filter(has_text="images found")
    said.wait_for()
    if images is not None:
        found.locator(".explorer-said").filter(has_text=f"{images} images found").wait_for()
    return int(said.inner_text().split()[0])


def dots(page, found) -> np.ndarray:
    """How much of each map is coloured."""
    page.wait_for_timeout(700)  # points fade
    return np.array([(np.ptp(pixels(page, box), axis=2) > 60).sum() for box in maps(found)])


def test_a_search_selects_and_filters(lesson) -> None:
    found = explorer_cell(lesson)
    found.get_by_role("button", name="clear selection").click()
    found.get_by_text("Nothing is selected").wait_for()
    everything = dots(lesson, found)
    number = search(found, 'set-up == "closed" and class in ["Real", "SNGAN"]')
    assert number > 3
    heading = found.locator(".explorer-pages b")
    assert heading.inner_text() == f"{number} images"
    only = found.get_by_label("show only these")
    only.check()
    found.get_by_role("button", name="clear selection").click()
    few = dots(lesson, found)
    assert (0 < few).all() and (few < 0.8 * everything).all()
    shot(lesson, "search")
    for part in (found.get_by_placeholder("search: "), only):
        require_in_view(lesson, part)
    found.get_by_role("button", name="select all shown").click()
    found.get_by_text(f"{number} images", exact=True).wait_for()
    found.get_by_placeholder("search: ").fill("confidance < 0.5")
    found.get_by_placeholder("search: ").press("Enter")
    found.get_by_text("there is no column 'confidance'").wait_for()
    assert "unknown score" in found.locator(".explorer-said").inner_text()
    shot(lesson, "search_refused")
    only.uncheck()
    found.get_by_role("button", name="clear selection").click()  # beside it, the others are faint
    assert (dots(lesson, found) > 0.9 * everything).all()


def test_ranges_filter_the_maps_and_each_others_histogram(lesson) -> None:
    found = explorer_cell(lesson)
    found.get_by_role("button", name="select all shown").click()
    found.get_by_role("button", name="filter", exact=True).click()
    ranges = found.locator(".explorer-ranges")
    counts = ranges.locator("b")
    number = int(counts.first.inner_text())
    assert counts.all_inner_texts() == [str(number)] * 2
    everything = dots(lesson, found)
    handle = ranges.locator(".noUi-handle").first  # of the lowest confidence
    handle.focus()
    for _ in range(6):
        handle.press("PageUp")
    ranges.get_by_text("images are shown").filter(has_not_text=f"{number} of {number}").wait_for()
    lesson.wait_for_timeout(500)
    shot(lesson, "filter")
    left = int(ranges.get_by_text("images are shown").inner_text().split()[0])
    assert 0 < left < number
    assert [int(text) for text in counts.all_inner_texts()] == [number, left]
    assert (dots(lesson, found) < everything).all()
    for part in (*ranges.locator("svg").all(), *ranges.locator(".noUi-target").all()):
        require_in_view(lesson, part)
    assert found.locator(".explorer").evaluate(SCROLLERS) == []
    handle.press("Home")
    ranges.get_by_text(f"{number} of {number} images are shown").wait_for()
    found.get_by_role("button", name="selection", exact=True).click()


def test_tags_and_notes_are_saved_and_opened_again(lesson) -> None:
    found = explorer_cell(lesson)
    number = search(found, 'class == "SNGAN" and set-up == "closed"')
    marking = found.locator(".explorer-marking")
    require_in_view(lesson, marking)
    said = found.locator(".explorer-said")
    marking.get_by_label("tag").fill("odd, dark")
    marking.get_by_role("button", name="add").click()
    said.get_by_text(f"{number} images tagged odd, dark").wait_for()
    found.get_by_label("colour by").select_option("tags")
    found.locator(".explorer-legend").get_by_text("no tag").wait_for()
    shot(lesson, "tagged")
    few = search(found, '"dark" in tags and confidence > 0.2')
    assert 0 < few <= number
    marking.get_by_label("note").fill("look again")
    marking.get_by_role("button", name="write").click()
    said.get_by_text(f"note of {few} images written").wait_for()
    marking.get_by_role("button", name="save").click()
    said.get_by_text("saved: ").wait_for()
    shot(lesson, "saved")
    assert f"{number} with tags and {few} with a note" in said.inner_text()
    last = cell(lesson, REOPENED.split("\n")[0])
    last.locator(".cm-content").click()
    lesson.keyboard.press("Control+Enter")
    opened = last.locator(".jp-OutputArea-output").filter(has_text="OPENED")
    opened.wait_for()
    assert [int(value) for value in opened.inner_text().split()[1:3]] == [number, few]
    last.locator("canvas").first.wait_for()
    to_top(lesson, last.locator(".explorer"))
    assert search(last, '"look AGAIN" in note', few) == few
    assert search(last, '"odd" in tags', number) == number
    last.locator(".explorer-pages b").get_by_text(f"{number} images").wait_for()
    last.locator(".explorer-pictures button").first.hover()
    last.locator(".explorer-hover").get_by_text("tags: odd, dark").wait_for()
    shot(lesson, "reopened")
    found.get_by_label("colour by").select_option("class")


def test_the_slider_moves_the_probabilities_and_the_point(lesson) -> None:
    found = cell(lesson, "explorer_widgets.show(explorer_widgets.degrade")
    to_top(lesson, found.locator(".jp-OutputArea"))
    table, ring = found.locator("table").last, found.locator("svg circle").last
    probabilities, place = table.inner_text(), ring.get_attribute("cx")
    slider = found.locator(".noUi-handle")
    slider.focus()
    for _ in range(5):
        slider.press("ArrowRight")
    lesson.wait_for_function(
        "([element, before]) => element.innerText != before",
        arg=[table.element_handle(), probabilities],
    )
    shot(lesson, "degraded")
    assert "JPEG: quality" in found.locator(".widget-inline-hbox").last.inner_text()
    for part in (found.locator(".noUi-handle"), found.locator("svg").last, table):
        require_in_view(lesson, part)
    require_proportions(found.locator(".widget-html img"))
    for image in found.locator(".widget-html img").all():
        require_in_view(lesson, image)
    assert ring.get_attribute("cx") != place


# The page that needs no kernel -------------------------------------------------------------------


@pytest.fixture
def page(browser, tiny_model, tmp_path: Path, rng, monkeypatch) -> Iterator:
    """A page of maps of 60 images, a third of them wide, on a small laptop's screen."""
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    paths = []
    for k in range(60):
        paths.append(tmp_path / "images" / f"{k}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        size = (64, 64 if k % 3 else 160, 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(paths[-1])
    names = ("Real", *UNKNOWN_ARCHITECTURES)
    labels = np.arange(60) % len(names)
    sources = [f"a_generator_of_a_very_long_name_{k}" * 2 for k in labels]
    state = explorer.open_images(tiny_model, {"new": ImageSet(paths, labels, names, sources)})
    for method in ("PCA", "t-SNE"):
        explorer.add_map(state, method)
    file = explorer_page.write_page(state, tmp_path / "page.html")
    shown = browser.new_page(viewport=SCREEN)
    faults: list[str] = []
    shown.on("pageerror", lambda error: faults.append(str(error)))
    shown.goto(file.as_uri())
    shown.locator("#legend button").first.wait_for()
    yield shown
    assert faults == []
    shown.close()


def in_window(found) -> bool:
    """Whether an element lies whole in the window, without scrolling."""
    box = found.bounding_box()
    across = 0 <= box["x"] and box["x"] + box["width"] <= SCREEN["width"]
    return across and 0 <= box["y"] and box["y"] + box["height"] <= SCREEN["height"]


def test_a_page_shows_point_and_selection_beside_its_maps(page) -> None:
    assert all(in_window(canvas) for canvas in page.locator(".map canvas").all())
    page.locator("#map-0").focus()
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Select all that is shown").click()
    shot(page, "page_selection")
    counts = page.locator("#counts p").first
    assert "60 of 60" in counts.inner_text() and in_window(counts)
    pictures = page.locator("#grid figure")
    assert pictures.count() == 60 and in_window(pictures.first)
    for picture in pictures.locator("canvas").all()[:6]:
        style = picture.evaluate("e => [e.width, e.height, getComputedStyle(e).objectFit]")
        assert style[2] == "contain" and style[0] / style[1] in (1, 2.5)
    pictures.first.focus()
    page.keyboard.press("ArrowRight")
    focused = page.locator("#grid figure:focus")
    assert focused.evaluate("e => [...e.parentElement.children].indexOf(e)") == 1
    page.keyboard.press("Enter")
    card = page.locator("#hover")
    name = card.locator("canvas").get_attribute("aria-label")
    assert in_window(card) and focused.locator("canvas").get_attribute("aria-label") == name
    page.mouse.move(5, 5)
    assert card.locator("canvas").get_attribute("aria-label") == name  # it stays
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    assert "Nothing is selected" in counts.inner_text()


def test_a_new_selection_on_a_page_lets_the_image_before_go(page) -> None:
    box = page.locator("#map-0").bounding_box()
    shown = np.ptp(pixels(page, box), axis=2) > 60
    y, x = np.argwhere(shown)[shown.sum() // 2].tolist()
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.mouse.move(5, 5)
    card = page.locator("#hover")
    assert card.locator("canvas").count() == 1 and in_window(card)
    shot(page, "page_click")
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    for across, down in ((0.99, 0.01), (0.99, 0.99), (0.01, 0.99)):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    page.mouse.up()
    page.keyboard.up("Shift")
    page.mouse.move(5, 5)
    assert "60 of 60" in page.locator("#counts p").first.inner_text()
    assert card.locator("canvas").count() == 0
    assert in_window(page.locator("#grid figure").first)
    colours = page.locator("#legend .dot").evaluate_all("all => all.map(e => e.style.background)")
    assert len(set(colours)) == 1 + len(UNKNOWN_ARCHITECTURES)
