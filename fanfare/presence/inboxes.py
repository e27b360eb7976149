"""Inboxes: the log of what one gateway node must deliver, as a Redis stream and a hash (docs/design.md, section 4).

The id of an entry is `<s>-0`, and `s` is the sequence number that clients see. An entry is a record, or a marker:

    START            the inbox begins here
    RAISE            nothing: `s` was raised above another inbox's
    UNREG scope ...  from here on the inbox no longer receives what is for these scopes
    MOVED session:version ...  another node is about to go on with these sessions, as of that version of their moves
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from fanfare.constants import INBOX_CAP_ENTRIES, INBOX_TTL_S, NODE_LEASE_S, S_EPOCH_MS
from fanfare.presence import keys
from fanfare.presence.scripts import Script
from fanfare.record import Record

__all__ = [
    "APPEND",
    "InboxEntry",
    "InboxGoneError",
    "InboxState",
    "append",
    "create",
    "last_s",
    "mark_moved",
    "missing",
    "moved_of",
    "oldest_s",
    "open_up",
    "raise_above",
    "read",
    "read_between",
    "renew",
    "state",
    "unregister",
]

APPEND: Final = Script("append", after="s_now")
_CREATE: Final = Script("create", after="s_now")
_RENEW: Final = Script("renew")
_MARK: Final = Script("mark", after="s_now")
_RAISE: Final = Script("raise", after="s_now")
_OPEN: Final = Script("open")
_UNREGISTER: Final = Script("unregister", after="s_now")
_MISSING: Final = Script("missing")
_MOVED: Final = "MOVED "


class InboxGoneError(Exception):
    """The inbox does not exist any more: its node was away too long, or Redis was emptied."""


@dataclass(slots=True)
class InboxEntry:
    """One entry: either `record` or `marker` is set. Nobody changes it: sessions that come at one time share it."""

    s: int
    record: Record | None
    marker: str = ""
    partition: str = field(default="", init=False)
    """The record's source partition, named `topic/partition`; made once, as each session that comes asks for it."""
    offset: int = field(default=-1, init=False)
    """The record's offset there."""

    def __post_init__(self) -> None:
        if self.record is not None and self.record.source is not None:
            topic, partition, self.offset = self.record.source
            self.partition = f"{topic}/{partition}"


@dataclass(frozen=True, slots=True)
class InboxState:
    """What the `at` hash says."""

    s: int
    token: str
    open: bool
    newest: Mapping[str, int]
    """Newest `s` per scope (`g:GUILD`, `u:USER`)."""
    high: Mapping[str, int]
    """Highest position appended per source partition, named `topic/partition`."""
    cut: Mapping[str, int]
    """Per source partition: what is not above this offset stands before the inbox and is left out by readers."""


def append(pipe: Pipeline, inbox: str, records: Sequence[tuple[Record, bytes]]) -> None:
    """Queue one call that appends a batch to an inbox: all of it or nothing, each source position once.

    The reply is `[b"ok" | b"gone", epoch or None, number appended]`. A `NoScriptError` in its place says:
    `await APPEND.load(redis)` and send again.

    Args:
        pipe: where to queue it.
        inbox: name of the inbox.
        records: in log order, each with its bytes (`record.pack()`).

    """
    args: list[Any] = [S_EPOCH_MS, INBOX_CAP_ENTRIES]
    for record, packed in records:
        topic, partition, offset = record.position
        args += (f"p:{topic}/{partition}", offset, " ".join(record.scopes()), packed)
    APPEND.queue(pipe, [keys.inbox(inbox), keys.at(inbox), keys.epoch()], args)


