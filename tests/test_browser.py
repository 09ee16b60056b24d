"""The explorer in a real browser: JupyterLab with lesson 06, driven with the mouse.

Chromium is looked for on the path, or where DNADET_CHROMIUM says. Without it the tests are skipped;
with DNADET_BROWSER=required they fail instead. Screenshots go to `build/browser/`.
"""

from __future__ import annotations

import io
import json
import os
import shutil
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

ROOT = Path(__file__).parents[1]
SHOTS = ROOT / "build" / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("DNADET_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = [
    "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
MINUTE = 60_000  # milliseconds
SETTINGS = {  # cells that are not in sight are on the page; no question pops up
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
COUNTED = """\
kept = explorer.frame(state, "mine")
print("KEPT", len(kept), *sorted(kept["generator"].value_counts().tolist()))"""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Headless Chromium, with WebGL drawn by the processor."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return lacking("playwright is not installed: pip install -e '.[test]'")
    if CHROMIUM is None:
        return lacking("no Chromium: apt install chromium, or name one in DNADET_CHROMIUM")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def lacking(what: str) -> None:
    """Skip, or fail where a browser is required."""
    if os.environ.get("DNADET_BROWSER") == "required":
        pytest.fail(what)
    pytest.skip(f"NOT TESTED IN A BROWSER: {what}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a copy of lesson 06 at the smoke profile; the address of its page."""
    folder = tmp_path_factory.mktemp("lab")
    lesson = nbformat.read(ROOT / "notebooks" / "06_explore.ipynb", 4)
    (parameters,) = (c for c in lesson.cells if "parameters" in c.metadata.get("tags", ()))
    parameters.source = parameters.source.replace('"pocket"', '"smoke"', 1)
    lesson.cells.append(nbformat.v4.new_code_cell(COUNTED))
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
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    page.set_default_timeout(3 * MINUTE)
    page.goto(lab)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    ended = cell(page, COUNTED.split("\n")[0]).locator(".jp-OutputArea-output")
    failed = page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']")
    ended.or_(failed).first.wait_for()
    assert "no selection 'mine'" in failed.first.inner_text()  # the last cell: nothing is kept yet
    yield page
    page.close()


def cell(page, text: str):
    """The cell whose code holds a text."""
    return page.locator(".jp-CodeCell").filter(has_text=text).first


def explorer_cell(page):
    """The cell of the first linked maps, its maps in sight."""
    found = cell(page, "explorer_widgets.show(explorer_widgets.explore, state)")
    found.locator("canvas").first.scroll_into_view_if_needed()
    return found


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
    grid = found.locator(".explorer-grid")
    heading = grid.locator("b")
    heading.wait_for()
    number = int(heading.inner_text().split()[0])
    assert number > 3
    assert grid.locator("img").count() == min(number, 200)
    counted = [int(row.locator("td").nth(3).inner_text()) for row in grid.locator("tbody tr").all()]
    assert sum(counted) == number
    found.get_by_placeholder("name of the selection").fill("mine")
    found.get_by_role("button", name="keep").click()
    found.get_by_text("kept: ").wait_for()
    shot(lesson, "lasso")
    last = cell(lesson, COUNTED.split("\n")[0])
    last.locator(".cm-content").click()
    lesson.keyboard.press("Control+Enter")
    said = last.locator(".jp-OutputArea-output").filter(has_text="KEPT")
    said.wait_for()
    kept = [int(value) for value in said.inner_text().split()[1:]]
    assert kept == [number, *sorted(counted)]


def test_pointing_shows_an_image_and_a_click_shows_it_close_up(lesson) -> None:
    found = explorer_cell(lesson)
    found.get_by_title("Activate pan & zoom").first.click()
    box = maps(found)[0]
    shown = np.ptp(pixels(lesson, box), axis=2) > 60
    shown[:, :60] = False  # the buttons
    y, x = np.argwhere(shown)[shown.sum() // 2].tolist()
    lesson.mouse.move(box["x"] + x - 40, box["y"] + y)
    lesson.mouse.move(box["x"] + x, box["y"] + y, steps=8)
    found.locator(".explorer-hover img").wait_for()
    assert "confidence: " in found.locator(".explorer-hover").inner_text()
    lesson.mouse.click(box["x"] + x, box["y"] + y)
    close_up = found.locator(".explorer-close-up")
    close_up.get_by_text("Nearest in the embedding").wait_for()
    assert close_up.locator("img").count() == 9  # twice the image, six neighbours, a figure
    close_up.scroll_into_view_if_needed()
    shot(lesson, "close_up")


def test_added_images_are_placed_and_marked(lesson, tmp_path: Path) -> None:
    found = explorer_cell(lesson)
    good, bad = tmp_path / "mine.png", tmp_path / "broken.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(good)
    bad.write_text("no image")
    with lesson.expect_file_chooser() as chosen:
        found.get_by_text("add images").click()
    chosen.value.set_files([good, bad])
    found.get_by_text("1 images added").wait_for()
    assert "broken.png" in found.get_by_text("1 images added").inner_text()
    found.locator(".explorer-grid").get_by_text("1 images").wait_for()
    assert "added" in found.locator(".explorer-grid").inner_text()
    shot(lesson, "added")


def test_the_slider_moves_the_probabilities_and_the_point(lesson) -> None:
    found = cell(lesson, "explorer_widgets.show(explorer_widgets.degrade")
    found.scroll_into_view_if_needed()
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
    assert ring.get_attribute("cx") != place
