"""The manifest of the pocket zoo: a row per generator."""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from dnadet_lib.checkpoints.weights import load_weights, read_weights
from dnadet_lib.plumbing.files import inside, plain_name
from dnadet_lib.plumbing.paths import data_folder
from dnadet_lib.zoo.generators import ARCHITECTURES, UNKNOWN_ARCHITECTURES, build_generator
from dnadet_lib.zoo.layouts import load_layouts
from dnadet_lib.zoo.photographs import CONTENTS

CLASSES = ("Real", *ARCHITECTURES)
LOSSES = ("wgan-gp", "mmd", "hinge", "infomax", "cramer", "ssgan", "non-saturating")
ROLES = ("train", "dev", "test")
FIELDS = (
    "name", "architecture", "loss", "content", "seed", "finetuned_from", "role", "steps", "file",
    "sha256",
)  # fmt: skip


@dataclass(frozen=True)
class Generator:
    """One manifest row: it differs in one thing from its class's training generator."""

    name: str
    architecture: str
    loss: str
    content: str
    seed: int
    finetuned_from: str
    role: str
    steps: int
    file: Path
    sha256: str

    @property
    def layouts_file(self) -> Path:
        """The layouts that it draws around, common to all with the same photographs."""
        group = "finetune" if self.finetuned_from else "train"
        return self.file.with_name(f"layouts_{self.content}_{group}.safetensors")

    def load(self) -> nn.Module:
        """Build the generator and load its fp16 weights as fp32.

        A ValueError if its hash is not the manifest's, or its weights do not fit or are not finite.
        """
        if not self.file.is_file():
            raise FileNotFoundError(f"manifest row {self.name!r}, file: {self.file} is missing")
        found = hashlib.sha256(self.file.read_bytes()).hexdigest()
        if found != self.sha256:
            raise ValueError(
                f"manifest row {self.name!r}, sha256: {self.file} has {found[:12]}..., "
                f"the manifest says {self.sha256[:12]}..."
            )
        weights = read_weights(self.file).tensors
        generator = build_generator(self.architecture, load_layouts(self.layouts_file))
        load_weights(generator, weights, self.file)
        return generator.eval()


def read_manifest(folder: Path | None = None) -> list[Generator]:
    """Read `zoo/manifest.csv`.

    Raises:
        FileNotFoundError: the manifest is missing.
        ValueError: a field is wrong, a column is missing, a name stands twice or is not plain, a
            file leads out of the zoo's folder, or there is no row; file, row and field are named.
    """
    folder = folder or data_folder() / "zoo"
    path = folder / "manifest.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the zoo's manifest is missing")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        absent = [f for f in FIELDS if f not in (reader.fieldnames or ())]
        rows = list(reader)
    if absent:
        raise ValueError(f"{path}: column {absent[0]!r} is missing; it needs {', '.join(FIELDS)}")
    if not rows:
        raise ValueError(f"{path}: the manifest holds no generator")
    generators = [_parse(row, path) for row in rows]
    names = [g.name for g in generators]
    folded = [name.casefold() for name in names]  # some systems take a and A for one file
    if repeated := [n for n in names if folded.count(n.casefold()) > 1]:
        raise ValueError(f"{path}: two rows have the name {sorted(repeated)[0]!r}")
    return generators


def _parse(row: dict[str, str], path: Path) -> Generator:
    known = {
        "architecture": (*ARCHITECTURES, *UNKNOWN_ARCHITECTURES),
        "loss": LOSSES,
        "content": CONTENTS,
        "role": ROLES[1:] if row["architecture"] in UNKNOWN_ARCHITECTURES else ROLES,
    }
    for field, values in known.items():
        if row[field] not in values:
            raise ValueError(
                f"{path}, row {row['name']!r}, {field}: {row[field]!r} is none of "
                f"{', '.join(values)}"
            )
    for field in ("seed", "steps"):
        if not (row[field] or "").isdecimal():
            raise ValueError(
                f"{path}, row {row['name']!r}, {field}: {row[field]!r} is not a whole number"
            )
    for field in ("name", "file", "sha256"):
        if not row[field]:
            raise ValueError(f"{path}, row {row['name']!r}, {field}: it is empty")
    for field in ("name", "file"):
        plain_name(row[field], f"{path}, row {row['name']!r}, {field}")
    inside(path.parent, path.parent / row["file"])
    return Generator(
        **{k: row[k] for k in ("name", "architecture", "loss", "content", "role", "sha256")},
        finetuned_from=row["finetuned_from"], seed=int(row["seed"]), steps=int(row["steps"]),
        file=path.parent / row["file"],
    )  # fmt: skip
