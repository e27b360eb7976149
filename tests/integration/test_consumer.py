"""The consume loop against a real Kafka."""

import asyncio
from collections import Counter, defaultdict

import pytest

from fanfare.bus import consumer
from fanfare.bus.consumer import Consumer, Incoming, PoisonError, TopicPartition
from fanfare.bus.deadletters import DEAD_ERROR, DEAD_GROUP, DEAD_POSITION, DEAD_REASON, DEAD_TIME
from fanfare.bus.groups import describe_groups, end_offsets
from fanfare.bus.producer import Producer
from fanfare.bus.topics import dead_letters_of
from fanfare.errors import FatalError
from fanfare.record import Position, Record
from fanfare.settings import Settings
from fanfare.telemetry import metrics
from tests.integration.bus_fixtures import own_topic, read, running, unique, until
from tests.integration.store_fixtures import settings_of

pytestmark = pytest.mark.system


@pytest.fixture
def settings(stores):
    return settings_of(stores.run)


@pytest.fixture
async def topic(settings):
    return await own_topic(settings)


@pytest.fixture
async def producer(settings, topic):
    producer = Producer(settings, topics=[topic])
    await producer.start()
    yield producer
    await producer.stop()


def record(number: int) -> Record:
    return Record(type="X", id=number, payload=b"%d" % number)


class Seen:
    """A handler that notes what it gets."""

    def __init__(self) -> None:
        self.offsets: dict[int, list[int]] = defaultdict(list)
        self.ids: Counter[int] = Counter()

    async def handle(self, partition: TopicPartition, batch: list[Incoming]) -> None:
        for each in batch:
            assert each.record.position == Position(*partition, each.offset)
            self.offsets[partition.partition].append(each.offset)
            self.ids[each.record.id] += 1


async def test_everything_comes_in_order_while_members_come_and_go(settings, topic, producer):
    group = unique("group")
    seen = Seen()
    members = [Consumer(settings, group, [topic], seen.handle) for _ in range(3)]
    posted = 0

    async def post(count: int) -> None:
        nonlocal posted
        for _ in range(count):
            await producer.send(topic, record(posted), key=posted)
            posted += 1

    async with running(members[0]):
        await until(lambda: members[0].joined)
        await post(50)
        async with running(*members[1:]) as (stop, _):
            await post(50)
            await until(lambda: all(member.facts()["assigned"] for member in members))
            await post(50)
            stop.set()
            await post(50)
        await post(50)
        await until(lambda: len(seen.ids) == posted)
    for offsets in seen.offsets.values():
        # Whoever handles a partition begins at a commit: at most something comes again, and nothing is left out.
        assert all(later <= max(offsets[:place]) + 1 for place, later in enumerate(offsets) if place)


async def test_what_is_finished_is_committed_at_the_end(settings, topic, producer):
    group = unique("group")
    first, second = Seen(), Seen()
    for number in range(20):
        await producer.send(topic, record(number), key=number)
    async with running(Consumer(settings, group, [topic], first.handle)):
        await until(lambda: len(first.ids) == 20)
    ends = await end_offsets(settings, [(topic, partition) for partition in range(4)])
    described = (await describe_groups(settings))[group]
    assert described["lag"] == 0
    assert described["members"] == []
    assert {name: facts["committed"] for name, facts in described["partitions"].items()} == {
        f"{name}/{partition}": end for (name, partition), end in ends.items() if end
    }
    await producer.send(topic, record(20), key=20)
    async with running(Consumer(settings, group, [topic], second.handle)):
        await until(lambda: second.ids)
    assert set(second.ids) == {20}


async def test_what_is_finished_is_committed_before_partitions_are_handed_over(
    settings, topic, producer, monkeypatch
):
    monkeypatch.setattr(consumer, "COMMIT_INTERVAL_S", 3600)
    monkeypatch.setattr(consumer, "_REVOKE_S", 60)
    group = unique("group")
    seen = Seen()
    members = [Consumer(settings, group, [topic], seen.handle) for _ in range(2)]
    for number in range(20):
        await producer.send(topic, record(number), key=number)
    async with running(members[0]):
        await until(lambda: len(seen.ids) == 20)
        async with running(members[1]):
            await until(lambda: all(member.facts()["assigned"] for member in members))
            for partition in range(4):
                await producer.send(topic, record(100 + partition), key=0, partition=partition)
            await until(lambda: len(seen.ids) == 24)
    assert set(seen.ids.values()) == {1}


