"""What the audit log says of changes."""

import pytest

from fanfare.audit import Entry, entry_of, shown

BOB = {"id": "5", "username": "bob"}
MEMBER = {"user": BOB, "nick": None, "roles": ["1"], "communication_disabled_until": None}


def keys(entry: Entry | None) -> list[tuple[str, object, object]]:
    assert entry is not None
    return [(one["key"], one.get("old_value"), one.get("new_value")) for one in entry.changes]


def test_channels() -> None:
    made = {"id": "9", "guild_id": "7", "name": "a", "topic": None, "permission_overwrites": []}
    found = entry_of("CHANNEL_CREATE", made, None, 1)
    assert found is not None
    assert (found.action, found.target) == (10, 9)
    assert ("name", None, "a") in keys(found)
    changed = entry_of("CHANNEL_UPDATE", made | {"name": "b"}, made, 1)
    assert (changed and changed.action, keys(changed)) == (11, [("name", "a", "b")])
    gone = entry_of("CHANNEL_DELETE", made, None, 1)
    assert (gone and gone.action, ("name", "a", None) in keys(gone)) == (12, True)


def test_overwrites() -> None:
    """One overwrite has lines of its own: made, changed, taken away."""
    one = {"id": "3", "type": 0, "allow": "1", "deny": "0"}
    bare = {"id": "9", "name": "a", "permission_overwrites": []}
    having = bare | {"permission_overwrites": [one]}
    other = bare | {"permission_overwrites": [one | {"allow": "2"}]}
    for before, after, action in ((bare, having, 13), (having, other, 14), (having, bare, 15)):
        found = entry_of("CHANNEL_UPDATE", after, before, 1)
        assert found is not None
        assert (found.action, found.options) == (action, {"id": "3", "type": "0"})
    two = bare | {"permission_overwrites": [one, one | {"id": "4"}]}
    found = entry_of("CHANNEL_UPDATE", two, bare, 1)
    assert found is not None
    assert found.action == 11


def test_members() -> None:
    nick = entry_of("GUILD_MEMBER_UPDATE", MEMBER | {"nick": "b"}, MEMBER, 1)
    assert (nick and (nick.action, nick.target), keys(nick)) == ((24, 5), [("nick", None, "b")])
    roles = entry_of("GUILD_MEMBER_UPDATE", MEMBER | {"roles": ["2"]}, MEMBER, 1)
    assert roles is not None
    assert (roles.action, [one["key"] for one in roles.changes]) == (25, ["$add", "$remove"])
    kicked = {"guild_id": "7", "user": BOB}
    assert entry_of("GUILD_MEMBER_REMOVE", kicked, MEMBER, 1) == Entry(20, 5)
    assert entry_of("GUILD_MEMBER_REMOVE", kicked, MEMBER, 5) is None  # who leaves is not kicked
    assert entry_of("GUILD_BAN_ADD", kicked, None, 1) == Entry(22, 5)
    assert entry_of("GUILD_BAN_REMOVE", kicked, None, 1) == Entry(23, 5)


def test_roles_guilds_and_invites() -> None:
    role = {"guild_id": "7", "role": {"id": "3", "name": "r"}}
    made = entry_of("GUILD_ROLE_CREATE", role, None, 1)
    assert (made and (made.action, made.target)) == (30, 3)
    renamed = entry_of("GUILD_ROLE_UPDATE", {"role": {"id": "3", "name": "s"}}, role, 1)
    assert (renamed and renamed.action, keys(renamed)) == (31, [("name", "r", "s")])
    gone = entry_of("GUILD_ROLE_DELETE", {"role_id": "3"}, role | {"members": []}, 1)
    assert (gone and (gone.action, gone.target), keys(gone)) == ((32, 3), [("name", "r", None)])
    guild = entry_of(
        "GUILD_UPDATE", {"id": "7", "name": "b", "owner_id": "1"}, {"name": "a", "owner_id": "1"}, 1
    )
    assert (guild and guild.action, keys(guild)) == (1, [("name", "a", "b")])
    invite = entry_of("INVITE_CREATE", {"code": "c", "channel_id": "9", "uses": 0}, None, 1)
    assert (invite and (invite.action, invite.target)) == (40, 0)


@pytest.mark.parametrize("name", ["GUILD_MEMBER_ADD", "GUILD_CREATE", "GUILD_DELETE", "MESSAGE_CREATE"])
def test_what_is_not_logged(name: str) -> None:
    assert entry_of(name, {"id": "1"}, None, 1) is None


def test_a_line_as_clients_see_it() -> None:
    found = shown(Entry(20, 5, options={"a": "b"}), 11, 1, "rude")
    assert found == {
        "id": "11", "user_id": "1", "target_id": "5", "action_type": 20, "changes": [], "options": {"a": "b"},
        "reason": "rude",
    }  # fmt: skip
    assert shown(Entry(40, 0), 11, 1, "")["target_id"] is None
