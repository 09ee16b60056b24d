"""Alternative texts: what stands on a figure's axes, and where its lines and bars are.

A caption says what was measured; whoever does not see the figure needs the panels, the axes and the
values as well.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon, Rectangle, StepPatch

MOST = 12  # names or values in one list
COLOUR_BAR = "<colorbar>"  # matplotlib's label of its axis
Names = Mapping[str, str]  # colour -> what the legend calls it


def description(figure: Figure) -> str:
    """Say in a few short sentences what a figure's panels show."""
    names, panels, bars = _legend(figure), {}, []  # type: Names, dict[str, list[Axes]], list[Axes]
    for axis in figure.axes:
        if axis.get_label() == COLOUR_BAR:
            bars.append(axis)
        elif axis.get_visible() and (kind := _kind(axis)):
            panels.setdefault(kind, []).append(axis)
    said = [SAY[kind](axes, names) for kind, axes in panels.items()]
    for bar in bars:
        low, high = bar.get_ylim()
        said.append(f"Colour: {bar.get_ylabel()}, {low:.3g} to {high:.3g}")
    around = (("Across all", figure.get_supxlabel()), ("up all", figure.get_supylabel()))
    said += [", ".join(f"{where}: {text}" for where, text in around if text)]
    return (". ".join(part for part in said if part) or "A figure").replace("\\", "") + "."


def _kind(axis: Axes) -> str:
    if axis.images:
        image = axis.images[0]
        plain = np.ndim(np.asarray(image.get_array())) == 3 or image.get_cmap().name == "gray"
        return "pictures" if plain else "tables" if axis.texts else "maps"
    if any(isinstance(container, BarContainer) for container in axis.containers):
        return "bars"
    if any(isinstance(drawn, PathCollection) for drawn in axis.collections):
        return "dots"
    if _outlines(axis):
        return "histograms"
    return "lines" if axis.lines else ""


def _legend(figure: Figure) -> Names:
    """What legends and labels call each colour."""
    found: dict[str, str] = {}
    legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes)]
    for legend in filter(None, legends):
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=False):
            if isinstance(handle, Line2D):
                found.setdefault(to_hex(handle.get_color()), text.get_text())
    return found


def _listed(words: Sequence[str]) -> str:
    """Join words; of a long list the first and the last."""
    joint = "; " if any("," in word for word in words) else ", "
    if len(words) > MOST:
        words = [*words[: MOST - 2], "...", words[-1]]
    return joint.join(words)


def _counted(axes: Sequence[Axes], one: str, more: str = "") -> str:
    """Say how many panels of a kind there are and their titles, each once."""
    titles = (axis.get_title() or axis.get_title(loc="left") for axis in axes)
    told = _listed(list(dict.fromkeys(" ".join(title.split()) for title in titles if title)))
    count = f"{len(axes)} {one}" + "s" * (len(axes) > 1) + more
    return f"{count}: {told}" if told else count


def _written(axis: Axes, direction: str) -> list[str]:
    """The names at an axis's ticks, if they are words."""
    ticks = axis.get_xticklabels() if direction == "x" else axis.get_yticklabels()
    words = [" ".join(tick.get_text().split()) for tick in ticks if tick.get_text()]
    return words if any(word[:1].isalpha() for word in words) else []


def _around(axes: Sequence[Axes]) -> str:
    """What stands on the axes of panels: labels, and names at the ticks."""
    parts = []
    for where, direction in (("across", "x"), ("up", "y")):
        labels = [axis.get_xlabel() if direction == "x" else axis.get_ylabel() for axis in axes]
        words = next((w for axis in axes if (w := _written(axis, direction))), [])
        told = _listed(list(dict.fromkeys(label for label in labels if label)))
        told += f" ({_listed(words)})" * bool(words)
        parts += [f"{where}: {told.strip()}"] * bool(told)
    return "; ".join(parts)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _pictures(axes: Sequence[Axes], names: Names) -> str:
    return _joined(_counted(axes, "picture"), _around(axes))


def _maps(axes: Sequence[Axes], names: Names) -> str:
    return _joined(_counted(axes, "map", " in colours"), _around(axes))


def _tables(axes: Sequence[Axes], names: Names) -> str:
    parts = []
    for axis in axes:
        values: np.ndarray = np.ma.filled(np.ma.asarray(axis.images[0].get_array(), float), np.nan)
        if _written(axis, "x") and values.shape[0] == values.shape[1]:
            own = [f"{v:.2f}" for v in np.diag(values) if not np.isnan(v)]
            told = f"on the diagonal {_listed(own)}"
        else:
            told = f"{np.nanmin(values):.2f} to {np.nanmax(values):.2f}"
        parts.append(f"{axis.get_title()}: {told}" if axis.get_title() else told)
    return _joined(_counted(axes, "table", " of shares"), _around(axes), *parts)


