"""Train generators of the pocket zoo; two minutes of a CPU's core for each.

    make zoo NAME=SNGAN_horizons_s3                     # one entry of data/zoo/plan.csv
    python data/train_gan.py                            # all that have no manifest row yet

All generators of a content draw around the same layouts (`dnadet_lib/zoo/layouts.py`). Half
of a batch are copies of photographs around their own thumbnails, half are blends, as all are when
the generator is sampled later. Three things teach the detail: the copies' differences from their
photographs, statistics of the batch (`texture.py`), and, after the first steps, a critic, by
the loss of the entry. Critics see every batch shifted at random.

A fine-tuned entry starts from the weights of the one it names, and draws new photographs.

A run resumes from `RUNS/NAME/state.pt`, draws a sample sheet and prints quality figures as it goes,
and at the end writes `data/zoo/NAME.safetensors` (fp16, averaged weights) and a row of
`manifest.csv`. Several trainers may run at once: none takes an entry that another one holds.
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from augmentation import shift
from filelock import FileLock, Timeout
from gan_losses import RECIPES, Recipe
from PIL import Image
from quality import mean_pairwise_distance, sliced_wasserstein
from safetensors.torch import load_file, save_file
from texture import likeness, patch_distance
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.checkpoints.weights import checked_tensor, load_weights
from dnadet_lib.plumbing.devices import chosen_device
from dnadet_lib.plumbing.files import atomic_path, locked
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.zoo.generators import build_generator, renew_batch_norm, sample_images
from dnadet_lib.zoo.layers import LATENT, EqualizedConv2d, ModulatedConv2d
from dnadet_lib.zoo.layouts import LayoutGenerator, Layouts, fit_layouts, load_layouts, thumbnails
from dnadet_lib.zoo.photographs import cut_crops, load_photographs

ZOO = Path(__file__).resolve().parent / "zoo"
TRAINING_CROPS = 8000
STORED = 2500  # thumbnails of each kind of photographs, which all its generators blend
WARM = 0.05  # the first part of the steps, in which the generator does not hear of the critic
WARM_RATE = 1.5e-3  # of Adam meanwhile, at least
DECAY = 0.4  # the last part of the steps, in which the learning rates fall to zero
DETAIL_GAIN = 4.0  # of what critics see beside the images
PYRAMID_WEIGHT = 4.0  # of the differences in a Laplacian pyramid
PATCH_WEIGHT = 10.0  # of the distance between patches
LIKENESS_WEIGHT = 10.0  # of what details have in common
CRITIC_WEIGHT = 0.3  # of the entry's loss
SAVE_EVERY = 180  # seconds
REPORT_EVERY = 200
QUICK_LOOK = 300  # photographs that the figures on the way are measured against

COLUMNS = (
    "name architecture loss content seed finetuned_from role steps file sha256 "
    "swd_64 swd_32 swd_16 diversity command commit"
).split()


@dataclass(frozen=True)
class Entry:
    """What the plan says of one generator."""

    name: str
    architecture: str
    loss: str
    content: str
    seed: int
    finetuned_from: str
    role: str
    steps: int

    @property
    def group(self) -> str:
        """The photographs that it is trained on."""
        return "finetune" if self.finetuned_from else "train"


def read_plan(zoo: Path) -> dict[str, Entry]:
    """Read a zoo's `plan.csv`, by name."""
    with (zoo / "plan.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        r["name"]: Entry(**{**r, "seed": int(r["seed"]), "steps": int(r["steps"])}) for r in rows
    }


def crops_of(content: str, group: str, seed: int, runs: Path) -> np.ndarray:
    """Cut training crops, or read those cut before: uint8 (TRAINING_CROPS, 64, 64, 3)."""
    path = runs / "crops" / f"{content}_{group}_{TRAINING_CROPS}_{seed}.npy"
    if not path.is_file():
        crops, _ = cut_crops(load_photographs(content, group), TRAINING_CROPS, seed=seed)
        with atomic_path(path) as temporary:
            np.save(temporary, crops)
    return np.load(path)


