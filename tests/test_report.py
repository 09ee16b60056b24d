"""Reports: verdicts and their order, the page's content, the JSON twin, known images."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import photograph, write_images

from dnadet_lib import zoo
from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.cli import main
from dnadet_lib.evaluation import shipped_rates
from dnadet_lib.evaluation.base_rates import posterior, upper_bound
from dnadet_lib.images.reading import read_image
from dnadet_lib.model import DNADet, InputSpec
from dnadet_lib.plumbing.notes import Notes
from dnadet_lib.plumbing.paths import data_folder
from dnadet_lib.report import (
    findings as report,
    known_images,
    page as report_page,
    views as report_views,
)
from dnadet_lib.report.findings import Finding, Report, Unread

NASTY = "</script><img src=x onerror=alert(1)>&amp;'\""


class Page(HTMLParser):
    """A page as a browser would find it: elements, and the texts of cards and rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        found = {name: value or "" for name, value in attributes}
        self.elements.append((tag, found))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data) -> None:
        self.text += data
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")

    def handle_endtag(self, tag) -> None:
        if tag == "table":
            self.rows.append([])

    def of(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """The attributes of all elements of a kind."""
        own = [a for t, a in self.elements if t == tag]
        return [a for a in own if all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture(autouse=True)
def own_build(tmp_path: Path, monkeypatch) -> None:
    """A build folder of its own, and few known images."""
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(known_images, "EACH", 2)


@pytest.fixture
def images(tmp_path: Path, rng) -> Path:
    """Images of one patch and of many, one that looks like markup, and two that are no images."""
    folder = tmp_path / "images"
    write_images(folder, 4, rng, side=32)
    Image.fromarray(photograph(rng, 80, 130)).save(folder / "wide.png")
    Image.fromarray(photograph(rng, 700, 900)).save(folder / "large.jpg")
    Image.fromarray(photograph(rng, 64, 64)).save(folder / f"{NASTY.replace('/', '')}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("left out")
    return folder


def made(images: Path, model: Path, out: Path) -> tuple[str, dict]:
    """Write a report with the command line; the page and the twin."""
    main(["report", str(images), "--model", str(model), "-o", str(out)])
    twin = out.with_suffix(".json")
    return out.read_text(encoding="utf-8"), json.loads(twin.read_text(encoding="utf-8"))


def finding(label: str, confidence: float, score: float | None, known: bool | None) -> Finding:
    rest = {"Real": 1 - confidence, "ProGAN": 0.0}
    name = f"{label}-{confidence}-{score}.png"
    return Finding(name, "0" * 64, label, rest | {label: confidence}, score, known)


# Verdicts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (finding("ProGAN", 0.97, 0.1, True), "ProGAN, 0.97"),
        (finding("ProGAN", 0.9999, 0.1, True), "ProGAN, >0.99"),
        (finding("ProGAN", 0.97, None, None), "ProGAN, 0.97"),
        (finding("ProGAN", 1.0, 9.0, False), "outside what this model knows; nearest class ProGAN"),
        (Unread("a.png", "a.png: is a folder"), "not read: is a folder"),
    ],
)
def test_verdicts_in_words(made, verdict) -> None:
    assert made.verdict == verdict


def test_the_worst_come_first() -> None:
    found = [
        finding("ProGAN", 0.9, 0.1, True), finding("ProGAN", 0.99, 0.7, False),
        finding("ProGAN", 0.4, 0.2, True), finding("ProGAN", 0.5, 0.9, False),
    ]  # fmt: skip
    order = sorted(found, key=report._badness)
    assert [f.score for f in order] == [0.9, 0.7, 0.2, 0.1]


def test_examine_says_what_attribute_says_and_why_files_are_not_read(tiny_model, images) -> None:
    paths = sorted(path for path in images.iterdir() if path.suffix != ".txt")
    findings, unread = report.examine(tiny_model, paths)
    assert [Path(u.path).name for u in unread] == ["broken.png", "empty.jpg"]
    assert "the file is empty" in unread[1].verdict
    assert len(findings) == len(paths) - 2
    for f in findings:
        said = tiny_model.attribute([f.path])
        assert f.label == said.labels[0] and f.known is bool(said.known[0])
        assert f.score == pytest.approx(float(said.unknown_scores[0]), abs=1e-4)
        assert list(f.probabilities.values()) == pytest.approx(
            said.probabilities[0].tolist(), abs=1e-5
        )
        assert f.sha256 == hashlib.sha256(Path(f.path).read_bytes()).hexdigest()


def test_a_model_without_distances_cannot_say_known(images) -> None:
    model = DNADet(5, 8, classes=zoo.CLASSES, input=InputSpec(resize=None, patch=32))
    (found,), _ = report.examine(model, [images / "0.png"])
    assert found.known is None and found.score is None
    assert json.loads(json.dumps(found.as_dict()))["known"] is None


# The page ----------------------------------------------------------------------------------------


def test_page_and_twin_hold_every_image_in_one_order(images, checkpoint, tmp_path) -> None:
    text, twin = made(images, checkpoint, tmp_path / "report.html")
    page = Page(text)
    rows = [row for row in page.rows if len(row) == 6][1:]
    every = [*twin["errors"], *twin["results"]]
    assert len(twin["results"]) == 7 and len(twin["errors"]) == 2
    assert [row[0] for row in rows] == [Path(e["path"]).name for e in every]
    assert [row[5] for row in rows] == [e["sha256"] for e in every]
    assert [row[1] for row in rows[2:]] == [r["verdict"] for r in twin["results"]]
    assert all(row[1].startswith("not read: cannot be read") for row in rows[:2])
    values = [a["data-value"] for a in page.of("td", **{"data-label": "probability"})]
    assert [float(v) for v in values if v] == [r["confidence"] for r in twin["results"]]
    scores = [a["data-value"] for a in page.of("td", **{"data-label": "unknown score"})]
    assert [float(v) for v in scores if v] == [r["unknown_score"] for r in twin["results"]]
    cards = page.of("article")
    assert [card["data-name"] for card in cards] == [Path(r["path"]).name for r in twin["results"]]
    known = [r["known"] for r in twin["results"]]
    assert known == sorted(known)  # False comes first
    assert [card["data-kind"] == "outside" for card in cards] == [not k for k in known]
    shares = [float(a["data-value"]) for a in page.of("td") if list(a) == ["data-value"]]
    assert shares == [p for r in twin["results"] for p in r["probabilities"].values()]


def test_twin_says_what_made_it(images, checkpoint, tmp_path) -> None:
    text, twin = made(images, checkpoint, tmp_path / "report.html")
    own = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert twin["model"]["sha256"] == own and own in text
    assert twin["model"]["classes"] == list(zoo.CLASSES)
    assert twin["command"].startswith("dnadet report ") and str(images) in twin["command"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", twin["made"])
    assert twin["made"] in text
    assert sum(twin["counts"].values()) == 10
    assert twin["counts"]["left out"] == 1 and twin["skipped"] == [str(images / "notes.txt")]
    assert any("1 file is no image" in note for note in twin["notes"])
    for word in ("1 file is no image", "This model knows five classes", "2 files could not"):
        assert word in Page(text).text


def test_nothing_is_loaded_from_elsewhere_and_no_name_is_markup(
    images, checkpoint, tmp_path
) -> None:
    text, _ = made(images, checkpoint, tmp_path / "report.html")
    page = Page(text)
    assert len(page.of("script")) == 1
    assert not any(name.startswith("on") for _, a in page.elements for name in a)
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert attributes.get(name, "#")[:1] == "#" or attributes[name].startswith("data:image")
    assert "url(" not in text and "@import" not in text and "http" not in text.split("<body>")[1]
    assert "default-src 'none'" in text
    assert all(a["alt"] for a in page.of("img"))
    assert all(a["aria-label"] for a in page.of("svg") if "aria-hidden" not in a)
    assert any(NASTY.replace("/", "") in card["data-name"] for card in page.of("article"))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for attributes in page.of("use") + page.of("a"):
        assert attributes["href"][1:] in ids


def test_class_names_are_no_markup(images, tmp_path, tiny_model) -> None:
    tiny_model.classes = ("Real", NASTY, "c", "d", "e")
    save_model(tiny_model, tmp_path / "own.safetensors")
    text, twin = made(images, tmp_path / "own.safetensors", tmp_path / "report.html")
    page = Page(text)
    assert len(page.of("script")) == 1 and len(page.of("img")) == 7
    assert NASTY in twin["counts"]
    assert "images of the class </script>" in page.text  # why no nearest images are shown
    assert not page.of("use")


def test_a_checkpoint_of_ones_own_has_no_error_rates(images, checkpoint, tmp_path) -> None:
    text, twin = made(images, checkpoint, tmp_path / "report.html")
    assert twin["measured"] is None
    assert "Nothing was measured for this checkpoint" in text
    assert f"dnadet evaluate --model {checkpoint} --test" in text


def test_at_most_so_many_cards_and_every_image_in_the_table(
    images, checkpoint, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(report_page, "SHOWN_AT_MOST", 2)
    text, twin = made(images, checkpoint, tmp_path / "report.html")
    page = Page(text)
    assert [card["id"] for card in page.of("article")] == ["image-1", "image-2"]
    assert len([row for row in page.rows if len(row) == 6]) == 10
    assert "The first 2 of 7 images" in page.text
    assert len(page.of("a", href="#image-2")) == 1 and not page.of("a", href="#image-3")
    assert len(twin["results"]) == 7


def test_an_image_that_goes_meanwhile_says_so(tiny_model, images, tmp_path) -> None:
    findings, _ = report.examine(tiny_model, [images / "0.png", images / "1.png"])
    (images / "0.png").unlink()
    found = Report(tiny_model, "dnadet report", findings, [], None, Notes())
    report_page.write_page(found, tmp_path / "report.html", "none were wanted")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.of("article")) == 2 and len(page.of("img")) == 1
    assert "0.png: cannot be read as an image (no such file)" in page.text


def test_the_json_of_somebody_else_is_kept(images, checkpoint, tmp_path, capsys) -> None:
    other = tmp_path / "results.json"
    other.write_text('{"rows": []}')
    arguments = ["report", str(images), "--model", str(checkpoint)]
    assert main([*arguments, "-o", str(tmp_path / "results.html")]) != 0
    assert "no report wrote that file; choose another name" in capsys.readouterr().err
    assert other.read_text() == '{"rows": []}' and not (tmp_path / "results.html").exists()
    other.unlink()
    for _ in range(2):  # that of an earlier report is replaced
        assert main([*arguments, "-o", str(tmp_path / "results.html")]) == 1
    assert json.loads(other.read_text())["made_by"] == "dnadet report"


# Close up ----------------------------------------------------------------------------------------


def test_votes_are_those_whose_mean_is_the_verdict(images, tiny_model) -> None:
    view = report_views.look_at(tiny_model, images / "wide.png")
    image = read_image(images / "wide.png")
    assert view.image.shape == image.shape
    assert view.votes.size == (80, 130) and view.votes.patch == (32, 32)
    assert view.votes.looked_at == 1
    np.testing.assert_allclose(view.embedding, tiny_model.attribute([image]).embeddings[0], 1e-4)
    for (top, left), winner, sure in zip(
        view.votes.corners, view.votes.winners, view.votes.sure, strict=True
    ):
        said = tiny_model.attribute([image[top : top + 32, left : left + 32]]).probabilities[0]
        assert winner == said.argmax() and sure == pytest.approx(said.max(), abs=1e-5)


def test_how_much_of_a_large_image_was_looked_at(images, tiny_model) -> None:
    votes = report_views.look_at(tiny_model, images / "large.jpg").votes
    assert len(votes.winners) == 64
    assert votes.looked_at == pytest.approx((8 * 32) ** 2 / (700 * 900))


def test_of_one_patch_the_turned_copies_vote(images, tiny_model, checkpoint, tmp_path) -> None:
    tiny_model.input = InputSpec(resize=None, patch=32, vote="turned", high_pass=True)
    votes = report_views.look_at(tiny_model, images / "0.png").votes
    assert len(votes.winners) == 1 and len(votes.copies) == 4
    whole = InputSpec(resize=None, patch=32, vote="whole", high_pass=True)
    tiny_model.input = whole
    votes = report_views.look_at(tiny_model, images / "wide.png").votes
    assert votes.patch == (80, 130) and len(votes.copies) == 1
    text, _ = made(images / "0.png", checkpoint, tmp_path / "report.html")
    assert "One patch: the model sees all 32 by 32 pixels at once" in text


def test_a_period_of_two_pixels_stands_at_half_a_cycle(rng) -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    image[:, ::2] += 6
    spectrum = report_views.residual_spectrum(image)
    assert spectrum.shape == (64, 64)
    assert np.unravel_index(spectrum.argmax(), spectrum.shape) == (32, 0)  # -0.5 across
    assert report_views.residual_spectrum(photograph(rng, 600, 500)).shape == (64, 64)
    assert report_views.residual_spectrum(photograph(rng, 40, 90)).shape == (40, 40)
    assert report_views.residual_spectrum(image[:15]) is None


# Known images and error rates --------------------------------------------------------------------


def test_known_images_are_those_of_the_training_split(world, checkpoint, monkeypatch) -> None:
    monkeypatch.setattr(known_images, "EACH", 4)
    model, told = load_model(checkpoint), []
    found = known_images.known_images(model, told.append)
    assert len(told) == 1 and "once for this checkpoint" in told[0]
    assert {name: len(found.of(name)) for name in zoo.CLASSES} == dict.fromkeys(zoo.CLASSES, 4)
    sets = zoo.load_setup("closed", "train", world.images)
    rendered = [read_image(path) for path in sets.paths if "SNGAN" in str(path)][:4]
    np.testing.assert_array_equal(found.of("SNGAN"), rendered)
    np.testing.assert_allclose(
        found.embeddings, model.attribute(list(found.images)).embeddings, atol=1e-4
    )
    again = known_images.known_images(model, told.append)
    assert len(told) == 1  # they were kept
    np.testing.assert_array_equal(again.images, found.images)
    assert again.nearest(found.embeddings[7], 3)[0] == (7, pytest.approx(0, abs=1e-5))


def test_known_images_are_made_again_for_another_checkpoint_and_where_spoilt(
    world, checkpoint, tiny_model, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(known_images, "EACH", 2)
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path / "own"))  # the world's is shared
    told: list[str] = []
    known_images.known_images(load_model(checkpoint), told.append)
    tiny_model.temperature = 2.0
    save_model(tiny_model, tmp_path / "other.safetensors")
    known_images.known_images(load_model(tmp_path / "other.safetensors"), told.append)
    assert len(told) == 2
    for file in (tmp_path / "own" / "cache" / "known_images").iterdir():
        file.write_bytes(b"spoilt")
    known_images.known_images(load_model(checkpoint), told.append)
    assert len(told) == 3


def test_known_images_of_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="images of the class Fake do not come with this package"):
        known_images.known_images(DNADet(2, 8, classes=["Real", "Fake"]))


