"""The course as a web site: executed lessons and an index, read from the file system, no server.

Every page is one file: figures and formulas are inside it, and it loads nothing from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnadet_lib.course.evidence import table_notes
from dnadet_lib.course.lessons import is_rendered
from dnadet_lib.course.pages import embed_images, lesson_page, markdown, wrap
from dnadet_lib.course.running import lesson_files
from dnadet_lib.explorer.page import open_shipped, write_page
from dnadet_lib.plumbing.files import atomic_path, claimed_folder, inside
from dnadet_lib.plumbing.paths import build_folder, data_folder
from dnadet_lib.plumbing.text import for_html
from dnadet_lib.zoo.manifest import CLASSES

MAP = "explorer.html"
MAP_TITLE = "The shipped results on a map"
MAP_IMAGES = {"pocket": 25, "smoke": 6}  # of a generator, by profile; the first one rendered counts
MINUTES = re.compile(r"\*\*Minutes on two cores:\*\* smoke ([^,]+), pocket (\S+)")
OURS = re.compile(r"index\.html|explorer\.html|[0-9][0-9]_\w+\.html")  # names of pages
MARKS = (  # one of them stands at the beginning of every page
    b'<meta name="generator" content="dnadet">',
    b"system-ui, sans-serif; color: #222; background: #fff;",  # of pages that name no generator
)
SHIPPED_TABLE = (
    "The row 'raw, all' is the published recipe in our own small size, on raw pixels: patches and "
    "the contrastive loss, but images of 64 pixels that are not enlarged to 512, and short "
    "training. It says nothing about released models. 'high-pass, all' is the same behind a fixed "
    "filter, which the published method does not have. 'pocket' is stage 1 with Fisher's "
    "discriminant in place of stage 2 (lesson 03), learned from changed copies of the training "
    "images, too; 'pocket_plain' is the same from unchanged images alone. The mean of the four is "
    "over seed, loss, finetune and dataset. Generators of another loss start from the same random "
    "weights as the training generator, and fine-tuned ones from its trained weights, so what is "
    "peculiar to these weights can help there: only seed and dataset speak against memory. Those "
    "of other pictures start from other random weights, as those of another seed do. Abroad are "
    "generators made by other code, in which nearly everything but the architecture differs at "
    "once; so they are no part of that mean. Real counts in the means of closed and dataset. All "
    "photographs were once JPEG files and no generated image of the zoo was, so Real may be told "
    "from them by that alone. A row is a mean over training seeds. A seed of 'pocket' or "
    "'pocket_plain' trains stage 1 anew. Of the other rows it trains what stage 1 does not: that "
    "is one network for all of them, or another one behind the filter, so their intervals do not "
    "cover another stage 1. The checkpoint that ships under a row's name is the first of them, "
    "seed 0, and was not chosen by its figures: it may do better or worse than its row."
)
OWN_TABLE = (
    "One training seed of two methods, on at most 100 images of each generator (lesson 04). A name "
    "with 'high-pass' says that a fixed filter comes first. The published method has no such "
    "filter; on raw pixels its row is 'raw, all' in the table below."
)


@dataclass(frozen=True)
class Page:
    """A lesson as the index lists it.

    Attributes:
        stem: Name of the file, without its ending.
        title: First heading.
        learn: What the lesson says one learns, a line each.
        minutes: Minutes by profile.
        state: "executed", "stopped" (a cell failed) or "missing" (not executed).
        profile: Of the execution.
    """

    stem: str
    title: str
    learn: tuple[str, ...]
    minutes: dict[str, str]
    state: str
    profile: str


def build_site(
    sources: Sequence[Path] | None = None,
    build: Path | None = None,
    results: Sequence[Path] | None = None,
) -> Path:
    """Write the executed lessons, a map of the shipped results and an index to `build/site/`.

    Args:
        sources: The lessons, as committed; all of the course by default. An executed copy of the
            same name is looked for in `build/notebooks/`.
        build: The build folder. The map is made where its rendered images are complete.
        results: Markdown files with result tables, for the index; those that are not there are
            left out. By default `results.md` of the build folder and of the data's results.

    Returns:
        The index page.

    Raises:
        LessonError: there are no lessons, or nbconvert is not installed.
        OSError: a page cannot be written, or has the name of a file that is no page of ours, or
            another process makes the site.
        ValueError: `build/site` leads out of the build folder.
    """
    sources = lesson_files() if sources is None else list(sources)
    build = build or build_folder()
    if results is None:
        results = [build / "results.md", data_folder() / "results" / "results.md"]
    site = inside(build, build / "site")
    notebooks = {file.stem: _read(build / "notebooks" / file.name) for file in sources}
    pages = [describe(_read(file), notebooks[file.stem], file.stem) for file in sources]
    there = {page.stem for page in pages if page.state != "missing"}
    texts = {
        f"{page.stem}.html": lesson_page(notebooks[page.stem], there, page.title)
        for page in pages
        if page.stem in there
    }
    results = [file for file in results if file.is_file()]
    with claimed_folder(site):
        remove_pages(site, [*texts, "index.html", MAP])
        for name, text in texts.items():
            _write(site / name, text)
        _write(site / "index.html", index_page(pages, results, map_page(build, site / MAP)))
    return site / "index.html"


def remove_pages(site: Path, wanted: Sequence[str]) -> None:
    """Remove the pages of an earlier run; files of somebody else stay.

    Raises:
        FileExistsError: one of these has the name of a page that is wanted; nothing is removed.
    """
    pages = [path for path in site.iterdir() if OURS.fullmatch(path.name) and is_page(path)]
    for name in wanted:
        path = site / name
        if path not in pages and (path.exists() or path.is_symlink()):
            raise FileExistsError(
                f"{path}: is no page that dnadet wrote, and a page goes there: move it elsewhere"
            )
    for path in pages:
        path.unlink()


def is_page(path: Path) -> bool:
    """Whether a file is a page that this module wrote, and no link to one."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4096)
    return any(mark in start for mark in MARKS)


