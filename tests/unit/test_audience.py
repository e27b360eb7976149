"""Who sees what, against an oracle that asks for each member alone."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fanfare.model import Channel, Guild, Overwrite, Role
from fanfare.permissions import P, base, in_channel
from fanfare.record import CHANNEL, GUILD, Record
from fanfare.record import USERS as USERS_NAMED
from gateway.guilds import audience
from gateway.guilds.audience import (
    MESSAGE_CONTENT,
    View,
    classify,
    content_for,
    intent_of,
    rights_of,
    sees,
)
from gateway.protocol.frames import Transport
from tests.unit.gateway_world import (
    ALICE,
    ALL_INTENTS,
    BOB,
    GUILD_ID,
    HIDDEN,
    OWNER,
    PUBLIC,
    STAFF,
    STAFF_ROLE,
    World,
    guild,
    member,
    session,
)

# Discord's documentation, "List of intents": bit -> (dispatches in guilds, dispatches in direct conversations).
# But for GUILD_CREATE, which is made for each session, and GUILD_DELETE, which its record's user gets.
_GUILDS = """GUILD_UPDATE GUILD_ROLE_CREATE GUILD_ROLE_UPDATE GUILD_ROLE_DELETE
    CHANNEL_CREATE CHANNEL_UPDATE CHANNEL_DELETE CHANNEL_PINS_UPDATE THREAD_CREATE THREAD_UPDATE THREAD_DELETE"""
_REACTIONS = """MESSAGE_REACTION_ADD MESSAGE_REACTION_REMOVE
    MESSAGE_REACTION_REMOVE_ALL MESSAGE_REACTION_REMOVE_EMOJI"""
DOCUMENTED = {
    0: (_GUILDS, ""),
    1: ("GUILD_MEMBER_ADD GUILD_MEMBER_UPDATE GUILD_MEMBER_REMOVE THREAD_MEMBERS_UPDATE", ""),
    2: ("GUILD_BAN_ADD GUILD_BAN_REMOVE GUILD_AUDIT_LOG_ENTRY_CREATE", ""),
    3: ("GUILD_EMOJIS_UPDATE", ""),
    5: ("WEBHOOKS_UPDATE", ""),
    6: ("INVITE_CREATE INVITE_DELETE", ""),
    7: ("VOICE_STATE_UPDATE", ""),
    8: ("PRESENCE_UPDATE", ""),
    9: ("MESSAGE_CREATE MESSAGE_UPDATE MESSAGE_DELETE MESSAGE_DELETE_BULK", ""),
    10: (_REACTIONS, ""),
    11: ("TYPING_START", ""),
    12: ("", "MESSAGE_CREATE MESSAGE_UPDATE MESSAGE_DELETE CHANNEL_PINS_UPDATE"),
    13: ("", _REACTIONS),
    14: ("", "TYPING_START"),
}
NEEDED = {
    (name, in_guild): 1 << bit
    for bit, names in DOCUMENTED.items()
    for in_guild, listed in zip((True, False), names, strict=True)
    for name in listed.split()
}

USERS = [OWNER, STAFF, ALICE, BOB]
BITS = st.integers(0, 7).map(
    lambda n: (
        (P.VIEW_CHANNEL if n & 1 else 0)
        | (P.MANAGE_MESSAGES if n & 2 else 0)
        | (P.ADMINISTRATOR if n & 4 else 0)
    )
)
ROLES = [GUILD_ID, 90, 91]
OVERWRITES = st.lists(
    st.builds(Overwrite, st.sampled_from(ROLES), st.just(0), BITS, BITS)
    | st.builds(Overwrite, st.sampled_from(USERS), st.just(1), BITS, BITS),
    max_size=4,
    unique_by=lambda o: (o.id, o.type),
)
GUILDS = st.builds(
    lambda bits, overwrites, held: Guild(
        id=GUILD_ID,
        name="g",
        owner_id=OWNER,
        roles={ident: Role(id=ident, name="r", permissions=b) for ident, b in zip(ROLES, bits, strict=True)},
        channels={PUBLIC: Channel(id=PUBLIC, guild_id=GUILD_ID, overwrites=tuple(overwrites))},
        members={ident: member(ident, *roles) for ident, roles in zip(USERS, held, strict=True)},
    ),
    st.lists(BITS, min_size=3, max_size=3),
    OVERWRITES,
    st.lists(st.lists(st.sampled_from([90, 91, 99]), unique=True, max_size=3), min_size=4, max_size=4),
)
RECORDS = st.builds(
    Record,
    type=st.sampled_from([name for name, in_guild in NEEDED if in_guild] + ["STAGE_INSTANCE_CREATE"]),
    guild=st.just(GUILD_ID),
    channel=st.sampled_from([PUBLIC, 999, 0]),
    audience=st.sampled_from([CHANNEL, GUILD]),
    permission=st.sampled_from([0, int(P.MANAGE_MESSAGES)]),
)
INTENTS = st.integers(0, (1 << 16) - 1)


def may_see(state: Guild, user: int, intents: int, record: Record) -> bool:
    """The rule, for one member."""
    if not NEEDED.get((record.type, True), 0) & intents:
        return False
    if not record.channel:
        held = base(state, state.members[user])
        return record.audience == GUILD and (held & record.permission) == record.permission
    if record.channel not in state.channels:
        return False
    held = in_channel(state, state.members[user].roles, user, state.channels[record.channel])
    return bool(held & P.VIEW_CHANNEL) and (held & record.permission) == record.permission


@given(GUILDS, st.lists(RECORDS, min_size=1, max_size=4), INTENTS)
def test_each_member_sees_what_the_rules_say(state, records, intents):
    view = View(state)
    for record in records:
        for user in USERS:
            held = classify(view, user, intents, Transport.JSON)
            assert sees(view, held, record) == may_see(state, user, intents, record)


def test_members_alike_share_a_class():
    view = View(guild())
    classes = {ident: classify(view, ident, 513, Transport.JSON) for ident in USERS}
    assert classes[ALICE] == classes[BOB]
    assert len({classes[OWNER], classes[STAFF], classes[ALICE]}) == 3
    assert (
        classify(view, BOB, 512, Transport.JSON) != classes[BOB] != classify(view, BOB, 513, Transport.ZLIB)
    )


def test_a_class_does_not_depend_on_the_order_of_roles():
    states = [guild(), guild()]
    for state, roles in zip(states, [(90, 91), (91, 90)], strict=True):
        state.members[ALICE] = member(ALICE, *roles)
    one, other = (classify(View(state), ALICE, 0, Transport.JSON) for state in states)
    assert one == other


def test_an_example():
    view = View(guild())
    message = Record(type="MESSAGE_CREATE", guild=GUILD_ID, channel=HIDDEN)
    seen_by = [u for u in USERS if sees(view, classify(view, u, 1 << 9, Transport.JSON), message)]
    assert seen_by == [OWNER, STAFF]


def test_intents_are_the_documented_ones():
    for (name, in_guild), needed in NEEDED.items():
        assert intent_of(name, in_guild=in_guild) == needed, (name, in_guild)


@given(
    INTENTS, st.sampled_from(USERS), st.sampled_from(USERS), st.lists(st.sampled_from(USERS)), st.booleans()
)
def test_content_is_for_those_who_asked_and_those_concerned(intents, user, author, mentions, direct):
    record = Record(
        type="MESSAGE_CREATE", guild=0 if direct else GUILD_ID, author=author, mentions=tuple(mentions)
    )
    expected = direct or user == author or user in mentions or intents >> 15 & 1 == 1
    assert content_for(user, intents, record) == expected
    assert MESSAGE_CONTENT == 1 << 15


@pytest.mark.parametrize(("name", "in_guild"), sorted(NEEDED))
def test_each_event_is_for_those_who_asked_for_its_intent(name, in_guild):
    needed, others = NEEDED[name, in_guild], (1 << 53) - 1 & ~NEEDED[name, in_guild]
    world = World()
    asked, unasked = (session(world.hub, OWNER, intents=intents) for intents in (needed, others))
    if in_guild:
        # A change to the guild is told by what it changes (test_a_visibility); what decides here is its name.
        classes = [classify(View(guild()), OWNER, intents, Transport.JSON) for intents in (needed, others)]
        record = Record(type=name, guild=GUILD_ID, channel=PUBLIC)
        assert [sees(View(guild()), one, record) for one in classes] == [True, False]
        if not name.startswith("GUILD_MEMBER"):
            world.take(world.log.record(name, {}, guild=GUILD_ID, channel=PUBLIC))
    else:
        world.take(world.log.record(name, {}, audience=USERS_NAMED, users=(OWNER,), channel=900))
    assert not unasked.messages
    assert {message["t"] for message in asked.messages} <= {name}


@pytest.mark.parametrize("name", ["WHATEVER_CREATE", "READY", "RESUMED", "GUILD_SCHEDULED_EVENT_CREATE"])
def test_an_event_that_nobody_has_thought_of_goes_to_nobody(name):
    """A new kind of event is closed until somebody says which intent it is for."""
    world = World()
    live, slow = session(world.hub, OWNER, intents=(1 << 53) - 1), session(world.hub, OWNER)
    slow.stuck = True
    slow.send(b"")
    world.take(
        world.log.record(name, {}, guild=GUILD_ID, channel=PUBLIC),
        world.log.record(name, {}, guild=GUILD_ID, audience=GUILD),
        world.log.record(name, {}, guild=GUILD_ID, audience=GUILD, users=(OWNER,)),
        world.log.record(name, {}, audience=USERS_NAMED, users=(OWNER,)),
        world.log.change(name, {}, 2, users=(OWNER,)),
    )
    slow.drain()
    assert live.messages == slow.messages == []


def test_every_event_that_is_made_has_an_intent():
    """Walks what the store and the ingress make: an event without a line in the table would be heard by nobody."""
    package = Path(audience.__file__).parents[2]
    sources = [
        *package.glob("fanfare/store/*.py"),
        *package.glob("gateway/ingress/*.py"),
        *package.glob("gateway/ingress/drafts.py"),
    ]
    pattern = r'"((?:MESSAGE|TYPING|CHANNEL|GUILD|PRESENCE|THREAD|USER|VOICE|INVITE|WEBHOOKS)_[A-Z_]+?)"'
    made = {name for source in sources for name in re.findall(pattern, source.read_text())}
    made -= {
        "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
        "USER_COLUMNS",
        "CHANNEL_NAME",
        "GUILD_CREATE",
        "GUILD_DELETE",
    }
    assert {"MESSAGE_CREATE", "TYPING_START", "GUILD_ROLE_DELETE", "CHANNEL_DELETE"} <= made
    assert made <= {name for name, _ in NEEDED}


@pytest.mark.parametrize("kind", [2, 13])
def test_what_is_said_in_a_voice_channel_is_for_those_who_may_connect(kind):
    state = guild()
    barred = Overwrite(ALICE, 1, 0, P.CONNECT)
    everyone = Overwrite(GUILD_ID, 0, P.CONNECT, 0)
    state.channels[PUBLIC] = Channel(id=PUBLIC, type=kind, guild_id=GUILD_ID, overwrites=(everyone, barred))
    view = View(state)
    for name, told in (("MESSAGE_CREATE", CHANNEL), ("TYPING_START", CHANNEL), ("CHANNEL_UPDATE", GUILD)):
        record = Record(type=name, guild=GUILD_ID, channel=PUBLIC, audience=told)
        seen_by = [
            ident for ident in USERS if sees(view, classify(view, ident, ALL_INTENTS, Transport.JSON), record)
        ]
        assert seen_by == (USERS if told == GUILD else [OWNER, STAFF, BOB])


def test_answers_that_are_kept_are_dropped_when_they_are_too_many(monkeypatch):
    """Somebody who gives roles to members in ever new sets must not fill the memory."""
    monkeypatch.setattr(audience, "_KEPT", 1)
    view = View(guild())
    sets = [(STAFF_ROLE,), (), (STAFF_ROLE,)]
    seen = [view.visible(((GUILD_ID, *roles), 0)) for roles in sets]
    held = [view.permissions((GUILD_ID, *roles), 0, HIDDEN) for roles in sets]
    assert seen[0] == seen[2] != seen[1]
    assert held[0] == held[2] != held[1]
    assert len(view.seen) == 1
    assert len(view.held[HIDDEN]) == 1
    assert view.permissions((GUILD_ID,), 0, 404) == 0, "a channel that is gone allows nothing"


def with_overwrites(said: dict[int, tuple[int, int]]) -> Guild:
    """The small guild, with overwrites for many members in both of its channels."""
    state = guild()
    overwrites = tuple(Overwrite(user, 1, *bits) for user, bits in said.items())
    channels = {
        ident: replace(one, overwrites=one.overwrites + overwrites) for ident, one in state.channels.items()
    }
    members = {user: member(user) for user in said}
    return replace(state, channels=channels, members=state.members | members)


def test_members_of_whom_overwrites_say_the_same_are_one_class():
    """10,000 overwrites in a channel must not make 10,000 buffers of a broadcast."""
    shown, silent = (int(P.VIEW_CHANNEL), 0), (int(P.VIEW_CHANNEL), int(P.SEND_MESSAGES))
    said = {user: shown if user % 2 else silent for user in range(100, 10_100)}
    view = View(with_overwrites(said))
    classes = {classify(view, user, ALL_INTENTS, Transport.JSON) for user in said}
    assert len(classes) == 2
    # A new version in which one member's overwrite is gone moves that member and no other.
    gone = dict(said)
    del gone[100]
    after = View(with_overwrites(gone), view)
    assert {user for user in said if view.special[user] != after.special.get(user)} == {100}


BITS = st.sampled_from([0, int(P.VIEW_CHANNEL), int(P.SEND_MESSAGES), int(P.VIEW_CHANNEL | P.SEND_MESSAGES)])


@given(st.dictionaries(st.sampled_from([OWNER, STAFF, ALICE, BOB, 10, 11, 12]), st.tuples(BITS, BITS)))
def test_a_class_holds_what_each_of_its_members_would_hold_alone(said):
    state = with_overwrites({})
    overwrites = tuple(Overwrite(user, 1, *bits) for user, bits in said.items())
    hidden = replace(state.channels[HIDDEN], overwrites=state.channels[HIDDEN].overwrites + overwrites)
    members = state.members | {user: member(user) for user in (10, 11, 12)}
    state = replace(state, channels=state.channels | {HIDDEN: hidden}, members=members)
    view = View(state)
    for user, one in state.members.items():
        held = view.permissions(*rights_of(view, user), HIDDEN) & ~audience.HEARS
        assert held == in_channel(state, one.roles, user, hidden)


def test_rights_that_nobody_has_are_none():
    view = View(guild())
    assert view.permissions((), 1 << 130, PUBLIC) == 0
