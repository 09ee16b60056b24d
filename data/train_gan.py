"""Train generators of the pocket zoo.

    python data/train_gan.py --name SNGAN_meadow_s0     # one entry of data/zoo/plan.csv
    python data/train_gan.py                            # every entry that has no manifest row yet

A fine-tuned entry starts from the shipped weights of the one it names; its critic, which is new,
learns alone for as many steps first. Its batches are twice as large, and the rates fall throughout.

A run resumes from `build/zoo/NAME/state.pt`, draws a sample sheet and prints quality figures as
it goes, and at the end writes `data/zoo/NAME.safetensors` (fp16, averaged weights) and a row of
`data/zoo/manifest.csv`. `data/make_cards.py` draws the contact sheets. On a GPU an entry gets ten
times the planned steps.
"""

from __future__ import annotations

import argparse
import copy
import csv
import hashlib
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from gan_losses import RECIPES, Recipe
from PIL import Image
from quality import mean_pairwise_distance, sliced_wasserstein
from safetensors.torch import save_file
from torch import Tensor, nn

from dnadet_lib.checkpoints.weights import checked_tensor
from dnadet_lib.plumbing.files import atomic_path, locked
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.zoo.generators import build_generator, renew_batch_norm, sample_images
from dnadet_lib.zoo.layers import LATENT, EqualizedConv2d, ModulatedConv2d
from dnadet_lib.zoo.manifest import read_manifest
from dnadet_lib.zoo.photographs import cut_crops, load_photographs

ZOO = Path(__file__).resolve().parent / "zoo"
TRAINING_CROPS = 8000
DECAY = 0.4  # the last part of the steps, in which the learning rates fall to zero
LONGER_ON_GPU = 10
REPORT_EVERY = 800
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


