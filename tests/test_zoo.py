from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import write_zoo, zoo_rows

from dnadet_lib import zoo
from dnadet_lib.zoo.generators import ARCHITECTURES, UNKNOWN_ARCHITECTURES, sample_images
from dnadet_lib.zoo.manifest import Generator
from dnadet_lib.zoo.photographs import CONTENTS
from dnadet_lib.zoo.setups import load_setup, setup_of

TRAINED = Generator(
    "MMDGAN_meadow_s0", "MMDGAN", "mmd", "meadow", 0, "", "train", 6000, Path("a"), "0"
)


@pytest.mark.parametrize(
    ("setup", "changes"),
    [
        ("closed", {"role": "train"}),
        ("dev", {"role": "dev", "seed": 1}),
        ("seed", {"seed": 5}),
        ("loss", {"loss": "cramer"}),
        ("finetune", {"finetuned_from": "MMDGAN_meadow_s0"}),
        ("dataset", {"content": "stamps"}),
        ("unknown", {"architecture": "StyleGAN2", "loss": "hinge"}),
        ("unknown", {"architecture": "SubPixelGAN", "role": "dev"}),
    ],
)
def test_setup_is_the_one_thing_that_changed(setup, changes):
    generator = replace(TRAINED, name="other", **({"role": "test"} | changes))
    assert setup_of(generator, [TRAINED, generator]) == setup


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "differs from 'MMDGAN_meadow_s0' in nothing"),
        ({"seed": 1, "content": "stamps"}, r"in \['seed', 'dataset'\]"),
        ({"loss": "cramer", "seed": 1}, r"in \['seed', 'loss'\]"),
        ({"architecture": "SNGAN"}, "0 training generators of 'SNGAN', expected one"),
        ({"finetuned_from": "other_s0"}, "'other_s0' is not its class's training generator 'MMDG"),
    ],
)
def test_generator_that_changes_more_or_less_than_one_thing_is_refused(changes, message):
    generator = replace(TRAINED, name="other", role="test", **changes)
    with pytest.raises(ValueError, match=f"'other'.*{message}"):
        setup_of(generator, [TRAINED, generator])


def test_two_training_generators_of_one_class_are_refused():
    second, test = replace(TRAINED, name="second"), replace(TRAINED, role="test", seed=1)
    with pytest.raises(ValueError, match="2 training generators of 'MMDGAN', expected one"):
        setup_of(test, [TRAINED, second, test])


def test_manifest_makes_up_the_setups(world):
    generators = zoo.read_manifest()
    assert len(generators) == 20
    assert zoo.present_setups() == [
        "closed", "seed", "loss", "finetune", "dataset", "dev", "unknown",
    ]  # fmt: skip
    assert zoo.available_setups() == ["closed", "seed", "loss", "finetune", "dataset"]
    names = {
        setup: sorted(g.name for g in generators if setup_of(g, generators) == setup)
        for setup in zoo.present_setups()
    }
    endings = {"closed": "meadow_s0", "dev": "meadow_s1", "seed": "meadow_s2",
               "dataset": "stamps_s0"}  # fmt: skip
    for setup, ending in endings.items():
        assert names[setup] == sorted(f"{a}_{ending}" for a in ARCHITECTURES)
    assert names["loss"] == ["MMDGAN_meadow_cramer"]
    assert names["finetune"] == ["SNGAN_tuned"]
    assert names["unknown"] == ["StyleGAN2_meadow_s0", "SubPixelGAN_meadow_s0"]


