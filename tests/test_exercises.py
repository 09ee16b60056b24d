"""The exercises: typical wrong answers get the hint that names the mistake, right ones pass.

The answers are written as students write them: in loops, with lists, with other libraries.
"""

from __future__ import annotations

import re
import runpy
from collections import Counter
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import pytest
import torch
from scipy import signal, stats
from scipy.spatial.distance import mahalanobis
from sklearn.metrics import accuracy_score, recall_score
from sklearn.neighbors import KNeighborsClassifier

from dnadet_lib.course import exercises
from dnadet_lib.course.comparing import NOTHING
from dnadet_lib.losses import AutomaticWeightedLoss
from dnadet_lib.model import HighPass

SOLUTIONS = Path(__file__).parent / "solutions"
CLONE = Path(__file__).parents[1]
norm = np.linalg.norm


def solution(number: str):
    """The solution of an exercise: the function that the lesson's exercise cell begins."""
    (path,) = SOLUTIONS.glob(f"{number[:2]}_*.py")
    lesson = (CLONE / "notebooks" / f"{path.stem}.ipynb").read_text(encoding="utf-8")
    name = re.search(rf'check\(\\"{number}\\", (\w+)\)', lesson)[1]
    return runpy.run_path(str(path))[name]


# Wrong answers -----------------------------------------------------------------------------------


def class_wanted_twice(guesses, truth):
    fakes = [g == t for g, t in zip(guesses, truth, strict=True) if t != "Real"]
    return np.mean(np.array(guesses) == np.array(truth)), sum(fakes) / len(fakes)


def photograph_or_fake(guesses, truth):
    right = [(g == "Real") == (t == "Real") for g, t in zip(guesses, truth, strict=True)]
    return right.count(True) / len(right)


def divided_by_all(guesses, truth):
    named = sum(g == t and t != "Real" for g, t in zip(guesses, truth, strict=True))
    return photograph_or_fake(guesses, truth), named / len(guesses)


def missed_fakes_left_out(guesses, truth):
    pairs = [pair for pair in zip(guesses, truth, strict=True) if "Real" not in pair]
    return photograph_or_fake(guesses, truth), sum(g == t for g, t in pairs) / len(pairs)


def sizes_averaged(residuals):
    power = np.abs(np.fft.fft2(residuals)) ** 2 / 80
    return (np.abs(np.fft.fft2(residuals)).mean(axis=0) ** 2 / 80, power.mean(axis=0))


def pixels_forgotten(residuals):
    waves = np.fft.fft2(residuals)
    return np.abs(waves.mean(axis=0)) ** 2, (np.abs(waves) ** 2).mean(axis=0)


def square_forgotten(residuals):
    waves = np.fft.fft2(residuals) / np.sqrt(80)
    return np.abs(waves.mean(axis=0)), np.abs(waves).mean(axis=0)


def covered(length, kernel):
    reached = np.zeros(2 * (length - 1) + kernel)
    for i in range(length):
        reached[2 * i : 2 * i + kernel] = 1
    return reached


def stride_of_one(length, kernel):
    return np.convolve(np.ones(length), np.ones(kernel))


def kernel_cut(length, kernel):
    counts = [0] * (2 * (length - 1) + kernel)
    for i in range(length):
        for k in range(kernel - 1):
            counts[2 * i + k] += 1
    return counts


def only_shrunk(image, scale):
    return cv2.resize(image, (int(64 * scale), int(64 * scale)), interpolation=cv2.INTER_LINEAR)


def shrunk_by_areas(image, scale):
    side = int(64 * scale)
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (64, 64), interpolation=cv2.INTER_LINEAR)


def rounded_side(image, scale):
    side = round(64 * scale)
    return cv2.resize(cv2.resize(image, (side, side)), (64, 64))


def each_family_once(truth, predicted, families):
    rows = [(families[t], families[t] == families[p]) for t, p in zip(truth, predicted)]  # noqa: B905
    return fmean(fmean(ok for name, ok in rows if name == f) for f in set(families))


KERNEL = np.array([[-1, 2, -1], [2, -4, 2], [-1, 2, -1]])


def unscaled_filter(grey):
    return signal.convolve2d(grey, KERNEL, mode="valid")


