"""The private names of aiokafka and redis-py that we use exist in the versions that are installed, and do what we need.

Without one of them the product would often go on, and fail in an outage only: a watchman would see nothing, and a
client that hangs would never be given up.
"""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.protocol.metadata import MetadataResponse_v0
from redis.asyncio import Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import ReadOnlyError, ResponseError

from fanfare.bus import aiokafka_internals as kafka
from fanfare.presence import redis_internals

NOWHERE = "127.0.0.1:1"


@pytest.fixture
async def producer():
    made = AIOKafkaProducer(bootstrap_servers=NOWHERE)
    yield made
    await made.stop()


@pytest.fixture
async def consumer():
    """One that has got as far as joining its group, of a Kafka that it knows one topic of."""
    made = AIOKafkaConsumer(bootstrap_servers=NOWHERE, group_id="g")
    made._client.cluster.update_metadata(
        MetadataResponse_v0(
            [(1, "127.0.0.1", 1)], [(0, "chat.events", [(0, n, 1, [1], [1]) for n in (0, 1)])]
        )
    )
    state = SubscriptionState()
    made._coordinator, made._fetcher = GroupCoordinator(made._client, state), Fetcher(made._client, state)
    yield made
    await made._coordinator.close()
    await made._fetcher.close()
    made._coordinator = made._fetcher = None
    await made.stop()


async def test_the_tasks_of_a_producer_are_found(producer):
    assert kafka.producer_tasks(producer) == {"metadata": None, "sender": None}
    producer._sender._sender_task = asyncio.create_task(asyncio.sleep(0))
    assert kafka.producer_tasks(producer)["sender"] is producer._sender._sender_task


async def test_what_a_producer_holds_fails_when_it_is_given_up(producer):
    """Else callers would wait for ever for a client that is no more."""
    held = await producer._message_accumulator.add_message(TopicPartition("chat.events", 0), b"", b"v", 1.0)
    await kafka.fail_producer(producer, RuntimeError("given up"))
    with pytest.raises(RuntimeError, match="given up"):
        await held


async def test_the_tasks_of_a_consumer_are_found(consumer):
    tasks = kafka.consumer_tasks(consumer)
    assert tasks.keys() == {"metadata", "coordination", "fetches"}
    assert isinstance(tasks["coordination"], asyncio.Task)
    assert isinstance(tasks["fetches"], asyncio.Task)


async def test_a_consumer_knows_whether_it_is_a_member(consumer):
    assert not kafka.is_member(consumer)
    consumer._coordinator.generation = 0
    assert kafka.is_member(consumer)


async def test_the_partitions_of_a_topic_are_found(consumer):
    assert await kafka.partitions_of(consumer, "chat.events") == {0, 1}


async def test_a_consumers_fetches_go_by_the_function_that_was_put_in_place(consumer):
    """The fetcher calls `send` of the very client whose `send` was replaced."""
    asked = []

    def make(send):
        async def instead(*args, **options):
            asked.append(args)
            return await send(*args, **options)

        return instead

    kafka.replace_send(consumer, make)
    with pytest.raises(Exception, match="NodeNotReady"):
        await consumer._fetcher._client.send(1, None)
    assert asked == [(1, None)]


@pytest.mark.parametrize("name", ["_send_request", "_send_request_to_node"])
def test_the_admin_client_can_be_asked_anything(name):
    assert asyncio.iscoroutinefunction(getattr(AIOKafkaAdminClient, name))


@asynccontextmanager
async def server():
    """Says OK to everything, over one connection."""
    over = asyncio.Event()

    async def answer(reader, writer):
        while await reader.read(1024):
            writer.write(b"+OK\r\n")
        writer.close()
        await writer.wait_closed()
        over.set()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
        await over.wait()
    finally:
        listening.close()


async def test_a_connection_to_redis_gives_its_transport_away_and_is_forgotten():
    async with server() as port:
        connection = Connection(host="127.0.0.1", port=port, protocol=2, driver_info=None)
        await connection.connect()
        transport = redis_internals.transport_of(connection)
        assert not transport.is_closing()
        redis_internals.forget(connection)
        assert transport.is_closing()
        assert not connection.is_connected


@pytest.mark.parametrize(("said", "kind"), [("READONLY no", ReadOnlyError), ("ERR no", ResponseError)])
def test_errors_of_redis_are_of_redis_pys_classes(said, kind):
    assert type(redis_internals.error_of(Connection())(said)) is kind


def test_the_authority_is_read_again_for_each_tls_connection():
    connection = redis_internals.FreshTls(host="127.0.0.1")
    connection.ssl_context.context = SimpleNamespace()
    connection._connection_arguments()
    assert connection.ssl_context.context is None or not isinstance(
        connection.ssl_context.context, SimpleNamespace
    )
    assert "_connection_arguments" in SSLConnection.__dict__


@pytest.mark.parametrize(
    "name",
    ["command_stack", "explicit_transaction", "is_transaction", "raise_first_error", "scripts", "watching"],
)
def test_pipelines_have_what_ours_looks_at(name):
    """They are no private names, and in no document either."""
    assert hasattr(Redis().pipeline(), name)
