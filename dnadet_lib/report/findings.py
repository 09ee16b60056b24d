"""What a report on images says: verdicts, the worst first, error rates and hashes; and as JSON."""

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

from tqdm import tqdm

from dnadet_lib.evaluation.shipped_rates import Measured
from dnadet_lib.images.history import History
from dnadet_lib.inference import answers
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.files import require_writable, sha256_of
from dnadet_lib.plumbing.notes import Notes
from dnadet_lib.plumbing.text import for_json

MADE_BY = "dnadet report"  # the first value of the JSON twin, by which it is known
NAMED, UNTOLD, OUTSIDE, UNREAD = "named", "untold", "outside", "unread"  # kinds of verdicts


@dataclass(frozen=True)
class Finding:
    """What the model says of one image."""

    path: str  # of the file
    sha256: str | None  # of the file
    label: str  # the most probable class
    probabilities: dict[str, float]  # class -> probability, calibrated
    score: float | None  # unknown score, or None where the checkpoint has none
    known: bool | None  # whether the score is under the threshold; None where there is none
    told: bool = True  # whether the model can tell, or was forced to
    cannot_tell: str | None = None  # why it cannot, or None
    history: dict[str, Any] = field(default_factory=History().as_dict)  # what happened to the image

    @property
    def confidence(self) -> float:
        """Probability of the most probable class."""
        return self.probabilities[self.label]

    @property
    def kind(self) -> str:
        """Which kind of verdict it is."""
        if not self.told:
            return UNTOLD
        return OUTSIDE if self.known is False else NAMED

    @property
    def verdict(self) -> str:
        """The answer in words."""
        if not self.told:
            return f"cannot tell: {self.cannot_tell}; nearest class {self.label}"
        if self.known is False:
            return f"outside what this model knows; nearest class {self.label}"
        forced = f" (forced: {self.cannot_tell})" if self.cannot_tell else ""
        return f"{self.label}, {as_share(self.confidence)}{forced}"

    def as_dict(self) -> dict[str, Any]:
        """Give what JSON holds, as `dnadet attribute --json` does, with verdict and hash."""
        return {
            "path": self.path, "sha256": self.sha256, "verdict": self.verdict,
            "label": self.label if self.told else None, "cannot_tell": self.cannot_tell,
            "nearest": self.label, "confidence": self.confidence,
            "probabilities": self.probabilities, "unknown_score": self.score, "known": self.known,
            "history": self.history,
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
    """All that page and JSON twin say."""

    model: DNADet  # the checkpoint
    command: str  # line that makes the report again
    findings: list[Finding]  # of the images that were read, the worst first
    unread: list[Unread]  # what was not read
    measured: Measured | None  # error rates of the checkpoint, or None where none were measured
    notes: Notes  # remarks, and files that were left out
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
        kinds = Counter(f.kind for f in self.findings)
        named = Counter(f.label for f in self.findings if f.kind == NAMED)
        return {
            **{name: named[name] for name in self.model.classes},
            "cannot tell": kinds[UNTOLD],
            "outside what this model knows": kinds[OUTSIDE],
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


def examine(
    model: DNADet, paths: Sequence[Path], force: bool = False
) -> tuple[list[Finding], list[Unread]]:
    """Attribute images in batches, with a progress bar where stderr is a terminal.

    With `force`, the most probable class is named also where it cannot be told.

    Returns:
        What the model says of the images that can be read: first those outside what it knows, then
        those that it cannot tell, then the least confident. And those that cannot be read.
    """
    errors: list[dict[str, str]] = []
    found = answers(model, paths, errors, force)
    shown = tqdm(found, total=len(paths), unit=" images", desc="attributing", disable=None)
    findings = [_finding(answer) for answer in shown]
    unread = [Unread(**error, sha256=_sha256(Path(error["path"]))) for error in errors]
    return sorted(findings, key=_badness), unread


def _finding(answer: dict[str, Any]) -> Finding:
    return Finding(
        answer["path"], _sha256(Path(answer["path"])), answer["nearest"], answer["probabilities"],
        answer["unknown_score"], answer["known"], answer["label"] is not None,
        answer["cannot_tell"], answer["history"],
    )  # fmt: skip


def _sha256(path: Path) -> str | None:
    with suppress(OSError):
        return sha256_of(path) if path.is_file() else None
    return None


def _badness(finding: Finding) -> tuple[int, float, str]:
    rank = [OUTSIDE, UNTOLD, NAMED].index(finding.kind)
    worst = -(finding.score or 0) if finding.kind == OUTSIDE else finding.confidence
    return rank, worst, finding.path


def twin_of(page: Path) -> Path:
    """Name the JSON file beside a page."""
    return Path(page).with_suffix(".json")


def require_twin(file: Path) -> None:
    """Check that the twin can be written, and takes the place of an earlier one at most."""
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
