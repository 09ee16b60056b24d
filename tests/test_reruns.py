"""Lessons stand being run as students run them: cells twice, all of it again, exercises first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from dnadet_lib import course as lessons

FILES = lessons.lesson_files()
Cells = list[nbformat.NotebookNode]


def each_cell_twice(cells: Cells) -> Cells:
    return [cell for cell in cells for _ in range(2)]


def top_to_bottom_twice(cells: Cells) -> Cells:
    return cells + cells


def exercises_first(cells: Cells) -> Cells:
    """The cells of parameters and imports, the exercises with their stubs, then all the others."""
    start, rest = cells[:2], cells[2:]
    exercises = [cell for cell in rest if "exercise" in cell.metadata.get("tags", [])]
    return [*start, *exercises, *(cell for cell in rest if cell not in exercises)]


@pytest.mark.notebooks
@pytest.mark.parametrize("order", [each_cell_twice, top_to_bottom_twice, exercises_first])
@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_cells_run_in_other_orders(
    file: Path, order: Callable[[Cells], Cells], build: Path
) -> None:
    notebook = nbformat.read(file, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    smoke = cells[0].source.replace('profile = "pocket"', 'profile = "smoke"')
    assert smoke != cells[0].source
    cells[0].source = smoke
    notebook.cells = [nbformat.from_dict(cell) for cell in order(cells)]
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"{cell.id}-run-{number}"
    client = NotebookClient(
        notebook, allow_errors=True, startup_timeout=600, timeout=None, kernel_name="python3",
        resources={"metadata": {"path": str(lessons.CLONE)}},
    )  # fmt: skip
    settings = {"DNADET_BUILD": str(build), "TQDM_DISABLE": "1", "DNADET_WIDGETS": "off"}
    with lessons.own_kernel(), lessons.variables(**settings):
        client.execute()
    failed = [
        f"{cell.id}: {output.ename}: {output.evalue}"
        for cell in notebook.cells
        for output in cell.outputs
        if output.output_type == "error"
    ]
    assert not failed, "\n".join(failed)
