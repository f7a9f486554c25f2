"""A short hash."""

from __future__ import annotations

import hashlib

_DIGITS = 16


def digest(*contents: bytes | memoryview) -> str:
    """A hash in hexadecimal digits.

    >>> digest(b"a")
    '40f89e395b66422f'
    """
    hashed = hashlib.blake2b(digest_size=_DIGITS // 2)
    for content in contents:
        hashed.update(content)
    return hashed.hexdigest()
