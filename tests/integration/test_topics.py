"""Topics as they are made, and the commands that show them."""

import asyncio
import json
import signal
import subprocess
import sys
import threading

import pytest

from fanfare.bus import topics
from fanfare.bus.client import KafkaAwayError
from fanfare.bus.producer import Producer
from fanfare.bus.topics import TopicsError, TopicSpec, create_topics, describe, differences, specs
from fanfare.record import Record
from tests.integration.bus_fixtures import HOUR_MS, own_topic, read, unique, until
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
    # Nobody of ours reads these as a group.
    unread = {topics.APP_EVENTS, topics.INSTALLATION, topics.GROWTH}
    ours = {name for name in wanted if not name.endswith("letters")} - unread
    assert {topics.dead_letters_of(name) for name in ours} < set(wanted)


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
    assert "17 topics are there" in stores.command("topics", "create").stdout
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


class Tail:
    """`fanfare topics tail` at work, and what it has said."""

    def __init__(self, stores, *arguments: str) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fanfare.cli", "topics", "tail", *arguments],
            cwd=stores.folder,
            env=stores.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def numbers(self) -> set[int]:
        return {number for number in range(8) if f'{{"n":{number}}}' in self.said}

    def stop(self) -> int:
        """As Ctrl-C does; answers the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        return code


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
    tails = [Tail(stores, topic, "--from-beginning", *group) for _ in range(2)]
    try:
        if shared:
            # Whoever came first may have read what the other got later; together they miss nothing.
            await until(lambda: len(set.union(*(tail.numbers() for tail in tails))) == 8)
        else:
            await until(lambda: all(len(tail.numbers()) == 8 for tail in tails))
            assert all(word in tails[0].said for word in ("key=3", "3/0", "type=X"))
    finally:
        codes = [await asyncio.to_thread(tail.stop) for tail in tails]
    assert set(codes) <= {0, 130, -signal.SIGINT}
