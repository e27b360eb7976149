"""`fanfare dead-letters` on a running system: each record that is brought back is handled once, by who set it aside."""

import asyncio
import json

import pytest

from fanfare.bus.letters import bring_back, letters
from fanfare.bus.producer import Producer, partition_of
from fanfare.bus.topics import CHAT_DELIVERIES, CHAT_EVENTS
from fanfare.record import Position, Record
from tests.dead_letters import message, set_aside
from tests.integration.store_fixtures import eventually
from tests.world import settings_of

pytestmark = pytest.mark.system


class Desk:
    """The command, on a running system."""

    def __init__(self, stack) -> None:
        self.stack = stack

    async def __call__(self, *arguments: str, check: bool = True):
        return await asyncio.to_thread(self.stack.command, "dead-letters", *arguments, check=check)

    async def list(self, *arguments: str) -> dict[str, dict]:
        answer = await self("list", "--json", *arguments)
        return {letter["position"]: letter for letter in json.loads(answer.stdout)}


@pytest.fixture
def desk(stack):
    return Desk(stack)


async def test_what_the_fanout_set_aside_is_delivered_once_also_when_it_is_brought_back_twice(
    stack, desk, world, nodes, online
):
    """An hour later, too: what was accepted in time is not late."""
    client = await online(nodes[0], world.people[1])
    record = message(world, "came back", minutes_ago=60)
    position = await set_aside(stack, "fanout", CHAT_EVENTS, record, 1_000_000)
    letter = (await desk.list())[str(position)]
    assert (letter["error"], letter["group"], letter["done"]) == ("TypeError", "fanout", "")
    shown = json.loads((await desk("show", letter["id"], "--json")).stdout)
    assert json.loads(shown["value"])["content"] == "came back"
    answer = await desk("retry", letter["id"])
    assert "is back at chat.events/" in answer.stdout
    # As after a crash before it was noted.
    (again,) = [one for one in await letters(settings_of(stack)) if one.id == letter["id"]]
    assert again.done == "retried"
    await bring_back(settings_of(stack), again._replace(done=""))
    async with nodes[0].rest(world.people[0]) as rest:
        last = await rest.send(world.channels[0], "the last one")
    seen = []
    while not seen or seen[-1] != last["id"]:
        seen.append((await client.until("MESSAGE_CREATE")).d["id"])
    assert seen == [str(record.id), last["id"]]
    assert str(position) not in await desk.list()
    refused = await desk("retry", letter["id"], check=False)
    assert refused.returncode == 1
    assert "retried already" in refused.stderr


async def test_what_the_notifier_set_aside_gets_a_new_position(stack, desk, world, nodes, online):
    """Inboxes leave out positions that they are past."""
    client = await online(nodes[1], world.people[2])
    record = message(world, "a delivery")
    source = Position(CHAT_EVENTS, partition_of(record.channel, settings_of(stack).chat_partitions), 0)
    delivered = Record(
        **{name: getattr(record, name) for name in record.__struct_fields__} | {"source": source}
    )
    position = await set_aside(stack, "notifier", CHAT_DELIVERIES, delivered, 1_000_001)
    await desk("retry", (await desk.list())[str(position)]["id"])
    assert (await client.until("MESSAGE_CREATE")).d["content"] == "a delivery"


async def test_what_the_archiver_set_aside_is_archived_and_not_delivered(stack, desk, world, nodes, online):
    client = await online(nodes[0], world.people[1])
    record = message(world, "only for the archive")
    position = await set_aside(stack, "archiver", CHAT_EVENTS, record, 1_000_002)
    await desk("retry", (await desk.list())[str(position)]["id"])
    async with nodes[0].rest(world.people[0]) as rest:
        last = await rest.send(world.channels[0], "the last one")

        async def archived() -> bool:
            found = await rest.request("GET", f"/channels/{world.channels[0]}/messages")
            return str(record.id) in [each["id"] for each in found]

        await eventually(archived)
    assert (await client.until("MESSAGE_CREATE")).d["id"] == last["id"]


async def test_dropped_letters_are_not_listed_and_what_is_no_record_is_not_brought_back(stack, desk, world):
    position = await set_aside(stack, "fanout", CHAT_EVENTS, message(world, "x"), 1_000_003)
    letter = (await desk.list())[str(position)]
    await desk("drop", letter["id"])
    assert str(position) not in await desk.list()
    assert (await desk.list("--all"))[str(position)]["done"] == "dropped"
    settings = settings_of(stack)
    producer = Producer(settings, topics=[CHAT_EVENTS])
    await producer.start()
    try:
        bad = await producer.post_raw(CHAT_EVENTS, [], b"no record", key=b"", partition=0)
    finally:
        await producer.stop()

    async def there() -> bool:
        return str(bad) in await desk.list()

    await eventually(there)
    letter = (await desk.list())[str(bad)]
    refused = await desk("retry", letter["id"], check=False)
    assert refused.returncode == 1
    assert "cannot be read" in refused.stderr
    assert (await desk("show", "chat.events/999999", check=False)).returncode == 2
