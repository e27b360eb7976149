"""The hub: who gets which frame, live or as a cursor."""

import os

import pytest

from fanfare import payloads
from fanfare.constants import RESUME_WINDOW_S
from fanfare.model import Overwrite
from fanfare.permissions import P
from fanfare.presence.inboxes import InboxEntry
from fanfare.record import FENCE, GUILD, INBOXES, Record
from gateway.delivery.ring import Event
from gateway.guilds.apply import apply
from gateway.guilds.audience import View
from gateway.protocol.codes import CloseCode
from gateway.protocol.frames import Dispatch, Transport
from tests.unit.gateway_world import (
    ALICE,
    ALL_INTENTS,
    BOB,
    GUILD_ID,
    HIDDEN,
    INBOX,
    NO_CONTENT,
    OWNER,
    PUBLIC,
    STAFF,
    STAFF_ROLE,
    TOPIC,
    Log,
    Wire,
    World,
    guild,
    member,
    session,
)
from tests.unit.keeper import Keeper


@pytest.fixture
def world() -> World:
    return World()


def names(wire: Wire) -> list[str]:
    return [message["t"] for message in wire.messages]


# Broadcast


def test_a_message_reaches_those_who_may_see_the_channel(world):
    owner, staff, alice = (session(world.hub, ident) for ident in (OWNER, STAFF, ALICE))
    world.say("to all")
    world.say("to staff", channel=HIDDEN)
    assert owner.contents == staff.contents == ["to all", "to staff"]
    assert alice.contents == ["to all"]
    assert [message["s"] for message in owner.messages] == [103, 106]


@pytest.mark.parametrize("transport", Transport)
def test_a_class_shares_one_frame_in_its_own_transport(world, transport):
    wires = [session(world.hub, ident, Wire(transport)) for ident in (ALICE, BOB)]
    plain = session(world.hub, ALICE)
    world.say("hi")
    assert wires[0].data == wires[1].data
    assert wires[0].contents == plain.contents == ["hi"]


def test_intents_decide(world):
    deaf = session(world.hub, ALICE, intents=ALL_INTENTS & ~(1 << 9))
    world.say("hi")
    world.take(world.log.record("TYPING_START", {}, guild=GUILD_ID, channel=PUBLIC))
    assert names(deaf) == ["TYPING_START"]


def test_content_is_gated_but_for_the_author_and_the_mentioned(world):
    staff, alice, bob = (session(world.hub, i, intents=NO_CONTENT) for i in (STAFF, ALICE, BOB))
    full = session(world.hub, BOB)
    world.say("psst", author=ALICE, mentions=(STAFF,))
    assert alice.contents == staff.contents == full.contents == ["psst"]
    assert bob.contents == [""]


def test_frames_are_written_straight_to_the_descriptor(world):
    reader, writer = os.pipe2(os.O_NONBLOCK)
    taken = []
    wire = Wire()
    wire.fd = writer
    wire.rest = lambda data, written: taken.append((len(data), written))
    session(world.hub, ALICE, wire)
    world.say("hi")
    assert b'"hi"' in os.read(reader, 65_536)
    big = "x" * 100_000
    world.say(big)
    world.say("hi")
    partial, refused = taken
    assert 0 < partial[1] < partial[0], "the pipe took a part of the large one"
    assert refused[1] == 0
    os.close(reader)
    world.say("hi")  # a broken pipe: the transport will tell
    os.close(writer)
    assert wire.data == b""
    assert len(taken) == 2


# Direct conversations and shards


def test_direct_messages_go_to_all_sessions_of_the_recipients(world):
    first, second, bob = session(world.hub, ALICE), session(world.hub, ALICE), session(world.hub, BOB)
    unasked = session(world.hub, ALICE, intents=ALL_INTENTS & ~(1 << 12))
    without = session(world.hub, ALICE, intents=NO_CONTENT)
    world.take(world.log.direct("psst", ALICE, OWNER))
    assert first.contents == second.contents == without.contents == ["psst"]
    assert bob.contents == unasked.contents == []


