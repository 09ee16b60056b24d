"""The hash of a method's code: what moves it, and what does not."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest

from dnadet_lib.bench.baselines import DCTRegression, ResidualCorrelation
from dnadet_lib.bench.networks import AttNet
from dnadet_lib.bench.suite import network
from dnadet_lib.explorer.projection import place, project
from dnadet_lib.plumbing import code_key
from dnadet_lib.plumbing.code_key import code_digest
from dnadet_lib.presets import get_preset

CODE = '''
from math import sqrt
SHARE = 0.5
TABLE = {"a": [1, 2], "b": {"x", "y"}}

def helper(x):
    """Say what it does."""
    return sqrt(x) * SHARE if x in ("s", "t") else x

class Base:
    factor = 2

    @property
    def twice(self):
        return self.factor * 2

class Method(Base):
    """A method."""

    def __init__(self, depth=3):
        self.depth = depth

    def fit(self, x, seed=0):
        # a comment
        scale = lambda y: y + 1
        return scale(helper(x)) + len(TABLE)

def run(x):
    return Method().fit(x)

def unused():
    return 1
'''


def digest(source: str = CODE) -> str:
    """The digest of `run` of a module of this source."""
    module = types.ModuleType("own_methods")
    exec(compile(source, "own_methods.py", "exec", dont_inherit=True), vars(module))
    return code_digest(module.run)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return scale(helper(x))", "return scale(helper(x)) * 1.5"),  # the method itself
        ("y + 1", "y + 2"),  # a function inside it
        ("sqrt(x) * SHARE", "sqrt(x) / SHARE"),  # what it calls
        ("SHARE = 0.5", "SHARE = 0.25"),  # a constant of that
        ('"x", "y"', '"x", "z"'),
        ('("s", "t")', '("s", "u")'),
        ("factor = 2", "factor = 3"),  # of the class it inherits from
        ("self.factor * 2", "self.factor * 4"),
        ("depth=3", "depth=4"),  # defaults
        ("seed=0", "seed=1"),
        ("from math import sqrt", "from math import log as sqrt"),
    ],
)
def test_a_change_of_what_is_done_moves_it(old, new):
    assert CODE.count(old) == 1
    assert digest(CODE.replace(old, new)) != digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another\n\n"),
        ("return 1", "return 2"),  # of what is not used
        ("SHARE = 0.5", "OTHER = 7\nSHARE = 1 / 2"),
        ("lambda y: y + 1", "(lambda y:\n              y + 1)"),
    ],
)
def test_comments_layout_and_other_code_do_not(old, new):
    assert CODE.count(old) == 1
    assert digest(CODE.replace(old, new)) == digest()


def test_it_is_the_same_in_every_process():
    program = f"import types\nCODE = {CODE!r}\n" + (
        "from dnadet_lib.plumbing.code_key import code_digest\n"
        "module = types.ModuleType('own_methods')\nexec(CODE, vars(module))\n"
        "from dnadet_lib.bench.suite import baseline\n"
        "from dnadet_lib.bench.networks import AttNet\n"
        "print(code_digest(module.run), code_digest(baseline('', AttNet()).fit))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout  # fmt: skip
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert digest() in next(iter(found))


def test_containers_and_arrays_count_by_value():
    values = [1, 1.0, "1", True, None, [1], (1,), {1}, {1: 2}, {2: 1}, [1, [2]], [[1], 2],
              np.array([1]), np.array([1.0]), np.array([[1]]), b"1"]  # fmt: skip
    assert len({code_digest(value) for value in values}) == len(values)
    assert code_digest({"a", "b", "c"}) == code_digest({"c", "b", "a"})


def test_an_estimator_counts_by_its_class_and_all_parameters():
    estimators = [
        ResidualCorrelation(), ResidualCorrelation("high-pass"), DCTRegression(),
        DCTRegression(max_iter=299), AttNet(), AttNet(seed=1),
        ResidualCorrelation(lambda images: images), ResidualCorrelation(lambda images: images + 1),
        ResidualCorrelation(np.zeros(2000)), ResidualCorrelation(np.eye(1, 2000, 999)[0]),
    ]  # fmt: skip
    assert len({code_digest(own) for own in estimators}) == len(estimators)
    assert code_digest(AttNet(width=8)) == code_digest(AttNet(width=8))


def test_an_edited_library_moves_it(monkeypatch, tmp_path):
    library = tmp_path / "dnadet_lib"
    for name in ("losses.py", "course/site.py"):
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text("A = 1\n")
    monkeypatch.setattr(code_key, "LIBRARY", library)
    found = []
    for name in ("losses.py", "course/site.py"):
        code_key._library_digest.cache_clear()
        found.append(code_digest(1))
        (library / name).write_text("A = 2\n")
    code_key._library_digest.cache_clear()
    assert found[0] != found[1] == code_digest(1)
    code_key._library_digest.cache_clear()


def test_a_part_that_stands_aside_counts_where_it_is_asked_about():
    assert code_digest(project) != code_digest(place) != code_digest(1)


def test_a_row_follows_its_preset():
    rows = [network("a", get_preset(name)) for name in ("smoke", "whole_raw", "smoke")]
    folders = [row.folder("images") for row in rows]
    assert folders[0] == folders[2] != folders[1]
