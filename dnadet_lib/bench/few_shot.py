"""How well a new architecture is named after a few images: episodes on the zoo's unknown ones.

An episode enrols classes from K images each and names other images. Where an architecture has
several generators, one is enrolled and the others are named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dnadet_lib.data import ImageSet, origins, some_of_each
from dnadet_lib.evaluation.intervals import Interval, mean_interval
from dnadet_lib.evaluation.results import Row, markdown_table, setup_accuracy
from dnadet_lib.model import DNADet
from dnadet_lib.stages.enrolment import NewClass, Shots, head, new_class, take_shots
from dnadet_lib.zoo.setups import load_setup

SHOTS = (1, 5, 10, 50)
WAYS = 5
EACH = 100  # images of a generator, at most
MEASURES = ("{ways}-way accuracy", "recall of the new class", "accuracy of known classes")


@dataclass(frozen=True)
class Pool:
    """Generators to draw episodes from: their images, architectures, and which are unknown."""

    shots: dict[str, Shots]  # generator -> images
    architectures: dict[str, str]  # generator -> architecture
    unknown: tuple[str, ...]  # generators of unknown architectures
    truths: dict[str, int]  # generator of a known class -> its number

    def of(self, architecture: str) -> list[str]:
        """List the generators of an architecture."""
        return [name for name, own in self.architectures.items() if own == architecture]


def load_pool(model: DNADet, role: str, root: Path | None = None, seed: int = 0) -> Pool:
    """Run a model over unknown architectures of a role, "dev" or "test", and new known generators.

    The known ones are unseen instances of the model's classes, of the set-up "dev" or "seed";
    photographs are left out.
    """
    unknown = load_setup("unknown", role, root)
    known = load_setup("dev" if role == "dev" else "seed", root=root)
    known = known.take(np.array([k for k, s in enumerate(known.sources) if s[:5] != "real/"]))
    shots, architectures, truths = {}, {}, {}
    for images, changes in ((unknown, model.changes), (known, ())):  # known ones: as they are
        for name, own in by_generator(images, seed).items():
            shots[name] = take_shots(model, own.paths, changes, seed)
            architectures[name] = own.classes[own.labels[0]]
            if images is known:
                truths[name] = model.classes.index(architectures[name])
    return Pool(shots, architectures, tuple(dict.fromkeys(unknown.sources)), truths)


def by_generator(images: ImageSet, seed: int) -> dict[str, ImageSet]:
    """Take some images of each generator."""
    names = origins(np.array(images.sources))
    numbers = np.unique(names, return_inverse=True)[1]
    images = images.take(some_of_each(numbers, EACH, seed))
    own = np.array(images.sources)
    return {name: images.take(np.flatnonzero(own == name)) for name in dict.fromkeys(own.tolist())}


def few_shot_rows(
    model: DNADet, pool: Pool, shots: Sequence[int] = SHOTS, ways: int = WAYS, episodes: int = 100,
    seed: int = 0,
) -> list[Row]:  # fmt: skip
    """Measure, for each number of shots, three figures of each unknown generator and their means.

    - `WAYS-way accuracy`: it and other architectures are enrolled, unknown ones first, then known
      ones by new generators; its images are named by the nearest of the new means.
    - `recall of the new class`: it alone is enrolled beside the model's classes.
    - `accuracy of known classes`: on images of new generators of the model's classes, then; at 0
      shots without any new class.

    A generator's interval is over episodes, that of a mean over generators where there are three or
    more.
    """
    least = min(pool.shots[name].embeddings.shape[1] for name in pool.unknown)
    if not 0 < max(shots) < least or min(shots) < 1 or ways < 2 or episodes < 1:
        raise ValueError(
            f"{', '.join(map(str, shots))} shots, {ways} ways, {episodes} episodes: there must be "
            f"1 to {least - 1} shots, 2 ways and 1 episode or more"
        )
    rng, rows = np.random.default_rng(seed), [untouched(model, pool)]
    for count in shots:
        found: dict[str, dict[str, Interval]] = {}
        for name in pool.unknown:
            figures = np.array([episode(model, pool, name, count, ways, rng)
                                for _ in range(episodes)])  # fmt: skip
            for measure, values in zip(MEASURES, figures.T, strict=True):
                interval = Interval(*mean_interval(values), "episodes")
                found.setdefault(measure.format(ways=ways), {})[name] = interval
        for measure, each in found.items():
            every = {"": setup_accuracy(each.values()), **{f" {n}": v for n, v in each.items()}}
            rows += [
                Row(model.origin, f"{count} shots", measure + name, one.value, one.low, one.high,
                    episodes, 1 if name else len(each))
                for name, one in every.items()
            ]  # fmt: skip
    return rows


def episode(
    model: DNADet, pool: Pool, name: str, count: int, ways: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Enrol a generator and others, and return the three figures of `few_shot_rows`."""
    own, queries = drawn(model, pool, pool.architectures[name], count, rng, name)
    strangers = {pool.architectures[k] for k in pool.unknown} - {pool.architectures[name]}
    others = [*rng.permutation(sorted(strangers)),
              *rng.permutation(sorted({pool.architectures[k] for k in pool.truths}))]  # fmt: skip
    rivals = [drawn(model, pool, other, count, rng)[0] for other in others[: ways - 1]]
    scores = torch.stack([queries @ c.weights[0] + c.biases[0] for c in (own, *rivals)], dim=1)
    known, truth = known_images(pool)
    return (
        float((scores.argmax(dim=1) == 0).float().mean()),
        float((named(model, own, queries) == len(model.classes)).float().mean()),
        float((named(model, own, known) == truth).float().mean()),
    )


