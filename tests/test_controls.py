import builtins
import sys

import pytest

from dnadet_lib.course import controls


def test_a_menu_an_argument_and_a_run_a_change(monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    monkeypatch.delenv("DNADET_WIDGETS", raising=False)
    made, seen = [], []
    menu = widgets.Dropdown

    def remembered(**options):
        made.append(menu(**options))
        return made[-1]

    monkeypatch.setattr(widgets, "Dropdown", remembered)
    controls.choose(lambda side, name: seen.append((side, name)), side=(3, 5), name=["a", "b"])
    assert [(w.description, w.value) for w in made] == [("side", 3), ("name", "a")]
    assert seen == [(3, "a")]
    made[0].value = 5
    made[1].value = "b"
    assert seen == [(3, "a"), (5, "a"), (5, "b")]


def test_without_a_reader_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setenv("DNADET_WIDGETS", "off")
    controls.choose(pytest.fail, side=(3, 5), name=["a"])
    assert capsys.readouterr().out.startswith("Menus for side, name appear here when")


def test_without_ipywidgets_one_line_says_what_to_type(monkeypatch, capsys):
    monkeypatch.delenv("DNADET_WIDGETS", raising=False)
    monkeypatch.delitem(sys.modules, "ipywidgets", raising=False)
    plain = builtins.__import__

    def lacking(name, *rest, **more):
        if name == "ipywidgets":
            raise ModuleNotFoundError(name)
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", lacking)
    controls.choose(pytest.fail, side=(3, 5))
    assert 'pip install -e ".[notebooks]"' in capsys.readouterr().out