def _read(file: Path) -> Any:
    """Read a notebook; None where it is not there."""
    import nbformat

    return nbformat.read(file, as_version=4) if file.is_file() else None


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def describe(source: Any, executed: Any, stem: str) -> Page:
    """Read off a committed notebook, and its executed copy or None, what the index says of it."""
    head = source.cells[0].source
    title = next((line[2:] for line in head.splitlines() if line.startswith("# ")), stem)
    minutes = MINUTES.search(head)
    times = dict(zip(("smoke", "pocket"), minutes.groups(), strict=True)) if minutes else {}
    learn = tuple(line[2:] for line in head.splitlines() if line.startswith("- "))
    if executed is None:
        return Page(stem, title, learn, times, "missing", "")
    papermill = executed.metadata.get("papermill", {})
    outputs = [output for cell in executed.cells for output in cell.get("outputs", ())]
    failed = any(output.output_type == "error" for output in outputs)
    profile = papermill.get("parameters", {}).get("profile", "")
    return Page(stem, title, learn, times, "stopped" if failed else "executed", profile)


# Index -------------------------------------------------------------------------------------------


def index_page(pages: Sequence[Page], results: Sequence[Path], explorer: str = "") -> str:
    """Write the list of the lessons, and below it `explorer`, an entry, and the result tables."""
    done = sum(page.state == "executed" for page in pages)
    parts = [
        "<h1>Which generator architecture made this image?</h1>",
        "<p>A lab course on attributing images to the architecture of the network that made them. "
        "Each lesson asks for a prediction, runs an experiment, and says how to read what came out."
        "</p>",
        f'<p class="note">{done} of {len(pages)} lessons were executed for this site.</p>',
        "<h2>Lessons</h2>",
        *(lesson_entry(page) for page in pages),
        explorer,
    ]
    if results:
        parts.append(
            "<h2>Results</h2><p>Accuracy of each method in the set-ups of lesson 04, with 95% "
            f"intervals. Guessing among the classes gives {1 / len(CLASSES):.2g}. Ends are cut at "
            "0 and 1; where an interval has no width, no spread was seen, and it cannot say how "
            "far the next generator may fall.</p>"
        )
    for file in results:
        shipped = file.parent.name == "results"
        parts.append(f"<h3>{'The whole table, as shipped' if shipped else 'This run'}</h3>")
        parts.append(f"<p>{SHIPPED_TABLE if shipped else OWN_TABLE}</p>")
        parts.append(markdown(embed_images(file.read_text(encoding="utf-8"), file.parent)))
        if shipped:
            parts.append(markdown(table_notes(file.parent)))
    return wrap("Which generator architecture made this image?", "\n".join(parts))


def lesson_entry(page: Page) -> str:
    """Write a lesson's entry of the map."""
    title = for_html(page.title)
    minutes = page.minutes.get(page.profile or "pocket", "?")
    unit = "minute" if minutes == "1" else "minutes"
    about = f"Profile {page.profile or 'pocket'}, {minutes} {unit} on two cores."
    if page.profile == "smoke":
        about += " A run in seconds on a handful of images: its figures mean nothing."
    if page.state == "missing":
        heading = title
        about = '<span class="missing">Not executed.</span> Type: <code>dnadet run '
        about += f"{page.stem}</code>, then make the site again."
    else:
        heading = f'<a href="{page.stem}.html">{title}</a>'
    if page.state == "stopped":
        about = '<span class="missing">Stopped with an error</span>, which the page shows. ' + about
    items = "".join(f"<li>{markdown(line, paragraph=False)}</li>" for line in page.learn)
    return (
        f'<div class="lesson" id="{page.stem}"><h3>{heading}</h3><p class="note">{about}</p>'
        f"<ul>{items}</ul></div>"
    )


def map_page(build: Path, path: Path, seed: int = 0, checkpoint: str = "pocket") -> str:
    """Write the page with the map of the shipped results, and return its entry of the index.

    Where images or the checkpoint are missing there is no page; the entry says what to type.
    """
    heading = f'<h2 id="map">{MAP_TITLE}</h2><p>'
    left_out = '<span class="missing">Left out.</span> '
    try:
        rendered = [p for p in MAP_IMAGES if is_rendered(p, build / "images" / p)]
        if not rendered:
            remedy = "Not all its images are rendered. Type: <code>dnadet render</code>"
            return f"{heading}{left_out}{remedy}, then make the site again.</p>"
        each = MAP_IMAGES[rendered[0]]
        state = open_shipped(build / "images" / rendered[0], each, seed, checkpoint)
        about = (
            f"Test images of the pocket zoo as the checkpoint {checkpoint} sees them: up to {each} "
            "of every generator, and of the photographs of every set-up that counts them; sample "
            f"and maps are drawn with seed {seed}."
        )
        write_page(state, path, MAP_TITLE, about, home="index.html")
    except (OSError, ValueError) as error:
        remedy = "To get the shipped data back, type: <code>git checkout -- data</code>"
        return f"{heading}{left_out}{for_html(error)}<br>{remedy}</p>"
    return (
        f'<h2 id="map"><a href="{path.name}">{MAP_TITLE}</a></h2><p>{len(state):,} images behind '
        "their points: colour, filter, select and look at them, without a notebook.</p>"
    )
