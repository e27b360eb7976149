"""The promises, checked against a history. Pure: no I/O, no clock.

Kafka's log is the truth: a message stands in it once, at the first position of its (author, nonce). What a session is
owed is decided from outside, without believing any service:

- a message of a channel that its user may see, whose first try began after the session was ready;
- and, by order, whatever stands in the same partition after something that the session has got;
- for a session that was told that it is not whole, or has left: up to the last thing that it got, per partition.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from torture.history import Attempt, FaultTimes, History, Link, Outcome, SessionLog

__all__ = ["Entry", "Facts", "Verdict", "Violation", "check", "missing"]

_SNOWFLAKE_EPOCH_MS: Final = 1_420_070_400_000
# What Kafka appended more than this after its id was made is dropped for everybody.
_LATE_MS: Final = 300_000
# A delay above this counts as a disturbance when the time to recover is measured.
_DISTURBED_S: Final = 0.5
# How exactly it is told which delay belongs to which fault.
_MOMENT_S: Final = 0.1
# A kind of violation is told with so many examples.
_EXAMPLES: Final = 5


class Entry(NamedTuple):
    """A new message in chat.events."""

    id: int
    nonce: str
    author: int
    channel: int
    partition: int
    offset: int
    appended_ms: int


@dataclass(frozen=True)
class Facts:
    """What is known besides the history."""

    log: Sequence[Entry]
    audience: Mapping[int, frozenset[int]]
    """Users who may see a channel."""
    direct: frozenset[int] = frozenset()
    """Channels that are direct conversations."""
    rest: Mapping[int, Collection[int]] | None = None
    """Message ids per channel as REST tells them; None where that was not asked."""
    database: Mapping[int, Collection[int]] | None = None
    after: int = 0
    """What is stored was asked for above this id only."""


class Violation(NamedTuple):
    """A broken promise."""

    kind: str
    text: str
    message: int = 0
    session: str = ""


@dataclass
class Verdict:
    """What came out."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    sessions: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    told: int = 0
    gap_s: float = 0.0
    recovery_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)
    """The longest gap while each fault was there, in the order of the history."""
    violations: list[Violation] = field(default_factory=list)
    more: int = 0
    """Violations that are not listed."""

    def add(self, kind: str, text: str, message: int = 0, session: str = "") -> None:
        """A broken promise; of each kind a few are listed."""
        if sum(one.kind == kind for one in self.violations) >= _EXAMPLES:
            self.more += 1
        else:
            self.violations.append(Violation(kind, text, message, session))

    @property
    def clean(self) -> bool:
        """No promise was broken."""
        return not self.violations


class _Log:
    """The log, as everybody must have seen it."""

    def __init__(self, facts: Facts, history: History) -> None:
        self.standing: dict[tuple[int, str], Entry] = {}
        self.by_id: dict[int, Entry] = {}
        self.repeats: dict[int, Entry] = {}
        """Later entries of a send under another id."""
        self.channels: dict[int, list[Entry]] = defaultdict(list)
        claimed: set[tuple[int, str]] = set()
        for entry in sorted(facts.log, key=lambda e: (e.partition, e.offset)):
            key = entry.author, entry.nonce
            if entry.nonce and key in claimed:
                if self.standing.get(key, entry).id != entry.id:
                    self.repeats[entry.id] = entry
                continue
            claimed.add(key)
            if entry.appended_ms - _made_ms(entry.id) > _LATE_MS:
                continue
            self.standing[key if entry.nonce else (entry.author, f"#{entry.id}")] = entry
            self.by_id[entry.id] = entry
            self.channels[entry.channel].append(entry)
        self.began = {
            entry.id: min(attempt.began for attempt in attempts)
            for (_, nonce), entry in self.standing.items()
            if (attempts := history.attempts.get(nonce))
        }
        self.accepted_at = {
            entry.id: min(answered)
            for (_, nonce), entry in self.standing.items()
            if (
                answered := [
                    a.ended for a in history.attempts.get(nonce, ()) if a.outcome is Outcome.ACCEPTED
                ]
            )
        }


def check(history: History, facts: Facts) -> Verdict:
    """Every promise."""
    verdict = Verdict()
    log = _Log(facts, history)
    _check_sends(verdict, history, log)
    for session in history.sessions.values():
        _check_session(verdict, session, facts, log, history.faults)
    _check_stored(verdict, "REST", facts.rest, facts.after, log)
    _check_stored(verdict, "PostgreSQL", facts.database, facts.after, log)
    _measure(verdict, history, log)
    _check_run(verdict, history)
    return verdict


