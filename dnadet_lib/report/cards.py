"""The card of one image in a report's page."""

import base64
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.text import for_html, shortened
from dnadet_lib.report.findings import OUTSIDE, UNTOLD, Finding, as_share
from dnadet_lib.report.known_images import KnownImages
from dnadet_lib.report.text import kind_of
from dnadet_lib.report.views import View, Votes, look_at

PICTURE = 448  # pixels a side that a picture is reduced to
SMALL = 160  # up to so many pixels a side, a picture is enlarged without smoothing
GROUND = 96  # pixels a side of the picture under the votes
NEIGHBOURS = 4
POWER = (-5.0, 20.0)  # decibels of the first and the last colour
LEAST_SQUARE = 0.03  # of the image: patches far apart are drawn so large, to be seen


class Cards:
    """Writes cards, and collects the known images, if there are any, that they show."""

    def __init__(self, model: DNADet, known: KnownImages | str) -> None:
        self.model, self.known = model, known
        self.used: set[int] = set()

    def card(self, number: int, finding: Finding, name: str) -> str:
        """Write all about an image; of one that has gone meanwhile, that it has."""
        kind = kind_of(finding, self.model.classes)
        colour = self.colour(finding.label) if kind[0] == "c" else f"var(--{kind})"
        try:
            parts = self.parts(finding, look_at(self.model, Path(finding.path)))
        except (OSError, ValueError) as error:
            parts = f"<p>{for_html(error)}</p>"
        return (
            f'<article class="card" id="image-{number}" data-kind="{kind}" '
            f'data-name="{for_html(name)}" style="--colour: {colour}">'
            f"<h3>{for_html(finding.verdict)}</h3>{past(finding)}"
            f'<p class="name" '
            f'title="{for_html(finding.path)}">{for_html(shortened(name, 90))}</p>'
            f'<div class="parts">{parts}</div></article>\n'
        )

    def parts(self, finding: Finding, view: View) -> str:
        """Write the figures of a card."""
        return "".join(
            (
                picture(view.image, finding), self.bars(finding), self.votes(view),
                spectrum_figure(view.spectrum, view.image), self.neighbours(view.embedding),
            )
        )  # fmt: skip

    def colour(self, label: str) -> str:
        """Return the colour of a class."""
        return f"var(--class-{self.model.classes.index(label)})"

    def bars(self, finding: Finding) -> str:
        """Write the probabilities as bars, with their numbers."""
        lines = "".join(
            f'<tr><th scope="row">{for_html(shortened(name, 24))}</th>'
            f'<td class="track"><i style="width: {100 * p:.1f}%; '
            f'--colour: {self.colour(name)}"></i></td>'
            f'<td data-value="{p}">{for_html(as_share(p))}</td></tr>'
            for name, p in finding.probabilities.items()
        )
        score = "" if finding.score is None else f"unknown score {finding.score:.2f}"
        line = f"{score}; above {self.model.threshold:.2f} is outside" if score else ""
        what = "calibrated probabilities"
        if finding.kind == UNTOLD:
            what = "probabilities, by which it cannot be told"
        if finding.kind == OUTSIDE:
            what = "probabilities if it were one of these, which it does not seem to be"
        return (
            f'<figure class="bars"><table aria-label="Probabilities">{lines}</table>'
            f"<figcaption>{what}<br>{line}</figcaption></figure>"
        )

    def votes(self, view: View) -> str:
        """Write the patches' votes as a map, or that there is one patch alone."""
        votes, classes = view.votes, self.model.classes
        counts = Counter(int(k) for k in votes.winners).most_common()
        said = ", ".join(f"{shortened(classes[k], 24)} {n}" for k, n in counts)
        if len(votes.winners) == 1:
            return self.one_patch(votes)
        alt = for_html(f"Votes of {len(votes.winners)} patches: {said}")
        more = "" if votes.looked_at > 0.995 else f"; they cover {votes.looked_at:.1%} of it"
        height, width = (100 * side / max(votes.size) for side in votes.size)
        squares = "".join(self.squares(votes))
        return (
            f'<figure class="votes"><svg viewBox="0 0 {width:.1f} {height:.1f}" role="img" '
            f'aria-label="{alt}"><image href="{ground(view.image)}" width="{width:.1f}" '
            f'height="{height:.1f}" preserveAspectRatio="none"/>{squares}</svg>'
            f"<figcaption>votes of {len(votes.winners)} patches{more}<br>{for_html(said)}"
            "</figcaption></figure>"
        )

    def squares(self, votes: Votes) -> Iterator[str]:
        """Draw a square per patch, or of those that overlap its middle, the paler the less sure."""
        scale, side = 100 / max(votes.size), [0.0, 0.0]
        for axis, own in enumerate(votes.patch):
            steps = np.diff(np.unique(votes.corners[:, axis]))
            step = float(steps.max()) if len(steps) else own
            least = min(step, LEAST_SQUARE * max(votes.size))
            side[axis] = max(min(step, own), least)
        even = 1 / len(self.model.classes)
        for (top, left), winner, sure in zip(votes.corners, votes.winners, votes.sure, strict=True):
            y, x = (
                (place + own / 2 - drawn / 2) * scale
                for place, own, drawn in zip((top, left), votes.patch, side, strict=True)
            )
            strength = 0.15 + 0.75 * (sure - even) / (1 - even)
            yield (
                f'<rect x="{x:.2f}" y="{y:.2f}" width="{side[1] * scale:.2f}" '
                f'height="{side[0] * scale:.2f}" fill="var(--class-{winner})" '
                f'opacity="{strength:.2f}"/>'
            )

    def one_patch(self, votes: Votes) -> str:
        """Say that there is no map of a single patch, and what its turned copies vote for."""
        classes, height, width = self.model.classes, *votes.size
        chips = "".join(
            f'<i class="chip" style="--colour: var(--class-{k})" '
            f'title="{for_html(shortened(classes[k]))}"></i>' for k in votes.copies
        )  # fmt: skip
        counts = Counter(votes.copies).most_common()
        said = for_html(", ".join(f"{shortened(classes[k], 24)} {n}" for k, n in counts))
        copies = ""
        if len(votes.copies) > 1:
            copies = f"<br>Its {len(votes.copies)} turned and mirrored copies vote: {said}."
        return (
            f'<figure class="votes one"><div class="chips" aria-hidden="true">{chips}</div>'
            f"<figcaption>One patch: the model sees all {width} by {height} pixels at once, so "
            f"there is no map of votes.{copies}</figcaption></figure>"
        )

    def neighbours(self, embedding: np.ndarray) -> str:
        """Write the nearest known images, with cosine distances."""
        if isinstance(self.known, str):
            return ""
        found = self.known.nearest(embedding, NEIGHBOURS)
        self.used.update(position for position, _ in found)
        near = "".join(self.neighbour(position, distance) for position, distance in found)
        return (
            f'<figure class="near"><div>{near}</div><figcaption>nearest known images, '
            "with cosine distance</figcaption></figure>"
        )

    def neighbour(self, position: int, distance: float) -> str:
        """Refer to a known image, which stands once in the page."""
        assert isinstance(self.known, KnownImages)
        label = str(self.known.labels[position])
        alt = for_html(f"Known image of {label}, at distance {distance:.2f}")
        return (
            f'<span style="--colour: {self.colour(label)}"><svg viewBox="0 0 64 64" role="img" '
            f'aria-label="{alt}"><use href="#known-{position}"/></svg>{for_html(label)}<br>'
            f"{distance:.2f}</span>"
        )

    def pictures(self) -> Iterator[str]:
        """Give the known images that cards refer to."""
        for position in sorted(self.used):
            assert isinstance(self.known, KnownImages)
            data = encoded(self.known.images[position])
            yield (
                f'<image id="known-{position}" width="64" height="64" class="pixels" '
                f'href="{data}"/>\n'
            )

    def class_spectra(self, means: Mapping[str, np.ndarray]) -> str:
        """Write the mean residual spectrum of each class's known images, to compare with."""
        if not means:
            return ""
        figures = "".join(
            f'<figure class="spectrum">{spectrum(values, f"Mean residual spectrum of {name}")}'
            f'<figcaption><i class="dot" style="--colour: {self.colour(name)}"></i>'
            f"{for_html(name)}</figcaption></figure>"
            for name, values in means.items()
        )
        return f'<div class="row">{figures}</div>'


