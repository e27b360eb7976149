"""However slow a session is, it gets what a live one gets, in the same order, each once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fanfare import payloads
from fanfare.presence.inboxes import InboxEntry
from gateway.delivery import shared_frames
from gateway.protocol.frames import Transport
from tests.unit.gateway_world import (
    ALICE,
    ALL_INTENTS,
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

# Without GUILD_MEMBERS: joining and leaving show as GUILD_CREATE and GUILD_DELETE only.
INTENTS = [ALL_INTENTS & ~2, NO_CONTENT & ~2]
USERS = st.sampled_from([OWNER, STAFF, ALICE, BOB])
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("say"), st.sampled_from([PUBLIC, HIDDEN]), USERS, st.lists(USERS, max_size=2).map(tuple)
        ),
        st.tuples(st.just("direct"), st.lists(USERS, min_size=1, max_size=2, unique=True)),
        st.tuples(st.just("role"), st.sampled_from([STAFF, ALICE]), st.booleans()),
        st.tuples(st.just("leave"), st.sampled_from([ALICE, BOB])),
        st.tuples(st.just("join"), st.sampled_from([ALICE, BOB])),
        st.tuples(st.sampled_from(["stick", "stick", "drain"]), st.integers(0, 3)),
    ),
    max_size=30,
)


def play(world, slow, steps):
    view = world.guilds.views
    for number, step in enumerate(steps):
        members = next(iter(view.values())).guild.members
        match step:
            case "say", channel, author, mentions:
                world.say(f"{number}", channel=channel, author=author, mentions=mentions)
            case "direct", users:
                world.take(world.log.direct(f"{number}", *users))
            case "role", ident, held if ident in members:
                world.member_of(ident, *([STAFF_ROLE] if held else []))
            case "leave", ident if ident in members:
                slow[ident - 1].drain()
                world.leaves(ident)
            case "join", ident if ident not in members:
                slow[ident - 1].drain()
                world.joins(ident)
            case "stick", at:
                slow[at].stuck = True
            case "drain", at:
                slow[at].drain()


@settings(deadline=None)
@given(STEPS, st.sampled_from(Transport), st.sampled_from(INTENTS), st.sampled_from([600, 2500, 10**7]))
def test_speed_changes_nothing_but_the_time(steps, transport, intents, ring_bytes):
    world = World(ring_bytes=ring_bytes)
    pairs = [
        [session(world.hub, ident, Wire(transport), intents=intents) for _ in range(2)]
        for ident in (OWNER, STAFF, ALICE, BOB)
    ]
    play(world, [slow for slow, _ in pairs], steps)
    for slow, live in pairs:
        slow.drain()
        assert live.open
        if slow.open:
            assert slow.messages == live.messages
            assert slow.session.cursor is None
        else:
            assert ring_bytes < 10**7, "nothing falls off a large ring"
            assert slow.messages == live.messages[: len(slow.messages)]
        numbers = [message["s"] for message in live.messages]
        assert numbers == sorted(set(numbers))
    assert not world.hub.catch_up.catching


def test_what_was_joined_for_others_is_not_for_who_comes_into_their_class_later():
    world = World()
    start = world.hub.ring.end
    world.say("for the staff", channel=HIDDEN)

    staff, alice = Wire(), Wire()
    alice.blocked = True
    for ident, wire in ((STAFF, staff), (ALICE, alice)):
        session(world.hub, ident, wire, cursor=start)
    assert staff.contents == ["for the staff"]
    alice.session.announce = (world.hub.ring.end, world.hub.s)
    change = world.log.change(
        "GUILD_MEMBER_UPDATE", payloads.member(member(ALICE, STAFF_ROLE)), world.version + 1
    )
    world.hub.take(InboxEntry(world.hub.s + 3, change))
    alice.drain()
    assert alice.contents == ["RESUMED", "CHANNEL_CREATE", "GUILD_MEMBER_UPDATE"]


def test_only_so_many_stretches_are_kept_and_the_others_are_joined_again(monkeypatch):
    """Cursors may stand at as many places as there are events: a stretch for each of them would fill the memory."""
    monkeypatch.setattr(shared_frames, "_KEPT", 1)
    world = World()
    wires = []
    for number in range(3):
        wires.append((Wire(), world.hub.ring.end))
        world.say(f"message {number}")
    for wire, start in wires:
        session(world.hub, ALICE, wire, cursor=start)
    assert [wire.contents for wire, _ in wires] == [[f"message {n}" for n in range(m, 3)] for m in range(3)]
    # Reached into on purpose: what is kept is not seen from outside.
    assert len(world.hub.catch_up._runs._found) == 1