def known_images(pool: Pool) -> tuple[Tensor, Tensor]:
    """Return embeddings (N, D) and class numbers (N,) of all images of known classes."""
    counts = torch.tensor([pool.shots[name].embeddings.shape[1] for name in pool.truths])
    numbers = torch.tensor(list(pool.truths.values())).repeat_interleave(counts)
    return torch.cat([pool.shots[name].embeddings[0] for name in pool.truths]), numbers


def untouched(model: DNADet, pool: Pool) -> Row:
    """Measure the accuracy of known classes before a class is enrolled."""
    known, truth = known_images(pool)
    with torch.no_grad():
        value = float((model.logits(known).argmax(dim=1) == truth).float().mean())
    nan = float("nan")
    return Row(model.origin, "0 shots", MEASURES[2], value, nan, nan, len(truth), len(pool.truths))


def drawn(
    model: DNADet, pool: Pool, architecture: str, count: int, rng: np.random.Generator,
    query: str | None = None,
) -> tuple[NewClass, Tensor]:  # fmt: skip
    """Make a class of an architecture from images drawn, and return others: embeddings (N, D).

    The others are of the generator `query`; the class is of another one if there is any.
    """
    names = pool.of(architecture)
    source = str(rng.choice([name for name in names if name != query] or names))
    own = pool.shots[source]
    order = rng.permutation(own.embeddings.shape[1])
    rest = pool.shots[query or source].embeddings[0]
    rest = rest[order[count:]] if query in (None, source) else rest
    return new_class(model, own.take(order[:count])), rest


def named(model: DNADet, new: NewClass, embeddings: Tensor) -> Tensor:
    """Number the classes of embeddings (N, D); the new one comes after the model's."""
    weights, biases = head(model)
    weights = torch.cat([weights, new.weights[:, None]], dim=1)
    biases = torch.cat([biases, new.biases[:, None]], dim=1)
    scores = torch.einsum("nd,ckd->nck", embeddings, weights) + biases
    return scores.logsumexp(dim=1).argmax(dim=1)


def few_shot_table(rows: Sequence[Row]) -> str:
    """Markdown table: a line per figure, a column per number of shots."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        value = str(Interval(row.value, row.low, row.high, ""))
        value = f"{row.value:.3f}" if np.isnan(row.low) else value
        cells.setdefault(row.metric, {"figure": row.metric})[row.setup] = value
    return markdown_table(pd.DataFrame(cells.values()).fillna(""))