async def create(
    redis: Redis,
    node: str,
    inbox: str,
    *,
    floor: int,
    token: str,
    is_open: bool,
    newest: Mapping[str, int] | None = None,
) -> int:
    """Make an inbox and announce it in the node's lease.

    Args:
        redis: the primary.
        node: id of the node.
        inbox: name of the inbox, never used before.
        floor: its first `s` is above this.
        token: the loss token that holds now.
        is_open: whether its sessions may be adopted by other nodes already.
        newest: newest `s` per scope, of the inbox that this one follows.

    Returns:
        Its first `s`.

    """
    fields = [item for scope, s in (newest or {}).items() for item in (scope, s)]
    args = [S_EPOCH_MS, floor, token, _ms(INBOX_TTL_S), _ms(NODE_LEASE_S), inbox, int(is_open), *fields]
    return int(await _CREATE.run(redis, [keys.inbox(inbox), keys.at(inbox), keys.lease(node)], args))


async def open_up(redis: Redis, inbox: str, *, cut: Mapping[str, int], newest: Mapping[str, int]) -> None:
    """Let the sessions of an inbox that follows a lost one be adopted.

    Args:
        redis: the primary.
        inbox: name of the inbox.
        cut: per source partition, named `topic/partition`: readers leave out what is not above this offset.
        newest: newest `s` per scope.

    Raises:
        InboxGoneError: there is no such inbox.

    """
    fields = {f"cut:{name}": offset for name, offset in cut.items()} | dict(newest)
    args = [item for pair in fields.items() for item in pair]
    if await _OPEN.run(redis, [keys.inbox(inbox), keys.at(inbox)], args) != b"ok":
        raise InboxGoneError(inbox)


async def renew(redis: Redis, node: str, inbox: str) -> None:
    """Keep the inbox and the node's lease alive.

    Raises:
        InboxGoneError: the inbox was gone already, so entries may be missing.

    """
    args = [_ms(INBOX_TTL_S), _ms(NODE_LEASE_S), inbox]
    if await _RENEW.run(redis, [keys.inbox(inbox), keys.at(inbox), keys.lease(node)], args) != b"ok":
        raise InboxGoneError(inbox)


async def raise_above(redis: Redis, inbox: str, floor: int, gap: int) -> int:
    """Append a filler whose `s` is above `floor`, above the inbox's last and above Redis's clock by more than `gap`.

    Returns:
        Its `s`.

    Raises:
        InboxGoneError: there is no such inbox.

    """
    answer = await _RAISE.run(redis, [keys.inbox(inbox), keys.at(inbox)], [S_EPOCH_MS, floor, gap])
    if answer == b"gone":
        raise InboxGoneError(inbox)
    return int(answer)


async def mark_moved(redis: Redis, inbox: str, sessions: Mapping[str, int]) -> int:
    """Tell the node of an inbox that another one is about to go on with some of its sessions.

    Args:
        redis: the primary.
        inbox: name of the inbox.
        sessions: the version of each session's moves that the other node knows.

    Returns:
        The marker's `s`. What the node sends these sessions of the inbox afterwards stands below that.

    Raises:
        InboxGoneError: there is no such inbox.

    """
    marker = _MOVED + " ".join(f"{key}:{version}" for key, version in sorted(sessions.items()))
    answer = await _MARK.run(redis, [keys.inbox(inbox), keys.at(inbox)], [S_EPOCH_MS, marker])
    if answer == b"gone":
        raise InboxGoneError(inbox)
    return int(answer)


def moved_of(entry: InboxEntry) -> dict[str, int]:
    """The sessions that a marker says to move, with the version of their moves; empty for any other entry."""
    if not entry.marker.startswith(_MOVED):
        return {}
    words = (word.rpartition(":") for word in entry.marker[len(_MOVED) :].split())
    return {key: int(version) for key, _, version in words}


