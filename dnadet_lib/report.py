"""What a report on images says: verdicts, the worst first, error rates and hashes; and as JSON."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dnadet_lib.error_rates import Measured
from dnadet_lib.evaluation import readable_features
from dnadet_lib.files import require_writable
from dnadet_lib.model import DNADet
from dnadet_lib.notes import Notes
from dnadet_lib.text import for_json
from dnadet_lib.weights import sha256_of

BATCH = 64  # images that are decoded at a time
MADE_BY = "dnadet report"  # the first value of the JSON twin, by which it is known
OUTSIDE, UNREAD = "outside", "unread"  # kinds of verdicts beside the classes


@dataclass(frozen=True)
class Finding:
    """What the model says of one image.

    Attributes:
        path: Of the file.
        sha256: Of the file.
        label: The most probable class.
        probabilities: Class -> probability, calibrated.
        score: Unknown score, or None where the checkpoint has none.
        known: Whether the score is under the threshold; None where there is none.
    """

    path: str
    sha256: str | None
    label: str
    probabilities: dict[str, float]
    score: float | None
    known: bool | None

    @property
    def confidence(self) -> float:
        """Probability of the most probable class."""
        return self.probabilities[self.label]

    @property
    def verdict(self) -> str:
        """The answer in words."""
        if self.known is False:
            return f"outside what this model knows; nearest class {self.label}"
        return f"{self.label}, {as_share(self.confidence)}"

    def as_dict(self) -> dict[str, Any]:
        """Give what JSON holds, as `dnadet attribute --json` does, with verdict and hash."""
        return {
            "path": self.path, "sha256": self.sha256, "verdict": self.verdict, "label": self.label,
            "confidence": self.confidence, "probabilities": self.probabilities,
            "unknown_score": self.score, "known": self.known,
        }  # fmt: skip


@dataclass(frozen=True)
class Unread:
    """A file that was not read, or a source that names none, and why."""

    path: str
    error: str
    sha256: str | None = None

    @property
    def verdict(self) -> str:
        """The reason, without the path that messages begin with."""
        return f"not read: {self.error.removeprefix(f'{self.path}: ')}"

    def as_dict(self) -> dict[str, Any]:
        """Give what JSON holds."""
        return {"path": self.path, "error": self.error, "sha256": self.sha256}


@dataclass(frozen=True)
class Report:
    """All that page and JSON twin say.

    Attributes:
        model: The checkpoint.
        command: Line that makes the report again.
        findings: Of the images that were read, the worst first.
        unread: What was not read.
        measured: Error rates of the checkpoint, or None where none were measured.
        notes: Remarks, and files that were left out.
        made: When, in UTC.
    """

    model: DNADet
    command: str
    findings: list[Finding]
    unread: list[Unread]
    measured: Measured | None
    notes: Notes
    made: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")

    @cached_property
    def folder(self) -> str:
        """The folder that holds all files, from which the page names them; "" for none."""
        paths = [*(f.path for f in self.findings), *(u.path for u in self.unread)]
        with suppress(ValueError):  # relative and absolute ones, or several drives
            return os.path.commonpath(map(os.path.dirname, paths))
        return ""

    def short(self, path: str) -> str:
        """Name a file from the folder that holds all."""
        return os.path.relpath(path, self.folder) if self.folder else path

    @property
    def counts(self) -> dict[str, int]:
        """Images by class that they were named as, then those outside, not read and left out."""
        named = Counter(f.label for f in self.findings if f.known is not False)
        return {
            **{name: named[name] for name in self.model.classes},
            "outside what this model knows": sum(f.known is False for f in self.findings),
            "not read": len(self.unread),
            "left out": len(self.notes.left_out),
        }

    def as_dict(self) -> dict[str, Any]:
        """Give the JSON twin."""
        model = self.model
        return {
            "made_by": MADE_BY, "version": package_version(), "command": self.command,
            "made": self.made,
            "model": {
                "name": model.origin, "sha256": model.sha256, "classes": list(model.classes),
                "temperature": model.temperature, "threshold": model.threshold,
            },
            "counts": self.counts,
            "measured": self.measured and {"name": self.measured.name, "rows": self.measured.rows},
            "results": [finding.as_dict() for finding in self.findings],
            "errors": [unread.as_dict() for unread in self.unread],
            "notes": self.notes.texts, "skipped": [str(path) for path in self.notes.left_out],
        }  # fmt: skip


def as_share(value: float) -> str:
    """Write a probability with two digits; what is not certain never reads as 0.00 or 1.00."""
    if value > 0.99:
        return ">0.99"
    return "<0.01" if value < 0.01 else f"{value:.2f}"


def package_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("dnadet")
    except PackageNotFoundError:  # run from a folder that is not installed
        return "not installed"


# Looking at the images ---------------------------------------------------------------------------


def examine(model: DNADet, paths: Sequence[Path]) -> tuple[list[Finding], list[Unread]]:
    """Attribute images in batches, with a progress bar where stderr is a terminal.

    Args:
        model: Attributes.
        paths: (N,) image files.

    Returns:
        What it says of those that can be read, the worst first: unlike all it knows, by how much;
        then the least confident. And those that cannot be read, in their order.
    """
    findings: list[Finding] = []
    unread: list[Unread] = []
    with tqdm(total=len(paths), unit=" images", desc="attributing", disable=None) as progress:
        for start in range(0, len(paths), BATCH):
            part = paths[start : start + BATCH]
            errors: list[str] = []
            kept: set[int] = set()
            for positions, features in readable_features(model, part, errors):
                probabilities = model.probabilities(features.embeddings).cpu().numpy()
                scores = model.unknown_score(features.traces).cpu().numpy()
                kept.update(positions)
                findings += [
                    _finding(model, part[i], own, float(score))
                    for i, own, score in zip(positions, probabilities, scores, strict=True)
                ]
            lost = [path for i, path in enumerate(part) if i not in kept]
            unread += [_unread(path, errors) for path in lost]
            progress.update(len(part))
    return sorted(findings, key=_badness), unread


def _finding(model: DNADet, path: Path, probabilities: np.ndarray, score: float) -> Finding:
    has_score = model.reference is not None
    return Finding(
        str(path), _sha256(path), model.classes[int(probabilities.argmax())],
        dict(zip(model.classes, probabilities.tolist(), strict=True)),
        score if has_score else None, score <= model.threshold if has_score else None,
    )  # fmt: skip


def _unread(path: Path, errors: Sequence[str]) -> Unread:
    own = next((line for line in errors if line.startswith(f"{path}: ")), f"{path}: not read")
    return Unread(str(path), own, _sha256(path))


def _sha256(path: Path) -> str | None:
    with suppress(OSError):
        return sha256_of(path) if path.is_file() else None
    return None


def _badness(finding: Finding) -> tuple[bool, float, str]:
    outside = finding.known is False
    return not outside, -(finding.score or 0) if outside else finding.confidence, finding.path


# The JSON twin -----------------------------------------------------------------------------------


def twin_of(page: Path) -> Path:
    """Name the JSON file beside a page."""
    return Path(page).with_suffix(".json")


def require_twin(file: Path) -> None:
    """Check that the twin can be written, and takes the place of an earlier one at most.

    Raises:
        FileExistsError: there is a file that no report wrote; it is named.
        OSError: it cannot be written.
    """
    require_writable(file)
    with suppress(FileNotFoundError), file.open("rb") as stream:
        if MADE_BY.encode() not in stream.read(100):
            raise FileExistsError(
                f"{file}: the report's JSON goes there, and no report wrote that file; choose "
                "another name for the report"
            )


def write_twin(report: Report, file: Path) -> None:
    """Write the JSON twin."""
    text = json.dumps(for_json(report.as_dict()), indent=1, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")
