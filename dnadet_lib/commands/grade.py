"""`dnadet grade`."""

from __future__ import annotations

import argparse
from pathlib import Path

from dnadet_lib.commands.inputs import complain
from dnadet_lib.plumbing.notes import note
from dnadet_lib.plumbing.text import one_line

HELP = "check what students handed in again, and write it as CSV"
EXAMPLES = (" submissions/", " submissions/ --out grades.csv --seconds 5")
EXERCISES = ("name", "exercise", "done", "attempts", "time", "remark", "file")
PREDICTIONS = ("name", "question", "text", "time", "file")


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "The functions that students handed in run with your rights: use an account, a container\n"
        f"or a machine that has nothing to lose.\n\n{parser.epilog}"
    )
    parser.add_argument("folder", type=Path, help="folder with a NAME.json per student")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("grades.csv"), metavar="FILE.csv",
        help="a row per student and exercise; predictions go to FILE-predictions.csv beside it "
        "(default: grades.csv)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=10, help="that a function may take (default: 10)"
    )
    parser.add_argument(
        "--memory", type=float, default=2,
        help="gigabytes that the functions of a student may take, on Linux (default: 2)",
    )  # fmt: skip
    parser.set_defaults(kinds=(".csv",))


def run(options: argparse.Namespace) -> int:
    """Mark a folder of submissions.

    The first table has the columns of `EXERCISES`, a row per student and exercise, also of those
    that were not handed in: `done` is "yes" where the check passes now, whatever the file says,
    `attempts` and `time` (UTC) come from the file, `remark` says what is wrong. The second has
    those of `PREDICTIONS`, a row per prediction. `file` is the submission's place in the folder.
    """
    from dnadet_lib.course.grading import mark
    from dnadet_lib.plumbing.files import require_writable

    if not options.folder.is_dir():
        raise ValueError(f"{options.folder}: is no folder; give the one with the submissions")
    for name in ("seconds", "memory"):
        if not 0 < getattr(options, name) < 1e6:
            raise ValueError(f"--{name} {getattr(options, name):g}: must be above 0")
    second = options.out.with_name(f"{options.out.stem}-predictions{options.out.suffix}")
    require_writable(second)
    marks = mark(options.folder, options.seconds, options.memory, complain)
    if len(marks.unread) == len(marks.names):
        raise ValueError(f"{options.out}: not written, since no submission could be read")
    for name in sorted(set(marks.names.values())):
        files = [file for file, other in marks.names.items() if other == name]
        if len(files) > 1:
            note(f"{name}: is the name in {len(files)} files: {', '.join(files)}")
    write(options.out, EXERCISES, marks.exercises)
    write(second, PREDICTIONS, marks.predictions)
    print(f"{one_line(options.out)}\n{one_line(second)}")
    if not options.quiet:
        complain(f"{len(marks.names)} submissions checked; broken: {len(marks.broken)}")
    return 1 if marks.broken else 0


def write(file: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    """Write rows as CSV that a spreadsheet does not run."""
    import csv

    from dnadet_lib.plumbing.files import atomic_path
    from dnadet_lib.plumbing.text import for_csv

    with atomic_path(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerows([[for_csv(row[column]) for column in columns] for row in rows])
