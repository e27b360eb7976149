"""Every event of a guild, as owner, as staff, as a plain member, as somebody who was kicked and as an outsider."""

from collections.abc import Callable
from typing import Final

import pytest

from fanfare.permissions import P
from fanfare.record import GUILD, Record
from gateway.guilds.audience import INTENTS, NOBODY
from tests.unit.gateway_world import (
    ALICE,
    BOB,
    GUILD_ID,
    HIDDEN,
    OWNER,
    STAFF,
    STAFF_ROLE,
    World,
    guild,
    session,
)
from tests.unit.keeper import Keeper

OUTSIDER, NEW, THREAD = 5, 6, 700
WHO: Final = {OWNER, STAFF, ALICE, BOB, OUTSIDER}
MEMBERS: Final = {OWNER, STAFF, ALICE}
INSIDERS: Final = {OWNER, STAFF}


def _in_hidden(name: str) -> Callable[[Keeper], Record]:
    return lambda keeper: keeper.log.record(name, {}, guild=GUILD_ID, channel=HIDDEN)


def _in_guild(name: str) -> Callable[[Keeper], Record]:
    return lambda keeper: keeper.log.record(name, {}, guild=GUILD_ID, audience=GUILD)


def _hidden_channel(keeper: Keeper) -> Record:
    return keeper.channel(600, overwrites=keeper.state.channels[HIDDEN].overwrites)


# How each event comes about, and who hears of it.
EVENTS: Final[dict[str, tuple[Callable[[Keeper], Record], set[int]]]] = {
    "CHANNEL_CREATE": (_hidden_channel, INSIDERS),
    "CHANNEL_UPDATE": (lambda keeper: keeper.channel(HIDDEN, topic="t"), INSIDERS),
    "CHANNEL_DELETE": (lambda keeper: keeper.no_channel(HIDDEN), INSIDERS),
    "GUILD_UPDATE": (lambda keeper: keeper.owner(OWNER), MEMBERS),
    "GUILD_ROLE_CREATE": (lambda keeper: keeper.role(91, 0), MEMBERS),
    "GUILD_ROLE_UPDATE": (lambda keeper: keeper.role(STAFF_ROLE, 0), MEMBERS),
    "GUILD_ROLE_DELETE": (lambda keeper: keeper.no_role(STAFF_ROLE), MEMBERS),
    "GUILD_MEMBER_ADD": (lambda keeper: keeper.joins(NEW), MEMBERS),
    "GUILD_MEMBER_UPDATE": (lambda keeper: keeper.member(ALICE), MEMBERS),
    "GUILD_MEMBER_REMOVE": (lambda keeper: keeper.leaves(NEW), MEMBERS),
    "THREAD_CREATE": (lambda keeper: keeper.thread(THREAD, HIDDEN), INSIDERS),
    "THREAD_UPDATE": (lambda keeper: keeper.thread(THREAD, HIDDEN, archived=True), INSIDERS),
    "THREAD_DELETE": (lambda keeper: keeper.no_thread(THREAD), INSIDERS),
    "THREAD_MEMBERS_UPDATE": (lambda keeper: keeper.moves_thread(THREAD, STAFF), INSIDERS),
    **{
        name: (_in_guild(name), MEMBERS)
        for name in (
            "GUILD_AUDIT_LOG_ENTRY_CREATE",
            "GUILD_BAN_ADD",
            "GUILD_BAN_REMOVE",
            "GUILD_EMOJIS_UPDATE",
            "PRESENCE_UPDATE",
        )
    },
    # Sent to a guild or a channel, they would be a mistake: nobody gets them.
    **{
        name: (_in_guild(name), set())
        for name in (
            "INTERACTION_CREATE",
            "INTERACTION_SUCCESS",
            "INTERACTION_MODAL_CREATE",
            "APPLICATION_COMMAND_AUTOCOMPLETE_RESPONSE",
        )
    },
    **{
        name: (_in_hidden(name), INSIDERS)
        for name in (
            "CHANNEL_PINS_UPDATE",
            "INVITE_CREATE",
            "INVITE_DELETE",
            "WEBHOOKS_UPDATE",
            "MESSAGE_CREATE",
            "MESSAGE_UPDATE",
            "MESSAGE_DELETE",
            "MESSAGE_DELETE_BULK",
            "MESSAGE_REACTION_ADD",
            "MESSAGE_REACTION_REMOVE",
            "MESSAGE_REACTION_REMOVE_ALL",
            "MESSAGE_REACTION_REMOVE_EMOJI",
            "TYPING_START",
        )
    },
    "VOICE_STATE_UPDATE": (
        lambda keeper: keeper.log.record(
            "VOICE_STATE_UPDATE", {}, guild=GUILD_ID, channel=HIDDEN, audience=GUILD
        ),
        INSIDERS,
    ),
}


def test_no_event_is_without_its_row_here():
    assert {name for name, (in_guild, _) in INTENTS.items() if in_guild != NOBODY} == EVENTS.keys()


@pytest.mark.parametrize("name", EVENTS)
def test_a3_who_hears_of_an_event(name):
    world = World()
    keeper = Keeper(guild(), world.log)
    made, heard_by = EVENTS[name]
    live = {ident: session(world.hub, ident) for ident in WHO}
    slow = {ident: session(world.hub, ident) for ident in WHO}
    if name == "GUILD_MEMBER_REMOVE":
        world.take(keeper.joins(NEW))
    if name.startswith("THREAD") and name != "THREAD_CREATE":
        world.take(keeper.thread(THREAD, HIDDEN))
    world.take(keeper.leaves(BOB))
    before = {ident: len(wire.messages) for ident, wire in live.items()}
    for wire in slow.values():
        wire.stuck = True
        wire.send(b"")
    world.take(made(keeper))
    for ident in WHO:
        slow[ident].drain()
        assert slow[ident].messages == live[ident].messages
        told = [message["t"] for message in live[ident].messages[before[ident] :]]
        gone = ["CHANNEL_DELETE"] if ident == STAFF and name == "GUILD_ROLE_DELETE" else []
        assert told == ([*gone, name] if ident in heard_by else [])


def test_a3_an_event_that_wants_a_right_in_the_guild():
    """The audit log is for those who may see it."""
    world = World()
    keeper = Keeper(guild(), world.log)
    live = {ident: session(world.hub, ident) for ident in WHO}
    told = world.log.record(
        "GUILD_AUDIT_LOG_ENTRY_CREATE", {}, guild=GUILD_ID, audience=GUILD, permission=int(P.VIEW_AUDIT_LOG)
    )
    assert keeper
    world.take(told)
    assert [ident for ident in sorted(WHO) if live[ident].messages] == [OWNER]


def test_a3_the_end_of_a_guild_is_told_to_each_member():
    """And nobody else hears of it, whatever their intents: the others are told by records of their own."""
    world = World()
    keeper = Keeper(guild(), world.log)
    live = {ident: session(world.hub, ident) for ident in WHO}
    world.take(keeper.leaves(ALICE, name="GUILD_DELETE"))
    assert [message["t"] for message in live[ALICE].messages] == ["GUILD_DELETE"]
    assert [ident for ident in sorted(WHO) if live[ident].messages] == [ALICE]
