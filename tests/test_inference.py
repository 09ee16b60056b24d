"""The stream from images to features."""

from __future__ import annotations

import itertools
import threading
import time
import warnings
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from support import photograph, write_images

from dnadet_lib import inference
from dnadet_lib.attribution import infer
from dnadet_lib.images.reading import own_warnings
from dnadet_lib.inference import answers, image_features, readable_features, stream
from dnadet_lib.model import DNADet, InputSpec
from dnadet_lib.patches import grid_corners, grid_share
from dnadet_lib.plumbing.notes import listening


@pytest.fixture(autouse=True)
def two_workers(monkeypatch):
    """Two workers wherever the tests run."""
    monkeypatch.setattr(inference, "_workers", lambda model: 2)


def numbers_of(model, images, **options) -> list[int]:
    """Positions of the images with features, in the order in which they come."""
    return [number for batch in stream(model, images, **options) for number in batch.numbers]


def test_order_is_kept_whoever_finishes_first(tiny_model, rng):
    sizes = [400, *[40] * 9, 300, *[64] * 20]
    images = [photograph(rng, side, side) for side in sizes]
    assert numbers_of(tiny_model, images, batch=3) == list(range(len(images)))
    alone = np.stack([tiny_model.attribute([image]).embeddings[0] for image in images])
    np.testing.assert_allclose(image_features(tiny_model, images).embeddings, alone, atol=1e-5)


@pytest.mark.parametrize("vote", ["whole", "patches", "turned"])
def test_images_of_all_sizes_and_kinds_share_a_batch(vote, tmp_path, rng):
    torch.manual_seed(0)
    model = DNADet(3, 8, input=InputSpec(resize=None, patch=32, vote=vote)).eval()
    arrays = [photograph(rng, *size) for size in ((64, 64), (40, 90), (64, 64), (33, 200))]
    Image.fromarray(arrays[0]).save(tmp_path / "a.png")
    images = [*arrays, Image.fromarray(arrays[1]), tmp_path / "a.png", str(tmp_path / "a.png")]
    found = model.attribute(images)
    for image, embedding in zip(images, found.embeddings, strict=True):
        np.testing.assert_allclose(model.attribute([image]).embeddings[0], embedding, atol=1e-5)


def test_views_of_one_size_run_together(rng, monkeypatch):
    model = DNADet(3, 8, input=InputSpec(resize=None, vote="whole")).eval()
    sizes = []
    features = model.features
    monkeypatch.setattr(model, "features", lambda x: sizes.append(x.shape[2:]) or features(x))
    views = [rng.integers(0, 256, (1, side, 40, 3), dtype=np.uint8) for side in (40, 64) * 5]
    found = infer(model, views)
    assert sizes == [(40, 40), (64, 40)]
    for view, embedding in zip(views, found.embeddings, strict=True):
        torch.testing.assert_close(infer(model, [view]).embeddings[0], embedding)


def test_errors_are_collected_by_file_in_order(tiny_model, tmp_path, rng):
    paths = write_images(tmp_path, 40, rng)
    bad = {3: b"", 4: b"no image", 39: b"\x89PNG\r\n\x1a\n"}
    for number, content in bad.items():
        paths[number].write_bytes(content)
    errors: list[dict[str, str]] = []
    order = []
    for result in answers(tiny_model, paths, errors):
        order.append((result["path"], len(errors)))
    assert [path for path, _ in order] == [str(p) for i, p in enumerate(paths) if i not in bad]
    assert [told for _, told in order] == [0] * 3 + [2] * 34  # an error comes in its turn
    assert [error["path"] for error in errors] == [str(paths[number]) for number in bad]
    assert all(error["error"].startswith(f"{error['path']}: cannot") for error in errors)
    lines: list[str] = []
    kept = [i for numbers, _ in readable_features(tiny_model, paths, lines) for i in numbers]
    assert kept == [i for i in range(40) if i not in bad]
    assert lines == [error["error"] for error in errors]
    with pytest.raises(OSError, match=r"3\.png: cannot be read .*the file is empty"):
        image_features(tiny_model, paths)


def test_every_input_bad_gives_errors_alone(tiny_model, tmp_path):
    errors: list[dict[str, str]] = []
    assert list(answers(tiny_model, [tmp_path / "a.png", tmp_path / "b.png"], errors)) == []
    assert [error["path"] for error in errors] == [str(tmp_path / f"{n}.png") for n in "ab"]
    assert list(stream(tiny_model, [])) == []


