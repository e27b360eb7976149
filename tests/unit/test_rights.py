"""Who may change what: the rules one by one, a twin of the channel rule, and what no sequence of changes can do."""

import datetime as dt
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fanfare import rights
from fanfare.model import CATEGORY, TEXT, Channel, Guild, Member, Overwrite, Role, User
from fanfare.permissions import ALL, P, base, in_channel, top_role
from fanfare.rights import BadChangeError, NotAllowedError, RightsError

GUILD, OWNER, MOD, PLAIN, OTHER = 1, 10, 11, 12, 13
EVERYONE, HIGH, MIDDLE, LOW = GUILD, 103, 102, 101
ROOM, CLUB, INSIDE, VOICE = 201, 202, 203, 204
MANAGERS = int(P.MANAGE_ROLES | P.MANAGE_CHANNELS | P.KICK_MEMBERS | P.MANAGE_NICKNAMES | P.MANAGE_GUILD)
TALK = int(P.VIEW_CHANNEL | P.SEND_MESSAGES | P.CHANGE_NICKNAME)
SECRET = 1 << 55  # a bit that has no name yet
NOON = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def member(ident: int, *roles: int) -> Member:
    return Member(user=User(id=ident, username=f"user{ident}"), roles=roles, joined_at=NOON)


def guild(**permissions: int) -> Guild:
    """An owner, a moderator with the middle role, a plain member, and one with the high role."""
    bits = {"everyone": TALK, "low": 0, "middle": MANAGERS, "high": 0} | permissions
    return Guild(
        id=GUILD,
        name="a guild",
        owner_id=OWNER,
        member_count=4,
        roles={
            EVERYONE: Role(id=EVERYONE, name="@everyone", permissions=bits["everyone"]),
            LOW: Role(id=LOW, name="low", permissions=bits["low"], position=1),
            MIDDLE: Role(id=MIDDLE, name="middle", permissions=bits["middle"], position=2),
            HIGH: Role(id=HIGH, name="high", permissions=bits["high"], position=3),
        },
        channels={
            ROOM: Channel(id=ROOM, guild_id=GUILD, name="room"),
            CLUB: Channel(id=CLUB, guild_id=GUILD, type=CATEGORY, name="club"),
            INSIDE: Channel(id=INSIDE, guild_id=GUILD, name="inside", parent_id=CLUB),
            VOICE: Channel(id=VOICE, guild_id=GUILD, type=2, name="voice"),
        },
        members={
            one.user.id: one
            for one in (member(OWNER), member(MOD, MIDDLE), member(PLAIN), member(OTHER, HIGH))
        },
    )


def allowed(decide: Callable[..., None], *args: object, **more: object) -> bool:
    try:
        decide(*args, **more)
    except NotAllowedError:
        return False
    return True


# Roles


def test_a1_nobody_raises_a_role_above_themselves():
    here = guild()
    me, low = here.members[MOD], here.roles[LOW]
    assert allowed(rights.role_changed, here, me, low, replace(low, name="x"))
    assert not allowed(rights.role_changed, here, me, low, replace(low, position=99_999))
    assert not allowed(rights.role_changed, here, me, low, replace(low, position=2)), (
        "the older of two stands higher"
    )
    assert not allowed(rights.role_created, here, me, Role(id=105, name="x", permissions=0, position=3))
    with pytest.raises(BadChangeError):
        rights.role_created(here, me, Role(id=105, name="x", permissions=0, position=0))
    assert not allowed(rights.member_changed, here, me, me, replace(me, roles=(HIGH, MIDDLE)))
    assert not allowed(
        rights.role_changed, here, me, here.roles[MIDDLE], replace(here.roles[MIDDLE], name="x")
    )


