"""`dnadet attribute`."""

from __future__ import annotations

import argparse

from dnadet_lib.commands.inputs import complain, gather


def attribute_each(options: argparse.Namespace) -> tuple[list[dict], list[dict[str, str]]]:
    """Attribute every image that can be read; name the others on stderr."""
    from dnadet_lib.checkpoints.models import load_model, require_architectures
    from dnadet_lib.inference import answers

    model = load_model(options.model)
    require_architectures(model)
    paths, errors = gather(options.paths)
    results = list(answers(model, paths, errors))
    for failure in errors:
        complain(failure["error"])
    return results, errors


def attribute_command(options: argparse.Namespace) -> int:
    r"""Print the class of each image as it is known: a line each, or JSON, or CSV.

    Paths in JSON lead to their files; only a byte that is no UTF-8 is written as `\xe9`.
    """
    from dnadet_lib.checkpoints.models import load_model, require_architectures
    from dnadet_lib.commands import printing as printed

    if options.stream and not options.json:
        raise ValueError("--stream is for --json: give both, or neither")
    model = load_model(options.model)
    require_architectures(model)
    paths, errors = gather(options.paths)
    writer = printed.Lines()
    if options.json:
        writer = (printed.JsonLines if options.stream else printed.OneObject)(options.model)
    elif options.csv:
        writer = printed.Table(model.classes)
    return printed.run(
        model, paths, errors, writer, options.notes, complain, options.quiet, options.force
    )
