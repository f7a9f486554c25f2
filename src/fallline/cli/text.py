"""Text of unknown origin on its way to the terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey.

    >>> printable("digits \\x1b[31m")
    'digits ?[31m'
    """
    return "".join(one if one.isprintable() else "?" for one in text)