async def test_what_is_not_finished_comes_again(settings, topic, producer):
    group = unique("group")
    begun = asyncio.Event()
    seen = Seen()

    async def stuck(partition: TopicPartition, batch: list[Incoming]) -> None:
        begun.set()
        raise ConnectionError

    for number in range(5):
        await producer.send(topic, record(number), key=1)
    held = Consumer(settings, group, [topic], stuck)
    async with running(held):
        await begun.wait()
        await until(lambda: held.facts()["held"])
    async with running(Consumer(settings, group, [topic], seen.handle)):
        await until(lambda: len(seen.ids) == 5)
    assert set(seen.ids.values()) == {1}


async def test_one_member_held_does_not_keep_others_from_joining(settings, topic, producer):
    group = unique("group")
    away = True
    seen = Seen()

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        if away:
            raise ConnectionError
        await seen.handle(partition, batch)

    for number in range(8):
        await producer.send(topic, record(number), key=number)
    members = [Consumer(settings, group, [topic], handle) for _ in range(2)]
    async with running(members[0]):
        await until(lambda: members[0].facts()["held"])
        async with running(members[1]):
            await until(lambda: all(member.facts()["assigned"] for member in members))
            away = False
            await until(lambda: len(seen.ids) == 8)


async def test_poison_goes_to_the_dead_letters_and_the_partition_goes_on(settings, topic, producer):
    group = unique("group")
    seen = Seen()

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        for each in batch:
            if each.record.id in (3, 5):
                raise PoisonError(each.record, f"it is {each.record.id}")
        await seen.handle(partition, batch)

    for number in range(8):
        await producer.send(topic, record(number), key=1, partition=2)
    odd = await producer.post_raw(topic, [("v", b"99"), ("colour", b"red")], b"?", key=b"key", partition=2)
    await producer.send(topic, record(9), key=1, partition=2)
    async with running(Consumer(settings, group, [topic], handle)):
        await until(lambda: seen.ids[9])
        dead = {letter.value: letter for letter in await read(settings, dead_letters_of(topic), 3)}
    assert set(seen.ids) == {0, 1, 2, 4, 6, 7, 9}
    reasons = {value: dict(letter.headers)[DEAD_REASON] for value, letter in dead.items()}
    assert (reasons[b"3"], reasons[b"5"]) == (b"it is 3", b"it is 5")
    assert b"'99'" in reasons[b"?"]
    headers = dict(dead[b"?"].headers)
    assert (headers["v"], headers["colour"], dead[b"?"].key) == (b"99", b"red", b"key")
    assert headers[DEAD_POSITION] == str(odd).encode()
    assert headers[DEAD_GROUP] == group.encode()
    assert headers[DEAD_ERROR] == b"BadRecordError"
    assert abs(int(headers[DEAD_TIME]) - dead[b"?"].timestamp) < 60_000
    assert (await describe_groups(settings))[group]["lag"] == 0


