from __future__ import annotations

import runpy
import sys
from pathlib import Path

SPEED = Path(__file__).parents[1] / "benchmarks" / "speed.py"


def test_speed_prints_a_ratio_for_every_choice(monkeypatch, capsys):
    arguments = ["--turns", "1", "--width", "4", "--images", "4"]
    monkeypatch.setattr(sys, "argv", [str(SPEED), *arguments])
    runpy.run_path(str(SPEED), run_name="__main__")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 4
    assert all(float(row.split("|")[-2]) > 0 for row in rows)
