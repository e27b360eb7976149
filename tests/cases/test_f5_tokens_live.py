"""F5: a leaked token is revoked, and a secret is changed, while everything runs."""

import asyncio
from pathlib import Path

import pytest

from fanfare.tokens import Tokens
from tests.cases.own_gateway import own_gateway
from tests.integration.store_fixtures import eventually
from tests.stack import Stack
from tests.world import Node, Person, make_world
from torture.client import Client, ClosedError, InvalidSessionError, Rest, RestError, SendError, Session

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

NEW_SECRET = "another secret of thirty-two characters"


def owned(stack: Stack) -> dict[str, str]:
    """The settings of another gateway on the stack, named without the prefix."""
    return {
        name.removeprefix("FANFARE_").lower(): value for name, value in stack.store_settings().items()
    } | {"public_url": stack.run["gateway"]}


async def revoke(stack: Stack, person: Person) -> str:
    """Revoke all tokens of somebody; a new one."""
    await asyncio.to_thread(stack.command, "token", "revoke", str(person.id))
    return (await asyncio.to_thread(stack.command, "token", str(person.id))).stdout.strip()


async def is_refused_rest(node: Node, token: str) -> bool:
    async with Rest(node.api, token) as rest:
        try:
            await rest.request("GET", "/users/@me")
        except RestError as error:
            if (error.status, error.code) != (401, 0):
                raise
            return True
    return False


async def closes(client: Client) -> int:
    """The code that a connection is closed with, whatever comes before."""
    while True:
        try:
            await client.next()
        except ClosedError as closed:
            return closed.code


async def test_f5_revoking_ends_every_session_and_way_in_on_every_node(stack, nodes, online, dial):
    """Live on both nodes, away, by REST, by IDENTIFY, by RESUME; another member notices nothing."""
    world = await make_world(stack, people=2)
    owner, leaked = world.people
    sessions = [leaked.session() for _ in range(3)]
    live = [await online(node, session) for node, session in zip(nodes, sessions, strict=False)]
    away = await online(nodes[0], sessions[2])
    await away.cut()
    other = await online(nodes[1], owner)
    for node in nodes:
        assert not await is_refused_rest(node, leaked.token)

    token = await revoke(stack, leaked)

    for client in live:
        assert await closes(client) == 4004
    for node in nodes:

        async def refused(node: Node = node) -> bool:
            return await is_refused_rest(node, leaked.token)

        await eventually(refused)
        with pytest.raises(ClosedError) as closed:
            await (await dial(node, leaked.session())).identify()
        assert closed.value.code == 4004
        for session in sessions:
            client = await dial(node, session)
            await client.ask_to_resume()
            assert await closes(client) == 4004
            # The owner of the session has a new token by now, but others had the session.
            fresh = Session(token)
            fresh.id, fresh.seq = session.id, session.seq
            with pytest.raises(InvalidSessionError):
                await (await dial(node, fresh)).resume()

    async with Rest(nodes[1].api, token) as rest:
        said = await rest.send(world.channels[0], "with the new token")
    assert (await other.until("MESSAGE_CREATE")).d["id"] == said["id"]
    again = await online(nodes[0], Session(token))
    async with nodes[1].rest(owner) as rest:
        said = await rest.send(world.channels[0], "to the new session")
    assert (await again.until("MESSAGE_CREATE")).d["id"] == said["id"]


async def test_f5_nothing_goes_on_over_the_socket_of_a_revoked_token(stack, nodes, online):
    """A client that sends by op 128 all the time: what it was told is there, and then nothing more is."""
    world = await make_world(stack, people=2)
    owner, leaked = world.people
    client = await online(nodes[0], leaked)
    channel, accepted = world.channels[0], []

    async def flood() -> None:
        while True:
            accepted.append((await client.send(channel, "again"))["id"])

    flooding = asyncio.create_task(flood())
    await eventually(lambda: asyncio.sleep(0, bool(accepted)))
    await revoke(stack, leaked)
    with pytest.raises((ClosedError, SendError)):
        await flooding
    assert await closes(client) == 4004
    async with nodes[1].rest(owner) as rest:
        last = await rest.send(channel, "after it")
        newest = await rest.messages(channel, limit=2)
    # One that was under way when the connection was closed may stand there, too.
    assert newest[0]["id"] == last["id"]
    assert newest[1]["id"] >= accepted[-1]


async def test_f5_a_node_that_starts_later_knows_what_was_revoked(stack, nodes, online, dial, tmp_path: Path):
    world = await make_world(stack, people=1)
    (leaked,) = world.people
    session = leaked.session()
    client = await online(nodes[0], session)
    await client.cut()
    token = await revoke(stack, leaked)
    async with own_gateway(tmp_path, **owned(stack)) as later:
        assert await is_refused_rest(later, leaked.token)
        client = await dial(later, session)
        await client.ask_to_resume()
        assert await closes(client) == 4004
        assert not await is_refused_rest(later, token)


async def test_f5_while_the_secret_is_rolled_old_and_new_nodes_take_the_same(
    stack, nodes, online, dial, tmp_path
):
    """Step one of the change: one node has `old,new`, the others only `old`; tokens and sessions move between them."""
    world = await make_world(stack, people=1)
    (person,) = world.people
    settings = owned(stack)
    old = settings["secret"]
    rolled = Tokens(f"{NEW_SECRET},{old}").issue(person.id)
    async with own_gateway(tmp_path, **(settings | {"secret": f"{old}, {NEW_SECRET}"})) as node:
        for token in (person.token, rolled):
            assert not await is_refused_rest(node, token)
        assert await is_refused_rest(nodes[0], rolled)
        session = person.session()
        client = await online(nodes[0], session)
        await client.cut()
        for back in (node, nodes[1], node):
            client = await dial(back, session)
            await client.resume()
            await client.cut()


@pytest.mark.parametrize(
    "token", ["x" * 3000, "", ".", "..", "é.é.é", "a\0b", "\ud7ff", "Bot Bot x", "MQ.MQ.MQ", "MQ==.MQ==.MQ=="]
)
async def test_f5_what_is_no_token_is_401_and_4004(nodes, dial, token):
    with pytest.raises(ClosedError) as closed:
        await (await dial(nodes[0], Session(token))).identify()
    assert closed.value.code == 4004
    client = await dial(nodes[1], Session(token))
    client.session.id, client.session.seq = "x", 1
    await client.ask_to_resume()
    assert await closes(client) == 4004
    if token.isascii() and "\0" not in token:
        assert await is_refused_rest(nodes[0], token)
