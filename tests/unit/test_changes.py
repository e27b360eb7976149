"""Guild events, made as the store makes them, lead to the store's state."""

import copy
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fanfare import payloads
from fanfare.constants import LARGE_GUILD
from fanfare.model import (
    CATEGORY,
    FORUM,
    PRIVATE_THREAD,
    PUBLIC_THREAD,
    Channel,
    CustomEmoji,
    Guild,
    GuildSettings,
    Member,
    Overwrite,
    Role,
    Tag,
    Thread,
    ThreadMember,
    User,
)
from fanfare.record import GUILD, Record
from gateway.guilds.apply import UnknownPastError, apply, undo
from tests.unit.gateway_world import ALICE, BOB, GUILD_ID, guild, member

# "null", "7" and "true": lax decoding must not take texts for something else.
TEXTS = st.text(max_size=5) | st.sampled_from(["null", "7", "true"])
IDS = st.integers(1, 6)
BITS = st.integers(0, 2**53 - 1)
FLAGS = st.booleans()
ROLES = st.builds(
    Role,
    id=st.integers(80, 84),
    name=TEXTS,
    permissions=BITS,
    position=IDS,
    color=st.integers(0, 0xFFFFFF),
    hoist=FLAGS,
    mentionable=FLAGS,
    managed=FLAGS,
)
TAGS = st.builds(
    Tag,
    id=IDS,
    name=TEXTS,
    moderated=FLAGS,
    emoji_id=st.none() | IDS.filter(bool),
    emoji_name=st.none() | TEXTS,
)
CHANNELS = st.builds(
    Channel,
    id=st.integers(500, 504),
    type=st.sampled_from([0, 2, 5]),
    guild_id=st.just(GUILD_ID),
    name=TEXTS,
    topic=st.none() | TEXTS,
    position=IDS,
    parent_id=st.sampled_from([0, 505]),
    nsfw=FLAGS,
    rate_limit_per_user=IDS,
    overwrites=st.lists(st.builds(Overwrite, IDS, st.sampled_from([0, 1]), BITS, BITS), max_size=2).map(
        tuple
    ),
)
FORUMS = st.builds(
    Channel,
    id=st.integers(500, 504),
    type=st.just(FORUM),
    guild_id=st.just(GUILD_ID),
    name=TEXTS,
    tags=st.lists(TAGS, max_size=3).map(tuple),
)
MEMBERS = st.builds(
    Member,
    user=st.builds(User, id=IDS, username=TEXTS, global_name=st.none() | TEXTS, bot=FLAGS),
    roles=st.lists(st.integers(80, 84), max_size=2).map(tuple),
    joined_at=st.datetimes(timezones=st.just(UTC)),
    nick=st.none() | TEXTS,
)


def record(name: str, payload: object, version: int) -> Record:
    return Record(
        type=name, audience=GUILD, guild=GUILD_ID, version=version, payload=msgspec.json.encode(payload)
    )


def put(name: str, things: str, thing) -> tuple:
    """A change of one of the guild's dictionaries, and the payload that tells it."""
    payload = {
        "channels": lambda: payloads.channel(thing),
        "roles": lambda: {"guild_id": str(GUILD_ID), "role": payloads.role(thing)},
        "members": lambda: payloads.member(thing) | {"guild_id": str(GUILD_ID)},
    }[things]()
    key = thing.user.id if things == "members" else thing.id

    def changed(state: Guild) -> Guild:
        held = getattr(state, things)
        if name == "GUILD_MEMBER_UPDATE" and key not in held:
            return state
        count = state.member_count + (name == "GUILD_MEMBER_ADD")
        return replace(state, member_count=count, **{things: held | {key: thing}})

    return name, payload, changed


def drop(name: str, things: str, key: int, payload: dict) -> tuple:
    def changed(state: Guild) -> Guild:
        left = {k: v for k, v in getattr(state, things).items() if k != key}
        return replace(state, member_count=state.member_count - (things == "members"), **{things: left})

    return name, payload, changed


