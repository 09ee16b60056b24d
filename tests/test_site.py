"""The site: pages that load nothing, links that lead somewhere, lessons that did not run."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from dnadet_lib.course import site
from dnadet_lib.course.pages import draw_formulas, embed_images
from dnadet_lib.course.running import lesson_files

HEAD = """# {number} · {title}

[← Before]({before}.ipynb) · [After →](02_missing.ipynb)

**What you will learn**

- to see *one* thing
- what $s_k$ is

**What you need first:** nothing.

**Minutes on two cores:** smoke under 0.5, pocket 2
"""
FORMULA = r"$$\sum_k \frac{0.5}{s_k^2} L_k + \log(1 + s_k^2)$$ and `$code$`"


def png() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def lesson(number: str, title: str, before: str) -> nbformat.NotebookNode:
    v4 = nbformat.v4
    cells = [
        v4.new_markdown_cell(HEAD.format(number=number, title=title, before=before)),
        v4.new_code_cell("profile = 'pocket'", metadata={"tags": ["parameters"]}),
        v4.new_markdown_cell(FORMULA),
        v4.new_code_cell("print('<b>')"),
    ]
    return v4.new_notebook(cells=cells)


def execute(notebook: nbformat.NotebookNode, *outputs: nbformat.NotebookNode) -> None:
    injected = nbformat.v4.new_code_cell(
        "profile = 'smoke'  # INJECTED", metadata={"tags": ["injected-parameters"]}
    )
    notebook.cells.insert(2, injected)
    notebook.cells[-1].outputs = list(outputs)
    notebook.metadata["papermill"] = {"parameters": {"profile": "smoke"}}


@pytest.fixture
def course(tmp_path: Path) -> tuple[list[Path], Path]:
    """Three lessons: one executed, one stopped by an error, one not executed."""
    names = {"00_fine": "Fine", "01_stopped": "Stopped & gone", "02_missing": "Missing"}
    v4 = nbformat.v4
    figure = v4.new_output("display_data", data={"image/png": png(), "text/plain": "<Figure>"})
    caption = v4.new_output("display_data", data={"text/markdown": '*What "was" measured.*'})
    said = v4.new_output("stream", name="stdout", text="<b> 0.97 of 100\n")
    why = "the reason"
    fault = v4.new_output("error", ename="ValueError", evalue=why, traceback=[why])
    outputs = {"00_fine": (figure, caption, said), "01_stopped": (fault,)}
    files = []
    for stem, title in names.items():
        notebook = lesson(stem[:2], title, "00_fine")
        files.append(tmp_path / "notebooks" / f"{stem}.ipynb")
        files[-1].parent.mkdir(exist_ok=True)
        nbformat.write(notebook, files[-1])
        if stem in outputs:
            execute(notebook, *outputs[stem])
            copy = tmp_path / "build" / "notebooks" / files[-1].name
            copy.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, copy)
    return files, tmp_path / "build"


@pytest.fixture
def pages(course) -> dict[str, str]:
    files, build = course
    (build / "results.md").write_text("| method | closed |\n|---|---|\n| ours | 0.912 |\n")
    index = site.build_site(files, build, [build / "results.md", build / "absent.md"])
    assert index == build / "site" / "index.html"
    return {page.stem: page.read_text(encoding="utf-8") for page in index.parent.glob("*.html")}


def test_executed_lessons_have_a_page_and_the_index_names_the_others(pages) -> None:
    assert set(pages) == {"index", "00_fine", "01_stopped"}
    index = pages["index"]
    assert '<a href="00_fine.html">00 · Fine</a>' in index
    assert "1 of 3 lessons were executed" in index
    assert re.search(r'id="02_missing".*Not executed.*dnadet run 02_missing', index)
    assert re.search(r'01_stopped.html">01 · Stopped &amp; gone.*Stopped with an error', index)
    assert "the reason" in pages["01_stopped"]
    assert "its figures mean nothing" in index
    assert "<li>to see <em>one</em> thing</li>" in index


def test_results_stand_on_the_index(pages) -> None:
    assert re.search(r"<td[^>]*>0.912</td>", pages["index"])


def test_pages_load_nothing(pages) -> None:
    for name, text in pages.items():
        assert "<script" not in text, name
        sources = re.findall(r'(?:src|href)="([^"]*)"', text)
        for source in sources:
            target = source.split("#")[0].removesuffix(".html")
            assert source.startswith("data:") or target in pages, (name, source)
        assert 'name="viewport"' in text


def test_links_between_lessons_lead_to_pages_or_to_the_index(pages) -> None:
    assert 'href="00_fine.html"' in pages["01_stopped"]
    assert 'href="index.html#02_missing"' in pages["01_stopped"]
    assert ".ipynb" not in pages["00_fine"]


def test_outputs_are_shown_and_figures_have_their_caption_as_text(pages) -> None:
    text = pages["00_fine"]
    assert "&lt;b&gt; 0.97 of 100" in text
    (figure,) = re.findall(r'<img[^>]*src="data:image/png[^>]*>', text)
    assert 'What "was" measured.' in html.unescape(figure)
    assert "INJECTED" not in text


def test_formulas_are_drawn_and_code_is_left_alone(pages) -> None:
    text = pages["00_fine"]
    assert r'alt="\sum_k \frac{0.5}{s_k^2} L_k + \log(1 + s_k^2)"' in text
    assert "$code$" in text
    assert len(re.findall(r'<img[^>]*class="formula"', text)) == 2


def test_a_formula_that_cannot_be_drawn_is_shown_as_written() -> None:
    assert draw_formulas(r"$\nosuchcommand{x}$") == r"<code>\nosuchcommand{x}</code>"
    assert draw_formulas("costs 5$") == "costs 5$"


def test_pages_of_an_earlier_run_do_not_stay(course) -> None:
    files, build = course
    site.build_site(files, build, [])
    (build / "notebooks" / "01_stopped.ipynb").unlink()
    site.build_site(files, build, [])
    assert not (build / "site" / "01_stopped.html").exists()


def test_images_of_a_results_page_are_put_inside(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "dots.png")
    text = embed_images("![Dots](dots.png) ![Gone](gone.png)", tmp_path)
    assert text.startswith("![Dots](data:image/png;base64,")
    assert text.endswith(" Gone")


def test_the_courses_own_lessons_are_described(tmp_path: Path) -> None:
    index = site.build_site(build=tmp_path, results=[]).read_text(encoding="utf-8")
    assert index.count("Not executed.") == len(lesson_files())
    assert "?</code> minutes" not in index


def test_one_minute_is_no_plural() -> None:
    for minutes, told in (("1", "1 minute on"), ("1.5", "1.5 minutes on"), ("2", "2 minutes on")):
        page = site.Page("00_a", "A", (), {"pocket": minutes}, "executed", "pocket")
        assert told in site.lesson_entry(page)
