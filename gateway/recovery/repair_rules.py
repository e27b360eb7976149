"""Repairing a node whose inbox was lost (docs/design.md, section 5, "Losing the inbox"). Pure: it only decides.

The next inbox begins far above everything sent. What lies between the last position seen and the fence that is put
into the next inbox comes from the deliveries topics, read again from offsets that are known to be safe; what is not
above the fence is left out when the next inbox is read (its cut).

Partitions are named `topic/partition`. Offsets, safe ones and ends, are of deliveries topics; positions are of source
topics.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from fanfare.constants import S_SHIFT
from fanfare.presence.inboxes import InboxEntry
from fanfare.record import Record
from gateway.recovery.path import Fence, Hop, Moved

__all__ = [
    "LEAP",
    "Move",
    "Offsets",
    "RepairError",
    "Replay",
    "SafeOffsets",
    "first_floor",
    "move_to",
    "passed",
    "raised_newest",
]

Offsets = dict[str, int]
"""Per partition of the deliveries topics, the first offset that is not covered."""

LEAP: Final = 60_000 << S_SHIFT
"""The next inbox begins this far above the last `s` sent: what is replayed is numbered in between."""


class RepairError(Exception):
    """The repair cannot be finished as it was begun; the message says why."""


def first_floor(last_s: int) -> int:
    """What the first `s` of the next inbox must be above, if `last_s` is the highest the node has sent."""
    return last_s + LEAP


class SafeOffsets:
    """From where the deliveries have to be read again if the inbox is lost.

    Commits follow appends. So what was committed before the inbox's end was looked up stands at or below that end,
    if it was meant for the inbox; and once the node has read that far, with nothing lost meanwhile, it has it.
    """

    def __init__(self, ends: Mapping[str, int]) -> None:
        """Args: ends: the end offsets when the node started, before anybody was registered."""
        self._offsets: Offsets = dict(ends)
        self._probe: tuple[Offsets, int] | None = None

    @property
    def offsets(self) -> Offsets:
        """The safe offsets."""
        return dict(self._offsets)

    @property
    def probing(self) -> bool:
        """Whether offsets wait for the node to have read far enough."""
        return self._probe is not None

    def probe(self, committed: Mapping[str, int], end: int) -> None:
        """Note what may become safe.

        Args:
            committed: the notifier group's committed offsets; partitions without one are left out.
            end: the last `s` of the inbox, looked up *after* the committed offsets were fetched.

        """
        self._probe = (dict(committed), end)

    def covered(self, s: int) -> bool:
        """Whether the node, having taken everything up to `s`, has read what is probed. Then check the token."""
        return self._probe is not None and s >= self._probe[1]

    def settle(self, s: int, *, whole: bool) -> None:
        """Take over what is covered.

        Args:
            s: how far the node had read *before* the token was fetched.
            whole: whether the token fetched is still the inbox's.

        """
        if self._probe is None or (whole and s < self._probe[1]):
            return
        if whole:
            self._raise(self._probe[0])
        self._probe = None

    def lost(self) -> None:
        """The inbox is lost: what is probed says nothing any more."""
        self._probe = None

    def replayed(self, reached: Mapping[str, int]) -> None:
        """A replay is finished: everything below is dispatched."""
        self._probe = None
        self._raise(reached)

    def _raise(self, offsets: Mapping[str, int]) -> None:
        for partition, offset in offsets.items():
            self._offsets[partition] = max(self._offsets.get(partition, 0), offset)


def passed(safe: Mapping[str, int], beginnings: Mapping[str, int]) -> list[str]:
    """The partitions in which retention has deleted what would have to be read again: the sessions must be told.

    Args:
        safe: the safe offsets.
        beginnings: the oldest offsets that Kafka still has.

    """
    return sorted(partition for partition, offset in safe.items() if beginnings.get(partition, 0) > offset)


class Move(NamedTuple):
    """A hop to write by compare-and-set."""

    expected: int
    """The version that Redis has now, 0 for none."""
    moved: Moved


def move_to(inbox: str, hops: Sequence[Hop], version: int, known: Moved | None) -> Move | None:
    """The move of a live session into the next inbox; None if the session lives elsewhere and must be closed.

    Args:
        inbox: the next inbox.
        hops: of the session, as the node knows it.
        version: of its moves, as the node knows it.
        known: its moves in Redis, None if there are none (any more).

    """
    if known is not None and known.version > version:
        return None
    last = hops[-1]
    # Without the hops before, and without its early part: a client below T was not live any more.
    moved = Moved(version + 1, [Hop(inbox, last.t, last.f)])
    return Move(known.version if known is not None else 0, moved)


def raised_newest(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Newest `s` per scope that the replay has raised.

    They belong into the next inbox, where they are higher than what stands there, before it is opened: a client that
    has not seen the end of the replay is out of reach.
    """
    return {scope: s for scope, s in after.items() if s > before.get(scope, 0)}


@dataclass(slots=True)
class _Partition:
    """How far a deliveries partition was read."""

    offset: int
    done: bool = False


class Replay:
    """What is dispatched of the deliveries, and as which `s`.

    Each partition is read from its safe offset until the own fence comes by.
    """

    def __init__(
        self,
        *,
        fence: str,
        f: Mapping[str, int],
        safe: Mapping[str, int],
        high: Mapping[str, int],
        last_s: int,
        first_s: int,
        scopes: Iterable[str],
    ) -> None:
        """Begin.

        Args:
            fence: names the fence that was put into the next inbox.
            f: its position per source partition.
            safe: the safe offsets, for every partition of the deliveries topics.
            high: highest position seen per source partition.
            last_s: the last `s` sent.
            first_s: the next inbox's first.
            scopes: `g:GUILD` and `u:USER` of what the node holds.

        """
        self._fence = fence
        self._f = dict(f)
        self._parts = {partition: _Partition(offset) for partition, offset in safe.items()}
        self._high: Fence = dict(high)
        self._scopes = set(scopes)
        self._first_s = first_s
        self.s = last_s
        """The last `s` given out."""

    @property
    def cut(self) -> Fence:
        """What is not above this is left out by readers of the next inbox."""
        return dict(self._f)

    @property
    def done(self) -> bool:
        """Whether the fence came by in every partition."""
        return all(part.done for part in self._parts.values())

    @property
    def high(self) -> Fence:
        """Highest position seen per source partition; once `done`, none is below the fence."""
        found = dict(self._high)
        if self.done:
            for partition, offset in self._f.items():
                found[partition] = max(found.get(partition, -1), offset)
        return found

    @property
    def reached(self) -> Offsets:
        """How far each deliveries partition was read: safe offsets once the repair is finished."""
        return {partition: part.offset for partition, part in self._parts.items()}

    def wants(self, partition: str) -> bool:
        """Whether a deliveries partition has to be read on."""
        return not self._parts[partition].done

    def take(self, partition: str, offset: int, record: Record) -> InboxEntry | None:
        """Take the next record of a deliveries partition; answers what to dispatch of it.

        Raises:
            RepairError: there are more records than numbers below the next inbox's first `s`.

        """
        part = self._parts[partition]
        if part.done or offset < part.offset:
            return None
        part.offset = offset + 1
        if record.fence == self._fence:
            part.done = True
            return None
        topic, number, at = record.position
        source = f"{topic}/{number}"
        if at <= self._high.get(source, -1):
            return None
        self._high[source] = at
        if record.fence or not self._scopes.intersection(record.scopes()):
            return None
        if self.s + 1 >= self._first_s:
            raise RepairError(
                "more was missed than there are numbers below the next inbox's first: begin again"
            )
        self.s += 1
        return InboxEntry(self.s, record)
