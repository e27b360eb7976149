"""Resume: whatever is cut, and wherever the client comes back, it sees every event once and in order."""

import asyncio
import signal

import pytest

from tests.integration.conftest import Dial
from tests.stack import Stack
from tests.world import Node, World, kill, make_world, nodes_of, whole_again
from torture.client import Client, ClosedError, InvalidSessionError, ReconnectError, Session

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

BATCH = 50


async def publish(node: Node, world: World, count: int = BATCH) -> list[str]:
    """Send messages to the first channel; their ids."""
    async with node.rest(world.people[0]) as rest:
        return [(await rest.send(world.channels[0], f"{number}"))["id"] for number in range(count)]


async def started(dial: Dial, node: Node, session: Session) -> Client:
    client = await dial(node, session)
    await client.start()
    return client


async def take(client: Client, count: int) -> None:
    """Take so many messages."""
    for _ in range(count):
        assert (await client.next()).t == "MESSAGE_CREATE"


async def up_to(session: Session, node: Node, last: str) -> None:
    """Resume and take everything up to a message; then prove that nothing is doubled after it."""
    async with await Client.connect(node.gateway, session) as client:
        await client.resume()
        while last not in session.messages:
            await client.next()
        await client.close(4000)


@pytest.mark.parametrize("back", [0, 1], ids=["on the same node", "on another node"])
async def test_cut_after_every_single_frame_of_a_batch(
    dial: Dial, nodes: list[Node], world: World, back: int
) -> None:
    """Session k takes k frames of the batch, is cut, and comes back."""
    sessions = [world.people[1].session() for _ in range(BATCH + 1)]
    clients = [await started(dial, nodes[0], session) for session in sessions]
    ids = await publish(nodes[1], world)

    async def cut_after(k: int) -> None:
        await take(clients[k], k)
        await clients[k].cut()
        assert sessions[k].messages == ids[:k]
        async with await Client.connect(nodes[back].gateway, sessions[k]) as client:
            missed = await client.resume()
            assert [event.d["id"] for event in missed if event.t == "MESSAGE_CREATE"] == ids[k:]
            await client.close(4000)

    await asyncio.gather(*(cut_after(k) for k in range(BATCH + 1)))
    # What comes next comes once, too.
    ids += await publish(nodes[0], world, 2)
    await asyncio.gather(*(up_to(session, nodes[1 - back], ids[-1]) for session in sessions))
    for session in sessions:
        assert session.messages == ids


async def test_cut_after_every_frame_from_node_to_node(dial: Dial, nodes: list[Node], world: World) -> None:
    """One session: it takes one frame, is cut, and resumes on the other node, in the middle of what it missed."""
    session = world.people[1].session()
    client = await started(dial, nodes[0], session)
    ids = await publish(nodes[1], world)
    for hop in range(BATCH):
        await take(client, 1)
        await client.cut()
        client = await dial(nodes[(hop + 1) % 2], session)
        await client.ask_to_resume()
    assert (await client.next()).t == "RESUMED"
    ids += await publish(nodes[0], world, 1)
    await take(client, 1)
    assert session.messages == ids
    await client.close()


async def test_cut_before_the_move_was_heard_of_and_back_on_the_node_moved_to(
    dial: Dial, nodes: list[Node], world: World
) -> None:
    """The client was cut while the second node sent what it missed, and comes back there from before the move."""
    session = world.people[1].session()
    client = await started(dial, nodes[0], session)
    await client.cut()
    ids = await publish(nodes[0], world, 3)
    before = session.seq
    async with await Client.connect(nodes[1].gateway, session) as client:
        await client.resume()
        await client.cut()
    assert session.messages == ids
    session.seq = before
    session.messages.clear()
    async with await Client.connect(nodes[1].gateway, session) as client:
        missed = await client.resume()
        await client.close(4000)
    assert [event.d["id"] for event in missed if event.t == "MESSAGE_CREATE"] == ids
    ids += await publish(nodes[0], world, 1)
    await up_to(session, nodes[0], ids[-1])
    assert session.messages == ids


