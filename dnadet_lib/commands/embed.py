"""`dnadet embed`."""

import argparse
from pathlib import Path

from dnadet_lib.commands.arguments import add_inputs
from dnadet_lib.commands.inputs import complain, gather, keep_inputs, loaded_model, note_each
from dnadet_lib.plumbing.text import is_storable, one_line, storable

HELP = "write embeddings, probabilities and maps as Parquet"
EXAMPLES = (
    " folder/ --out mine.parquet",
    " list.txt --classes Real ProGAN --maps PCA",
    " folder/ --maps UMAP --atlas atlas.parquet",
)
MAPS = ("t-SNE", "UMAP", "PCA")


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_inputs(parser)
    parser.add_argument("--out", type=Path, default=Path("embeddings.parquet"))
    parser.set_defaults(kinds=(".parquet",))
    parser.add_argument(
        "--classes", nargs="+", type=storable,
        help="class names of an annotation file, and of class folders (default: the model's)",
    )  # fmt: skip
    parser.add_argument(
        "--maps", nargs="*", choices=MAPS, default=MAPS, help="projections (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the maps")
    parser.add_argument(
        "--atlas", type=Path, metavar="FILE.parquet",
        help="write what embedding-atlas opens as well: the first map, thumbnails, neighbours",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write one row per image: path, truth, label, probabilities, score, embedding, maps."""
    from dnadet_lib.checkpoints.models import holds_names
    from dnadet_lib.explorer.atlas import require_atlas
    from dnadet_lib.explorer.embedding_file import map_makers
    from dnadet_lib.explorer.embedding_writing import write_embeddings
    from dnadet_lib.plumbing.progress import counting
    from dnadet_lib.stages.labelled import known_labels

    paths, missing = gather(options.paths)
    outputs = [options.out, *([options.atlas] if options.atlas else [])]
    keep_inputs(outputs, [options.model, *options.paths, *paths])
    if options.atlas:
        require_atlas(options.atlas, options.out, options.maps)
    named = holds_names(options.model)
    model = loaded_model(options.model, None if named else options.classes)
    truths, notes = known_labels(options.paths, paths, options.classes, model.classes)
    with counting(len(paths), quiet=options.quiet, line=complain) as progress:
        count, errors = write_embeddings(
            model, paths, options.out, name=options.model, methods=options.maps,
            seed=options.seed, truths=truths, progress=progress.add,
        )  # fmt: skip
    errors = [*(failure["error"] for failure in missing), *errors]
    note_each(notes)
    for line in errors:
        complain(line)
    if not count:
        raise ValueError(f"{options.out}: not written, since no image could be read")
    print(f"{one_line(options.out)}: {count} images")
    if made := [f"{method} by {maker}" for method, maker in map_makers(options.out).items()]:
        print(f"maps: {', '.join(made)}")
    if odd := sum(not is_storable(path) for path in paths):
        print(f"{odd} names that are no UTF-8 are written with their bytes as \\xe9")
    if options.atlas:
        _write_atlas(options)
    return 1 if errors else 0


def _write_atlas(options: argparse.Namespace) -> None:
    from dnadet_lib.explorer.atlas import command, write_atlas

    count = write_atlas(options.out, options.atlas, options.maps[0])
    print(f"{one_line(options.atlas)}: {count} images for embedding-atlas. To open it:")
    print(f"  {one_line(command(options.atlas))}")
