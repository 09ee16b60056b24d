"""The style of all figures: a colour and a marker per class."""

import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dnadet_lib.plots.descriptions import description
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.text import for_figure, for_html

# Okabe and Ito's colours for the known classes, and eight for the zoo's unknown architectures that
# colour-blind readers can tell from these and from one another; markers say the same again.
CLASS_COLOURS = {
    "Real": "#4D4D4D",
    "ProGAN": "#E69F00",
    "MMDGAN": "#0072B2",
    "SNGAN": "#009E73",
    "InfoMaxGAN": "#CC79A7",
    "SubPixelGAN": "#F0E442",
    "WaveletGAN": "#8C510A",
    "StyleGAN2": "#4B0082",
    "BicubicGAN": "#00E5B0",
    "TransposedGAN": "#2D0FD2",
    "VAE": "#690000",
    "FastGAN": "#00003C",
    "ViTGAN": "#965AFF",
}
CLASS_MARKERS = {
    "Real": "o", "ProGAN": "s", "MMDGAN": "^", "SNGAN": "D", "InfoMaxGAN": "v",
    "SubPixelGAN": "<", "WaveletGAN": ">", "StyleGAN2": "p", "BicubicGAN": "X",
    "TransposedGAN": "*", "VAE": "h", "FastGAN": "d", "ViTGAN": "8",
}  # fmt: skip
OTHER_COLOUR, OTHER_MARKER = "#56B4E9", "P"  # not labelled
# Of classes from elsewhere, each by its name, so that it is the same in every figure.
FOREIGN_COLOURS = ("#999933", "#882255", "#D55E00", "#44AA99", "#AA4499", "#6699CC")
NOT_LABELLED = "not labelled"  # the class of images that nothing is known of
LEGEND_CHARACTERS = 100  # of a line of a legend
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")


def colour_of(name: str) -> str:
    """Return the colour of a class, the same in every figure; those from elsewhere share a few."""
    if name in CLASS_COLOURS or name == NOT_LABELLED:
        return CLASS_COLOURS.get(name, OTHER_COLOUR)
    return FOREIGN_COLOURS[zlib.crc32(name.encode("utf-8", "surrogatepass")) % len(FOREIGN_COLOURS)]


def marker_of(name: str) -> str:
    """Return the marker of a class, the same in every figure."""
    return CLASS_MARKERS.get(name, OTHER_MARKER)


def use_style() -> None:
    """Set the lessons' matplotlib style, or warn that the clone's style file is not there."""
    style = Path(__file__).resolve().parents[2] / "notebooks" / "dnadet.mplstyle"
    if style.is_file():
        plt.style.use(style)
    else:
        warnings.warn(f"{style}: no style file; figures get matplotlib's own style", stacklevel=2)


def show(figure: Figure, caption: str) -> None:
    """Display a figure and, under it, what was measured; its alt text says what it shows."""
    from IPython.core.pylabtools import print_figure
    from IPython.display import Markdown, display

    data = print_figure(figure, "png", base64=True)
    plt.close(figure)
    shown = for_html(description(figure))
    # JupyterLab gives no alternative text to a PNG, but keeps that of HTML.
    image = f'<img alt="{shown}" src="data:image/png;base64,{data}">'
    display({"text/html": image, "image/png": data}, raw=True)
    display(Markdown(f"*{caption}*"))


def save(figure: Figure, path: Path) -> None:
    """Write a figure, atomically, in the format that the ending names; a ValueError if unknown."""
    kinds, kind = figure.canvas.get_supported_filetypes(), Path(path).suffix.lower()[1:]
    if kind not in kinds:
        raise ValueError(f"{path}: no format of a figure; end the name in .png, .pdf or .svg")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=100)
    plt.close(figure)


def class_legend(figure: Figure, classes: Sequence[str], marker: str | None = None) -> None:
    """Put the classes' colours above a figure."""
    handles = [
        Line2D([], [], linestyle="", markersize=10, color=colour_of(c), label=for_figure(c),
               marker=marker or marker_of(c))
        for c in classes
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="outside upper center", ncols=legend_columns(handles),
        columnspacing=1.0, handletextpad=0.2,
    )  # fmt: skip


def legend_columns(handles: Sequence[Line2D]) -> int:
    """Say how many entries of a legend go into a line, so that long names stay on the figure."""
    longest = max((len(str(handle.get_label())) for handle in handles), default=1)
    return max(1, min(len(handles), LEGEND_CHARACTERS // max(1, longest)))
