"""Lessons stand being run as students run them: cells twice, all of it again, exercises first."""

from __future__ import annotations

import os
import symtable
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from dnadet_lib import course as lessons

FILES = lessons.lesson_files()
Cells = list[nbformat.NotebookNode]

each_lesson = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


def code_cells(file: Path) -> Cells:
    """A lesson's code cells, at profile smoke."""
    cells = [c for c in nbformat.read(file, as_version=4).cells if c.cell_type == "code"]
    smoke = cells[0].source.replace('profile = "pocket"', 'profile = "smoke"')
    assert smoke != cells[0].source
    cells[0].source = smoke
    return cells


def run(cells: Cells, build: Path) -> Cells:
    """Run cells in a kernel of their own, all of them, and return them with their outputs."""
    copies = [nbformat.from_dict(c | {"id": f"{c.id}-run-{n}"}) for n, c in enumerate(cells, 1)]
    notebook = nbformat.v4.new_notebook(cells=copies)
    client = NotebookClient(
        notebook, allow_errors=True, startup_timeout=600, timeout=None, kernel_name="python3",
        resources={"metadata": {"path": str(lessons.CLONE)}},
    )  # fmt: skip
    settings = {"DNADET_BUILD": str(build), "TQDM_DISABLE": "1", "DNADET_WIDGETS": "off"}
    with lessons.own_kernel(), lessons.variables(**settings):
        client.execute()
    return notebook.cells


def another_order(cells: Cells) -> Cells:
    """Parameters and imports, the exercises with their stubs, every other cell twice, all again."""
    start, rest = cells[:2], cells[2:]
    exercises = [cell for cell in rest if "exercise" in cell.metadata.get("tags", [])]
    others = [cell for cell in rest if cell not in exercises]
    return [*start, *exercises, *(cell for cell in others for _ in range(2)), *cells]


@pytest.mark.notebooks
@pytest.mark.skipif("DNADET_RERUNS" not in os.environ, reason="minutes: set DNADET_RERUNS=1")
@each_lesson
def test_cells_run_twice_and_in_another_order(file: Path, build: Path) -> None:
    failed = [
        f"{cell.id}: {output.ename}: {output.evalue}"
        for cell in run(another_order(code_cells(file)), build)
        for output in cell.outputs
        if output.output_type == "error"
    ]
    assert not failed, "\n".join(failed)


def tables_of(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from tables_of(child)


def names_of(source: str) -> tuple[set[str], set[str]]:
    """Global names that a cell sets, and those that it takes from other cells."""
    top = symtable.symtable(source, "cell", "exec")
    own = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {
        symbol.get_name()
        for table in tables_of(top)
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or table is top)
    }
    return own, used - own


def test_names_of_a_cell() -> None:
    source = "import a\nb = [c for c in d]\ndef e(f): return f + g + b\nfor h in b: print(h)"
    own, taken = names_of(source)
    assert own == {"a", "b", "e", "h"}
    assert taken == {"d", "g", "print"}


@each_lesson
def test_a_name_that_other_cells_take_is_set_by_one_cell(file: Path) -> None:
    """Else a cell finds something else under that name, once another one is run again."""
    names = [names_of(cell.source) for cell in code_cells(file)]
    taken = set().union(*(used for _, used in names))
    set_by = Counter(name for own, _ in names for name in own & taken)
    assert len(set_by) > 5
    assert [name for name, count in set_by.items() if count > 1] == []
