"""What lesson 06 does: generators of one's own beside controls that cannot bear their trace."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dnadet_lib.course.lessons import saved_sources
from dnadet_lib.data import ImageSet
from dnadet_lib.evaluation.intervals import mean_interval
from dnadet_lib.explorer import closeup, explorer
from dnadet_lib.explorer.projection import nearest_to
from dnadet_lib.explorer.state import Explorer
from dnadet_lib.images.reading import read_image
from dnadet_lib.zoo.manifest import CLASSES

NOBODY = "none"  # the class of what bears no trace
CONTROLS, OWN = "controls", "mine"  # set-ups of the explorer
MOST = 0.5  # share of a generator's images from which most are meant


def controls(
    folder: Path, nobodys: Mapping[str, np.ndarray], early: Mapping[str, np.ndarray], steps: int
) -> ImageSet:
    """Write the controls as PNG files, so that they are read like anybody's.

    Args:
        folder: Gets a folder for each control, whose name is the images' source.
        nobodys: Name -> images that bear no trace, uint8 (N, H, W, 3): layouts, noise.
        early: Class -> images of a generator that was barely trained.
        steps: For how many steps.
    """
    sources = {f"{name}_{steps}_steps": (name, batch) for name, batch in early.items()}
    sources |= {name: (NOBODY, batch) for name, batch in nobodys.items()}
    return saved_sources(folder, sources, (*CLASSES, NOBODY))


def margin(count: int) -> float:
    """Two standard errors, at most, of a difference of shares of so many images each."""
    return float(np.sqrt(2 / count))


def against_controls(
    table: pd.DataFrame, architecture: str, row: str, count: int
) -> tuple[str, bool]:
    """Compare how often images are named rightly with how often controls get the same name.

    Args:
        table: Shares called "CLASS" and "CLASS and known"; rows (maker, kind). All other makers
            are controls, and so is what ends in "shuffled".
        architecture: The class, and the maker of the images.
        row: Their kind.
        count: Images of a row.

    Returns:
        A line for each column, and whether the images lead all controls in both.
    """
    maker, kind = (table.index.get_level_values(level) for level in (0, 1))
    control = (maker != architecture) | kind.str.endswith("shuffled")
    lines, ahead = [], True
    for column in (architecture, f"{architecture} and known"):
        right, others = table.loc[(architecture, row), column], table[column][control]
        leads = bool(right > others.max() + margin(count))
        ahead &= leads
        verdict = "more than" if leads else "no lead over"
        lines.append(
            f"Your {architecture}, {row}: {right:.2f} called {column}, {verdict} the control "
            f"{', '.join(others.idxmax())} ({others.max():.2f})"
        )
    return "\n".join(lines), ahead


def misled(rows: pd.DataFrame) -> str:
    """Say of some images how many pass as known and are named wrongly, and whose most are."""
    wrong = rows[rows["known"].astype(bool) & ~rows["named rightly"].astype(bool)]
    text = f"{len(wrong)} of {len(rows)} pass as known and are named wrongly"
    if not len(wrong):
        return text
    makers = wrong["generator"].value_counts()
    return (
        f"{text}, {makers.iloc[0]} of them by {makers.index[0]}; median confidence "
        f"{wrong['confidence'].median():.2f}"
    )


def worth_of_names(ahead: Mapping[str, bool]) -> str:
    """Say of which own generators "named rightly" counts: those that lead all controls."""
    none = [name for name, leads in ahead.items() if not leads]
    if not none:
        return "Each of yours leads its controls."
    return (
        f"Of {OWN}, 'named rightly' counts for nothing here for {' and '.join(none)}: a control "
        "gets the name as often."
    )


def company(state: Explorer, selected: np.ndarray) -> str:
    """Say who but one's own generators is in a selection, and what that is worth."""
    found = explorer.counts(state, selected).reset_index()
    found = found[found["set-up"] != OWN]
    if not len(found):
        return "Nobody else is inside, neither a finished generator nor a control."
    shares = "; ".join(
        f"{row['generator']} {row['share']:.2f}"
        for _, row in found.sort_values("share", ascending=False).iterrows()
    )
    most = found[found["share"] > MOST]
    control = most["set-up"] == CONTROLS
    if control.any():
        verdict = "Most of a control is inside: being inside says nothing of the architecture."
    elif len(most):
        verdict = (
            "Most of a finished generator is inside, of no control: the model finds it like yours."
        )
    else:
        verdict = "No finished generator has most of its images inside."
    return f"Also inside, share of their images: {shares}.\n{verdict}"


