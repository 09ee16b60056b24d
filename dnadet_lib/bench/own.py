"""Rows of the table from outside the library: a class of your own, or a checkpoint that is there.

A class is named as `module:Class`, or by an installed package under the entry points `METHODS`. It
takes no argument, or `random_state` alone; `fit(X, y)` gets uint8 images (N, H, W, 3) and class
numbers (N,), and `predict_proba(X)` returns (N, K), as scikit-learn's classifiers do.
"""

import hashlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from dnadet_lib.bench.suite import Classifier, Method
from dnadet_lib.checkpoints.models import load_model
from dnadet_lib.data import ImageSet, decoded_in_parts, load_images
from dnadet_lib.evaluation.predictions import predict
from dnadet_lib.plumbing.code_key import code_digest
from dnadet_lib.plumbing.devices import chosen_device
from dnadet_lib.plumbing.text import shown

METHODS = "dnadet.methods"  # the group of entry points
NEEDED = ("fit", "predict_proba")


def find_class(place: str) -> Callable[..., Any]:
    """Import what `module:Class` names, from the working folder too.

    Raises:
        ValueError: there is no such module or class, or importing it fails.
    """
    module, _, name = place.partition(":")
    if not module or not name:
        raise ValueError(f"method {shown(place)}: write it as module:Class")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found = import_module(module)
    except Exception as error:  # whatever the module does
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            reason = f"no module of that name is installed or in {Path.cwd()}"
        raise ValueError(f"method {place}: cannot import {module}: {reason}") from error
    if not callable(getattr(found, name, None)):
        own = [k for k, v in vars(found).items() if isinstance(v, type) and v.__module__ == module]
        raise ValueError(
            f"method {place}: {module} has no class {name!r}; it has {', '.join(own) or 'none'}"
        )
    return getattr(found, name)


def installed_methods() -> dict[str, str]:
    """List the methods of installed packages: name of the row -> `module:Class`."""
    return {point.name: point.value for point in entry_points(group=METHODS)}


def own_method(place: str, name: str = "") -> Method:
    """Make the row that trains a class of your own on the closed set.

    It counts as another method, and is trained anew, once a file of its folder is edited. Where it
    takes a `random_state`, that is the seed. Errors in it name its line.

    Args:
        place: Of the class: `module:Class`.
        name: Of the row, by default the class's.

    Raises:
        ValueError: there is no such class, or it is no classifier as described above.
    """
    make = find_class(place)
    with _telling(make, "__init__", ValueError):
        example = make()
    if lacking := [what for what in NEEDED if not callable(getattr(example, what, None))]:
        raise ValueError(f"method {place}: has no {lacking[0]}(); it needs {' and '.join(NEEDED)}")
    seeded = "random_state" in inspect.signature(make).parameters

    def fit(train: ImageSet, dev: ImageSet, seed: int, folder: Path) -> Classifier:
        own = make(random_state=seed) if seeded else make()
        pixels = load_images(train.paths, folder / "cache")
        with _telling(make, "fit"):
            own.fit(pixels, train.labels.copy())

        def score(images: ImageSet) -> np.ndarray:
            parts = []
            for part in decoded_in_parts(images.paths, *pixels.shape[1:3]):
                with _telling(make, "predict_proba"):
                    found = own.predict_proba(part)
                parts.append(checked_probabilities(found, len(part), images.classes))
            return np.concatenate(parts)

        return score

    return Method(name or place.partition(":")[2], f"{place} {_files_digest(make)}", fit, seeded)


def ready_model(path_or_name: str) -> Method:
    """Make the row of a checkpoint as it is, without training; errors are those of `load_model`."""
    digest = load_model(path_or_name).sha256

    def fit(train: ImageSet, dev: ImageSet, seed: int, folder: Path) -> Classifier:
        model = load_model(path_or_name).to(chosen_device())
        return lambda images: predict(model, images).probabilities

    return Method(f"checkpoint {path_or_name}", digest, fit, seeded=False)


def checked_probabilities(values: Any, count: int, classes: tuple[str, ...]) -> np.ndarray:
    """Return probabilities (N, K); a ValueError says what is wrong with them."""
    found, wanted = np.asarray(values), (count, len(classes))
    if found.shape != wanted:
        raise ValueError(
            f"predict_proba returned shape {found.shape}: expected {wanted}, a row per image and a "
            f"column per class, {', '.join(classes)}"
        )
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise ValueError("predict_proba returned values that are no finite numbers")
    sums = found.sum(axis=1)
    odd = (found < 0).any(axis=1) | (np.abs(sums - 1) > 1e-3)
    if odd.any():
        row = int(odd.argmax())
        raise ValueError(
            f"predict_proba: row {row} sums to {sums[row]:.4g}, its smallest value is "
            f"{found[row].min():.4g}: expected values of 0 or more that sum to 1"
        )
    return found.astype(float)


@contextmanager
def _telling(make: Callable, what: str, kind: type[Exception] = RuntimeError) -> Iterator[None]:
    """Name the line of a class's own file in whatever its code raises."""
    try:
        yield
    except Exception as error:
        file = _file_of(make)
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        where = f" ({file}, line {lines[-1]})" if lines else ""
        raise kind(f"{what} failed{where}: {type(error).__name__}: {error}") from error


def _files_digest(make: Callable) -> str:
    """SHA-256 of a class, and of the Python files in its folder."""
    digest = hashlib.sha256(code_digest(make).encode())
    file = _file_of(make)
    for other in sorted(Path(file).parent.glob("*.py")) if file else ():
        digest.update(other.read_bytes())
    return digest.hexdigest()


def _file_of(make: Callable) -> str:
    with suppress(TypeError, OSError):  # what is no Python code has no file
        return inspect.getsourcefile(make) or ""
    return ""
