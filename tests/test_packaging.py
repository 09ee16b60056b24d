"""What is installed, cited and run fits together."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def constraints() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(r.name): r for r in pinned}


def test_environment_for_conda_repeats_the_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]
    (by_pip,) = (d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    requirements = [line for line in by_pip if not line.startswith("-")]
    assert requirements == PROJECT["dependencies"] + EXTRAS["notebooks"]
    assert [line for line in by_pip if line.startswith("-")] == [
        "--constraint constraints.txt", "--editable .",
    ]  # fmt: skip


def test_every_requirement_is_pinned_to_a_version_it_allows():
    pinned = constraints()
    for text in (*PROJECT["dependencies"], *(text for extra in EXTRAS.values() for text in extra)):
        requirement = Requirement(text)
        (pin,) = pinned[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), text


def test_one_version_of_torch_without_a_build_tag():
    (pin,) = constraints()["torch"].specifier
    assert "+" not in pin.version
    assert f"TORCH ?= {pin.version}\n" in (ROOT / "Makefile").read_text()
    names = constraints().keys()
    assert not {n for n in names if n.startswith(("nvidia-", "triton", "torchvision"))}


def test_citation_has_what_the_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["type"] == "software"
    assert citation["authors"] == [{"name": "The dnadet authors"}]
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["title"] == "Deepfake Network Architecture Attribution"
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Yang", "Huang", "Cao", "Li", "Li"]
    assert paper["year"] == 2022
    assert "2202.13843" in paper["url"]


def test_the_readme_says_how_to_cite_what_is_there():
    text = (ROOT / "README.md").read_text().split("## Cite\n")[1].split("\n## ")[0]
    assert f'version {PROJECT["version"]}"' in text and "AAAI 2022" in text
    (table,) = re.findall(r"sha256sum (\S+)`", text)
    assert "sha256" in (ROOT / table).read_text().splitlines()[0].split(",")


def test_licence_covers_code_and_text():
    text = (ROOT / "LICENSE").read_text()
    assert "MIT License" in text
    assert "CC BY 4.0" in text
    assert PROJECT["license"] == "MIT AND CC-BY-4.0"


def test_ci_calls_make_test():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    assert text.rstrip().endswith("make test")


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env=kept | environment,
    )  # fmt: skip


@pytest.fixture
def clone(tmp_path) -> Path:
    """Makefile and requirements alone, without a virtual environment."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("target", ["run", "test"])
def test_make_installs_torch_first_and_then_the_rest(clone, target):
    commands = make("--dry-run", target, folder=clone).stdout
    pinned = constraints()["torch"].specifier
    places = [
        commands.index(text)
        for text in ("-m venv .venv", f"torch{pinned}", "--editable '.[notebooks,test]'")
    ]
    assert places == sorted(places)
    assert "--constraint constraints.txt" in commands
    last = {"run": ".venv/bin/dnadet run", "test": ".venv/bin/python -m pytest -n 2"}[target]
    assert last in commands.rstrip().splitlines()[-1]


def test_a_second_make_installs_nothing_until_a_requirement_changes(clone):
    stamp = re.search(r"touch (\S+)", make("--dry-run", "run", folder=clone).stdout)
    assert stamp
    (clone / ".venv").mkdir()
    (clone / stamp[1]).touch()
    os.utime(clone / "pyproject.toml")  # a later date alone changes nothing
    assert make("--dry-run", "run", folder=clone).stdout.split() == [".venv/bin/dnadet", "run"]
    with (clone / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    assert "pip install" in make("--dry-run", "run", folder=clone).stdout


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("version", "dnadet needs Python 3.11 or newer"),
        ("ensurepip", "apt install python3-venv"),
    ],
)
def test_make_says_what_is_wrong_with_python(clone, fault, message):
    python = clone / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *{fault}*) exit 1;; esac\n')
    python.chmod(0o755)
    result = make("run", f"PYTHON={python}", folder=clone)
    assert result.returncode != 0
    assert message in result.stderr
    assert not (clone / ".venv").exists()
