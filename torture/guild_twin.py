"""What a client makes of the events of one guild: its roles, channels, threads and members. Pure.

It is written down as facts, one for each thing, and so is what REST says: then they are compared word by word. As
clients do, it forgets threads with their channel, and passes over roles that are gone.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["GuildTwin", "apart", "facts_of_rest"]

Facts = Mapping[str, str]
_D = Mapping[str, Any]
_EXAMPLES: Final = 3


class GuildTwin:
    """What one session knows of a guild."""

    def __init__(self, guild: int) -> None:
        self._guild = str(guild)
        self.here = False
        """Whether its user is in the guild."""
        self._name = ""
        self._roles: dict[str, _D] = {}
        self._channels: dict[str, _D] = {}
        self._threads: dict[str, dict[str, Any]] = {}
        self._members: dict[str, _D] = {}

    def take(self, name: str, d: _D) -> bool:
        """Take an event; whether it is one of the guild."""
        if name in {"GUILD_CREATE", "GUILD_UPDATE", "GUILD_DELETE"}:
            if d["id"] != self._guild:
                return False
            self._take_guild(name, d)
            return True
        if d.get("guild_id") != self._guild:
            return False
        if name.startswith("GUILD_ROLE_"):
            role = d.get("role_id") or d["role"]["id"]
            _put(self._roles, role, None if name == "GUILD_ROLE_DELETE" else d["role"])
        elif name.startswith("GUILD_MEMBER_"):
            user = d["user"]["id"]
            _put(self._members, user, None if name == "GUILD_MEMBER_REMOVE" else d)
        elif name in {"CHANNEL_CREATE", "CHANNEL_UPDATE", "CHANNEL_DELETE"}:
            _put(self._channels, d["id"], None if name == "CHANNEL_DELETE" else d)
            if name == "CHANNEL_DELETE":
                self._forget_threads({d["id"]})
        elif name.startswith("THREAD_"):
            self._take_thread(name, d)
        return True

    def facts(self) -> Facts | None:
        """What it knows; None: its user is not in the guild."""
        if not self.here:
            return None
        parts = self._roles, self._channels, self._threads, self._members
        return _facts(self._name, *(part.values() for part in parts))

    def _take_guild(self, name: str, d: _D) -> None:
        if name == "GUILD_DELETE":
            # Unavailable: the client waits, and will be told again.
            self.here = bool(d.get("unavailable")) and self.here
            return
        self._name = d["name"]
        if name == "GUILD_UPDATE":
            return
        self.here = True
        self._roles = {one["id"]: one for one in d["roles"]}
        self._channels = {one["id"]: one for one in d["channels"]}
        self._threads = {one["id"]: dict(one) for one in d["threads"]}
        self._members = {one["user"]["id"]: one for one in d["members"]}

    def _take_thread(self, name: str, d: _D) -> None:
        if name == "THREAD_LIST_SYNC":
            self._forget_threads(set(d.get("channel_ids") or self._channels))
            self._threads |= {one["id"]: dict(one) for one in d["threads"]}
        elif name == "THREAD_DELETE":
            self._threads.pop(d["id"], None)
        elif name == "THREAD_MEMBERS_UPDATE":
            if d["id"] in self._threads:
                self._threads[d["id"]]["member_count"] = d["member_count"]
        elif name in {"THREAD_CREATE", "THREAD_UPDATE"}:
            _put(self._threads, d["id"], None if d["thread_metadata"]["archived"] else dict(d))

    def _forget_threads(self, channels: set[str]) -> None:
        self._threads = {i: one for i, one in self._threads.items() if one["parent_id"] not in channels}


def facts_of_rest(guild: _D, channels: Iterable[_D], threads: Iterable[_D], members: Iterable[_D]) -> Facts:
    """What REST tells one user of the guild. Args: as the routes answer; guild: with its roles."""
    return _facts(guild["name"], guild["roles"], channels, threads, members)


def apart(mine: Facts | None, truth: Facts | None) -> list[str]:
    """Where two do not agree."""
    if mine is None or truth is None:
        return [] if mine == truth else [f"is {'not ' * (mine is None)}in the guild, and REST says otherwise"]
    found = [
        f"{what} is {mine.get(what)}, and REST says {truth.get(what)}"
        for what in sorted(mine.keys() | truth.keys())
        if mine.get(what) != truth.get(what)
    ]
    return found[:_EXAMPLES]


def _put(known: dict[str, Any], ident: str, value: Any) -> None:
    if value is None:
        known.pop(ident, None)
    else:
        known[ident] = value


def _facts(
    name: str, roles: Iterable[_D], channels: Iterable[_D], threads: Iterable[_D], members: Iterable[_D]
) -> Facts:
    by_id = {one["id"]: one for one in roles}
    found = {"the guild": name}
    for role in by_id.values():
        found[f"role {role['id']}"] = f"{role['name']} {role['permissions']}"
    for channel in channels:
        overwrites = sorted(
            f"{one['id']}:{one['allow']}:{one['deny']}"
            for one in channel["permission_overwrites"]
            if one["type"] == 1 or one["id"] in by_id
        )
        found[f"channel {channel['id']}"] = f"{channel['name']} {overwrites}"
    for thread in threads:
        meta = thread["thread_metadata"]
        found[f"thread {thread['id']}"] = (
            f"{thread['name']} in {thread['parent_id']}, locked {meta['locked']}, {thread['member_count']} in it"
        )
    for member in members:
        held = sorted(role for role in member["roles"] if role in by_id)
        found[f"member {member['user']['id']}"] = f"{member.get('nick')} {held}"
    return found