@pytest.mark.parametrize("step", [0, 1], ids=["on the same node", "from node to node"])
async def test_cut_again_and_again_while_messages_flow(
    dial: Dial, nodes: list[Node], world: World, step: int
) -> None:
    session = world.people[1].session()
    client = await started(dial, nodes[0], session)
    publishing = asyncio.create_task(publish(nodes[1], world, 4 * BATCH))
    hops, codes = 0, set()
    while len(session.messages) < 4 * BATCH:
        try:
            wanted = min(len(session.messages) + 7, 4 * BATCH)
            while len(session.messages) < wanted:
                await client.next()
        except ClosedError as closed:
            codes.add(closed.code)
        await client.cut()
        hops += step
        client = await dial(nodes[hops % 2], session)
        await client.ask_to_resume()
    assert session.messages == await publishing
    assert codes <= {4000}  # "reconnect and resume"
    last = await publish(nodes[0], world, 1)
    await client.until("MESSAGE_CREATE")
    assert session.messages[-1:] == last
    assert len(session.messages) == 4 * BATCH + 1
    await client.close()


async def test_a_start_that_was_cut_short_is_no_session(dial: Dial, nodes: list[Node], world: World) -> None:
    session = world.people[1].session()
    client = await dial(nodes[0], session)
    ready = await client.identify()
    assert ready.s == 1
    await client.cut()
    for node in nodes:
        async with await Client.connect(node.gateway, session) as again:
            await again.ask_to_resume()
            with pytest.raises(InvalidSessionError) as refused:
                await again.next()
            assert refused.value.resumable is False


@pytest.mark.parametrize("back", [0, 1], ids=["on the same node", "on another node"])
async def test_sessions_that_cannot_be_resumed(
    dial: Dial, nodes: list[Node], world: World, back: int
) -> None:
    """Another user's, and a position that does not exist yet; the socket and the session stay as good as before."""
    alice, bob, _ = world.people
    session = alice.session()
    client = await started(dial, nodes[0], session)
    await client.cut()
    stolen, early = bob.session(), alice.session()
    stolen.id, stolen.seq = session.id, session.seq
    early.id, early.seq = session.id, 2**53 - 1
    for wrong in (stolen, early):
        async with await Client.connect(nodes[back].gateway, wrong) as again:
            await again.ask_to_resume()
            with pytest.raises(InvalidSessionError) as refused:
                await again.next()
            assert refused.value.resumable is False
            await again.start()
    async with await Client.connect(nodes[back].gateway, session) as again:
        assert await again.resume() == []


async def test_the_second_resume_takes_the_session_over(dial: Dial, nodes: list[Node], world: World) -> None:
    """A client may be back before the server has noticed that the old connection is dead."""
    for node in nodes:
        session = world.people[1].session()
        old = await started(dial, nodes[0], session)
        async with await Client.connect(node.gateway, session) as new:
            await new.resume()
            ids = await publish(nodes[1], world, 3)
            await take(new, 3)
            assert session.messages == ids
        await old.cut()


async def test_sigterm_asks_to_reconnect_and_the_session_goes_on_elsewhere(dial: Dial, stack: Stack) -> None:
    nodes, world = await nodes_of(stack), await make_world(stack, people=2)
    session = world.people[1].session()
    client = await started(dial, nodes[0], session)
    ids = await publish(nodes[1], world, 3)
    nodes[0].signal(signal.SIGTERM)
    with pytest.raises(ReconnectError):
        await client.closed()
    await client.close(4000)
    ids += await publish(nodes[1], world, 3)
    async with await Client.connect(nodes[1].gateway, session) as again:
        await again.resume()
        ids += await publish(nodes[1], world, 3)
        while len(session.messages) < len(ids):
            await again.next()
    assert session.messages == ids
    await whole_again(stack)


async def test_kill_of_a_node_and_the_sessions_go_on_elsewhere(dial: Dial, stack: Stack) -> None:
    nodes, world = await nodes_of(stack), await make_world(stack, people=2)
    sessions = [world.people[1].session() for _ in range(10)]
    clients = [await started(dial, nodes[1], session) for session in sessions]
    ids = await publish(nodes[0], world, 5)
    for k, client in enumerate(clients):
        await take(client, k % 6)
    await kill(stack, "gateway.2")
    ids += await publish(nodes[0], world, 5)
    for client in clients:
        await client.cut()
    await asyncio.gather(*(up_to(session, nodes[0], ids[-1]) for session in sessions))
    for session in sessions:
        assert session.messages == ids
    await whole_again(stack)