def test_the_source_is_read_only_as_far_as_needed(tiny_model, rng):
    image, taken = photograph(rng, 64, 64), itertools.count()
    source = (image for number in iter(taken.__next__, None))  # without an end
    results = answers(tiny_model, source, [])
    assert next(results)["path"] == "image 0"
    assert next(taken) <= 12
    for _ in range(99):
        next(results)
    assert next(taken) <= 100 + 6 * inference.BATCH + 2
    results.close()


def test_memory_does_not_grow_with_the_number_of_images(tiny_model, rng):
    alive: set[int] = set()
    pixels = photograph(rng, 48, 48)

    def source(count):
        for number in range(count):
            image = Image.fromarray(pixels)
            alive.add(number)
            weakref.finalize(image, alive.discard, number)
            yield image

    most = {}
    for count in (60, 240):
        seen = []
        for _ in stream(tiny_model, source(count), batch=4):
            seen.append(len(alive))
        most[count] = max(seen)
    assert most[240] <= (2 * 2 + 2) * 4
    assert len(alive) <= 8


def test_views_wait_for_the_network_only_up_to_a_limit(tiny_model, rng, monkeypatch):
    monkeypatch.setattr(inference, "VIEW_BYTES", 3 * 32 * 32 * 20)
    most = []
    watched = lambda model, v: most.append(sum(map(len, v))) or infer(model, v)  # noqa: E731
    monkeypatch.setattr(inference, "infer", watched)
    images = [photograph(rng, 64, 64) for _ in range(30)]  # nine views each
    assert numbers_of(tiny_model, images) == list(range(30))
    assert max(most) == 27


def test_stopping_early_stops_the_workers(tiny_model, rng):
    results = answers(tiny_model, itertools.repeat(photograph(rng, 64, 64)), [])
    next(results)
    assert any(thread.name.startswith("dnadet") for thread in threading.enumerate())
    results.close()
    assert not any(thread.name.startswith("dnadet") for thread in threading.enumerate())


def test_the_number_of_threads_is_the_callers_again(tiny_model, rng):
    before = torch.get_num_threads()
    seen = []
    tiny_model.attribute([photograph(rng, 64, 64)] * 20)
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), seen) == (before, [before])


def test_other_faults_reach_the_caller(tiny_model, rng, monkeypatch):
    def fail(model, views):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(inference, "infer", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(stream(tiny_model, [photograph(rng, 64, 64)] * 9))


def test_notes_are_told_in_the_order_of_the_images(tiny_model, tmp_path, rng):
    paths = [tmp_path / f"{i}.png" for i in range(12)]
    for path in paths:
        alpha = np.full((40, 40, 1), 9, np.uint8)
        Image.fromarray(np.dstack([photograph(rng, 40, 40), alpha])).save(path)
    with listening() as notes:
        tiny_model.attribute(paths)
    assert notes.texts == [f"{path}: transparent parts are laid on white" for path in paths]


def test_warnings_of_threads_are_not_mixed_up():
    found = {}
    both = threading.Barrier(2, timeout=60)

    def work(name):
        with own_warnings() as heard:
            both.wait()
            for _ in range(20):
                warnings.warn(name, stacklevel=1)
                time.sleep(0)
            both.wait()
        found[name] = [str(warning) for warning in heard]

    before = warnings.showwarning, list(warnings.filters)
    with warnings.catch_warnings(record=True) as outside:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        warnings.warn("outside", stacklevel=1)
    assert found == {"a": ["a"] * 20, "b": ["b"] * 20}
    assert [str(warning.message) for warning in outside] == ["outside"]
    assert (warnings.showwarning, list(warnings.filters)) == before


@pytest.mark.parametrize(
    ("size", "share"), [((64, 64), 1.0), ((288, 100), 1.0), ((4000, 4000), 0.016384)]
)
def test_how_much_of_an_image_is_looked_at(size, share):
    assert grid_share(*size, 64) == pytest.approx(share)
    shown = np.zeros(size, bool)
    for top, left in grid_corners(*size, 64, max_per_side=8):
        shown[top : top + 64, left : left + 64] = True
    assert grid_share(*size, 64) == pytest.approx(shown.mean())


def test_answers_say_how_much_was_looked_at_and_what_is_not_checked(tiny_model, rng):
    large = photograph(rng, 600, 700)
    tiny_model.reference = None
    small, big = answers(tiny_model, [large[:64, :64], large], [])
    assert small["looked_at"] == 1
    assert big["looked_at"] == pytest.approx(64 * 32 * 32 / (600 * 700))
    assert (small["known"], small["unknown_score"]) == (None, None)
