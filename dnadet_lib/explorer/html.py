"""What the explorer's widgets show, as pieces of HTML made by plain functions."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from dnadet_lib.attribution import Attribution
from dnadet_lib.explorer import closeup, explorer
from dnadet_lib.explorer.explorer import MARKS, Explorer, Filters
from dnadet_lib.explorer.figures import SELECTED, SHOWN
from dnadet_lib.images.reading import read_image
from dnadet_lib.plots.style import colour_of
from dnadet_lib.plumbing.text import for_html, one_line, shortened

SHOWN_AT_ONCE = 24  # images of a selection
COUNTED_AT_ONCE = 5  # rows of the table of counts
BARS_AT_MOST = 6  # classes
NEIGHBOURS = 6
HINT = "Click a dot, or an image of the selection, to see it close up."


@dataclass(frozen=True)
class Thumbnail:
    """An image of a selection as the grid shows it."""

    source: str  # of the image element; empty if the file cannot be read
    label: str  # who made it and what the model says, or why it cannot be read
    caption: str  # a few characters below it
    colour: str  # of its true class, hexadecimal


def fitted(height: int, width: int, side: int) -> tuple[int, int]:
    """Return height and width of an image that fits into a square, its proportions kept."""
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def encoded(image: np.ndarray, side: int) -> str:
    """Write a uint8 image (H, W, 3) as an address; one of over four times the side is reduced."""
    shown = Image.fromarray(image)
    if max(image.shape[:2]) > 4 * side:
        height, width = fitted(image.shape[0], image.shape[1], 2 * side)
        shown = shown.resize((width, height), Image.Resampling.BOX)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", compress_level=1)
    return address(buffer)


def address(buffer: io.BytesIO) -> str:
    """Write a PNG as the address of an image element."""
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def picture(image: np.ndarray, side: int = 96, title: str = "the image") -> str:
    """Write a uint8 image (H, W, 3) as an element that fits into a square, proportions kept."""
    height, width = fitted(image.shape[0], image.shape[1], side)
    return image_element(encoded(image, side), height, width, title, "image-rendering: pixelated; ")


def image_element(source: str, height: int, width: int, title: str, style: str = "") -> str:
    """Write an image element of a size that nothing around it changes."""
    text = for_html(title)
    return (
        f'<img src="{source}" title="{text}" alt="{text}" width="{width}" height="{height}" '
        f'style="display: inline-block; flex: none; align-self: flex-start; max-width: none; '
        f'width: {width}px; height: {height}px; {style}margin: 2px">'
    )


def drawn(figure: Figure, title: str) -> str:
    """Write a figure as an HTML element as wide as there is room, and close it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
    plt.close(figure)
    text = for_html(title)
    return f'<img src="{address(buffer)}" alt="{text}" style="width: 100%; height: auto">'


def stored_picture(path: Path, side: int = 96, title: str = "the image") -> str:
    """Write an image file as an HTML element, or the reason why it cannot be read."""
    try:
        return picture(read_image(path), side, title)
    except (OSError, ValueError) as error:
        return f'<span class="explorer-error">{for_html(error)}</span> '


def bars(attribution: Attribution, classes: Sequence[str]) -> str:
    """Write the most probable classes of one image as HTML bars, with the verdict on the score."""
    values = attribution.probabilities[0]
    shown = list(range(len(classes)))
    if len(classes) > BARS_AT_MOST:
        shown = np.argsort(-values, kind="stable")[: BARS_AT_MOST - 1].tolist()
    lines = [(classes[k], colour_of(classes[k]), values[k]) for k in shown]
    if len(shown) < len(classes):
        rest = max(0.0, 1 - float(values[shown].sum()))
        lines.append((f"{len(classes) - len(shown)} other classes", "#8C8C8C", rest))
    rows = [
        f'<tr><td style="padding-right: 8px">{for_html(shortened(name, 24))}</td>'
        f'<td style="width: 110px"><div style="background: {colour}; '
        f'width: {100 * p:.1f}%; height: 12px"></div></td>'
        f'<td style="text-align: right">{p:.3f}</td></tr>'
        for name, colour, p in lines
    ]
    verdicts = {True: "known", False: "<b>outside what the model knows</b>", None: "not checked"}
    verdict = verdicts[attribution.known.tolist()[0]]
    score = f"unknown score {attribution.unknown_scores[0]:.3f}: {verdict}"
    return (
        f'<table class="explorer-bars" aria-label="probability of each class">{"".join(rows)}'
        f"</table><div>{score}</div>"
    )


