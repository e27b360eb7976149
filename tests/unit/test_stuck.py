"""A Kafka client that will not get on is noticed, and no other one is."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from fanfare.bus.stuck import PROBES, Stuck
from fanfare.settings import Settings

PARTITION = {("chat.events", 3)}


async def for_ever() -> None:
    await asyncio.Event().wait()


async def die() -> None:
    raise ValueError("an answer that it does not understand")


@pytest.fixture
async def client() -> Any:
    tasks = [asyncio.create_task(for_ever()) for _ in range(2)]
    yield SimpleNamespace(
        client=SimpleNamespace(_sync_task=tasks[0]), _sender=SimpleNamespace(sender_task=tasks[1])
    )
    for task in tasks:
        task.cancel()


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Kafka; `writable` says whether it takes records."""
    state = SimpleNamespace(writable=True)

    async def writable(*_: object) -> bool:
        return state.writable

    monkeypatch.setattr(Stuck, "_writable", writable)
    return state


async def test_one_whose_own_task_died_is_replaced_at_once(client: Any, kafka: SimpleNamespace) -> None:
    dead = asyncio.create_task(die())
    await asyncio.wait([dead])
    client.client._sync_task = dead
    assert "does not understand" in await Stuck(Settings()).look(client, set())


async def test_one_that_waits_while_kafka_takes_records_is_replaced_after_a_while(
    client: Any, kafka: SimpleNamespace
) -> None:
    stuck = Stuck(Settings())
    said = [await stuck.look(client, PARTITION) for _ in range(PROBES)]
    assert [bool(why) for why in said] == [False] * (PROBES - 1) + [True]


@pytest.mark.parametrize("away", ["nothing waits", "Kafka is away"])
async def test_the_count_begins_anew(client: Any, kafka: SimpleNamespace, away: str) -> None:
    """A client that Kafka keeps waiting must stay: it still has the records."""
    stuck = Stuck(Settings())
    for _ in range(3):
        for _ in range(PROBES - 1):
            assert not await stuck.look(client, PARTITION)
        kafka.writable = away != "Kafka is away"
        assert not await stuck.look(client, set() if away == "nothing waits" else PARTITION)
        kafka.writable = True


@pytest.mark.parametrize(
    ("leader", "replicas", "isr", "takes"),
    [
        (1, [1], [1], True),
        (1, [1, 2, 3], [1, 2, 3], True),
        (1, [1, 2, 3], [1, 2], True),
        (1, [1, 2, 3], [1], False),
        (-1, [1, 2, 3], [2, 3], False),
    ],
)
async def test_kafka_takes_records_where_there_is_a_leader_and_enough_replicas_keep_up(
    monkeypatch: pytest.MonkeyPatch, leader: int, replicas: list[int], isr: list[int], *, takes: bool
) -> None:
    """With acks=all and min.insync.replicas 2, one replica alone takes nothing: the client is not to blame."""
    described = [
        {
            "topic": "chat.events",
            "partitions": [
                {"partition": 3, "leader": leader, "replicas": replicas, "isr": isr},
                {"partition": 4, "leader": -1, "replicas": replicas, "isr": []},
            ],
        }
    ]

    class Admin:
        async def describe_topics(self, _: list[str]) -> Any:
            return described

    @asynccontextmanager
    async def admin(_: Settings) -> Any:
        yield Admin()

    monkeypatch.setattr("fanfare.bus.stuck.admin", admin)
    assert await Stuck(Settings())._writable(PARTITION) is takes
    assert not await Stuck(Settings())._writable({*PARTITION, ("chat.events", 9)})