def _bars(axes: Sequence[Axes], names: Names) -> str:
    longest, lying = [], True
    for axis in axes:
        bars = [bar for bar in axis.patches if isinstance(bar, Rectangle) and bar.get_width() > 0]
        lying = lying and len({round(bar.get_x(), 6) for bar in bars}) < 2
        best = max(bars, key=lambda bar: bar.get_width(), default=None)
        if best is not None:
            name = names.get(to_hex(best.get_facecolor()), "")
            longest.append(f"{name} {best.get_width():.2f}".strip())
    told = f"the longest bars: {_listed(longest)}" if lying and longest else ""
    return _joined(_counted(axes, "bar chart"), _around(axes), _listed([*names.values()]), told)


def _histograms(axes: Sequence[Axes], names: Names) -> str:
    parts = []
    for axis in axes:
        told = [f"{o.get_label()} {_middle(o):.2g}" for o in _outlines(axis)]
        title = f"{axis.get_title()}: " if axis.get_title() else ""
        parts.append(f"{title}medians, {', '.join(told)}")
    return _joined(_counted(axes, "histogram"), _around(axes), *parts)


def _outlines(axis: Axes) -> list[Patch]:
    """Histograms drawn as outlines or steps, which have a name in a legend."""
    drawn = [patch for patch in axis.patches if isinstance(patch, (Polygon, StepPatch))]
    return [outline for outline in drawn if not str(outline.get_label()).startswith("_")]


def _middle(outline: Patch) -> float:
    """The median of a histogram."""
    if isinstance(outline, StepPatch):
        heights, edges, _ = outline.get_data()
    else:
        corners = np.asarray(outline.get_path().vertices)
        left, right = corners[:-1], corners[1:]
        tops = (left[:, 1] == right[:, 1]) & (left[:, 0] < right[:, 0])  # the way back is the base
        heights, edges = left[tops, 1], np.append(left[tops, 0][:1], right[tops, 0])
    below = np.append(0.0, np.cumsum(np.diff(edges) * heights))
    return float(np.interp(below[-1] / 2, below, edges))


def _dots(axes: Sequence[Axes], names: Names) -> str:
    called = f"colours: {_listed([*names.values()])}" if names else ""
    return _joined(_counted(axes, "map", " of dots"), _around(axes), called)


def _lines(axes: Sequence[Axes], names: Names) -> str:
    parts = [_joined(_counted(axes, "panel", " of lines or points"), _around(axes))]
    count = sum(_name(line, names) != "" for axis in axes for line in axis.lines)
    if count > MOST:
        return _joined(*parts, f"colours: {_listed([*names.values()])}" if names else "")
    for axis in axes:
        runs = [_run(line, names) for line in axis.lines if _name(line, names)]
        title = f"{axis.get_title()}: " if axis.get_title() else ""
        parts += [title + "; ".join(runs)] * bool(runs)
    return _joined(*parts)


def _name(line: Line2D, names: Names) -> str:
    """What a line of data is called, or "" if by no legend or if it is a single point."""
    if line.axes is None or line.get_transform() != line.axes.transData:
        return ""  # a line across the whole panel, as of guessing
    label = str(line.get_label())
    own = "" if label.startswith("_") else label
    return (own or names.get(to_hex(line.get_color()), "")) * (np.size(line.get_ydata()) > 1)


def _run(line: Line2D, names: Names) -> str:
    """Where a line begins and ends, how low it falls and how high it rises."""
    values = np.asarray(line.get_ydata(), float)
    name = _name(line, names)
    if line.get_linestyle() == "None":
        return f"{name}, {len(values)} points"
    name += {"--": " (dashed)", ":": " (dotted)"}.get(str(line.get_linestyle()), "")
    first, last, low, high = values[0], values[-1], np.nanmin(values), np.nanmax(values)
    told = f"{name} from {_short(first)} to {_short(last)}"
    told += f", lowest {_short(low)}" * bool(low < min(first, last))
    return told + f", highest {_short(high)}" * bool(high > max(first, last))


def _short(value: float) -> str:
    return f"{round(value, 4):.3g}"


SAY: Mapping[str, Callable[[Sequence[Axes], Names], str]] = {
    "pictures": _pictures, "maps": _maps, "tables": _tables, "bars": _bars,
    "histograms": _histograms, "dots": _dots, "lines": _lines,
}  # fmt: skip
