"""The page on adding a generator, followed word for word with a few steps."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "data/examples/add_a_generator.md").read_text()
NEW = ("SNGAN_horizons_s8", "DepthwiseGAN_horizons_s0")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone with an empty zoo, whose trainer takes few crops."""
    shutil.copytree(ROOT / "dnadet_lib", tmp_path / "dnadet_lib",
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    (tmp_path / "data" / "zoo").mkdir(parents=True)
    for file in (*ROOT.glob("data/*.py"), ROOT / "Makefile", ROOT / "data/zoo/plan.csv"):
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    for name in ("photos", "checkpoints"):
        (tmp_path / "data" / name).symlink_to(ROOT / "data" / name)
    trainer = tmp_path / "data" / "train_gan.py"
    text = trainer.read_text()
    for before, after in (("TRAINING_CROPS = 8000", "TRAINING_CROPS = 48"), ('"dev"), 1500)',
                          '"dev"), 24)')):  # fmt: skip
        assert before in text
        text = text.replace(before, after)
    trainer.write_text(text)
    return tmp_path


def follow_the_edits(clone: Path) -> None:
    """Do with the two blocks of Python what the page says beside them."""
    body, entry = blocks("python")
    unknown, known = (clone / "dnadet_lib/zoo" / f"{n}.py"
                      for n in ("unknown_generators", "generators"))  # fmt: skip
    unknown.write_text(f"{unknown.read_text()}\n\n{body}")
    (name,) = re.findall(r"(\w+),\n", entry)
    text = known.read_text()
    for start in ("from dnadet_lib.zoo.unknown_generators import (\n",
                  "UNKNOWN_ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {\n"):  # fmt: skip
        assert text.count(start) == 1
        added = f"    {name},\n" if start.startswith("from") else entry
        text = text.replace(start, start + added)
    known.write_text(text)


def run(program: str, clone: Path) -> str:
    prelude = f"""set -e
    python() {{ "{sys.executable}" "$@"; }}
    dnadet() {{ "{sys.executable}" -m dnadet_lib "$@"; }}
    make() {{ command make --no-print-directory BIN="{Path(sys.executable).parent}" \
        STAMP=Makefile "$@"; }}
    """
    variables = {"PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("DNADET_")}
    done = subprocess.run(
        ["bash", "-c", prelude + program], cwd=clone, env=inherited | variables, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_is_followed_word_for_word(clone):
    plan = clone / "data/zoo/plan.csv"
    plan.write_text(re.sub(r",\d+$", ",2", plan.read_text(), flags=re.MULTILINE))
    commands = [block.replace(",300\"", ',2"') for block in blocks("bash")]
    instance, architecture, setups, use = commands
    run("make zoo NAME=SNGAN_horizons_s0", clone)  # what the new instance is compared with
    run(instance, clone)
    follow_the_edits(clone)
    run(architecture, clone)
    assert run(setups, clone).split("\n")[:2] == [f"{NEW[0]} seed", f"{NEW[1]} unknown"]
    _, *said = run(use, clone).splitlines()  # the first names the rendered tree
    images = list((clone / f"build/images/smoke/GANs/DepthwiseGAN/{NEW[1]}/test").glob("*.png"))
    assert len(said) == len(images) == 12 and all(NEW[1] in line for line in said)
    rows = json.loads((clone / "seed.json").read_text())["rows"]
    assert [r["images"] for r in rows if r["metric"] == f"accuracy {NEW[0]}"] == [12]
    with (clone / "data/zoo/manifest.csv").open(newline="") as file:
        made = {row["name"]: row for row in csv.DictReader(file)}
    assert [made[name]["command"] for name in NEW] == [f"make zoo NAME={name}" for name in NEW]
    assert all((clone / "data/zoo" / made[name]["file"]).is_file() for name in NEW)


def test_the_example_is_not_in_the_zoo():
    plan = (ROOT / "data/zoo/plan.csv").read_text()
    assert not [name for name in NEW if name in plan]
