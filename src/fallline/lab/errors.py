"""What the lab answers to what it can't do: a status and a sentence."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


class RequestError(Exception):
    """A request that is refused; `status` is HTTP's, `sentence` says what was wrong and what to do."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def answer(content: Any, status: int = 200) -> Response:
    """Plain data as JSON in ASCII, so that text of any kind gets through, and without NaN, which is none."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def refused(error: RequestError) -> Response:
    """A refusal as JSON: {"error": sentence}."""
    return answer({"error": error.sentence}, error.status)
