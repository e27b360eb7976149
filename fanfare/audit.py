"""What the audit log says of a change: worked out from the event that tells of it and what was before it. Pure."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from fanfare.payloads import Json

__all__ = ["Entry", "entry_of", "shown"]


class Entry(NamedTuple):
    """One line of the log."""

    action: int
    """Discord's "audit log events"."""
    target: int
    changes: tuple[Json, ...] = ()
    options: Mapping[str, str] = {}


_CREATED: Final = {
    "CHANNEL_CREATE": 10,
    "GUILD_ROLE_CREATE": 30,
    "INVITE_CREATE": 40,
    "WEBHOOK_CREATE": 50,
    "EMOJI_CREATE": 60,
    "THREAD_CREATE": 110,
}
_CHANGED: Final = {
    "GUILD_UPDATE": 1,
    "CHANNEL_UPDATE": 11,
    "GUILD_ROLE_UPDATE": 31,
    "WEBHOOK_UPDATE": 51,
    "EMOJI_UPDATE": 61,
    "THREAD_UPDATE": 111,
}
_DELETED: Final = {
    "CHANNEL_DELETE": 12,
    "GUILD_ROLE_DELETE": 32,
    "INVITE_DELETE": 42,
    "WEBHOOK_DELETE": 52,
    "EMOJI_DELETE": 62,
    "THREAD_DELETE": 112,
}
_KICK, _PRUNE, _BAN, _UNBAN, _MEMBER, _ROLES = 20, 21, 22, 23, 24, 25
_COMMAND: Final = 121
_OVERWRITE: Final = (13, 14, 15)
_OF_THREAD: Final = (
    "name",
    "type",
    "archived",
    "locked",
    "invitable",
    "auto_archive_duration",
    "rate_limit_per_user",
    "applied_tags",
)
# Says what a thing is, or belongs to, and does not change.
_FIXED: Final = frozenset(
    {"id", "guild_id", "user", "last_message_id", "last_pin_timestamp", "roles", "inviter"}
)


def entry_of(name: str, payload: Json, before: Json | None, by: int) -> Entry | None:
    """The line for a change, None if it is none that is logged.

    Args:
        name: of the event.
        payload: of the event.
        before: what was in its place.
        by: who did it.

    """
    if name in {"GUILD_BAN_ADD", "GUILD_BAN_REMOVE"}:
        return Entry(_BAN if name == "GUILD_BAN_ADD" else _UNBAN, int(payload["user"]["id"]))
    if name == "MEMBER_PRUNE":
        return Entry(_PRUNE, 0, (), payload)
    if name == "GUILD_MEMBER_REMOVE":
        target = int(payload["user"]["id"])
        return Entry(_KICK, target) if target != by else None
    if name in _OWN_FORMS:
        return _OWN_FORMS[name](payload, before or {})
    thing = payload.get("role", payload)
    old = (before or {}).get("role", before)
    if name.startswith("THREAD_"):
        thing, old = _thread(thing), _thread(before) if before else None
    target = int(thing.get("id") or payload.get("role_id") or 0)
    if name in _CREATED:
        return Entry(_CREATED[name], target, _diff({}, thing))
    if name in _CHANGED:
        changes = _diff({key: old[key] for key in thing.keys() & old.keys()} if old else {}, thing, old)
        if name == "CHANNEL_UPDATE" and [one["key"] for one in changes] == ["permission_overwrites"]:
            return _overwrite(target, changes[0])
        return Entry(_CHANGED[name], target, changes)
    if name in _DELETED:
        return Entry(_DELETED[name], target, _diff(old or (thing if name == "CHANNEL_DELETE" else {}), {}))
    return None


def shown(entry: Entry, ident: int, by: int, reason: str) -> Json:
    """The line as clients see it."""
    found: Json = {
        "id": str(ident),
        "user_id": str(by),
        "target_id": str(entry.target) if entry.target else None,
        "action_type": entry.action,
        "changes": list(entry.changes),
    }
    if entry.options:
        found["options"] = dict(entry.options)
    if reason:
        found["reason"] = reason
    return found


def _command_permissions(payload: Json, before: Json) -> Entry:
    """The line for who may use a command: a change for each role, user or channel that it names."""
    old = {one["id"]: one for one in before.get("permissions", ())}
    new = {one["id"]: one for one in payload["permissions"]}
    changes = [
        {"key": ident}
        | ({"old_value": old[ident]} if ident in old else {})
        | ({"new_value": new[ident]} if ident in new else {})
        for ident in sorted(old.keys() | new.keys())
        if old.get(ident) != new.get(ident)
    ]
    return Entry(_COMMAND, int(payload["id"]), tuple(changes), {"application_id": payload["application_id"]})


def _thread(thread: Json) -> Json:
    known = thread | thread.get("thread_metadata", {})
    return {key: known[key] for key in ("id", *_OF_THREAD) if key in known}


def _member(payload: Json, before: Json) -> Entry:
    target = int(payload["user"]["id"])
    had, has = before.get("roles", []), payload["roles"]
    if had != has:
        roles = (
            ("$add", [one for one in has if one not in had]),
            ("$remove", [one for one in had if one not in has]),
        )
        changes = [
            {"key": key, "new_value": [{"id": i, "name": ""} for i in ids]} for key, ids in roles if ids
        ]
        return Entry(_ROLES, target, tuple(changes))
    return Entry(_MEMBER, target, _diff(before, payload, before))


def _overwrite(target: int, change: Json) -> Entry:
    """The line for a change of one overwrite; of several, a change of the channel."""
    old = {one["id"]: one for one in change.get("old_value", ())}
    new = {one["id"]: one for one in change.get("new_value", ())}
    changed = [ident for ident in old.keys() | new.keys() if old.get(ident) != new.get(ident)]
    if len(changed) != 1:
        return Entry(_CHANGED["CHANNEL_UPDATE"], target, (change,))
    was, now = old.get(changed[0]), new.get(changed[0])
    action = _OVERWRITE[0] if was is None else _OVERWRITE[2] if now is None else _OVERWRITE[1]
    kind = str((now or was or {})["type"])
    return Entry(action, target, _diff(was or {}, now or {}), {"id": changed[0], "type": kind})


def _diff(old: Json, new: Json, known: Json | None = None) -> tuple[Json, ...]:
    """The keys that differ. Args: known: only keys in it are looked at; None: all."""
    found = []
    for key in sorted((old.keys() | new.keys()) - _FIXED):
        if (known is not None and key not in known) or old.get(key) == new.get(key):
            continue
        change: Json = {"key": key}
        if new.get(key) is not None:
            change["new_value"] = new[key]
        if old.get(key) is not None:
            change["old_value"] = old[key]
        found.append(change)
    return tuple(found)


_OWN_FORMS: Final = {"GUILD_MEMBER_UPDATE": _member, "COMMAND_PERMISSIONS_UPDATE": _command_permissions}
