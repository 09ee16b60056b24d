"""The lessons: their anatomy, their exercises, and that each runs alone on the shipped data."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest

from dnadet_lib import course as lessons, zoo
from dnadet_lib.course import exercises

NOTEBOOKS = lessons.CLONE / "notebooks"
FILES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
PARAMETERS = {"profile": "pocket", "seed": 0, "data_dir": "", "model": "pocket"}
OWN_PARAMETERS = {"07_your_own_images": {"images_dir": ""}}
MINUTES = re.compile(r"\*\*Minutes on two cores:\*\* smoke ([^,]+), pocket (\S+)")
PREDICTION = re.compile(r'lesson\.predict\("([^"]+)", ""\)')
EXERCISE = re.compile(r'exercises\.check\("(\d\d\.\d)", (\w+)\)')

each_lesson = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


@pytest.fixture(autouse=True)
def own_build_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here writes to the clone's build folder."""
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))


def read(file: Path) -> nbformat.NotebookNode:
    return nbformat.read(file, as_version=4)


def code_cells(file: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(file).cells if cell.cell_type == "code"]


def tagged(file: Path, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in code_cells(file) if tag in cell.metadata.get("tags", [])]


def exercise_names(file: Path) -> list[tuple[str, str]]:
    """Number and function name of each exercise of a lesson."""
    return [EXERCISE.search(cell.source).groups() for cell in tagged(file, "exercise")]


def test_there_are_lessons() -> None:
    assert len(FILES) >= 5
    assert FILES[0].stem == "00_start_here"


@each_lesson
def test_committed_without_outputs_and_widget_state(file: Path) -> None:
    notebook = read(file)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    for cell in code_cells(file):
        assert cell.outputs == []
        assert cell.execution_count is None


def without_imports(source: str) -> list[str]:
    """Lines of a cell but for those that import."""
    return [line for line in source.splitlines() if not line.startswith(("import ", "from "))]


@each_lesson
def test_limits(file: Path) -> None:
    added = {cell.id for tag in ("sign", "prediction", "questions") for cell in tagged(file, tag)}
    added.add(f"{file.stem[:2]}-questions")  # the heading above them
    cells = [cell for cell in code_cells(file) if cell.id not in added]
    assert len(cells) <= 25
    for cell in cells:
        assert len(without_imports(cell.source)) <= 20, cell.source
    text = [cell.source for cell in read(file).cells if cell.id not in added]
    words = sum(len("\n".join(without_imports(source)).split()) for source in text)
    assert words < 2500


@each_lesson
def test_one_parameters_cell_of_literals(file: Path) -> None:
    (cell,) = tagged(file, "parameters")
    assert cell.id == code_cells(file)[0].id
    found = {}
    for statement in ast.parse(cell.source).body:
        assert isinstance(statement, ast.Assign)
        found[statement.targets[0].id] = ast.literal_eval(statement.value)
    assert found == PARAMETERS | OWN_PARAMETERS.get(file.stem, {})


@each_lesson
def test_anatomy(file: Path) -> None:
    text = "\n".join(cell.source for cell in read(file).cells if cell.cell_type == "markdown")
    assert text.startswith(f"# {file.stem[:2]} · ")
    for part in ("**What you will learn**", "**What you need first:**", "**Predict.**",
                 "**Explain.**", "## Exercises", "## Summary", "## References"):  # fmt: skip
        assert part in text, part
    assert MINUTES.search(text)
    assert 2 <= len(tagged(file, "exercise")) <= 3


@each_lesson
def test_each_prediction_has_a_cell_to_write_it_into(file: Path) -> None:
    cells = read(file).cells
    asked = []
    for cell, following in zip(cells, cells[1:], strict=False):
        if cell.cell_type == "markdown" and "**Predict.**" in cell.source:
            assert cell.source.count("**Predict.**") == 1
            assert "\n\n" not in cell.source.split("**Predict.**")[1], "the answer comes after it"
            asked.append(PREDICTION.fullmatch(following.source)[1])
            assert following.metadata.tags == ["prediction"]
    assert len(asked) == len(set(asked)) == len(tagged(file, "prediction"))
    assert all(question.startswith(f"{file.stem[:2]} ") for question in asked)
    (sign,) = tagged(file, "sign")
    assert sign.source.endswith('lessons.sign("")')


