"""Cost grows with gateway nodes, not with members: 10,000 sockets on three nodes, and one message."""

import resource
from collections.abc import Iterator

import pytest

from fanfare.tokens import Tokens
from tests.integration.crowd import Crowd
from tests.stack import Stack
from tests.world import (
    make_world,
    metric_of_role,
    next_id,
    nodes_of,
    settings_of,
    store_of,
)
from torture.client import Client

pytestmark = [pytest.mark.system, pytest.mark.timeout(280)]

NODES = 3
PEOPLE = 10_000


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("three nodes"), options=["--scale", f"gateway={NODES}"])
    # What many systems begin with; the gateways have to raise it themselves.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        stack.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    yield stack
    stack.stop()


async def enrol(stack: Stack, guild: int) -> list[str]:
    """Make 10,000 users members of a guild that nobody has looked at yet; their tokens."""
    tokens = Tokens(settings_of(stack).secret.get_secret_value())
    ids = sorted(next_id() for _ in range(PEOPLE))
    async with store_of(stack) as store, store.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO users (id, username) SELECT id, 'crowd' || id FROM unnest($1::bigint[]) AS id", ids
        )
        await connection.execute(
            "INSERT INTO members (guild_id, user_id, joined_at) SELECT $1, id, now() FROM unnest($2::bigint[]) AS id",
            guild,
            ids,
        )
        await connection.execute(
            "UPDATE guilds SET member_count = member_count + $2 WHERE id = $1", guild, PEOPLE
        )
    return [tokens.issue(ident) for ident in ids]


async def test_one_message_costs_three_entries_and_one_encoding(three_nodes: Stack) -> None:
    stack = three_nodes
    world = await make_world(stack, people=1)
    nodes = await nodes_of(stack)
    assert len(nodes) == NODES
    tokens = await enrol(stack, world.guild)

    async def entries() -> float:
        return await metric_of_role(stack, "notifier", "fanfare_inbox_entries_total")

    async def encodings() -> float:
        return await metric_of_role(stack, "gateway", "fanfare_payload_encodings_total")

    async with Crowd([node.gateway for node in nodes]) as crowd:
        await crowd.gather(tokens)
        assert await metric_of_role(stack, "gateway", "fanfare_gateway_connections") == PEOPLE
        before = await entries(), await encodings()
        crowd.wanted = b'"content":"to all of you'
        async with nodes[0].rest(world.people[0]) as rest:
            await rest.send(world.channels[0], "to all of you, 1")
        await crowd.all_received(60)
        assert (await entries() - before[0], await encodings() - before[1]) == (NODES, 1)
        assert [member.received for member in crowd.members] == [1] * PEOPLE
        # A second message comes after whatever was doubled of the first.
        async with await Client.connect(nodes[2].gateway, world.people[0].session()) as client:
            await client.start()
            await client.send(world.channels[0], "to all of you, 2")
            await crowd.all_received(60)
        assert [member.received for member in crowd.members] == [2] * PEOPLE
        assert (await entries() - before[0], await encodings() - before[1]) == (2 * NODES, 2)
        assert crowd.lost == 0
