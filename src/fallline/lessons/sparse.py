"""Sparse features: what is learnt of those that are there in few examples only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fallline.lessons.lesson import Check, Evidence, Lesson, measured
from fallline.lessons.pictures import lines
from fallline.lessons.populations import lane
from fallline.lessons.tuning import Runs, trained_to_the_end, tuned
from fallline.training import Problem

Array = NDArray[np.float64]


_NAMES = {"sgd": "SGD", "momentum": "momentum", "adagrad": "Adagrad", "rmsprop": "RMSprop", "adam": "Adam"}


def rare_words(
    *,
    seeds: int = 10,
    epochs: int = 5,
    rare: int = 5,
    topics: int = 8,
    adaptive: Sequence[str] = ("adagrad", "rmsprop", "adam"),
    rates: int = 13,
) -> Evidence:
    """Tell of paragraphs of the Python manual which topic they are from, by the words in them.

    Args:
        seeds: Runs of each method, which differ in the order of the paragraphs.
        epochs: How long they are.
        rare: In at most so many training paragraphs a word is rare.
        topics: How many of the manual's topics there are to choose from, the largest.
        adaptive: The methods that are to learn what SGD misses, by name.
        rates: How many learning rates, from 0.001 to 1000, each method chooses from.
    """
    problem, counts = _manual(topics, epochs)
    grid = np.geomspace(1e-3, 1e3, rates)
    candidates = {name: [lane(name, lr=float(lr)) for lr in grid] for name in ("sgd", *adaptive)}
    best = tuned(problem, candidates)
    runs = trained_to_the_end(problem, {name: some[best[name]] for name, some in candidates.items()}, seeds)
    seldom = torch.from_numpy(counts <= rare)
    worth, alone = {}, {}
    for name, one in runs.items():
        loss_without, _ = _judged(problem, one, ~seldom)
        _, alone[name] = _judged(problem, one, seldom)
        worth[name] = loss_without - one.test
    checks: list[Check] = []
    for name in adaptive:
        shown = _NAMES.get(name, name)
        checks += [
            measured(
                "what rare words take off the test loss, more than by SGD", worth[name] - worth["sgd"],
                above=0.0, condition=shown, of=2 * len(adaptive),
            ),
            measured(
                "test accuracy from rare words alone, over SGD's", alone[name] - alone["sgd"],
                above=0.0, condition=shown, of=2 * len(adaptive),
            ),
        ]  # fmt: skip
    bins = np.unique(np.geomspace(1, counts.max() + 1, 10).round().astype(int))
    middles = np.sqrt(bins[:-1] * (bins[1:] - 1))
    sizes = {name: np.abs(one.weights[0]).mean(1) for name, one in runs.items()}
    return Evidence(
        f"{len(problem.train)} paragraphs of the Python manual's {topics} largest topics, by softmax regression on "
        f"which of {len(counts)} words they have; {(counts <= rare).mean():.0%} of the words are rare, in {rare} "
        f"paragraphs or fewer. {epochs} epochs, {seeds} seeds; each method has the learning rate, of {rates} from "
        "0.001 to 1000, that ended best in validation.",
        tuple(checks),
        lines(
            "How much is learnt of a word", "training paragraphs that have the word", "mean size of its weights",
            {
                _NAMES.get(name, name): (
                    middles,
                    np.stack([one[:, (counts >= low) & (counts < high)].mean(1) for low, high in pairwise(bins)], 1),
                )
                for name, one in sizes.items()
            },
            log_x=True, log_y=True, upright=(rare + 0.5, "rare words to the left"),
        ),
        "With all words the test losses are "
        + ", ".join(f"{_NAMES.get(name, name)} {one.test.mean():.3f}" for name, one in runs.items())
        + "; from rare words alone the accuracies "
        + ", ".join(f"{_NAMES.get(name, name)} {one.mean():.0%}" for name, one in alone.items())
        + ".",
    )  # fmt: skip


def _judged(problem: Problem, runs: Runs, words: torch.Tensor) -> tuple[Array, Array]:
    """Loss and accuracy [seeds] on the test split where paragraphs have these words alone."""
    assert problem.test is not None
    weight, bias = (torch.from_numpy(one) for one in runs.weights)
    logits = torch.einsum("nw,stw->stn", (problem.test.inputs * words).double(), weight) + bias[:, :, None]
    targets = problem.test.targets.expand(len(logits), -1)
    losses = nn.functional.cross_entropy(logits, targets, reduction="none").mean(1)
    return losses.numpy(), (logits.argmax(1) == targets).double().mean(1).numpy()


def _manual(topics: int, epochs: int) -> tuple[Problem, NDArray[np.int64]]:
    """The topics of the Python manual's paragraphs by their words, and in how many that train each word is."""
    from pydoc_data.topics import topics as texts

    from sklearn.model_selection import train_test_split

    found: dict[frozenset[str], set[str]] = {}
    for topic, text in texts.items():
        for paragraph in re.split(r"\n\s*\n", text):
            words = frozenset(re.findall(r"[a-z_]+", paragraph.lower()))
            if len(words) >= 5:
                found.setdefault(words, set()).add(topic)
    own = [(words, next(iter(among))) for words, among in found.items() if len(among) == 1]
    largest = [topic for topic, _ in Counter(topic for _, topic in own).most_common(topics)]
    own = [(words, topic) for words, topic in own if topic in largest]
    vocabulary = {word: place for place, word in enumerate(sorted(set().union(*(words for words, _ in own))))}
    X = np.zeros((len(own), len(vocabulary)), np.float32)
    for row, (words, _) in enumerate(own):
        X[row, [vocabulary[word] for word in words]] = 1
    y = np.array([largest.index(topic) for _, topic in own])
    train, rest = train_test_split(np.arange(len(y)), train_size=0.6, stratify=y, random_state=0)
    valid, test = train_test_split(rest, train_size=0.5, stratify=y[rest], random_state=0)
    counts = X[train].sum(0).astype(int)
    X, counts = X[:, counts > 0], counts[counts > 0]
    splits: dict[str, Any] = {
        name: (X[rows], y[rows]) for name, rows in (("train", train), ("valid", valid), ("test", test))
    }
    problem = Problem(
        model=partial(_classifier, len(counts), topics), loss=nn.functional.cross_entropy, batch=16, epochs=epochs,
        name="manual", **splits,
    )  # fmt: skip
    return problem, counts


def _classifier(words: int, topics: int) -> nn.Module:
    model = nn.Linear(words, topics)
    nn.init.zeros_(model.weight)
    return model


LESSONS = [
    Lesson(
        27,
        "Rare features",
        "On sparse features adaptive methods learn the rare ones that SGD misses.",
        "Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and stochastic optimization, 2011",
        rare_words,
        "Set adaptive to ['momentum'], which has one rate for all weights too: it learns no more of rare words than "
        "SGD.",
    ),
]
