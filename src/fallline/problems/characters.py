"""The next character of a text, from those before it."""

from __future__ import annotations

import string

import numpy as np
from torch import Tensor, nn

from fallline.problems.bundled import bundled
from fallline.problems.splits import Pair
from fallline.training import Problem

CONTEXT = 8
#: What the model tells apart; all other characters count as one.
ALPHABET = "\n" + string.printable.strip() + " "


@bundled("The next character of the Python manual from the 8 before, for a small network.")
def characters(*, epochs: int = 3, split_seed: int = 0) -> Problem:
    """Build the problem of guessing each next character of the Python manual that `pydoc` prints.

    The model sees the 8 characters before: an embedding of 8 numbers a character, a hidden layer of 64 with ReLU, and a
    logit for each of 96 characters (and one for all others). The first eight tenths of the text train, the ninth
    validates, the last tests; windows are drawn from each, none across its ends. Loss and metric are
    the cross-entropy in nats; e to its power is the perplexity. The text, and so the numbers, differ a little between
    versions of Python.

    Args:
        epochs: How often a run goes through the training split.
        split_seed: The seed that draws the windows.

    >>> characters()
    Problem('characters', train 16384, valid 2048, test 2048, batch 64, 3 epochs, metric 'loss')
    """
    from pydoc_data.topics import topics

    text = _encoded("\n".join(topics[name] for name in sorted(topics)))
    tenth = len(text) // 10
    generator = np.random.default_rng(split_seed)
    return Problem(
        model=_Network,
        loss=nn.functional.cross_entropy,
        train=_windows(text[: 8 * tenth], 16384, generator),
        valid=_windows(text[8 * tenth : 9 * tenth], 2048, generator),
        test=_windows(text[9 * tenth :], 2048, generator),
        target=2.3,
        epochs=epochs,
        name="characters",
    )


def _encoded(text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    codes = {character: code for code, character in enumerate(ALPHABET)}
    return np.array([codes.get(character, len(ALPHABET)) for character in text], np.int64)


def _windows(codes: np.ndarray[tuple[int], np.dtype[np.int64]], count: int, generator: np.random.Generator) -> Pair:
    """Characters [count, CONTEXT] and the one after each [count], at places drawn without repetition."""
    begin = generator.choice(len(codes) - CONTEXT, count, replace=False)
    return codes[begin[:, None] + np.arange(CONTEXT)], codes[begin + CONTEXT]


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        count = len(ALPHABET) + 1
        self.embedding = nn.Embedding(count, 8)
        self.hidden = nn.Linear(8 * CONTEXT, 64)
        self.output = nn.Linear(64, count)

    def forward(self, codes: Tensor) -> Tensor:
        hidden = self.hidden(self.embedding(codes).flatten(1)).relu()
        output: Tensor = self.output(hidden)
        return output
