"""The parts of a report's page that are text: counts, error rates, what they mean, the table."""

from collections.abc import Iterator, Sequence

from matplotlib.colors import to_hex, to_rgb

from dnadet_lib.evaluation.shipped_rates import NEW, Measured, worth
from dnadet_lib.images.folders import counted
from dnadet_lib.model import DNADet
from dnadet_lib.plots.style import CLASS_COLOURS
from dnadet_lib.plumbing.text import for_html, shortened
from dnadet_lib.report.findings import (
    NAMED,
    OUTSIDE,
    UNREAD,
    UNTOLD,
    Finding,
    Report,
    Unread,
    as_share,
    package_version,
)

OTHERS = ("#56B4E9", "#D55E00", "#8C6BB1", "#999933", "#882255", "#44AA99")  # other classes
BRIGHT = 0.3  # luminance that a colour needs on a dark ground
FIGURES = ("named wrongly", "95% interval", "hardest case", "images")  # columns of error rates
NAMED_AT_MOST = 20  # files that were not read, by name; the table has all
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def colour_style(classes: Sequence[str]) -> str:
    """Write the classes' colours as variables of CSS, for a light and for a dark ground."""
    others = [name for name in classes if name not in CLASS_COLOURS]
    light = [
        CLASS_COLOURS.get(name) or OTHERS[others.index(name) % len(OTHERS)] for name in classes
    ]
    dark = [brightened(colour) for colour in light]
    plain, other = (
        " ".join(f"--class-{k}: {colour};" for k, colour in enumerate(colours))
        for colours in (light, dark)
    )
    return f":root {{ {plain} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {other} }} }}"


def brightened(colour: str) -> str:
    """Mix a colour with white until it stands out from a dark ground."""
    parts = to_rgb(colour)
    for white in range(10):
        red, green, blue = (part + (1 - part) * white / 10 for part in parts)
        if 0.21 * red**2.2 + 0.72 * green**2.2 + 0.07 * blue**2.2 > BRIGHT:
            break
    return to_hex((red, green, blue))


def kind_of(entry: Finding | Unread, classes: Sequence[str]) -> str:
    """Name the kind of a verdict, for filters: `c0`, `c1`, ... for a class that was named."""
    if isinstance(entry, Unread):
        return UNREAD
    return f"c{list(classes).index(entry.label)}" if entry.kind == NAMED else entry.kind


def heading(report: Report) -> str:
    """Write the page's title."""
    number = len(report.findings)
    return f"Which generator architecture made {'this image' if number == 1 else 'these images'}?"


def count_parts(report: Report) -> str:
    """Write how many images there are of each verdict: a sentence, a bar, buttons that filter."""
    counts = report.counts
    read = len(report.findings)
    outside, untold = counts["outside what this model knows"], counts["cannot tell"]
    text = f"{counted(report.findings, 'image')} read: {read - outside - untold} named"
    text += f", {untold} of which it cannot tell" if untold else ""
    text += f", {outside} outside what the model knows" if report.model.reference else ""
    text += f". {counted(report.unread, 'file')} could not be read" if report.unread else ""
    text += f". {counts['left out']} left out" if counts["left out"] else ""
    kinds = [f"c{k}" for k in range(len(report.model.classes))]
    kinds += [UNTOLD, OUTSIDE, UNREAD]
    bar, buttons = [], []
    for (name, count), kind in zip(counts.items(), kinds, strict=False):
        if count:
            bar.append(f'<i class="{kind}" style="flex: {count}; {_colour(kind)}"></i>')
        if count or kind[0] == "c":
            buttons.append(
                f'<button data-filter="{kind}"><i class="dot {kind}" style="{_colour(kind)}"></i>'
                f"{for_html(shortened(name))} <b>{count}</b></button>"
            )
    return (
        f'<p class="lead">{text}.</p><div class="stack" aria-hidden="true">{"".join(bar)}</div>'
        f'<div class="counts" role="group" aria-label="Show one verdict">{"".join(buttons)}</div>'
    )


def _colour(kind: str) -> str:
    return f"--colour: var(--class-{kind[1:]})" if kind[0] == "c" else ""


def lost_files(report: Report) -> str:
    """Write what was not read and what was left out, with the reasons."""
    lines = [for_html(f"{report.short(unread.path)}: {unread.verdict}") for unread in report.unread]
    if len(lines) > NAMED_AT_MOST:
        rest = len(lines) - NAMED_AT_MOST
        lines = [*lines[:NAMED_AT_MOST], f"{rest} more were not read: see the table"]
    lines += map(for_html, report.notes.texts[:NAMED_AT_MOST])
    if (rest := len(report.notes.texts) - NAMED_AT_MOST) > 0:
        lines.append(f"{rest} more remarks stand in the JSON file")
    if not lines:
        return ""
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f'<ul class="remarks">{items}</ul>'


