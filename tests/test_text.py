from __future__ import annotations

import html
import os
import re
import sys

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from nbconvert.filters import markdown2html

from dnadet_lib.plumbing.text import (
    for_csv,
    for_figure,
    for_html,
    for_json,
    for_markdown,
    is_storable,
    one_line,
    restored,
    storable,
    table_for_csv,
)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b.png", "a b.png"),
        ("Größe.png", "Größe.png"),
        ("a.png: Real 0.99\nb.png", r"a.png: Real 0.99\x0ab.png"),
        ("\x1b[2K\rReal", r"\x1b[2K\x0dReal"),
        ("a\u2028b\u202egnp", r"a\u2028b\u202egnp"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        ("tag\U000e0001", r"tag\U000e0001"),
    ],
)
def test_one_line_shows_what_cannot_be_printed(name, shown):
    assert one_line(name) == shown
    one_line(name).encode()


@pytest.mark.parametrize(
    "name",
    ["a|b", "<img src=x>", "*a*", "[x](y)", "![x][y]", "`c`", "a\nb", "$x$", "_x_", "__x__",
     "a\\_b_", "&lt;", "Real_meadow_s0", "0.5 [0.4, 0.6]"],
)  # fmt: skip
def test_markdown_shows_names_as_they_are(name):
    table = f"| name |\n|---|\n| {for_markdown(name)} |\n"
    rendered = markdown2html(table)
    (cell,) = re.findall(r"<td>(.*?)</td>", rendered, re.DOTALL)
    assert html.unescape(cell) == one_line(name)
    assert "<" not in cell


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "=HYPERLINK(1)"])
def test_a_spreadsheet_does_not_run_a_name(name):
    assert for_csv(name) == f"'{name}"


def test_csv_leaves_plain_names_alone():
    assert for_csv("a=b, c.png") == "a=b, c.png"
    assert for_csv("a\nb") == r"a\x0ab"


def test_figure_draws_a_dollar():
    figure, axes = plt.subplots()
    axes.set_title(for_figure(r"$\frac{1$ and $5"))  # as TeX it would be an error
    figure.canvas.draw()
    plt.close(figure)


def test_figure_names_are_short_and_in_the_legend():
    assert for_figure("x" * 99) == "x" * 39 + "…" + "x" * 20
    figure, axes = plt.subplots()
    axes.plot([0, 1], label=for_figure("_hidden"))
    assert [entry.get_text() for entry in axes.legend().get_texts()] == [" _hidden"]


def test_plain_figures_stay_plain_in_markdown():
    for name in ("Real_meadow_s0", "0.5 [0.4, 0.6]", "high-pass, all", "PNG RGB 64x64"):
        assert for_markdown(name) == name


def test_html_shows_names_as_they_are():
    assert for_html('<a href="x">\n') == "&lt;a href=&quot;x&quot;&gt;\\x0a"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others have UTF-8 names only")
def test_paths_are_stored_and_found_again(tmp_path):
    names = [os.fsdecode(b"caf\xe9.png"), "both\\xe9.png", "a\nb.png", "new\\xff"]
    for name in names[:3]:
        (tmp_path / name).touch()
    for name in names:
        stored = storable(tmp_path / name)
        stored.encode()
        assert restored(stored) == tmp_path / name
    assert for_json({"a\udce9": ["b\udce9", 1, None]}) == {r"a\xe9": [r"b\xe9", 1, None]}


def test_tables_are_safe_as_csv():
    table = pd.DataFrame({"=a": ["@x", "y\n"], "b": [-1, 2], "c": [0.5, None]})
    lines = table_for_csv(table).to_csv(index=False).splitlines()
    assert lines == ["'=a,b,c", r"'@x,-1,0.5", r"y\x0a,2,"]


def test_what_can_be_stored():
    assert is_storable("Größe.png")
    assert not is_storable(os.fsdecode(b"caf\xe9.png"))
