"""Lists with faults, and lists whose labels mean something else: read rightly or refused by line.

Every reader of lists is tried: attribute, embed, report, train, evaluate, audit, and sets for the
explorer.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from support import released_state_dict, write_images

from dnadet_lib import evaluation
from dnadet_lib.checkpoints.models import require_architectures, save_model
from dnadet_lib.cli import main
from dnadet_lib.data import ImageSet, list_images
from dnadet_lib.evaluation.intervals import Interval
from dnadet_lib.evaluation.label_checks import check_labels, contradicted_paths, permuted_labels
from dnadet_lib.evaluation.predictions import Predictions
from dnadet_lib.explorer import explorer
from dnadet_lib.images.lists import read_annotation, read_lines, read_list
from dnadet_lib.model import DNADet
from dnadet_lib.presets import PRESETS, Preset, get_preset, require_stage
from dnadet_lib.stages.checks import require_trainable, training_key, training_remarks
from dnadet_lib.transforms import image_transformations
from dnadet_lib.zoo.manifest import CLASSES

TWO = ["--classes", "Real", "ProGAN"]


@pytest.fixture
def folder(tmp_path, rng) -> Path:
    """Images 0.png and 1.png of Real and of ProGAN."""
    for name in ("Real", "ProGAN"):
        write_images(tmp_path / name, 2, rng)
    return tmp_path


def write_list(folder: Path, text: str, name: str = "list.txt", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return file


GOOD = "Real/0.png\t0\nProGAN/0.png\t1\nProGAN/1.png\t1\n"


# What is read ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "encoding"),
    [
        (GOOD, "list.txt", "utf-8-sig"),
        (GOOD, "list.txt", "utf-16"),
        (GOOD.replace("\n", "\r\n"), "list.txt", "utf-16"),
        ("\ufeff" + GOOD, "list.txt", "utf-16-be"),
        (GOOD, "list.txt", "utf-32"),
        (GOOD.replace("\n", "\r\n"), "list.txt", "utf-8"),
        (GOOD.replace("\n", "\r"), "list.txt", "utf-8"),
        (GOOD.rstrip(), "list.txt", "utf-8"),
        (GOOD, "LIST.TXT", "utf-8"),
        (GOOD, "list.tsv", "utf-8"),
        (GOOD.replace("\t", ","), "list.csv", "utf-8-sig"),
        (GOOD.replace("\t", ";"), "list.csv", "utf-8"),
        ('"Real/0.png",0\n"ProGAN/0.png",1\n"ProGAN/1.png",1\n', "l.csv", "utf-8"),
        (GOOD.replace("/", "\\"), "list.txt", "utf-8"),
        (GOOD.replace("\t1", "\t01"), "list.txt", "utf-8"),
        ("path\tlabel\n" + GOOD, "list.txt", "utf-8"),
        ("label,seed,path\n0,a,Real/0.png\n1,b,ProGAN/0.png\n1,c,ProGAN/1.png\n", "l.csv", "utf-8"),
        (GOOD.replace("ProGAN/0", "./ProGAN/0"), "list.txt", "utf-8"),
    ],
)  # fmt: skip
def test_lists_that_are_read(folder, text, name, encoding):
    file = write_list(folder, text, name, encoding)
    entries = read_annotation(file)
    assert [label for _, label in entries] == [0, 1, 1]
    wanted = [folder / "Real/0.png", folder / "ProGAN/0.png", folder / "ProGAN/1.png"]
    assert [path.resolve() for path, _ in entries] == wanted
    assert [path.resolve() for path in list_images(file)] == wanted
    images = ImageSet.from_annotation(file, ["Real", "ProGAN"])
    assert images.labels.tolist() == [0, 1, 1]
    assert images.sources == ["Real", "ProGAN", "ProGAN"]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_what_python_takes_for_a_line_end_may_stand_in_a_name(tmp_path, rng, mark):
    (path,) = write_images(tmp_path, 1, rng)
    path.rename(tmp_path / f"a{mark}b.png")
    file = write_list(tmp_path, f"a{mark}b.png\t0\n")
    assert read_annotation(file) == [(tmp_path / f"a{mark}b.png", 0)]


def test_a_tab_in_a_name_and_a_third_column(tmp_path, rng):
    write_images(tmp_path, 2, rng)
    (tmp_path / "1.png").rename(tmp_path / "a\tb.png")
    file = write_list(tmp_path, "0.png\t0\tseed 1\n")
    assert read_list(file).columns == {"source": ["seed 1"]}
    file = write_list(tmp_path, "a\tb.png\t0\n")
    assert read_annotation(file) == [(tmp_path / "a\tb.png", 0)]


# What is refused ---------------------------------------------------------------------------------

FAULTS = {
    "GBK": ("Real/0.png\t0\n图像/0.png\t1\n".encode("gbk"), "line 2: not UTF-8 text"),
    "UTF-16 without its mark": (GOOD.encode("utf-16-le"), "line 1: holds a zero byte"),
    "cut UTF-16": (GOOD.encode("utf-16")[:-1], "line 3: not UTF-16 text"),
    "an image": (b"\x89PNG\r\n\x1a\n\xff", "line 1: not UTF-8 text (bytes 89"),
    "superscript": ("Real/0.png\t0\nReal/1.png\t²\n".encode(), "line 2: 'Real/1.png\\t²' is not"),
    "other digits": ("Real/0.png\t１\n".encode(), "line 1"),
    "plus": (b"Real/0.png\t0\nReal/1.png\t+1\n", "line 2"),
    "a name for a number": (b"Real/0.png\tReal\n", "('Real' is no number)"),
    "a huge number": (b"Real/0.png\t" + b"9" * 5000 + b"\n", "line 1"),
    "spaces for the tab": (b"Real/0.png\t0\nReal/1.png 0\n", "line 2: 'Real/1.png 0' is not an"),
    "cut last line": (b"Real/0.png\t0\nReal/1", "line 2: 'Real/1' is not an image path"),
    "no path": (b"Real/0.png\t0\n\t0\n", "line 2"),
    "contradiction": (
        b"Real/0.png\t0\nReal/1.png\t0\n\n./Real/0.png\t1\n",
        "Real/0.png has label 0 and label 1; keep one",
    ),
    "nothing": (b"\n \n", "the annotation file is empty"),
    "some sources": (b"Real/0.png\t0\ta\nReal/1.png\t0\t\n", "line 2: no source"),
}


def commands(file: Path, good: Path, model: Path, out: Path) -> list[list[str]]:
    """Every command that reads a list."""
    plain = [[name, str(file), "--model", str(model)] for name in ("attribute", "embed", "report")]
    for command, name in zip(plain[1:], ("embed.parquet", "report.html"), strict=True):
        command += ["--out", str(out / name)]
    lists = (("--train", file, "--dev", good), ("--train", good, "--dev", file))
    train = [["train", "--preset", "smoke", *map(str, pair), *TWO, "--out", str(out / "t")]
             for pair in lists]  # fmt: skip
    return [
        *plain, *train,
        ["evaluate", "--test", str(file), *TWO, "--model", str(model)],
        ["audit", "--train", str(file), "--test", str(good), *TWO],
        ["audit", "--train", str(good), "--test", str(file), *TWO],
    ]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_reader_refuses_a_fault_and_names_file_and_line(folder, checkpoint, capsys, fault):
    content, message = FAULTS[fault]
    file = folder / "faulty.txt"
    file.write_bytes(content)
    good = write_list(folder, GOOD, "good.txt")
    (folder / "out").mkdir()
    for command in commands(file, good, checkpoint, folder / "out"):
        assert main(command) == 2, command
        error = capsys.readouterr().err
        assert message in error, command
        assert "faulty.txt" in error, command
        assert "Traceback" not in error, command
    assert not (folder / "out" / "t").exists()  # no training was begun
    with pytest.raises(ValueError, match="faulty.txt"):
        ImageSet.from_annotation(file, ["Real", "ProGAN"])  # what the explorer opens


def test_a_label_outside_the_classes_is_named_with_its_line(folder, checkpoint, capsys):
    file = write_list(folder, "Real/0.png\t1\nProGAN/0.png\t2\n")
    for command in (["evaluate", "--test", str(file), "--model", str(checkpoint)],
                    ["audit", "--train", str(file), "--test", str(file)]):  # fmt: skip
        assert main([*command, *TWO]) == 2
        assert "list.txt, line 2: label 2 is outside the classes 0 to 1" in capsys.readouterr().err


def test_missing_images_are_named_and_counted_before_work_begins(
    folder, checkpoint, capsys, monkeypatch
):
    lines = [f"Real/{n}.png\t0\n" for n in range(13)]
    file = write_list(folder, GOOD + "".join(lines[1:]))  # 0 is there already, 1 exists
    good = write_list(folder, GOOD, "good.txt")
    # Whatever worked before the check would fail.
    monkeypatch.setattr("dnadet_lib.inference.infer", None)
    for command in (
        ["evaluate", "--test", str(file), "--model", str(checkpoint), *TWO],
        ["train", "--preset", "smoke", "--train", str(file), "--dev", str(good), *TWO,
         "--out", str(folder / "t")],
        ["train", "--preset", "smoke", "--train", str(good), "--dev", str(file), *TWO,
         "--out", str(folder / "t")],
    ):  # fmt: skip
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "11 of 15 images are missing: Real/2.png" in error
        assert "and 1 more" in error
    assert not (folder / "t").exists()


def test_images_that_a_list_misses_are_named_by_the_commands_that_take_paths(
    folder, checkpoint, capsys
):
    file = write_list(folder, GOOD + "Real/7.png\t0\n")
    model = ["--model", str(checkpoint)]
    assert main(["attribute", str(file), *model, "--json"]) == 1
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["results"]) == 3
    assert "Real/7.png" in printed.err
    assert main(["embed", str(file), *model, "--maps", "--out", str(folder / "e.parquet")]) == 1
    assert "Real/7.png" in capsys.readouterr().err
    assert len(pd.read_parquet(folder / "e.parquet")) == 3
    images = ImageSet.from_annotation(file, ["Real", "ProGAN"])
    state = explorer.open_images(load(checkpoint), {"mine": images})
    assert len(state) == 3
    assert "7.png" in state.errors[0]
    assert state.table["generator"].tolist() == ["Real", "ProGAN", "ProGAN"]


def load(checkpoint: Path) -> DNADet:
    from dnadet_lib.checkpoints.models import load_model

    return load_model(checkpoint)


def test_repeated_lines_are_counted_once_and_told(folder, checkpoint, capsys):
    file = write_list(folder, GOOD + "ProGAN/1.png\t1\n./ProGAN/1.png\t1\n")
    command = ["evaluate", "--test", str(file), "--model", str(checkpoint), *TWO, "--json"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["rows"][0]["images"] == 3
    assert "2 of 5 images stand more than once and are counted once" in printed.err
    assert "1.png" in printed.err


# Names of classes --------------------------------------------------------------------------------


def by_folder(model: DNADet, images: ImageSet) -> Predictions:
    """Predict what an image's folder says: a model that is always right."""
    images = images.with_classes(model.classes)
    numbers = [model.classes.index(path.parent.name) for path in images.paths]
    count = len(images)
    scores = np.full(count, np.nan) if model.reference is None else np.linspace(0, 1, count)
    return Predictions(
        images.labels, np.eye(len(model.classes))[numbers], np.zeros((count, 2)), scores,
        np.array(images.makers), images.classes,
    )  # fmt: skip