async def unregister(
    redis: Redis,
    inbox: str,
    *,
    guilds: Iterable[int],
    users: Iterable[int],
    fields: Iterable[tuple[int, str]],
) -> None:
    """Mark in the inbox that it no longer receives these guilds and users, and remove the registrations.

    Args:
        redis: the primary.
        inbox: name of the inbox.
        guilds: guilds that no session of the node is in any more.
        users: users who have no session on the node any more.
        fields: `(user, session@inbox)` of the sessions that have ended.

    """
    guilds, fields = list(guilds), list(fields)
    scopes = [f"g:{guild}" for guild in guilds] + [f"u:{user}" for user in users]
    names = [keys.guild_nodes(guild) for guild in guilds] + [keys.user_sessions(user) for user, _ in fields]
    gone = [inbox] * len(guilds) + [field for _, field in fields]
    await _UNREGISTER.run(
        redis, [keys.inbox(inbox), keys.at(inbox), *names], [S_EPOCH_MS, " ".join(scopes), *gone]
    )


async def missing(redis: Redis, registrations: Sequence[tuple[str, str]]) -> list[int]:
    """The places of registrations, each a hash of presence and a field of it, that are not in Redis."""
    if not registrations:
        return []
    names, fields = zip(*registrations, strict=True)
    places: Any = await _MISSING.run(redis, list(names), list(fields))
    return [place - 1 for place in places]


async def read(
    redis: Redis, inbox: str, after: int, *, count: int = 1000, block_ms: int | None = None
) -> list[InboxEntry]:
    """The entries after `s`, oldest first; waits up to `block_ms` for one where there is none."""
    block = () if block_ms is None else ("BLOCK", block_ms)
    # `redis.xread` says the same through another coroutine, which costs as much as understanding the answer.
    command = ("XREAD", *block, "COUNT", count, "STREAMS", keys.inbox(inbox), f"{after}-0")
    answer: Any = await redis.execute_command(*command)  # type: ignore[no-untyped-call]
    if not answer:
        return []
    rows = next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
    return [_entry(name, fields) for name, fields in rows]


async def read_between(
    redis: Redis, inbox: str, first: int, last: int | None, *, count: int
) -> list[InboxEntry]:
    """The entries from `s` = first on, up to last (None: the newest), oldest first."""
    end = f"{last}-0" if last is not None else "+"
    rows: Any = await redis.xrange(keys.inbox(inbox), f"{first}-0", end, count=count)
    return [_entry(name, fields) for name, fields in rows]


async def oldest_s(redis: Redis, inbox: str) -> int:
    """`s` of the oldest entry that is kept.

    Raises:
        InboxGoneError: there is no such inbox.

    """
    rows: Any = await redis.xrange(keys.inbox(inbox), count=1)
    if not rows:
        raise InboxGoneError(inbox)
    return int(rows[0][0][:-2])


async def last_s(redis: Redis, inbox: str) -> int:
    """`s` of the newest entry.

    Raises:
        InboxGoneError: there is no such inbox.

    """
    last: Any = await redis.hget(keys.at(inbox), "s")
    if last is None:
        raise InboxGoneError(inbox)
    return int(last)


async def state(redis: Redis, inbox: str) -> InboxState:
    """What the inbox's hash says.

    Raises:
        InboxGoneError: there is no such inbox.

    """
    fields: Any = await redis.hgetall(keys.at(inbox))
    found = {name.decode(): value.decode() for name, value in fields.items()}
    if "s" not in found:
        raise InboxGoneError(inbox)
    return InboxState(
        s=int(found["s"]),
        token=found["token"],
        open=found["open"] == "1",
        newest={name: int(s) for name, s in found.items() if name.startswith(("g:", "u:"))},
        high={name[2:]: int(offset) for name, offset in found.items() if name.startswith("p:")},
        cut={name[4:]: int(s) for name, s in found.items() if name.startswith("cut:")},
    )


def _entry(name: bytes, fields: Mapping[bytes, bytes]) -> InboxEntry:
    s = int(name[:-2])
    packed = fields.get(b"e")
    if packed is not None:
        return InboxEntry(s, Record.unpack(packed))
    return InboxEntry(s, None, fields[b"m"].decode())


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
