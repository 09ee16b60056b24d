"""The training loop of both stages."""

import csv
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from dnadet_lib.losses import AutomaticWeightedLoss, SupConLoss, classification_loss
from dnadet_lib.model import DNADet, ProjectionHead
from dnadet_lib.patches import normalise
from dnadet_lib.plumbing import ranks
from dnadet_lib.plumbing.devices import fast_bf16
from dnadet_lib.plumbing.files import atomic_path
from dnadet_lib.plumbing.workers import prefetched
from dnadet_lib.presets import Preset

if TYPE_CHECKING:
    from dnadet_lib.stages.folder import RunFolder

LOOK_EVERY = 20  # steps after which their losses are read, which a GPU waits for
Validation = Callable[[DNADet], tuple[np.ndarray, np.ndarray]]


class Batches(Protocol):
    """What a stage trains on."""

    steps: int

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield uint8 patches (B, V, h, w, 3) and labels (B,)."""


@dataclass
class Run:
    """All that changes while training: what a resumed run needs."""

    model: DNADet
    head: ProjectionHead
    weights: AutomaticWeightedLoss
    learner: nn.Module  # the three, as one
    optimiser: torch.optim.Adam
    scheduler: torch.optim.lr_scheduler.LRScheduler
    history: list[dict[str, float]]
    best: dict[str, Tensor]

    def state(self) -> dict:
        """Everything as tensors and plain values."""
        return {
            "parts": [part.state_dict() for part in self._parts()],
            "history": self.history,
            "best": self.best,
        }

    def restore(self, state: dict) -> None:
        """Go on from `state()`."""
        for part, values in zip(self._parts(), state["parts"], strict=True):
            part.load_state_dict(values)
        self.history, self.best = state["history"], state["best"]

    def resume(self, state: dict, file: Path) -> None:
        """Go on from what a file holds; a ValueError names the file if it is no whole state."""
        try:
            self.restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ValueError(f"{file}: not a whole state of this run; remove it to train "
                             "anew") from error  # fmt: skip

    def add(self, row: dict[str, float], select_by: str) -> bool:
        """Put an epoch into the history; whether its score is the best, so that it is kept."""
        score = row["epoch"] if select_by == "last" else row[f"dev_{select_by}"]
        best = score > max((r["score"] for r in self.history), default=-1)  # first one on ties
        if best:
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.history.append({**row, "score": score})
        return best

    def _parts(self) -> tuple[Any, ...]:
        return self.model, self.head, self.weights, self.optimiser, self.scheduler


class Learner(nn.Module):
    """Network, projection head and loss weights: from patches to the loss of a step."""

    def __init__(
        self, model: DNADet, head: ProjectionHead, weights: AutomaticWeightedLoss, preset: Preset
    ) -> None:
        super().__init__()
        self.model, self.head, self.weights, self.preset = model, head, weights, preset

    def forward(self, pixels: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Map uint8 patches (B, V, h, w, 3) and labels (B,) to the losses and the accuracy.

        All patches go through the network in one pass. Where several processes train together, the
        contrastive loss sees the patches of all, so every patch has all its positives. The front
        end takes differences of neighbouring pixels, too small for bfloat16.
        """
        preset, device = self.preset, pixels.device
        batch, count = pixels.shape[:2]
        images = self.model.high_pass(normalise(pixels.flatten(0, 1)))
        with torch.autocast(device.type, torch.bfloat16, enabled=fast_bf16(device)):
            embeddings = self.model.pool(self.model.main(images))
            logits = self.model.classification_head(embeddings)
            projected = self.head(embeddings) if preset.contrast else None
        every_target = targets.repeat_interleave(count)
        classification = classification_loss(logits.float(), every_target, preset.double_softmax)
        told = {"classification": classification}
        total = classification
        if projected is not None:
            views, labels = projected.float().view(batch, count, -1), ranks.of_all(targets)
            contrast = SupConLoss(preset.temperature)(ranks.of_all(views), labels)
            told["contrast"] = contrast
            weigh = self.weights if preset.learned_weights else lambda *losses: sum(losses)
            total = weigh(classification, contrast)
        told["train_accuracy"] = (logits.argmax(1) == every_target).float().mean()
        return {**told, "total": total}


def start_run(model: DNADet, preset: Preset, steps: int) -> Run:
    """Make heads, optimiser and schedule for a model."""
    device = next(model.parameters()).device
    if preset.shared_norm:
        ranks.share_batch_norm(model)
    head = ProjectionHead(model.embedding_size).to(device)
    weights = AutomaticWeightedLoss(2).to(device)
    optimiser = torch.optim.Adam(
        [
            {"params": [*model.parameters(), *head.parameters()], "lr": preset.learning_rate},
            {"params": weights.parameters(), "lr": preset.weight_rate},
        ],
        fused=device.type in ("cpu", "cuda"),
    )
    scheduler: torch.optim.lr_scheduler.LRScheduler
    if preset.schedule == "one-cycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=[preset.learning_rate, preset.weight_rate],
            total_steps=steps * preset.epochs, cycle_momentum=False,
        )  # fmt: skip
    else:
        scheduler = torch.optim.lr_scheduler.StepLR(optimiser, preset.decay_every, preset.decay)
    learner: nn.Module = Learner(model, head, weights, preset)
    if ranks.world_size() > 1:
        some_unused = not (preset.contrast and preset.learned_weights)
        learner = DistributedDataParallel(learner, find_unused_parameters=some_unused)
    return Run(model, head, weights, learner, optimiser, scheduler, [], {})


