"""Train generators as a stranger would, and keep their images.

    python data/abroad/train_abroad.py --name dcgan_a    # one entry of data/abroad/plan.csv
    python data/abroad/train_abroad.py                   # every entry that has no manifest row yet

Many things differ from the zoo's generators at once: width, latent, critic, loss, optimiser, batch,
averaging, size, photographs and how they were prepared, and the format that images are saved in.
Entries with the start "gan" are trained against a critic alone. Those with "vae" have an encoder as
well (Larsen et al. 2016, "Autoencoding beyond pixels"): it stays throughout, and the critic joins
after a third of the steps.

A run resumes from `RUNS/NAME/state.pt`. At the end `data/abroad/NAME.zip` holds the images, as a
stranger's generator is known by its images alone, and `manifest.csv` gets a row.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import sys
import time
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from architectures import build, critic
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F

from dnadet_lib.plumbing.devices import chosen_device
from dnadet_lib.plumbing.files import atomic_path, sha256_of
from dnadet_lib.plumbing.paths import build_folder
from dnadet_lib.zoo.photographs import Photograph, load_photographs

ABROAD = Path(__file__).resolve().parent
sys.path.append(str(ABROAD.parent))
from quality import mean_pairwise_distance, sliced_wasserstein  # noqa: E402
from train_gan import add_manifest_row, read_state, train_missing  # noqa: E402

CROPS = 4000
IMAGES = {64: 200, 128: 100}  # by size
SAVE_EVERY = 180  # seconds
REPORT_EVERY = 100
KL_WEIGHT = 0.01  # against the mean absolute difference of a pixel
FORMATS = {"png": {}, "jpeg95": {"quality": 95}, "webp90": {"quality": 90}}
COLUMNS = "name architecture role size content format images sha256 swd diversity command".split()


@dataclass(frozen=True)
class Entry:
    """What the plan says of one generator."""

    name: str
    architecture: str
    role: str
    size: int
    width: int
    latent: int
    prior: str
    bias: bool
    start: str
    loss: str
    norm: str
    optimiser: str
    rate: float
    batch: int
    steps: int
    average: float
    content: str
    filter: str
    photo_jpeg: int
    format: str


def read_plan() -> dict[str, Entry]:
    """Read `plan.csv`, by name."""
    kinds = {"int": int, "float": float, "bool": lambda text: text == "yes", "str": str}
    with (ABROAD / "plan.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {r["name"]: Entry(*(kinds[f.type](r[f.name]) for f in fields(Entry))) for r in rows}


def prepared(entry: Entry, group: str, count: int) -> np.ndarray:
    """Cut squares of photographs, resize them by the entry's filter, compress them if it says so.

    Returns:
        uint8 (count, size, size, 3).
    """
    rng = np.random.default_rng([zlib.crc32(entry.name.encode()), len(group)])
    photographs = [_opened(photograph) for photograph in load_photographs(entry.content, group)]
    return np.stack([_cut(photographs[i % len(photographs)], entry, rng) for i in range(count)])


def _opened(photograph: Photograph) -> Image.Image:
    photo = Image.open(photograph.path)
    if photo.mode != "RGBA":
        return photo.convert("RGB")
    side = int(max(photo.size) * 1.1)
    ground = Image.new("RGBA", (side, side), "white")
    ground.alpha_composite(photo, ((side - photo.width) // 2, (side - photo.height) // 2))
    return ground.convert("RGB")


def _cut(photo: Image.Image, entry: Entry, rng: np.random.Generator) -> np.ndarray:
    side = int(rng.uniform(0.6, 1) * min(photo.size))
    left, top = (int(rng.integers(0, s - side + 1)) for s in photo.size)
    box = (left, top, left + side, top + side)
    kind = Image.Resampling[entry.filter.upper()]
    crop = photo.resize((entry.size, entry.size), kind, box=box)
    if entry.photo_jpeg:
        buffer = io.BytesIO()
        crop.save(buffer, "JPEG", quality=entry.photo_jpeg)
        crop = Image.open(buffer)
    return np.asarray(ImageOps.mirror(crop) if rng.random() < 0.5 else crop)


def latents(entry: Entry, count: int, noise: torch.Generator | None = None) -> Tensor:
    """Draw latents (count, L) from the entry's prior."""
    if entry.prior == "uniform":
        return 2 * torch.rand(count, entry.latent, generator=noise) - 1
    z = torch.randn(count, entry.latent, generator=noise)
    return F.normalize(z, dim=1) * entry.latent**0.5 if entry.prior == "sphere" else z


