"""What the commands read, and what they tell the user."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnadet_lib.plumbing.notes import Notes, note
from dnadet_lib.plumbing.text import one_line, storable

if TYPE_CHECKING:
    from dnadet_lib.data import ImageSet
    from dnadet_lib.model import DNADet


def named_sources(sources: Sequence[str]) -> list[str]:
    """Put the lines of stdin, of which there must be some, for `-`, and the home folder for `~`."""
    found = []
    for source in sources:
        if source != "-":
            found.append(source)
            continue
        lines = [os.fsdecode(line) for line in sys.stdin.buffer.read().splitlines()]
        if not (named := [line for line in lines if line.strip()]):
            raise ValueError("-: no path came on standard input: one a line is expected")
        found += named
    return [s if os.path.lexists(s) else os.path.expanduser(s) for s in found]


def remarks(notes: Notes, errors: Sequence[dict[str, str]]) -> dict[str, list]:
    """Give what JSON says beside the results: errors, notes, and files that were left out."""
    skipped = [str(path) for path in notes.left_out]
    return {"errors": list(errors), "notes": notes.texts, "skipped": skipped}


def failures(
    paths: Sequence[Path], read: Iterable[Path | str], errors: Sequence[str]
) -> list[dict[str, str]]:
    """Join the files that were not read with the reasons, which come in their order."""
    there = {storable(path) for path in read}
    lost = [str(path) for path in paths if storable(path) not in there]
    return [{"path": p, "error": e} for p, e in zip(lost, errors, strict=True)]


def keep_inputs(outputs: Iterable[Path], inputs: Iterable[str | Path]) -> None:
    """Refuse by a ValueError to write over what is read, before work begins."""
    from dnadet_lib.plumbing.files import require_apart

    present = [output for output in outputs if output.exists()]
    for output in present:
        require_apart(output, map(Path, inputs))


def complain(problem: object) -> None:
    """Print what is wrong on stderr, in one line of visible characters."""
    print(f"dnadet: {one_line(problem)}", file=sys.stderr)


def labelled_images(
    options: argparse.Namespace, source: Path, default: Sequence[str] | None = None
) -> "ImageSet":
    """Read labelled images from a list or folder, and print what is to be remarked on them."""
    from dnadet_lib.stages.labelled import read_labelled

    images, remarks = read_labelled(
        source, options.classes, default=default, sources=options.sources
    )
    note_each(remarks)
    return images


def require_out(options: argparse.Namespace) -> None:
    """Refuse a training run that has no folder."""
    if options.out is None and not options.estimate:
        raise ValueError("--out FOLDER is needed, for the model and its history; or --estimate")


def require_own_images(options: argparse.Namespace, split: str, needed: Sequence[str]) -> None:
    """Refuse options that say something of images of one's own where none are given."""
    for name in needed if getattr(options, split) is None else ():
        if getattr(options, name) is not None:
            raise ValueError(
                f"--{name} is for images of your own: give --{split} too, or leave it out"
            )


def loaded_model(path_or_name: str, classes: Sequence[str] | None = None) -> "DNADet":
    """Load a model of architectures onto the chosen device; errors as `load_model`."""
    from dnadet_lib.checkpoints.models import load_model, require_architectures
    from dnadet_lib.plumbing.devices import told_device

    model = load_model(path_or_name, classes)
    require_architectures(model)
    return model.to(told_device())


def images_to_count(
    options: argparse.Namespace, source: Path, default: Sequence[str] | None = None
) -> "ImageSet":
    """Read labelled images, each once; refuse missing files before work begins."""
    from dnadet_lib.stages.labelled import require_files, without_repeats

    images = labelled_images(options, source, default)
    if source.is_file():  # of a folder, what is listed is there
        require_files(images, source)
    images, remarks = without_repeats(images, source)
    note_each(remarks)
    return images


def note_each(remarks: Iterable[str]) -> None:
    """Tell the user some remarks, a line each."""
    for remark in remarks:
        note(remark)


def name_of(source: Path, among: Iterable[Path] = ()) -> str:
    """Name a set-up after its list or folder, with the folder above where another has its name."""
    own = Path(os.path.abspath(source))
    alike = [path for path in map(os.path.abspath, among) if Path(path).stem == own.stem]
    return storable(f"{own.parent.name}/{own.stem}" if len(set(alike)) > 1 else own.stem)


def gather(sources: Sequence[str]) -> tuple[list[Path], list[dict[str, str]]]:
    """List the images that the sources name, and an error for each source that names none."""
    from dnadet_lib.data import list_images

    paths: list[Path] = []
    errors = []
    for source in sources:
        try:
            paths += list_images(source)
        except (OSError, ValueError) as error:
            errors.append({"path": str(source), "error": str(error)})
    return list(dict.fromkeys(paths)), errors
