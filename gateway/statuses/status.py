"""What a session says of its user's status, and what the sessions of a user on one node say together. Pure.

Whatever a client sends here, it is never an error: what cannot be read is left out. Source: Discord's gateway
documentation, "Update Presence" and "Activity Object"; the forms that libraries send are in docs/clients.md.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from gateway.protocol.frames import encode

__all__ = ["OFFLINE", "ONLINE", "Status", "client_of", "member_status", "merged", "read", "unpack", "update"]

_RANKS: Final[Mapping[str, int]] = {"invisible": 0, "offline": 0, "idle": 1, "online": 2, "dnd": 3}
_DESKTOP, _MOBILE, _WEB = range(3)
_CLIENTS: Final[Mapping[str, int]] = {
    "discord client": _DESKTOP,
    "discord ios": _MOBILE,
    "discord android": _MOBILE,
}
OFFLINE: Final = b'{"status":"offline","activities":[],"client_status":{}}'
_MOST_ACTIVITIES: Final = 5
_TYPES: Final = range(6)
_CUSTOM: Final = 4
_MOST_CHARACTERS: Final = 128
_MOST_URL: Final = 512


class Status(NamedTuple):
    """What one session says."""

    rank: int = 2
    """0: it is not to be seen; then, the higher ones winning over the lower: idle, online, dnd."""
    client: int = _WEB
    """Kind of client: desktop, mobile or web, which bots are, too."""
    activities: bytes = b"[]"
    """JSON."""

    def pack(self) -> bytes:
        """The status, to be noted."""
        return b"%d%d%b" % (self.rank, self.client, self.activities)


ONLINE: Final = Status()


def unpack(packed: bytes) -> Status:
    """The status that was packed."""
    return Status(int(packed[:1]), int(packed[1:2]), packed[2:])


def client_of(properties: Any) -> int:
    """The kind of client in the `properties` of IDENTIFY."""
    if not isinstance(properties, dict):
        return _WEB
    browser = properties.get("browser", properties.get("$browser"))
    return _CLIENTS.get(browser.lower(), _WEB) if isinstance(browser, str) else _WEB


def read(d: bytes, client: int, now_ms: int) -> Status:
    """The status in the `d` of op 3, or in `presence` of IDENTIFY.

    Args:
        d: JSON.
        client: the kind of client that says so.
        now_ms: what activities began at that do not say when they did.

    """
    try:
        said = msgspec.json.decode(d)
    except (msgspec.DecodeError, RecursionError):
        said = None
    if not isinstance(said, dict):
        return Status(client=client)
    status = said.get("status")
    rank = _RANKS.get(status, ONLINE.rank) if isinstance(status, str) else ONLINE.rank
    listed = said.get("activities", said.get("game"))
    listed = listed if isinstance(listed, list) else [listed]
    activities = [one for activity in listed if (one := _activity(activity, now_ms)) is not None]
    return Status(rank, client, encode(activities[:_MOST_ACTIVITIES]))


def merged(statuses: Iterable[Status]) -> bytes:
    """What several sessions say together, as `status_put.lua` has it; empty where there is none."""
    ranks = [0, 0, 0]
    best: Status | None = None
    for status in statuses:
        ranks[status.client] = max(ranks[status.client], status.rank)
        if best is None or status.rank > best.rank:
            best = status
    if best is None:
        return b""
    desktop, mobile, web = ranks
    return b"%d%d%d%d%b" % (best.rank, desktop, mobile, web, best.activities)


def member_status(user: int, status: bytes) -> bytes:
    """A member's status as GUILD_CREATE and GUILD_MEMBERS_CHUNK list it. Args: status: its JSON."""
    return b'{"user":{"id":"%d"},%b' % (user, status[1:])


def update(guild: int, user: int, status: bytes) -> bytes:
    """The payload of PRESENCE_UPDATE. Args: status: its JSON; empty: offline."""
    return b'{"user":{"id":"%d"},"guild_id":"%d",%b' % (user, guild, (status or OFFLINE)[1:])


def _activity(said: Any, now_ms: int) -> dict[str, Any] | None:
    """An activity as others see it; None where it is none."""
    if not isinstance(said, dict) or not _text(said.get("name")):
        return None
    kind, began, url = said.get("type"), said.get("created_at"), said.get("url")
    found: dict[str, Any] = {
        "name": _text(said["name"]),
        "type": kind if isinstance(kind, int) and kind in _TYPES else 0,
        "created_at": began if isinstance(began, int) and 0 < began < 1 << 53 else now_ms,
    }
    if isinstance(url, str) and url.startswith(("https://", "http://")) and len(url) <= _MOST_URL:
        found["url"] = url
    found |= {name: text for name in ("state", "details") if (text := _text(said.get(name)))}
    emoji = said.get("emoji")
    if found["type"] == _CUSTOM and isinstance(emoji, dict) and _text(emoji.get("name")):
        found["emoji"] = {"name": _text(emoji["name"])}
    return found


def _text(said: Any) -> str:
    return said[:_MOST_CHARACTERS] if isinstance(said, str) else ""
