"""Fixtures for all tests. What is slow to start is started once a session, and only if a test asks for it."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.stack import Stack

# Where a shell runs the tests in the background it is ignored, and programs that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast the machine is says nothing about the code.
settings.register_profile("fanfare", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fanfare")


@pytest.fixture(scope="session", autouse=True)
def _no_inherited_settings() -> Iterator[None]:
    """A developer's FANFARE_* must not leak into tests."""
    inherited = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("FANFARE_")}
    yield
    os.environ.update(inherited)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two gateways, two fan-outs, two notifiers, one archiver and real stores: `stack.run` is its run.json.

    Shared by the session: a test leaves it as it found it, and makes guilds, channels and people of its own.
    """
    shared = Stack(
        tmp_path_factory.mktemp("the stack"), options=["--scale", "gateway=2,fanout=2,notifier=2,archiver=1"]
    )
    shared.start()
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka with our topics, Valkey, and PostgreSQL with our tables; no services."""
    shared = Stack(tmp_path_factory.mktemp("stores"), options=["--stores-only"])
    shared.start()
    yield shared
    shared.stop()
