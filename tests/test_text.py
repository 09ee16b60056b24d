from __future__ import annotations

import html
import os
import re

import matplotlib.pyplot as plt
import pytest
from nbconvert.filters import markdown2html

from dnadet_lib.text import for_csv, for_figure, for_markdown, is_storable, one_line


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b.png", "a b.png"),
        ("Größe.png", "Größe.png"),
        ("a.png: Real 0.99\nb.png", r"a.png: Real 0.99\x0ab.png"),
        ("\x1b[2K\rReal", r"\x1b[2K\x0dReal"),
        ("a\u2028b\u202egnp", r"a\u2028b\u202egnp"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
    ],
)
def test_one_line_shows_what_cannot_be_printed(name, shown):
    assert one_line(name) == shown
    one_line(name).encode()


@pytest.mark.parametrize("name", ["a|b", "<img src=x>", "*a*", "[x](y)", "`c`", "a\nb", "$x$"])
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


def test_what_can_be_stored():
    assert is_storable("Größe.png")
    assert not is_storable(os.fsdecode(b"caf\xe9.png"))