def train_step(run: Run, views: np.ndarray, labels: np.ndarray) -> dict[str, Tensor]:
    """One step on uint8 patches (B, V, h, w, 3) and labels (B,): losses and accuracy, detached."""
    device = next(run.model.parameters()).device
    pixels, targets = (on_device(values, device) for values in (views, labels))
    run.optimiser.zero_grad(set_to_none=True)  # first, since the forward pass needs the memory
    told = run.learner(pixels, targets.long())
    told.pop("total").backward()
    run.optimiser.step()
    run.scheduler.step()
    return {name: value.detach() for name, value in told.items()}


def on_device(values: np.ndarray, device: torch.device) -> Tensor:
    """Move an array; to a GPU while it computes."""
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def fit(
    model: DNADet, batches: Batches, validate: Validation, preset: Preset, *, seed: int,
    run_folder: "RunFolder | None" = None, keep: Callable[[DNADet], None] | None = None,
) -> list[dict[str, float]]:  # fmt: skip
    """Train a model in place and leave the weights of its best dev epoch, or its last one, in it.

    Args:
        model: Trained in place.
        batches: Of stage 1 or stage 2.
        validate: Returns true and predicted class numbers on the dev images.
        preset: Numbers of the run.
        seed: Every epoch's order, patches and dropout follow from it and the epoch's number.
        run_folder: Gets history and state after every epoch; a run found there goes on.
        keep: Called with the model after every epoch that is the best so far, but for the last.

    Returns:
        The history: losses, training accuracy and dev score of each epoch.

    Raises:
        ValueError: the folder holds another run (what differs is said), or the training diverges
            (epoch and step are named, the last state is kept).
    """
    torch.manual_seed(seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run, device = start_run(model, preset, batches.steps), next(model.parameters()).device
    if run_folder is not None and (saved := run_folder.load(device)) is not None:
        run.resume(saved, run_folder.state)
    if ranks.is_first():
        most = " at most" if preset.patience < preset.epochs else ""
        print(f"{preset.epochs} epochs{most} of {batches.steps} steps, on {device}", flush=True)
    while len(run.history) < preset.epochs and not out_of_patience(run.history, preset.patience):
        row = train_epoch(run, batches, preset, seed, len(run.history))
        figures = ranks.from_first(lambda: dev_figures(*validate(model)))
        best = run.add(row | figures, preset.select_by)
        if not ranks.is_first():
            continue
        print(epoch_line(run.history[-1]), flush=True)
        if run_folder is not None:
            write_history(run.history, run_folder.history)
            run_folder.save(run.state())
        if best and keep is not None and len(run.history) < preset.epochs:
            keep(model)
    model.load_state_dict(run.best)
    model.eval()
    return run.history


def dev_figures(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Accuracy and macro F1 on dev images, as a history holds them."""
    return {
        "dev_accuracy": float(accuracy_score(truth, predicted)),
        "dev_macro_f1": float(f1_score(truth, predicted, average="macro")),
    }


def epoch_line(row: dict[str, float]) -> str:
    """Write an epoch's figures in one line that fits a page."""
    figures = {k.replace("macro_f1", "F1").replace("_", " "): v for k, v in row.items()}
    told = [f"{k} {v:.3f}" for k, v in figures.items() if k not in ("epoch", "score")]
    return "  ".join([f"epoch {row['epoch']:.0f}", *told])


def train_epoch(
    run: Run, batches: Batches, preset: Preset, seed: int, epoch: int
) -> dict[str, float]:
    """One epoch; its randomness depends on seed and epoch alone, so that a run can resume."""
    rng = np.random.default_rng([seed, epoch])
    torch.manual_seed(int(rng.integers(2**31)) + ranks.rank())
    run.model.train()
    rows: list[dict[str, float]] = []
    waiting: list[dict[str, Tensor]] = []
    for views, labels in tqdm(
        prefetched(batches.epoch(rng)), total=batches.steps, leave=False,
        desc=f"epoch {epoch + 1} of {preset.epochs}",
        disable="TQDM_DISABLE" in os.environ,  # which tqdm's notebook bar does not read
    ):  # fmt: skip
        waiting.append(train_step(run, views, labels))
        if len(waiting) == LOOK_EVERY:
            rows += looked_at(waiting, preset, epoch, len(rows))
            waiting = []
    rows += looked_at(waiting, preset, epoch, len(rows))
    weights = (float(tensor.sum()) for tensor in run.model.state_dict().values())
    require_finite(weights, "sum of some weights", preset, epoch, len(rows))
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return {"epoch": epoch + 1, **means}


def looked_at(
    steps: list[dict[str, Tensor]], preset: Preset, epoch: int, done: int
) -> list[dict[str, float]]:
    """Read the figures of some steps, of which a GPU is asked only now and then; all are finite."""
    rows = [{name: value.item() for name, value in told.items()} for told in steps]
    for number, row in enumerate(rows, done + 1):
        require_finite(row.values(), "loss", preset, epoch, number)
    return rows


def require_finite(
    values: Iterable[float], what: str, preset: Preset, epoch: int, step: int
) -> None:
    """Raise a ValueError, which says what to try, if a value of a training step is not finite."""
    for value in values:
        if not math.isfinite(value):
            raise ValueError(
                f"epoch {epoch + 1}, step {step}: training diverges, the {what} is {value}; try a "
                f"preset with a smaller learning rate (now {preset.learning_rate:g}) or another "
                "seed; what was saved before is kept"
            )


def out_of_patience(history: list[dict[str, float]], patience: int) -> bool:
    """Whether the best score is `patience` or more epochs old."""
    scores = [row["score"] for row in history]
    return bool(scores) and len(scores) - 1 - int(np.argmax(scores)) >= patience


def write_history(history: list[dict[str, float]], path: Path) -> None:
    """Write one row an epoch as CSV."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, history[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