def same_size_filter(grey):
    return signal.convolve2d(grey, KERNEL / 4, mode="same")


def four_neighbours(grey):
    return signal.convolve2d(grey, [[0, 1, 0], [1, -4, 1], [0, 1, 0]], mode="valid")


def with_itself(labels, views):
    owners = np.repeat(labels, views)
    return owners[:, None] == owners


def tiled(labels, views):
    owners = np.tile(labels, views)
    return (owners[:, None] == owners) & ~np.eye(len(owners), dtype=bool)


def same_image_only(labels, views):
    owners = np.repeat(range(len(labels)), views)
    return (owners[:, None] == owners) & ~np.eye(len(owners), dtype=bool)


def t_interval(differences, error=None, t=None):
    error = np.std(differences, ddof=1) / 2 if error is None else error
    middle, half = np.mean(differences), error * (t or stats.t.ppf(0.975, 3))
    return middle, middle - half, middle + half


def paired_by_place(first, second):
    return t_interval(np.array(list(first.values())) - np.array(list(second.values())))


def normal_interval(first, second):
    return t_interval([first[name] - second[name] for name in first], t=1.96)


def population_spread(first, second):
    differences = [first[name] - second[name] for name in first]
    return t_interval(differences, np.std(differences) / np.sqrt(4))


def vote_of_first_come(points, labels, query, k):
    order = np.argsort(norm(points - query, axis=1))[:k]
    return Counter(labels[order]).most_common(1)[0][0]


def only_the_nearest(points, labels, query, k):
    return labels[norm(points - query, axis=1).argmin()]


def everyone_votes(points, labels, query, k):
    return np.bincount(labels).argmax()


def neighbours(x, k, first=1):
    distances = norm(x[:, None] - x, axis=2)
    return [set(row[first : first + k]) for row in distances.argsort(axis=1)]


def itself_among_k(embeddings, points, k):
    pairs = zip(neighbours(embeddings, k, 0), neighbours(points, k, 0), strict=True)
    return np.mean([len(a & b) / k for a, b in pairs])


def kept_in_all(embeddings, points, k):
    pairs = zip(neighbours(embeddings, k), neighbours(points, k), strict=True)
    return np.mean([len(a & b) for a, b in pairs])


def share_of_either(embeddings, points, k):
    pairs = zip(neighbours(embeddings, k), neighbours(points, k), strict=True)
    return np.mean([len(a & b) / len(a | b) for a, b in pairs])


def mean_of_softmax(logits):
    winner = torch.tensor(logits).softmax(dim=1).mean(dim=0).argmax().item()
    return winner, np.mean(logits.argmax(axis=1) == winner)


def majority(logits):
    votes = list(logits.argmax(axis=1))
    winner = max(sorted(set(votes)), key=votes.count)
    return winner, votes.count(winner) / len(votes)


def number_of_votes(logits):
    winner = logits.mean(axis=0).argmax()
    return winner, sum(logits.argmax(axis=1) == winner)


def relu_at_the_end(activations, gradients):
    weights = gradients.mean(axis=(1, 2))
    return np.maximum((weights[:, None, None] * activations).sum(axis=0), 0)


def only_selected(selected, everything):
    return {
        name: (selected.count(name) / len(selected)) / (everything.count(name) / len(everything))
        for name in set(selected)
    }


def from_traces(traces, means, middle, within, overall):
    """Both parts of the unknown score, for the wrong answers to 07.2."""
    away = traces - middle
    return np.array([d @ within @ d for d in traces - means]), away @ overall @ away


def nearest_class_on_paper(traces, means, middle, within, overall):
    nearest = norm(means - traces, axis=1).argmin()
    squares, other = from_traces(traces, means, middle, within, overall)
    return (squares[nearest] - other) / len(traces)


def undivided_score(*given):
    squares, other = from_traces(*given)
    return squares.min() - other


def mean_class_score(*given):
    squares, other = from_traces(*given)
    return (squares.mean() - other) / 4


