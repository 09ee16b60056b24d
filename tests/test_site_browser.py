"""The site in a real browser: no serious fault of accessibility, light or dark.

As in `test_browser.py`: skipped without Chromium, unless DNADET_BROWSER=required.
"""

import shutil
from pathlib import Path

import pytest
from test_site import course  # noqa: F401  a fixture

from dnadet_lib.course import lesson_files, site


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault(browser, course, scheme: str) -> None:  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe

    files, build = course
    for file in lesson_files():  # as they are committed: their text and code, without outputs
        shutil.copy(file, build / "notebooks")
        files.append(file)
    index = site.build_site(files, build, [])
    page, axe = browser.new_page(color_scheme=scheme), Axe()
    pages = sorted(index.parent.glob("*.html"))
    assert len(pages) > 8
    for path in pages:
        page.goto(path.as_uri())
        found = axe.run(page).response["violations"]
        serious = [
            (v["id"], v["nodes"][0]["html"])
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert not serious, (path.name, serious)


def test_dark_pages_are_dark_and_figures_stay_on_white(browser, course) -> None:  # noqa: F811
    files, build = course
    page = browser.new_page(color_scheme="dark")
    page.goto((Path(site.build_site(files, build, [])).parent / "00_fine.html").as_uri())
    colour = "element => getComputedStyle(element).backgroundColor"
    body, figure = (page.locator(s).first.evaluate(colour) for s in ("body", "main img[alt]"))
    levels = [int(part) for part in body.strip("rgb()").split(",")]
    assert max(levels) < 60
    assert figure == "rgb(255, 255, 255)"


def test_the_foot_of_a_lesson_leads_to_its_neighbours(browser, course) -> None:  # noqa: F811
    files, build = course
    page = browser.new_page()
    page.goto((Path(site.build_site(files, build, [])).parent / "01_stopped.html").as_uri())
    links = page.locator("nav[aria-label='Other lessons'] a")
    assert links.count() == 2
    links.first.click()
    page.wait_for_url("**/00_fine.html")
