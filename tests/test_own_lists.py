"""Measuring on lists of one's own: several lists, degraded copies, unknown sources."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import f1_score, recall_score
from support import write_images

from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.cli import main
from dnadet_lib.evaluation.open_set import open_set_figures, open_set_rows
from dnadet_lib.evaluation.predictions import Predictions
from dnadet_lib.evaluation.robustness import DEGRADATIONS, parse_change
from dnadet_lib.zoo.manifest import CLASSES


@pytest.fixture
def lists(tmp_path, rng, monkeypatch) -> tuple[Path, Path]:
    """Two lists of one name in two folders, with their sources; the working folder is above."""
    monkeypatch.chdir(tmp_path)
    found = []
    for folder, each in (("a", 3), ("b", 2)):
        lines = []
        for number, name in enumerate(CLASSES):
            for path in write_images(tmp_path / folder / name, each, rng):
                lines.append(f"{name}/{path.name}\t{number}\tmaker {name} {path.stem}\n")
        (tmp_path / folder / "test.txt").write_text("".join(lines))
        found.append(Path(folder) / "test.txt")
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    return found[0], found[1]


def evaluate(checkpoint: Path, capsys, *arguments: object) -> dict:
    command = ["evaluate", "--model", str(checkpoint), "--classes", *CLASSES, "--json"]
    assert main([*command, *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def figures(report: dict) -> dict[tuple[str, str], float]:
    return {(row["setup"], row["metric"]): row["value"] for row in report["rows"]}


def test_several_lists_in_one_call_have_the_figures_of_each_alone(lists, checkpoint, capsys):
    both = evaluate(checkpoint, capsys, "--test", *lists, "--predictions", "every.csv")
    alone = [figures(evaluate(checkpoint, capsys, "--test", path)) for path in lists]
    found = figures(both)
    for name, own in zip(("a/test", "b/test"), alone, strict=True):
        assert {k[1]: v for k, v in found.items() if k[0] == name} == {
            k[1]: v for k, v in own.items()
        }
    table = pd.read_csv("every.csv")
    assert table["set"].value_counts().to_dict() == {"a/test": 15, "b/test": 10}
    for name, part in table.groupby("set"):
        recalls = recall_score(part["truth"], part["predicted"], labels=CLASSES, average=None)
        macro = f1_score(part["truth"], part["predicted"], labels=CLASSES, average="macro")
        assert found[name, "macro F1"] == pytest.approx(macro)
        assert [found[name, f"recall {c}"] for c in CLASSES] == pytest.approx(list(recalls))
        assert found[name, "accuracy maker SNGAN 1"] in (0, 1)
        for truth, shares in both["sets"][name]["confusion"].items():
            called = part[part["truth"] == truth]["predicted"].value_counts(normalize=True)
            assert {k: v for k, v in shares.items() if v} == pytest.approx(called.to_dict())


def test_the_figures_are_printed_for_lists_of_ones_own(lists, checkpoint, capsys):
    assert main(["evaluate", "--model", str(checkpoint), "--test", str(lists[0])]) == 0
    out = capsys.readouterr().out
    for name in ("macro F1", *(f"recall {c}" for c in CLASSES), "accuracy maker ProGAN 2"):
        assert re.search(rf"(?m)^\| {name} \| [01]\.\d{{3}} \|", out)
    assert re.search(r"(?m)^\| true class, called \| Real \| ProGAN \|", out)


def test_degraded_copies_are_what_one_would_make_by_hand(lists, checkpoint, capsys, tmp_path):
    changes = ["jpeg:90", "res:0.75", "shift:2"]
    options = ["--degrade", *changes, "--out", tmp_path / "out", "--predictions", "all.parquet"]
    report = evaluate(checkpoint, capsys, "--test", lists[1], *options)
    names = ["test", "test, JPEG 90", "test, resize 0.75", "test, shift 2"]
    assert list(dict.fromkeys(row["setup"] for row in report["rows"])) == names
    table = pd.read_parquet("all.parquet")
    assert table["set"].drop_duplicates().tolist() == names
    copies = [cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA)
              for image in map(np.asarray, map(Image.open, table["path"][:10]))]  # fmt: skip
    expected = load_model(checkpoint).attribute([cv2.resize(copy, (64, 64)) for copy in copies])
    scores = table.groupby("set")["unknown_score"].apply(np.array)
    np.testing.assert_allclose(scores[names[2]], expected.unknown_scores, rtol=1e-4)
    assert not np.isclose(scores[names[2]], scores["test"], rtol=1e-2).any()
    written = {path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".parquet"}
    assert written == {f"predictions-{name}.parquet" for name in names}


def test_set_ups_of_the_zoo_may_be_degraded_too(world, checkpoint, capsys):
    options = ["--profile", "smoke", "--setups", "seed", "--degrade", "blur:0.5", "--json"]
    assert main(["evaluate", "--model", str(checkpoint), *options]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["setup"] for row in rows} == {"seed", "seed, blur 0.5"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jpeg", "strength, quality, must be 50 to 95"), ("jpeg:96", "must be 50 to 95"),
        ("jpeg:nan", "must be 50 to 95"), ("jpeg:x", "must be 50 to 95"),
        ("melt:3", r"write NAME:STRENGTH, with one of jpeg \(quality\), blur"),
        (":3", "write NAME:STRENGTH"),
    ],
)  # fmt: skip
def test_faulty_degradations_are_refused(text, message, capsys):
    assert main(["evaluate", "--degrade", text]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_every_degradation_has_a_short_name():
    for kind in DEGRADATIONS:
        assert parse_change(f"{kind.name.split()[0].lower()}:{kind.strengths[0]}").kind is kind


def test_unknown_sources_have_figures_of_their_own(lists, checkpoint, capsys, rng):
    for name in ("odd", "even"):
        write_images(Path("others") / name, 4, rng)
    others = ["--known", lists[0], "--unknown", "others", "--predictions", "all.csv"]
    found = figures(evaluate(checkpoint, capsys, *others))
    table = pd.read_csv("all.csv")
    known, unknown = (table[table["set"] == name] for name in ("test", "others"))
    assert unknown["truth"].isna().all() and len(unknown) == 8
    for name in ("odd", "even"):
        own = unknown[unknown["source"] == name]["unknown_score"].to_numpy()
        right = (known["truth"] == known["predicted"]).to_numpy()
        expected = open_set_figures(known["unknown_score"].to_numpy(), right, own)
        assert found["others", f"AUROC {name}"] == pytest.approx(expected.auroc)
        assert found["others", f"FPR95 {name}"] == pytest.approx(expected.fpr95)
        assert found["others", f"OSCR {name}"] == pytest.approx(expected.oscr)
    both = [found["others", f"AUROC {name}"] for name in ("odd", "even")]
    assert found["others", "AUROC"] == pytest.approx(np.mean(both))
    assert found["test", "accuracy"] >= 0  # known lists are measured like any


def test_unknown_images_are_degraded_as_the_known_ones_are(lists, checkpoint, capsys, rng):
    for name in ("odd", "even"):
        write_images(Path("others") / name, 4, rng)
    options = ["--degrade", "jpeg:50", "shift:4", "--out", "out", "--predictions", "all.csv"]
    report = evaluate(checkpoint, capsys, "--known", lists[0], "--unknown", "others", *options)
    found, table = figures(report), pd.read_csv("all.csv")
    names = ["test", "test, JPEG 50", "test, shift 4"]
    others = [name.replace("test", "others") for name in names]
    assert table["set"].drop_duplicates().tolist() == names + others
    assert {f"predictions-{n}.parquet" for n in others} <= {p.name for p in Path("out").iterdir()}
    for own, other in zip(names, others, strict=True):
        known, unknown = (table[table["set"] == name] for name in (own, other))
        assert unknown["truth"].isna().all() and len(unknown) == 8
        odd = unknown[unknown["source"] == "odd"]["unknown_score"].to_numpy()
        right = (known["truth"] == known["predicted"]).to_numpy()
        expected = open_set_figures(known["unknown_score"].to_numpy(), right, odd)
        assert found[other, "AUROC odd"] == pytest.approx(expected.auroc)
        assert found[other, "OSCR odd"] == pytest.approx(expected.oscr)
    scores = [table[table["set"] == name]["unknown_score"].to_numpy() for name in others]
    assert not np.isclose(scores[0], scores[1]).all() and not np.isclose(scores[1], scores[2]).all()


def test_a_list_of_unknown_images_needs_no_classes(lists, checkpoint, capsys, rng):
    paths = write_images(Path("u"), 4, rng)
    Path("u.txt").write_text("".join(f"{p}\t9\tg{k % 2}\n" for k, p in enumerate(paths)))
    report = evaluate(checkpoint, capsys, "--known", lists[0], "--unknown", "u.txt")
    assert {("u", "OSCR g0"), ("u", "OSCR g1")} <= set(figures(report))
    Path("u.txt").write_text("u/none.png\t0\n")
    command = ["evaluate", "--model", str(checkpoint), "--known", str(lists[0])]
    assert main([*command, "--unknown", "u.txt"]) == 2
    assert "1 of 1 images are missing" in capsys.readouterr().err


def scored(scores: list[float], sources: list[str], right: bool = True) -> Predictions:
    count = len(scores)
    probabilities = np.eye(2)[np.zeros(count, int)]
    truth = np.full(count, 0 if right else 1)
    return Predictions(
        truth, probabilities, np.zeros((count, 1)), np.array(scores), np.array(sources), ("a", "b")
    )


def test_open_set_intervals_hold_what_they_say(rng):
    known = scored(rng.normal(0, 1, 300).tolist(), ["k"] * 300)
    far = scored(rng.normal(9, 1, 100).tolist(), ["far"] * 100)
    near = scored(rng.normal(1, 1, 100).tolist(), ["near"] * 100)
    rows = {r.metric: r for one in (far, near) for r in open_set_rows("m", "s", known, one)}
    assert rows["AUROC far"].low == pytest.approx(1)
    auroc = rows["AUROC near"]
    assert auroc.low < auroc.value < auroc.high
    # Hanley and McNeil 1982, equation 2: the standard error of an AUROC.
    a, q1, q2 = auroc.value, auroc.value / (2 - auroc.value), 2 * auroc.value**2 / (1 + auroc.value)
    variance = (a * (1 - a) + 99 * (q1 - a**2) + 299 * (q2 - a**2)) / (100 * 300)
    assert auroc.high - auroc.low == pytest.approx(2 * 1.96 * variance**0.5, rel=0.3)
    wrong = open_set_rows("m", "s", scored(known.unknown_scores.tolist(), ["k"] * 300, False), far)
    assert {r.metric: r.value for r in wrong}["OSCR far"] == 0


def test_what_is_lacking_is_said(lists, checkpoint, tiny_model, capsys, tmp_path):
    command = ["evaluate", "--model", str(checkpoint)]
    assert main([*command, "--unknown", "a"]) == 2
    assert "--known and --unknown go together" in capsys.readouterr().err
    assert main([*command, "--test", str(lists[0]), "--predictions", "x.json"]) == 2
    assert "--predictions x.json: end the name in .csv or .parquet" in capsys.readouterr().err
    assert main([*command, "--test", str(lists[0]), "--predictions", "a/Real/0.png"]) == 2
    capsys.readouterr()
    tiny_model.reference = None
    save_model(tiny_model, tmp_path / "m.safetensors")
    plain = ["evaluate", "--model", str(tmp_path / "m.safetensors"), "--known", str(lists[0])]
    assert main([*plain, "--unknown", str(tmp_path / "b")]) == 2
    assert "holds no distances, so it has no unknown score" in capsys.readouterr().err


def test_predictions_do_not_overwrite_a_list_that_is_read(lists, checkpoint, capsys):
    Path("l.csv").write_text("a/Real/0.png,0\na/SNGAN/0.png,3\n")
    before = Path("l.csv").read_text()
    command = ["evaluate", "--model", str(checkpoint), "--classes", *CLASSES]
    assert main([*command, "--test", "l.csv", "--predictions", "l.csv"]) == 2
    assert "is one of the inputs and would be lost" in capsys.readouterr().err
    assert Path("l.csv").read_text() == before


def test_two_lists_whose_predictions_would_share_a_file_are_refused(lists, checkpoint, capsys):
    for name in ("x|y.txt", "x_y.txt"):
        lists[0].with_name(name).write_bytes(lists[0].read_bytes())
    given = [f"{lists[0].parent}/x|y.txt", f"{lists[0].parent}/x_y.txt", "--out", "out"]
    command = ["evaluate", "--model", str(checkpoint), "--classes", *CLASSES, "--test", *given]
    assert main(command) == 2
    assert "predictions-x_y.parquet: predictions of 'x|y' and of another" in capsys.readouterr().err
    assert not Path("out").exists()
