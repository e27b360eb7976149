"""Topics as they are made, and the commands that show them."""

import asyncio
import json
import signal
import subprocess
import sys

import pytest

from fanfare.bus import topics
from fanfare.bus.client import KafkaAwayError
from fanfare.bus.producer import Producer
from fanfare.bus.topics import TopicsError, TopicSpec, create_topics, describe, differences, specs
from fanfare.record import Record
from tests.integration.bus_fixtures import HOUR_MS, own_topic, read, unique
from tests.integration.store_fixtures import settings_of

pytestmark = pytest.mark.system


@pytest.fixture
def settings(stores):
    return settings_of(stores.run)


async def test_ours_are_as_they_should_be(settings):
    wanted = specs(settings)
    for info in await describe(settings, wanted):
        assert differences(info, wanted[info.name]) == []
        assert all(partition.leader in partition.in_sync for partition in info.partitions)
    for events, deliveries in topics.DELIVERIES_OF.items():
        assert wanted[events].partitions == wanted[deliveries].partitions
        assert wanted[events].log_append_time
    assert {topics.dead_letters_of(name) for name in wanted if not name.endswith("letters")} < set(wanted)


async def test_making_them_again_changes_nothing(settings):
    spec = TopicSpec(unique("events"), 3, HOUR_MS, log_append_time=True)
    made = await asyncio.gather(create_topics(settings, [spec]), create_topics(settings, [spec]))
    assert sorted(made) == [[], [spec.name]]
    assert await create_topics(settings, [spec]) == []
    (info,) = await describe(settings, [spec.name])
    assert differences(info, spec) == []
    changed = spec._replace(partitions=5, retention_ms=1)
    assert await create_topics(settings, [changed]) == []
    assert differences(info, changed) == [
        "3 partitions instead of 5",
        f"retention.ms={HOUR_MS} instead of 1",
    ]


async def test_the_broker_sets_the_time_of_events(settings):
    topic = await own_topic(settings, partitions=1)
    producer = Producer(settings, topics=[topic])
    await producer.start()
    await producer.send(topic, Record(type="X"), key=1)
    await producer.stop()
    (message,) = await read(settings, topic, 1)
    assert message.timestamp_type == 1


async def test_errors_say_what_is_wrong(settings):
    with pytest.raises(TopicsError, match="nowhere"):
        await describe(settings, ["nowhere"])
    with pytest.raises(KafkaAwayError, match=r"127\.0\.0\.1:1"):
        await create_topics(settings.model_copy(update={"kafka": "127.0.0.1:1"}))


def test_the_commands(stores):
    assert "chat.events" in stores.command("topics", "list").stdout.split()
    assert "14 topics are there" in stores.command("topics", "create").stdout
    shown = json.loads(stores.command("topics", "describe", "--json", "guild.events").stdout)
    assert shown["guild.events"]["config"]["message.timestamp.type"] == "LogAppendTime"
    assert len(shown["guild.events"]["partitions"]) == 4
    assert "leader" in stores.command("topics", "describe", "guild.events").stdout
    wrong = stores.command("topics", "describe", "nowhere", check=False)
    assert wrong.returncode == 1
    assert wrong.stderr.count("\n") == 1
    assert isinstance(json.loads(stores.command("groups", "--json").stdout), dict)
    offsets = stores.command("kafka", "get-offsets", "--topic", "guild.events").stdout
    assert "guild.events:0:" in offsets
    assert stores.command("kafka", "no-such-tool", check=False).returncode == 2


def tails(stores, count: int, *arguments: str) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-u", "-m", "fanfare.cli", "topics", "tail", *arguments],
            cwd=stores.folder,
            env=stores.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("shared", [False, True])
async def test_tails_see_all_or_share(stores, settings, shared):
    topic = await own_topic(settings, partitions=4)
    producer = Producer(settings, topics=[topic])
    await producer.start()
    for number in range(8):
        record = Record(type="X", id=number, payload=b'{"n":%d}' % number)
        await producer.send(topic, record, key=number, partition=number % 4)
    await producer.stop()
    group = ["--group", unique("tail")] if shared else []
    following = tails(stores, 2, topic, "--from-beginning", *group)

    def lines(process: subprocess.Popen[str], count: int) -> list[str]:
        assert process.stdout is not None
        return [process.stdout.readline() for _ in range(count)]

    try:
        if not shared:
            for process in following:
                said = "".join(await asyncio.to_thread(lines, process, 16))
                assert all(f'{{"n":{number}}}' in said for number in range(8))
                assert "key=3" in said
                assert "3/0" in said
                assert "type=X" in said
    finally:
        for process in following:
            process.send_signal(signal.SIGINT)
        outs = [(await asyncio.to_thread(process.communicate))[0] for process in following]
    if shared:
        # Which of the two had joined first may have read what the other got later, but never less than all.
        assert all(any(f'{{"n":{number}}}' in out for out in outs) for number in range(8))
    assert all(process.returncode in (0, 130) for process in following)
