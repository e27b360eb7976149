"""What a stretch of the log does to the table of messages. Pure.

Reading the log one event after the other, a message table changes like this:

- A create adds a row, unless there is one with this id; unless Kafka appended it more than the nonce window
  after the time in its id; unless a message of the same author with the same nonce is in the channel already,
  made within the nonce window of it. The fan-out drops the same ones.
- An update or delete changes a row that is there, is not deleted, and shows an earlier offset. A deleted row
  stays, without its body, as long as its partition.
- What is older than all partitions was dropped by retention, and is not added again; nor is what somebody wrote
  whose data was deleted (`Limits`).

`fold` does that for a batch at once: what to add, and what to change afterwards. The table comes out the same,
whichever records are read again, and however the log is cut into batches.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, NamedTuple

import msgspec

from fanfare.constants import NONCE_WINDOW_S
from fanfare.ids import MAX_ID, snowflake_ms
from fanfare.record import Record
from fanfare.retries import MESSAGE_CREATE, is_late

__all__ = [
    "AHEAD_MS",
    "BadPayloadError",
    "Changed",
    "Fold",
    "Limits",
    "Logged",
    "Made",
    "Nonce",
    "creates",
    "fold",
]

_WINDOW_MS: Final = NONCE_WINDOW_S * 1000
# A clock may be off, and a record may wait; an id or a time further ahead than this would need partitions for ever.
AHEAD_MS: Final = 86_400_000


class BadPayloadError(Exception):
    """A record makes no sense to the archive."""

    def __init__(self, record: Record, reason: str) -> None:
        super().__init__(reason)
        self.record = record


class Limits(NamedTuple):
    """What is not added to a table, whatever the log says."""

    floor: int = -(1 << 63)
    """What is below was dropped by retention: ids of messages, times of positions."""
    forgotten: Mapping[int, int] = {}
    """Users whose data was deleted, and up to which time, in ms since 1970."""

    def keep(self, value: int, author: int, at_ms: int) -> bool:
        """Whether to add what stands at this value of the table's column."""
        return value >= self.floor and at_ms > self.forgotten.get(author, -1)


class Logged(NamedTuple):
    """A record in the log."""

    record: Record
    offset: int
    appended_ms: int


class Nonce(NamedTuple):
    """What a client sends again names its message by."""

    channel_id: int
    author_id: int
    nonce: bytes


class Made(NamedTuple):
    """A row to add, in the order of the columns."""

    channel_id: int
    id: int
    author_id: int
    nonce: bytes
    version: int
    deleted: bool
    body: bytes


class Changed(NamedTuple):
    """What to change in a row that is there, in the order of the columns."""

    channel_id: int
    id: int
    version: int
    deleted: bool
    body: bytes


@dataclass(slots=True)
class Fold:
    """What a batch does: first add `made` where no such row is, then apply `changed`."""

    made: dict[tuple[int, int], Made] = field(default_factory=dict)
    changed: dict[tuple[int, int], Changed] = field(default_factory=dict)


_Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]


class _One(msgspec.Struct):
    id: _Id


class _Many(msgspec.Struct):
    ids: list[_Id]


_NO_LIMITS: Final = Limits()
_one = msgspec.json.Decoder(_One, strict=False)
_many = msgspec.json.Decoder(_Many, strict=False)


def creates(batch: Iterable[Logged]) -> list[Made]:
    """The messages that the batch may add: what to look up in the table before `fold`."""
    return [_made(entry) for entry in batch if entry.record.type == MESSAGE_CREATE]


def fold(batch: Iterable[Logged], known: Iterable[Made], limits: Limits = _NO_LIMITS) -> Fold:
    """What the batch does to the table.

    Args:
        batch: records of chat.events in log order; only what happens to messages counts.
        known: rows of the table with the ids, or with the nonces, of `creates(batch)`; bodies do not matter.
        limits: what is not added.

    Raises:
        BadPayloadError: an update or delete cannot be read, or a message comes from a time to come.

    """
    result = Fold()
    there: set[tuple[int, int]] = set()
    nonces: dict[Nonce, list[int]] = {}

    def note(row: Made) -> None:
        there.add((row.channel_id, row.id))
        if row.nonce:
            nonces.setdefault(Nonce(row.channel_id, row.author_id, row.nonce), []).append(row.id)

    for row in known:
        note(row)
    for entry in batch:
        if entry.record.type == MESSAGE_CREATE:
            row = _made(entry)
            key = (row.channel_id, row.id)
            same = nonces.get(Nonce(row.channel_id, row.author_id, row.nonce), ()) if row.nonce else ()
            if (
                key in there
                or not limits.keep(row.id, row.author_id, snowflake_ms(row.id))
                or is_late(entry.record, entry.appended_ms)
                or any(_near(row.id, other) for other in same)
            ):
                continue
            result.made[key] = row
            note(row)
        else:
            for change in _changes(entry):
                _apply(result, change)
    return result


def _made(entry: Logged) -> Made:
    record = entry.record
    if snowflake_ms(record.id) > entry.appended_ms + AHEAD_MS:
        raise BadPayloadError(record, "its id is of a time to come")
    return Made(
        channel_id=record.channel,
        id=record.id,
        author_id=record.author,
        nonce=record.nonce.encode(),
        version=entry.offset,
        deleted=False,
        body=record.payload,
    )


def _near(ident: int, other: int) -> bool:
    return abs(snowflake_ms(ident) - snowflake_ms(other)) <= _WINDOW_MS


def _changes(entry: Logged) -> list[Changed]:
    record, offset = entry.record, entry.offset
    try:
        match record.type:
            case "MESSAGE_UPDATE":
                ident = _one.decode(record.payload).id
                return [Changed(record.channel, ident, offset, deleted=False, body=record.payload)]
            case "MESSAGE_DELETE":
                ids = [_one.decode(record.payload).id]
            case "MESSAGE_DELETE_BULK":
                ids = _many.decode(record.payload).ids
            case _:
                return []
    except msgspec.DecodeError as error:
        raise BadPayloadError(record, f"the payload of {record.type} names no message") from error
    return [Changed(record.channel, ident, offset, deleted=True, body=b"") for ident in ids]


def _apply(result: Fold, change: Changed) -> None:
    """Note a change, both for the row as the batch adds it and for one that is there already.

    Both, because a worker that has just lost the partition may add the row at the same time.
    """
    key = (change.channel_id, change.id)
    earlier = result.changed.get(key)
    if earlier is None or not earlier.deleted:
        result.changed[key] = change
    made = result.made.get(key)
    if made is not None and not made.deleted:
        result.made[key] = made._replace(version=change.version, deleted=change.deleted, body=change.body)
