"""`fanfare demo scale`: the steps, one after the other, on a running system; what is seen goes into a story."""

import asyncio
import os
import platform
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from demo.analytics import GROUP, Analytics
from demo.crowd import Crowd, make_guild
from demo.plan import BUDGET, LOAD, PARTITIONS, Kind, Planned, plan
from demo.stalls import arrivals, longest, stalls
from demo.story import Moment, Reader, Step, Story, Worker
from demo.wording import words
from fanfare.bus.producer import partition_of
from fanfare.bus.topics import CHAT_EVENTS
from fanfare.observe.collect import Collector
from fanfare.observe.figures import GroupFigures, Window
from fanfare.observe.sample import Sample
from fanfare.tasks import end
from torture.check import Verdict, check
from torture.history import History
from torture.settling import gather_facts, settle
from torture.system import Scale, System, eventually
from torture.world import World

__all__ = ["Choice", "Page", "Show", "system_settings"]

FANOUT: Final = "fanout"
# Sessions, each of which sees every message.
_SESSIONS: Final = 8
_SAMPLE_S: Final = 0.5
# Kafka learns of what is done when it is committed, once a second: a rate over less would jump.
_RATE_S: Final = 3.0
_SETTLED_S: Final = 60.0
# How much longer than its share a step goes on where the lag is not yet where it is to be, as on a busy machine.
_LONGER_S: Final = 45.0
_ANSWERS_S: Final = 15.0
_READ_S: Final = 30.0


@dataclass(frozen=True)
class Choice:
    """What was asked for."""

    seconds: float = 90.0
    """How long the load goes on, about."""
    budget: float = BUDGET
    """Events a second that each fan-out may take on; 0: as many as it can."""


class Page(Protocol):
    """Where it is shown."""

    def draw(self, story: Story) -> None:
        """Show how things stand."""

    def say(self, line: str) -> None:
        """Announce something."""


def system_settings(choice: Choice) -> dict[str, str]:
    """Settings of the system that a demonstration brings up: few partitions, and the budget."""
    return {
        "FANFARE_CHAT_PARTITIONS": str(PARTITIONS),
        # A fan-out reads these topics, too. In a demonstration nothing goes through them.
        "FANFARE_GUILD_PARTITIONS": "1",
        "FANFARE_LOCATION_PARTITIONS": "1",
        "FANFARE_FANOUT_BUDGET": str(choice.budget),
    }


SCALE: Final = Scale(brokers=1, gateway=1, fanout=1, notifier=1, archiver=1)


