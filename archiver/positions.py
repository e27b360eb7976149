"""What the records of location.events say: positions of entities, some of many in one record. Pure."""

from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple

import msgspec

from archiver.rows import AHEAD_MS, BadPayloadError, Limits, Logged
from fanfare.ids import MAX_ID

__all__ = ["POSITIONS", "PositionRow", "new_positions", "positions_of"]

POSITIONS: Final = "POSITIONS"
"""Type of the records that hold positions; others are about entities."""


class PositionRow(NamedTuple):
    """A position, in the order of the columns."""

    entity_id: int
    at_ms: int
    seq: int
    author_id: int
    lat: float
    lon: float
    accuracy_m: float | None
    heading_deg: float | None
    speed_mps: float | None


_Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]


class _Position(msgspec.Struct, gc=False):
    entity_id: _Id
    at: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    seq: _Id = 0
    author_id: _Id = 0
    accuracy_m: float | None = None
    heading_deg: float | None = None
    speed_mps: float | None = None


_decoder = msgspec.json.Decoder(list[_Position], strict=False)


def positions_of(entry: Logged) -> Iterator[PositionRow]:
    """The positions of a record; none of a record of another type.

    Raises:
        BadPayloadError: they cannot be read, or are of a time to come.

    """
    record = entry.record
    if record.type != POSITIONS:
        return
    latest = entry.appended_ms + AHEAD_MS
    try:
        found = _decoder.decode(record.payload)
    except msgspec.DecodeError as error:
        raise BadPayloadError(record, f"its positions cannot be read: {error}") from error
    for each in found:
        if each.at > latest:
            raise BadPayloadError(record, "a position is of a time to come")
        yield PositionRow(
            each.entity_id,
            each.at,
            each.seq,
            each.author_id or record.author,
            each.lat,
            each.lon,
            each.accuracy_m,
            each.heading_deg,
            each.speed_mps,
        )


def new_positions(rows: list[PositionRow], limits: Limits) -> list[PositionRow]:
    """Each position once, the first one of the log; what is not to be added is left out."""
    found: dict[tuple[int, int, int], PositionRow] = {}
    for row in rows:
        if limits.keep(row.at_ms, row.author_id, row.at_ms):
            found.setdefault(row[:3], row)
    return list(found.values())
