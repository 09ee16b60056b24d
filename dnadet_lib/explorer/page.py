"""The explorer's maps as one HTML file, images included, for those who have no kernel at hand.

Script and style come from `explorer_page.html` beside this file; the page loads nothing.
"""

import base64
import io
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from PIL import Image

from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.data import ImageSet, origins
from dnadet_lib.explorer import explorer
from dnadet_lib.explorer.explorer import Explorer
from dnadet_lib.images.reading import read_image
from dnadet_lib.plumbing.files import atomic_path, require_apart, require_writable
from dnadet_lib.plumbing.text import for_html, one_line
from dnadet_lib.zoo import setups
from dnadet_lib.zoo.setups import load_setup, present_setups

SHEET = 1024  # pixels a side of a sheet
LARGEST = 256  # pixels a side that are shown of an image


def middle(image: np.ndarray) -> np.ndarray:
    """Cut the middle, at most 256 pixels a side, out of an image (H, W, 3); nothing is resized."""
    top, left = (max(0, (side - LARGEST) // 2) for side in image.shape[:2])
    return image[top : top + LARGEST, left : left + LARGEST]


def pack(sizes: Sequence[Sequence[int]]) -> list[tuple[int, int, int, int, int]]:
    """Lay images of sizes (H, W) out on sheets, row by row: sheet, x, y, width, height of each."""
    places = []
    sheet = x = y = row = 0
    for height, width in sizes:
        if x + width > SHEET:
            x, y, row = 0, y + row, 0
        if y + height > SHEET:
            sheet, x, y, row = sheet + 1, 0, 0, 0
        places.append((sheet, x, y, width, height))
        x, row = x + width, max(row, height)
    return places


def draw_sheets(images: Sequence[np.ndarray], places: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Draw the images on their sheets, uint8 (SHEET, SHEET, 3) each."""
    sheets = [np.zeros((SHEET, SHEET, 3), np.uint8) for _ in range(places[-1][0] + 1)]
    for image, (sheet, x, y, width, height) in zip(images, places, strict=True):
        sheets[sheet][y : y + height, x : x + width] = image
    return sheets


def sheet_element(sheet: np.ndarray) -> str:
    """Write a sheet as an image element, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", lossless=True, method=2)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="sheet" alt="" hidden src="data:image/webp;base64,{data}">'


TEMPLATE = Path(__file__).with_suffix(".html")
TITLE = "Behind the points of a map"
AT_MOST = 5000  # images of a page; one of 64 x 64 pixels takes about 10 KB
STEPS = 5  # legend entries of a numeric column, but for the threshold
COLOURED = (*explorer.CATEGORIES, *explorer.NUMBERS)
NONE = ("none", "#8C8C8C")  # legend entry of images without a number
SETUPS = (*setups.SETUPS, "unknown")  # set-ups of the shipped results


def write_page(
    state: Explorer, path: Path, title: str = TITLE, about: str = "", home: str = ""
) -> Path:
    """Write the maps of what is explored, and its images, as one HTML file, and return the file.

    Args:
        state: With one map or more. Of an image larger than 256 pixels a side, the middle is shown.
        path: The file.
        title: Heading of the page.
        about: A sentence in plain text: which images, which checkpoint, which seed.
        home: A page that a link at the top leads to; none by default.

    Raises:
        ValueError: there is no map, more than 5,000 images, or the file is one of the images.
        OSError: an image cannot be read, or the page cannot be written; the file is named.
    """
    if not state.maps:
        raise ValueError("no map to show: add one with explorer.add_map")
    if len(state) > AT_MOST:
        raise ValueError(f"{len(state)} images: a page holds {AT_MOST}, so explore fewer")
    require_apart(path, state.paths)
    require_writable(path)
    images = [middle(read_image(file)) for file in state.paths]
    places = pack([image.shape[:2] for image in images])
    link = f'<a href="{for_html(home)}">All lessons</a>' if home else ""
    parts = {
        "title": for_html(title), "home": link, "about": for_html(about),
        "sheets": "\n".join(sheet_element(sheet) for sheet in draw_sheets(images, places)),
        "data": as_json(page_data(state, places)),
    }  # fmt: skip
    template = TEMPLATE.read_text(encoding="utf-8")
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def page_data(state: Explorer, places: Sequence[Sequence[int]]) -> dict[str, object]:
    """Gather what the page's script works with; every list has one entry an image."""
    columns = {name: [_plain(v) for v in state.table[name]] for name in state.table.columns}
    return {
        "paths": short_paths(state.paths), "columns": columns,
        "classes": [one_line(name) for name in state.classes],
        "probabilities": np.asarray(state.probabilities, float).round(5).tolist(),
        "maps": {one_line(name): at.astype(float).tolist() for name, at in state.maps.items()},
        "colours": {name: colouring(state, name) for name in columns if is_coloured(state, name)},
        "places": places, "errors": [one_line(error) for error in state.errors],
        "note": one_line(state.note),
    }  # fmt: skip


def is_coloured(state: Explorer, name: str) -> bool:
    """Whether the images of a page can be coloured by a column: by tags and notes if there are."""
    return name in COLOURED or (name in explorer.MARKS and bool((state.table[name] != "").any()))


def colouring(state: Explorer, name: str) -> dict[str, list]:
    """Colour the images by a column, and name what each colour stands for.

    Returns:
        "entries" of the legend, (label, colour) each; "entry" of every image, a position in them;
        "points", the colour of every image. Of a numeric column as `number_colouring` says.
    """
    shown, legend = explorer.colours(state, name)
    if legend:
        labels = list(legend)
        entry = [labels.index(value) for value in explorer.as_text(state, name)]
        entries = list(legend.items())
        return {"entries": entries, "entry": entry, "points": [entries[k][1] for k in entry]}
    values = np.asarray(shown, float)
    return number_colouring(values, threshold_of(state) if name == "unknown score" else math.nan)


def threshold_of(state: Explorer) -> float:
    """Return the unknown score from which an image is refused; NaN where there is none."""
    limit = math.nan if state.maker is None else float(state.maker.threshold)
    return limit if math.isfinite(limit) else math.nan


def number_colouring(values: np.ndarray, threshold: float = math.nan) -> dict[str, list]:
    """Colour images by numbers (N,), in steps that hold about equally many of them.

    A few extreme numbers would leave all others in one of several steps of equal width. The first
    step is open below and the last above. A threshold ends a step, also where nothing lies past it.
    Colours go by the rank of the step and, within it, by the number. Returned as by `colouring`.
    """
    there = np.isfinite(values)
    own = values[there]
    low, high = (own.min(), own.max()) if len(own) else (0.0, 0.0)
    inner: list[float] = []
    decimals = max(3, math.ceil(-math.log10(high - low)) + 2) if high > low else 3
    if len(own):
        quantiles = np.quantile(own, np.arange(1, STEPS) / STEPS).round(decimals) + 0.0  # no -0
        limits = [threshold] if math.isfinite(threshold) else []
        inner = sorted({*(edge for edge in quantiles.tolist() if low < edge < high), *limits})
    steps = len(inner) + 1 if len(own) else 0
    entry = np.where(there, np.digitize(values, inner, right=True), steps)  # "at most", as `known`
    kept = [k for k in range(steps) if (entry == k).any() or (k and inner[k - 1] == threshold)]
    cividis = matplotlib.colormaps["cividis"]
    edges = [f"{edge:.{decimals}f}" for edge in inner]
    names = [
        step_label(edges, k) + " (refused)" * (k > 0 and inner[k - 1] >= threshold) for k in kept
    ]
    shades = [to_hex(cividis((k + 0.5) / steps)) for k in kept]
    entries = list(zip(names, shades, strict=True))
    if not there.all():
        entries.append(NONE)
    ends = [min(low, *inner[:1], high), *inner, max(high, *inner[-1:], low)]
    relative = np.interp(values, ends, np.linspace(0, 1, steps + 1)) if steps else values
    points = [to_hex(cividis(v)) if t else NONE[1] for v, t in zip(relative, there, strict=True)]
    places = {k: place for place, k in enumerate([*kept, steps])}
    return {"entries": entries, "entry": [places[k] for k in entry.tolist()], "points": points}


def step_label(edges: Sequence[str], k: int) -> str:
    """Name a step between inner edges, the first of which is open below and the last above."""
    if not edges:
        return "all"
    if k in (0, len(edges)):
        return f"up to {edges[0]}" if k == 0 else f"above {edges[-1]}"
    return f"{edges[k - 1]} to {edges[k]}"


def _plain(value: object) -> object:
    """A table's value as JSON can hold it; None where there is none or it is not finite."""
    if pd.isna(value):
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | float | np.number):
        return float(value) if math.isfinite(float(value)) else None
    return one_line(value)


def short_paths(paths: Sequence[Path]) -> list[str]:
    """Name files from the folder that holds them all, so that no folder of a machine is shown."""
    whole = [os.path.abspath(path) for path in paths]
    try:
        folder = os.path.commonpath([os.path.dirname(path) for path in whole])
    except ValueError:  # on several drives
        return [one_line(path.name) for path in paths]
    return [one_line(Path(os.path.relpath(path, folder)).as_posix()) for path in whole]


def as_json(data: object) -> str:
    """Write JSON that may stand in a script element: no text in it can end the element."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def open_shipped(root: Path, each: int, seed: int = 0, checkpoint: str = "pocket") -> Explorer:
    """Map a sample of the zoo's test images in a rendered tree, at most `each` per generator."""
    model = load_model(checkpoint)
    sets = {
        name: sample(load_setup(name, root=root), each, seed)
        for name in present_setups() if name in SETUPS
    }  # fmt: skip
    state = explorer.open_images(model, sets)
    for method in ("t-SNE", "PCA"):
        explorer.add_map(state, method, seed)
    return state


def sample(images: ImageSet, each: int, seed: int) -> ImageSet:
    """Draw up to `each` images of every generator and of every content's photographs."""
    makers = origins(np.array(images.sources))
    order = np.random.default_rng(seed).permutation(len(images))
    groups = [order[makers[order] == name][:each] for name in dict.fromkeys(makers)]
    return images.take(np.sort(np.concatenate(groups)))
