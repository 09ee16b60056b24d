"""What the explorer's widgets show, as pieces of HTML made by plain functions."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from dnadet_lib import closeup, explorer, plots
from dnadet_lib.data import read_image
from dnadet_lib.explorer import Explorer
from dnadet_lib.model import Attribution
from dnadet_lib.text import for_html, one_line, shortened

SHOWN_AT_MOST = 200  # images of a selection
NEIGHBOURS = 6


def picture(image: np.ndarray, side: int = 96, title: str = "") -> str:
    """Write a uint8 image (H, W, 3) as an HTML element, enlarged without smoothing."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return _element(buffer, side, title, "image-rendering: pixelated; ")


def _element(buffer: io.BytesIO, width: int, title: str, style: str = "") -> str:
    data, text = base64.b64encode(buffer.getvalue()).decode(), for_html(title)
    return (
        f'<img src="data:image/png;base64,{data}" title="{text}" alt="{text}" width="{width}" '
        f'style="display: inline-block; {style}margin: 2px">'
    )


def drawn(figure: Figure, width: int) -> str:
    """Write a figure as an HTML element, and close it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    plt.close(figure)
    return _element(buffer, width, "")


def stored_picture(path: Path, side: int = 96, title: str = "") -> str:
    """Write an image file as an HTML element, or the reason why it cannot be read."""
    try:
        return picture(read_image(path), side, title)
    except (OSError, ValueError) as error:
        return f'<span style="color: #B00020">{for_html(error)}</span> '


def bars(attribution: Attribution, classes: Sequence[str]) -> str:
    """Write the probabilities of one image as HTML bars, with the verdict on the unknown score."""
    lines = [
        f'<tr><td style="padding-right: 8px">{for_html(shortened(name))}</td>'
        f'<td style="width: 170px"><div style="background: {plots.colour_of(name)}; '
        f'width: {100 * p:.1f}%; height: 14px"></div></td>'
        f'<td style="text-align: right">{p:.3f}</td></tr>'
        for name, p in zip(classes, attribution.probabilities[0], strict=True)
    ]
    verdicts = {True: "known", False: "<b>outside what the model knows</b>", None: "not checked"}
    verdict = verdicts[attribution.known.tolist()[0]]
    score = f"unknown score {attribution.unknown_scores[0]:.3f}: {verdict}"
    return f"<table>{''.join(lines)}</table><div>{score}</div>"


def grid(state: Explorer, selected: np.ndarray) -> str:
    """Write a selection as a scrolling grid, the least confident first, with its counts below."""
    if len(selected) == 0:
        return "Nothing is selected: choose the lasso beside a map and drag."
    order = explorer.by_confidence(state, selected)
    pieces = []
    for i in order[:SHOWN_AT_MOST]:
        row = state.table.iloc[i]
        title = f"{row['generator']}: {row['predicted']} {row['confidence']:.2f}"
        pieces.append(stored_picture(state.paths[i], 64, title))
    more = len(order) - SHOWN_AT_MOST
    rest = f"<p>{more} more are not shown.</p>" if more > 0 else ""
    counts = explorer.counts(state, selected).reset_index().round(2)
    scrolling = '<div style="max-height: 220px; overflow-y: auto">'
    return (
        f"<p><b>{len(selected)} images</b></p>{scrolling}{''.join(pieces)}</div>{rest}"
        f"{scrolling}{table_element(counts)}</div>"
    )


def table_element(table: pd.DataFrame) -> str:
    """Write a table as HTML, its columns set apart; names in it are shown as they are."""
    shown = table.map(lambda value: one_line(value) if isinstance(value, str) else value)
    written = shown.rename(columns=one_line).to_html(border=0, index=False, escape=True)
    style = '<table style="border-collapse: separate; border-spacing: 14px 0"'
    return written.replace("<table", style, 1)


def facts(state: Explorer, position: int) -> str:
    """Write what is known of an image, line by line."""
    row = state.table.iloc[position]
    lines = [f"{name}: {row[name]}" for name in ("class", "generator", "set-up", "predicted")]
    lines += [f"{name}: {row[name]:.3f}" for name in ("confidence", "unknown score")]
    if not row["known"]:
        lines.append("unknown: outside what the model knows")
    return "<br>".join(map(for_html, lines))


def hover(state: Explorer, position: int | None) -> str:
    """Write the image under the mouse with what the model says of it."""
    if position is None or not 0 <= position < len(state):
        return "Point at a dot to see its image."
    shown = stored_picture(state.paths[position], 128)
    text = facts(state, position)
    return f'<div style="display: flex; gap: 12px">{shown}<div>{text}</div></div>'


def close_up(state: Explorer, position: int) -> str:
    """Write all about one image: pixels, probabilities, neighbours, votes, Grad-CAM, spectrum."""
    try:
        image = read_image(state.paths[position])
        attribution = state.model.attribute([image])
        figure = closeup.overview_figure(state.model, image)
    except (OSError, ValueError) as error:
        return for_html(error)
    others = np.flatnonzero(np.arange(len(state)) != position)
    own = state.embeddings[position]
    found, distances = explorer.neighbours(state, own, NEIGHBOURS, others)
    near = "".join(
        f'<div style="text-align: center">{stored_picture(state.paths[i], 96)}<br>'
        f"{for_html(shortened(state.table['generator'].iloc[i]))}<br>at {distance:.3f}</div>"
        for i, distance in zip(found, distances, strict=True)
    )
    row = '<div style="display: flex; gap: 14px; flex-wrap: wrap; align-items: flex-start">'
    height, width = image.shape[:2]
    return (
        f"<p><b>{for_html(state.paths[position])}</b>, {width} x {height} pixels</p>"
        f"{row}{picture(image, width)}{picture(image, 192)}<div>{facts(state, position)}</div>"
        f"<div>{bars(attribution, state.classes)}</div></div>"
        f"<p>Nearest in the embedding, with cosine distance:</p>{row}{near}</div>"
        f"{drawn(figure, 900)}"
    )


def legend(state: Explorer, colour_by: str) -> str:
    """Write what the colours of a numeric column mean."""
    shown, _ = explorer.colours(state, colour_by)
    return f"dark: {np.nanmin(shown):.3f}, bright: {np.nanmax(shown):.3f}"


def quality(state: Explorer, name: str) -> str:
    """Write a map's name and its scores."""
    try:
        scores = explorer.quality(state, [name]).loc[name]
    except ValueError:  # one class alone has no scores
        return f"<b>{for_html(name)}</b>"
    line = ", ".join(f"{key} {value:.2f}" for key, value in scores.items())
    return f"<b>{for_html(name)}</b>: {line}"


