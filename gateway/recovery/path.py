"""Resuming a session whose history runs through several inboxes (docs/design.md, section 5). Pure.

A hop `(inbox, T, f, since)` says: above `s` = T the session's history is in this inbox, but for what is not above `f`,
which stands in the inbox of the hop before. So `s` alone says where on its path a client is.

The inbox is raised to T only when the one before has shown all up to `f`, so it already has something above that by
then. This *early* part stands between `since` and T, and clients see it under numbers of its own, just below T.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from fanfare.constants import EARLY_NUMBERS
from fanfare.presence.inboxes import InboxEntry

__all__ = ["Fence", "Hop", "Moved", "above", "path", "reaches", "segment", "split_at", "unregistered"]

Fence = dict[str, int]
"""Offset per source partition, named `topic/partition`."""


class Hop(msgspec.Struct, frozen=True, array_like=True):
    """A session's move to an inbox."""

    inbox: str
    t: int = 0
    f: Fence = {}
    since: int = -1
    """The inbox's last `s` before the fence was sent; -1: there is no early part."""

    @property
    def base(self) -> int:
        """A client at or above this `s` has all of the hops before."""
        return self.t if self.since < 0 else self.t - EARLY_NUMBERS

    def after(self, s: int) -> int:
        """Where in the inbox a client at `s` is, as the inbox counts: what it wants stands above that."""
        return max(s, self.t) if s >= self.t or self.since < 0 else self.since


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """A session's moves; `version` grows with each."""

    version: int
    hops: list[Hop]


def path(hops: Sequence[Hop], s: int) -> list[Hop] | None:
    """The hops that a client at `s` has still to walk, the first being where it is; None if it is before them all."""
    for at in range(len(hops) - 1, -1, -1):
        if hops[at].base <= s:
            return list(hops[at:])
    return None


def reaches(
    oldest_kept: Iterable[InboxEntry], newest: Mapping[str, int], scopes: Iterable[str], s: int
) -> bool:
    """Whether an inbox still holds everything after `s` that is for the scopes.

    `s` may be the number just below an entry, which the first of several frames of the entry carry.

    Args:
        oldest_kept: its entries from `s` on.
        newest: its newest `s` per scope.
        scopes: `g:GUILD` of the session's guilds and `u:USER`.
        s: where the client is.

    """
    first = next(iter(oldest_kept), None)
    if first is not None and first.s <= s + 1:
        return True
    return all(newest.get(scope, 0) <= s for scope in scopes)


def above(position: tuple[str, int, int], f: Mapping[str, int]) -> bool:
    """Whether a source position lies above a fence."""
    topic, partition, offset = position
    return offset > f.get(f"{topic}/{partition}", -1)


def split_at(
    f: Mapping[str, int], entries: Iterable[InboxEntry], scopes: Iterable[str], marker: int
) -> Fence:
    """Where a session's history leaves an inbox: the fence, and what the inbox had for the session after it.

    Args:
        f: the fence; the inbox has shown it.
        entries: of the inbox, from before the fence on.
        scopes: the session's.
        marker: `s` of the marker that says to the inbox's node that the session moves.

    """
    found, wanted = dict(f), set(scopes)
    for entry in entries:
        # Nearly all stands below the fence, and costs no more than this.
        if entry.offset <= found.get(entry.partition, -1) or entry.record is None or entry.s > marker:
            continue
        if wanted.intersection(entry.record.scopes()):
            found[entry.partition] = entry.offset
    return found


def unregistered(entries: Iterable[InboxEntry], scopes: Iterable[str], after: int) -> bool:
    """Whether the inbox stopped receiving one of the scopes after `s`."""
    wanted = set(scopes)
    return any(
        entry.s > after and not wanted.isdisjoint(entry.marker.split()[1:])
        for entry in entries
        if entry.record is None and entry.marker.startswith("UNREG ")
    )


def segment(
    entries: Iterable[InboxEntry],
    hop: Hop,
    *,
    after: int,
    upto: int,
    next_f: Mapping[str, int] | None,
    cut: Mapping[str, int],
) -> Iterator[InboxEntry]:
    """The records of one hop that a session at `after` is owed, under the numbers that its client sees.

    Args:
        entries: of the hop's inbox, rising in `s`; all of them above `hop.after(after)`.
        hop: which one.
        after: where the client is.
        upto: the next hop's base.
        next_f: the next hop's `f`: what is above it is in the next hop.
        cut: of the inbox: what is not above it stood in an inbox that was lost.

    """
    f, t, since, early = hop.f, hop.t, hop.since, hop.base
    for entry in entries:
        record, s, offset, partition = entry.record, entry.s, entry.offset, entry.partition
        if record is None or record.fence:
            continue
        if offset <= f.get(partition, -1) or offset <= cut.get(partition, -1):
            continue
        if s < t:
            if s <= since or since < 0:
                continue
            s = early = early + 1
        if after < s <= upto and (next_f is None or offset <= next_f.get(partition, -1)):
            yield entry if s == entry.s else InboxEntry(s, record)