def test_latents_of_the_splits_do_not_overlap():
    starts = zoo.LATENT_SEEDS
    for counts in zoo.PROFILES.values():
        taken = []
        for split, number in (
            ("train", counts.train),
            ("dev", counts.dev),
            ("test", max(counts.test, counts.closed_test)),
        ):
            chunks = -(-number // zoo.CHUNK)
            taken.append((starts[split], starts[split] + chunks * zoo.CHUNK))
        taken.sort()
        assert all(a[1] <= b[0] for a, b in zip(taken[:-1], taken[1:], strict=True))
    every = np.concatenate([zoo.draw_latents(first, 20) for first in starts.values()])
    assert len({row.tobytes() for row in every}) == 20 * len(starts)


def test_latent_i_does_not_depend_on_where_a_draw_starts():
    assert (zoo.draw_latents(100, 10)[5:] == zoo.draw_latents(105, 5)).all()


def test_rendered_tree(world):
    counts = {
        folder.relative_to(world.images).as_posix(): len(list(folder.glob("*.png")))
        for folder in world.images.rglob("*")
        if folder.is_dir() and any(folder.glob("*.png"))
    }
    expected = {
        f"real/{content}/{group}": number
        for content in CONTENTS
        for group, number in (("train", 24), ("dev", 12), ("test", 12))
        if group != "train" or content == "meadow"
    }
    for name in ARCHITECTURES:
        trained = f"GANs/{name}/{name}_meadow_s0"
        expected |= {f"{trained}/train": 24, f"{trained}/dev": 12, f"{trained}/test": 12}
        expected[f"GANs/{name}/{name}_meadow_s1/dev"] = 12
        expected[f"GANs/{name}/{name}_meadow_s2/test"] = 12
        expected[f"GANs/{name}/{name}_stamps_s0/test"] = 12
    expected |= {
        "GANs/MMDGAN/MMDGAN_meadow_cramer/test": 12, "GANs/SNGAN/SNGAN_tuned/test": 12,
        "GANs/SubPixelGAN/SubPixelGAN_meadow_s0/dev": 12,
        "GANs/StyleGAN2/StyleGAN2_meadow_s0/test": 12,
    }  # fmt: skip
    assert counts == expected


def test_rendered_image_is_the_generators(world):
    generator = zoo.read_manifest()[0]
    latents = zoo.draw_latents(zoo.LATENT_SEEDS["test"], zoo.CHUNK)
    images = sample_images(generator.load(), latents, zoo.CHUNK).numpy()
    folder = world.images / "GANs" / generator.architecture / generator.name / "test"
    for i in (0, 11):
        assert np.array_equal(np.asarray(Image.open(folder / f"{i:05d}.png")), images[i])


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.glob("*.png"))}


def test_render_is_deterministic_and_goes_on(world, tmp_path):
    generator = zoo.read_manifest()[5]
    rendered = world.images / "GANs" / generator.architecture / generator.name / "dev"
    zoo.render_split(generator, "dev", 12, tmp_path)
    folder = tmp_path / "GANs" / generator.architecture / generator.name / "dev"
    assert contents(folder) == contents(rendered)

    kept = (folder / "00001.png").stat().st_mtime_ns
    for name in ("00000.png", "00007.png"):
        (folder / name).unlink()
    zoo.render_split(generator, "dev", 12, tmp_path)
    assert contents(folder) == contents(rendered)
    assert len(list(folder.glob("*.png"))) == 12
    whole = folder.stat().st_mtime_ns
    zoo.render_split(generator, "dev", 12, tmp_path)
    assert folder.stat().st_mtime_ns == whole  # nothing is written where nothing is missing
    assert kept <= whole


def test_photographs_are_cut_deterministically_and_again_where_some_are_missing(world, tmp_path):
    zoo.render_photos("stamps", "dev", 12, tmp_path)
    folder = tmp_path / "real" / "stamps" / "dev"
    expected = contents(world.images / "real" / "stamps" / "dev")
    assert contents(folder) == expected
    next(folder.glob("*.png")).unlink()
    (folder / ".left-over.png").write_bytes(b"half a file of a render that was killed")
    zoo.render_photos("stamps", "dev", 12, tmp_path)
    assert {p.name: p.read_bytes() for p in zoo.rendered_images(folder)} == expected


def test_images_of_other_weights_are_rendered_anew(tmp_path):
    write_zoo(tmp_path / "zoo", zoo_rows()[:2])
    first, second = zoo.read_manifest(tmp_path / "zoo")
    zoo.render_split(first, "test", 2, tmp_path)
    folder = tmp_path / "GANs" / "ProGAN" / first.name / "test"
    before = contents(folder)
    changed = replace(second, name=first.name)
    zoo.render_split(changed, "test", 2, tmp_path)
    assert contents(folder).keys() == before.keys()
    assert all(contents(folder)[name] != before[name] for name in before)


def test_closed_setup_has_every_class_with_its_photographs(world):
    images = load_setup("closed", "train", world.images)
    assert images.classes == zoo.CLASSES == ("Real", "ProGAN", "MMDGAN", "SNGAN", "InfoMaxGAN")
    assert np.bincount(images.labels).tolist() == [24] * 5
    for path, label, source in zip(images.paths, images.labels, images.sources, strict=True):
        if label == 0:
            assert path.parent == world.images / "real" / "meadow" / "train"
            assert source == f"real/meadow/{path.stem.rsplit('-', 1)[0]}"
        else:
            assert source == f"{images.classes[label]}_meadow_s0"
            assert path.parent.name == "train"


