"""What a batch of the inbox owes a class goes out in one write, and nobody can tell but by the number of writes."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanfare import payloads
from fanfare.presence.inboxes import InboxEntry
from gateway.delivery import broadcast
from gateway.delivery import writing as writes_module
from gateway.protocol.frames import Transport
from tests.unit.gateway_world import (
    ALICE,
    BOB,
    HIDDEN,
    NO_CONTENT,
    OWNER,
    PUBLIC,
    STAFF,
    STAFF_ROLE,
    Wire,
    World,
    member,
    session,
)


def batch(world, records):
    for record in records:
        world.hub.take(InboxEntry(world.hub.s + 3, record), more=True)
    world.hub.settle()


class Pipe(Wire):
    """A socket with a descriptor; what the descriptor does not take, the transport does at the next `drain`."""

    def __init__(self, transport: Transport = Transport.JSON) -> None:
        super().__init__(transport)
        self._reader, self.fd = os.pipe2(os.O_NONBLOCK)
        self._rest = b""

    def read(self) -> None:
        while True:
            try:
                self.data += os.read(self._reader, 1 << 20)
            except BlockingIOError:
                return

    def rest(self, data: bytes, written: int) -> None:
        self.read()
        self._rest = data[written:]
        self.blocked = True
        self.hub.block(self.session)

    def drain(self) -> None:
        self.read()
        self.data += self._rest
        self._rest = b""
        super().drain()

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.fd)


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def writes(monkeypatch):
    """(descriptor, bytes) of each write."""
    seen = []

    def write(fd, data):
        seen.append((fd, len(data)))
        return len(data)

    monkeypatch.setattr(writes_module.os, "write", write)
    return seen


def test_a_burst_is_one_write_a_session(writes):
    world, wires = World(), [Wire() for _ in range(3)]
    for at, wire in enumerate(wires):
        wire.fd = 1000 + at
        session(world.hub, ALICE, wire)
    batch(world, [world.log.message(f"{at}") for at in range(10)])
    assert [fd for fd, _ in writes] == [1000, 1001, 1002]
    assert len({size for _, size in writes}) == 1


def test_a_long_burst_is_written_in_pieces(writes):
    # One write that no buffer takes would make a cursor of every session.
    world, wire = World(), Wire()
    wire.fd = 1000
    session(world.hub, ALICE, wire)
    batch(world, [world.log.message("x" * 1000) for _ in range(100)])
    assert len(writes) > 5
    assert max(size for _, size in writes) < 2 * broadcast.TOGETHER_BYTES


def test_a_descriptor_is_not_written_to_when_its_session_has_left_it(writes):
    # The number may be another client's by then.
    world, wire = World(), Wire()
    wire.fd = 1000
    session(world.hub, ALICE, wire)
    wire.fd = -1
    world.hub.detach(wire.session, ended=False)
    batch(world, [world.log.message("for nobody")])
    assert writes == []
    again = Wire()
    again.fd = 2000
    again.hub, again.session = world.hub, wire.session
    world.hub.attach(wire.session, again)
    batch(world, [world.log.message("for the new one")])
    assert [fd for fd, _ in writes] == [2000]


def test_what_a_socket_does_not_take_of_a_burst_comes_after_it(pipe):
    world = World()
    session(world.hub, ALICE, pipe)
    said = [f"{at}" + "x" * 3000 for at in range(60)]
    batch(world, [world.log.message(content) for content in said])
    assert pipe.blocked
    assert pipe.session.cursor is not None
    pipe.fd, fd = -1, pipe.fd  # what follows goes the way of Wire
    pipe.drain()
    pipe.fd = fd
    assert pipe.contents == said


_records = st.lists(
    st.tuples(
        st.sampled_from(["all", "staff", "mention", "direct", "role", "overwrites", "drain", "stuck"]),
        st.sampled_from([ALICE, BOB, STAFF, OWNER]),
    ),
    max_size=25,
)


@given(_records, st.integers(1, 8))
@settings(deadline=None)
def test_batches_change_nothing(asked, length):
    found = []
    for size in (1, length):
        world = World()
        wires = [
            session(world.hub, ident, Wire(kind), intents=intents)
            for ident in (ALICE, BOB, STAFF, OWNER)
            for kind in (Transport.JSON, Transport.ZLIB)
            for intents in (NO_CONTENT, NO_CONTENT | 1 << 15)
        ]
        twins = [
            session(world.hub, w.session.user.id, Wire(w.transport_kind), intents=w.session.intents)
            for w in wires
        ]
        for start in range(0, len(asked), length):
            part = asked[start : start + length]
            records = [
                record for at, what in enumerate(part) if (record := _do(world, wires, start + at, *what))
            ]
            for at in range(0, len(records), size):
                batch(world, records[at : at + size])
        for wire, twin in zip(wires, twins, strict=True):
            wire.drain()
            assert wire.session.cursor is None
            assert wire.messages == twin.messages, "slow or not"
        found.append([wire.messages for wire in wires])
    assert found[0] == found[1]


def _do(world, wires, at, what, ident):
    """One step: a record, or something that happens between batches."""
    match what:
        case "all":
            return world.log.message(f"{at}", author=ident)
        case "staff":
            return world.log.message(f"{at}", channel=HIDDEN, author=OWNER)
        case "mention":
            return world.log.message(f"{at}", channel=PUBLIC, author=OWNER, mentions=(ident,))
        case "direct":
            return world.log.direct(f"{at}", ident)
        case "role":
            world.version += 1
            told = payloads.member(member(ident, *([STAFF_ROLE] if at % 2 else [])))
            return world.log.change("GUILD_MEMBER_UPDATE", told, world.version)
        case "overwrites":
            world.version += 1
            told = payloads.channel(world.guilds.views[next(iter(world.guilds.views))].guild.channels[HIDDEN])
            return world.log.change("CHANNEL_UPDATE", told, world.version)
    for wire in wires:
        if wire.session.user.id == ident:
            if what == "drain":
                wire.drain()
            else:
                wire.stuck = True
    return None