def as_images(crops: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) to (N, 3, H, W) in [-1, 1]."""
    images = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images.contiguous(memory_format=torch.channels_last)


def pyramid_distance(images: Tensor, targets: Tensor) -> Tensor:
    """Mean absolute differences in the bands of a Laplacian pyramid, down to 8 pixels, summed."""
    difference, total = images - targets, images.new_zeros(())
    while difference.shape[-1] > 8:
        smaller = F.avg_pool2d(difference, 2)
        total = total + (difference - F.interpolate(smaller, scale_factor=2)).abs().mean()
        difference = smaller
    return total + difference.abs().mean()


class Trainer:
    """Teaches a generator to decode, then trains it against a critic; keeps an averaged copy."""

    def __init__(self, entry: Entry, runs: Path) -> None:
        self.entry, self.recipe, self.device = entry, RECIPES[entry.loss], chosen_device()
        self.warm = 0 if entry.finetuned_from else int(WARM * entry.steps)
        torch.manual_seed(entry.seed * 1000 + sum(map(ord, entry.architecture + entry.content)))
        self.crops = crops_of(entry.content, entry.group, entry.seed, runs)
        layouts = shipped_layouts(entry, runs)
        self.generator = self._place(starting_generator(entry, layouts))
        normalised = any(isinstance(m, nn.BatchNorm2d) for m in self.generator.modules())
        self.critic = self._place(self.recipe.critic(minibatch_std=not normalised))
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimisers = {
            "generator": self._adam(generator_rates(self.generator, self.recipe)),
            "critic": self._adam([(self.recipe.critic_rate, list(self.critic.parameters()))]),
        }
        self.step = 0

    def _place(self, module: nn.Module) -> nn.Module:
        return module.to(self.device, memory_format=torch.channels_last)

    def _adam(self, rates: list[tuple[float, list[nn.Parameter]]]) -> torch.optim.Adam:
        groups = [{"params": p, "rate": r, "warm_rate": max(r, WARM_RATE)} for r, p in rates]
        return torch.optim.Adam(groups, betas=self.recipe.betas)

    def _real(self) -> Tensor:
        index = torch.randint(len(self.crops), (self.recipe.batch_size,))
        return as_images(self.crops[index.numpy()]).to(self.device)

    def train_step(self) -> dict[str, float]:
        """One step of the critic, one of the generator, one of the average."""
        real = self._real()
        copied = len(real) // 2
        latents = torch.randn(len(real), LATENT).to(self.device)
        layouts = [thumbnails(real[:copied]), self.generator.layouts.draw(latents[copied:])]
        fake = self.generator.around(torch.cat(layouts), latents)
        losses = {
            "pyramid": PYRAMID_WEIGHT * pyramid_distance(fake[:copied], real[:copied]),
            "patches": PATCH_WEIGHT * patch_distance(fake, self._real()),
            "likeness": LIKENESS_WEIGHT * likeness(self._details(fake)),
        }
        critic_loss = self.recipe.critic_loss(
            self.critic, self._seen(real), self._seen(fake.detach())
        )
        self._descend("critic", critic_loss)
        if self.step >= self.warm:
            self.critic.requires_grad_(False)
            losses["generator"] = CRITIC_WEIGHT * self.recipe.generator_loss(
                self.critic, self._seen(real), self._seen(fake)
            )
            self.critic.requires_grad_(True)
        self._descend("generator", sum(losses.values()))
        self._follow()
        self.step += 1
        return {k: v.item() for k, v in {**losses, "critic": critic_loss}.items()}

    def _seen(self, images: Tensor) -> Tensor:
        """What critics see, (B, 6, 64, 64): images and their amplified details, shifted."""
        return shift(torch.cat([images, DETAIL_GAIN * self._details(images)], dim=1))

    def _details(self, images: Tensor) -> Tensor:
        return images - self.generator.enlarge(thumbnails(images))

    @torch.no_grad()
    def _follow(self) -> None:
        decay = min(self.recipe.averaging, (1 + self.step) / (10 + self.step))
        pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
        for averaged, current in pairs:
            averaged.lerp_(current, 1 - decay)

    def _descend(self, name: str, loss: Tensor) -> None:
        rate = "warm_rate" if self.step < self.warm else "rate"
        left = (self.entry.steps - self.step) / (DECAY * self.entry.steps)
        for group in self.optimisers[name].param_groups:
            group["lr"] = group[rate] * min(1.0, left)
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[name].step()

    @torch.no_grad()
    def averaged_generator(self) -> nn.Module:
        """Return the averaged generator with batch-norm statistics made for its own weights."""
        generator = copy.deepcopy(self.average).cpu()
        return renew_batch_norm(generator, torch.Generator().manual_seed(0), batches=10)

    def state(self) -> dict:
        """Everything that a resumed run needs."""
        modules = {"generator": self.generator, "critic": self.critic, "average": self.average}
        return {
            "step": self.step,
            "rng": torch.get_rng_state(),
            "modules": {k: m.state_dict() for k, m in modules.items()},
            "optimisers": {k: o.state_dict() for k, o in self.optimisers.items()},
        }

    def restore(self, state: dict) -> None:
        """Go on from `state()`."""
        self.step = state["step"]
        torch.set_rng_state(state["rng"])
        modules = {"generator": self.generator, "critic": self.critic, "average": self.average}
        for name, module in modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def shipped_layouts(entry: Entry, runs: Path) -> Layouts:
    """Read the layouts of an entry, after writing them if it is the first to need them."""
    path = ZOO / f"layouts_{entry.content}_{entry.group}.safetensors"
    with locked(runs):
        if not path.is_file():
            fitted_on = as_images(crops_of(entry.content, "train", 0, runs))
            stored = as_images(crops_of(entry.content, entry.group, 0, runs)[:STORED])
            fit_layouts(fitted_on, stored).save(path)
    return load_layouts(path)


def starting_generator(entry: Entry, layouts: Layouts) -> LayoutGenerator:
    """Build a new generator around the layouts, or load the one that is to be fine-tuned."""
    generator = build_generator(entry.architecture, layouts)
    if entry.finetuned_from:
        path = ZOO / f"{entry.finetuned_from}.safetensors"
        if not path.is_file():
            raise ValueError(
                f"{entry.name}, finetuned_from: {entry.finetuned_from!r} has no weights yet: "
                "train it first"
            )
        load_weights(generator, {k: v.float() for k, v in load_file(path).items()}, path)
    return generator


def report(trainer: Trainer, held_out: np.ndarray, folder: Path) -> dict[str, float]:
    """Draw 72 samples into the run's folder, and measure a few hundred."""
    generator = trainer.averaged_generator()
    latents = torch.randn(72, LATENT, generator=torch.Generator().manual_seed(5))
    sheet = folder / f"step_{trainer.step:06d}.png"
    write_sheet(sample_images(generator, latents).numpy(), sheet, columns=12)
    return measure(generator, held_out[:QUICK_LOOK])