def past(finding: Finding) -> str:
    """Write what happened to an image, if anything was found."""
    found = finding.history["found"]
    return f'<p class="past">{for_html(found)}</p>' if found else ""


def encoded(image: np.ndarray, quality: int | None = None) -> str:
    """Write a uint8 image (H, W) or (H, W, 3) as a data address, without loss by default."""
    buffer = io.BytesIO()
    lossless = quality is None
    Image.fromarray(image).save(buffer, "WEBP", lossless=lossless, quality=quality or 80, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def reduced(image: np.ndarray, side: int) -> np.ndarray:
    """Reduce an image to a longest side of so many pixels; a smaller one stays as it is."""
    small = Image.fromarray(image)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small)


def picture(image: np.ndarray, finding: Finding) -> str:
    """Write the image in its own proportions."""
    height, width = image.shape[:2]
    small = reduced(image, PICTURE)
    whole = small.shape == image.shape
    data = encoded(small) if max(height, width) <= SMALL else encoded(small, 88)
    style = ' class="pixels"' if max(height, width) <= SMALL else ""
    alt = for_html(f"{shortened(finding.path)}, {width} by {height} pixels")
    size = f"{width} × {height} pixels" + ("" if whole else ", shown smaller")
    return (
        f'<figure class="picture"><img src="{data}" alt="{alt}" width="{small.shape[1]}" '
        f'height="{small.shape[0]}"{style}><figcaption>{size}</figcaption></figure>'
    )