@dataclass(frozen=True)
class MapPicture:
    """A map drawn once, on which a point can be moved quickly.

    Attributes:
        element: The drawing as an HTML element.
        low: (2,) the coordinates of its lower left corner.
        high: (2,) those of its upper right corner.
        side: In pixels.
    """

    element: str
    low: np.ndarray
    high: np.ndarray
    side: int

    def at(self, point: np.ndarray) -> str:
        """Write the map with a ring around a place (2,)."""
        x, y = (np.asarray(point) - self.low) / (self.high - self.low) * self.side
        ring = (
            f'<circle cx="{x:.1f}" cy="{self.side - y:.1f}" r="9" fill="none" '
            'stroke="white" stroke-width="6"/>'
        )
        inner = ring.replace("white", "black").replace('width="6"', 'width="3"')
        overlay = (
            f'<svg width="{self.side}" height="{self.side}" '
            f'style="position: absolute; left: 0; top: 0">{ring}{inner}</svg>'
        )
        style = f"position: relative; width: {self.side}px"
        return f'<div style="{style}">{self.element}{overlay}</div>'


def map_picture(state: Explorer, name: str, side: int = 300) -> MapPicture:
    """Draw a map by class, without a frame, as a background."""
    points = state.maps[name]
    low, high = points.min(axis=0), points.max(axis=0)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    shown, _ = explorer.colours(state, "class")
    figure = plt.figure(figsize=(side / 100, side / 100), layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.scatter(points[:, 0], points[:, 1], c=shown, s=8, linewidths=0, alpha=0.5)
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axis.axis("off")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, bbox_inches=None)
    plt.close(figure)
    element = _element(buffer, side, f"{name} by class").replace("margin: 2px", "margin: 0")
    return MapPicture(element, low, high, side)
