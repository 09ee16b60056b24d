"""Running the lessons."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dnadet_lib.course.lessons import CLONE, INSTALL, LessonError, _short
from dnadet_lib.course.side_by_side import executed
from dnadet_lib.plumbing.files import atomic_path, claimed_folder
from dnadet_lib.plumbing.paths import build_folder, variables

# Running all of them -----------------------------------------------------------------------------


def lesson_files(names: Sequence[str] | None = None) -> list[Path]:
    """List the lessons in order, or those whose names start as given.

    Raises:
        LessonError: there are no lessons, or none starts with a given name.
    """
    files = sorted((CLONE / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not files:
        raise LessonError(
            f"{CLONE / 'notebooks'}: no lessons. They come with the clone; install with "
            "`pip install -e .` from there"
        )
    if names is None:
        return files
    for name in names:
        if not any(file.stem.startswith(name) for file in files):
            known = ", ".join(file.stem for file in files)
            raise LessonError(f"no lesson {name!r}: choose one of {known}")
    return [file for file in files if file.stem.startswith(tuple(names))]


def run_lessons(
    profile: str, names: Sequence[str] | None = None, seed: int = 0, count: int = 1
) -> int:
    """Execute lessons into `build/notebooks/` and print the results table.

    A lesson that fails is reported in a line; the rest are still run.

    Args:
        profile: "pocket" or "smoke".
        names: Beginnings of lesson names, such as "03"; all lessons by default.
        seed: Handed to every lesson.
        count: Lessons that run at a time.

    Returns:
        0 if every lesson ran to its end, else 1.
    """
    try:
        files = lesson_files(names)
    except LessonError as error:
        print(error)
        return 1
    build = build_folder().resolve()
    results = build / "results.md"
    before = results.stat().st_mtime_ns if results.is_file() else None
    begin, count = time.monotonic(), min(count, len(files))
    work = partial(_run_lesson, parameters={"profile": profile, "seed": seed}, build=build)
    what = files[0].stem if len(files) == 1 else f"{len(files)} lessons, {count} at a time"
    print(f"Running {what}. A line comes when one is done.", flush=True)
    failed = []
    with claimed_folder(build / "notebooks"):
        for file, (problem, seconds) in executed(files, work, count):
            print(f"{file.stem:<24}{seconds / 60:5.1f} min", flush=True)
            if problem:
                copy = _short(build / "notebooks" / file.name)
                print(f"    FAILED {problem}\n    See {copy}", flush=True)
                failed.append(file.stem)
    minutes = (time.monotonic() - begin) / 60
    print(f"{len(files) - len(failed)} of {len(files)} lessons ran, {minutes:.1f} minutes in all.")
    print(f"Executed copies: {_short(build / 'notebooks')}")
    if results.is_file() and results.stat().st_mtime_ns != before:
        print(f"Results: {_short(results)} and results.json\n")
        print(results.read_text(encoding="utf-8"))
    if failed:
        print(f"Failed: {', '.join(sorted(failed))}")
    return int(bool(failed))


def _run_lesson(file: Path, parameters: dict[str, object], build: Path) -> tuple[str, float]:
    """Execute one lesson; return what failed, or nothing, and the seconds that it took."""
    begin = time.monotonic()
    problem = ""
    try:
        execute(file, build / "notebooks" / file.name, parameters, build)
    except Exception as error:  # a kernel can die in many ways: the other lessons still run
        problem = describe_failure(error)
    return problem, time.monotonic() - begin


def execute(file: Path, copy: Path, parameters: dict[str, object], build: Path) -> None:
    """Execute one notebook with papermill, in the clone's folder.

    Its kernel is a process of its own of the interpreter that runs this, whatever `python3` means
    to the Jupyter that is installed.

    Raises:
        LessonError: papermill or ipykernel is not installed.
        papermill.PapermillExecutionError: a cell failed.
    """
    try:
        import papermill
    except ModuleNotFoundError as error:
        raise LessonError(f"papermill, which runs the lessons, is missing. {INSTALL}") from error
    copy.parent.mkdir(parents=True, exist_ok=True)
    settings = {"DNADET_BUILD": str(build), "TQDM_DISABLE": "1", "DNADET_WIDGETS": "off"}
    with own_kernel(), variables(**settings):
        papermill.execute_notebook(
            str(file), str(copy), parameters=parameters, kernel_name="python3",
            cwd=str(CLONE), progress_bar=False,
            start_timeout=600,  # a busy machine starts kernels slowly
            extra_arguments=["--IPKernelApp.log_level=50"],
        )  # fmt: skip
    _join_streams(copy)


@contextmanager
def own_kernel() -> Iterator[None]:
    """Inside the block, make Jupyter's kernel `python3` this very interpreter.

    Raises:
        LessonError: ipykernel is not installed for it.
    """
    if importlib.util.find_spec("ipykernel") is None:
        raise LessonError(
            f"ipykernel, which runs the lessons, is missing for {sys.executable}. {INSTALL}"
        )
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels" / "python3" / "kernel.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(spec), encoding="utf-8")
        others = os.environ.get("JUPYTER_PATH")
        with variables(JUPYTER_PATH=os.pathsep.join([folder, *([others] if others else [])])):
            yield


def _join_streams(file: Path) -> None:
    """Make one output of printed lines that follow each other, as JupyterLab shows them."""
    import nbformat
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor

    notebook, _ = CoalesceStreamsPreprocessor().preprocess(
        nbformat.read(file, as_version=4), {}
    )
    with atomic_path(file) as temporary:
        nbformat.write(notebook, temporary)


def describe_failure(error: Exception) -> str:
    """Say in a line or two which cell of a notebook failed, and with what."""
    if hasattr(error, "ename") and hasattr(error, "evalue"):
        cell = getattr(error, "exec_count", None)
        return f"in cell [{cell}]: {error.ename}: {error.evalue}"
    return f"{type(error).__name__}: {error}"