def thumbnails(state: Explorer, positions: Sequence[int], side: int = 64) -> list[Thumbnail]:
    """Read some images as the grid shows them."""
    found = []
    for i in positions:
        row = state.table.iloc[i]
        named = one_line(row["predicted"])
        said = f"named {named}" if row["told"] else f"cannot tell, nearest {named}"
        label = f"{one_line(row['generator'])} ({one_line(row['class'])}): {said}"
        label += f", confidence {row['confidence']:.2f}"
        colour = colour_of(one_line(row["class"]))
        try:
            source = encoded(read_image(state.paths[i]), side)
        except (OSError, ValueError) as error:
            source, label = "", one_line(error)
        found.append(Thumbnail(source, label, f"{row['confidence']:.2f} {named}", colour))
    return found


def counts(state: Explorer, selected: np.ndarray) -> str:
    """Write what a selection holds: the most frequent generators, and the others in one row."""
    if len(selected) == 0:
        return "Nothing is selected: choose the lasso beside a map and drag, or use the button."
    table = explorer.counts(state, selected).reset_index()
    shown = table.head(COUNTED_AT_ONCE).astype(object)
    for name in ("class", "generator", "set-up"):
        shown[name] = shown[name].map(lambda text: shortened(text, 28))
    for name in ("share", "named rightly", "refused"):
        shown[name] = shown[name].map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
    rest = table.iloc[COUNTED_AT_ONCE:]
    if len(rest):
        line: dict[str, object] = dict.fromkeys(shown.columns, "")
        line |= {"generator": f"{len(rest)} others", "images": int(rest["images"].sum())}
        shown = pd.concat([shown, pd.DataFrame([line])])
    return table_element(shown)


def table_element(table: pd.DataFrame) -> str:
    """Write a table as HTML, its columns set apart; names in it are shown as they are."""
    shown = table.map(lambda value: one_line(value) if isinstance(value, str) else value)
    written = shown.rename(columns=one_line).to_html(border=0, index=False, escape=True)
    style = '<table style="border-collapse: separate; border-spacing: 14px 0"'
    return written.replace("<table", style, 1)


def named(state: Explorer, position: int) -> list[str]:
    """Say who made an image, and which class the model names."""
    row = state.table.iloc[position]
    lines = [f"{name}: {shortened(row[name], 60)}" for name in ("class", "generator", "set-up")]
    nearest = shortened(row["predicted"], 60)
    lines.append(f"predicted: {nearest if row['told'] else f'cannot tell (nearest: {nearest})'}")
    return [*lines, f"confidence: {row['confidence']:.3f}"]


def facts(state: Explorer, position: int) -> str:
    """Write what is known of an image, line by line."""
    row = state.table.iloc[position]
    lines = [*named(state, position), f"unknown score: {row['unknown score']:.3f}"]
    if pd.isna(row["known"]):
        lines.append("not checked whether the model knows such images")
    elif not row["known"]:
        lines.append("unknown: outside what the model knows")
    marks = [f"{name}: {shortened(row[name], 60)}" for name in MARKS if row[name]]
    return as_facts([*lines, *(["; ".join(marks)] if marks else [])])


def as_facts(lines: Sequence[str]) -> str:
    """Write lines as an element, one below the other."""
    written = "".join(f"<div>{for_html(line)}</div>" for line in lines)
    return f'<div class="explorer-facts">{written}</div>'


def hover(state: Explorer, position: int | None) -> str:
    """Write the image under the mouse with what the model says of it."""
    if position is None or not 0 <= position < len(state):
        return "Point at a dot to see its image here."
    shown = stored_picture(state.paths[position], 76, shortened(state.table["generator"][position]))
    return f'<div class="explorer-row">{shown}{facts(state, position)}</div>'


