"""A method of one's own in the table: the page of data/examples, and what can go wrong."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from dnadet_lib.bench import own
from dnadet_lib.bench.baselines import DCTRegression
from dnadet_lib.bench.own import own_method
from dnadet_lib.bench.suite import baseline, run_suite
from dnadet_lib.cli import main
from dnadet_lib.data import decoded_in_parts
from dnadet_lib.stages.stage_2 import training_data
from dnadet_lib.zoo.manifest import CLASSES
from dnadet_lib.zoo.setups import load_setup

ROOT = Path(__file__).parents[1]
GOOD = """
class Mine:
    def __init__(self, random_state=0):
        self.random_state = random_state
    def fit(self, X, y):
        assert X.dtype == "uint8" and X.shape[1:] == (64, 64, 3) and len(X) == len(y)
    def predict_proba(self, X):
        import numpy as np
        return np.random.default_rng(self.random_state).dirichlet(np.ones(5), len(X))
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a module of its own name in the working folder; return `module:Mine`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    count = iter(range(99))

    def written(text: str) -> str:
        name = f"own_{os.getpid()}_{abs(hash(tmp_path.name))}_{next(count)}"
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}:Mine"

    return written


def suite(*arguments: str) -> int:
    few = ["--setups", "seed", "--rows", "--models", "--workers", "1"]
    return main(["suite", "--profile", "smoke", "--out", "table", *few, *arguments])


def test_the_page_is_followed_word_for_word(world, tmp_path):
    """Its commands run as they stand, in a clone of which only the examples are there."""
    page = (ROOT / "data" / "examples" / "README.md").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 50
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "examples").symlink_to(ROOT / "data" / "examples")
    (tmp_path / "build" / "images").mkdir(parents=True)
    (tmp_path / "build" / "images" / "smoke").symlink_to(world.images)
    commands = "\n".join(re.findall(r"```bash\n(.*?)```", page, re.DOTALL))
    program = f'set -e\ndnadet() {{ "{sys.executable}" -m dnadet_lib "$@"; }}\n{commands}'
    variables = {"DNADET_BUILD": str(tmp_path / "build"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, env=os.environ | variables, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split(" | ")[0] for line in done.stdout.splitlines()]
    assert lines.index("| mine") < lines.index("| DCT regression")
    assert "Lead of *mine* over each" in done.stdout and "Seeds: 3." in done.stdout
    rows = json.loads((tmp_path / "mine.json").read_text())["rows"]
    assert {row["method"] for row in rows} == {"mine", "DCT regression"}
    assert {row["setup"] for row in rows} == {"closed", "seed"}
    assert any(r["metric"] == "lead" and np.isfinite([r["low"], r["high"]]).all() for r in rows)


def test_seeds_columns_and_edits(world, write, tmp_path):
    place = write(GOOD)
    run = lambda method: run_suite(  # noqa: E731
        [method], world.images, tmp_path / "work", seeds=[0, 1], setups=["loss"]
    )
    found = run(own.own_method(place))
    assert set(found["method"]) == {"Mine"}
    first, second = (found[found["seed"] == k].filter(like="score ").to_numpy() for k in (0, 1))
    np.testing.assert_allclose(first, np.random.default_rng(0).dirichlet(np.ones(5), len(first)))
    assert not np.array_equal(first, second)
    before = own.own_method(place).folder("images")
    Path("helper.py").write_text("LIMIT = 2\n")  # beside it, and it might go by it
    assert own.own_method(place).folder("images") != before
    text = GOOD.replace("(self, random_state=0)", "(self)").replace("= random_state", "= 0")
    seedless = own.own_method(write(text))
    assert not seedless.seeded and own.own_method(place).seeded


FAULTY = {
    "short": (GOOD.replace("(5), len(X)", "(5), 2"), r"shape \(2, 5\): expected \(\d+, 5\), a row"),
    "narrow": (GOOD.replace("ones(5)", "ones(4)"), r"shape \(\d+, 4\): expected .* Real, ProGAN"),
    "nan": (GOOD.replace("len(X))", "len(X)) * np.nan"), "values that are no finite numbers"),
    "twice": (GOOD.replace("len(X))", "len(X)) * 2"), "row 0 sums to 2, its smallest value is 0"),
    "below": (GOOD.replace("len(X))", "len(X)) * 2 - 0.2"), "its smallest value is -0.1"),
    "asks": (
        GOOD.replace("return", "return 1 / 0 or"),
        r"predict_proba failed \(.*py, line 9\): Z",
    ),
    "fits": (GOOD.replace("assert X", "assert not X"), r"fit failed \(.*py, line 6\): AssertionE"),
}


def test_methods_that_fail_are_named_and_the_others_are_printed(world, write, capsys):
    places = [write(text) for text, _ in FAULTY.values()]
    names = ["--name", *FAULTY, "good", "--seeds", "0"]
    assert suite("--method", *places, write(GOOD), *names) == 1
    printed = capsys.readouterr()
    assert re.findall(r"(?m)^\| (\w+) \|", printed.out) == ["method", "good"]
    assert "Traceback" not in printed.err
    told = [line for line in printed.err.splitlines() if line.endswith("this row is left out")]
    assert len(told) == len(FAULTY)
    for line, (name, (_, message)) in zip(told, FAULTY.items(), strict=True):
        assert line.startswith(f"dnadet: {name}, seed 0: ") and re.search(message, line)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (GOOD, "nothing_of_that_name:Mine", "no module of that name is installed or in"),
        (GOOD, "Mine", "method 'Mine': write it as module:Class"),
        (GOOD, "{}:Other", "has no class 'Other'; it has Mine"),
        ("import nothing_at_all", "{}:Mine", "ModuleNotFoundError: No module named 'nothing_at"),
        ("1 / 0", "{}:Mine", "ZeroDivisionError"),
        (GOOD.replace("def fit", "def learn"), "{}:Mine", r"has no fit\(\); it needs fit and"),
        (GOOD.replace("_proba", ""), "{}:Mine", r"has no predict_proba\(\)"),
        (GOOD.replace("random_state=0", "depth"), "{}:Mine", "__init__ failed.*'depth'"),
    ],
)
def test_what_is_no_method_is_refused_before_work_begins(
    world, write, capsys, text, place, message
):
    named = place.format(write(text).partition(":")[0])
    assert suite("--method", named) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and len(error.splitlines()) == 1
    assert not list(Path("table").rglob("*.parquet"))


