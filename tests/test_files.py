from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dnadet_lib.plumbing import files

HOLD = """
import sys
from pathlib import Path
from dnadet_lib.plumbing.files import claimed_file, claimed_folder
with {"file": claimed_file, "folder": claimed_folder}[sys.argv[1]](Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_written_files_keep_to_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        with files.atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), files.atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(OSError, match=f"{tmp_path}: cannot be written: it is a folder"):
        files.require_writable(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"x\.csv: cannot be written \(.*\); choose another place"):
        files.require_writable(tmp_path / "file" / "x.csv")


def test_asking_leaves_no_file(tmp_path):
    (tmp_path / "there.csv").write_text("old")
    for name in ("there.csv", "new.csv"):
        files.require_writable(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["there.csv"]
    assert (tmp_path / "there.csv").read_text() == "old"


def test_output_that_is_an_input_by_another_name(tmp_path):
    (tmp_path / "a.png").write_text("")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    with pytest.raises(ValueError, match="link.png: is one of the inputs"):
        files.require_apart(tmp_path / "link.png", [tmp_path / "sub" / ".." / "a.png"])
    files.require_apart(tmp_path / "b.png", [tmp_path / "a.png"])


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "/etc", r"a\b", "C:x", ".hidden", "a\nb", "a\x1b[1m", "end.", "end "],
)
def test_names_that_are_not_plain(name):
    with pytest.raises(ValueError, match="row 3, name: .* is no plain name"):
        files.plain_name(name, "row 3, name")


@pytest.mark.parametrize("name", ["SNGAN_meadow_s1", "InfoMaxGAN_meadow_wgan-gp", "Größe 2.5"])
def test_names_that_are_plain(name):
    assert files.plain_name(name, "name") == name


def test_paths_that_lead_out_of_their_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    assert files.inside(root, root / "a" / "b") == root / "a" / "b"
    for path in (root / ".." / "other", root / "link" / "a", Path("/etc/a")):
        with pytest.raises(ValueError, match="leads out of .*root"):
            files.inside(root, path)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_second_run_is_told_and_the_lock_goes_with_the_first(tmp_path, kind):
    claim = {"file": files.claimed_file, "folder": files.claimed_folder}[kind]
    target = tmp_path / "out"
    command = [sys.executable, "-c", HOLD, kind, str(target)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout is not None and first.stdin is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(OSError, match="out: another run is writing it"), claim(target):
            pass
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.wait() == 0
    with claim(target):
        pass
    assert not list(tmp_path.rglob("*.lock"))


def test_a_lock_goes_when_the_work_fails(tmp_path):
    with pytest.raises(RuntimeError), files.claimed_folder(tmp_path / "out"):
        raise RuntimeError
    with files.claimed_folder(tmp_path / "out"):
        pass
