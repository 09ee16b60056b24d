"""An audit of labelled image lists: what could give a class away, or leak from train to test.

A detector that scores well may have read the file format, the colours or a duplicate.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dnadet_lib.data import ImageSet, origins
from dnadet_lib.evaluation.intervals import Interval
from dnadet_lib.evaluation.results import markdown_table, resampled, scored_accuracy
from dnadet_lib.images.converting import bits_of, frames_of, orientation_of
from dnadet_lib.images.reading import open_image, read_image
from dnadet_lib.plumbing.text import for_markdown, storable

NEAR = 4  # bits of 64 in which the perceptual hashes of near duplicates differ at most
STATISTICS = {
    "file": ("bytes_per_pixel", "jpeg_table", "width", "height"),
    "colour": ("red", "green", "blue", "contrast", "saturation"),
    "sharpness": ("sharpness",),
    "traces": ("jpeg_grid", "resampling"),
}
PAIRS_AT_ONCE = 2**24


def image_facts(images: ImageSet) -> tuple[pd.DataFrame, list[str]]:
    """Measure every file that can be read; a ValueError if there is none.

    Returns:
        One row per image, in order: class, source, path; format (file format, colour mode, size,
        and uncommon bits, frames or EXIF orientation), exact (hash of the pixels), perceptual
        (64-bit hash), and the `STATISTICS`. Then what is wrong with the images without a row.
    """
    rows, errors = [], []
    for path, label, source in zip(images.paths, images.labels, images.makers, strict=True):
        try:
            names = {"class": storable(images.classes[label]), "source": storable(source)}
            rows.append({**names, **file_facts(path)})
        except OSError as error:
            errors.append(str(error))
    if not rows:
        raise ValueError(f"no image could be read: {errors[0] if errors else 'the list is empty'}")
    return pd.DataFrame(rows), errors


def file_facts(path: Path) -> dict[str, object]:
    """Measure one image file; an OSError names it if it cannot be read."""
    pixels = read_image(path)
    height, width = pixels.shape[:2]
    with open_image(path) as file:
        kind = f"{file.format} {file.mode} {width}x{height}{peculiarities(file)}"
        tables = getattr(file, "quantization", {})
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    colours = pixels.reshape(-1, 3)
    return {
        "path": storable(path),
        "format": kind,
        "exact": hashlib.sha256(pixels.tobytes() + str(pixels.shape).encode()).hexdigest(),
        "perceptual": perceptual_hash(pixels),
        "width": width,
        "height": height,
        "bytes_per_pixel": path.stat().st_size / (height * width),
        "jpeg_table": float(np.mean(tables[0])) if tables else 0.0,
        **dict(zip(("red", "green", "blue"), colours.mean(axis=0).tolist(), strict=True)),
        "contrast": float(grey.std()),
        "saturation": float(np.ptp(colours, axis=1).mean()),
        "sharpness": float(np.log1p(cv2.Laplacian(grey, cv2.CV_64F).var())),
        "jpeg_grid": jpeg_grid(grey),
        "resampling": resampling(grey),
    }  # fmt: skip


def peculiarities(file: Image.Image) -> str:
    """Name what sets an opened file apart: bits a channel, frames, EXIF orientation."""
    bits, frames, turned = bits_of(file), frames_of(file), orientation_of(file)
    told = (
        f" {bits} bits" if bits != 8 else "",
        f" {frames} frames" if frames > 1 else "",
        f" EXIF orientation {turned}" if turned > 1 else "",
    )
    return "".join(told)


def perceptual_hash(pixels: np.ndarray) -> int:
    """64-bit perceptual hash of a uint8 (H, W, 3) image: signs of low DCT frequencies."""
    bits = imagehash.phash(Image.fromarray(pixels)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _second_differences(grey: np.ndarray) -> list[np.ndarray]:
    """Mean absolute second difference at every column, and at every row, of an (H, W) image."""
    levels = grey.astype(np.float64)
    differences = [np.abs(np.diff(a, 2, axis=1)) for a in (levels, levels.T)]
    return [d.mean(axis=0) + 1e-3 for d in differences if d.shape[1]]


def jpeg_grid(grey: np.ndarray) -> float:
    """Strength of an 8-pixel grid in a uint8 (H, W) image: its strongest phase over the mean."""
    profiles = [p[: len(p) // 8 * 8].reshape(-1, 8).mean(axis=0) for p in _second_differences(grey)
                if len(p) >= 16]  # fmt: skip
    return float(np.mean([p.max() / p.mean() for p in profiles])) if profiles else 1.0


def resampling(grey: np.ndarray) -> float:
    """Strength of a period in the second differences of a uint8 (H, W) image: peak over median.

    Source: Gallagher 2005, "Detection of linear and cubic interpolation in JPEG images".
    """
    strengths = []
    for profile in _second_differences(grey):
        if len(profile) >= 12:
            logs = np.log(profile)
            spectrum = np.abs(np.fft.rfft((logs - logs.mean()) * np.hanning(len(logs))))
            fast = spectrum[len(spectrum) // 5 :]
            strengths.append(fast.max() / (np.median(fast) + 1e-9))
    return float(np.mean(strengths)) if strengths else 1.0


@dataclass(frozen=True)
class Audit:
    """What the audit of a train and a test list found."""

    train: pd.DataFrame  # facts of the train list (`image_facts`)
    test: pd.DataFrame  # facts of the test list
    exact: list[str]  # test images whose pixels also stand in the train list
    near: list[str]  # test images with a near duplicate in the train list, exact ones left out
    repeated: list[str]  # images that stand more than once within the test list
    trivial: dict[str, Interval]  # accuracy by group of statistics and on "all", if the classes fit
    thumbnails: dict[str, Interval] = field(default_factory=dict)  # accuracy on thumbnails, by view


def audit(
    train: pd.DataFrame, test: pd.DataFrame, thumbnails: dict[str, Interval] | None = None
) -> Audit:
    """Compare the facts of a train and a test list; `thumbnails` goes with them."""
    known = set(train["exact"])
    exact = test["exact"].isin(known)
    near = ~exact & near_duplicates(train["perceptual"], test["perceptual"])
    repeated = test["exact"].duplicated()
    trivial = {}
    if set(test["class"]) <= set(train["class"]) and train["class"].nunique() > 1:
        groups = {**STATISTICS, "all": tuple(c for names in STATISTICS.values() for c in names)}
        trivial = {name: trivial_accuracy(train, test, columns) for name, columns in groups.items()}
    paths = test["path"]
    return Audit(
        train, test, paths[exact].tolist(), paths[near].tolist(), paths[repeated].tolist(), trivial,
        thumbnails or {},
    )  # fmt: skip


def near_duplicates(train: pd.Series, test: pd.Series) -> np.ndarray:
    """Tell which test hashes differ from some train hash in at most `NEAR` bits: (N,) booleans."""
    reference = np.unique(train.to_numpy(np.uint64))
    hashes = test.to_numpy(np.uint64)
    near = np.zeros(len(hashes), bool)
    step = max(1, PAIRS_AT_ONCE // len(reference))
    for start in range(0, len(hashes), step):
        different = np.bitwise_count(hashes[start : start + step, None] ^ reference)
        near[start : start + step] = different.min(axis=1) <= NEAR
    return near


def trivial_accuracy(train: pd.DataFrame, test: pd.DataFrame, columns: tuple[str, ...]) -> Interval:
    """Accuracy that a linear classifier reaches on some statistics, as mean over generators."""
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced")
    )
    classifier.fit(train[list(columns)], train["class"])
    classes = tuple(classifier.classes_)
    truth = test["class"].map(classes.index).to_numpy()
    probabilities = classifier.predict_proba(test[list(columns)])
    return scored_accuracy(truth, probabilities, test["source"].to_numpy(str), classes)


def class_table(facts: pd.DataFrame) -> pd.DataFrame:
    """Formats, and mean and standard deviation of colour, sharpness and traces, per class."""
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
        "train": len(report.train), "test": len(report.test), "exact": report.exact,
        "near": report.near, "repeated": report.repeated,
        "formats": class_table(report.test).set_index("class")["formats"].to_dict(),
        "interval": interval_over(report),
        "trivial": {k: [v.value, v.low, v.high] for k, v in report.trivial.items()},
        "thumbnails": {k: [v.value, v.low, v.high] for k, v in report.thumbnails.items()},
        "findings": findings(report),
    }  # fmt: skip
