"""When a hold is said, and what /readyz says of it."""

from typing import Any

import pytest
from prometheus_client import generate_latest
from redis.exceptions import NoPermissionError

from fanfare.bus.holds import Holds
from fanfare.telemetry.metrics import REGISTRY


class Log:
    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []
        self.infos: list[str] = []

    def error(self, said: str, **fields: Any) -> None:
        self.errors.append({"said": said, **fields})

    def info(self, said: str, **fields: Any) -> None:
        self.infos.append(said)


class Held:
    def __init__(self) -> None:
        self.log = Log()
        self.now = 100.0
        self.holds = Holds("holders", self.log, lambda: self.now)  # type: ignore[arg-type]


@pytest.fixture
def held() -> Held:
    return Held()


def test_a_store_in_trouble_is_said_once_for_all_partitions_and_then_ever_more_rarely(held: Held) -> None:
    said_at = []
    for second in range(1000):
        held.now = 100.0 + second
        for partition in range(8):
            held.holds.hold(f"chat.events/{partition}", NoPermissionError("no right to HKEYS"))
        if len(held.log.errors) > len(said_at):
            said_at.append(second)
    assert said_at == [0, 10, 30, 70, 150, 310, 630]
    assert held.log.errors[1]["held"] == 8
    assert "NoPermissionError: no right to HKEYS" in held.holds.problem()
    assert "7 more" in held.holds.problem()


def test_what_is_away_for_a_moment_only_is_not_said(held: Held) -> None:
    held.holds.hold("chat.events/1", ConnectionError("away"))
    assert held.holds.problem() == ""
    held.holds.release("chat.events/1")
    assert (held.log.errors, held.log.infos) == ([], [])
    held.holds.hold("chat.events/1", ConnectionError("away"))
    held.now += 2
    held.holds.hold("chat.events/1", ConnectionError("away"))
    assert "away" in held.holds.problem()
    assert len(held.log.errors) == 1
    held.holds.release("chat.events/1")
    assert held.holds.problem() == ""
    assert held.log.infos == ["going on"]


def test_errors_of_our_own_code_are_said_for_each_partition_and_without_their_text(held: Held) -> None:
    """The text of such an error may quote what somebody wrote."""
    for partition in range(2):
        held.holds.hold(f"chat.events/{partition}", ValueError("a secret"), "do this")
    assert len(held.log.errors) == 2
    assert "do this" in held.log.errors[0]["said"]
    assert "secret" not in str(held.log.errors) + held.holds.problem()


def test_the_metric_has_a_reason(held: Held) -> None:
    held.holds.hold("chat.events/1", NoPermissionError("x"))
    held.holds.hold("chat.events/2", TypeError("x"))
    text = generate_latest(REGISTRY).decode()
    assert 'fanfare_held_partitions{group="holders",reason="right"} 1.0' in text
    assert 'fanfare_held_partitions{group="holders",reason="code"} 1.0' in text
    held.holds.release("chat.events/1")
    text = generate_latest(REGISTRY).decode()
    assert 'fanfare_held_partitions{group="holders",reason="right"} 0.0' in text
