"""PyTorch's files of weights (`.pth`), read without running what is in them.

`torch.load` makes tensors of whatever size a file declares, in its safe mode too, so that a file of
a few bytes can ask for all memory. Here nothing is made beyond the file's own bytes.
"""

import io
import pickle
import pickletools
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}  # fmt: skip
PLAIN = {
    ("collections", "OrderedDict"): OrderedDict, ("collections", "Counter"): Counter,
    ("torch", "Size"): tuple,
}  # fmt: skip
MAGIC = 0x1950A86A20F9469CFC6C  # what a file of PyTorch before 1.6 begins with
PICKLE_AT_MOST = 2**20  # bytes; names and shapes take about 200 a tensor
TUPLES_AT_MOST = 20_000  # nested without end, they would exhaust the interpreter's stack
REMEDY = "save model.state_dict() in place of the whole model, or convert it to .safetensors"


class CodeError(ValueError):
    """A file names something that is no weights, and would have to be run."""


def read_pickled(path: Path) -> object:
    """Read what `torch.save` wrote: dicts, lists, numbers, text and tensors, on the CPU.

    Raises:
        CodeError: the file names anything else; it is named, with what to save instead.
        ValueError: the file is damaged, or declares more than it holds.
    """
    try:
        return _read_zip(path) if zipfile.is_zipfile(path) else _read_old(path)
    except CodeError:
        raise
    except _Fault as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # on bytes of another kind the readers can raise anything
        raise ValueError("the file is cut off or damaged: copy or save it anew") from error


class _Fault(ValueError):
    """A fault that the message names; other errors on damaged bytes are not told apart."""


class _Unpickler(pickle.Unpickler):
    """Knows tensors and plain containers; `storage` makes a flat tensor of type, key and size."""

    def __init__(self, data: bytes, storage: Callable[[torch.dtype, str, int], Tensor]) -> None:
        super().__init__(io.BytesIO(data))
        self.storage = storage

    def find_class(self, module: str, name: str) -> object:
        if module in ("torch", "torch.cuda") and name in DTYPES:
            return DTYPES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if (module, name) in PLAIN:
            return PLAIN[module, name]
        raise CodeError(f"it holds {f'{module}.{name}'[:80]!r}, not weights alone: {REMEDY}")

    def persistent_load(self, pid: tuple) -> Tensor:
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or any(view):
            raise _Fault("its weights are stored in a way that is not known: save them anew")
        return self.storage(dtype, str(key), int(count))


def _view(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    """Take a tensor out of a flat one, as `torch.as_strided`, which refuses what lies outside."""
    if min([offset, *size, *stride]) < 0 or len(size) != len(stride):
        raise _Fault(f"a tensor's shape is given as {str(tuple(size))[:80]}")
    steps = ((n - 1) * step for n, step in zip(size, stride, strict=True))
    if all(size) and offset + sum(steps) >= storage.numel():
        raise _Fault(
            f"a tensor of shape {str(tuple(size))[:80]} is declared, of which the file holds "
            f"{storage.numel()} numbers"
        )
    return storage.as_strided(size, stride, offset)


def _unpickle(data: bytes, storage: Callable[[torch.dtype, str, int], Tensor]) -> object:
    """Unpickle, once the opcodes ask for no more memory than so many bytes can need."""
    tuples = 0
    for opcode, argument, _ in pickletools.genops(data):
        tuples += opcode.name.startswith("TUPLE")
        if "PUT" in opcode.name and int(argument or 0) > len(data):  # the memo grows to that index
            raise _Fault("its list of names and shapes is damaged")
    if tuples > TUPLES_AT_MOST:
        raise _Fault(f"it lists more than {TUPLES_AT_MOST} shapes")
    return _Unpickler(data, storage).load()


def _flat(buffer: bytearray, dtype: torch.dtype, count: int) -> Tensor:
    return torch.frombuffer(buffer, dtype=dtype, count=count) if count else torch.empty(0).to(dtype)


def _read_zip(path: Path) -> object:
    """Read the layout of PyTorch 1.6 and later: a zip archive that compresses nothing."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        records = {record.filename: record for record in archive.infolist()}
        total = sum(record.file_size for record in records.values())
        packed = any(record.compress_type != zipfile.ZIP_STORED for record in records.values())
        if packed or total > size or len(records) < len(archive.infolist()):
            raise _Fault(f"its zip archive unpacks to {total} bytes and has {size}")
        listed = [n for n in records if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(listed) != 1:
            raise _Fault("a zip archive, but not one that torch.save wrote")
        root = listed[0].removesuffix("data.pkl")
        if records[listed[0]].file_size > PICKLE_AT_MOST:
            raise _Fault(f"its list of names and shapes has more than {PICKLE_AT_MOST} bytes")
        order = archive.read(f"{root}byteorder").decode() if f"{root}byteorder" in records else ""
        if order not in ("", sys.byteorder):
            raise _Fault(f"its numbers are stored {order[:9]} end first, not {sys.byteorder}")
        flat: dict[tuple[torch.dtype, str], Tensor] = {}

        def storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
            if (dtype, key) not in flat:
                held = records[f"{root}data/{key}"].file_size
                if not 0 <= count * dtype.itemsize <= held:
                    raise _Fault(f"{count} numbers are declared where the file holds {held} bytes")
                buffer = bytearray(archive.read(f"{root}data/{key}"))
                flat[dtype, key] = _flat(buffer, dtype, count)
            return flat[dtype, key]

        return _unpickle(archive.read(listed[0]), storage)


def _read_old(path: Path) -> object:
    """Read the layout of PyTorch before 1.6: five pickles, then each storage's numbers."""
    size = path.stat().st_size
    flat: dict[str, tuple[bytearray, Tensor]] = {}

    def storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
        if key not in flat:
            held = sum(len(buffer) for buffer, _ in flat.values())
            if not 0 <= count * dtype.itemsize <= size - held:
                raise _Fault(f"{count} numbers are declared in a file of {size} bytes")
            buffer = bytearray(count * dtype.itemsize)
            flat[key] = buffer, _flat(buffer, dtype, count)
        return flat[key][1]

    with path.open("rb") as file:
        head = io.BytesIO(file.read(PICKLE_AT_MOST))
        parts = []
        for _ in range(5):
            start = head.tell()
            for _opcode in pickletools.genops(head):
                pass
            parts.append(_unpickle(head.getvalue()[start : head.tell()], storage))
            if parts[0] != MAGIC:
                raise _Fault("a pickle, but not one that torch.save wrote")
        file.seek(head.tell())
        for key in parts[4]:  # type: ignore[attr-defined]
            buffer, numbers = flat[key]
            if int.from_bytes(file.read(8), sys.byteorder) != numbers.numel():
                raise _Fault("the numbers of a tensor are not as many as declared")
            if file.readinto(buffer) != len(buffer):
                raise _Fault("the file is cut off: copy it anew")
            flat[key] = buffer, numbers
    return parts[3]
