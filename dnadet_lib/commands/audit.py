"""`dnadet audit`."""

from __future__ import annotations

import argparse
import json

from dnadet_lib.commands.inputs import (
    complain,
    failures,
    keep_inputs,
    labelled_images,
    name_of,
    remarks,
    require_own_images,
)
from dnadet_lib.plumbing.text import for_json


def audit_command(options: argparse.Namespace) -> int:
    """Audit the closed set's train list against each set-up, or two lists of one's own."""
    from dnadet_lib.evaluation import audit as audit_module
    from dnadet_lib.evaluation import thumbnails
    from dnadet_lib.evaluation.audit import image_facts
    from dnadet_lib.evaluation.audit_text import as_dict, audit_markdown, interval_over
    from dnadet_lib.plumbing.files import atomic_path, plain_stem
    from dnadet_lib.plumbing.text import table_for_csv
    from dnadet_lib.zoo.rendering import image_root
    from dnadet_lib.zoo.setups import load_setup, present_setups

    if (options.train is None) != (options.test is None):
        raise ValueError("--train and --test go together: give both, or neither for the zoo")
    require_own_images(options, "train", ["classes", "sources"])
    if options.train is None:
        root = image_root(options.profile)
        train_list = load_setup("closed", "train", root)
        lists = {s: load_setup(s, root=root) for s in options.setups or present_setups()}
    else:
        train_list = labelled_images(options, "train")
        lists = {name_of(options.test): labelled_images(options, "test", train_list.classes)}
    if options.out:
        tables = [f"audit-{plain_stem(name)}.csv" for name in lists]
        written = [options.out / name for name in ("audit.md", *tables)]
        sources = [path for path in (options.train, options.test) if path is not None]
        tests = [path for images in lists.values() for path in images.paths]
        keep_inputs(written, [*sources, *train_list.paths, *tests])
    train, lost = image_facts(train_list)
    errors = failures(train_list.paths, train["path"], lost)
    judges = thumbnails.train_judges(train_list)
    reports = {}
    for name, images in lists.items():
        test, lost = image_facts(images)
        errors += failures(images.paths, test["path"], lost)
        reports[name] = audit_module.audit(train, test, thumbnails.thumbnail_leak(judges, images))
    parts = [audit_markdown(name, report) for name, report in reports.items()]
    if options.test is not None and any(report.trivial for report in reports.values()):
        parts += [f"Accuracies: {interval_over(report)}.\n" for report in reports.values()]
    text = "\n".join(parts)
    if options.out:
        with atomic_path(options.out / "audit.md") as temporary:
            temporary.write_text(text, encoding="utf-8")
        for name, report in reports.items():
            with atomic_path(options.out / f"audit-{plain_stem(name)}.csv") as temporary:
                table_for_csv(report.test).to_csv(temporary, index=False)
    if options.json:
        found = {name: as_dict(report) for name, report in reports.items()}
        shown = {"setups": found, **remarks(options, errors)}
        print(json.dumps(for_json(shown), indent=1, allow_nan=False))
    else:
        print(text, end="")
    for failure in errors:
        complain(failure["error"])
    return 1 if errors else 0
