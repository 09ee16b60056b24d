"""Files of weights of any kind, told apart by what is in them: safetensors and PyTorch's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dnadet_lib.checkpoints.pickled import CodeError, read_pickled
from dnadet_lib.plumbing.text import one_line, shown

HEADER = "dnadet"  # the entry of a safetensors header that holds a model's configuration
HEADER_AT_MOST = 2**24  # bytes
HEAD = "classification_head.1.weight"
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class WeightFile:
    """Tensors by name, on the CPU; our header as JSON, if any; what was done to names."""

    tensors: dict[str, Tensor]
    header: str | None = None
    notes: list[str] = field(default_factory=list)


def read_weights(path: Path) -> WeightFile:
    """Read a file of weights; its content decides what kind it is, not its suffix.

    A dict that wraps the state dict is opened, and a prefix that all names share, such as
    `module.`, is taken off. No code of the file is run, and it makes no more than it holds. A
    ValueError names a file that is none, damaged, needs code to be run, or declares more than it
    holds.
    """
    with Path(path).open("rb") as file:
        start = file.read(24)
    notes: list[str] = []
    header = None
    try:
        if start[8:9] == b"{":
            tensors, header = _read_safetensors(path)
        elif start.startswith((b"PK\x03\x04", b"\x80")):
            tensors = _state_dict(read_pickled(path), notes)
            _require_own(tensors, path.stat().st_size)
        elif start.startswith(b"version https://git-lfs"):
            raise ValueError("a Git LFS pointer, not the file itself: run `git lfs pull`")
        else:
            raise ValueError("neither safetensors nor what torch.save writes")
    except CodeError as error:
        raise ValueError(
            f"{path}: not a plain state dict; files that need code to be run are refused ({error})"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: not a dnadet checkpoint ({error})") from None
    return WeightFile(_without_prefix(tensors, notes), header, notes)


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], str | None]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, HEADER_AT_MOST):
        raise ValueError(
            f"a header of {length} bytes in a file of {size}: a header has at most {HEADER_AT_MOST}"
        )
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            return {key: file.get_tensor(key) for key in file.keys()}, header
    except Exception as error:  # of safetensors, or of torch where it lacks a type
        raise ValueError(f"damaged or cut off: {one_line(error)[:200]}") from error


def _state_dict(content: object, notes: list[str]) -> dict[str, Tensor]:
    """Find the state dict in what `torch.save` wrote."""
    for _ in range(3):
        if not isinstance(content, dict) or any(isinstance(v, Tensor) for v in content.values()):
            break
        found = [key for key in WRAPPERS if isinstance(content.get(key), dict)]
        if len(found) > 1:
            raise ValueError(
                f"it holds {' and '.join(map(repr, found))}: save one state dict by itself"
            )
        if not found:
            break
        notes.append(f"the weights are those of its entry {found[0]!r}")
        content = content[found[0]]
    if not isinstance(content, dict) or not content:
        kind = f"{'an empty' if isinstance(content, dict) else 'a'} {type(content).__name__}"
        raise ValueError(f"{kind}, not a plain state dict: it must map names to tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                "not a plain state dict: it must map names to tensors, and "
                f"{shown(name)} is a {type(value).__name__}"
            )
    return content


def _require_own(tensors: Mapping[str, Tensor], size: int) -> None:
    """Refuse tensors that would take more memory, once copied, than the file has bytes."""
    asked = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if asked > size:
        raise ValueError(f"{asked} bytes of tensors declared in a file of {size}")


def _without_prefix(tensors: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Take off a prefix that all names share, as data-parallel training and wrappers leave it."""
    prefix = next((n.removesuffix(HEAD) for n in tensors if n.endswith(f".{HEAD}")), "")
    if not prefix or not all(name.startswith(prefix) for name in tensors):
        return tensors
    notes.append(f"read without the prefix {shown(prefix)} of all its names")
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def checked_tensor(name: str, tensor: Tensor, dtype: torch.dtype, source: Path | str) -> Tensor:
    """Return a tensor in the type that a model needs, or name it in a ValueError.

    It may not hold whole or complex numbers where others belong, nor numbers that are not finite
    or, as variances, negative.
    """
    floats = dtype.is_floating_point
    if tensor.dtype not in FLOATS and (floats or tensor.is_complex()):
        raise ValueError(
            f"{source}: tensor {shown(name)} is of type {_kind(tensor.dtype)}, expected "
            f"{_kind(dtype)} or another floating-point type"
        )
    right = tensor.to(dtype) if floats else tensor
    if not torch.isfinite(right).all():
        count = int((~torch.isfinite(right)).sum())
        raise ValueError(
            f"{source}: tensor {shown(name)} holds {count} numbers that are not finite: the model "
            "is damaged or its training diverged; use an earlier one, or train it anew"
        )
    if name.endswith("running_var") and (right < 0).any():
        raise ValueError(f"{source}: tensor {shown(name)} holds variances below 0")
    return right.to(dtype)


def _kind(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


DROPPED_KEYS = ("projection_head.", "reference")  # used in training only; of older checkpoints


def check_shapes(model: nn.Module, tensors: dict[str, Tensor], source: Path | str) -> None:
    """Refuse by a ValueError, by name, tensors that are not those of a model, be it on `meta`."""
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    tensors = {k: v for k, v in tensors.items() if not k.startswith(DROPPED_KEYS)}
    optional = {k for k in expected if k.endswith("num_batches_tracked")}
    if missing := sorted(expected.keys() - tensors.keys() - optional):
        raise ValueError(f"{source}: tensor {missing[0]!r} is missing ({len(missing)} in all)")
    if unexpected := sorted(tensors.keys() - expected.keys()):
        count = len(unexpected)
        raise ValueError(f"{source}: unexpected tensor {shown(unexpected[0])} ({count} in all)")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name]:
            raise ValueError(
                f"{source}: tensor {name!r} has shape {tuple(tensor.shape)}, "
                f"expected {expected[name]}"
            )


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: Path | str) -> None:
    """Copy tensors that fit into a model, all of them or none, in the model's float types."""
    check_shapes(model, tensors, source)
    types = {name: tensor.dtype for name, tensor in model.state_dict().items()}
    model.load_state_dict(
        {
            name: checked_tensor(name, tensor, types[name], source)
            for name, tensor in tensors.items()
            if name in types
        },
        strict=False,
    )