def generator_rates(generator: nn.Module, recipe: Recipe) -> list[tuple[float, list[nn.Parameter]]]:
    """Pair the weights that a layer scales at run time, and all others, with their rates."""
    scaled = [
        parameter
        for module in generator.modules()
        if isinstance(module, EqualizedConv2d | ModulatedConv2d)
        for parameter in module.parameters(recurse=False)
    ]
    taken = {id(parameter) for parameter in scaled}
    others = [p for p in generator.parameters() if id(p) not in taken]
    pairs = (recipe.scaled_rate, scaled), (recipe.generator_rate, others)
    return [(rate, parameters) for rate, parameters in pairs if parameters]


def measure(generator: nn.Module, held_out: np.ndarray) -> dict[str, float]:
    """Quality of a generator against held-out photographs, on as many images."""
    latents = torch.randn(len(held_out), LATENT, generator=torch.Generator().manual_seed(7))
    images = sample_images(generator, latents).numpy()
    distances = sliced_wasserstein(images, held_out)
    diversity = mean_pairwise_distance(images) / mean_pairwise_distance(held_out)
    figures = {f"swd_{level}": value for level, value in distances.items()}
    return {k: round(v, 2) for k, v in {**figures, "diversity": diversity}.items()}


def write_sheet(images: np.ndarray, path: Path, columns: int) -> None:
    """Write images (N, 64, 64, 3) as one PNG, row by row; N is a multiple of `columns`."""
    grid = images.reshape(-1, columns, 64, 64, 3).transpose(0, 2, 1, 3, 4)
    with atomic_path(path) as temporary:
        Image.fromarray(grid.reshape(-1, columns * 64, 3)).save(temporary, optimize=True)


def manifest_rows(zoo: Path) -> dict[str, dict]:
    """Read the rows of a zoo's manifest, by name; empty where there is no manifest yet."""
    path = zoo / "manifest.csv"
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def add_manifest_row(
    row: dict[str, object], zoo: Path, columns: Sequence[str] = COLUMNS
) -> None:
    """Write or replace a row of the manifest, in the plan's order; two trainers may do so."""
    with locked(zoo):
        rows = {**manifest_rows(zoo), str(row["name"]): row}
        with (zoo / "plan.csv").open(newline="") as file:
            names = [planned["name"] for planned in csv.DictReader(file)]
        target = zoo / "manifest.csv"
        with atomic_path(target) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[name] for name in names if name in rows)