def test_names_and_methods_go_together(write, capsys):
    assert suite("--method", write(GOOD), "--name", "a", "b") == 2
    assert "2 names for 1 methods: one each" in capsys.readouterr().err
    assert suite("--method", write(GOOD), "--name", "AttNet", "--rows", "AttNet") == 2
    assert "two rows are called 'AttNet': give yours" in capsys.readouterr().err


def test_an_installed_package_brings_its_rows(world, write, capsys, monkeypatch):
    point = EntryPoint("brought", write(GOOD), own.METHODS)
    asked = []
    monkeypatch.setattr(own, "entry_points", lambda group: asked.append(group) or [point])
    assert suite("--rows", "brought", "--seeds", "0") == 0
    assert "| brought | " in capsys.readouterr().out
    assert set(asked) == {"dnadet.methods"}


def test_several_processes_find_the_method(world, write, capsys):
    assert suite("--method", write(GOOD), "--workers", "2", "--seeds", "0", "1") == 0
    assert "| Mine | " in capsys.readouterr().out


def test_a_checkpoint_is_a_row_as_it_is(world, write, checkpoint, capsys):
    assert suite("--rows", "--models", str(checkpoint), "--seeds", "0", "1") == 0
    out = capsys.readouterr().out
    assert "tiny.safetensors | " in out and "Lead" not in out
    with pytest.raises(ValueError, match="expected \\(1, 5\\)"):
        own.checked_probabilities([[1.0]], 1, CLASSES)


def test_test_images_are_decoded_some_at_a_time(world, write, tmp_path, monkeypatch):
    train, dev = training_data(world.images)
    test = load_setup("seed", root=world.images)
    alike = GOOD.replace("np.random.default_rng(self.random_state).dirichlet(np.ones(5), len(X))",
                         "np.eye(5)[X[:, 0, 0, 0] % 5]")  # fmt: skip
    for method in (own_method(write(alike)), baseline("dct", DCTRegression())):
        classify = method.fit(train, dev, 0, tmp_path / method.name)
        whole, sizes = classify(test), []
        with monkeypatch.context() as patch:
            patch.setattr("dnadet_lib.data.MEMORY_LIMIT", 7 * 64 * 64 * 3)
            def parts(paths, *side, sizes=sizes):
                for part in decoded_in_parts(paths, *side):
                    sizes.append(len(part))
                    yield part

            for module in ("own", "suite"):
                patch.setattr(f"dnadet_lib.bench.{module}.decoded_in_parts", parts)
            np.testing.assert_allclose(classify(test), whole, rtol=1e-4)
        assert max(sizes) == 7 and sum(sizes) == len(test)
