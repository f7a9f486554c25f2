"""The errors of training, and how what went wrong is quoted inside a sentence."""

from __future__ import annotations

from torch import Tensor


class ProblemError(ValueError):
    """A problem is not well formed; the sentence names the argument and says what to change."""


class BatchingError(ProblemError):
    """The lanes of a problem can't share every operation, as is found while they are made or trained; in turn they can.

    What it says is the reason alone.
    """


def first_line(error: BaseException) -> str:
    """What an error says first, to be quoted inside a sentence.

    What a DataLoader's worker raised says it last; a missing key alone says nothing.

    Args:
        error: The error.

    >>> first_line(ValueError("too wide.\\nDetails follow")), first_line(KeyError("x"))
    ('too wide', "KeyError: 'x'")
    """
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    said = lines[-1] if lines[0].startswith("Caught ") else lines[0]
    return f"{'KeyError: ' if isinstance(error, KeyError) else ''}{said}".rstrip(" .:")


def is_text(value: object) -> bool:
    """Whether a value is a text that files, pages and terminals can take: no half of a pair of surrogates.

    Args:
        value: Anything.

    >>> is_text("adam β"), is_text("\\ud800"), is_text(3)
    (True, False, False)
    """
    return isinstance(value, str) and value == value.encode(errors="ignore").decode()


def shape(tensor: Tensor) -> str:
    """The shape of a tensor, to be quoted inside a sentence.

    >>> import torch
    >>> shape(torch.zeros(2, 3))
    '(2, 3)'
    """
    return str(tuple(tensor.shape))
