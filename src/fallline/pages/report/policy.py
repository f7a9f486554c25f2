"""The report's Content-Security-Policy: its own scripts by their hashes, and nothing from anywhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256


def policy(scripts: Sequence[str]) -> str:
    """The policy of a page with these inline scripts.

    No request leaves the page and no other text becomes a program. Plotly makes styles as it draws; with images from
    the page alone, a style has nowhere to send anything.

    >>> policy(["1"])[:60]
    "default-src 'none'; script-src 'sha256-a4ayc/80/OGda4BO/1o/V"
    """
    hashes = (f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