@pytest.mark.parametrize(
    ("setup", "split", "content", "real"),
    [
        ("closed", "test", "meadow", True),
        ("dev", "dev", "meadow", True),
        ("seed", "test", None, False),
        ("loss", "test", None, False),
        ("finetune", "test", None, False),
        ("dataset", "test", "stamps", True),
    ],
)
def test_photographs_count_where_they_should(world, setup, split, content, real):
    images = load_setup(setup, root=world.images)
    assert all(path.parent.name == split for path in images.paths)
    assert (0 in images.labels) == real
    if setup not in ("loss", "finetune"):
        assert set(images.labels.tolist()) >= {1, 2, 3, 4}
    if real:
        sources = {s for s in images.sources if s.startswith("real/")}
        assert all(s.startswith(f"real/{content}/{content}_{split}") for s in sources)


def test_unknown_architectures_have_names_of_their_own_and_roles(world):
    dev, test = (load_setup("unknown", split, world.images) for split in ("dev", "test"))
    assert dev.classes == test.classes == tuple(UNKNOWN_ARCHITECTURES)
    assert set(dev.sources) == {"SubPixelGAN_meadow_s0"}
    assert set(test.sources) == {"StyleGAN2_meadow_s0"}
    assert {test.classes[k] for k in test.labels} == {"StyleGAN2"}
    assert not set(test.classes) & set(zoo.CLASSES)


def test_splits_and_setups_share_no_image(world):
    sets = [load_setup("closed", split, world.images) for split in ("train", "dev", "test")]
    sets += [load_setup(s, root=world.images) for s in zoo.present_setups() if s != "closed"]
    hashes = [
        {p.read_bytes() for p in images.paths if "GANs" in p.parts} for images in sets
    ]
    for a in range(len(hashes)):
        for b in range(a):
            assert not hashes[a] & hashes[b]


def test_a_setup_that_is_not_rendered_says_what_to_do(world, tmp_path):
    with pytest.raises(FileNotFoundError, match="no rendered images; run `dnadet render` first"):
        load_setup("closed", "train", tmp_path)
    shutil.copytree(world.images / "GANs", tmp_path / "GANs")
    with pytest.raises(FileNotFoundError, match="real/meadow/train: no rendered images"):
        load_setup("closed", "train", tmp_path)


def test_unknown_names(world, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="unknown set-up 'seeds': choose one of closed, seed, "):
        load_setup("seeds")
    with pytest.raises(ValueError, match="unknown profile 'huge': choose one of pocket, smoke"):
        zoo.image_root("huge")
    with pytest.raises(ValueError, match="unknown split 'val': choose of train, dev, test"):
        zoo.render("smoke", splits=["val"])
    with pytest.raises(ValueError, match="count 0: give 1 to 1000000 images"):
        zoo.render("smoke", count=0)
    write_zoo(tmp_path / "zoo", zoo_rows()[:3])
    monkeypatch.setenv("DNADET_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="set-up 'loss': no generator of the manifest belongs"):
        load_setup("loss")


def test_render_of_a_count_and_a_split_has_the_first_images(world, tmp_path, monkeypatch):
    monkeypatch.setenv("DNADET_BUILD", str(tmp_path))
    root = zoo.render("smoke", workers=1, count=3, splits=["dev"])
    assert root == tmp_path / "images" / "3_each"
    found = {p.relative_to(root) for p in root.rglob("*.png")}
    folders = {p.parent.as_posix() for p in found}
    assert {f.rsplit("/", 1)[1] for f in folders} == {"dev"}
    assert len(folders) == len(CONTENTS) + 4 + 4 + 1  # closed set, dev, and the dev unknown
    assert len(found) == 3 * len(folders)
    for path in found:
        assert (root / path).read_bytes() == (world.images / path).read_bytes()


def test_render_that_was_killed_ends_with_the_same_files(world, tmp_path):
    command = [sys.executable, "-m", "dnadet_lib.cli", "render", "--profile", "smoke",
               "--workers", "1", "--out", str(tmp_path)]  # fmt: skip
    with subprocess.Popen(command, start_new_session=True) as process:
        while process.poll() is None and sum(1 for _ in tmp_path.rglob("*.png")) < 30:
            time.sleep(0.02)
        assert process.poll() is None, "it was through before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
    subprocess.run(command, check=True, capture_output=True)
    after, whole = ({p.relative_to(r): p.read_bytes() for p in r.rglob("*.png")
                     if not p.name.startswith(".")} for r in (tmp_path, world.images))  # fmt: skip
    assert after == whole