async def test_e1_an_error_of_our_own_code_holds_its_partition_and_no_other(settings, topic, producer):
    """Such records went to the dead letters after three tries: an error of ours lost what was accepted."""
    group = unique("group")
    seen, broken = Seen(), True
    ordered: set[Position] = set()

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        if broken and any(each.record.id in (3, 12) for each in batch):
            raise TypeError
        await seen.handle(partition, batch)

    async def told(_: str, position: Position) -> bool:
        return position in ordered

    positions = {
        number: await producer.send(topic, record(number), key=0, partition=number // 10)
        for number in range(20)
    }
    member = Consumer(settings, group, [topic], handle, told_to_bury=told)
    async with running(member):
        await until(lambda: len(seen.ids) == 5 and member.facts()["held"] == 2)
        assert set(seen.ids) == {0, 1, 2, 10, 11}
        assert "TypeError" in member.problem()
        ordered.add(positions[3])
        await until(lambda: len(seen.ids) == 11)
        broken = False
        await until(lambda: len(seen.ids) == 19)
        (letter,) = await read(settings, dead_letters_of(topic), 1)
    assert member.problem() == ""
    assert dict(letter.headers)[DEAD_POSITION] == str(positions[3]).encode()
    assert set(seen.ids) == set(range(20)) - {3}
    assert all(offsets == sorted(offsets) for offsets in seen.offsets.values())


async def test_a_slow_partition_is_paused_and_loses_nothing(settings, topic, producer):
    gate = asyncio.Event()
    seen = Seen()

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        if partition.partition == 0:
            await gate.wait()
        await seen.handle(partition, batch)

    member = Consumer(settings, unique("group"), [topic], handle, batch_records=10)
    count = 6000
    async with running(member):
        await until(lambda: member.joined)
        posted = [producer.post(topic, record(number), key=0, partition=0) for number in range(count)]
        await asyncio.gather(*posted)
        await until(lambda: any(lane.paused for lane in member._lanes.values()))
        waiting = sum(len(lane.queue) for lane in member._lanes.values())
        await producer.send(topic, record(count), key=0, partition=1)
        await until(lambda: seen.ids[count])
        gate.set()
        await until(lambda: len(seen.ids) == count + 1)
    assert waiting < count
    assert seen.offsets[0] == list(range(count))


async def test_a_refused_session_timeout_names_the_setting(settings, topic):
    strange = settings.model_copy(update={"session_timeout_ms": 2_000_000_000})
    member = Consumer(strange, unique("group"), [topic], Seen().handle)
    with pytest.raises(FatalError, match=r"group\.min\.session\.timeout\.ms"):
        await member.run(asyncio.Event())


async def test_a_fatal_handler_ends_the_member(settings, topic, producer):
    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        raise FatalError("set this")

    await producer.send(topic, record(0), key=0)
    with pytest.raises(FatalError, match="set this"):
        await Consumer(settings, unique("group"), [topic], handle).run(asyncio.Event())


async def test_waits_for_topics_and_can_be_stopped_meanwhile(settings):
    member = Consumer(settings, unique("group"), [unique("events")], Seen().handle)
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stopping.set)
    await member.run(stopping)
    assert not member.joined


def static(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"instance": name})


async def test_a_static_member_that_is_started_again_has_its_partitions_and_the_others_keep_theirs(
    settings, topic, producer
):
    """What StatefulSets are told to set it for; without it, both starts move partitions."""
    group, seen = unique("group"), Seen()
    stays = Consumer(static(settings, "pod-0"), group, [topic], seen.handle)
    leaves, again = (Consumer(static(settings, "pod-1"), group, [topic], seen.handle) for _ in range(2))
    async with running(stays):
        async with running(leaves):
            await until(lambda: stays.joined and leaves.joined and len(leaves.facts()["assigned"]) == 2)
            had = leaves.facts()["assigned"]
        rebalances = metrics.REBALANCES.labels(group)._value.get()
        async with running(again):
            await until(lambda: again.joined)
            assert again.facts()["assigned"] == had
            for number in range(20):
                await producer.send(topic, record(number), key=number)
            await until(lambda: len(seen.ids) == 20)
            # One more: that of the member that has come back.
            assert metrics.REBALANCES.labels(group)._value.get() == rebalances + 1


async def test_the_partitions_of_a_static_member_that_leaves_wait_for_the_session_timeout(
    settings, topic, producer
):
    """It is what static membership costs: said in docs/operations.md."""
    group, seen = unique("group"), Seen()
    stays = Consumer(static(settings, "pod-0"), group, [topic], seen.handle)
    leaves = Consumer(static(settings, "pod-1"), group, [topic], seen.handle)
    async with running(stays):
        async with running(leaves):
            await until(lambda: stays.joined and leaves.joined and len(leaves.facts()["assigned"]) == 2)
        # Members that leave are gone from the group at once; this one is not.
        assert len((await describe_groups(settings))[group]["members"]) == 2
        await until(lambda: len(stays.facts()["assigned"]) == 4)
