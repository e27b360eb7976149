"""The fixtures of the tests that talk to running gateways."""

from tests.integration.conftest import dial, nodes, online, world

__all__ = ["dial", "nodes", "online", "world"]