@pytest.fixture
def five(tmp_path, rng, monkeypatch) -> Path:
    """A list of four images of each class, numbered as the names are sorted, and no names."""
    monkeypatch.setattr(
        "dnadet_lib.evaluation.predictions.predict_readable",
        lambda model, images, errors: (images, by_folder(model, images)),
    )
    lines = []
    for number, name in enumerate(sorted(CLASSES)):
        write_images(tmp_path / name, 4, rng, side=40)
        lines += [f"{name}/{k}.png\t{number}\n" for k in range(4)]
    return write_list(tmp_path, "".join(lines))


def evaluated(file: Path, checkpoint: Path, capsys, *more: str) -> tuple[dict, str]:
    command = ["evaluate", "--test", str(file), "--model", str(checkpoint), "--json", *more]
    assert main(command) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out, parse_constant=pytest.fail), printed.err


def test_numbers_in_another_order_than_the_names_are_told(five, checkpoint, capsys):
    found, notes = evaluated(five, checkpoint, capsys)  # names of the checkpoint, by default
    assert found["rows"][0]["value"] == 0
    assert "no names given with --classes or in classes.txt beside it" in notes
    assert "dnadet: warning: list: confusion is a permutation" in notes
    fitting = ", ".join(f"{k} {name}" for k, name in enumerate(sorted(CLASSES)))
    assert f"this one would fit: {fitting}" in notes
    assert "4 images labelled Real lie under a path that names InfoMaxGAN" in notes
    assert notes.count("lie under a path") == 5
    told = found["sets"]["list"]["warnings"]
    assert len(told) == 6
    found, notes = evaluated(five, checkpoint, capsys, "--classes", *sorted(CLASSES))
    assert found["rows"][0]["value"] == 1
    assert found["sets"]["list"]["warnings"] == []
    assert "the order differs" in notes and "labels are matched by name" in notes


