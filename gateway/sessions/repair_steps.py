"""The steps of a repair, after the node's inbox was lost (docs/design.md, section 5, "Losing the inbox"). Pure.

`gateway.sessions.repair` does what is wished for here, and so does tests/model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fanfare.presence.inboxes import InboxEntry, InboxGoneError
from fanfare.record import Record
from gateway.delivery.progress import Progress
from gateway.delivery.session import Session
from gateway.recovery.crossing import LastS, SendFence
from gateway.recovery.path import Fence, Moved
from gateway.recovery.repair_rules import LEAP, Offsets, RepairError, Replay, SafeOffsets, move_to
from gateway.recovery.wishes import Now, Steps, Wish
from gateway.sessions.session_wishes import CheckWhole, Close, Forget

__all__ = [
    "Committed",
    "CreateInbox",
    "DeliveryEnds",
    "Dispatch",
    "GiveUp",
    "NextDeliveries",
    "NotKeptError",
    "OpenUp",
    "Pause",
    "ReadSome",
    "RegisterAll",
    "RewriteMoves",
    "Scopes",
    "StoreAwayError",
    "repair",
    "track",
]

_PAGE: Final = 500
"""Sessions whose moves are written at one time."""


class StoreAwayError(Exception):
    """Redis or Kafka is away, and a wish was not fulfilled; the message says what was seen."""


class NotKeptError(Exception):
    """Retention has deleted deliveries that would have to be read again."""


class Node(Protocol):
    """What a repair looks at in the node's memory."""

    progress: Progress

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The node's sessions by key."""


@dataclass(slots=True)
class CreateInbox(Wish[tuple[str, int]]):
    """Make the next inbox, under the present loss token, not open yet; answers its name and its first `s`."""

    floor: int
    """The first `s` is above this."""
    newest: Mapping[str, int]
    """Newest `s` per scope."""


@dataclass(slots=True)
class RegisterAll(Wish[None]):
    """Register all that the node holds for an inbox; answered when Redis has it."""

    inbox: str


@dataclass(slots=True)
class RewriteMoves(Wish[list[bool]]):
    """Write moves over what Redis has; answers for each whether it was written.

    It is not where Redis knows a newer version than the one given: then the session lives elsewhere.
    """

    moves: Sequence[tuple[str, int, Moved]]
    """Key of the session, the version that this node knows, and its new moves."""


@dataclass(slots=True)
class NextDeliveries(Wish[tuple[str, Sequence[tuple[int, Record]]]]):
    """Read the deliveries on: answers a partition, and its next records with their offsets.

    NotKeptError is thrown where retention has deleted what is wanted.
    """

    starts: Offsets
    """Where to read on, in every partition."""


@dataclass(slots=True)
class OpenUp(Wish[None]):
    """Let other nodes adopt sessions of the inbox; InboxGoneError is thrown if there is no such inbox any more."""

    inbox: str
    cut: Fence
    newest: Mapping[str, int]
    """Newest `s` per scope: what is higher here than in the inbox's own is taken over."""


@dataclass(slots=True)
class DeliveryEnds(Wish[Offsets]):
    """The end offsets of the deliveries, however long Kafka is away."""


@dataclass(slots=True)
class Committed(Wish[Offsets]):
    """The offsets of the deliveries that the notifiers have committed; partitions without one are left out."""


@dataclass(slots=True)
class ReadSome(Wish[None]):
    """Let the node read on in its inbox for a moment."""


@dataclass(slots=True)
class Pause(Wish[None]):
    """Wait a little: a store is away."""

    why: Exception


@dataclass(slots=True)
class Scopes(Now[set[str]]):
    """The scopes of all that the node holds: g:GUILD and u:USER."""


@dataclass(slots=True)
class Dispatch(Now[None]):
    """Take entries as if the inbox had brought them."""

    entries: Sequence[InboxEntry]


@dataclass(slots=True)
class GiveUp(Now[None]):
    """What was missed is not to be had: tell every session, and forget them all."""


def track(node: Node, safe: SafeOffsets) -> Steps[None]:
    """Find out once what has become safe; it may go on beside a repair. They raise InboxGoneError if it is lost."""
    committed = yield from Committed()
    # Commits follow appends: so what was committed stands at or below the end that the inbox has only after that.
    safe.probe(committed, (yield from LastS(node.progress.inbox)))
    while safe.probing and not safe.covered(node.progress.s):
        yield from ReadSome()
    read = node.progress.s
    yield from CheckWhole()
    safe.settle(read)


def repair(node: Node, safe: SafeOffsets) -> Steps[None]:
    """Put another inbox in the place of the lost one, and dispatch what was missed.

    Args:
        node: nobody starts or resumes on it meanwhile.
        safe: from where the deliveries are to be read again.

    """
    safe.lost()
    # Connected ones go on, those that still catch up, too: their frames are here, in memory and in the ring.
    for session in [one for one in node.sessions.values() if one.link is None]:
        yield from Forget(session)
    while True:
        try:
            yield from _attempt(node, safe)
        except NotKeptError:
            yield from GiveUp()
            safe.restart((yield from DeliveryEnds()))
        except InboxGoneError:
            continue
        except (StoreAwayError, RepairError) as error:
            yield from Pause(error)
        else:
            return


def _attempt(node: Node, safe: SafeOffsets) -> Steps[None]:
    progress = node.progress
    inbox, first_s = yield from CreateInbox(progress.s + LEAP, dict(progress.newest))
    progress.begin(inbox)
    yield from RegisterAll(inbox)
    yield from _move_sessions(node, inbox)
    # After all is registered and all have moved: what is above the fence is in the next inbox.
    fence, f = yield from SendFence(frozenset({inbox}))
    replay = Replay(
        fence=fence,
        f=f,
        safe=safe.offsets,
        high=progress.high,
        last_s=progress.s,
        first_s=first_s,
        scopes=(yield from Scopes()),
    )
    while not replay.done:
        partition, records = yield from NextDeliveries(replay.reached)
        found = [replay.take(partition, offset, record) for offset, record in records]
        yield from Dispatch([entry for entry in found if entry is not None])
    # Only now: what Redis lost before this shows in the token, and what it loses later is another loss.
    yield from CheckWhole()
    yield from OpenUp(inbox, replay.cut, progress.newest)
    safe.replayed(replay.reached)
    progress.replaced(first_s, cut=replay.cut, high=replay.high)


def _move_sessions(node: Node, inbox: str) -> Steps[None]:
    """Write where the connected sessions are now; close those that live elsewhere."""
    sessions = [one for one in node.sessions.values() if one.link is not None]
    for start in range(0, len(sessions), _PAGE):
        page = [(one, move_to(inbox, one.hops, one.version)) for one in sessions[start : start + _PAGE]]
        written = yield from RewriteMoves([(one.key, one.version, moved) for one, moved in page])
        for (session, moved), ours in zip(page, written, strict=True):
            if ours:
                session.version, session.hops = moved.version, moved.hops
            else:
                yield from Close(session, "resumed on another node")
                yield from Forget(session)