WRONG = {  # exercise -> wrong answer -> words of its hint
    "00.1": {
        lambda counts: 1 / len(counts): "at random",
        lambda counts: sorted(counts)[-1]: "Divide by the number of all images",
        lambda counts: np.sum((np.array(counts) / sum(counts)) ** 2): "as often as it occurs",
    },
    "00.2": {
        lambda p, classes: [classes[k] for k in np.argsort(p)[-2:]]: "best comes first",
        lambda p, classes: np.argsort(-p)[:2]: "These are places",
        lambda p, classes: [classes[p.argmax()]]: "Return two names",
    },
    "00.3": {
        class_wanted_twice: "every fake called a fake",
        divided_by_all: "You divide by all images",
        missed_fakes_left_out: "counts in the second, too",
    },
    "01.1": {
        sizes_averaged: "sizes without their phases",
        pixels_forgotten: "number of pixels",
        square_forgotten: "Power is their square",
    },
    "01.2": {
        covered: "add them up",
        stride_of_one: "begins at output 2i",
        kernel_cut: "last value of the kernel",
    },
    "01.3": {
        lambda locked, power, count: locked.sum() / power.sum(): "what chance leaves",
        lambda locked, power, count: locked.sum() / power.sum() - 1 / count: "not 1 / N",
        lambda locked, power, count: ((locked / power).mean() * count - 1) / (count - 1): (
            "Add up each map first"
        ),
    },
    "02.1": {
        only_shrunk: "Enlarge it back",
        shrunk_by_areas: "you shrink by areas",
        rounded_side: "you round",
    },
    "02.2": {
        lambda truth, predicted, families: (truth == predicted).mean(): "accuracy over classes",
        lambda truth, predicted, families: (families[truth] == families[predicted]).sum(): (
            "not their number"
        ),
        each_family_once: "you average over families",
    },
    "02.3": {
        unscaled_filter: "Divide the sum by 4",
        same_size_filter: "do not fill up the border",
        four_neighbours: "corners of the kernel",
    },
    "03.1": {
        with_itself: "No patch is a positive of itself",
        tiled: "np.repeat, not np.tile",
        same_image_only: "Patches of other images",
    },
    "03.2": {
        lambda losses, scales: sum(0.5 / np.square(scales) * losses): "second term is missing",
        lambda losses, scales: sum(
            0.5 / s**2 * loss + 2 * np.log(s) for loss, s in zip(losses, scales, strict=True)
        ): "not log(s^2)",
        lambda losses, scales: np.mean(
            0.5 / np.square(scales) * losses + np.log(1 + np.square(scales))
        ): "you average them",
    },
    "03.3": {
        lambda loss: np.sqrt((0.5 * loss + np.sqrt(0.25 * loss**2 + 2 * loss)) / 2): "the scale s",
        lambda loss: 0.5 * loss: "not 1 / u",
        lambda loss: (loss + np.sqrt(loss**2 + 4 * loss)) / 2: "The 0.5 before the loss",
    },
    "04.1": {
        lambda truth, predicted, k: (truth[predicted == k] == k).mean(): "precision",
        lambda truth, predicted, k: (truth == predicted).mean(): "accuracy over all classes",
        lambda truth, predicted, k: sum((truth == k) & (predicted == k)): "of the class's images",
    },
    "04.2": {
        paired_by_place: "Pair by name",
        normal_interval: "not 1.96",
        population_spread: "ddof=1",
    },
    "04.3": {
        lambda correct, generators: correct.sum() / len(correct): "mean over images",
        lambda correct, generators: sum(
            correct[generators == g].mean() for g in set(generators)
        ): "number of generators",
        lambda correct, generators: np.median(
            [correct[generators == g].mean() for g in set(generators)]
        ): "not the median",
    },
    "05.1": {
        lambda rows: rows / norm(rows): "whole array",
        lambda rows: rows / norm(rows, axis=0): "You scale columns",
        lambda rows: np.array([row / (row @ row) for row in rows]): "squared length",
    },
    "05.2": {
        vote_of_first_come: "not that of the nearest",
        only_the_nearest: "Let k of them vote",
        everyone_votes: "All points vote",
    },
    "05.3": {
        itself_among_k: "its own nearest one",
        kept_in_all: "divide by k",
        share_of_either: "number of neighbours in either",
    },
    "06.1": {
        mean_of_softmax: "not the probabilities",
        majority: "most patches name",
        number_of_votes: "return the share, not the number",
    },
    "06.2": {
        relu_at_the_end: "Keep negative values",
        lambda a, g: (a * g).sum(axis=0): "place by place",
        lambda a, g: (g.mean(axis=(1, 2), keepdims=True) * a).mean(axis=0): "you average them",
    },
    "06.3": {
        only_selected: "nothing is selected",
        lambda selected, everything: {
            name: selected.count(name) / len(selected) for name in everything
        }: "shares among the selected",
        lambda selected, everything: {
            name: selected.count(name) / everything.count(name) for name in everything
        }: "not numbers of images",
    },
    "07.1": {
        lambda rate, sensitivity, alarm: sensitivity / (sensitivity + alarm): "does not matter",
        lambda rate, sensitivity, alarm: rate * sensitivity / (rate * sensitivity + alarm): (
            "1 - base rate"
        ),
        lambda rate, sensitivity, alarm: rate * sensitivity: "Divide by all alarms",
    },
    "07.2": {
        nearest_class_on_paper: "nearest without P",
        undivided_score: "Divide by T",
        mean_class_score: "mean over the classes",
    },
    "07.3": {
        lambda images: 3 / images: "rule of three",
        lambda images: 0.05 ** (1 / images): "the model is right",
        lambda images: 1 - 0.95 ** (1 / images): "not of 0.95",
    },
}