def critic_loss(kind: str, real: Tensor, fake: Tensor) -> Tensor:
    """What a critic lowers, given its scores of photographs and of generated images."""
    if kind == "non-saturating":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    if kind == "least-squares":
        return (real - 1).square().mean() + fake.square().mean()
    return fake.mean() - real.mean() + 0.001 * real.square().mean()  # wgan-gp, with its drift


def generator_loss(kind: str, fake: Tensor) -> Tensor:
    """What a generator lowers, given the critic's scores of its images."""
    if kind == "non-saturating":
        return F.softplus(-fake).mean()
    return (fake - 1).square().mean() if kind == "least-squares" else -fake.mean()


def gradient_penalty(network: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Ten times the squared difference of the gradient's norm from 1 (Gulrajani et al. 2017)."""
    share = torch.rand(len(real), 1, 1, 1).to(real.device)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(network(between).sum(), between, create_graph=True)
    return 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class Trainer:
    """Trains a generator against a critic, with an encoder where the entry starts as a VAE."""

    def __init__(self, entry: Entry) -> None:
        self.entry, self.step, self.device = entry, 0, chosen_device()
        torch.manual_seed(zlib.crc32(entry.name.encode()))
        images = torch.from_numpy(prepared(entry, "train", CROPS)).permute(0, 3, 1, 2)
        self.photographs = images.contiguous(memory_format=torch.channels_last)
        options = {k: getattr(entry, k) for k in ("latent", "width", "size", "bias")}
        generator = build(entry.architecture, **options)
        self.modules = nn.ModuleDict(
            {"generator": generator, "critic": critic(24, entry.size, entry.norm)}
        )
        if entry.start == "vae":
            encoder = critic(24, entry.size, "batch")
            encoder[-1] = nn.Linear(encoder[-1].in_features, 2 * entry.latent)
            self.modules["encoder"] = encoder
        self.modules.to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(generator).requires_grad_(False)
        made = [p for k, m in self.modules.items() if k != "critic" for p in m.parameters()]
        self.optimisers = {
            "made": self._optimiser(made),
            "critic": self._optimiser(list(self.modules["critic"].parameters())),
        }

    def _optimiser(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if self.entry.optimiser == "rmsprop":
            return torch.optim.RMSprop(parameters, self.entry.rate)
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[self.entry.optimiser]
        first = 0.0 if self.entry.architecture == "ProGAN" else 0.5
        return kind(parameters, self.entry.rate, betas=(first, 0.99))

    def train_step(self) -> dict[str, float]:
        """One step of the critic, one of generator and encoder."""
        entry, modules = self.entry, self.modules
        index = torch.randint(len(self.photographs), (entry.batch,))
        real = self.photographs[index].to(self.device).float() / 127.5 - 1
        fake = modules["generator"](latents(entry, entry.batch).to(self.device))
        losses = {}
        if entry.start == "gan" or self.step >= entry.steps // 3:
            scores = modules["critic"](real), modules["critic"](fake.detach())
            losses["critic"] = critic_loss(entry.loss, *scores)
            if entry.loss == "wgan-gp":
                penalty = gradient_penalty(modules["critic"], real, fake.detach())
                losses["critic"] = losses["critic"] + penalty
            self._descend("critic", losses["critic"])
            weight = 1.0 if entry.start == "gan" else 0.05
            losses["generator"] = weight * generator_loss(entry.loss, modules["critic"](fake))
        if entry.start == "vae":
            losses["vae"] = self._reconstruction(real)
        self._descend("made", sum(v for k, v in losses.items() if k != "critic"))
        self._follow()
        self.step += 1
        return {k: v.item() for k, v in losses.items()}

    def _reconstruction(self, real: Tensor) -> Tensor:
        mean, log_variance = self.modules["encoder"](real).chunk(2, dim=1)
        log_variance = log_variance.clamp(-8, 4)
        code = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        drawn = self.modules["generator"](code)
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).mean() / 2
        coarse = F.avg_pool2d(drawn - real, 4).abs().mean()
        return (drawn - real).abs().mean() + coarse + KL_WEIGHT * divergence

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[name].step()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged generator; its batch-norm buffers are copied."""
        current = self.modules["generator"]
        keep = min(self.entry.average, (1 + self.step) / (10 + self.step))
        for averaged, new in zip(self.average.parameters(), current.parameters(), strict=True):
            averaged.lerp_(new, 1 - keep)
        for averaged, new in zip(self.average.buffers(), current.buffers(), strict=True):
            averaged.copy_(new)

    def state(self) -> dict:
        """Everything that a resumed run needs."""
        return {
            "step": self.step, "rng": torch.get_rng_state(),
            "modules": {
                "trained": self.modules.state_dict(), "average": self.average.state_dict()
            },
            "optimisers": {k: o.state_dict() for k, o in self.optimisers.items()},
        }  # fmt: skip

    def restore(self, state: dict) -> None:
        """Go on from `state()`."""
        self.step = state["step"]
        torch.set_rng_state(state["rng"])
        self.modules.load_state_dict(state["modules"]["trained"])
        self.average.load_state_dict(state["modules"]["average"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])

    @torch.no_grad()
    def sample(self, count: int) -> np.ndarray:
        """Draw images: uint8 (count, size, size, 3)."""
        noise = torch.Generator().manual_seed(1)
        generator = copy.deepcopy(self.average).cpu().eval()
        drawn = [
            generator(latents(self.entry, min(50, count - start), noise))
            for start in range(0, count, 50)
        ]
        levels = ((torch.cat(drawn) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return levels.permute(0, 2, 3, 1).numpy()


def write_images(images: np.ndarray, entry: Entry) -> Path:
    """Write NAME.zip: one file per image, in the entry's format."""
    path = ABROAD / f"{entry.name}.zip"
    kind = entry.format.rstrip("0123456789")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for index, image in enumerate(images):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, kind.upper(), **FORMATS[entry.format])
            member = zipfile.ZipInfo(f"{index:05d}.{'jpg' if kind == 'jpeg' else kind}")
            archive.writestr(member, buffer.getvalue())
    return path