def test_each_shard_gets_its_guilds_and_the_first_the_direct_conversations(world):
    other = 5 << 22
    world.guilds.views[other] = View(guild(other))
    wires = [Wire(), Wire()]
    for at, wire in enumerate(wires):
        session(world.hub, ALICE, wire)
        world.hub.detach(wire.session, ended=False)
        wire.session.shard = (at, 2)
        world.hub.attach(wire.session, wire)
    world.say("here")
    world.say("there", guild=other)
    world.take(world.log.direct("psst", ALICE))
    assert [wire.contents for wire in wires] == [["here", "psst"], ["there"]]


# Cursors


def test_a_full_socket_becomes_a_cursor_and_comes_back(world):
    slow, live = session(world.hub, ALICE), session(world.hub, BOB)
    slow.stuck = True
    world.say("1", "2", "3")
    assert slow.contents == ["1"]
    world.take(world.log.direct("psst", ALICE, BOB))
    slow.drain()
    world.say("4")
    assert slow.contents == live.contents == ["1", "2", "3", "psst", "4"]
    assert slow.session.cursor is None
    assert slow.session not in world.hub.catch_up.catching


def test_a_cursor_that_gets_stuck_again_goes_on_where_it_was(world):
    slow = session(world.hub, ALICE)
    slow.stuck = True
    large = ["x" * 50_000 + str(at) for at in range(6)]
    world.say(*large)
    for _ in range(10):
        slow.drain()
        slow.stuck = True
        world.say("and")
    slow.drain()
    assert slow.contents == large + ["and"] * 10


def test_who_falls_off_the_ring_is_closed_and_may_resume():
    world = World(ring_bytes=3000)
    slow, live = session(world.hub, ALICE), session(world.hub, BOB)
    slow.stuck = True
    said = [f"{at}" for at in range(20)]
    world.say(*said)
    slow.drain()
    assert slow.ended is CloseCode.UNKNOWN_ERROR
    assert slow.ended.resumable
    assert slow.contents == ["0"]
    assert live.contents == said
    assert slow.session.link is None
    assert world.hub.sessions[slow.session.key] is slow.session, "it can be resumed"


def test_a_resumed_session_is_told_where_the_present_begins(world):
    world.say("before")
    held = session(world.hub, ALICE)
    world.say("1")
    world.hub.detach(held.session, ended=False)
    world.say("2", "3")
    again = Wire()
    again.stuck = True
    again.hub, again.session = world.hub, held.session
    again.session.announce = (world.hub.ring.end, world.hub.s)
    last = world.hub.s
    world.hub.attach(again.session, again, cursor=world.hub.ring.after(held.messages[-1]["s"]))
    world.say("4")
    again.drain()
    assert again.contents == ["2", "3", "RESUMED", "4"]
    assert again.messages[2]["s"] == last
    assert again.messages[2]["d"] == {}


def test_frames_of_other_inboxes_come_first(world):
    world.say("1")
    wire = Wire()
    held = session(world.hub, ALICE, wire).session
    world.hub.detach(held, ended=False)
    elsewhere = Log().message("elsewhere")
    event = Event(Dispatch(90, elsewhere), world.guilds.views[GUILD_ID])
    held.replay.append(world.hub.catch_up.frame_for(held, event))
    world.hub.attach(held, wire, cursor=0)
    assert wire.contents == ["elsewhere", "1"]


def test_what_another_inbox_delivered_is_left_out_until_the_fence_has_passed(world):
    wire = Wire()
    held = session(world.hub, ALICE, wire).session
    world.hub.detach(held, ended=False)
    held.skip = {f"{TOPIC}/0": 2, f"{TOPIC}/1": 0}
    world.hub.attach(held, wire, cursor=world.hub.ring.end)
    world.say("0", "1")
    fence = world.log.record(FENCE, audience=INBOXES, fence="f", inboxes=(INBOX,))
    world.take(fence)
    world.say("3")
    assert wire.contents == ["3"]
    assert held.skip is not None, "the other partition's fence is still to come"
    other = Record(type=FENCE, audience=INBOXES, fence="f", inboxes=(INBOX,), source=(TOPIC, 1, 0))
    world.take(other)
    world.say("4")
    assert wire.contents == ["3", "4"]
    assert held.skip is None
    assert held.cursor is None


