"""How a pair of topics gets more partitions without losing an order (docs/design.md, section 3). Pure.

What is done stands as records in a topic of its own, `growth`, and the order of that log decides: each process folds
the same records to the same state. From `Prepare` on every process looks so often that what it knows is never older
than `STRICT_S`. `Pause` stops those who write by key. `Cut` names a time, by the clock of the brokers: what stands in
an old partition after that, though its key belongs into another one by now, is void, and nobody takes it. `Grown` lets
those go on who write, with the new number. `Abort` ends it before the cut, and nothing has changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import msgspec

__all__ = [
    "CUT_LEAD_S",
    "LEASE_S",
    "STRICT_S",
    "Abort",
    "Beat",
    "Cut",
    "Grown",
    "Growth",
    "Pair",
    "Pause",
    "Phase",
    "Prepare",
    "State",
    "Step",
]

LEASE_S: Final = 5.0
"""What a process knows of growths is good for this long; then it asks again before it relies on it."""
STRICT_S: Final = 0.5
"""The same while a pair grows."""
CUT_LEAD_S: Final = 1.0
"""The cut takes effect this long after it was written: for `STRICT_S`, and for clocks of brokers that differ."""
_EPOCH_BITS: Final = 44


class _Named(msgspec.Struct, frozen=True, tag_field="step", omit_defaults=True):
    token: str


class Prepare(_Named, frozen=True, tag="prepare"):
    """A pair is to grow: look often."""

    topic: str
    old: int
    new: int


class Pause(_Named, frozen=True, tag="pause"):
    """Those who write by key stop."""


class Cut(_Named, frozen=True, tag="cut"):
    """What is written with the old number from the cut on is void. It counts `CUT_LEAD_S` after it was appended."""


class Grown(_Named, frozen=True, tag="grown"):
    """The pair has its partitions: those who write go on."""


class Abort(_Named, frozen=True, tag="abort"):
    """Nothing has changed."""

    why: str = ""


class Beat(_Named, frozen=True, tag="beat"):
    """Somebody is at it."""

    by: str = ""


Step = Prepare | Pause | Cut | Grown | Abort | Beat


class Phase(IntEnum):
    """How far a growth is."""

    PREPARED = 1
    PAUSED = 2
    CUT = 3


@dataclass(slots=True)
class Growth:
    """One that is under way."""

    token: str
    topic: str
    old: int
    new: int
    phase: Phase = Phase.PREPARED
    paused_ms: int = 0
    cut_ms: int = 0
    by: str = ""
    """Who was seen at it last."""


@dataclass(slots=True)
class Pair:
    """What is known of one pair."""

    cuts: list[tuple[int, int]] = field(default_factory=list)
    """(when, to how many partitions) of each cut, oldest first; also of a growth that is not finished."""
    count: int = 0
    """The partitions after the last growth that was finished; 0: it never grew."""


class State:
    """What the log says so far."""

    def __init__(self) -> None:
        self.under_way: Growth | None = None
        self.pairs: dict[str, Pair] = {}
        self.waited_s: dict[str, float] = {}
        """Per token of a finished growth, how long writers were stopped."""
        self.aborted: dict[str, str] = {}
        """Per token, why."""
        self.records = 0

    def take(self, step: Step, appended_ms: int) -> None:
        """Take the next record. One that does not fit is passed by: somebody else was faster."""
        self.records += 1
        going = self.under_way
        if isinstance(step, Prepare):
            if going is None and step.new > max(step.old, self.count(step.topic)):
                self.under_way = Growth(step.token, step.topic, step.old, step.new)
            return
        if going is None or going.token != step.token:
            return
        match step:
            case Pause() if going.phase is Phase.PREPARED:
                going.phase, going.paused_ms = Phase.PAUSED, appended_ms
            case Cut() if going.phase is Phase.PAUSED:
                going.phase, going.cut_ms = Phase.CUT, appended_ms + int(CUT_LEAD_S * 1000)
                self._pair(going.topic).cuts.append((going.cut_ms, going.new))
            case Grown() if going.phase is Phase.CUT:
                self._pair(going.topic).count = going.new
                self.waited_s[step.token] = (appended_ms - going.paused_ms) / 1000
                self.under_way = None
            case Abort(why=why) if going.phase is not Phase.CUT:
                self.aborted[step.token] = why
                self.under_way = None
            case Beat(by=by):
                going.by = by
            case _:
                pass

    def _pair(self, topic: str) -> Pair:
        return self.pairs.setdefault(topic, Pair())

    def count(self, topic: str) -> int:
        """The least number of partitions by which its writers may write; 0: nothing is known."""
        pair = self.pairs.get(topic)
        return pair.count if pair is not None else 0

    def closed(self, topic: str) -> bool:
        """Whether nobody may write to it by key."""
        going = self.under_way
        return going is not None and going.topic == topic and going.phase is not Phase.PREPARED

    @property
    def lease_s(self) -> float:
        """How long what is known now is good for."""
        return LEASE_S if self.under_way is None else STRICT_S

    def cuts(self, topic: str) -> list[tuple[int, int]]:
        """(when, to how many) of each cut of it."""
        pair = self.pairs.get(topic)
        return pair.cuts if pair is not None else []

    def base(self, topic: str, appended_ms: int) -> int:
        """What to add to the offset of a record, so that of two of one key the later one has the higher number.

        Args:
            topic: where it stands.
            appended_ms: when it was appended.

        """
        return sum(when < appended_ms for when, _ in self.cuts(topic)) << _EPOCH_BITS

    def base_now(self, topic: str) -> int:
        """The same for what may be written to it now."""
        going = self.under_way
        unfinished = going is not None and going.topic == topic and going.phase is Phase.CUT
        return (len(self.cuts(topic)) - unfinished) << _EPOCH_BITS

    def news(self, topics: Iterable[str]) -> bool:
        """Whether one of the topics grows now."""
        return self.under_way is not None and self.under_way.topic in set(topics)
