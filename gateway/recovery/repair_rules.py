"""Repairing a node whose inbox was lost (docs/design.md, section 5, "Losing the inbox"). Pure: it only decides.

The next inbox begins far above everything sent. What lies between the last position seen and the fence that is put
into the next inbox comes from the deliveries topics, read again from offsets that are known to be safe; what is not
above the fence is left out when the next inbox is read (its cut).

Partitions are named `topic/partition`. Offsets, safe ones and ends, are of deliveries topics; positions are of source
topics.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fanfare.bus.topics import DELIVERIES_OF
from fanfare.constants import S_SHIFT
from fanfare.presence.inboxes import InboxEntry
from fanfare.record import Record
from gateway.recovery.path import Fence, Hop, Moved

__all__ = ["LEAP", "Offsets", "RepairError", "Replay", "SafeOffsets", "move_to"]

Offsets = dict[str, int]
"""Per partition of the deliveries topics, the first offset that is not covered."""

LEAP: Final = 60_000 << S_SHIFT
"""The next inbox begins this far above the last `s` sent: what is replayed is numbered in between."""


class RepairError(Exception):
    """The repair cannot be finished as it was begun; the message says why."""


class SafeOffsets:
    """From where the deliveries have to be read again if the inbox is lost.

    Commits follow appends. So what was committed before the inbox's end was looked up stands at or below that end,
    if it was meant for the inbox; and once the node has read that far, with nothing lost meanwhile, it has it.
    """

    def __init__(self, ends: Mapping[str, int]) -> None:
        """Args: ends: the end offsets when the node started, before anybody was registered."""
        self._offsets: Offsets = dict(ends)
        self._probe: tuple[Offsets, int] | None = None
        self._lost = False

    def restart(self, ends: Mapping[str, int]) -> None:
        """Begin anew at the present end offsets: nobody is registered."""
        self._offsets, self._probe = dict(ends), None

    @property
    def offsets(self) -> Offsets:
        """The safe offsets."""
        return dict(self._offsets)

    @property
    def probing(self) -> bool:
        """Whether offsets wait for the node to have read far enough."""
        return self._probe is not None

    def probe(self, committed: Mapping[str, int], end: int) -> None:
        """Note what may become safe; not while the inbox is lost.

        What was committed then may stand in what is lost, and the node's token is soon the one of its next inbox.

        Args:
            committed: the notifier group's committed offsets; partitions without one are left out.
            end: the last `s` of the inbox, looked up *after* the committed offsets were fetched.

        """
        if not self._lost:
            self._probe = (dict(committed), end)

    def covered(self, s: int) -> bool:
        """Whether the node, having taken everything up to `s`, has read what is probed. Then check the token."""
        return self._probe is not None and s >= self._probe[1]

    def settle(self, s: int) -> None:
        """Take over what is covered: nothing was lost after the node had read to `s`."""
        if self._probe is not None and self.covered(s):
            self._raise(self._probe[0])
            self._probe = None

    def lost(self) -> None:
        """The inbox is lost: what is probed says nothing any more."""
        self._probe, self._lost = None, True

    def replayed(self, reached: Mapping[str, int]) -> None:
        """A replay is finished: everything below is dispatched, and the next inbox is whole."""
        self._probe, self._lost = None, False
        self._raise(reached)

    def _raise(self, offsets: Mapping[str, int]) -> None:
        for partition, offset in offsets.items():
            self._offsets[partition] = max(self._offsets.get(partition, 0), offset)


def move_to(inbox: str, hops: Sequence[Hop], version: int) -> Moved:
    """The moves of a live session with the next inbox in the place of its path.

    Args:
        inbox: the next inbox.
        hops: of the session.
        version: of its moves.

    """
    last = hops[-1]
    # Without the hops before, and without its early part: a client below T was not live any more.
    return Moved(version + 1, [Hop(inbox, last.t, last.f)])


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
        for source in self._f:
            topic, _, number = source.rpartition("/")
            if topic in DELIVERIES_OF:
                # The topic grew since the offsets were looked up: all that such a partition has came after that.
                _ = self._parts.setdefault(f"{DELIVERIES_OF[topic]}/{number}", _Partition(0))
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