def test_a1_siblings_bits_that_one_does_not_have():
    here = guild(low=int(P.ADMINISTRATOR) | SECRET)
    me, low = here.members[MOD], here.roles[LOW]
    assert allowed(rights.role_changed, here, me, low, replace(low, name="x")), "what stays is not looked at"
    assert not allowed(rights.role_changed, here, me, low, replace(low, permissions=SECRET))
    assert not allowed(rights.role_changed, here, me, low, replace(low, permissions=int(P.ADMINISTRATOR)))
    assert not allowed(rights.role_created, here, me, Role(id=105, name="x", permissions=SECRET, position=1))
    assert allowed(rights.role_changed, here, here.members[OWNER], low, replace(low, permissions=SECRET << 7))


@pytest.mark.parametrize(
    "changed", [{"name": "x"}, {"position": 1}, {"hoist": True}, {"mentionable": True}, {"color": 5}]
)
def test_everyone_stays_what_it_is(changed):
    here = guild()
    everyone = here.roles[EVERYONE]
    with pytest.raises(BadChangeError):
        rights.role_changed(here, here.members[OWNER], everyone, replace(everyone, **changed))
    rights.role_changed(here, here.members[OWNER], everyone, replace(everyone, permissions=0))
    with pytest.raises(BadChangeError):
        rights.role_deleted(here, here.members[OWNER], everyone)
    with pytest.raises(BadChangeError):
        rights.member_changed(here, here.members[OWNER], here.members[PLAIN], member(PLAIN, EVERYONE))


# Members


def test_nobody_touches_the_owner_also_not_the_owner():
    here = guild(high=ALL)
    owner, boss = here.members[OWNER], here.members[OTHER]
    assert not allowed(rights.member_removed, here, boss, owner)
    assert not allowed(rights.member_removed, here, owner, owner)
    assert not allowed(rights.member_changed, here, boss, owner, replace(owner, nick="x"))
    assert not allowed(rights.member_changed, here, boss, owner, replace(owner, roles=(LOW,)))
    assert allowed(rights.member_changed, here, owner, owner, replace(owner, nick="x"))
    assert not allowed(rights.guild_changed, here, boss, owner_id=OTHER)
    assert allowed(rights.guild_changed, here, owner, owner_id=OTHER)
    with pytest.raises(BadChangeError):
        rights.guild_changed(here, owner, owner_id=999)


def test_members_above_oneself():
    here = guild()
    me, above, plain = here.members[MOD], here.members[OTHER], here.members[PLAIN]
    assert not allowed(rights.member_removed, here, me, above)
    assert not allowed(rights.member_removed, here, me, me)
    assert not allowed(rights.member_changed, here, me, above, replace(above, nick="x"))
    assert allowed(rights.member_removed, here, me, plain)
    assert allowed(rights.member_changed, here, me, plain, replace(plain, nick="x", roles=(LOW,)))
    assert not allowed(rights.member_changed, here, plain, me, replace(me, nick="x"))
    assert allowed(rights.member_changed, here, plain, plain, replace(plain, nick="x"))
    assert not allowed(rights.member_changed, guild(everyone=0), plain, plain, replace(plain, nick="x"))


def test_roles_that_cannot_be_given():
    here = guild()
    here.roles[LOW] = replace(here.roles[LOW], managed=True)
    with pytest.raises(BadChangeError) as caught:
        rights.member_changed(here, here.members[OWNER], here.members[PLAIN], member(PLAIN, 999))
    assert caught.value.code == 10011
    with pytest.raises(BadChangeError):
        rights.member_changed(here, here.members[OWNER], here.members[PLAIN], member(PLAIN, LOW))


# Channels


def overwritten(channel: Channel, *overwrites: Overwrite) -> Channel:
    return replace(channel, overwrites=overwrites)


