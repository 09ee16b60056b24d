"""`dnadet attribute`: a line for each image as soon as it is known, or JSON, or CSV."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dnadet_lib.commands.inputs import remarks
from dnadet_lib.images.folders import by_suffix
from dnadet_lib.inference import answers
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.notes import Notes
from dnadet_lib.plumbing.progress import Progress, counting
from dnadet_lib.plumbing.text import for_csv, for_json, one_line

COLUMNS = (
    "label", "confidence", "unknown_score", "known", "looked_at",
    "nearest", "cannot_tell", "history",
)  # fmt: skip
REASONS = 3  # named in the summary
Errors = list[dict[str, str]]


def describe(result: dict) -> str:
    """Say one result in a line."""
    best = f"{one_line(result['nearest'])} {result['confidence']:.2f}"
    reason = result["cannot_tell"]
    said = best
    if result["label"] is None:
        said = f"cannot tell: {reason} (nearest class {best})"
    elif result["known"] is False:
        score = f"unknown score {result['unknown_score']:.2f}"
        said = f"outside what this model knows ({score}; nearest class {best})"
    elif result["known"] is None:
        said = f"{best} (not checked whether the model knows such images)"
    if reason and result["label"] is not None:
        said += f" (forced; without --force: cannot tell, {reason})"
    if found := result["history"]["found"]:
        said += f" ({one_line(found)})"
    if result["looked_at"] < 1:
        said += f" ({100 * result['looked_at']:.2g}% of the image looked at)"
    return f"{one_line(result['path'])}: {said}"


class Lines:
    """Prints a line an image."""

    def result(self, result: dict) -> None:
        """Print a result."""
        print(describe(result), flush=True)

    def error(self, error: dict[str, str]) -> None:
        """Print nothing: stderr has it, or the remarks."""

    def end(self, remarks: dict[str, list]) -> None:
        """Print nothing."""


class JsonLines(Lines):
    """Prints a JSON object per line: results and errors as they come, the rest at the end."""

    def __init__(self, model: str) -> None:
        self.model = model

    def result(self, result: dict) -> None:
        """Print a result."""
        self._print(result)

    def error(self, error: dict[str, str]) -> None:
        """Print what was not read."""
        self._print(error)

    def end(self, remarks: dict[str, list]) -> None:
        """Print the model and all remarks but the errors, which were printed."""
        rest = {key: value for key, value in remarks.items() if key != "errors"}
        self._print({"model": self.model, **rest})

    def _print(self, value: dict) -> None:
        print(json.dumps(for_json(value), allow_nan=False), flush=True)


class OneObject(Lines):
    """Prints all as one JSON object at the end."""

    def __init__(self, model: str) -> None:
        self.model, self.results = model, list[dict]()

    def result(self, result: dict) -> None:
        """Keep a result."""
        self.results.append(result)

    def end(self, remarks: dict[str, list]) -> None:
        """Print the object."""
        report = {"model": self.model, "results": self.results, **remarks}
        print(json.dumps(for_json(report), indent=1, allow_nan=False), flush=True)


class Table(Lines):
    """Prints CSV, a row per image; classes name the columns of probabilities."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self.writer = csv.writer(sys.stdout)
        self.writer.writerow(["path", *COLUMNS, *map(for_csv, self.classes)])

    def result(self, result: dict) -> None:
        """Print a row; None is an empty cell."""
        cells = {**result, "history": result["history"]["found"]}
        found = [v if isinstance(v := cells[name], bool | float) else for_csv(v or "")
                 for name in COLUMNS]  # fmt: skip
        row = [for_csv(result["path"]), *found, *result["probabilities"].values()]
        self.writer.writerow(row)
        sys.stdout.flush()


@dataclass
class Summary:
    """What a run has found so far."""

    total: int  # images that were asked about
    classes: Counter[str] = field(default_factory=Counter)  # class -> images of it
    refused: int = 0  # images outside what the model knows
    untold: int = 0  # images of which it cannot tell
    unchecked: int = 0  # images of which the model cannot say whether it knows such
    errors: Errors = field(default_factory=list)  # inputs that were not read

    def add(self, result: dict) -> None:
        """Count a result."""
        self.unchecked += result["known"] is None
        if result["label"] is None:
            self.untold += 1
        elif result["known"] is False:
            self.refused += 1
        else:
            self.classes[result["label"]] += 1

    @property
    def done(self) -> int:
        """Images with an answer."""
        return self.classes.total() + self.refused + self.untold

    def text(self, notes: Notes) -> str:
        """Say all in one line."""
        parts = [f"{self.done:,} of {self.total:,} images read"]
        parts += [f"{one_line(name)} {count:,}" for name, count in self.classes.most_common()]
        if self.untold:
            parts.append(f"cannot tell {self.untold:,}")
        if self.refused:
            parts.append(f"outside what this model knows {self.refused:,}")
        if self.unchecked:
            parts.append(f"not checked whether the model knows such images {self.unchecked:,}")
        text = ", ".join(parts).replace(" read, ", " read: ", 1)
        if self.errors:
            reasons = Counter(e["error"].removeprefix(f"{e['path']}: ") for e in self.errors)
            named = [f"{one_line(r)} {n:,}" for r, n in reasons.most_common(REASONS)]
            more = ", ..." if len(reasons) > REASONS else ""
            text += f"; not read {len(self.errors):,} ({', '.join(named)}{more})"
        if left := notes.left_out:
            text += f"; left out {len(left):,} ({by_suffix(left)})"
        return text


def attribute_all(
    model: DNADet, paths: Sequence, writer: Lines, summary: Summary, progress: Progress,
    complain: Callable[[object], None], force: bool = False,
) -> None:  # fmt: skip
    """Write the result of every image that can be read as it comes; name the others on stderr.

    The writer gets results and errors in the order of the images, summary and progress count them;
    the errors that the summary holds already are told first.
    """
    told = 0

    def tell() -> None:
        nonlocal told
        for error in summary.errors[told:]:
            with progress.aside():
                complain(error["error"])
                writer.error(error)
        told = len(summary.errors)

    missing = len(summary.errors)
    tell()
    for result in answers(model, paths, summary.errors, force):
        tell()
        del result["embedding"]
        summary.add(result)
        with progress.aside():
            writer.result(result)
        progress.add(summary.done + len(summary.errors) - missing - progress.done)
    tell()


def run(
    model: DNADet, paths: Sequence, errors: Errors, writer: Lines, notes: Notes,
    complain: Callable[[object], None], quiet: bool = False, force: bool = False,
) -> int:  # fmt: skip
    """Attribute images, and say at the end, or when interrupted, what was found.

    `errors` are of sources that name no image; `complain` prints a line on stderr. With `quiet`
    there is neither progress nor summary, with `force` a class is named also where it cannot be
    told.

    Returns:
        0: all done; 1: some inputs not read; 2: none read; 130: interrupted.
    """
    summary = Summary(len(paths), errors=errors)
    status = 0
    try:
        with counting(len(paths), quiet=quiet) as progress:
            attribute_all(model, paths, writer, summary, progress, complain, force)
    except KeyboardInterrupt:
        status = 130
    writer.end(remarks(notes, summary.errors))
    if status:
        complain(f"interrupted: {summary.text(notes)}; what is printed stands")
        return status
    if not quiet:
        complain(summary.text(notes))
    if summary.errors:
        return 1 if summary.done else 2
    return 0