def nearest_classes(state: Explorer, near: np.ndarray) -> str:
    """Say which class most images of each own generator and control lie nearest to, and how many.

    Args:
        state: What is explored.
        near: (N,) name of the class of seen images that each image lies nearest to on some map.
    """
    told = {}
    for setup in (OWN, CONTROLS):
        asked = (state.table["set-up"] == setup).to_numpy()
        shares = pd.crosstab(state.table["generator"][asked], near[asked], normalize="index")
        told[setup] = ", ".join(
            f"{name} {row.idxmax()} {row.max():.2f}" for name, row in shares.iterrows()
        )
    return f"{told[OWN]}; {CONTROLS}: {told[CONTROLS]}"


def neighbours(
    state: Explorer, among: np.ndarray, generators: Sequence[str], count: int = 5
) -> pd.DataFrame:
    """Return the shares of classes among the nearest images of some generators' images.

    Args:
        state: What is explored, controls among it.
        among: Positions of the images whose classes count.
        generators: Rows; the controls come below.
        count: Neighbours of an image.

    Returns:
        A row for each generator, a column for each class, and the median cosine distance.
    """
    setups = state.table["set-up"]
    beside = state.table["generator"][setups == CONTROLS].unique()
    classes = state.table["class"].to_numpy()[among]
    rows = {}
    for name in (*generators, *beside):
        member = np.flatnonzero(state.table["generator"] == name)
        found, far = nearest_to(state.embeddings[among], state.embeddings[member], count)
        rows[name] = pd.Series(classes[found].ravel()).value_counts(normalize=True)
        rows[name]["distance"] = np.median(far)
    table = pd.DataFrame(rows).T.fillna(0.0)
    return table[[name for name in (*CLASSES, "distance") if name in table]]


def neighbours_against_controls(state: Explorer, shares: pd.DataFrame) -> str:
    """Say for each row of `neighbours` whether it leads the controls of other architectures."""
    own = state.table.groupby("generator")[["class", "set-up"]].first()
    sizes = state.table["generator"].value_counts()
    beside = [name for name in shares.index if own.loc[name, "set-up"] == CONTROLS]
    lines = []
    for name in shares.index.drop(beside):
        right = own.loc[name, "class"]
        if right not in shares:
            continue
        others = shares.loc[[c for c in beside if own.loc[c, "class"] != right], right]
        share, most = shares.loc[name, right], others.idxmax()
        leads = share > others.max() + margin(min(sizes[name], sizes[most]))
        verdict = "no lead, so they say nothing of its architecture"
        if leads:
            verdict = "a lead over these controls"
        lines.append(
            f"{name}: {share:.2f} of its neighbours are {right}; for the control {most} it is "
            f"{others.max():.2f}: {verdict}"
        )
    return "\n".join(lines)


def patch_agreement(state: Explorer, places: Sequence[int]) -> str:
    """Say how often the joint vote of small patches is right, and which patches agree with it.

    Args:
        state: What is explored.
        places: Positions of images of the model's classes.
    """
    votes = [closeup.patch_votes(state.model, read_image(state.paths[i]), 2) for i in places]
    rows = state.table.iloc[list(places)]
    joint = np.array([state.classes[closeup.agreement(v)[0]] for v in votes])
    shares = np.array([closeup.agreement_by_contrast(v) for v in votes])
    (flat, busy), gap = shares.mean(axis=0), mean_interval(shares[:, 1] - shares[:, 0])
    return (
        f"{len(votes)} images of {rows['generator'].nunique()} sources: joint vote of the "
        f"patches right in {np.mean(joint == rows['class']):.2f}, answer to the whole image in "
        f"{rows['named rightly'].mean():.2f}\n"
        f"  of the flatter half of the patches {flat:.2f} agree with the joint vote, of the busier "
        f"half {busy:.2f}: {gap[0]:+.2f} [{gap[1]:+.2f}, {gap[2]:+.2f}]"
    )
