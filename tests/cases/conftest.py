"""The fixtures of the tests that talk to running gateways, and of those with an installation of their own."""

from collections.abc import Iterator

import pytest

from fanfare.presence import keys
from tests.integration.conftest import dial, nodes, online, world

__all__ = ["dial", "nodes", "online", "own_keys", "world"]


@pytest.fixture
def own_keys() -> Iterator[None]:
    """Whatever connects in this process has set the prefix for all of it."""
    yield
    keys.use_prefix("")
