"""Where a batch of deliveries goes, without any I/O."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fanfare.record import CHANNEL, GUILD, USERS, BadRecordError, Record

__all__ = ["Presence", "Wanted", "applied", "recipients", "route", "wanted"]


class Wanted(NamedTuple):
    """The guilds and users that a batch has to look up."""

    guilds: list[int]
    users: list[int]


class Presence(NamedTuple):
    """The inboxes of guilds and users, as Redis knew them after the batch was fetched."""

    guilds: Mapping[int, Sequence[str]]
    users: Mapping[int, Sequence[str]]


def wanted(records: Iterable[Record]) -> Wanted:
    """The guilds and users to look up, each once."""
    guilds: dict[int, None] = {}
    users: dict[int, None] = {}
    for record in records:
        if record.audience in (CHANNEL, GUILD):
            guilds[record.guild] = None
        if record.audience in (GUILD, USERS):
            users.update(dict.fromkeys(record.users))
    return Wanted(list(guilds), list(users))


def recipients(record: Record, presence: Presence) -> list[str]:
    """The inboxes that a record goes to, each once.

    Raises:
        BadRecordError: the audience is none that we know.

    """
    match record.audience:
        case "channel":
            found: Iterable[str] = presence.guilds.get(record.guild, ())
        case "guild":
            found = [*presence.guilds.get(record.guild, ()), *_of_users(record, presence)]
        case "users":
            found = _of_users(record, presence)
        case "inboxes":
            found = record.inboxes
        case _:
            raise BadRecordError(f"unknown audience {record.audience!r}")
    return list(dict.fromkeys(found))


def _of_users(record: Record, presence: Presence) -> list[str]:
    return [inbox for user in record.users for inbox in presence.users.get(user, ())]


def route(records: Iterable[Record], presence: Presence) -> dict[str, list[Record]]:
    """For each inbox what it gets, in the order of the log."""
    found: dict[str, list[Record]] = {}
    for record in records:
        for inbox in recipients(record, presence):
            found.setdefault(inbox, []).append(record)
    return found


def applied(records: Iterable[Record]) -> dict[int, int]:
    """For each guild that the batch changes, its version after the batch."""
    found: dict[int, int] = {}
    for record in records:
        if record.version and record.guild:
            found[record.guild] = max(found.get(record.guild, 0), record.version)
    return found
