from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import write_zoo, zoo_rows

from dnadet_lib import zoo
from dnadet_lib.gans import ARCHITECTURES, sample_images
from dnadet_lib.zoo import Generator, load_setup, setup_of

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
    assert len(generators) == 16
    assert zoo.available_setups() == ["closed", "seed", "dataset"]
    names = {
        setup: sorted(g.name for g in generators if setup_of(g, generators) == setup)
        for setup in ("closed", "dev", "seed", "dataset")
    }
    endings = ("meadow_s0", "meadow_s1", "meadow_s2", "stamps_s0")
    for setup, ending in zip(names, endings, strict=True):
        assert names[setup] == sorted(f"{a}_{ending}" for a in ARCHITECTURES)


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
    assert len({row.tobytes() for row in every}) == 60


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
        for content in ("meadow", "stamps")
        for group, number in (("train", 24), ("dev", 12), ("test", 12), ("finetune", 12))
    }
    for name in ARCHITECTURES:
        trained = f"GANs/{name}/{name}_meadow_s0"
        expected |= {f"{trained}/train": 24, f"{trained}/dev": 12, f"{trained}/test": 12}
        expected[f"GANs/{name}/{name}_meadow_s1/dev"] = 12
        expected[f"GANs/{name}/{name}_meadow_s2/test"] = 12
        expected[f"GANs/{name}/{name}_stamps_s0/test"] = 12
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
        ("dataset", "test", "stamps", True),
    ],
)
def test_photographs_count_where_they_should(world, setup, split, content, real):
    images = load_setup(setup, root=world.images)
    assert all(path.parent.name == split for path in images.paths)
    assert (0 in images.labels) == real
    assert set(images.labels.tolist()) >= {1, 2, 3, 4}
    if real:
        sources = {s for s in images.sources if s.startswith("real/")}
        assert all(s.startswith(f"real/{content}/{content}_{split}") for s in sources)


def test_splits_and_setups_share_no_image(world):
    sets = [load_setup("closed", split, world.images) for split in ("train", "dev", "test")]
    sets += [load_setup(setup, root=world.images) for setup in ("dev", "seed", "dataset")]
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


def test_unknown_names(world):
    with pytest.raises(ValueError, match="unknown set-up 'seeds': choose one of closed, seed, "):
        load_setup("seeds")
    with pytest.raises(ValueError, match="set-up 'loss': no generator of the manifest belongs"):
        load_setup("loss")
    with pytest.raises(ValueError, match="unknown profile 'huge': choose one of pocket, smoke"):
        zoo.image_root("huge")