def test_a2_overwrites_want_manage_roles_and_bits_that_one_has():
    secret = overwritten(guild().channels[ROOM], Overwrite(EVERYONE, 0, 0, int(P.SEND_MESSAGES)))
    channels_only = guild(middle=int(P.MANAGE_CHANNELS))
    assert not allowed(
        rights.channel_changed, channels_only, channels_only.members[MOD], secret, overwritten(secret)
    )
    assert allowed(
        rights.channel_changed, channels_only, channels_only.members[MOD], secret, replace(secret, topic="x")
    )
    here = guild()
    me = here.members[MOD]
    assert allowed(rights.channel_changed, here, me, secret, overwritten(secret))
    for bit in (P.ADMINISTRATOR, P.BAN_MEMBERS, P.MANAGE_ROLES, SECRET):
        for one in (Overwrite(LOW, 0, int(bit), 0), Overwrite(LOW, 0, 0, int(bit))):
            assert not allowed(rights.channel_changed, here, me, secret, overwritten(secret, one)), bit
            new = overwritten(replace(secret, id=299), one)
            assert not allowed(rights.channel_created, here, me, new, inherited=False), bit
    hidden = overwritten(secret, Overwrite(EVERYONE, 0, 0, int(P.VIEW_CHANNEL)))
    assert not allowed(rights.channel_changed, here, me, hidden, replace(hidden, topic="x"))
    assert not allowed(rights.channel_deleted, here, me, hidden)


def test_a2_siblings_bits_that_stay_are_not_looked_at():
    here = guild()
    old = overwritten(here.channels[ROOM], Overwrite(LOW, 0, SECRET, 0))
    new = overwritten(old, Overwrite(LOW, 0, SECRET | int(P.SEND_MESSAGES), 0))
    assert allowed(rights.channel_changed, here, here.members[MOD], old, new)
    assert not allowed(rights.channel_changed, here, here.members[MOD], old, overwritten(old))


@pytest.mark.parametrize(
    "one",
    [Overwrite(0, 1, 1024, 0), Overwrite(0, 0, 1024, 0), Overwrite(999, 0, 1, 0), Overwrite(LOW, 1, 1, 0)],
)
def test_a4_overwrites_for_nobody(one):
    here = guild()
    with pytest.raises(BadChangeError):
        rights.channel_changed(
            here, here.members[OWNER], here.channels[ROOM], overwritten(here.channels[ROOM], one)
        )


def test_a4_nobody_special_has_no_overwrite():
    here = guild(everyone=0)
    channel = overwritten(here.channels[ROOM], Overwrite(0, 1, int(P.VIEW_CHANNEL), 0))
    assert in_channel(here, (), 0, channel) == 0


def test_a5_what_is_in_step_follows():
    here = guild()
    assert [one.id for one in rights.children_in_step(here, here.channels[CLUB])] == [INSIDE]
    here.channels[INSIDE] = overwritten(here.channels[INSIDE], Overwrite(LOW, 0, 0, 1024))
    assert rights.children_in_step(here, here.channels[CLUB]) == []


@pytest.mark.parametrize(
    "changed", [{"parent_id": ROOM}, {"parent_id": 999}, {"parent_id": CLUB, "type": CATEGORY}]
)
def test_a5_siblings_what_cannot_be_a_parent(changed):
    here = guild()
    with pytest.raises(BadChangeError):
        rights.channel_changed(
            here, here.members[OWNER], here.channels[ROOM], replace(here.channels[ROOM], **changed)
        )


def test_a5_siblings_a_category_that_one_cannot_see_or_manage():
    """What comes into a category takes over its overwrites, and the answer shows them."""
    here = guild()
    me = here.members[MOD]
    new = Channel(id=299, guild_id=GUILD, name="x", parent_id=CLUB)
    rights.channel_created(here, me, new, inherited=True)
    here.channels[CLUB] = overwritten(here.channels[CLUB], Overwrite(MIDDLE, 0, 0, int(P.MANAGE_CHANNELS)))
    assert not allowed(rights.channel_created, here, me, new, inherited=True)
    here.channels[CLUB] = overwritten(here.channels[CLUB], Overwrite(MIDDLE, 0, 0, int(P.VIEW_CHANNEL)))
    with pytest.raises(BadChangeError):
        rights.channel_changed(here, me, here.channels[ROOM], replace(here.channels[ROOM], parent_id=CLUB))


