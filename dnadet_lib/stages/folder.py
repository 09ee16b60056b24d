"""The folder of a training run: `state.pt`, from which it goes on, `history.csv`, and the model.

Until the run is finished, the best model so far lies in `best.safetensors`, ready to use. State and
model carry the run's key. A run that finds those of another key is refused with what differs; one
that finds its own model has nothing left to do.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from dnadet_lib.checkpoints.models import load_model, save_model
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.files import atomic_path, require_writable
from dnadet_lib.stages.key import RunKey, differences

STATE, HISTORY, MODEL = "state.pt", "history.csv", "model.safetensors"
BEST = "best.safetensors"
FILES = (STATE, HISTORY, MODEL, BEST)


class OtherRunError(ValueError):
    """A folder holds another run, or files that do not say what they were made from."""


def made_by(file: Path) -> dict[str, str] | None:
    """Read the key of the run that made a model, or None; a ValueError if it is no checkpoint."""
    try:
        with safe_open(file, "pt") as model:
            notes = json.loads((model.metadata() or {})["dnadet"]).get("notes", {})
    except (SafetensorError, OSError, KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"{file}: not a dnadet checkpoint; remove it to train anew") from error
    run = notes.get("run") if isinstance(notes, dict) else None
    return run if isinstance(run, dict) else None


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, which need not be there, and the key of what the run is made from."""

    path: Path
    key: RunKey

    @property
    def state(self) -> Path:
        """The state after the last full epoch."""
        return self.path / STATE

    @property
    def history(self) -> Path:
        """A row an epoch."""
        return self.path / HISTORY

    @property
    def model(self) -> Path:
        """The finished model."""
        return self.path / MODEL

    def is_finished(self) -> bool:
        """Whether the run's model is there; check that the folder can take the run if not.

        Raises:
            OtherRunError: the folder holds another run; what differs is said.
            ValueError: a file there is no state or no model.
            OSError: the folder cannot be written to.
        """
        if self.model.is_file():
            if (parts := made_by(self.model)) == self.key.parts:
                return True
            self.load()  # a state says more than the model does
            self._require_same(self.model, parts and {"parts": parts})
        self.load()
        for file in (self.state, self.history, self.model):
            require_writable(file)
        return False

    def load(self, device: torch.device | str = "cpu") -> dict | None:
        """Read the state, or return None if there is none; errors as in `is_finished`."""
        if not self.state.is_file():
            return None
        try:
            saved = torch.load(self.state, weights_only=True, map_location=device)
        except Exception as error:  # on bytes of another kind torch's unpickler can raise anything
            raise ValueError(f"{self.state}: not the state of a run, or cut short; remove it to "
                             "train anew") from error  # fmt: skip
        key = saved.get("key") if isinstance(saved, dict) else None
        self._require_same(self.state, key if isinstance(key, dict) else None)
        return saved

    def _require_same(self, file: Path, old: Mapping | None) -> None:
        remedy = f"choose another folder, or remove its {STATE} and {MODEL} to train anew"
        if old is None or not isinstance(old.get("parts"), dict):
            raise OtherRunError(f"{file} does not say what it was made from: {remedy}")
        if old["parts"] != self.key.parts:
            try:
                found = differences(old, self.key)
            except (ValueError, TypeError, AttributeError):  # a key that was tampered with
                found = []
            raise OtherRunError(
                f"{file} was made with {' and '.join(found) or 'something else'}: {remedy}"
            )

    def save(self, state: Mapping) -> None:
        """Write the state with the key; on an OSError, which names it, the old one stays."""
        try:
            with atomic_path(self.state) as temporary:
                torch.save({**state, "key": self.key.stored()}, temporary)
        except (RuntimeError, OSError) as error:  # torch raises the first on a full disk
            reason = next(iter(str(error).splitlines()), "")
            raise OSError(f"{self.state}: cannot be written ({reason}); what was there is "
                          "kept") from error  # fmt: skip

    def keep(self, model: DNADet) -> None:
        """Write the best model so far, with the key."""
        self._write(model, self.path / BEST)

    def finish(self, model: DNADet) -> None:
        """Write the finished model with the key, in place of the best one so far."""
        self._write(model, self.model)
        (self.path / BEST).unlink(missing_ok=True)

    def _write(self, model: DNADet, file: Path) -> None:
        preset, seed = self.key.preset.name, self.key.seed
        save_model(model, file, preset=preset, seed=seed, run=self.key.parts)

    def finished(self) -> tuple[DNADet, list[dict[str, float]]]:
        """Read the model and the history of a finished run, and say that nothing is trained."""
        print(f"{self.model}: already trained; to train anew, remove it and {STATE}", flush=True)
        history = []
        if self.history.is_file():
            with self.history.open(newline="") as file:
                history = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        return load_model(self.model), history
