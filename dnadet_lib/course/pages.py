"""The pages of the course's web site: lessons and Markdown as HTML."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path
from typing import Any

from dnadet_lib.course.lessons import INSTALL, LessonError
from dnadet_lib.plumbing.text import for_html

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$(?!\$)", re.DOTALL)
STYLE = """
:root { color-scheme: light dark; --text: #222; --ground: #fff; --link: #005a94; --code: #f8f8f8;
  --line: #ccc; --note: #555; --warning: #a33c00; }
@media (prefers-color-scheme: dark) { :root { --text: #ddd; --ground: #16191d; --link: #7cc0f0;
  --code: #0d1117; --line: #555; --note: #aaa; --warning: #ff9d66; }
  img { background: #fff; border-radius: 4px; } }
body { font: 1.05rem/1.6 system-ui, sans-serif; color: var(--text); background: var(--ground);
  max-width: 52rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; margin: 2.2rem 0 0.6rem; }
h1 { margin-top: 1rem; }
a { color: var(--link); }
img { max-width: 100%; height: auto; }
img.formula { vertical-align: middle; max-width: 100%; }
p.formula { text-align: center; }
pre { overflow-x: auto; background: var(--code); padding: 0.7rem 0.9rem; border-radius: 4px;
  font-size: 0.8rem; line-height: 1.45; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 0.9em; }
pre code { font-size: inherit; }
.jp-OutputArea-output pre, .output_text pre, .output_stream pre { background: none;
  border-left: 3px solid var(--line); border-radius: 0; white-space: pre-wrap; }
table { display: block; overflow-x: auto; border-collapse: collapse; border: 0; font-size: 0.9rem;
  margin: 1rem 0; }
th, td { padding: 0.25rem 0.7rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
.lesson { border-top: 1px solid var(--line); padding: 0.4rem 0 0.6rem; }
.lesson h3 { margin: 0.6rem 0 0.2rem; }
.lesson ul { margin: 0.3rem 0; padding-left: 1.3rem; }
.note { color: var(--note); font-size: 0.9rem; }
.missing { color: var(--warning); font-weight: 600; }
"""


# Lessons -----------------------------------------------------------------------------------------


def lesson_page(notebook: Any, there: set[str], title: str) -> str:
    """Convert an executed notebook to a page.

    Args:
        notebook: Executed; it is changed.
        there: Lessons that have a page; links to the others lead to the index.
        title: Of the lesson.

    Raises:
        LessonError: nbconvert is not installed.
    """
    try:
        from nbconvert import HTMLExporter
    except ModuleNotFoundError as error:
        raise LessonError(f"nbconvert, which makes the site, is missing. {INSTALL}") from error
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = link_pages(draw_formulas(cell.source), there)
        else:
            name_figures(cell)
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in _tags(c)]
    exporter = HTMLExporter(
        template_name="basic", exclude_anchor_links=True, exclude_input_prompt=True,
        exclude_output_prompt=True,
    )  # fmt: skip
    body, _ = exporter.from_notebook_node(notebook)
    up = '<p class="note"><a href="index.html">All lessons</a></p>'
    return wrap(title, f"{up}\n{body}\n{neighbours(notebook)}\n{up}", code=True)


def neighbours(notebook: Any) -> str:
    """Make the foot of a page: the line of its first cell that leads to other lessons."""
    lines = notebook.cells[0].source.splitlines() if notebook.cells else []
    links = [line for line in lines if line.startswith("[") and ".html" in line]
    return f'<nav aria-label="Other lessons">{markdown(links[0])}</nav>' if links else ""


def _tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def link_pages(text: str, there: set[str]) -> str:
    """Make links to notebooks lead to their pages, or to the index where there is none."""

    def target(match: re.Match[str]) -> str:
        stem = match[1]
        return f"]({stem}.html)" if stem in there else f"](index.html#{stem})"

    return re.sub(r"\]\((?:\./)?([\w-]+)\.ipynb\)", target, text)


def name_figures(cell: Any) -> None:
    """Give a PNG its caption, the output after it, as alternative text; HTML brings its own."""
    outputs = cell.get("outputs", [])
    for output, following in zip(outputs, [*outputs[1:], None], strict=False):
        if "image/png" not in output.get("data", {}):
            continue
        caption = (following or {}).get("data", {}).get("text/markdown", "*A figure.*")
        output.metadata = {**output.metadata, "image/png": {"alt": caption.strip("*\n")}}


def draw_formulas(text: str) -> str:
    """Replace $...$ and $$...$$ outside code by drawings, so that no script has to set them."""
    parts = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.DOTALL)
    return "".join(
        part if part.startswith("`") else FORMULA.sub(_formula, part) for part in parts
    )


def _formula(match: re.Match[str]) -> str:
    display, inline = match[1], match[2]
    source = " ".join((display or inline).split())
    try:
        picture = formula_image(source)
    except ValueError:  # what matplotlib cannot set is shown as it is written
        return f"<code>{html.escape(source)}</code>"
    return f'<p class="formula">{picture}</p>' if display else picture


def formula_image(source: str, size: float = 12.5) -> str:
    """Draw a TeX formula as an image element.

    Raises:
        ValueError: matplotlib does not know a command in it.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import math_to_image

    buffer = io.BytesIO()
    font = FontProperties(size=size)
    math_to_image(f"${source}$", buffer, prop=font, format="svg")
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(source, quote=True)
    return f'<img class="formula" alt="{text}" src="data:image/svg+xml;base64,{data}">'


def markdown(text: str, paragraph: bool = True) -> str:
    """Convert Markdown to HTML; `paragraph=False` leaves out the paragraph around one line."""
    from nbconvert.filters.markdown import markdown2html

    converted = markdown2html(draw_formulas(text)).strip()
    if paragraph:
        return converted
    return re.sub(r"^<p>(.*)</p>$", r"\1", converted, flags=re.DOTALL)


def embed_images(text: str, folder: Path) -> str:
    """Put the image files that Markdown names inside it; an image that is not there is left out."""
    kinds = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml"}

    def data(match: re.Match[str]) -> str:
        file = folder / match[2]
        if file.suffix not in kinds or not file.is_file():
            return match[1]
        content = base64.b64encode(file.read_bytes()).decode()
        return f"![{match[1]}](data:{kinds[file.suffix]};base64,{content})"

    return re.sub(r"!\[([^\]]*)\]\(([^)]+)\)", data, text)


def wrap(title: str, body: str, code: bool = False) -> str:
    """Put a page's body into a whole document."""
    style = STYLE
    if code:
        from pygments.formatters import HtmlFormatter

        light, dark = (
            HtmlFormatter(style=name).get_style_defs(".highlight")
            for name in ("default", "github-dark")
        )
        style += f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"
        style += "\n.highlight { background: none; }"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="generator" content="dnadet">\n'
        f"<title>{for_html(title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
