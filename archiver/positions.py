"""What the archive keeps of the positions in the records of location.events."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from archiver.rows import AHEAD_MS, BadPayloadError, Limits, Logged
from fanfare.location.positions import POSITIONS, positions_in
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["POSITIONS", "PositionRow", "new_positions", "positions_of"]


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


def positions_of(entry: Logged) -> Iterator[PositionRow]:
    """The positions of a record; none of a record of another type. What does not fit is left out, and told of.

    Raises:
        BadPayloadError: none of them can be kept.

    """
    record = entry.record
    if record.type != POSITIONS:
        return
    latest = entry.appended_ms + AHEAD_MS
    try:
        fixes, problems = positions_in(record.payload)
    except msgspec.DecodeError as error:
        raise BadPayloadError(record, f"its positions cannot be read: {error}") from error
    kept = [fix for fix in fixes if fix.at <= latest]
    problems += ["a position is of a time to come"] * (len(fixes) - len(kept))
    if problems and not kept:
        raise BadPayloadError(record, problems[0])
    if problems:
        logs.get("archiver").warning(
            "positions left out",
            action=Action.DROP,
            position=str(record.position),
            count=len(problems),
            why=problems[0],
        )
    for each in kept:
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