def publish(
    trainer: Trainer, held_out: np.ndarray, zoo: Path, command: str
) -> dict[str, object]:
    """Write the fp16 weights and the manifest row of a trained generator.

    Args:
        trainer: Has trained it; one of the next zoo, too.
        held_out: uint8 photographs (N, 64, 64, 3) to measure it against.
        zoo: Folder of weights and manifest.
        command: What trains it, for the manifest.

    Raises:
        ValueError: a weight is not finite, or too large for fp16; nothing is written.
    """
    entry, generator = trainer.entry, trainer.averaged_generator().half()
    path = zoo / f"{entry.name}.safetensors"
    state = generator.state_dict()
    weights = {
        k: checked_tensor(k, v.contiguous(), v.dtype, f"{entry.name}: not published")
        for k, v in state.items()
        if "num_batches" not in k
    }
    with atomic_path(path) as temporary:
        save_file(weights, temporary)
    generator.float()  # what the shipped fp16 file gives when it is loaded
    ask = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, cwd=zoo, capture_output=True, text=True, check=False)
    row = {
        **vars(entry),
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        **measure(generator, held_out),
        "command": command,
        "commit": commit.stdout.strip() or "none",
    }
    add_manifest_row(row, zoo)
    return row


def read_state(file: Path, device: torch.device) -> dict:
    """Read a trainer's state.

    Raises:
        ValueError: it cannot be read, or weights in it are not finite; it is named.
    """
    try:
        state = torch.load(file, weights_only=True, map_location=device)
        modules = state["modules"].items()
    except Exception as error:  # torch can raise anything on a damaged file
        raise ValueError(f"{file}: no state of a trainer; remove it to begin anew") from error
    for module, values in modules:
        for name, tensor in values.items():
            checked_tensor(f"{module}.{name}", tensor, tensor.dtype, file)
    return state


def train(entry: Entry, runs: Path) -> None:
    """Train one generator to its planned number of steps and publish it."""
    folder = runs / entry.name
    trainer = Trainer(entry, runs)
    held_out, _ = cut_crops(load_photographs(entry.content, "dev"), 1500)
    checkpoint = folder / "state.pt"
    if checkpoint.is_file():
        trainer.restore(read_state(checkpoint, torch.device("cpu")))
        print(f"{entry.name}: resumed at step {trainer.step}", flush=True)
    saved = time.monotonic()
    while trainer.step < entry.steps:
        losses = trainer.train_step()
        if trainer.step % REPORT_EVERY == 0 and trainer.step < entry.steps:
            figures = {**losses, **report(trainer, held_out, folder)}
            shown = " ".join(f"{k} {v:.3f}" for k, v in figures.items())
            minutes = time.process_time() / 60
            print(f"{entry.name} step {trainer.step} {shown} {minutes:.1f} min", flush=True)
        if time.monotonic() - saved > SAVE_EVERY or trainer.step == entry.steps:
            with atomic_path(checkpoint) as temporary:
                torch.save(trainer.state(), temporary)
            saved = time.monotonic()
    row = publish(trainer, held_out, ZOO, f"make zoo NAME={entry.name}")
    print(json.dumps(row, allow_nan=False), flush=True)


def train_missing(
    purpose: str, zoo: Path, runs: Path, plan: Mapping[str, Any], train: Callable[[Any, Path], None]
) -> None:
    """Train the entries of a plan that are named, or all without a manifest row that are free.

    Args:
        purpose: For `--help`.
        zoo: Folder of `plan.csv` and `manifest.csv`.
        runs: Where states and logs go by default.
        plan: Entries by name.
        train: Trains one entry in the folder of all runs, and publishes it.
    """
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--name", action="append", help="entry of plan.csv; may be repeated")
    parser.add_argument("--runs", type=Path, default=runs, help="states and logs")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    unknown = [n for n in arguments.name or [] if n not in plan]
    if unknown:
        parser.error(f"{unknown[0]!r} is not in {zoo.name}/plan.csv; entries: {', '.join(plan)}")
    for name in arguments.name or plan:
        (arguments.runs / name).mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(arguments.runs / name / ".lock", timeout=0):
                if arguments.name or name not in manifest_rows(zoo):
                    train(plan[name], arguments.runs)
        except Timeout:
            print(f"{name}: another trainer has it", flush=True)


def main() -> None:
    """Train generators of the zoo."""
    train_missing(__doc__.split("\n")[0], ZOO, build_folder() / "zoo", read_plan(ZOO), train)


if __name__ == "__main__":
    main()