@each_lesson
def test_links_lead_to_the_neighbours(file: Path) -> None:
    head = read(file).cells[0].source
    linked = re.findall(r"\]\((\S+\.ipynb)\)", head)
    place = FILES.index(file)
    neighbours = FILES[max(0, place - 1) : place] + FILES[place + 1 : place + 2]
    assert linked == [neighbour.name for neighbour in neighbours]


def test_map_of_lessons_has_each_lesson_with_its_minutes() -> None:
    text = "\n".join(cell.source for cell in read(FILES[0]).cells)
    for file in FILES:
        smoke, pocket = MINUTES.search(read(file).cells[0].source).groups()
        line = re.search(rf"^\| \[.*\]\({file.name}\) .*$", text, re.MULTILINE)
        assert line, file.stem
        assert line.group().endswith(f"| {smoke} | {pocket} |")


@each_lesson
def test_exercises_say_not_yet_with_stubs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for cell in tagged(file, "exercise"):
        exec(cell.source, {"exercises": exercises})
        assert ": not yet. " in capsys.readouterr().out


def test_every_check_belongs_to_an_exercise() -> None:
    used = [number for file in FILES for number, _ in exercise_names(file)]
    assert used == list(exercises.CHECKS)


def test_a_wrong_answer_is_told_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    exercises.check("00.1", lambda counts: 0.5)
    assert "0.5000, expected 0.6000" in capsys.readouterr().out
    exercises.check("05.1", lambda rows: rows[0])
    assert "shape (4,), expected (6, 4)" in capsys.readouterr().out
    exercises.check("04.1", lambda: None)
    assert "TypeError" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no exercise '99.9'"):
        exercises.check("99.9", len)


# Execution ---------------------------------------------------------------------------------------


@pytest.mark.notebooks
@each_lesson
def test_runs_alone_at_smoke(file: Path, build: Path) -> None:
    copy = build / "notebooks" / file.name
    lessons.execute(file, copy, {"profile": "smoke", "seed": 0}, build)
    executed = read(copy)
    assert "widgets" not in executed.metadata
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    noise = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert not noise, noise
    assert any("image/png" in output.get("data", {}) for output in outputs)
    told = "".join(o.text for o in outputs if o.output_type == "stream")
    assert told.count(": not yet. ") == len(tagged(file, "exercise"))
    if file.stem.startswith("04"):
        rows = json.loads((build / "results.json").read_text())["rows"]
        assert {row["setup"] for row in rows} >= {"closed", "seed", "dataset"}
        assert len({row["method"] for row in rows}) == 2
        assert "| closed " in (build / "results.md").read_text()


@pytest.mark.notebooks
def test_a_failed_lesson_is_reported_and_the_rest_still_run(
    build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = {"00_broken": "raise ValueError('the reason')", "01_fine": "print('ran')"}
    (tmp_path / "notebooks").mkdir()
    for name, source in sources.items():
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source)],
            metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        )
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    monkeypatch.setattr("dnadet_lib.course.lessons.CLONE", tmp_path)
    monkeypatch.setattr("dnadet_lib.course.running.CLONE", tmp_path)
    assert lessons.run_lessons("smoke") == 1
    told = capsys.readouterr().out
    assert re.search(r"FAILED in cell \[\d\]: ValueError: the reason", told)
    assert "1 of 2 lessons ran" in told
    assert "Failed: 00_broken" in told
    assert lessons.run_lessons("smoke", ["01"]) == 0