def guard(model: DNADet) -> str:
    """Say what the model knows, and whether it can tell when an image is of something else."""
    number = len(model.classes)
    how_many = NUMBERS[number] if number < len(NUMBERS) else str(number)
    spec = model.input
    size = f"in patches of {spec.patch} by {spec.patch} pixels"
    if spec.vote == "whole":
        size = "whole"
    if side := spec.resize or spec.resize_first:
        size += f", after resizing to {side} by {side}"
    names = for_html(", ".join(shortened(name) for name in model.classes))
    text = f"This model knows {how_many} classes: {names}. It sees an image {size}."
    if model.reference is None:
        return (
            f"<p><b>{text}</b> It names one of them whatever it is shown: this checkpoint holds "
            "nothing by which it could tell that an image is of something else.</p>"
        )
    return (
        f"<p><b>{text}</b> An image that something else made, or that was changed on its way, it "
        "should call <i>outside what this model knows</i>, and often fails to. Do not use it as "
        "evidence about a person or a picture.</p>"
    )


def measured_part(report: Report) -> str:
    """Write the error rates of the checkpoint, or how to measure them."""
    measured = report.measured
    if measured is None:
        model = for_html(report.model.origin)
        return (
            "<p>Nothing was measured for this checkpoint, so nobody knows how often it is wrong. "
            f"Measure it on labelled images: <code>dnadet evaluate --model {model} --test "
            "LIST</code></p>"
        )
    setups = dict.fromkeys(row["setup"] for row in measured.rows)
    lines = "".join(_setup_row(measured, setup) for setup in setups if measured.row(setup))
    head = "".join(f'<th scope="col">{text}</th>' for text in ("what is new", *FIGURES))
    return (
        f"<p>How often the checkpoint <b>{for_html(measured.name)}</b> names images of the "
        "pocket zoo wrongly, as a mean over generators:</p>"
        f'<table class="figures stacked"><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table>"
    )


def _setup_row(measured: Measured, setup: str) -> str:
    row = measured.row(setup)
    assert row is not None
    name, value = measured.worst(setup)
    interval = ""
    if row["low"] is not None:
        interval = f"{1 - row['high']:.1%} to {1 - row['low']:.1%}"
    cells = (
        f"{1 - row['value']:.1%}", interval, f"{1 - value:.1%}, {name}", f"{row['images']:,}",
    )  # fmt: skip
    rest = "".join(
        f'<td data-label="{label}">{for_html(cell)}</td>'
        for label, cell in zip(FIGURES, cells, strict=True)
    )
    new = NEW.get(setup, setup)
    return f'<tr data-setup="{for_html(setup)}"><th scope="row">{for_html(new)}</th>{rest}</tr>'


def meaning(report: Report) -> str:
    """Say in plain sentences what the figures mean."""
    lines = [
        "A probability says how the model divides its belief among the classes that it knows. It "
        "is no probability that an image is generated, and a class that is not in the list cannot "
        "get any.",
        "A class is an architecture: many generators share it, and it names no person and no "
        "single model. Resizing or compression on the way can hide the traces.",
    ]
    if report.model.reference is not None:
        lines.append(
            "Of an image outside what the model knows, the nearest class means nothing. An image "
            "that is not called so may be outside all the same."
        )
    if report.measured and (example := worth(report.measured)):
        lines.append(example)
    return "".join(f"<p>{for_html(line)}</p>" for line in lines)


def rows(report: Report, shown: int) -> Iterator[str]:
    """Give the rows of the table: what was not read, then the images, the worst first."""
    for entry in report.unread:
        yield _row(report, entry, 0)
    for number, finding in enumerate(report.findings, 1):
        yield _row(report, finding, number if number <= shown else 0)


def _row(report: Report, entry: Finding | Unread, number: int) -> str:
    classes = report.model.classes
    kind, name = kind_of(entry, classes), for_html(report.short(entry.path))
    linked = f'<a href="#image-{number}">{name}</a>' if number else name
    texts = ["", "", ""]
    values: list[object] = ["", "", ""]
    if isinstance(entry, Finding):
        score = "" if entry.score is None else f"{entry.score:.3f}"
        texts = [for_html(shortened(entry.label)), for_html(as_share(entry.confidence)), score]
        values = [for_html(entry.label), entry.confidence, entry.score if score else ""]
    cells = "".join(
        f'<td data-label="{label}" data-value="{value}">{text}</td>'
        for label, value, text in zip(
            ("nearest class", "probability", "unknown score"), values, texts, strict=True
        )
    )
    return (
        f'<tr data-kind="{kind}"><th scope="row">{linked}</th>'
        f'<td data-label="verdict" style="{_colour(kind)}"><i class="dot {kind}"></i>'
        f'{for_html(entry.verdict)}</td>{cells}<td data-label="SHA-256" class="hash">'
        f"<code>{entry.sha256 or ''}</code></td></tr>\n"
    )


def foot(report: Report, twin: str) -> str:
    """Write what is needed to make the report again, and to check it."""
    model = report.model
    facts = {
        "command": report.command, "made": report.made, "dnadet": package_version(),
        "model": model.origin, "SHA-256 of the model": model.sha256,
        "SHA-256 of the images": "in the table, and with all figures in " + twin,
    }  # fmt: skip
    items = "".join(
        f"<dt>{for_html(name)}</dt><dd>{for_html(value)}</dd>" for name, value in facts.items()
    )
    return f"<dl>{items}</dl>"