class Trainer:
    """Alternates critic and generator steps, keeping an averaged copy of the generator."""

    def __init__(self, entry: Entry, device: torch.device) -> None:
        self.entry, self.device = entry, device
        self.recipe, self.decay = RECIPES[entry.loss], DECAY
        if entry.finetuned_from:
            self.recipe = replace(self.recipe, batch_size=2 * self.recipe.batch_size)
            self.decay = 1.0
        torch.manual_seed(entry.seed * 1000 + sum(map(ord, entry.architecture + entry.content)))
        self.generator = self._place(starting_generator(entry))
        normalised = any(isinstance(m, nn.BatchNorm2d) for m in self.generator.modules())
        self.critic = self._place(self.recipe.critic(minibatch_std=not normalised))
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimisers = {
            "generator": self._adam(generator_rates(self.generator, self.recipe)),
            "critic": self._adam([(self.recipe.critic_rate, list(self.critic.parameters()))]),
        }
        self.step = 0
        self.alone = entry.steps if entry.finetuned_from else 0  # steps of the critic before
        photographs = load_photographs(entry.content, entry.group)
        crops, _ = cut_crops(photographs, TRAINING_CROPS, seed=entry.seed)
        self.crops = torch.from_numpy(crops).permute(0, 3, 1, 2)

    def _place(self, module: nn.Module) -> nn.Module:
        return module.to(self.device, memory_format=torch.channels_last)

    def _adam(self, rates: list[tuple[float, list[nn.Parameter]]]) -> torch.optim.Adam:
        groups = [{"params": p, "full_rate": rate} for rate, p in rates]
        return torch.optim.Adam(groups, betas=self.recipe.betas)

    def _real(self) -> Tensor:
        index = torch.randint(len(self.crops), (self.recipe.batch_size,))
        batch = self.crops[index].to(self.device).float() / 127.5 - 1
        return batch.contiguous(memory_format=torch.channels_last)

    def _latents(self, count: int) -> Tensor:
        return torch.randn(count, LATENT, device=self.device)

    def train_step(self) -> tuple[float, float]:
        """One step of the critic, one of the generator, one of the average."""
        for _ in range(1 + self.alone):
            critic_loss, real, fake = self._critic_step()
            self.alone = max(0, self.alone - 1)
        self.critic.requires_grad_(False)
        with self._autocast():
            generator_loss = self.recipe.generator_loss(self.critic, real, fake)
        self._descend("generator", generator_loss)
        self.critic.requires_grad_(True)
        decay = min(self.recipe.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for averaged, current in pairs:
                averaged.lerp_(current, 1 - decay)
        self.step += 1
        return critic_loss.item(), generator_loss.item()

    def _critic_step(self) -> tuple[Tensor, Tensor, Tensor]:
        real = self._real()
        with self._autocast():
            fake = self.generator(self._latents(self.recipe.batch_size))
            loss = self.recipe.critic_loss(self.critic, real, fake.detach().float())
        self._descend("critic", loss)
        return loss, real, fake

    def _autocast(self) -> torch.autocast:
        """bf16 on a GPU; on CPUs these small convolutions are quicker in fp32."""
        kind = self.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda")

    def _descend(self, name: str, loss: Tensor) -> None:
        left = (self.entry.steps - self.step) / (self.decay * self.entry.steps)
        for group in self.optimisers[name].param_groups:
            group["lr"] = group["full_rate"] * min(1.0, left)
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[name].step()

    @torch.no_grad()
    def averaged_generator(self) -> nn.Module:
        """Return the averaged generator with batch-norm statistics made for its own weights."""
        generator = copy.deepcopy(self.average).cpu().float()
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
        self.alone = 0
        torch.set_rng_state(state["rng"].cpu())
        modules = {"generator": self.generator, "critic": self.critic, "average": self.average}
        for name, module in modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def starting_generator(entry: Entry) -> nn.Module:
    """Build a new generator, or load the one that is to be fine-tuned."""
    if not entry.finetuned_from:
        return build_generator(entry.architecture)
    trained = {g.name: g for g in read_manifest()}
    if entry.finetuned_from not in trained:
        raise ValueError(
            f"{entry.name}, finetuned_from: {entry.finetuned_from!r} has no manifest row yet: "
            "train it first"
        )
    return trained[entry.finetuned_from].load().train()


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


def train(entry: Entry, device: torch.device) -> None:
    """Train one generator to its planned number of steps and publish it."""
    folder = build_folder() / "zoo" / entry.name
    trainer = Trainer(entry, device)
    held_out, _ = cut_crops(load_photographs(entry.content, "dev"), 1500)
    checkpoint = folder / "state.pt"
    if checkpoint.is_file():
        trainer.restore(read_state(checkpoint, device))
        print(f"{entry.name}: resumed at step {trainer.step}", flush=True)
    started = time.monotonic()
    while trainer.step < entry.steps:
        losses = trainer.train_step()
        if trainer.step % REPORT_EVERY == 0 or trainer.step == entry.steps:
            generator = trainer.averaged_generator()
            latents = torch.randn(72, LATENT, generator=torch.Generator().manual_seed(5))
            sheet = folder / f"step_{trainer.step:06d}.png"
            write_sheet(sample_images(generator, latents).numpy(), sheet, columns=12)
            figures = (
                measure(generator, held_out[:QUICK_LOOK]) if trainer.step < entry.steps else {}
            )
            minutes = (time.monotonic() - started) / 60
            told = json.dumps(figures, allow_nan=False)
            print(
                f"{entry.name} step {trainer.step} critic {losses[0]:.3f} "
                f"generator {losses[1]:.3f} {told} {minutes:.1f} min",
                flush=True,
            )
            with atomic_path(checkpoint) as temporary:
                torch.save(trainer.state(), temporary)
    row = publish(trainer, held_out, ZOO, f"make zoo NAME={entry.name}")
    print(json.dumps(row, allow_nan=False), flush=True)


def main() -> None:
    """Train the named entries, or all that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--name", action="append", help="entry of plan.csv; may be repeated")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    plan = read_plan(ZOO)
    unknown = [n for n in arguments.name or [] if n not in plan]
    if unknown:
        parser.error(f"{unknown[0]!r} is not in {ZOO.name}/plan.csv; entries: {', '.join(plan)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for name in arguments.name or [n for n in plan if n not in manifest_rows(ZOO)]:
        factor = LONGER_ON_GPU if device.type == "cuda" else 1
        train(replace(plan[name], steps=factor * plan[name].steps), device)


if __name__ == "__main__":
    main()