def test_a5_siblings_a_hidden_category_shows_its_overwrites_by_no_lock():
    """Also where the channel is in it already: its overwrites may have changed apart."""
    here = guild(middle=MANAGERS | ALL & ~int(P.ADMINISTRATOR))
    me, inside = here.members[MOD], here.channels[INSIDE]
    hidden = Overwrite(MIDDLE, 0, 0, int(P.VIEW_CHANNEL))
    taken = overwritten(inside, hidden)
    assert allowed(rights.channel_changed, here, me, inside, taken, locked=True)
    here.channels[CLUB] = overwritten(here.channels[CLUB], hidden)
    assert allowed(rights.channel_changed, here, me, inside, taken), "by somebody who knows them"
    for after in (taken, inside, replace(taken, parent_id=999)):
        with pytest.raises(BadChangeError) as caught:
            rights.channel_changed(here, me, inside, after, locked=True)
        assert caught.value.field == "parent_id"
    assert allowed(rights.channel_changed, here, here.members[OWNER], inside, taken, locked=True)


def test_a5_siblings_overwrites_of_who_has_left_are_taken_over_and_not_made():
    here = guild()
    gone = Overwrite(999, 1, int(P.SEND_MESSAGES), 0)
    here.channels[CLUB] = overwritten(here.channels[CLUB], gone)
    owner, inside = here.members[OWNER], here.channels[INSIDE]
    rights.channel_changed(here, owner, inside, overwritten(inside, gone), locked=True)
    rights.channel_changed(here, owner, inside, overwritten(inside, gone))
    rights.channel_created(here, owner, replace(overwritten(inside, gone), id=299), inherited=False)
    for other in (
        overwritten(inside, replace(gone, allow=0)),
        overwritten(replace(inside, parent_id=0), gone),
        overwritten(inside, replace(gone, id=998)),
    ):
        with pytest.raises(BadChangeError):
            rights.channel_changed(here, owner, inside, other)


def test_a4_siblings_overwrites_are_bounded():
    here = guild()
    here.members |= {ident: member(ident) for ident in range(1000, 1600)}
    many = tuple(Overwrite(ident, 1, 0, 1024) for ident in range(1000, 1000 + rights.MAX_OVERWRITES))
    room = overwritten(here.channels[ROOM], *many)
    rights.channel_changed(here, here.members[OWNER], here.channels[ROOM], room)
    with pytest.raises(BadChangeError):
        rights.channel_changed(
            here, here.members[OWNER], room, overwritten(room, *many, Overwrite(1599, 1, 0, 1024))
        )


def test_a6_a_voice_channel_without_connect_is_silent():
    here = guild()
    channel = overwritten(here.channels[VOICE], Overwrite(EVERYONE, 0, 0, int(P.CONNECT)))
    assert in_channel(here, (), PLAIN, channel) == P.VIEW_CHANNEL


def test_a6_siblings_nobody_manages_a_voice_channel_without_connect():
    here = guild(everyone=TALK | int(P.CONNECT))
    me, owner = here.members[MOD], here.members[OWNER]
    deaf = overwritten(here.channels[VOICE], Overwrite(MIDDLE, 0, 0, int(P.CONNECT)))
    for changed in (replace(deaf, name="x"), overwritten(deaf), replace(deaf, parent_id=CLUB)):
        assert not allowed(rights.channel_changed, here, me, deaf, changed)
        assert allowed(rights.channel_changed, here, owner, deaf, changed)
        assert allowed(rights.channel_changed, here, me, overwritten(deaf), replace(changed, overwrites=()))
    assert not allowed(rights.channel_deleted, here, me, deaf)
    assert allowed(rights.channel_deleted, here, me, overwritten(deaf))


# A twin of the channel rule, written from the documentation alone.