def publish(trainer: Trainer) -> dict[str, object]:
    """Write a generator's images and its row of the manifest."""
    entry = trainer.entry
    images = trainer.sample(IMAGES[entry.size])
    held_out = prepared(entry, "dev", len(images))
    distances = sliced_wasserstein(images, held_out).values()
    row = {
        **{k: getattr(entry, k) for k in COLUMNS if hasattr(entry, k)},
        "images": len(images), "sha256": sha256_of(write_images(images, entry)),
        "swd": "/".join(f"{d:.0f}" for d in distances),
        "diversity": round(mean_pairwise_distance(images) / mean_pairwise_distance(held_out), 2),
        "command": f"python data/abroad/train_abroad.py --name {entry.name}",
    }  # fmt: skip
    add_manifest_row(row, ABROAD, COLUMNS)
    return row


def train(entry: Entry, runs: Path) -> None:
    """Train one generator to its planned number of steps and publish its images."""
    folder = runs / entry.name
    trainer, file = Trainer(entry), folder / "state.pt"
    if file.is_file():
        trainer.restore(read_state(file, torch.device("cpu")))
        print(f"{entry.name}: resumed at step {trainer.step}", flush=True)
    saved = time.monotonic()
    while trainer.step < entry.steps:
        losses = trainer.train_step()
        if trainer.step % REPORT_EVERY == 0:
            shown = " ".join(f"{k} {v:.3f}" for k, v in losses.items())
            minutes = time.process_time() / 60
            print(f"{entry.name} step {trainer.step} {shown} {minutes:.1f} min", flush=True)
            sheet = trainer.sample(32).reshape(4, 8, entry.size, entry.size, 3)
            sheet = sheet.transpose(0, 2, 1, 3, 4).reshape(4 * entry.size, 8 * entry.size, 3)
            Image.fromarray(sheet).save(folder / f"step_{trainer.step:06d}.png")
        if time.monotonic() - saved > SAVE_EVERY or trainer.step == entry.steps:
            with atomic_path(file) as temporary:
                torch.save(trainer.state(), temporary)
            saved = time.monotonic()
    print(json.dumps(publish(trainer), allow_nan=False), flush=True)


def main() -> None:
    """Train generators abroad."""
    train_missing(__doc__.split("\n")[0], ABROAD, build_folder() / "abroad", read_plan(), train)


if __name__ == "__main__":
    main()
