"""Op 8 of a session that leaves the guild while it is answered."""

import asyncio
from collections.abc import Callable

import pytest

from fanfare.model import Member
from gateway.delivery.member_chunks import MemberRequests
from gateway.protocol.member_requests import RequestMembers
from tests.unit.gateway_world import ALICE, GUILD_ID, OWNER, People, World, member, session

ASKED = RequestMembers(guild=str(GUILD_ID), users=(str(OWNER),))


class Store:
    """Finds everybody, after something has happened."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._meanwhile = meanwhile

    async def members(self, _: int, users: list[int]) -> dict[int, Member]:
        self._meanwhile()
        return {ident: member(ident) for ident in users}


@pytest.mark.parametrize(("leaves", "found"), [(False, [str(OWNER)]), (True, [])])
async def test_a_members_looked_up_while_somebody_leaves_are_not_shown_to_them(leaves, found):
    world = World()
    wire = session(world.hub, ALICE)
    store = Store(lambda: world.leaves(ALICE) if leaves else None)
    await MemberRequests(world.hub, world.guilds, store, People()).answer(wire.session, ASKED)
    assert wire.contents == ["GUILD_DELETE"] * leaves + ["GUILD_MEMBERS_CHUNK"]
    assert [one["user"]["id"] for one in wire.messages[-1]["d"]["members"]] == found


async def test_a_members_are_not_shown_to_who_has_left_and_does_not_know_yet():
    """Its client reads slowly: it is behind the event that it has left."""
    world = World()
    wire = session(world.hub, ALICE)
    wire.stuck = True
    world.say("a", "b")
    world.leaves(ALICE)
    looked_up = asyncio.Event()
    requests = MemberRequests(world.hub, world.guilds, Store(looked_up.set), People())
    answering = asyncio.create_task(requests.answer(wire.session, ASKED))
    await looked_up.wait()
    assert "GUILD_DELETE" not in wire.contents
    wire.drain()
    await answering
    assert wire.contents[-2:] == ["GUILD_DELETE", "GUILD_MEMBERS_CHUNK"]
    assert wire.messages[-1]["d"]["members"] == []