def ground(image: np.ndarray) -> str:
    """Write a small grey copy of an image, to lie under its votes."""
    grey = Image.fromarray(reduced(image, GROUND)).convert("L").convert("RGB")
    return encoded(np.asarray(grey), 50)


def spectrum_figure(power: np.ndarray | None, image: np.ndarray) -> str:
    """Write an image's residual spectrum as a figure."""
    if power is None:
        return '<figure class="spectrum"><figcaption>too small for a spectrum</figcaption></figure>'
    whole = image.shape[:2] == power.shape
    of = "of its residual" if whole else f"of its residual, mean of tiles of {len(power)} pixels"
    return (
        f'<figure class="spectrum">{spectrum(power, "Power spectrum of the residual")}'
        f"<figcaption>power spectrum {of}</figcaption></figure>"
    )


def spectrum(power: np.ndarray, alt: str) -> str:
    """Draw a centred spectrum (T, T), in decibels, with axes in cycles per pixel."""
    low, high = POWER
    colours = matplotlib.colormaps["magma"](((power - low) / (high - low)).clip(0, 1))
    data = encoded((255 * colours[..., :3]).astype(np.uint8))
    ticks = "".join(
        f'<text x="{22 + 100 * (f + 0.5):.0f}" y="110" text-anchor="{side}">{f:g}</text>'
        f'<text x="19" y="{3 + 100 * (f + 0.5) + shift:.0f}" text-anchor="end">{f:g}</text>'
        for f, side, shift in ((-0.5, "start", 5), (0, "middle", 0), (0.5, "end", -3))
    )
    return (
        f'<svg viewBox="0 0 123 122" role="img" aria-label="{for_html(alt)}, from -0.5 to 0.5 '
        f'cycles per pixel"><image href="{data}" x="22" width="100" height="100" class="pixels"/>'
        f'{ticks}<text x="72" y="120" text-anchor="middle">cycles per pixel</text></svg>'
    )
