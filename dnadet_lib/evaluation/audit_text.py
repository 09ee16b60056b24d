"""What an audit says: sentences, Markdown and JSON."""

import pandas as pd

from dnadet_lib.data import origins
from dnadet_lib.evaluation.audit import NEAR, STATISTICS, Audit
from dnadet_lib.evaluation.results import markdown_table, resampled
from dnadet_lib.plumbing.text import for_markdown


def class_table(facts: pd.DataFrame) -> pd.DataFrame:
    """Formats, and mean and standard deviation of colour, sharpness and traces, a class."""
    columns = [c for group in ("colour", "sharpness", "traces") for c in STATISTICS[group]]
    rows = []
    for name, member in facts.groupby("class", sort=False):
        row: dict[str, object] = {"class": name, "images": len(member)}
        row["formats"] = ", ".join(sorted(member["format"].unique()))
        for column in columns:
            row[column] = f"{member[column].mean():.2f} ± {member[column].std():.2f}"
        rows.append(row)
    return pd.DataFrame(rows)


def findings(report: Audit) -> list[str]:
    """Say in sentences what a reader must know before trusting an accuracy on these lists."""
    sentences = []
    for paths, what in (
        (report.exact, "also stand in the train list, pixel for pixel"),
        (report.near, f"differ from a train image in at most {NEAR} of 64 bits of their hash"),
        (report.repeated, "stand more than once in the test list"),
    ):
        if paths:
            sentences.append(f"{len(paths)} test images {what}, {paths[0]} for one.")
    everything = pd.concat([report.train, report.test])
    formats = everything.groupby("class")["format"].agg(
        lambda column: ", ".join(sorted(set(column)))
    )
    if formats.nunique() > 1:
        listed = "; ".join(f"{name}: {kinds}" for name, kinds in formats.items())
        sentences.append(f"File formats or sizes differ between classes: {listed}.")
    chance = 1 / report.train["class"].nunique()
    for group, accuracy in report.trivial.items():
        if accuracy.low > chance + (1 - chance) / 4:
            sentences.append(
                f"A linear classifier on {group} statistics alone reaches {accuracy} "
                f"(chance {chance:.2f})."
            )
    for view, accuracy in report.thumbnails.items():
        if accuracy.low > chance + (1 - chance) / 4:
            sentences.append(
                f"A small network on {view} thumbnails alone reaches {accuracy} "
                f"(chance {chance:.2f})."
            )
    return sentences or ["Nothing found."]


def audit_markdown(name: str, report: Audit) -> str:
    """Write an audit as Markdown: findings, the test list by class, trivial accuracies."""
    count = f"{len(report.train)} train images, {len(report.test)} test images."
    lines = [f"### {for_markdown(name)}", "", count]
    lines += ["", *(f"- {for_markdown(sentence)}" for sentence in findings(report)), ""]
    lines += [markdown_table(class_table(report.test))]
    if report.trivial:
        rows = [{"statistics": k, "accuracy": str(v)} for k, v in report.trivial.items()]
        lines += ["", "A linear classifier on trivial statistics alone:", ""]
        lines += [markdown_table(pd.DataFrame(rows))]
    if report.thumbnails:
        rows = [{"thumbnail": k, "accuracy": str(v)} for k, v in report.thumbnails.items()]
        lines += ["", "Thumbnail leak, a small network on what holds no fingerprint:", ""]
        lines += [markdown_table(pd.DataFrame(rows))]
    return "\n".join(lines) + "\n"


def interval_over(report: Audit) -> str:
    """Say what the intervals of the trivial accuracies are over."""
    return resampled(len(set(origins(report.test["source"].to_numpy(str)))))


def as_dict(report: Audit) -> dict[str, object]:
    """Say an audit in plain values, for JSON; None stands for a figure that there is not."""
    return {
        "train": len(report.train),
        "test": len(report.test),
        "exact": report.exact,
        "near": report.near,
        "repeated": report.repeated,
        "formats": class_table(report.test).set_index("class")["formats"].to_dict(),
        "interval": interval_over(report),
        "trivial": {k: [v.value, v.low, v.high] for k, v in report.trivial.items()},
        "thumbnails": {k: [v.value, v.low, v.high] for k, v in report.thumbnails.items()},
        "findings": findings(report),
    }
