import shutil

import make_results
import numpy as np
import pandas as pd
import pytest
from evidence import enlargement_table

from dnadet_lib.data import ImageSet
from dnadet_lib.zoo.manifest import CLASSES
from dnadet_lib.zoo.setups import load_setup

COMMITTED = make_results.DATA


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder of small results, and a template that shows them all."""
    monkeypatch.setattr(make_results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(make_results, "DATA", tmp_path)
    (tmp_path / "results").mkdir()
    names = (
        "suite", "leads", "fault_a", "tuning", "position", "unknown", "blocks",
        "refused", "calibration", "calibration_seeds", "robustness", "verdicts",
        "changes", "histories", "abroad", "enlargement", "makes",
    )  # fmt: skip
    (tmp_path / "results_template.md").write_text(
        "\n".join(f"## {name}\n\n{{{name}}}\n" for name in names)
    )
    (tmp_path / "results" / "results.md").write_text("| method | closed |\n")
    (tmp_path / "results" / "leads.md").write_text("| AttNet | 0.123 |\n")
    (tmp_path / "results" / "fault_a.md").write_text("| pocket, first seed repeated | 0.5 |\n")

    def save(name, rows):
        pd.DataFrame(rows).to_csv(tmp_path / "results" / f"{name}.csv", index=False)

    cells = {"learned cell": 0.9, "elsewhere inside": 0.8, "border": 0.7}
    save("position", [
        {"label": label, **cells, "fall-off": fall + 0.1 * k}
        for label, fall in (("architecture", -0.1), ("weights", 0.3)) for k in range(3)
    ])  # fmt: skip
    save("unknown", [
        {"split": "test", "score": "energy", "auroc": a, "fpr95": 0.2, "oscr": 0.9}
        for a in (0.9, 0.95, 1.0)
    ])  # fmt: skip
    save("unknown_blocks", [{"blocks": "2, 4", "unknown": 0.9876, "mean": 0.9}])
    save("refused", [{"split": "dev", "generator": "SubPixelGAN_meadow_s0", "refused": 0.625}])
    save("calibration", [
        {"setup": "closed", "scaling": "after", "temperature": 0.7, "calibration error": 0.01,
         "low": 0, "high": 0.022, "Brier score": 0.02}
    ])  # fmt: skip
    save("calibration_seeds", [
        {"setup": setup, "seed": seed, "calibration error": 0.01 + 0.02 * seed * (setup == "seed")}
        for setup in ("seed", "closed") for seed in range(3)
    ])  # fmt: skip
    save("tuning", [
        {"method": "AttNet", "setting": "{}", "seed": 0, "images": "abc",
         "dev accuracy": 0.4567, "minutes": 3}
    ])  # fmt: skip
    answers = ("nearest right", "named rightly", "cannot tell", "refused", "sure and known as Real")
    save("verdicts", [
        {"generator": generator, "setup": setup, "copies": "JPEG 95",
         **dict.fromkeys(answers, share)}
        for generator, setup, share in (("A", "seed", 0.5), ("B", "loss", 0.25), ("C", "closed", 0),
                                        ("D", "unknown", 1), ("real/meadow", "closed", 0.125))
    ])  # fmt: skip
    save("changes", [
        {"candidate": name, "dev copies": "JPEG 95", "horizons": 0.5, "stamps": 0.25,
         "abroad": 0.125, "photographs": 1} for name in ("none", "all")
    ])  # fmt: skip
    save("abroad", [
        {"checkpoint": "pocket", "split": "test", "generator": "dcgan_c", "class": "MMDGAN",
         **dict.fromkeys(answers, 0.5), "taken for": "Real"}
    ])  # fmt: skip
    save("confusions", [
        {"method": "pocket", "setup": "abroad", "generator": name, "predicted": "MMDGAN",
         "share": 1.0} for name in ("dcgan_c", "sngan_c")
    ])  # fmt: skip
    save("makes", [{"second make": "none", "mean": 0.444}])
    save("history", [{"dev copies": "JPEG 95", "grid, generators": 0.75}])
    save("robustness", [
        {"checkpoint": "pocket", "setup": setup, "degradation": "JPEG", "strength": 90,
         "generator": f"{setup}{k}", "accuracy": value + 0.1 * k}
        for setup, value, count in (("seed", 0.5, 3), ("loss", 0.7, 2), ("Real", 0.25, 1))
        for k in range(count)
    ])  # fmt: skip
    return tmp_path


def test_the_page_shows_every_table(results):
    make_results.page()
    page = (results / "RESULTS.md").read_text()
    assert "| method | closed |" in page
    assert "| 2, 4 | 0.988 | 0.9 |" in page
    assert "| architecture | 0.900 [0.900, 0.900] | " in page
    assert "| 0.000 [-0.248, 0.248] |" in page  # a fall-off may be negative
    assert "| test | energy | 0.950 [0.826, 1.000] |" in page  # a share ends at 1
    assert "| dev | SubPixelGAN_meadow_s0 | 0.625 |" in page
    assert "| closed | after | 0.7 | 0.010 [0.000, 0.022] | 0.02 |" in page
    assert "| seed | 0.010 | 0.030 | 0.050 | 0.030 [0.000, 0.080] |" in page
    assert page.index("| seed | 0.010") < page.index("| closed | 0.010")  # in the table's order
    assert "| AttNet | {} | 0 | 0.457 |" in page
    assert "| AttNet | 0.123 |" in page
    assert "| JPEG 95 | 0.50, 0.25, 0.12, 1.00 | 0.50, 0.25, 0.12, 1.00 |" in page
    assert "| JPEG 95 | 0.75 |" in page
    assert "| JPEG 95 | 0.375 | 0.375 | 0.375 | 0.25 | 1.0 | 1.0 | 0.125 | 0.125 |" in page
    assert "| pocket, first seed repeated | 0.5 |" in page
    assert "| pocket | test | dcgan_c | MMDGAN | 0.5 | 0.5 | 0.5 | 0.5 | Real |" in page
    assert "| none | 0.44 |" in page
    assert "| pocket | 1.0 | 0.0 | nan | 0.0 |" in page


def test_the_committed_page_shows_the_committed_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(make_results, "DATA", tmp_path)  # RESULTS stays: the committed figures
    shutil.copy(COMMITTED / "results_template.md", tmp_path)
    make_results.page()
    assert (tmp_path / "RESULTS.md").read_text() == (COMMITTED / "RESULTS.md").read_text()


def test_calibration_is_measured_seed_by_seed():
    wrong = {0: 2, 1: 5}  # of ten images at a confidence of 0.8
    scores = pd.DataFrame(
        {"setup": "seed", "seed": seed, "truth": CLASSES[k < count],
         **{f"score {name}": 0.8 if name == CLASSES[0] else 0.05 for name in CLASSES}}
        for seed, count in wrong.items() for k in range(10)
    )  # fmt: skip
    table = make_results.calibration_by_seed(scores).set_index("seed")
    assert table["accuracy"].tolist() == [0.8, 0.5]
    assert table["confidence"].tolist() == pytest.approx([0.8, 0.8])
    assert table["calibration error"].tolist() == pytest.approx([0, 0.3])


def test_confusions_are_shares_of_a_generators_images():
    predictions = pd.DataFrame(
        {"method": "ours", "setup": "seed", "source": ["a"] * 4 + ["b"], "seed": 0,
         "predicted": ["Real", "SNGAN", "SNGAN", "SNGAN", "Real"]}
    )  # fmt: skip
    shares = make_results.confusions(predictions).set_index(["generator", "predicted"])["share"]
    assert shares.to_dict() == {("a", "SNGAN"): 0.75, ("a", "Real"): 0.25, ("b", "Real"): 1}


def test_every_setup_counts_once_in_robustness_and_photographs_stand_apart(results):
    curves = pd.read_csv(results / "results" / "robustness.csv")
    (row,) = make_results.robustness_means(curves).itertuples()
    assert row.value == pytest.approx((0.6 + 0.75) / 2)
    assert "| JPEG | 90 | 0.675 [" in make_results.robustness_table()
    assert make_results.robustness_table().endswith("| 0.250 |")


def test_the_first_images_of_each_generator_are_kept(world):
    images = load_setup("closed", root=world.images)
    kept = make_results.first_of_each(images, 3)
    assert isinstance(kept, ImageSet)
    assert np.bincount(kept.labels).tolist() == [3] * len(CLASSES)
    assert set(kept.paths) <= set(images.paths)


def test_photographs_take_turns(tmp_path):
    sources = ["real/meadow/a"] * 5 + ["real/meadow/b"] * 3 + ["GAN"] * 4
    images = ImageSet(
        [tmp_path / str(k) for k in range(12)], np.repeat([0, 1], [8, 4]), ("Real", "GAN"), sources
    )
    kept = make_results.first_of_each(images, 3)
    assert [int(path.name) for path in kept.paths] == [0, 5, 1, 8, 9, 10]


def test_the_way_of_enlarging_counts_apart_from_the_class():
    shares = [
        ("a", "MMDGAN", {"MMDGAN": 0.75, "Real": 0.25}),
        ("b", "ProGAN", {"ProGAN": 0.25, "SNGAN": 0.25, "MMDGAN": 0.5}),
        ("c", "SNGAN", {"Real": 1.0}),
    ]
    confused = pd.DataFrame(
        [("m", name, kind, predicted, share)
         for name, kind, given in shares for predicted, share in given.items()],
        columns=["method", "generator", "class", "predicted", "share"],
    )  # fmt: skip
    row = enlargement_table(confused).iloc[0]
    assert row["transposed convolution"] == 0.75
    assert row["interpolation"] == 0.25  # of b half, of c nothing
    assert row["right among those"] == 0.5
    assert row["called photographs"] == pytest.approx(1.25 / 3)