def twin(here: Guild, roles: tuple[int, ...], user: int, channel: Channel) -> set[int]:
    every = {bit for bit in range(64) if ALL >> bit & 1}
    has = {bit for bit in range(64) if here.roles[EVERYONE].permissions >> bit & 1}
    for role in roles:
        has |= {bit for bit in range(64) if here.roles[role].permissions >> bit & 1}
    if user == here.owner_id or 3 in has:
        return every
    for rule in (
        [one for one in channel.overwrites if one.type == 0 and one.id == EVERYONE],
        [one for one in channel.overwrites if one.type == 0 and one.id in roles],
        [one for one in channel.overwrites if one.type == 1 and one.id == user],
    ):
        denied = {bit for one in rule for bit in range(64) if one.deny >> bit & 1}
        granted = {bit for one in rule for bit in range(64) if one.allow >> bit & 1}
        has = has - denied | granted
    return has


BITS = st.lists(st.sampled_from([0, 3, 4, 10, 11, 13, 20, 28, 55]), max_size=4).map(
    lambda bits: sum(1 << b for b in {*bits})
)
TARGETS = st.sampled_from([(EVERYONE, 0), (LOW, 0), (MIDDLE, 0), (HIGH, 0), (PLAIN, 1), (MOD, 1), (0, 1)])
OVERWRITES = st.dictionaries(TARGETS, st.tuples(BITS, BITS), max_size=5).map(
    lambda found: tuple(Overwrite(ident, kind, allow, deny) for (ident, kind), (allow, deny) in found.items())
)


@given(
    BITS,
    BITS,
    BITS,
    OVERWRITES,
    st.lists(st.sampled_from([LOW, MIDDLE]), unique=True),
    st.sampled_from([OWNER, MOD, PLAIN]),
)
def test_the_channel_rule_has_a_twin(everyone, low, middle, overwrites, roles, user):
    here = guild(everyone=everyone, low=low, middle=middle)
    channel = replace(here.channels[ROOM], type=TEXT, overwrites=overwrites)
    found = in_channel(here, roles, user, channel)
    wanted = twin(here, tuple(roles), user, channel)
    if 10 not in wanted:
        assert found == 0
        return
    # Without SEND_MESSAGES some bits are void: what the twin does not know of.
    assert {bit for bit in (0, 3, 4, 10, 11, 13, 20, 28) if found >> bit & 1} == wanted & {
        0,
        3,
        4,
        10,
        11,
        13,
        20,
        28,
    }


# Whatever is done, in whatever order


