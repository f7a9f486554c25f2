"""The lab in this process, at an address that the tests ask by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from fallline.lab.application import application
from fallline.lab.guard import Address

ADDRESS = Address("127.0.0.1", 8765)


@pytest.fixture(scope="session")
def lab() -> Iterator[TestClient]:
    with TestClient(application(ADDRESS), base_url="http://127.0.0.1:8765") as client:
        yield client
