"""Checkpoints: our own files and released ones, read and written."""

import json
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from dnadet_lib.checkpoints.configuration import (
    WIDTH_AT_MOST,
    check_calibrations,
    check_temperature,
    parse_configuration,
)
from dnadet_lib.checkpoints.weights import (
    HEAD,
    HEADER,
    WeightFile,
    check_shapes,
    checked_tensor,
    load_weights,
    read_weights,
)
from dnadet_lib.model import BLOCKS, DNADet
from dnadet_lib.plumbing.files import atomic_path, sha256_of
from dnadet_lib.plumbing.paths import data_folder
from dnadet_lib.plumbing.text import check_class_names, shown
from dnadet_lib.unknown import Distances

LOG = logging.getLogger("dnadet")
TRANSFORMED = re.compile(r"(JPEG|Gaussian blur|median blur|resize|Gaussian noise) \d")


def save_model(model: DNADet, path: Path, **notes: object) -> None:
    """Write weights, configuration and notes (JSON values), all finite, to one safetensors file."""
    if np.isnan(model.threshold):
        raise ValueError(f"{path}: not written: threshold {model.threshold}: must be a number")
    config = {
        "classes": model.classes, "width": model.width, "input": asdict(model.input),
        "blocks": len(model.main), "discriminant": model.discriminant,
        "changes": model.changes, "trace_blocks": model.trace_blocks,
        "temperature": model.temperature,
        "threshold": model.threshold if np.isfinite(model.threshold) else None, "notes": notes,
    }  # fmt: skip
    if model.calibrations:
        config["calibrations"] = [asdict(found) for found in model.calibrations]
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if model.reference is not None:
        parts = [model.reference.means, *model.reference.precisions]
        named = zip(_reference_names(model), parts, strict=True)
        tensors |= {name: part.cpu().contiguous() for name, part in named}
    try:
        check_temperature(model.temperature)
        check_calibrations(config.get("calibrations"), model.changes)
        header = json.dumps(config, allow_nan=False)
        for name, tensor in tensors.items():
            checked_tensor(name, tensor, tensor.dtype, "weights")
    except ValueError as error:
        raise ValueError(f"{path}: not written: {error}") from None
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER: header})


def save_released(model: DNADet, path: Path) -> None:
    """Write the weights alone, as the bare state dict that the method's release loads.

    A ValueError refuses a model that is no network of the release; what it has beyond is named.
    """
    beyond = {
        "a discriminant": model.discriminant, "a high-pass front end": model.input.high_pass,
        "changes": bool(model.changes),
        f"{len(model.main)} blocks of {BLOCKS}": len(model.main) < BLOCKS,
    }  # fmt: skip
    if found := [what for what, there in beyond.items() if there]:
        raise ValueError(
            f"{path}: not written: {model.origin} has {', '.join(found)}, which the released "
            "network has not; end the name in .safetensors"
        )
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def shipped_file(name: str | Path) -> Path:
    """Return where a shipped checkpoint of that name lies, or would lie."""
    return data_folder() / "checkpoints" / f"{name}.safetensors"


def find_checkpoint(path_or_name: str | Path) -> Path:
    """Return a checkpoint's file, given by path or shipped name; a FileNotFoundError if none."""
    path = Path(path_or_name)
    if path.is_file():
        return path
    path = shipped_file(path_or_name)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in path.parent.glob("*.safetensors")))
        raise FileNotFoundError(
            f"{path_or_name}: neither a checkpoint file nor a shipped name ({names})"
        )
    return path


def load_model(path_or_name: str | Path, classes: Sequence[str] | None = None) -> DNADet:
    """Load a checkpoint, in evaluation mode, on the CPU.

    What kind of file it is follows from what is in it. Weights of the method's public release are a
    state dict, as `.pth` or safetensors; a dict that wraps it is opened, and a prefix such as
    `module.` is taken off: both are told on stderr. Weights in half or double precision become
    float32. Nothing is allocated before the header has been checked against the tensors' shapes.

    Args:
        path_or_name: A file of ours, a released one, or a shipped name such as "pocket".
        classes: Names of the classes of a file that does not hold them, such as a released one; of
            one that does, they must be the file's own. By default they are numbered.

    Raises:
        FileNotFoundError: neither a file nor a shipped name.
        ValueError: the file is not a checkpoint, its header is at fault, a tensor is missing,
            unexpected, of the wrong shape or type, or not finite, or the names are not the file's;
            the file is named, and the tensor or field.
    """
    path = find_checkpoint(path_or_name)
    file = read_weights(path)
    for note in file.notes:
        print(f"{path}: {note}", file=sys.stderr)
    model = _ours(path, file) if file.header is not None else _released(path, file.tensors)
    if classes is not None:
        model.classes = _given_names(model, classes, path)
    model.origin, model.sha256 = str(path_or_name), sha256_of(path)
    LOG.info("model %s: loaded from %s, SHA-256 %s", path_or_name, path.resolve(), model.sha256)
    return model.eval()