@given(st.data())
def test_no_sequence_of_changes_gives_a_bit_that_nobody_above_gave(data):
    """The moderator and the plain member try everything; the owner does nothing. What they have at the end, they had
    at the beginning, or the owner had put it into the moderator's hands with a role below his. Whoever stands above
    them keeps what they have: all that may be added are roles below the moderator's, as in Discord's hierarchy."""
    here = guild(low=data.draw(BITS), middle=data.draw(BITS) | MANAGERS, everyone=data.draw(BITS) | TALK)
    here.channels[ROOM] = overwritten(here.channels[ROOM], *(o for o in data.draw(OVERWRITES) if o.id))
    actors = [MOD, PLAIN]
    before = {user: base(here, here.members[user]) for user in actors}
    had = before[MOD] | before[PLAIN] | here.roles[LOW].permissions
    if had & P.ADMINISTRATOR:
        return
    tops = {user: top_role(here, here.members[user].roles) for user in actors}
    high = here.roles[HIGH], here.members[OWNER]
    for step in range(data.draw(st.integers(1, 12))):
        me = here.members.get(data.draw(st.sampled_from(actors)))
        if me is None:
            continue
        try:
            match data.draw(st.integers(0, 5)):
                case 0:
                    role = Role(
                        id=300 + step,
                        name="x",
                        permissions=data.draw(BITS),
                        position=data.draw(st.integers(1, 5)),
                    )
                    rights.role_created(here, me, role)
                    here.roles[role.id] = role
                case 1:
                    old = here.roles[data.draw(st.sampled_from(sorted(here.roles)))]
                    new = replace(old, permissions=data.draw(BITS), position=data.draw(st.integers(0, 5)))
                    rights.role_changed(here, me, old, new)
                    here.roles[old.id] = new
                case 2:
                    old = here.roles[data.draw(st.sampled_from(sorted(here.roles)))]
                    rights.role_deleted(here, me, old)
                    del here.roles[old.id]
                case 3:
                    other = here.members[data.draw(st.sampled_from(sorted(here.members)))]
                    roles = data.draw(st.lists(st.sampled_from(sorted(here.roles)), max_size=4, unique=True))
                    rights.member_changed(here, me, other, replace(other, roles=tuple(roles)))
                    here.members[other.user.id] = replace(other, roles=tuple(roles))
                case 4:
                    other = here.members[data.draw(st.sampled_from(sorted(here.members)))]
                    rights.member_removed(here, me, other)
                    del here.members[other.user.id]
                case _:
                    old_channel = here.channels[ROOM]
                    changed = replace(old_channel, overwrites=data.draw(OVERWRITES))
                    rights.channel_changed(here, me, old_channel, changed)
                    here.channels[ROOM] = changed
        except RightsError:
            continue
    assert (here.roles[HIGH], here.members[OWNER]) == high
    other = here.members[OTHER]
    assert HIGH in other.roles
    assert replace(other, roles=(HIGH,)) == member(OTHER, HIGH)
    assert base(here, other) & ~(had | here.roles[HIGH].permissions) == 0
    for user in actors:
        if user in here.members:
            assert base(here, here.members[user]) & ~had == 0
            assert top_role(here, here.members[user].roles) <= max(tops.values())


def code_of(decide: Callable[..., None], *args: object, **more: object) -> tuple[int, str]:
    with pytest.raises(BadChangeError) as caught:
        decide(*args, **more)
    return caught.value.code, caught.value.field


def test_who_is_not_in_the_guild_changes_nothing():
    here = guild()
    assert rights.member(here, MOD) == here.members[MOD]
    with pytest.raises(NotAllowedError):
        rights.member(here, 404)


def test_a_guild_is_never_larger_than_its_limits():
    """Each limit is what a client library and a gateway's memory are made for."""
    here = guild()
    me = here.members[OWNER]
    full = replace(
        here,
        roles=here.roles | {ident: Role(id=ident, name="x", permissions=0) for ident in range(1000, 1250)},
        channels=here.channels
        | {ident: Channel(id=ident, guild_id=GUILD, name="x", parent_id=CLUB) for ident in range(2000, 2500)},
    )
    added = Channel(id=9, guild_id=GUILD, name="x", parent_id=CLUB)
    assert code_of(rights.role_created, full, me, Role(id=9, name="x", permissions=0, position=1)) == (
        30005,
        "",
    )
    assert code_of(rights.channel_created, full, me, added, inherited=True) == (30013, "")
    crowded = replace(full, channels={ident: full.channels[ident] for ident in (CLUB, *range(2000, 2050))})
    assert code_of(rights.channel_created, crowded, me, added, inherited=True) == (50035, "parent_id")
    many = tuple(Overwrite(ident, 0, 0, 0) for ident in range(1, 2000))
    room = here.channels[ROOM]
    assert code_of(rights.channel_changed, here, me, room, replace(room, overwrites=many)) == (30060, "")


def test_what_is_left_of_a_role_that_was_deleted_may_go():
    here = guild()
    left = member(PLAIN, 404)
    rights.member_changed(here, here.members[MOD], left, member(PLAIN))
    assert code_of(rights.member_changed, here, here.members[MOD], member(PLAIN), left) == (10011, "")


def test_a_channel_without_overwrites_gives_nobody_anything():
    here = guild()
    rights.channel_created(here, here.members[MOD], Channel(id=9, guild_id=GUILD, name="x"), inherited=False)