def test_a_record_of_a_lost_inbox_is_not_taken_again(world):
    wire = session(world.hub, ALICE)
    world.hub.progress.cut = {f"{TOPIC}/0": 1}
    world.say("0", "1", "2")
    assert wire.contents == ["2"]


# Rights and membership


def test_rights_change_between_two_messages(world):
    alice, bob = session(world.hub, ALICE), session(world.hub, BOB)
    world.say("1", channel=HIDDEN)
    world.member_of(ALICE, STAFF_ROLE)
    world.say("2", channel=HIDDEN)
    hidden = world.guilds.views[GUILD_ID].guild.channels[HIDDEN]
    opened = payloads.channel(hidden)
    opened["permission_overwrites"].append(payloads.overwrite(Overwrite(BOB, 1, P.VIEW_CHANNEL, 0)))
    world.change("CHANNEL_UPDATE", opened)
    world.say("3", channel=HIDDEN)
    world.member_of(ALICE)
    world.say("4", channel=HIDDEN)
    assert [c for c in alice.contents if c.isdigit()] == ["2", "3"]
    assert [c for c in bob.contents if c.isdigit()] == ["3", "4"]


def test_who_is_slow_gets_what_was_theirs_when_it_was_said(world):
    slow = session(world.hub, ALICE)
    slow.stuck = True
    world.say("block")
    world.say("not yet", channel=HIDDEN)
    world.member_of(ALICE, STAFF_ROLE)
    world.say("now", channel=HIDDEN)
    world.member_of(ALICE)
    world.say("no more", channel=HIDDEN)
    slow.drain()
    shown, hidden = ["CHANNEL_CREATE", "GUILD_MEMBER_UPDATE"], ["CHANNEL_DELETE", "GUILD_MEMBER_UPDATE"]
    assert slow.contents == ["block", *shown, "now", *hidden]


def test_who_leaves_is_told_and_hears_no_more(world):
    alice, bob = session(world.hub, ALICE), session(world.hub, BOB)
    world.leaves(ALICE)
    world.say("without her")
    assert names(alice) == ["GUILD_DELETE"]
    assert alice.messages[0]["d"] == {"id": str(GUILD_ID)}
    assert bob.contents == ["GUILD_MEMBER_REMOVE", "without her"]
    assert alice.session.guilds == set()


def test_who_joins_gets_the_guild_once_and_then_its_messages(world):
    carol, bob = session(world.hub, 5), session(world.hub, BOB)
    world.say("before")
    world.joins(5)
    world.say("after")
    assert carol.contents == ["GUILD_CREATE", "after"]
    created = carol.messages[0]["d"]
    assert created["id"] == str(GUILD_ID)
    assert "5" in [each["user"]["id"] for each in created["members"]]
    assert bob.contents == ["before", "GUILD_MEMBER_ADD", "after"]


def test_changes_that_the_snapshot_holds_are_not_told_again(world):
    # They were on their way while the session began: told twice, a client counts a new member twice.
    fresh, old = session(world.hub, ALICE), session(world.hub, ALICE)
    slow = session(world.hub, ALICE)
    fresh.session.shown[GUILD_ID] = slow.session.shown[GUILD_ID] = 3
    slow.stuck = True
    world.say("block")
    for _ in range(3):  # versions 2, 3 and 4
        world.member_of(BOB, STAFF_ROLE)
    slow.drain()
    assert old.contents == ["block", *["GUILD_MEMBER_UPDATE"] * 3]
    assert fresh.contents == slow.contents == ["block", "GUILD_MEMBER_UPDATE"]


def test_who_joins_slowly_gets_the_guild_as_it_was_then(world):
    slow, live = session(world.hub, 5), session(world.hub, 5, intents=ALL_INTENTS & ~2)
    slow.session.intents = live.session.intents
    slow.stuck = True
    world.take(world.log.direct("block", 5))
    world.joins(5)
    world.say("in")
    world.leaves(BOB)
    world.leaves(5)
    slow.drain()
    assert slow.messages == live.messages