def holds_names(path_or_name: str | Path) -> bool:
    """Whether a checkpoint holds its classes' names, as ours do; raises what `load_model` does."""
    return read_weights(find_checkpoint(path_or_name)).header is not None


def _ours(path: Path, file: WeightFile) -> DNADet:
    """Make the model of a file with our header."""
    try:
        arguments, settings = parse_configuration(file.header or "")
        with torch.device("meta"):  # shapes alone, no memory
            plan = DNADet(**arguments)
    except ValueError as error:
        raise ValueError(f"{path}: not a dnadet checkpoint ({error})") from None
    plan.trace_blocks = settings.get("trace_blocks", plan.trace_blocks)
    reference = _reference(plan, file.tensors, path)
    check_shapes(plan, file.tensors, path)
    model = DNADet(**arguments)
    load_weights(model, file.tensors, path)
    for name, value in settings.items():
        setattr(model, name, value)
    model.reference, model.named = reference, True
    return model


def _reference(model: DNADet, tensors: dict[str, Tensor], path: Path) -> Distances | None:
    """Take what the unknown score needs out of a checkpoint's tensors."""
    names, sizes = _reference_names(model), model.trace_sizes
    found = [tensors.pop(name, torch.empty(0)) for name in names]
    if all(tensor.numel() == 0 for tensor in found):
        return None
    expected = [(len(model.classes) + 1, sum(sizes)), *((2, size, size) for size in sizes)]
    for name, tensor, shape in zip(names, found, expected, strict=True):
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{path}: tensor {name!r} has shape {tuple(tensor.shape)}, expected {shape}"
            )
    pairs = zip(names, found, strict=True)
    found = [checked_tensor(name, tensor, torch.float32, path) for name, tensor in pairs]
    return Distances(found[0], found[1:])


def _reference_names(model: DNADet) -> list[str]:
    blocks = (f"reference.precisions.{block}" for block in model.trace_blocks)
    return ["reference.means", *blocks]


def _given_names(model: DNADet, classes: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return the names that a caller gives to the classes, unless the file has others."""
    if len(classes) != len(model.classes):
        raise ValueError(
            f"{path}: {len(classes)} class names given for {len(model.classes)} classes"
        )
    if model.named and tuple(classes) != model.classes:
        raise ValueError(
            f"{path}: classes {', '.join(map(shown, classes))} given, but the checkpoint has names "
            f"of its own: {', '.join(map(shown, model.classes))}; leave the argument out"
        )
    try:
        return check_class_names(list(classes))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _released(path: Path, tensors: dict[str, Tensor]) -> DNADet:
    """Make the model of a state dict without a header, laid out as the method's release."""
    head = tensors.get(HEAD)
    sizes = range(8, 8 * WIDTH_AT_MOST + 1, 8)  # of a network that tells two classes or more apart
    if head is None or head.ndim != 2 or head.shape[0] < 2 or head.shape[1] not in sizes:
        found = "no such tensor" if head is None else f"shape {tuple(head.shape)}"
        mixed = [n for n in tensors if n.endswith(f".{HEAD}")] if head is None else []
        hint = f"; only some names have the prefix of {shown(mixed[0])}" if mixed else ""
        raise ValueError(
            f"{path}: not a dnadet checkpoint, nor a DNA-Det release ({HEAD!r}: {found}, expected "
            f"(classes, 8 * width){hint})"
        )
    try:
        with torch.device("meta"):
            plan = DNADet(head.shape[0], head.shape[1] // 8)
    except ValueError as error:
        raise ValueError(f"{path}: not a dnadet checkpoint ({error})") from None
    check_shapes(plan, tensors, path)
    model = DNADet(head.shape[0], head.shape[1] // 8)
    load_weights(model, tensors, path)
    return model


def require_architectures(model: DNADet) -> None:
    """Refuse by a ValueError a model of stage 1, whose classes are image transformations."""
    if all(TRANSFORMED.match(name) for name in model.classes):
        raise ValueError(
            f"{model.origin}: a checkpoint of stage 1: its {len(model.classes)} classes are image "
            "transformations, no architectures; use one of stage 2, such as pocket, or make one "
            f"with `dnadet train --pretrained {model.origin}`"
        )