@pytest.mark.parametrize("number", exercises.CHECKS)
def test_three_wrong_answers_get_their_own_hints(number):
    told = [exercises.problem_of(number, answer) for answer in WRONG[number]]
    hints = list(WRONG[number].values())
    assert len(hints) == 3
    for place, hint in enumerate(hints):
        assert [hint in text for text in told] == [k == place for k in range(3)], told


@pytest.mark.parametrize("number", exercises.CHECKS)
def test_every_hint_is_given_for_its_mistake(number):
    exercise = exercises.CHECKS[number]()
    for hint, mistake in exercise.mistakes.items():
        assert exercise.problem(mistake).endswith(hint)


# Right answers -----------------------------------------------------------------------------------


def two_spectra_in_torch(residuals):
    waves = torch.fft.fft2(torch.tensor(residuals)) / residuals[0].size ** 0.5
    return waves.mean(dim=0).abs() ** 2, (waves.abs() ** 2).mean(dim=0)


def two_centred_spectra(residuals):
    return [np.fft.fftshift(power) for power in solution("01.1")(residuals)]


def coverage_as_a_list(length, kernel):
    return [
        sum(0 <= place - 2 * i < kernel for i in range(length))
        for place in range(2 * (length - 1) + kernel)
    ]


def positives_in_loops(labels, views):
    owners = [label for label in labels for _ in range(views)]
    places = range(len(owners))
    return [[int(i != j and owners[i] == owners[j]) for j in places] for i in places]


def searched_scale(loss):
    grid = np.arange(0.01, 10, 0.01)
    return grid[np.argmin(0.5 / grid * loss + np.log(1 + grid))]


def scaled_in_place(embeddings):
    embeddings /= norm(embeddings, axis=1)[:, None]
    return torch.tensor(embeddings, requires_grad=True)


def vote_by_scikit_learn(points, labels, query, k):
    return KNeighborsClassifier(k).fit(points, labels).predict([query])


def two_scores_by_scikit_learn(guesses, truth):
    real = np.array(truth) == "Real"
    first = accuracy_score(real, np.array(guesses) == "Real")
    return np.array([first, accuracy_score(np.array(truth)[~real], np.array(guesses)[~real])])


def set_up_mean_by_sums(correct, generators):
    right, all_images = Counter(), Counter()
    for ok, name in zip(correct, generators, strict=True):
        right[name] += ok
        all_images[name] += 1
    return fmean(right[name] / all_images[name] for name in all_images)