def test_joining_waits_until_the_guild_is_loaded(world):
    held_back = world.guilds.views.pop(GUILD_ID)
    world.loads = False
    carol = session(world.hub, 5)
    world.joins(5)
    world.say("meanwhile")
    world.take(world.log.direct("psst", 5))
    assert carol.contents == []
    assert set(world.wanted) == {(carol.session, GUILD_ID)}
    joined = guild(version=world.version)
    joined.members[5] = member(5)
    world.guilds.views[GUILD_ID] = View(joined)
    world.hub.joined(carol.session, GUILD_ID)
    world.say("after")
    assert carol.contents == ["GUILD_CREATE", "meanwhile", "psst", "after"]
    assert held_back.guild.version == 1


def test_a8_who_joins_is_shown_what_was_visible_at_each_place_however_late_the_guild_is_loaded(world):
    """The guild is loaded as it is by then: hidden channels may be open, and open ones hidden."""
    keeper = Keeper(guild(), world.log)
    world.guilds.views.pop(GUILD_ID)
    carol = session(world.hub, 5)
    hidden = Overwrite(GUILD_ID, 0, 0, P.VIEW_CHANNEL)
    opened = Overwrite(GUILD_ID, 0, P.VIEW_CHANNEL, 0)
    for record in (
        keeper.joins(5),
        world.log.message("hidden", channel=HIDDEN),
        world.log.message("open"),
        keeper.overwrite(HIDDEN, opened),
        keeper.overwrite(PUBLIC, hidden),
        world.log.message("hidden now"),
        world.log.message("open now", channel=HIDDEN),
    ):
        world.take(record)
    world.guilds.views[GUILD_ID] = View(keeper.state)
    world.hub.joined(carol.session, GUILD_ID)
    assert carol.contents == ["GUILD_CREATE", "open", "CHANNEL_CREATE", "CHANNEL_DELETE", "open now"]
    assert [channel["id"] for channel in carol.messages[0]["d"]["channels"]] == [str(PUBLIC)]


def test_a8_who_cannot_be_judged_begins_anew(world):
    """The change says nothing of what it replaced, as one of an older version of the program."""
    alice = session(world.hub, ALICE)
    alice.stuck = True
    world.say("block")
    held = world.guilds.views.pop(GUILD_ID)
    world.say("who may see this?", channel=HIDDEN)
    opened = payloads.channel(held.guild.channels[HIDDEN]) | {"permission_overwrites": []}
    world.change("CHANNEL_UPDATE", opened)
    after = apply(held.guild, world.hub.ring[world.hub.ring.end - 1].dispatch.record)
    world.guilds.views[GUILD_ID] = View(after)
    alice.drain()
    assert alice.contents == ["block"]
    assert alice.ended is CloseCode.UNKNOWN_ERROR
    assert world.forgotten == [alice.session]


def test_a_deleted_role_opens_nothing_any_more(world):
    """Its holders keep its number in their roles, and channels its overwrite, until the guild is loaded anew."""
    keeper = Keeper(guild(), world.log)
    staff = session(world.hub, STAFF)
    world.say("1", channel=HIDDEN)
    world.take(keeper.no_role(STAFF_ROLE))
    world.say("2", channel=HIDDEN)
    assert staff.contents == ["1", "CHANNEL_DELETE", "GUILD_ROLE_DELETE"]
    assert [message["s"] for message in staff.messages] == [103, 105, 106]


def test_while_a_guild_is_ahead_of_the_inbox_a_cursor_waits(world):
    """It was loaded with a change that is still on its way: how it is at the events before that shows only then."""
    keeper = Keeper(guild(), world.log)
    change = keeper.overwrite(HIDDEN, Overwrite(ALICE, 1, P.VIEW_CHANNEL, 0))
    world.guilds.views[GUILD_ID] = View(keeper.state)
    world.guilds.ahead[GUILD_ID] = keeper.state.version
    alice = session(world.hub, ALICE)
    alice.stuck = True
    world.say("block")
    world.say("not for her", channel=HIDDEN)
    alice.drain()
    assert alice.contents == ["block"]
    world.guilds.ahead.clear()
    world.take(change)
    world.say("for her", channel=HIDDEN)
    assert alice.contents == ["block", "CHANNEL_CREATE", "for her"]