@dataclass
class Show:
    """One run on a system that is up."""

    system: System
    choice: Choice
    page: Page
    story: Story = field(init=False)

    def __post_init__(self) -> None:
        self.story = Story(PARTITIONS, self.choice.budget, LOAD, _SESSIONS, _machine())
        self._history = History()
        self._window = Window(_RATE_S)
        self._sample = Sample(at_s=0.0, time=0.0)
        self._analytics = Analytics(self.system.settings)
        self._names: dict[int, str] = {}
        self._delivered: deque[tuple[float, int]] = deque()
        self._began = 0.0

    async def run(self) -> Story:
        """All of it.

        Raises:
            BadSystemError: the system does not do what a step waits for.

        """
        settings = self.system.settings
        world, self._names = await make_guild(settings, _SESSIONS, PARTITIONS, "Demo scale")
        crowd = Crowd(self.system.run, world, self._history, sessions=_SESSIONS, rate=LOAD)
        own = asyncio.create_task(self._analytics.run(), name=GROUP)
        watching: asyncio.Task[None] | None = None
        since_ms = int(time.time() * 1000)
        try:
            await crowd.connect()
            async with Collector(settings, list, stores=False) as collector:
                self._began = time.monotonic()
                watching = asyncio.create_task(self._watch(collector), name="watch")
                crowd.talk()
                for planned in plan(PARTITIONS):
                    for task in (own, watching):
                        if task.done():
                            task.result()
                    crowd.check()
                    await self._step(planned)
                self.page.say("The load ends. Everybody has to get what they are owed.")
                await crowd.enough(_ANSWERS_S)
                await self._finish(world, crowd, since_ms)
                await self._count_readers()
        finally:
            await crowd.stop()
            await end([task for task in (own, watching) if task is not None])
        return self.story

    # Watching

    async def _watch(self, collector: Collector) -> None:
        while True:
            self._sample = await collector.sample()
            figures = self._window.add(self._sample)
            if group := next((one for one in figures.groups if one.name == FANOUT), None):
                self.story.moments.append(self._moment(group))
            self.story.readers = self._readers()
            self.page.draw(self.story)
            await asyncio.sleep(_SAMPLE_S)

    def _moment(self, group: GroupFigures) -> Moment:
        now = self._now()
        parts = {part.number: part for part in group.partitions if part.topic == CHAT_EVENTS}
        numbers = range(self.story.partitions)
        delivered = max((len(log.ids) for log in self._history.sessions.values()), default=0)
        self._delivered.append((now, delivered))
        while now - self._delivered[0][0] > _RATE_S:
            self._delivered.popleft()
        since, before = self._delivered[0]
        return Moment(
            at_s=now,
            owners=tuple((parts[n].member or "") if n in parts else "" for n in numbers),
            lags=tuple(parts[n].lag if n in parts else 0 for n in numbers),
            workers=tuple(
                Worker(
                    member.name,
                    tuple(n for n in numbers if f"{CHAT_EVENTS}/{n}" in member.partitions),
                    round(sum(p.done_per_s for p in parts.values() if p.member == member.name), 1),
                )
                for member in group.members
            ),
            rate=round((delivered - before) / (now - since), 1) if now > since else 0.0,
            accepted=len(self._history.attempts),
            delivered=delivered,
        )

    def _now(self) -> float:
        return round(time.monotonic() - self._began, 3)

    @property
    def _lag(self) -> int:
        return self.story.moments[-1].lag if self.story.moments else 0

    # Steps

    async def _step(self, planned: Planned) -> None:
        share_s = planned.share * self.choice.seconds
        step = Step(planned.name, *words(planned, self.story), planned.members, self._now())
        self.story.steps.append(step)
        self.page.say(f"{step.name}: {step.why}")
        step.lag_before = self._lag
        await self._change(planned, step)
        await self._settled(planned)
        await self._until(lambda: self._now() - step.began_s >= share_s, share_s + _LONGER_S)
        await self._until(lambda: self._goes_well(planned, step), _LONGER_S)
        step.ended_s, step.lag_after = self._now(), self._lag
        lasted = [one for one in self.story.moments if one.at_s >= step.began_s]
        if len(lasted) > 1:
            took_s = lasted[-1].at_s - lasted[0].at_s
            step.rate = round((lasted[-1].delivered - lasted[0].delivered) / took_s, 1)
        self._measure()
        self.page.say(
            f"  members {step.members}, lag {step.lag_before:,} -> {step.lag_after:,}, "
            f"{step.rate:.0f} messages/s, longest gap {step.gap_s:.2f} s"
        )

    async def _change(self, planned: Planned, step: Step) -> None:
        if planned.kind is Kind.ALONE:
            return
        if planned.kind is Kind.KILL:
            name = planned.name.removeprefix("kill ")
            pid = self.system.signal(name, signal.SIGKILL)
            step.command = f"kill -9 {pid}"
            await self.system.replaced(name, pid)
            await self.system.ready(name)
            step.said = f"{name} was started again by fanfare up"
        else:
            said = await self.system.command(*step.command.split()[1:])
            step.said = said.strip()

    async def _settled(self, planned: Planned) -> None:
        """Wait until Kafka says that the group has its members, and each partition has one of them."""
        asked = time.monotonic()

        async def stable() -> bool:
            group = self._sample.groups.get(FANOUT)
            if group is None or not self.story.moments or self._sample.at_s < asked:
                return False
            return (
                group.state == "Stable"
                and len(group.members) == planned.members
                and all(self.story.moments[-1].owners)
            )

        await eventually(stable, _SETTLED_S, f"the group {FANOUT} does not have {planned.members} members")

    def _goes_well(self, planned: Planned, step: Step) -> bool:
        """Whether the lag is where this step is to bring it."""
        keeps_up = self._lag <= self.story.load
        if planned.kind is Kind.ADD:
            return self._lag < step.lag_before or keeps_up
        return planned.kind is not Kind.KILL or keeps_up

    async def _until(self, condition: Callable[[], bool], within_s: float) -> None:
        until = time.monotonic() + within_s
        while not condition() and time.monotonic() < until:
            await asyncio.sleep(_SAMPLE_S / 5)

    # The end

    def _measure(self) -> None:
        """Fill in how long deliveries stood still, in all steps so far."""
        channels = {attempt.channel for tries in self._history.attempts.values() for attempt in tries}
        partitions = {channel: partition_of(channel, self.story.partitions) for channel in channels}
        found = stalls(arrivals(self._history, partitions))
        for step in self.story.steps:
            until = step.ended_s or self._now()
            step.gap_s = round(longest(found, self._began + step.began_s, self._began + until), 3)

    async def _finish(self, world: World, crowd: Crowd, since_ms: int) -> None:
        log = await settle(
            self.system, world, self._history, since_ms, away=lambda: crowd.away, say=self.page.say
        )
        facts = await gather_facts(self.system, world, log, since_ms)
        self._take(check(self._history, facts))
        self._measure()

    def _take(self, verdict: Verdict) -> None:
        for name in ("accepted", "delivered", "lost", "doubled", "reordered"):
            setattr(self.story, name, getattr(verdict, name))
        self.story.broken += [violation.text for violation in verdict.violations]

    async def _count_readers(self) -> None:
        """Wait until each group has read everything, and say so."""

        def all_read() -> bool:
            self.story.readers = self._readers()
            return len(self.story.readers) == 3 and all(one.read == one.of for one in self.story.readers)

        await self._until(all_read, _READ_S)
        self.story.broken += [
            f"the group {reader.group} has read {reader.read} of {reader.of} records"
            for reader in self.story.readers
            if reader.read != reader.of
        ]

    def _readers(self) -> list[Reader]:
        found: list[Reader] = []
        for name, note in _NOTES.items():
            group = self._sample.groups.get(name)
            parts = [part for part in group.partitions if part.topic == CHAT_EVENTS] if group else []
            of, lag = sum(part.end for part in parts), sum(part.lag for part in parts)
            if name == GROUP:
                of = max((one.of for one in found), default=of)
                # It counts for itself: what it has read, not what it has committed.
                found.append(Reader(name, min(self._analytics.read, of), of, self._busiest() or note))
            else:
                found.append(Reader(name, of - lag, of, note))
        return found

    def _busiest(self) -> str:
        for channel, count in self._analytics.channels.most_common(1):
            return f"your own, counts: #{self._names.get(channel, '?')} has most, {count:,}"
        return ""


_NOTES: Final = {FANOUT: "to everybody who is online", "archiver": "into PostgreSQL", GROUP: "your own"}


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, one broker"