@pytest.mark.notebooks
def test_printed_lines_stay_in_order_around_a_figure(build: Path, tmp_path: Path) -> None:
    source = "print(1, flush=True)\nprint(2)\ndisplay('figure')\nprint(3)"
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("text"), nbformat.v4.new_code_cell(source)],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    nbformat.write(notebook, tmp_path / "lesson.ipynb")
    lessons.execute(tmp_path / "lesson.ipynb", tmp_path / "copy.ipynb", {}, build)
    outputs = read(tmp_path / "copy.ipynb").cells[-1].outputs
    assert [o.get("text", "figure") for o in outputs] == ["1\n2\n", "figure", "3\n"]


def test_unknown_lesson_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert lessons.run_lessons("smoke", ["99"]) == 1
    assert "no lesson '99': choose one of 00_start_here" in capsys.readouterr().out


# What a lesson says when something is missing ----------------------------------------------------


def test_unknown_profile_is_named() -> None:
    with pytest.raises(lessons.LessonError, match="profile is 'huge'.*'pocket', 'smoke'"):
        lessons.start("huge")


def test_missing_data_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNADET_DATA", "")
    with pytest.raises(lessons.LessonError, match="nowhere.*\n.*data_dir names the data folder"):
        lessons.start("smoke", data_dir=str(tmp_path / "nowhere"))


def test_missing_generators_are_named(
    world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (world.data / "zoo" / "manifest.csv").read_text().splitlines()
    kept = [line for line in lines if "SNGAN_meadow_s0" not in line and ",dev," not in line]
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "manifest.csv").write_text("\n".join(kept) + "\n")
    monkeypatch.setenv("DNADET_DATA", str(tmp_path))
    wanted = "lacks a training generator of SNGAN; a dev generator; the photographs"
    with pytest.raises(lessons.LessonError, match=wanted):
        lessons.start("smoke")


def test_missing_weights_are_named(
    world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(world.data, tmp_path / "data")
    (tmp_path / "data" / "zoo" / "SNGAN_meadow_s0.safetensors").unlink()
    wanted = "(?s)SNGAN_meadow_s0.safetensors is missing.*data_dir.*git checkout -- data"
    monkeypatch.setenv("DNADET_DATA", "")
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))  # nothing is rendered there
    with pytest.raises(lessons.LessonError, match=wanted):
        lessons.start("smoke", data_dir=str(tmp_path / "data"))


def test_a_notebook_shows_the_message_alone() -> None:
    error = lessons.LessonError("what is wrong, and what to type")
    assert error._render_traceback_() == ["LessonError: what is wrong, and what to type"]


def test_missing_checkpoint_is_named(world) -> None:
    with pytest.raises(lessons.LessonError, match="(?s)no_such_model.*git checkout -- data"):
        lessons.shipped("no_such_model")
    lesson = lessons.Lesson("smoke", 0, world.images, world.build)
    for find in (lessons.shipped_or_tiny, lessons.stage_two):  # no tiny model in place of a typo
        with pytest.raises(lessons.LessonError, match="(?s)pokcet.*git checkout -- data"):
            find(lesson, "pokcet")


def test_pick_takes_some_of_every_class(world) -> None:
    images = zoo.load_setup("closed", root=world.images)
    chosen = lessons.pick(images, 2, seed=3)
    assert sorted(chosen.labels.tolist()) == sorted(list(range(len(zoo.CLASSES))) * 2)
    assert chosen.paths == lessons.pick(images, 2, seed=3).paths


def test_images_by_seed_are_of_generators_that_differ_in_their_seed_alone(world) -> None:
    lesson = lessons.Lesson("smoke", 0, world.images, world.build)
    images = lessons.images_by_seed(lesson, 6)
    keys = [(name, seed) for name in zoo.CLASSES[1:] for seed in (0, 1, 2)]
    assert list(images) == [("Real", 0), *keys]
    assert {pixels.shape for pixels in images.values()} == {(6, 64, 64, 3)}
    assert len({pixels.tobytes() for pixels in images.values()}) == len(images)
