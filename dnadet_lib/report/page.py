"""A report as one HTML file: pictures, votes, spectra and a table, with nothing from elsewhere.

Style and script come from `report_page.html`; the page is written piece by piece, to save memory.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.text import for_html
from dnadet_lib.report import text as parts_of
from dnadet_lib.report.cards import Cards
from dnadet_lib.report.findings import Report, twin_of, write_twin
from dnadet_lib.report.known_images import EACH, KnownImages
from dnadet_lib.report.views import mean_spectrum

TEMPLATE = Path(__file__).with_suffix(".html")
SHOWN_AT_MOST = 200  # images with a card of their own


def write_page(report: Report, file: Path, known: KnownImages | str) -> None:
    """Write a report as an HTML file, and its JSON twin beside it: both or none.

    `known` are images to set beside those of the report, or the reason why there are none.
    """
    pieces = page_pieces(report, file, known)
    with atomic_path(twin_of(file)) as data, atomic_path(file) as page:
        with page.open("w", encoding="utf-8") as stream:
            stream.writelines(pieces)
        write_twin(report, data)  # last: drawing the page can add notes


def page_pieces(report: Report, file: Path, known: KnownImages | str) -> Iterator[str]:
    """Give the page's text in pieces."""
    cards = Cards(report.model, known)
    shown = report.findings[:SHOWN_AT_MOST]
    names = [] if isinstance(known, str) else dict.fromkeys(known.labels.tolist())
    means = {name: mean_spectrum(known.of(name)) for name in names}  # type: ignore[union-attr]
    parts = {
        "title": lambda: for_html(parts_of.heading(report)),
        "colours": lambda: parts_of.colour_style(report.model.classes),
        "counts": lambda: parts_of.count_parts(report),
        "lost": lambda: parts_of.lost_files(report),
        "guard": lambda: parts_of.guard(report.model),
        "measured": lambda: parts_of.measured_part(report),
        "meaning": lambda: parts_of.meaning(report),
        "spectra": lambda: cards.class_spectra(means),
        "intro": lambda: _intro(report, len(shown), known),
        "cards": lambda: (
            cards.card(number, f, report.short(f.path)) for number, f in enumerate(shown, 1)
        ),
        "known": cards.pictures,
        "rows": lambda: parts_of.rows(report, len(shown)),
        "folder": lambda: f", named from {for_html(report.folder)}" if report.folder else "",
        "foot": lambda: parts_of.foot(report, twin_of(file).name),
    }
    template = TEMPLATE.read_text(encoding="utf-8")
    for place, text in enumerate(re.split(r"\{\{(\w+)\}\}", template)):
        if place % 2 == 0:
            yield text
            continue
        piece = parts[text]()
        yield from [piece] if isinstance(piece, str) else piece


def _intro(report: Report, shown: int, known: KnownImages | str) -> str:
    """Say which images have a card, and what is set beside them."""
    count = len(report.findings)
    which = f"All {count} images" if shown == count else f"The first {shown} of {count} images"
    if count == 1:
        which = "The one image"
    beside = (
        f"The nearest known images are looked for among {len(known.images)}: the first "
        f"{EACH} of each class's training images in the zoo that comes with this package."
        if isinstance(known, KnownImages)
        else f"No nearest known images are shown: {for_html(known)}."
    )
    order = "" if count == 1 else ": first those outside what the model knows, then the doubtful"
    return f"<p>{which}{order}. {beside}</p>"