def test_the_order_that_would_fit_is_that_of_the_list_and_not_of_the_checkpoint(
    five, checkpoint, capsys
):
    _, notes = evaluated(five, checkpoint, capsys, "--classes", *sorted(CLASSES, reverse=True))
    fitting = ", ".join(f"{k} {name}" for k, name in enumerate(sorted(CLASSES)))
    assert notes.rstrip().endswith(f"this one would fit: {fitting}")


def test_names_beside_a_list_are_read(five, checkpoint, capsys):
    write_list(five.parent, "\n".join(CLASSES), "classes.txt")
    assert evaluated(five, checkpoint, capsys)[0]["rows"][0]["value"] == 0
    names = "\ufeff" + "\r\n".join(sorted(CLASSES)) + "\r\n\r\n"
    write_list(five.parent, names, "list.classes.txt")
    assert evaluated(five, checkpoint, capsys)[0]["rows"][0]["value"] == 1
    found, notes = evaluated(five, checkpoint, capsys, "--classes", *CLASSES)
    assert found["rows"][0]["value"] == 0
    assert "list.classes.txt says 0 InfoMaxGAN" in notes and "--classes says 0 Real" in notes
    assert ImageSet.from_annotation(five).classes == tuple(sorted(CLASSES))


def test_a_released_checkpoint_takes_its_names_from_beside_the_list(five, capsys):
    torch.save(released_state_dict(), five.parent / "released.pth")
    found, _ = evaluated(five, five.parent / "released.pth", capsys, "--classes", *sorted(CLASSES))
    write_list(five.parent, "\n".join(sorted(CLASSES)), "classes.txt")
    again, _ = evaluated(five, five.parent / "released.pth", capsys)
    assert again == found
    assert found["rows"][0]["value"] == 1
    assert found["sets"]["list"]["refused"] is None  # it cannot say


