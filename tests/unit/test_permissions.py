"""Roles and overwrites, against a slow and obvious second implementation of the documented rules."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from fanfare.model import Channel, Guild, Member, Overwrite, Role, User
from fanfare.permissions import ALL, DEFAULT, NONE, P, base, base_of, in_channel, top_role

GUILD, OWNER, USER = 1, 2, 3
VIEW, SEND = int(P.VIEW_CHANNEL), int(P.SEND_MESSAGES)
BITS = [
    P.ADMINISTRATOR,
    P.VIEW_CHANNEL,
    P.SEND_MESSAGES,
    P.MENTION_EVERYONE,
    P.EMBED_LINKS,
    P.MANAGE_MESSAGES,
]


def guild(everyone: int = DEFAULT, **roles: int) -> Guild:
    """A guild with roles r10, r11, ..."""
    found = {GUILD: Role(id=GUILD, name="@everyone", permissions=everyone)}
    found |= {int(key[1:]): Role(id=int(key[1:]), name=key, permissions=bits) for key, bits in roles.items()}
    return Guild(id=GUILD, name="g", owner_id=OWNER, roles=found)


def channel(*overwrites: Overwrite, kind: int = 0) -> Channel:
    return Channel(id=50, guild_id=GUILD, type=kind, overwrites=overwrites)


def member(*roles: int, user: int = USER) -> Member:
    return Member(user=User(id=user, username="u"), roles=roles, joined_at=datetime(2026, 1, 1, tzinfo=UTC))


def test_everyone_and_roles_add_up() -> None:
    assert base(guild(VIEW, r10=SEND), member()) == VIEW
    assert base(guild(VIEW, r10=SEND), member(10)) == VIEW | SEND
    assert base(guild(VIEW), member(99)) == VIEW, "a role that is gone grants nothing"


def test_owners_and_administrators_may_do_all() -> None:
    assert base(guild(NONE), member(user=OWNER)) == ALL
    assert base(guild(NONE, r10=P.ADMINISTRATOR), member(10)) == ALL
    hidden = channel(Overwrite(GUILD, 0, 0, VIEW), Overwrite(OWNER, 1, 0, VIEW), Overwrite(10, 0, 0, VIEW))
    assert in_channel(guild(NONE), (), OWNER, hidden) == ALL
    assert in_channel(guild(NONE, r10=P.ADMINISTRATOR), (10,), USER, hidden) == ALL


def test_an_administrator_bit_in_an_overwrite_is_not_everything() -> None:
    assert in_channel(guild(VIEW), (), USER, channel(Overwrite(GUILD, 0, P.ADMINISTRATOR, 0))) != ALL


def test_the_order_of_overwrites_does_not_matter() -> None:
    """An allow of any of the roles beats a deny of another, and the member's own beats both."""
    everyone, denies, allows = (
        Overwrite(GUILD, 0, 0, VIEW),
        Overwrite(10, 0, 0, VIEW),
        Overwrite(11, 0, VIEW, 0),
    )
    found = guild(VIEW, r10=0, r11=0)
    assert in_channel(found, (10, 11), USER, channel(allows, denies, everyone)) & VIEW
    own = Overwrite(USER, 1, 0, VIEW)
    assert in_channel(found, (10, 11), USER, channel(own, allows, denies, everyone)) == NONE


def test_an_overwrite_for_a_member_is_not_one_for_a_role_with_that_id() -> None:
    assert in_channel(guild(VIEW), (USER,), USER, channel(Overwrite(USER, 0, 0, VIEW))) == NONE
    assert in_channel(guild(VIEW), (), USER, channel(Overwrite(USER, 0, 0, VIEW))) & VIEW


def test_without_view_nothing_and_without_send_no_attachments() -> None:
    assert in_channel(guild(ALL & ~P.ADMINISTRATOR & ~VIEW), (), USER, channel()) == NONE
    held = in_channel(guild(DEFAULT | P.MENTION_EVERYONE), (), USER, channel(Overwrite(GUILD, 0, 0, SEND)))
    assert held & VIEW
    assert not held & (P.MENTION_EVERYONE | P.ATTACH_FILES | P.EMBED_LINKS | P.SEND_TTS_MESSAGES)


def test_without_connect_no_speaking_in_voice_channels() -> None:
    closed = (Overwrite(GUILD, 0, 0, P.CONNECT),)
    assert not in_channel(guild(), (), USER, channel(*closed, kind=2)) & P.SPEAK
    assert in_channel(guild(), (), USER, channel(*closed)) & P.SPEAK


def test_a_class_of_people_without_an_owner() -> None:
    assert base_of(guild(VIEW), ()) == VIEW


def test_top_role() -> None:
    roles = {i: Role(id=i, name="r", permissions=0, position=p) for i, p in ((10, 1), (11, 2), (12, 2))}
    found = Guild(id=GUILD, name="g", owner_id=OWNER, roles=roles)
    assert top_role(found, (10, 11)) > top_role(found, (10,)) > top_role(found, ())
    assert top_role(found, (11,)) > top_role(found, (12,)), "of two in one place, the older one"


bits = st.sets(st.sampled_from(BITS)).map(lambda chosen: int(sum(chosen)))
ids = st.sampled_from([GUILD, 10, 11, USER, 4])
overwrites = st.lists(
    st.builds(Overwrite, ids, st.sampled_from([0, 1]), bits, bits),
    max_size=6,
    unique_by=lambda o: (o.id, o.type),
)


@given(bits, bits, bits, st.sets(st.sampled_from([10, 11])), overwrites, st.sampled_from([USER, OWNER, 0]))
def test_as_documented(
    everyone: int, ten: int, eleven: int, roles: set[int], found: list[Overwrite], user: int
) -> None:
    """Bit by bit, following the documentation's words."""
    the_guild = guild(everyone, r10=ten, r11=eleven)
    held = everyone
    for role in roles:
        held |= the_guild.roles[role].permissions
    if user == OWNER or held & P.ADMINISTRATOR:
        expected = ALL
    else:
        expected = 0
        for bit in P:
            has = bool(held & bit)
            for one in found:
                if one.type == 0 and one.id == GUILD:
                    has = bool(one.allow & bit) or (has and not one.deny & bit)
            mine = [one for one in found if one.type == 0 and one.id in roles]
            if any(one.deny & bit for one in mine):
                has = False
            if any(one.allow & bit for one in mine):
                has = True
            for one in found:
                if one.type == 1 and one.id == user:
                    has = bool(one.allow & bit) or (has and not one.deny & bit)
            expected |= bit if has else 0
        if not expected & VIEW:
            expected = 0
        elif not expected & SEND:
            expected &= ~(P.MENTION_EVERYONE | P.SEND_TTS_MESSAGES | P.ATTACH_FILES | P.EMBED_LINKS)
    assert in_channel(the_guild, roles, user, channel(*found)) == expected
