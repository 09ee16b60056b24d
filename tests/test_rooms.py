"""The rooms of the library: which of them may import which, and how large they may be."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "dnadet_lib"
# Each imports from those before it alone; `dnadet_lib/README.md` draws the same picture.
ORDER = (
    "plumbing", "transforms", "losses", "images", "patches", "data", "unknown", "attribution",
    "inference", "model", "checkpoints", "presets", "discriminant", "training", "zoo",
    "released", "evaluation", "stages", "fingerprints", "plots", "bench", "explorer", "report",
    "course", "commands", "cli", "__init__", "__main__",
)  # fmt: skip
MODULES = {
    ".".join(file.relative_to(LIBRARY).with_suffix("").parts): file
    for file in LIBRARY.rglob("*.py")
}


def imported(name: str) -> set[str]:
    """Modules of ours that a module imports, anywhere but for type annotations alone."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dnadet_lib"):
            places = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {place.removeprefix("dnadet_lib.") for place in places}
    return {place if place in MODULES else place.rpartition(".")[0] for place in found} - {name}


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name):
    room = ORDER.index(name.split(".")[0])
    later = {other for other in imported(name) if ORDER.index(other.split(".")[0]) > room}
    assert not later, f"{name} imports {later}, which come after it"


def test_there_is_no_circle():
    open_ones = {name: imported(name) for name in MODULES}
    while free := {name for name, others in open_ones.items() if not others & open_ones.keys()}:
        open_ones = {name: others for name, others in open_ones.items() if name not in free}
    assert not open_ones


def test_the_root_can_be_read_aloud():
    files = [file for file in LIBRARY.iterdir() if file.is_file()]
    assert len(files) <= 15
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in LIBRARY.glob("*.py")]
    assert sum(lines) <= 2600


@pytest.mark.parametrize("name", MODULES)
def test_a_module_and_its_functions_are_short(name):
    text = MODULES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 45
    ]
    assert not long


def test_the_map_names_what_is_there():
    text = (LIBRARY / "README.md").read_text(encoding="utf-8")
    root = LIBRARY.parent
    places = re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", text)
    assert not [p for p in places if not (LIBRARY / p).exists() and not (root / p).exists()]
    one_way = text.split("Imports go one way")[1].split("`tests/")[0]
    assert re.findall(r"`(\w+)`", one_way) == list(ORDER[:-2])
    rooms = {folder.name for folder in LIBRARY.iterdir() if (folder / "__init__.py").is_file()}
    assert rooms == set(re.findall(r"(?m)^\| `(\w+)/` \|", text))