OTHER_STYLES = {
    "00.1": lambda counts: np.divide(counts, np.sum(counts)).max(),
    "00.2": lambda p, classes: np.array(classes)[torch.tensor(p).topk(2).indices],
    "00.3": two_scores_by_scikit_learn,
    "01.1": two_spectra_in_torch,
    "01.2": coverage_as_a_list,
    "01.3": lambda locked, power, n: (np.mean(locked) / np.mean(power) - 1 / n) / (1 - 1 / n),
    "02.1": lambda image, scale: cv2.resize(
        cv2.resize(image, (side := int(64 * scale), side)), (64, 64)
    ).tolist(),
    "02.2": lambda truth, predicted, families: fmean(
        families[t] == families[p] for t, p in zip(truth, predicted, strict=True)
    ),
    "02.3": lambda grey: torch.nn.functional.conv2d(
        torch.tensor(grey)[None], torch.tensor(KERNEL / 4, dtype=torch.float)[None, None]
    )[0],
    "03.1": positives_in_loops,
    "03.2": lambda losses, scales: (
        torch.tensor(losses) / 2 / torch.tensor(scales) ** 2 + torch.tensor(scales).square().log1p()
    ).sum(),
    "03.3": searched_scale,
    "04.1": lambda truth, predicted, k: recall_score(truth, predicted, labels=[k], average=None),
    "04.2": lambda first, second: np.array(
        t_interval([first[name] - second[name] for name in sorted(second)])
    ),
    "04.3": set_up_mean_by_sums,
    "05.1": scaled_in_place,
    "05.2": vote_by_scikit_learn,
    "05.3": lambda e, p, k: torch.tensor(
        [len(a & b) for a, b in zip(neighbours(e, k), neighbours(p, k), strict=True)]
    ).float().mean() / k,
    "06.1": lambda logits: [
        (winner := torch.tensor(logits).mean(dim=0).argmax()),
        (torch.tensor(logits).argmax(dim=1) == winner).float().mean(),
    ],
    "06.2": lambda a, g: np.einsum("c,chw->hw", g.mean(axis=(1, 2)), a).tolist(),
    "06.3": lambda selected, everything: Counter({
        np.str_(name): np.mean(np.array(selected) == name) / np.mean(np.array(everything) == name)
        for name in np.unique(everything)
    }),
    "07.1": lambda rate, sensitivity, alarm: 1 / (1 + (1 - rate) / rate * alarm / sensitivity),
    "07.2": lambda traces, means, middle, within, overall: (
        min(mahalanobis(traces, mean, within) ** 2 for mean in means)
        - mahalanobis(traces, middle, overall) ** 2
    ) / 4,
    "07.3": lambda images: -np.expm1(np.log(0.05) / images),
}  # fmt: skip


@pytest.mark.parametrize("number", exercises.CHECKS)
def test_the_solution_and_another_style_pass(number):
    assert exercises.problem_of(number, solution(number)) == ""
    assert exercises.problem_of(number, OTHER_STYLES[number]) == ""


def test_the_checks_expect_what_the_library_does():
    def filtered(grey):
        return HighPass()(torch.from_numpy(grey).expand(1, 3, -1, -1))[0, 0, 1:-1, 1:-1] / 4

    def weighted(losses, scales):
        module = AutomaticWeightedLoss(len(losses))
        module.scales.data = torch.tensor(scales)
        return module(*torch.tensor(losses))

    def covered(length, kernel):
        ones = torch.ones(1, 1, length), torch.ones(1, 1, kernel)
        return torch.nn.functional.conv_transpose1d(*ones, stride=2)[0, 0]

    for number, library in (("02.3", filtered), ("03.2", weighted), ("01.2", covered)):
        assert exercises.problem_of(number, library) == ""


def test_centred_spectra_pass():
    assert exercises.problem_of("01.1", two_centred_spectra) == ""


@pytest.mark.parametrize("number", exercises.CHECKS)
def test_what_is_no_answer_is_told_so(number):
    assert exercises.problem_of(number, lambda *given: None) == NOTHING
    assert exercises.problem_of(number, lambda *given: ...) == NOTHING
    for strange in ("text", object(), [], 1 + 2j, float("nan"), {"Real": None}, [[1], [2, 3]]):
        told = exercises.problem_of(number, lambda *given, value=strange: value)
        assert told and "\n" not in told and "stopped" not in told
    assert "the function itself" in exercises.problem_of(number, 0.6)


def test_numbers_in_a_message_differ():
    told = exercises.problem_of("07.3", lambda images: (1 - 0.05 ** (1 / images)) * 1.0002)
    assert told == "No error in 10 images: 0.25892, expected 0.25887."
    told = exercises.problem_of("00.1", lambda counts: 100 * max(counts) / sum(counts))
    assert told.endswith("60.0000, expected 0.6000. This is in percent: return a share.")
