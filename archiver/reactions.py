"""What a stretch of the log does to the table of reactions. Pure, but for the SQL, which is only written here.

Of all that is said of one user's emoji on a message, what stands last in the log counts: an addition, a removal, or a
removal of all. So the table comes out the same, whichever records are read again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from archiver.rows import BadPayloadError, Logged
from fanfare.emoji import Emoji

__all__ = ["CLEARED_SQL", "GONE_SQL", "PUT_SQL", "Reactions", "Row", "reactions_of"]

CLEARED_SQL: Final = """
UPDATE reactions r SET version = c.version, present = false FROM batch_cleared c
WHERE r.channel_id = c.channel_id AND r.message_id = c.message_id AND c.emoji IN ('', r.emoji)
AND r.version < c.version
"""
PUT_SQL: Final = """
INSERT INTO reactions AS r (channel_id, message_id, emoji, user_id, version, present)
SELECT channel_id, message_id, emoji, user_id, version, present FROM batch_reactions
ON CONFLICT (channel_id, message_id, emoji, user_id)
DO UPDATE SET version = excluded.version, present = excluded.present WHERE r.version < excluded.version
"""
GONE_SQL: Final = """
DELETE FROM reactions r USING batch_gone g WHERE r.channel_id = g.channel_id AND r.message_id = g.message_id
"""

_ADD: Final = "MESSAGE_REACTION_ADD"
_REMOVE: Final = "MESSAGE_REACTION_REMOVE"
_REMOVE_ALL: Final = "MESSAGE_REACTION_REMOVE_ALL"
_REMOVE_EMOJI: Final = "MESSAGE_REACTION_REMOVE_EMOJI"


class Row(NamedTuple):
    """A row of the table, in the order of the columns."""

    channel_id: int
    message_id: int
    emoji: str
    user_id: int
    version: int
    present: bool


class Cleared(NamedTuple):
    """All reactions to a message are gone, or all of one emoji; in the order of the columns."""

    channel_id: int
    message_id: int
    emoji: str
    """Empty: all."""
    version: int


@dataclass(slots=True)
class Reactions:
    """What a batch does: first take away what is in `cleared`, then note `rows`."""

    cleared: list[Cleared] = field(default_factory=list)
    rows: dict[tuple[int, int, str, int], Row] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.cleared or self.rows)

    @property
    def channels(self) -> set[int]:
        """The channels that are touched."""
        return {one.channel_id for one in self.cleared} | {channel for channel, *_ in self.rows}


class _Emoji(msgspec.Struct):
    name: str = ""
    id: int | None = None


class _Payload(msgspec.Struct):
    message_id: int
    user_id: int = 0
    emoji: _Emoji | None = None


_payload = msgspec.json.Decoder(_Payload, strict=False)


def reactions_of(batch: Iterable[Logged]) -> Reactions:
    """What records of chat.events, in log order, do to reactions. Raises: BadPayloadError: one cannot be read."""
    found = Reactions()
    for record, offset, _ in batch:
        if record.type not in {_ADD, _REMOVE, _REMOVE_ALL, _REMOVE_EMOJI}:
            continue
        try:
            said = _payload.decode(record.payload)
        except msgspec.DecodeError as error:
            raise BadPayloadError(record, f"the payload of {record.type} names no message") from error
        key = Emoji(said.emoji.name, said.emoji.id or 0).key if said.emoji is not None else ""
        if record.type in {_ADD, _REMOVE}:
            row = Row(record.channel, said.message_id, key, said.user_id, offset, record.type == _ADD)
            found.rows[row[:4]] = row
        else:
            emoji = key if record.type == _REMOVE_EMOJI else ""
            found.cleared.append(Cleared(record.channel, said.message_id, emoji, offset))
            for at, row in found.rows.items():
                if at[:2] == (record.channel, said.message_id) and emoji in {"", row.emoji}:
                    found.rows[at] = row._replace(version=offset, present=False)
    return found
