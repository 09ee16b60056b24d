"""Several processes that train together, as `torchrun` starts them; one alone needs none of this.

Every process takes its share of each batch. Gradients are averaged over processes, and the
contrastive loss sees the patches of all of them, so a step is that of one process with all shares.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

Value = TypeVar("Value")
PATIENCE = timedelta(hours=2)  # in which the first process measures dev images, or calibrates


@contextmanager
def ranks() -> Iterator[None]:
    """Join the processes that `torchrun` started, if it did; on GPUs, each takes one of its own."""
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Count the processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0


def from_first(make: Callable[[], Value]) -> Value:
    """Make a value in the first process, and give it to all."""
    if world_size() == 1:
        return make()
    box = [make() if is_first() else None]
    dist.broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]


def own_share(index: np.ndarray, items: int) -> np.ndarray:
    """Take this process's share of a batch (K * items,): as many of each run of `items`.

    Raises:
        ValueError: the processes cannot share the items evenly.
    """
    world = world_size()
    if world == 1:
        return index
    if items % world:
        raise ValueError(f"items {items}: {world} processes cannot share them evenly")
    return index.reshape(-1, items)[:, rank() :: world].ravel()


def random_share(rng: np.random.Generator) -> np.random.Generator:
    """Return a generator that differs between processes; one process alone keeps its own."""
    return rng.spawn(world_size())[rank()] if world_size() > 1 else rng


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        parts = [torch.empty_like(values) for _ in range(world_size())]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return added_up(gradient).chunk(world_size())[rank()]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return added_up(values)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return added_up(gradient)


def added_up(values: Tensor) -> Tensor:
    """Add up a tensor over all processes."""
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def of_all(values: Tensor) -> Tensor:
    """Join the rows (B, ...) of all processes; gradients go back to where the rows come from."""
    return _Joined.apply(values) if world_size() > 1 else values


def mean_of_all(values: Tensor) -> Tensor:
    """Average a tensor over all processes; gradients go back to each."""
    return _Summed.apply(values) / world_size()


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of all processes, on CPUs too, unlike PyTorch's."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W)."""
        if not self.training or world_size() == 1:
            return super().forward(x)
        values = x.float()
        mean = mean_of_all(values.mean(dim=(0, 2, 3)))
        centred = values - mean[:, None, None]
        variance = mean_of_all(centred.square().mean(dim=(0, 2, 3)))
        with torch.no_grad():
            count = world_size() * x.numel() / x.shape[1]
            unbiased = variance * count / (count - 1)
            for old, new in ((self.running_mean, mean), (self.running_var, unbiased)):
                old.lerp_(new, self.momentum)  # type: ignore[union-attr, arg-type]
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        scale = self.weight * (variance + self.eps).rsqrt()
        normalised = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(x.dtype)


def share_batch_norm(model: nn.Module) -> None:
    """Let every batch norm of a model take the statistics of all processes; in place."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d