def test_names_that_the_checkpoint_lacks_are_refused_with_both_lists(five, checkpoint, capsys):
    command = ["evaluate", "--test", str(five), "--model", str(checkpoint), "--classes"]
    assert main([*command, *CLASSES, "StyleGAN"]) == 2  # no image has it, but why is it there?
    error = capsys.readouterr().err
    assert "the checkpoint has no class StyleGAN" in error
    assert "given: 0 Real" in error and "5 StyleGAN" in error and "the checkpoint's: 0 Re" in error


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Real", "Real"], "'Real' stands twice"),
        (["Real", ""], "class name '' is empty"),
        (["Real", " \u200b"], "is empty"),
        (["ProGAN", "progan"], "'ProGAN' and 'progan' are too much alike"),
        (["Pro  GAN", "Pro GAN "], "too much alike"),
        (["Pro\u200bGAN", "ProGAN"], "too much alike"),
        (["caf\u00e9", "cafe\u0301"], "too much alike"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(folder, checkpoint, capsys, names, message):
    file = write_list(folder, GOOD)
    for command in (
        ["evaluate", "--test", str(file), "--model", str(checkpoint)],
        ["train", "--preset", "smoke", "--train", str(file), "--dev", str(file), "--out",
         str(folder / "t")],
        ["audit", "--train", str(file), "--test", str(file)],
    ):  # fmt: skip
        assert main([*command, "--classes", *names]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="alike|twice|empty"):
        ImageSet([Path("a.png")], np.array([0]), tuple(names))


def test_faults_of_a_file_of_names_are_named_by_line(folder):
    file = write_list(folder, GOOD)
    for text, message in (("Real\n\nProGAN\n", "classes.txt, line 2: ''"),
                          ("Real\t0\n", "classes.txt, line 1"), ("", "no class names"),
                          ("Real\nreal\n", "classes.txt: class names: 'Real'")):  # fmt: skip
        write_list(folder, text, "classes.txt")
        with pytest.raises(ValueError, match=message):
            ImageSet.from_annotation(file)


def test_a_list_without_names_anywhere_is_refused_where_no_checkpoint_has_them(folder, capsys):
    file = write_list(folder, GOOD)
    for command in (["train", "--preset", "smoke", "--train", str(file), "--dev", str(file),
                     "--out", str(folder / "t")],
                    ["audit", "--train", str(file), "--test", str(file)]):  # fmt: skip
        assert main(command) == 2
        assert "classes.txt beside the list" in capsys.readouterr().err


# Sources -----------------------------------------------------------------------------------------


@pytest.fixture
def twelve(tmp_path, rng) -> Path:
    """A list of two images from each of three folders of four classes."""
    lines = []
    for number, name in enumerate(CLASSES[1:], 1):
        for seed in range(3):
            paths = write_images(tmp_path / "GANs" / name / f"s{seed}", 2, rng, side=40)
            lines += [f"{p.relative_to(tmp_path)}\t{number}\trun {seed % 2}\n" for p in paths]
    write_list(tmp_path, "".join(lines), "column.txt")
    return write_list(tmp_path, "".join(line.rpartition("\t")[0] + "\n" for line in lines))


def test_sources_come_from_folders_a_column_or_a_file(twelve, checkpoint, capsys):
    found, _ = evaluated(twelve, checkpoint, capsys)
    assert found["rows"][0]["generators"] == 12
    assert found["sets"]["list"]["interval"] == "interval over 12 sources"
    assert "ProGAN/s0" in found["sets"]["list"]["folders"]
    metrics = {row["metric"] for row in found["rows"]}
    assert "accuracy SNGAN/s2" in metrics

    found, _ = evaluated(twelve.parent / "GANs", checkpoint, capsys)  # the same, as folders
    assert found["rows"][0]["generators"] == 12

    found, _ = evaluated(twelve.parent / "column.txt", checkpoint, capsys)
    assert found["sets"]["column"]["interval"].endswith("conditional on these 2 sources")

    lines = [f"{path}\tcamera {i}\n" for i, path in enumerate(list_images(twelve))]
    file = write_list(twelve.parent, "".join(lines), "sources.tsv")
    found, _ = evaluated(twelve, checkpoint, capsys, "--sources", str(file))
    assert found["rows"][0]["generators"] == 24
    write_list(twelve.parent, "".join(lines[1:]), "sources.tsv")
    command = ["evaluate", "--test", str(twelve), "--model", str(checkpoint), "--sources"]
    assert main([*command, str(file)]) == 2
    assert "sources.tsv: no source of 1 images" in capsys.readouterr().err
    assert main([*command, "seed"]) == 2
    assert "--sources seed: neither a column" in capsys.readouterr().err


def test_a_named_column_holds_the_sources(folder, checkpoint, capsys):
    text = "path\tlabel\trun\nReal/0.png\t0\ta\nReal/1.png\t0\tb\nProGAN/0.png\t1\tc\n"
    file = write_list(folder, text)
    found, _ = evaluated(file, checkpoint, capsys, "--sources", "run")
    assert found["rows"][0]["generators"] == 3


def test_one_folder_is_one_source(folder, checkpoint, capsys):
    file = write_list(folder, "Real/0.png\t0\nReal/1.png\t1\n")
    found, _ = evaluated(file, checkpoint, capsys, *TWO)
    assert found["rows"][0]["generators"] == 1
    assert found["sets"]["list"]["interval"] == "interval over images, one source"
    assert main(["evaluate", "--test", str(file), "--model", str(checkpoint), *TWO]) == 0
    assert "accuracy: interval over images, one source" in capsys.readouterr().out


def test_folders_called_real_are_no_photographs_to_draw_whole(tmp_path, rng):
    """Crops of a photograph are drawn together; a folder of photographs is not one of them."""
    paths = [*write_images(tmp_path / "real" / "celeba" / "a", 4, rng, 8),
             *write_images(tmp_path / "GANs" / "x" / "y", 1, rng, 8)]  # fmt: skip
    file = write_list(tmp_path, "".join(f"{p.relative_to(tmp_path)}\t0\n" for p in paths))
    images = ImageSet.from_annotation(file, ["Real"])
    assert images.sources == ["./real/celeba/a"] * 4 + ["GANs/x/y"]
    assert len(set(evaluation.drawn_together(np.array(images.sources)))) == 5
    assert len(set(evaluation.drawn_together(np.array(["real/celeba"] * 3)))) == 3
    crops = np.array(["real/meadow/a", "real/meadow/a", "real/meadow/b", "GAN"])
    assert evaluation.drawn_together(crops)[:2].tolist() == [1, 1]
    assert len(set(evaluation.drawn_together(crops))) == 3


def test_the_audit_says_what_its_intervals_are_over(twelve, capsys):
    command = ["audit", "--train", str(twelve), "--test", str(twelve), "--classes", *CLASSES]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["setups"]["list"]
    assert report["interval"] == "interval over 12 sources"
    assert main(command) == 0
    assert "Accuracies: interval over 12 sources." in capsys.readouterr().out


def test_figures_that_are_no_numbers_are_null_in_json(twelve, checkpoint, capsys, monkeypatch):
    nan = Interval(float("nan"), float("-inf"), float("inf"), "images")
    monkeypatch.setattr("dnadet_lib.evaluation.audit.trivial_accuracy", lambda *_: nan)
    lists = ["--train", str(twelve), "--test", str(twelve), "--classes", *CLASSES]
    assert main(["audit", *lists, "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["setups"]["list"]
    assert found["trivial"]["file"] == [None, None, None]
    monkeypatch.setattr("dnadet_lib.evaluation.results.setup_accuracy", lambda _: nan)
    assert evaluated(twelve, checkpoint, capsys)[0]["rows"][0]["high"] is None


def test_options_for_images_of_ones_own_are_refused_without_them(checkpoint, tmp_path, capsys):
    model = ["--model", str(checkpoint)]
    out = ["--out", str(tmp_path / "o")]
    for command, message in (
        (["evaluate", *model, "--classes", "a", "b"], "--classes is for images of your own"),
        (["evaluate", *model, "--sources", "run"], "--sources is for images of your own"),
        (["audit", "--classes", "a", "b"], "--classes is for"),
        (["train", *out, "--sources", "run"], "--sources is for"),
    ):
        assert main(command) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


# Labels that mean something else -----------------------------------------------------------------


def labelled(paths: list[str], names: list[str], classes: tuple[str, ...] = CLASSES) -> ImageSet:
    labels = np.array([classes.index(name) for name in names])
    return ImageSet([Path("/data") / path for path in paths], labels, classes)


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("GANs/ProGAN/s1/a.png", "ProGAN"),
        ("GANs/MMDGAN/CramerGAN_meadow/a.png", "MMDGAN"),
        ("GANs/CramerGAN/a.png", "MMDGAN"),
        ("GANs/SSGAN/a.png", "InfoMaxGAN"),
        ("GANs/infomaxgan/ssgan_a.png", "InfoMaxGAN"),
        ("MMDGAN/MMDGAN_meadow_wgan-gp/a.png", "MMDGAN"),
        ("SNGAN/SNGAN_from_ProGAN/a.png", "SNGAN"),
        ("real/celeba/a.png", "Real"),
        ("mine/real_size/a.png", "ProGAN"),
        ("mine/a.png", "ProGAN"),
        ("ProGANs/a.png", "SNGAN"),
    ],
)
def test_paths_that_agree_with_the_label_or_say_nothing(path, label):
    assert contradicted_paths(labelled([path, "other/b.png"], [label, "Real"])) == []


@pytest.mark.parametrize(
    ("path", "label", "named"),
    [
        ("GANs/ProGAN/s1/a.png", "SNGAN", "ProGAN"),
        ("GANs/progan/a.png", "Real", "ProGAN"),
        ("StyleGAN2/a.png", "ProGAN", "StyleGAN2"),
        ("x/subpixelgan_meadow_s0/a.png", "MMDGAN", "SubPixelGAN"),
        ("x/SNGAN_00001.png", "ProGAN", "SNGAN"),
        ("CramerGAN/a.png", "InfoMaxGAN", "MMDGAN"),
        ("real/a.png", "ProGAN", "Real"),
        ("ProGAN/SNGAN/a.png", "ProGAN", "SNGAN"),
    ],
)
def test_paths_that_name_another_architecture(path, label, named):
    (remark,) = contradicted_paths(labelled([path, "other/b.png"], [label, "Real"]))
    assert remark.startswith(f"1 images labelled {label} lie under a path that names {named}")
    assert path in remark


def test_paths_and_classes_of_ones_own():
    own = ("Real", "GAN")
    assert contradicted_paths(labelled(["GANs/ProGAN/a.png"], ["GAN"], own)) == []
    assert len(contradicted_paths(labelled(["GANs/ProGAN/a.png"], ["Real"], own))) == 1
    losses = ("MMDGAN", "CramerGAN")
    assert len(contradicted_paths(labelled(["CramerGAN/a.png"], ["MMDGAN"], losses))) == 1
    numbers = ("0", "1")
    assert contradicted_paths(labelled(["1/1.png"], ["0"], numbers)) == []


def predicted(truth: list[int], called: list[int], classes: tuple[str, ...]) -> Predictions:
    count = len(truth)
    return Predictions(
        np.array(truth), np.eye(len(classes))[called], np.zeros((count, 2)), np.zeros(count),
        np.array(["a"] * count), classes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("swap", "wrong", "expected"),
    [
        ([0, 1, 2], 0, ""),
        ([1, 0, 2], 0, "0 b, 1 a, 2 c"),
        ([1, 2, 0], 1, "0 b, 1 c, 2 a"),
        ([1, 2, 0], 5, ""),  # too many go another way
        ([1, 1, 2], 0, ""),  # two classes are taken for one
    ],
)
def test_permutations_are_found(swap, wrong, expected):
    classes = ("a", "b", "c")
    truth = [k for k in range(3) for _ in range(10)]
    called = [swap[k] for k in truth]
    called[:wrong] = [truth[i] for i in range(wrong)]
    images = ImageSet([Path(f"{i}.png") for i in range(30)], np.array(truth), classes)
    found = permuted_labels(images, predicted(truth, called, classes))
    assert bool(found) == bool(expected)
    if expected:
        assert found[0].endswith(f"this one would fit: {expected}")


def test_one_class_that_is_taken_for_an_absent_one_is_no_permutation():
    classes = ("a", "b", "c")
    truth, called = [0] * 9 + [1] * 9, [0] * 9 + [2] * 9
    images = ImageSet([Path(f"{i}.png") for i in range(18)], np.array(truth), classes)
    assert permuted_labels(images, predicted(truth, called, classes)) == []
    called = [1] * 9 + [2] * 9  # both move: probably the numbers, and the last is free for a
    (found,) = permuted_labels(images, predicted(truth, called, classes))
    assert found.endswith("0 b, 1 c, 2 a")


def test_counts_and_shares_refused(five, checkpoint, capsys):
    """Scores rise along the list and the threshold is 0.5: the last half is refused."""
    found, _ = evaluated(five, checkpoint, capsys, "--classes", *sorted(CLASSES))
    told = found["sets"]["list"]
    assert (told["images"], told["refused"]) == (20, 0.5)
    assert {name: c["images"] for name, c in told["classes"].items()} == dict.fromkeys(CLASSES, 4)
    assert [told["classes"][name]["refused"] for name in sorted(CLASSES)] == [0, 0, 0.5, 1, 1]
    assert told["folders"]["SNGAN"] == {"images": 4, "refused": 1}
    command = ["evaluate", "--test", str(five), "--model", str(checkpoint), "--classes"]
    assert main([*command, *sorted(CLASSES), "--out", str(five.parent / "out")]) == 0
    text = capsys.readouterr().out
    assert "list: 20 images, 0.500 refused as unknown; accuracy: interval over 5 sources" in text
    assert re.findall(r"^(SNGAN|MMDGAN) +4 +(\S+)$", text, re.M) == [
        ("MMDGAN", "0.000"), ("SNGAN", "1.000"), ("MMDGAN", "0.000"), ("SNGAN", "1.000"),
    ]  # fmt: skip
    written = json.loads((five.parent / "out" / "results.json").read_text())
    assert {**written, "notes": []} == {**found, "notes": []}


def test_a_checkpoint_that_cannot_refuse_says_so():
    images = labelled(["a/1.png", "b/2.png"], ["Real", "ProGAN"])
    predictions = predicted([0, 1], [0, 1], CLASSES)
    predictions.unknown_scores[:] = np.nan
    checks = check_labels(images, predictions, float("inf"))
    assert checks.total.refused is None
    assert checks.classes["Real"].refused is None


# Before training ---------------------------------------------------------------------------------


def tiny_set(folder: Path, counts: dict[str, int], rng, side: int = 40) -> ImageSet:
    for name, count in counts.items():
        write_images(folder / name, count, rng, side)
    return ImageSet.from_folders(folder)


def check_training(preset: Preset, train: ImageSet, dev: ImageSet) -> None:
    training_key(preset, train, require_trainable(preset, train, dev))


def test_what_training_refuses_before_it_begins(tmp_path, rng):
    preset = get_preset("smoke")
    train = tiny_set(tmp_path / "train", {"a": 2, "b": 2}, rng)
    dev = tiny_set(tmp_path / "dev", {"a": 2, "b": 2}, rng)
    check_training(preset, train, dev)
    one = tiny_set(tmp_path / "one", {"a": 2}, rng)
    other = tiny_set(tmp_path / "other", {"a": 1, "c": 1}, rng)
    sized = tiny_set(tmp_path / "sized", {"a": 2, "b": 2}, rng)
    write_images(tmp_path / "sized" / "b", 1, rng, side=48)
    tiny = tiny_set(tmp_path / "tiny", {"a": 1, "b": 1}, rng, side=20)
    for sets, message in (
        ((one, one), "one class only"),
        ((train, other), "dev: class c has no training images"),
        ((train, dev.take(np.array([], int))), "no dev images"),
        ((sized, dev), "48x48 pixels, but .* is 40x40; training needs images of one size"),
        ((train, tiny), "image is 20x20 pixels, smaller than a patch of 32x32 .2 such dev"),
    ):
        with pytest.raises(ValueError, match=message):
            check_training(preset, *sets)
    (tmp_path / "dev" / "b" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match="dev: 1 of 4 images are missing: .*b.1.png"):
        check_training(preset, train, dev)
    check_training(preset, train, sized)  # sizes of dev images may differ


def test_a_turned_photograph_has_the_size_that_is_seen(tmp_path, rng):
    train = tiny_set(tmp_path, {"a": 2, "b": 2}, rng)
    turned = Image.Exif()
    turned[0x0112] = 6
    for path in train.paths[1:]:
        pixels = rng.integers(0, 256, (48, 40, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(train.paths[0], exif=turned)
    check_training(get_preset("smoke"), train, train)


def test_what_training_remarks_on(tmp_path, rng):
    train = tiny_set(tmp_path / "train", {"a": 2, "b": 2}, rng)
    (both,) = training_remarks(train, train.take(np.array([0])))
    assert both.startswith("1 dev images are training images too") and "0.png" in both
    assert training_remarks(train, tiny_set(tmp_path / "dev", {"a": 1, "b": 1}, rng)) == []


def test_training_on_one_class_is_refused(folder, capsys):
    file = write_list(folder, "Real/0.png\t0\nReal/1.png\t0\n")
    command = ["train", "--preset", "smoke", "--train", str(file), "--dev", str(file)]
    assert main([*command, "--classes", "Real", "--out", str(folder / "t")]) == 2
    assert "one class only, 'Real'" in capsys.readouterr().err
    assert not (folder / "t").exists()


# Stages ------------------------------------------------------------------------------------------


def test_presets_of_the_other_stage_are_refused(tmp_path, capsys):
    for command, preset, fitting in (("train", "pocket_pretrain", "pocket, pocket_plain,"),
                                     ("pretrain", "pocket", "pocket_pretrain,")):  # fmt: skip
        assert main([command, "--preset", preset, "--out", str(tmp_path / "o")]) == 2
        error = capsys.readouterr().err
        assert f"preset {preset} is of stage" in error and fitting in error
        assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()
    for preset in PRESETS.values():
        require_stage(preset, 1 if "pretrain" in preset.name else 2)
        assert "stage" not in preset.settings()  # runs begun earlier go on


def test_a_checkpoint_of_stage_1_names_no_architecture(folder, tmp_path, capsys):
    names = [t.name for t in image_transformations(64)]
    model = DNADet(170, 8, classes=names)
    save_model(model, tmp_path / "first.safetensors")
    use = ["--model", str(tmp_path / "first.safetensors")]
    images = str(folder / "Real")
    for command in (["attribute", images], ["embed", images, "--out", str(tmp_path / "e.parquet")],
                    ["report", images, "--out", str(tmp_path / "r.html")],
                    ["evaluate", "--test", str(folder)], ["evaluate"]):  # fmt: skip
        assert main([*command, *use]) == 2
        printed = capsys.readouterr()
        assert "first.safetensors: a checkpoint of stage 1" in printed.err
        assert "such as pocket" in printed.err
        assert printed.out == ""
    assert not list(tmp_path.glob("*.parquet")) and not list(tmp_path.glob("*.html"))
    image = folder / "Real" / "0.png"
    assert load(tmp_path / "first.safetensors").attribute([image]).labels[0] in names
    require_architectures(DNADet(2, 8, classes=["JPEG 30", "Real"]))  # not all of them


def test_the_shipped_checkpoints_of_stage_1_are_known_for_what_they_are(capsys):
    for name in ("pocket_pretrain", "pocket_pretrain_raw"):
        assert main(["attribute", "nothing.png", "--model", name]) == 2
        assert f"{name}: a checkpoint of stage 1" in capsys.readouterr().err


# Odds and ends -----------------------------------------------------------------------------------


def test_lines_without_an_end_and_files_without_a_line(tmp_path):
    file = tmp_path / "a.txt"
    for content, lines in ((b"", [""]), (b"a", ["a"]), (b"a\r\nb\rc\n", ["a", "b\rc", ""])):
        file.write_bytes(content)
        assert read_lines(file) == lines


def test_a_joined_set_keeps_every_image_with_its_source():
    first = ImageSet([Path("a.png")], np.array([0]), ("x", "y"))
    second = ImageSet([Path("b.png")], np.array([1]), ("x", "y"), ["maker"])
    assert first.joined(second).makers == ["x", "maker"]


@pytest.mark.skipif(os.name == "nt", reason="a path of Windows leads there")
def test_a_windows_drive_leads_nowhere_and_is_named(folder, checkpoint, capsys):
    file = write_list(folder, "C:\\data\\a.png\t0\n")
    assert main(["evaluate", "--test", str(file), "--model", str(checkpoint), *TWO]) == 2
    assert "1 of 1 images are missing: C:\\data\\a.png" in capsys.readouterr().err