def test_the_shipped_checkpoint_has_the_error_rates_of_its_card() -> None:
    measured = shipped_rates.measured_of(load_model("pocket"))
    assert measured is not None and measured.name == "pocket"
    file = data_folder() / "checkpoints" / "results.json"
    (expected,) = (
        row for row in json.loads(file.read_text(encoding="utf-8"))["rows"]
        if (row["method"], row["setup"], row["metric"]) == ("pocket", "seed", "accuracy")
    )  # fmt: skip
    assert measured.row("seed") == expected
    name, value = measured.worst("seed")
    assert measured.row("seed", f"accuracy {name}")["value"] == value < expected["value"]
    assert measured.row("no such set-up") is None


def test_worth_follows_bayes() -> None:
    rows = [
        {"setup": "seed", "metric": "accuracy", "value": 0.9, "images": 100},
        {"setup": "closed", "metric": "recall Real", "value": 0.98, "images": 100},
    ]
    text = shipped_rates.worth(shipped_rates.Measured("m", rows))
    right = posterior(0.01, 0.9, upper_bound(2, 100))
    assert f"only {100 * right:.0f} in 100 of the images" in text
    assert f"up to {upper_bound(2, 100):.1%} are called generated" in text
    assert shipped_rates.worth(shipped_rates.Measured("m", rows[:1])) == ""
