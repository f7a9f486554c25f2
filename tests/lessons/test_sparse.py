"""Rare words: learnt by rates of their own, and no better by momentum, which has one for all."""

from __future__ import annotations

import pytest

from fallline.lessons.sparse import rare_words


@pytest.mark.parametrize(("method", "verdict"), [("adagrad", "holds"), ("momentum", "does not hold here")])
def test_verdict_follows_from_the_runs(method: str, verdict: str) -> None:
    assert rare_words(seeds=3, epochs=3, adaptive=[method], rates=5).verdict == verdict
