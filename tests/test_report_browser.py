"""A report's page in a real browser, opened from the file system, light and dark, wide and narrow.

As in `test_browser.py`: skipped without Chromium, unless DNADET_BROWSER=required.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import photograph, write_images
from test_browser import SHOTS

from dnadet_lib import zoo
from dnadet_lib.checkpoints.models import save_model
from dnadet_lib.cli import main
from dnadet_lib.model import DNADet, InputSpec
from dnadet_lib.report import known_images

MANY = 130  # more than the table shows at a time


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of some images with long names, and of a file that is none."""
    base, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    folder = base / "images"
    write_images(folder, 5, rng, side=32)
    Image.fromarray(photograph(rng, 40, 600)).save(folder / f"{'banner' * 30}.png")
    Image.fromarray(photograph(rng, 400, 300)).save(folder / "tall image.jpg")
    (folder / "broken.png").write_bytes(b"no image")
    torch.manual_seed(0)
    model = DNADet(5, 8, classes=zoo.CLASSES, input=InputSpec(resize=None, patch=32, vote="turned"))
    save_model(model, base / "m.safetensors")
    out = base / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DNADET_BUILD", str(base / "build"))
        patch.setattr(known_images, "EACH", 2)
        main(["report", str(folder), "--model", str(base / "m.safetensors"), "-o", str(out)])
    return out.as_uri()


def opened(browser, address: str, width: int = 1366, scheme: str = "light"):
    """Open the page; whatever it complains about is collected in `page.complaints`."""
    page = browser.new_page(
        viewport={"width": width, "height": 768 if width > 500 else 844}, color_scheme=scheme
    )
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.complaints.append(request.url)
            if not request.url.startswith(("file:", "data:")) else None)  # fmt: skip
    page.goto(address)
    return page


def column(page, number: int) -> list[str]:
    return page.locator(f"#table tbody tr > :nth-child({number})").all_inner_texts()


def colours(page) -> set[str]:
    return set(page.evaluate(
        "['body', '.card', '.card .name', 'nav a', '#table th'].map((q) => { const s = "
        "getComputedStyle(document.querySelector(q)); return `${q} ${s.color} "
        "${s.backgroundColor}`; })"
    ))  # fmt: skip


def test_sorting_and_filtering_with_mouse_and_keyboard(browser, address) -> None:
    page = opened(browser, address)
    files = column(page, 1)
    assert len(files) == 8 and files[0] == "broken.png"
    page.get_by_role("button", name="probability").click()
    shown = column(page, 4)
    values = page.locator("#table td[data-label=probability]").evaluate_all(
        "cells => cells.map((cell) => cell.dataset.value)"
    )
    numbers = [float(value) for value in values[:-1]]
    assert numbers == sorted(numbers) and shown[-1] == ""  # what was not read comes last
    head = page.locator("#table th", has_text="probability")
    assert head.get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="probability").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, 4) == [*shown[-2::-1], ""]
    page.get_by_role("searchbox").fill("TALL")
    assert column(page, 1) == ["tall image.jpg"]
    assert page.locator(".card:visible").count() == 1
    assert page.get_by_text("1 of 7 images shown, 1 of 8 rows").is_visible()
    page.get_by_role("searchbox").fill("")
    button = page.locator("[data-filter=unread]")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert column(page, 1) == ["broken.png"] and page.locator(".card:visible").count() == 0
    button.click()
    assert sorted(column(page, 1)) == sorted(files)
    page.locator("#table a", has_text="tall image.jpg").click()
    assert page.locator(".card:target .name").inner_text() == "tall image.jpg"
    assert page.complaints == []
    page.close()


def test_a_long_table_is_shown_in_parts_and_printed_whole(browser, address) -> None:
    file = Path(address.removeprefix("file://"))
    text = file.read_text(encoding="utf-8")
    start = text.index("<tr data-kind")
    row = text[start : text.index("</tr>", start) + 5]
    more = "".join(row.replace("broken.png", f"{k}.png") for k in range(MANY))
    longer = file.with_name("long.html")
    longer.write_text(
        text.replace("</tbody>\n</table>\n<div", f"{more}</tbody></table><div"), encoding="utf-8"
    )
    page = opened(browser, longer.as_uri())
    assert len(column(page, 1)) == 100
    assert page.get_by_text(f"1 to 100 of {MANY + 8}").is_visible()
    page.get_by_role("button", name="Next").click()
    assert len(column(page, 1)) == MANY + 8 - 100
    assert page.get_by_role("button", name="Next").is_disabled()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(column(page, 1)) == MANY + 8
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.get_by_role("button", name="Show all").click()
    assert len(column(page, 1)) == MANY + 8
    page.close()


@pytest.mark.parametrize("width", [390, 800, 1366])
def test_nothing_reaches_beyond_the_window(browser, address, width) -> None:
    page = opened(browser, address, width)
    page.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    right = page.evaluate(
        "Math.max(...[...document.querySelectorAll('main *')].map((e) => "
        "e.closest('.store, .hash') ? 0 : e.getBoundingClientRect().right))"
    )
    assert right <= width
    for image in page.locator(".picture img").all():
        natural, shown = image.evaluate(
            "(e) => [e.naturalWidth / e.naturalHeight, e.clientWidth / e.clientHeight]"
        )
        fit = image.evaluate("(e) => getComputedStyle(e).objectFit")
        assert fit == "contain" or shown == pytest.approx(natural, rel=0.05)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"report_{width}.png", full_page=True)
    assert page.complaints == []
    page.close()


def test_dark_and_light_differ_and_both_can_be_read(browser, address) -> None:
    found = {}
    for scheme in ("light", "dark"):
        page = opened(browser, address, scheme=scheme)
        found[scheme] = colours(page)
        contrast = page.evaluate(
            "['.card .name', 'nav a', 'figcaption'].map((q) => "
            "getComputedStyle(document.querySelector(q)).color)"
        )
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        for colour in contrast:
            assert ratio(colour, ground) > 4.5
        page.close()
    assert not found["light"] & found["dark"]


def ratio(one: str, other: str) -> float:
    """Contrast of two colours `rgb(r, g, b)`, as WCAG 2 defines it."""
    levels = []
    for colour in (one, other):
        parts = np.array([int(p) for p in colour[4:-1].split(",")]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        levels.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(levels) / min(levels)