def test_who_joined_and_left_before_the_guild_was_loaded_is_not_told(world):
    world.guilds.views.pop(GUILD_ID)
    carol = session(world.hub, 5)
    world.joins(5)
    world.guilds.views[GUILD_ID] = View(guild(version=9))
    world.hub.joined(carol.session, GUILD_ID)
    world.take(world.log.direct("psst", 5))
    assert carol.contents == ["psst"]


# Sessions


def test_an_away_session_gets_nothing_until_it_is_attached(world):
    alice = session(world.hub, ALICE)
    world.hub.detach(alice.session, ended=False)
    world.say("1")
    world.take(world.log.direct("psst", ALICE))
    assert alice.contents == []
    again = Wire()
    again.hub, again.session = world.hub, alice.session
    world.hub.attach(alice.session, again)
    world.say("2")
    assert again.contents == ["2"]


def test_who_leaves_a_guild_while_away_is_told_at_the_resume(world):
    alice = session(world.hub, ALICE)
    world.hub.detach(alice.session, ended=False)
    world.leaves(ALICE)
    world.say("without her")
    world.hub.attach(alice.session, alice, cursor=0)
    assert alice.contents == ["GUILD_DELETE"]


def test_guilds_are_in_use_while_a_session_is_in_them(world):
    assert not world.guilds.held[GUILD_ID]
    first, second = session(world.hub, ALICE), session(world.hub, BOB)
    world.hub.detach(first.session, ended=False)
    world.hub.detach(second.session, ended=True)
    assert world.guilds.held[GUILD_ID], "an away session counts"
    world.hub.forget(first.session)
    assert not world.guilds.held[GUILD_ID]


def test_sessions_are_forgotten_after_the_resume_window(world):
    away, ended, live = (session(world.hub, ident) for ident in (ALICE, BOB, STAFF))
    world.hub.detach(away.session, ended=False)
    world.hub.detach(ended.session, ended=True)
    assert world.forgotten == [ended.session]
    away.session.away_at = 50.0  # sums that are exact
    world.hub.expire(away.session.away_at + RESUME_WINDOW_S)
    assert world.forgotten == [ended.session]
    world.hub.expire(away.session.away_at + RESUME_WINDOW_S + 1)
    assert world.forgotten == [ended.session, away.session]
    assert world.hub.roster.connected() == list(world.hub.sessions.values()) == [live.session]


def test_the_hub_knows_how_far_it_is(world):
    world.say("1", "2")
    world.take(world.log.record("GUILD_UPDATE", {}, audience=GUILD, guild=GUILD_ID, users=(ALICE,)))
    world.hub.take(InboxEntry(500, None, "RAISE"))
    assert world.hub.s == 500
    assert world.hub.progress.high == {f"{TOPIC}/0": 2}
    assert world.hub.progress.newest == {f"g:{GUILD_ID}": 109, f"u:{ALICE}": 109}


def test_a_session_that_moves_gets_nothing_more_here(world):
    """Its client has left, or asked elsewhere first: whatever it gets, it must not be from behind the marker."""
    alice, bob, newer = (session(world.hub, ident) for ident in (ALICE, BOB, ALICE))
    newer.session.version = 4
    slow = session(world.hub, BOB, Wire())
    slow.stuck = True
    world.say("before")
    moved = {wire.session.key: 3 for wire in (alice, newer, slow)}
    marker = "MOVED " + " ".join(f"{key}:{version}" for key, version in moved.items()) + " nobody:0"
    world.hub.take(InboxEntry(world.hub.s + 1, None, marker))
    world.say("behind")
    assert alice.ended is slow.ended is CloseCode.UNKNOWN_ERROR
    assert alice.contents == slow.contents == ["before"]
    assert bob.contents == newer.contents == ["before", "behind"], (
        "one stays, the other was taken over here since"
    )


async def test_who_waits_for_a_place_in_the_inbox_is_told_when_it_was_taken():
    world = World()
    assert world.hub.progress.when(100).done()
    near, far = world.hub.progress.when(101), world.hub.progress.when(106)
    given_up = world.hub.progress.when(101)
    given_up.cancel()
    world.say("one")
    assert near.done()
    assert not far.done()
    world.say("two")
    assert far.done()