def missing(history: History, facts: Facts) -> int:
    """How many (session, message) pairs are still owed."""
    log = _Log(facts, history)
    return sum(len(_owed(session, facts, log) - set(session.ids)) for session in history.sessions.values())


def _made_ms(ident: int) -> int:
    return (ident >> 22) + _SNOWFLAKE_EPOCH_MS


def _check_sends(verdict: Verdict, history: History, log: _Log) -> None:
    for nonce, attempts in history.attempts.items():
        verdict.sent += 1
        user = attempts[0].user
        entry = log.standing.get((user, nonce))
        ids = {attempt.id for attempt in attempts if attempt.outcome is Outcome.ACCEPTED}
        outcomes = {attempt.outcome for attempt in attempts}
        if Outcome.REJECTED in outcomes:
            verdict.add("rejected", f"{nonce} was rejected: {attempts[-1].said}")
        if ids:
            verdict.accepted += 1
            if len(ids) > 1:
                verdict.doubled += 1
                verdict.add(
                    "doubled", f"{nonce} was accepted under several ids: {_tries(attempts)}", min(ids)
                )
            if entry is None:
                verdict.lost += 1
                verdict.add(
                    "lost", f"{nonce} was accepted and does not stand in Kafka: {_tries(attempts)}", min(ids)
                )
            elif entry.id not in ids:
                verdict.add(
                    "id",
                    f"{nonce} stands as {entry.id} and was answered otherwise: {_tries(attempts)}",
                    entry.id,
                )
        elif Outcome.UNKNOWN in outcomes:
            verdict.unknown += 1
        elif outcomes == {Outcome.REFUSED}:
            verdict.refused += 1
            if entry is not None:
                verdict.add(
                    "refused", f"{nonce} was refused and stands in Kafka: {_tries(attempts)}", entry.id
                )


def _tries(attempts: Iterable[Attempt]) -> str:
    return "; ".join(
        f"{one.outcome} {one.id or ''} by {one.via} at {one.began:.3f}-{one.ended:.3f}" for one in attempts
    )


def _precedes(one: Entry, other: Entry) -> bool:
    """Whether an entry of a channel stands before another one. A topic may have got more partitions in between."""
    if one.partition == other.partition:
        return one.offset < other.offset
    return one.appended_ms < other.appended_ms


def _sees(session: SessionLog, channel: int, facts: Facts) -> bool:
    if session.user not in facts.audience.get(channel, ()):
        return False
    return session.direct or channel not in facts.direct


def _owed(session: SessionLog, facts: Facts, log: _Log) -> set[int]:
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for message in session.ids:
        entry = log.by_id.get(message)
        if entry is not None:
            first.setdefault(entry.partition, entry.offset)
            last[entry.partition] = max(last.get(entry.partition, -1), entry.offset)
    if session.ready is None:
        return set()
    owed = set()
    for channel, entries in log.channels.items():
        if not _sees(session, channel, facts):
            continue
        for entry in entries:
            if session.end and entry.offset >= last.get(entry.partition, -1):
                continue
            after_first = entry.offset > first.get(entry.partition, 1 << 62)
            if after_first or log.began.get(entry.id, 0.0) > session.ready:
                owed.add(entry.id)
    return owed


def _check_session(
    verdict: Verdict, session: SessionLog, facts: Facts, log: _Log, faults: Sequence[FaultTimes]
) -> None:
    name = session.name
    if session.ready is not None:
        verdict.sessions += 1
    if session.broken:
        verdict.add("protocol", f"{name}: {session.broken}", session=name)
    _check_order(verdict, session, facts, log)
    for message in sorted(_owed(session, facts, log) - set(session.ids)):
        verdict.lost += 1
        verdict.add(
            "lost", f"{name} (user {session.user}) never got {_place(log.by_id[message])}", message, name
        )
    if session.end == "told":
        verdict.told += 1
        if not _may_be_told(session, faults):
            verdict.add("told", f"{name} was told that it is not whole: {session.said}", session=name)


def _check_order(verdict: Verdict, session: SessionLog, facts: Facts, log: _Log) -> None:
    """What a session got: only what it may see, once, in the order of the log, with `s` that never falls."""
    name = session.name
    highest: dict[int, Entry] = {}
    seen: set[int] = set()
    last_s = 0
    for message, s, at in zip(session.ids, session.s, session.at, strict=True):
        if s < last_s:
            verdict.add("s", f"{name}: s fell from {last_s} to {s} at message {message}", message, name)
        last_s = s
        if message in seen:
            verdict.doubled += 1
            verdict.add("doubled", f"{name} got {message} again at {at:.3f}, s {s}", message, name)
            continue
        seen.add(message)
        entry = log.by_id.get(message)
        if entry is None:
            why = "a repetition of another one" if message in log.repeats else "not in Kafka"
            verdict.doubled += message in log.repeats
            verdict.add("phantom", f"{name} got {message}, which is {why}", message, name)
            continue
        verdict.delivered += 1
        if not _sees(session, entry.channel, facts):
            verdict.add(
                "stranger", f"{name} (user {session.user}) must not see {_place(entry)}", message, name
            )
        before = highest.get(entry.channel)
        if before is not None and _precedes(entry, before):
            verdict.reordered += 1
            verdict.add("reordered", f"{name} got {_place(entry)} after {_place(before)}", message, name)
        else:
            highest[entry.channel] = entry