def close_up(state: Explorer, position: int) -> str:
    """Write all about one image: pixels, probabilities, neighbours, votes, Grad-CAM, spectrum."""
    try:
        image = read_image(state.paths[position])
        attribution = state.model.attribute([state.paths[position]])
        figure = closeup.overview_figure(state.model, image)
    except (OSError, ValueError) as error:
        return for_html(error)
    path, (height, width) = state.paths[position], image.shape[:2]
    name = state.table["generator"].iloc[position]
    about = (
        "the image's patch votes, Grad-CAM, residual and power spectrum; the model "
        f"{'names' if attribution.verdicts[0] else 'cannot tell; nearest is'} "
        f"{attribution.labels[0]}"
    )
    return (
        f'<div title="{for_html(path)}"><b>{for_html(shortened(path.name))}</b>, '
        f"{width} x {height} pixels</div>"
        f'<div class="explorer-row">{picture(image, 112, shortened(name))}'
        f"<div>{bars(attribution, state.classes)}</div>{as_facts(named(state, position))}</div>"
        f"{neighbours(state, position)}{drawn(figure, about)}"
    )


def neighbours(state: Explorer, position: int) -> str:
    """Write the images that are nearest to one in the embedding."""
    others = np.flatnonzero(np.arange(len(state)) != position)
    own = state.embeddings[position]
    found, distances = explorer.neighbours(state, own, NEIGHBOURS, others)
    pieces = []
    for i, distance in zip(found, distances, strict=True):
        name = shortened(state.table["generator"].iloc[i])
        shown = stored_picture(state.paths[i], 56, name)
        pieces.append(
            f'<div class="explorer-neighbour" title="{for_html(name)}">{shown}'
            f"<div>{for_html(name)}</div>at {distance:.3f}</div>"
        )
    return (
        "<div>Nearest in the embedding, with cosine distance:</div>"
        f'<div class="explorer-row">{"".join(pieces)}</div>'
    )


def legend(state: Explorer, colour_by: str) -> str:
    """Write what the colours of a numeric column mean."""
    shown, _ = explorer.colours(state, colour_by)
    there = shown[np.isfinite(shown)]
    if not len(there):
        return f"no image has a {colour_by}"
    steps = ", ".join(to_hex(colormaps["cividis"](k / 8)) for k in range(9))
    return (
        f"{colour_by}: {there.min():.3f} "
        '<span style="display: inline-block; width: 140px; height: 12px; vertical-align: middle; '
        f'background: linear-gradient(to right, {steps})"></span> {there.max():.3f}'
    )


def histogram(state: Explorer, name: str, filters: Filters, selected: np.ndarray) -> str:
    """Draw a histogram of what passes the filters but for its own range, the selection laid over.

    What its own range leaves out is pale.
    """
    found = explorer.histogram(state, name, filters, selected)
    low, high = filters.ranges.get(name, (found.edges[0], found.edges[-1]))
    middles = (found.edges[1:] + found.edges[:-1]) / 2
    inside = (middles >= low) & (middles <= high)
    top, width = max(1, int(found.shown.max())), 100 / len(middles)
    bars = []
    for k, (shown, chosen) in enumerate(zip(found.shown, found.selected, strict=True)):
        for count, colour in ((shown, SHOWN), (chosen, SELECTED)):
            if count:  # one image, too, is seen among thousands
                tall = max(1.5, 60 * count / top)
                bars.append(
                    f'<rect x="{k * width:.2f}" y="{60 - tall:.2f}" width="{0.92 * width:.2f}" '
                    f'height="{tall:.2f}" fill="{colour}" opacity="{1 if inside[k] else 0.3}"/>'
                )
    number = found.shown.sum()
    about = f"histogram of the {name} of {number} images, {found.selected.sum()} selected"
    return (
        f"<div>{name} of <b>{number}</b> images, shown from {low:.4g} to {high:.4g}</div>"
        f'<svg role="img" aria-label="{about}" viewBox="0 0 100 60" '
        'preserveAspectRatio="none" class="explorer-histogram">'
        f"{''.join(bars)}</svg>"
    )


def quality(state: Explorer, name: str) -> str:
    """Write a map's name, what made it, and its scores."""
    title = f"<b>{for_html(state.title_of(name))}</b>"
    try:
        scores = explorer.quality(state, [name]).loc[name]
    except ValueError:  # one class alone has no scores
        return title
    line = ", ".join(f"{key} {value:.2f}" for key, value in scores.items())
    return f'<div title="{line}">{title}: {line}</div>'
