"""A rule by the name that a person types."""

from __future__ import annotations

from fallline import rules
from fallline.symbolic import Rule


def find(name: str) -> Rule:
    """The rule of a name, whose capital letters and hyphens do not matter. Raises LookupError with the nearest name.

    >>> find("RMSProp")
    <rule rmsprop>
    """
    return rules.find(rules.plain_name(name))
