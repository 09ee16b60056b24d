"""How long a run would take, and how much memory, from a few of its steps."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from dnadet_lib.data import MEMORY_LIMIT, ImageSet, load_images, some_of_each
from dnadet_lib.discriminant import CHANGED_AT_MOST
from dnadet_lib.evaluation.open_set import REFERENCES_A_CLASS
from dnadet_lib.images.reading import read_image
from dnadet_lib.inference import image_features
from dnadet_lib.model import DNADet
from dnadet_lib.plumbing.memory import peak_memory
from dnadet_lib.plumbing.notes import listening
from dnadet_lib.presets import Preset
from dnadet_lib.stages.batches import PatchBatches, TransformationBatches
from dnadet_lib.stages.checks import require_trainable
from dnadet_lib.stages.own_photographs import CROPS, Counts, own_crops, split_photographs
from dnadet_lib.stages.stage_1 import (
    IMAGES_A_TRANSFORMATION,
    PRETRAINING_CROPS,
    build_model,
    pretraining_material,
)
from dnadet_lib.training import Batches, start_run, train_step

STEPS = 12  # timed at most, after one that is not
SECONDS = 5.0  # after which no further step is timed
SCORED = 4  # images of each class that are timed in inference
TRANSFORMATIONS = 170
FEW = Counts(60, 60, TRANSFORMATIONS)  # crops of one's own photographs
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Estimate:
    """Times in seconds, memory in bytes."""

    device: str
    timed: int  # steps that were timed
    step: float
    steps: int  # of an epoch
    scoring: float  # of dev images, and calibration, after an epoch
    epochs: int  # at most
    once: float  # reading images, and what is solved
    memory: int | None  # about; None where the system does not say

    @property
    def seconds(self) -> float:
        """Of the whole run, if no epoch is spared."""
        return self.once + self.epochs * (self.steps * self.step + self.scoring)

    def text(self, name: str) -> str:
        """Say it in some lines."""
        once = f"{spell(self.once)} once, to read images" + ("" if self.epochs else " and solve")
        lines = [f"{name} on {self.device}: {spell(self.seconds)} at most", f"  {once}"]
        if self.epochs:
            lines.append(
                f"  {self.epochs} epochs at most, each {self.steps} steps of {self.step:.3g} s "
                f"(mean of {self.timed}) and {spell(self.scoring)} to score and calibrate"
            )
        memory = "not known on this system"
        if self.memory is not None:
            memory = f"about {self.memory / 2**30:.1f} GiB"
        return "\n".join([*lines, f"  memory: {memory}"])


def spell(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def timed(work: Callable[[], Answer]) -> tuple[Answer, float]:
    """Do some work; return what it gives, and the seconds that it took."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def training_estimate(
    preset: Preset, train: ImageSet, dev: ImageSet, pretrained: DNADet | None = None
) -> Estimate:
    """Time some steps of stage 2; arguments and errors as `run_training`, which is not begun."""
    dev = require_trainable(preset, train, dev, pretrained)
    model = build_model(train.classes, preset, 0)
    few = train.take(some_of_each(train.labels, max(preset.items, SCORED)))
    read, reading = timed(lambda: [read_image(path) for path in few.paths])
    each = seconds_an_image(model, dev.take(some_of_each(dev.labels, SCORED)).paths)
    classes, changes = len(train.classes), len(preset.changes)
    references = min(len(train), REFERENCES_A_CLASS * classes)
    once = reading / len(few) * (2 * len(train) + len(dev))  # for the key of the run, and to learn
    kept = min(len(train) * read[0].nbytes, MEMORY_LIMIT)
    if preset.discriminant:
        copies = 2 * changes * min(len(train), CHANGED_AT_MOST * classes)  # those of dev are fewer
        once += each * (len(train) + copies + references + len(dev))
        return Estimate(device_of(model), 0, 0, 0, 0, 0, once, memory(model, kept))
    images = load_images(few.paths)
    batches = PatchBatches(images, few.labels, replace(preset, steps_per_epoch=STEPS))
    step, count = seconds_a_step(model, batches, preset)
    steps = PatchBatches(images, train.labels, preset).steps
    scoring = each * (2 * len(dev) + references)
    return Estimate(device_of(model), count, step, steps, scoring, preset.epochs, once,
                    memory(model, kept))  # fmt: skip


def pretraining_estimate(
    preset: Preset, profile: str = "pocket", seed: int = 0, photos: Path | None = None
) -> Estimate:
    """Time some steps of stage 1 on some crops of the zoo's photographs, or of one's own."""
    crops = PRETRAINING_CROPS[profile]
    dev = IMAGES_A_TRANSFORMATION[profile] * TRANSFORMATIONS
    own, once = None, 0.0
    if photos is not None:
        train, kept = split_photographs(photos, seed)
        with listening():
            own, once = timed(lambda: own_crops(photos, preset.transform_size, FEW, seed, []))
        crops, dev = CROPS.of(len(train)), CROPS.dev
        once *= (min(crops, len(train)) + len(kept)) / (min(FEW.least, len(train)) + len(kept))
    some = pretraining_material(preset, "smoke", seed, own=own)
    model = build_model(some.key.classes, preset, 0)
    batches = TransformationBatches(some.crops, replace(preset, steps_per_epoch=STEPS))
    step, count = seconds_a_step(model, batches, preset)
    steps = preset.steps_per_epoch or max(1, crops // preset.items)
    scoring = dev * seconds_an_image(model, list(some.dev.images[: 2 * SCORED]))
    return Estimate(device_of(model), count, step, steps, scoring, preset.epochs, once,
                    memory(model, (crops + dev) * some.crops[0].nbytes))  # fmt: skip


def seconds_an_image(model: DNADet, images: Sequence) -> float:
    """Time the inference of some images, after one that is not timed."""
    image_features(model, images[:1])
    return timed(lambda: image_features(model, images))[1] / len(images)


def seconds_a_step(model: DNADet, batches: Batches, preset: Preset) -> tuple[float, int]:
    """Time some training steps; their mean, with what it takes to make the batches, and number."""
    run, times = start_run(model, preset, STEPS), list[float]()
    model.train()
    start = time.perf_counter()
    for views, labels in batches.epoch(np.random.default_rng(0)):
        train_step(run, views, labels)["classification"].item()  # which waits for the device
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
        if len(times) > 1 and sum(times[1:]) > SECONDS:
            break
    return float(np.mean(times[1:])), len(times) - 1


def device_of(model: DNADet) -> str:
    """Name the device that a model is on."""
    return next(model.parameters()).device.type


def memory(model: DNADet, images: int) -> int | None:
    """Peak memory of this process, or of its GPU, with that of decoded images on the CPU."""
    if device_of(model) == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = peak_memory()
    return None if peak is None else peak + images
