"""E7: every task that lives long belongs to somebody who notices when it ends before its time."""

import asyncio

import pytest

from fanfare.bus.consumer import Consumer
from fanfare.bus.producer import Producer
from fanfare.errors import FatalError
from fanfare.presence.client import connect
from fanfare.presence.snowflake_leases import SnowflakeLease
from tests.integration.bus_fixtures import own_topic, unique, until
from tests.integration.store_fixtures import settings_of

pytestmark = pytest.mark.system


def tasks_of(name: str) -> list[asyncio.Task]:
    """The tasks of this loop that run a coroutine function with this qualified name."""
    return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == name]


@pytest.mark.parametrize("name", ["_work", "_fetch", "_commit_each_second", "_process"])
async def test_e7_a_consumer_ends_with_any_of_its_tasks(stores, name):
    settings = settings_of(stores.run)
    topic = await own_topic(settings)
    consumer = Consumer(settings, unique("group"), [topic], _nothing)
    running = asyncio.ensure_future(consumer.run(asyncio.Event()))
    await until(lambda: tasks_of("Consumer._process"))
    tasks_of(f"Consumer.{name}")[0].cancel()
    with pytest.raises((FatalError, RuntimeError), match="cancelled"):
        await asyncio.wait_for(running, 30)
    assert not tasks_of(f"Consumer.{name}")


async def test_e7_a_producer_says_that_it_is_watched_no_more(stores):
    settings = settings_of(stores.run)
    producer = Producer(settings, topics=[await own_topic(settings)])
    await producer.start()
    try:
        assert producer.problem == ""
        tasks_of("KafkaClient._watch")[0].cancel()
        await until(lambda: "restart the process" in producer.problem)
    finally:
        await producer.stop()


async def test_e7_a_worker_number_that_is_renewed_no_more_is_said(stores):
    redis = connect(settings_of(stores.run))
    try:
        async with SnowflakeLease(redis) as lease:
            assert lease.problem == ""
            tasks_of("SnowflakeLease._renew")[0].cancel()
            await until(lambda: "restart the process" in lease.problem)
    finally:
        await redis.aclose()


async def _nothing(_partition: object, _batch: object) -> None:
    """Take a batch, and do nothing with it."""
