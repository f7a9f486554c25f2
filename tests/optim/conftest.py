"""torch keeps NAdam's product of momenta in its default type, whose rounding would hide what is compared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def exact_products(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let that type be float64 where NAdam is compared with torch's."""
    if "NAdam" not in request.node.name:
        yield
        return
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