def _place(entry: Entry) -> str:
    return (
        f"{entry.id} ({entry.nonce}, channel {entry.channel}, chat.events/{entry.partition}/{entry.offset})"
    )


def _may_be_told(session: SessionLog, faults: Sequence[FaultTimes]) -> bool:
    """Whether the session was away during a fault that may cost away sessions their inbox.

    It is away until it is whole again, also on a connection on which it waits for RESUMED.
    """
    for fault in faults:
        if not fault.tells_away:
            continue
        until = fault.settled or fault.healed or session.ended
        if any(left < until and back > fault.applied for left, back in _away(session)):
            return True
    return False


def _away(session: SessionLog) -> Iterable[tuple[float, float]]:
    """From when until when a session that had begun was away."""
    lived = session.lived
    backs = [*(live for _, live in lived[1:]), math.inf]
    for (link, _), back in zip(lived, backs, strict=True):
        if link.closed is not None:
            yield link.closed, back


def _check_stored(
    verdict: Verdict, where: str, stored: Mapping[int, Collection[int]] | None, after: int, log: _Log
) -> None:
    if stored is None:
        return
    for channel in set(log.channels) | set(stored):
        there = set(stored.get(channel, ()))
        expected = {entry.id for entry in log.channels.get(channel, ()) if entry.id > after}
        for message in sorted(expected - there):
            verdict.lost += 1
            verdict.add("history", f"{where} does not have {_place(log.by_id[message])}", message)
        for message in sorted(there - expected):
            verdict.add(
                "history",
                f"{where} has {message} in channel {channel}, which does not stand in Kafka",
                message,
            )


def _measure(verdict: Verdict, history: History, log: _Log) -> None:
    """Longest delay that nothing excuses, and how long after a fault there were delays."""
    last_disturbed = 0.0
    longest: dict[int, float] = defaultdict(float)
    for session in history.sessions.values():
        if session.slow or session.ready is None:
            continue
        opened = [link.opened for link in session.links]
        for message, at in zip(session.ids, session.at, strict=True):
            accepted = log.accepted_at.get(message)
            if accepted is None:
                continue
            link = session.links[max(bisect_right(opened, at) - 1, 0)]
            due = max(accepted, link.opened)
            if at - due > _DISTURBED_S:
                last_disturbed = max(last_disturbed, at)
            due = _excused(due, at, link, history.faults)
            verdict.gap_s = max(verdict.gap_s, at - due)
            for moment in (int(due / _MOMENT_S), int(at / _MOMENT_S)):
                longest[moment] = max(longest[moment], at - due)
    if history.faults:
        first = history.faults[0]
        since = first.healed if first.outage and first.healed is not None else first.applied
        verdict.recovery_s = max(0.0, last_disturbed - since)
    for fault in history.faults:
        ended = fault.applied if fault.healed is None else fault.healed
        moments = range(int(fault.applied / _MOMENT_S), int(ended / _MOMENT_S) + 1)
        verdict.gaps_s.append(round(max(longest.get(moment, 0.0) for moment in moments), 3))
    verdict.gap_s, verdict.recovery_s = round(verdict.gap_s, 3), round(verdict.recovery_s, 3)


def _excused(due: float, at: float, link: Link, faults: Sequence[FaultTimes]) -> float:
    for fault in faults:
        if fault.healed is None or due > fault.healed or at < fault.applied:
            continue
        if fault.outage or (fault.nodes and (not link.node or link.node in fault.nodes)):
            due = max(due, min(fault.healed, at))
    return due


def _check_run(verdict: Verdict, history: History) -> None:
    """A run that shows nothing must not pass."""
    if not verdict.accepted:
        verdict.add("empty", "no message was accepted")
    if not verdict.sessions:
        verdict.add("empty", "no session was ready")
    if not verdict.delivered:
        verdict.add("empty", "no message was delivered")
    for fault in history.faults:
        if fault.observed is None:
            verdict.add("unobserved", f"{fault.name} was applied and not seen to do anything: {fault.detail}")