def test_a_new_name_of_a_guild_needs_no_owner():
    here = guild()
    rights.guild_changed(here, here.members[MOD])
    rights.guild_changed(here, here.members[MOD], owner_id=OWNER)
    assert not allowed(rights.guild_changed, here, here.members[MOD], owner_id=MOD)
    assert code_of(rights.guild_changed, here, here.members[OWNER], owner_id=404) == (50035, "owner_id")


# Timeouts, bans, invites, leaving


def test_a_timeout_wants_its_right_and_a_lower_member():
    here = guild(middle=MANAGERS | int(P.MODERATE_MEMBERS), high=int(P.MODERATE_MEMBERS))
    mod, plain, high = (here.members[ident] for ident in (MOD, PLAIN, OTHER))
    assert allowed(rights.member_changed, here, mod, plain, replace(plain, timed_out_until=NOON))
    assert not allowed(rights.member_changed, guild(), mod, plain, replace(plain, timed_out_until=NOON))
    assert not allowed(rights.member_changed, here, mod, high, replace(high, timed_out_until=NOON))
    assert not allowed(rights.member_changed, here, mod, mod, replace(mod, timed_out_until=NOON))
    assert not allowed(
        rights.member_changed,
        here,
        mod,
        here.members[OWNER],
        replace(here.members[OWNER], timed_out_until=NOON),
    )
    above = guild(middle=int(P.MODERATE_MEMBERS), low=ALL)
    boss = replace(above.members[PLAIN], roles=(LOW,))
    assert not allowed(rights.member_changed, above, mod, boss, replace(boss, timed_out_until=NOON))


def test_who_is_timed_out_changes_nothing_until_it_is_over():
    """But for administrators, whom nobody can time out: they may have become one meanwhile."""
    here = guild()
    here.members[MOD] = replace(here.members[MOD], timed_out_until=NOON)
    before, after = NOON - dt.timedelta(seconds=1), NOON
    assert not allowed(rights.member, here, MOD, before)
    assert allowed(rights.member, here, MOD, after)
    here.members[OWNER] = replace(here.members[OWNER], timed_out_until=NOON)
    assert allowed(rights.member, here, OWNER, before)


def test_bans():
    here = guild(middle=MANAGERS | int(P.BAN_MEMBERS))
    mod = here.members[MOD]
    assert allowed(rights.banned, here, mod, PLAIN)
    assert allowed(rights.banned, here, mod, 99)  # who is not a member
    assert allowed(rights.unbanned, here, mod)
    for who in (OWNER, OTHER, MOD):
        assert not allowed(rights.banned, here, mod, who)
    assert not allowed(rights.banned, guild(), mod, PLAIN)
    assert not allowed(rights.unbanned, guild(), mod)


def test_invites():
    here = guild(
        everyone=TALK | int(P.CREATE_INSTANT_INVITE), middle=int(P.MANAGE_CHANNELS), high=int(P.MANAGE_GUILD)
    )
    mod, plain, high = (here.members[ident] for ident in (MOD, PLAIN, OTHER))
    assert allowed(rights.invited, here, plain, ROOM)
    assert not allowed(rights.invited, guild(), plain, ROOM)
    assert not allowed(rights.invited, here, plain, 999)
    with pytest.raises(BadChangeError):
        rights.invited(here, plain, CLUB)
    assert [allowed(rights.invite_deleted, here, one, ROOM) for one in (mod, high, plain)] == [
        True,
        True,
        False,
    ]
    assert not allowed(rights.invite_deleted, here, mod, 999)


def test_the_owner_neither_leaves_nor_is_the_guild_deleted_by_others():
    here = guild()
    rights.member_left(here, here.members[PLAIN])
    with pytest.raises(BadChangeError):
        rights.member_left(here, here.members[OWNER])
    assert allowed(rights.guild_deleted, here, here.members[OWNER])
    assert not allowed(rights.guild_deleted, guild(middle=ALL), here.members[MOD])
