"""Resuming a session whose history runs through several inboxes (docs/design.md, section 5). Pure.

A hop `(inbox, T, f)` says: above `s` = T the session's history is in this inbox, but for what is not above the fence
`f`, which stands in the inbox of the hop before. So `s` alone says where on its path a client is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from fanfare.presence.inboxes import InboxEntry

__all__ = ["Fence", "Hop", "Moved", "above", "path", "reaches", "segment", "unregistered"]

Fence = dict[str, int]
"""Offset per source partition, named `topic/partition`."""


class Hop(msgspec.Struct, frozen=True, array_like=True):
    """A session's move to an inbox."""

    inbox: str
    t: int = 0
    f: Fence = {}


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """A session's moves; `version` grows with each."""

    version: int
    hops: list[Hop]


def path(hops: Sequence[Hop], s: int) -> list[Hop] | None:
    """The hops that a client at `s` has still to walk, the first being where it is; None if it is before them all."""
    for at in range(len(hops) - 1, -1, -1):
        if hops[at].t <= s:
            return list(hops[at:])
    return None


def reaches(
    oldest_kept: Iterable[InboxEntry], newest: Mapping[str, int], scopes: Iterable[str], s: int
) -> bool:
    """Whether an inbox still holds everything after `s` that is for the scopes.

    Args:
        oldest_kept: its entries from `s` on.
        newest: its newest `s` per scope.
        scopes: `g:GUILD` of the session's guilds and `u:USER`.
        s: where the client is.

    """
    first = next(iter(oldest_kept), None)
    if first is not None and first.s == s:
        return True
    return all(newest.get(scope, 0) <= s for scope in scopes)


def above(position: tuple[str, int, int], f: Mapping[str, int]) -> bool:
    """Whether a source position lies above a fence."""
    topic, partition, offset = position
    return offset > f.get(f"{topic}/{partition}", -1)


def unregistered(entries: Iterable[InboxEntry], scopes: Iterable[str], after: int) -> bool:
    """Whether the inbox stopped receiving one of the scopes after `s`."""
    wanted = set(scopes)
    return any(
        entry.marker.startswith("UNREG ") and entry.s > after and wanted & set(entry.marker.split()[1:])
        for entry in entries
    )


def segment(
    entries: Iterable[InboxEntry],
    *,
    after: int,
    upto: int,
    f: Mapping[str, int],
    next_f: Mapping[str, int] | None,
    cut: Mapping[str, int],
) -> Iterator[InboxEntry]:
    """The records of one hop that a session at `after` is owed.

    Args:
        entries: of the hop's inbox, rising in `s`.
        after: where the client is.
        upto: the next hop's T.
        f: the hop's fence: what is not above it was in the hop before.
        next_f: the next hop's fence: what is above it is in the next hop.
        cut: of the inbox: what is not above it stood in an inbox that was lost.

    """
    for entry in entries:
        record = entry.record
        if record is None or not after < entry.s <= upto or record.fence:
            continue
        position = record.position
        if (
            not above(position, f)
            or not above(position, cut)
            or (next_f is not None and above(position, next_f))
        ):
            continue
        yield entry
