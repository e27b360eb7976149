"""What every session is owed: each accepted event once, in the order of its channel, `s` never falling, or told."""

from typing import TYPE_CHECKING, NoReturn

from fanfare.record import Record
from tests.model.bugs import DOUBLED, FELL, LOST, REORDERED
from tests.model.node import sees

if TYPE_CHECKING:
    from tests.model.clients import Client
    from tests.model.world import Appended

__all__ = ["Check", "ViolationError"]


class ViolationError(AssertionError):
    """An invariant is broken."""

    def __init__(self, kind: str, client: "Client", what: object) -> None:
        super().__init__(f"{kind}: {what}; user {client.user}, session {client.key}, {client.trail[-8:]}")
        self.kind = kind


class Check:
    """Knows what was accepted."""

    def __init__(self) -> None:
        self.accepted: dict[int, Appended] = {}
        """Per event the position that counts."""

    def fell(self, client: "Client", s: int) -> NoReturn:
        raise ViolationError(FELL, client, f"s from {client.s} to {s}")

    def ended(self, client: "Client", *, settled: bool) -> None:
        """A session's end. If all has settled it must have everything, else everything below what it has."""
        seen: set[int] = set()
        newest: dict[int, int] = {}
        top: dict[tuple[str, int], int] = {}
        for record in client.got:
            topic, partition, offset = record.position
            if record.id in seen:
                raise ViolationError(DOUBLED, client, record.position)
            seen.add(record.id)
            channel = record.channel or record.guild
            if offset < newest.get(channel, -1):
                raise ViolationError(REORDERED, client, record.position)
            newest[channel] = offset
            top[topic, partition] = max(offset, top.get((topic, partition), -1))
        for number, (record, at) in self.accepted.items():
            if at <= client.ready_at or number in seen or not sees(client.user, record):
                continue
            topic, partition, offset = record.position
            if settled or offset <= top.get((topic, partition), -1):
                raise ViolationError(LOST, client, f"{record.position} accepted at {at}")

    def unwanted(self, client: "Client") -> list[Record]:
        """What somebody got that was never accepted, or is not for them."""
        return [
            record for record in client.got if record.id not in self.accepted or not sees(client.user, record)
        ]