def role_gone(key: int) -> tuple:
    """A role that is deleted is taken from its members and from the channels' overwrites, too."""

    def changed(state: Guild) -> Guild:
        return replace(
            state,
            roles={k: v for k, v in state.roles.items() if k != key},
            channels={
                k: replace(v, overwrites=tuple(o for o in v.overwrites if o.id != key))
                for k, v in state.channels.items()
            },
            members={
                k: replace(v, roles=tuple(r for r in v.roles if r != key)) for k, v in state.members.items()
            },
        )

    return "GUILD_ROLE_DELETE", {"guild_id": "77", "role_id": str(key)}, changed


def renamed(name: str, owner: int) -> tuple:
    told = payloads.guild(replace(guild(), name=name, owner_id=owner))
    plain = GuildSettings()
    return "GUILD_UPDATE", told, lambda state: replace(state, name=name, owner_id=owner, settings=plain)


def set_to(settings: GuildSettings) -> tuple:
    state = replace(guild(), settings=settings)
    told = payloads.guild(state)
    return "GUILD_UPDATE", told, lambda now: replace(now, name=state.name, owner_id=1, settings=settings)


def with_emojis(emojis: dict[int, CustomEmoji]) -> tuple:
    told = {"guild_id": str(GUILD_ID), "emojis": [payloads.emoji(one) for one in emojis.values()]}
    return "GUILD_EMOJIS_UPDATE", told, lambda now: replace(now, emojis=emojis)


SETTINGS = st.builds(
    GuildSettings,
    description=st.none() | TEXTS,
    icon=st.none() | TEXTS,
    verification_level=IDS,
    system_channel_id=st.none() | IDS,
    preferred_locale=TEXTS,
)
EMOJIS = st.dictionaries(IDS, TEXTS).map(
    lambda found: {ident: CustomEmoji(ident, name, ident % 2 == 0) for ident, name in found.items()}
)
CHANGES = st.one_of(
    st.builds(set_to, SETTINGS),
    st.builds(with_emojis, EMOJIS),
    st.builds(
        put, st.sampled_from(["CHANNEL_CREATE", "CHANNEL_UPDATE"]), st.just("channels"), CHANNELS | FORUMS
    ),
    st.builds(put, st.sampled_from(["GUILD_ROLE_CREATE", "GUILD_ROLE_UPDATE"]), st.just("roles"), ROLES),
    st.builds(put, st.sampled_from(["GUILD_MEMBER_ADD", "GUILD_MEMBER_UPDATE"]), st.just("members"), MEMBERS),
    CHANNELS.map(lambda c: drop("CHANNEL_DELETE", "channels", c.id, payloads.channel(c))),
    ROLES.map(lambda r: role_gone(r.id)),
    MEMBERS.map(
        lambda m: drop(
            "GUILD_MEMBER_REMOVE", "members", m.user.id, {"guild_id": "77", "user": payloads.user(m.user)}
        )
    ),
    st.builds(renamed, TEXTS, IDS),
    st.just(("STAGE_INSTANCE_CREATE", {"id": "1"}, lambda state: state)),
)


@given(st.lists(CHANGES, max_size=10), st.data())
def test_events_lead_to_the_same_state(made, data):
    wanted = state = guild()
    records = []
    for name, payload, changed in made:
        records.append(record(name, payload, wanted.version + 1))
        before = copy.deepcopy(state)
        after = apply(state, records[-1])
        wanted = replace(changed(wanted), version=wanted.version + 1)
        assert state == before, "the old state is left as it was"
        assert after == wanted
        state = after
    for old in data.draw(st.permutations(records)):
        assert apply(state, old) is state


def test_a_category_survives_without_what_it_does_not_have():
    category = Channel(id=505, guild_id=GUILD_ID, type=CATEGORY, name="c", position=3)
    [changed] = [apply(guild(), record("CHANNEL_CREATE", payloads.channel(category), 2))]
    assert changed.channels[505] == category


