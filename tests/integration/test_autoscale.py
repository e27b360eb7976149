"""`fanfare autoscale` and `fanfare up --autoscale` on systems whose fan-out is overrun."""

import json
import secrets
from collections.abc import Iterator

import pytest

from fanfare.bus.producer import Producer
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.record import FENCE, INBOXES, Record
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import processes_of, settings_of

pytestmark = pytest.mark.system
# A fan-out that takes on ten events a second, and more than it can do for longer than a test lasts.
BUDGET = {"fanout_budget": "10"}
BACKLOG = 5000


@pytest.fixture(scope="module")
def overrun(tmp_path_factory) -> Iterator[Stack]:
    system = Stack(tmp_path_factory.mktemp("overrun"), settings=BUDGET)
    system.start()
    yield system
    system.stop()


async def flood(stack: Stack) -> None:
    """Give the fan-out more than it can do: events that are for nobody."""
    producer = Producer(settings_of(stack), topics=[CHAT_EVENTS])
    await producer.start()
    try:
        for number in range(BACKLOG):
            record = Record(
                type=FENCE, audience=INBOXES, fence=str(number), inboxes=(f"none-{secrets.token_hex(4)}.1",)
            )
            partition = number % producer.partitions(CHAT_EVENTS)
            posted = producer.post(CHAT_EVENTS, record, key=0, partition=partition)
        await posted
    finally:
        await producer.stop()


async def fanouts(stack: Stack) -> int:
    return sum(process["role"] == "fanout" for process in await processes_of(stack))


async def test_a_dry_run_says_what_once_does(overrun):
    await flood(overrun)
    (line,) = overrun.command("autoscale", "fanout", "--once", "--dry-run", "--json").stdout.splitlines()
    said = json.loads(line)
    assert (len(said["group"]["members"]), said["workers"]) == (1, 2)
    assert "would not be done in 30 s" in said["why"]
    assert await fanouts(overrun) == 1
    said = overrun.command("autoscale", "fanout", "--once").stdout
    assert "fanout: 1 -> 2" in said
    assert "started fanout.2" in said
    assert await fanouts(overrun) == 2


async def test_what_keda_is_told_has_the_names_of_kafka(overrun):
    said = overrun.command("autoscale", "notifier", "--keda", "--drain", "10", "--per-worker", "7").stdout
    assert f"bootstrapServers: {overrun.run['kafka']}" in said
    assert "topic: chat.deliveries" in said
    assert 'lagThreshold: "70"' in said


def test_an_unknown_role_is_said(overrun):
    done = overrun.command("autoscale", "gateway", "--once", check=False)
    assert done.returncode == 2
    assert "fanout, notifier, archiver" in done.stderr


async def test_up_adds_workers_by_itself(tmp_path):
    system = Stack(tmp_path, options=["--autoscale"], settings=BUDGET)
    system.start()
    try:
        await flood(system)

        async def added() -> bool:
            return await fanouts(system) >= 2

        await eventually(added)
        assert "autoscale fanout: 1 -> 2" in (system.home / "logs" / "up.log").read_text()
    finally:
        system.stop()


def test_where_nothing_runs(tmp_path):
    done = Stack(tmp_path).command("autoscale", "--once", check=False)
    assert done.returncode == 1
    assert "fanfare up" in done.stderr
