"""The records of location.events that say where entities are: some of many entities in one record. Pure.

Anything that produces to Kafka may write them (docs/topics/location.md, "Straight into Kafka"), so what stands in a
record is checked by each reader. A position that does not fit is left out and told of, and the others count.
"""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from fanfare.ids import MAX_ID

__all__ = ["POSITIONS", "Fix", "Found", "Newness", "newest_of", "packed", "positions_in"]

POSITIONS: Final = "POSITIONS"
"""Type of the records that hold positions."""

_Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]

Newness = tuple[int, int]
"""What orders the positions of an entity: its time in ms, and then its number."""


class Fix(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where an entity was."""

    entity_id: Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
    at: _Id
    """When, in ms since 1970, by the clock of the device."""
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    """Degrees north."""
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    """Degrees east."""
    seq: _Id = 0
    """Orders positions of the same time."""
    author_id: _Id = 0
    """The user who published it; 0: the author of the record."""
    accuracy_m: float | None = None
    heading_deg: float | None = None
    """Clockwise from north."""
    speed_mps: float | None = None
    jumped: bool = False
    """No vehicle comes here from the position before it in this time; kept all the same."""

    @property
    def newness(self) -> Newness:
        """The newest position of an entity is the one with the highest."""
        return (self.at, self.seq)


class Found(NamedTuple):
    """What a record holds."""

    fixes: list[Fix]
    problems: list[str]
    """What is wrong with each that was left out."""


_all = msgspec.json.Decoder(list[Fix], strict=False)
_apart = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(Fix, strict=False)
packed = msgspec.json.Encoder().encode
"""The payload of a record, of a list of `Fix`."""


def positions_in(payload: bytes) -> Found:
    """The positions in the payload of a record.

    Raises:
        msgspec.DecodeError: it is no list in JSON.

    """
    try:
        return Found(_all.decode(payload), [])
    except msgspec.ValidationError:
        pass
    fixes: list[Fix] = []
    problems: list[str] = []
    for raw in _apart.decode(payload):
        try:
            fixes.append(_one.decode(raw))
        except msgspec.DecodeError as error:
            problems.append(str(error))
    return Found(fixes, problems)


def newest_of(fixes: Sequence[Fix]) -> dict[int, Fix]:
    """The newest position of each entity."""
    found: dict[int, Fix] = {}
    for fix in fixes:
        known = found.get(fix.entity_id)
        if known is None or fix.newness > known.newness:
            found[fix.entity_id] = fix
    return found