@pytest.mark.parametrize(("count", "kept"), [(LARGE_GUILD - 1, True), (LARGE_GUILD, False)])
def test_members_of_a_large_guild_are_not_kept(count, kept):
    state = replace(guild(), member_count=count)
    payload = payloads.member(member(9)) | {"guild_id": "77"}
    after = apply(state, record("GUILD_MEMBER_ADD", payload, 2))
    assert after.member_count == count + 1
    assert (9 in after.members) == kept
    changed = apply(after, record("GUILD_MEMBER_UPDATE", payload | {"nick": "n"}, 3))
    assert (9 in changed.members) == kept


def test_what_changes_is_replaced():
    state = guild()
    after = apply(state, record("GUILD_MEMBER_UPDATE", payloads.member(member(ALICE, 90)), 2))
    assert state.members[ALICE].roles == ()
    assert after.members[ALICE].roles == (90,)
    assert after.members[ALICE].joined_at == datetime(2026, 1, 2, 3, 4, 5, 678, UTC)


LOST = Role(id=90, name="gone", permissions=0)


def role_deleted(members: list[int] | None) -> Record:
    was = {
        "role": LOST,
        "members": members,
        "overwrites": [{"channel_id": 404, "overwrite": Overwrite(90, 0, 1, 0)}],
    }
    return Record(
        type="GUILD_ROLE_DELETE",
        audience=GUILD,
        guild=GUILD_ID,
        version=2,
        payload=b'{"role_id":"90"}',
        before=msgspec.json.encode(was),
    )


def test_a_role_comes_back_to_the_members_and_channels_that_are_still_there():
    back = undo(guild(version=2), role_deleted([ALICE, 404]))
    assert back.members[ALICE].roles == (*guild().members[ALICE].roles, 90)
    assert 90 in back.roles
    assert 404 not in back.channels
    assert 404 not in back.members


def test_what_an_event_does_not_say_cannot_be_undone():
    """Then sessions that were away are told, rather than shown what they might not have seen."""
    with pytest.raises(UnknownPastError):
        undo(guild(version=2), role_deleted(None))
    with pytest.raises(UnknownPastError):
        undo(guild(version=2), record("GUILD_CREATE", {}, 2))


def test_a_thread_that_was_forgotten_comes_back_with_its_members():
    """Nodes do not keep threads that were archived long ago; what opens one again says who has joined it."""
    made = datetime(2026, 1, 2, tzinfo=UTC)
    members = (ThreadMember(ALICE, made), ThreadMember(BOB, made))
    thread = Channel(
        id=700,
        type=PRIVATE_THREAD,
        guild_id=GUILD_ID,
        parent_id=500,
        thread=Thread(owner_id=ALICE, made_at=made, changed_at=made, members=members),
    )
    joined = payloads.thread_members_update(thread, members, ())
    opened = apply(guild(), record("THREAD_UPDATE", payloads.channel(thread), 2))
    assert opened.channels[700].thread.joined == frozenset()
    assert apply(opened, record("THREAD_MEMBERS_UPDATE", joined, 3)).channels[700] == thread


def test_a_guild_does_not_keep_threads_that_were_archived_long_ago():
    state, made = guild(), datetime(2026, 1, 2, tzinfo=UTC)
    about = Thread(owner_id=ALICE, made_at=made, changed_at=made)
    for ident, archived, days in ((700, True, 0), (701, False, 0), (702, True, 3), (703, False, 4)):
        about = replace(about, archived=archived, changed_at=made + timedelta(days=days))
        thread = Channel(id=ident, type=PUBLIC_THREAD, guild_id=GUILD_ID, parent_id=500, thread=about)
        state = apply(state, record("THREAD_UPDATE", payloads.channel(thread), state.version + 1))
    assert {ident for ident, one in state.channels.items() if one.thread is not None} == {701, 702, 703}
