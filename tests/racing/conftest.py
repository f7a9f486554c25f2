"""A real PostgreSQL server for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.racing.postgres import MissingServerError, postgres


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a throw-away PostgreSQL server."""
    try:
        with postgres() as one:
            yield one.url
    except MissingServerError as error:
        pytest.skip(str(error))
