"""Gives a pair of topics more partitions while the system runs: the steps of `growth_rules`, one after the other.

Each step can be repeated, and be done by another process that finds it undone: by the command when it is run again, or
by a gateway when nothing has happened for a while.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiokafka.admin import NewPartitions
from aiokafka.errors import KafkaError

from fanfare.bus.client import KafkaAwayError, admin
from fanfare.bus.groups import committed_offsets, describe_groups, end_offsets
from fanfare.bus.growth import GrowthLog
from fanfare.bus.growth_rules import (
    CUT_LEAD_S,
    LEASE_S,
    STRICT_S,
    Abort,
    Beat,
    Cut,
    Grown,
    Growth,
    Pause,
    Phase,
    Prepare,
    Step,
)
from fanfare.bus.names import Names
from fanfare.bus.topics import DELIVERIES_OF, GROWTH, TopicsError, describe, list_topics
from fanfare.settings import Settings
from fanfare.tasks import end
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Grew", "attend", "grow", "refusal"]

_READERS: Final = ("fanout", "archiver", "geofences")
_NOTIFIER: Final = "notifier"
_BEAT_S: Final = 2.0
_POLL_S: Final = 0.05
# Over the times that the rules name, for timers that come early.
_MARGIN_S: Final = 0.25
# The new partitions are shared out within this, or it goes on without: who reads them will be told later.
_OWNERS_S: Final = 5.0
# A growth at which nothing happens for so long has been left by who began it.
_LEFT_S: Final = 12.0
_ANSWER_S: Final = 30.0
_ABORT_S: Final = 5.0

Tell = Callable[[str], None]


class Grew(NamedTuple):
    """What was done."""

    topic: str
    before: int
    after: int
    waited_s: float
    """How long senders were refused."""
    seconds: float


def refusal(topic: str, new: int, counts: dict[str, int]) -> str:
    """Why a pair cannot grow to that many partitions, or ''.

    Args:
        topic: of events.
        new: wanted.
        counts: the partitions of the topics that there are.

    """
    events = {deliveries: source for source, deliveries in DELIVERIES_OF.items()}
    if topic in events:
        return f"{topic} grows together with {events[topic]}: say `fanfare topics grow {events[topic]} {new}`"
    if topic not in DELIVERIES_OF:
        return f"{topic} cannot grow: {', '.join(DELIVERIES_OF)} can, each together with its deliveries"
    if missing := [name for name in (topic, DELIVERIES_OF[topic], GROWTH) if name not in counts]:
        return f"there is no topic {', '.join(missing)}: `fanfare topics create` makes it"
    if counts[topic] != counts[DELIVERIES_OF[topic]]:
        return (
            f"{topic} has {counts[topic]} partitions and {DELIVERIES_OF[topic]} {counts[DELIVERIES_OF[topic]]}: "
            "somebody has changed one of them by other means"
        )
    if new <= counts[topic]:
        return (
            f"{topic} has {counts[topic]} partitions already: say more than that, for none can be taken away"
        )
    return ""


async def grow(settings: Settings, topic: str, new: int, *, limit_s: float, tell: Tell) -> Grew:
    """Give a pair more partitions, or go on where an earlier try was left.

    Args:
        settings: where Kafka is.
        topic: of events.
        new: how many partitions.
        limit_s: for so long senders may wait for workers to be done; then nothing is changed.
        tell: told what is being done.

    Raises:
        TopicsError: it cannot be done, or was given up; the message says why, and what is so now.
        KafkaAwayError: Kafka is away.

    """
    began_s = time.monotonic()
    log = GrowthLog(settings)
    try:
        there = await list_topics(settings)
        wanted = [name for name in (*DELIVERIES_OF, *DELIVERIES_OF.values(), GROWTH) if name in there]
        counts = {info.name: len(info.partitions) for info in await describe(settings, wanted)}
        if GROWTH in there:
            async with _answered():
                await log.confirm()
        going = log.state.under_way
        if going is not None:
            await _taken_over(log, going, topic, new, tell)
            if log.state.count(topic) >= new:
                raise TopicsError(f"{topic} has {new} partitions already: somebody else has just finished it")
        else:
            if why := refusal(topic, new, counts):
                raise TopicsError(why)
            await _look_at_groups(settings)
            token = secrets.token_hex(8)
            async with _answered():
                await log.append(Prepare(token, topic, counts[topic], new))
            going = log.state.under_way
            if going is None or going.token != token:
                raise TopicsError("somebody else began to let a pair grow at the same time: that goes on")
        await _drive(settings, log, going, limit_s, tell)
        return Grew(
            topic, going.old, new, log.state.waited_s.get(going.token, 0.0), time.monotonic() - began_s
        )
    finally:
        await log.close()


async def attend(settings: Settings, log: GrowthLog) -> None:
    """End what was left in the middle: a supervised task of each gateway. Before the cut nothing is changed by it."""
    logger = logs.get("growth")
    while True:
        seen, since_s = log.state.records, time.monotonic()
        patience_s = _LEFT_S + random.uniform(0, _BEAT_S * 2)  # noqa: S311 - so that gateways take turns
        while (going := log.state.under_way) is not None and log.state.records == seen:
            await log.news(_BEAT_S)
            if time.monotonic() - since_s < patience_s:
                continue
            logger.warning(
                "a growth of a topic was left in the middle", action=Action.RETRY, topic=going.topic
            )
            try:
                if going.phase is Phase.CUT:
                    await _finish(settings, log, going, logger.info)
                else:
                    await log.append(Abort(going.token, "nobody went on with it"))
            except (KafkaError, KafkaAwayError, TopicsError, OSError, TimeoutError) as error:
                logger.error(  # noqa: TRY400
                    "it cannot be finished here: run `fanfare topics grow` again",
                    action=Action.RETRY,
                    error=repr(error),
                )
            break
        await log.news(_BEAT_S)


async def _taken_over(log: GrowthLog, going: Growth, topic: str, new: int, tell: Tell) -> None:
    """Make sure that nobody else is at a growth that was begun earlier. Raises TopicsError."""
    said = f"{going.topic} is growing to {going.new} partitions"
    if (going.topic, going.new) != (topic, new):
        raise TopicsError(
            f"{said} at this time; if that was left, `fanfare topics grow {going.topic} {going.new}` goes on with it"
        )
    tell(f"{said} already: looking whether somebody is at it")
    seen, until_s = log.state.records, time.monotonic() + 2 * _BEAT_S + 1
    while time.monotonic() < until_s:
        async with _answered():
            await log.confirm()
        if log.state.records != seen:
            raise TopicsError(f"{said} already, and somebody is at it")
        await asyncio.sleep(0.2)
    tell("nobody is: going on with it")


async def _look_at_groups(settings: Settings) -> None:
    """Raises TopicsError: nobody would be done with what is there."""
    groups = await describe_groups(settings)
    for group in (*_READERS, _NOTIFIER):
        known = groups.get(group)
        if known is not None and known["partitions"] and not known["members"]:
            raise TopicsError(
                f"the group {group} has no member: start one, so that senders need not wait for it"
            )


async def _drive(settings: Settings, log: GrowthLog, going: Growth, limit_s: float, tell: Tell) -> None:
    done = asyncio.Event()
    beats = asyncio.get_running_loop().create_task(_beat(log, going, done), name="growth beats")
    try:
        if going.phase is Phase.PREPARED:
            tell("every process is told")
            await asyncio.sleep(LEASE_S + _MARGIN_S)
            await _step(log, going, Pause(going.token), Phase.PAUSED)
        if going.phase is Phase.PAUSED:
            tell("senders are asked to try again, until workers are done with what is there")
            await asyncio.sleep(STRICT_S + _MARGIN_S)
            async with asyncio.timeout(limit_s):
                await _drain(settings, going)
            await _step(log, going, Cut(going.token), Phase.CUT)
        await _finish(settings, log, going, tell)
    except BaseException as error:
        if log.state.under_way is going and going.phase is not Phase.CUT:
            with suppress(KafkaError, KafkaAwayError, OSError, TimeoutError):
                # Where this cannot be said, a gateway ends it after a while.
                why = "workers were not done in time" if isinstance(error, TimeoutError) else "interrupted"
                await asyncio.wait_for(log.append(Abort(going.token, why)), _ABORT_S)
        if isinstance(error, TimeoutError):
            raise TopicsError(
                f"workers were not done with {going.topic} within {limit_s:.0f} s: nothing has changed, and senders "
                "go on; `fanfare groups` says who is behind"
            ) from None
        raise
    finally:
        # Not in the middle of a beat: aiokafka would leave a connection open.
        done.set()
        await asyncio.wait((beats,), timeout=_BEAT_S)
        await end((beats,))


async def _finish(settings: Settings, log: GrowthLog, going: Growth, tell: Tell) -> None:
    """The steps after the cut, from which there is no way back."""
    await asyncio.sleep(CUT_LEAD_S + _MARGIN_S)
    await _drain(settings, going)
    tell(f"{going.topic} and {DELIVERIES_OF[going.topic]} get {going.new} partitions")
    # The deliveries first: what is read of a new partition goes into the one of the same number.
    for name in (DELIVERIES_OF[going.topic], going.topic):
        await _widen(settings, name, going.new)
    with suppress(TimeoutError):
        async with asyncio.timeout(_OWNERS_S):
            while not _have_owners(await describe_groups(settings), going):
                await asyncio.sleep(_POLL_S)
    async with _answered():
        await log.append(Grown(going.token))


async def _step(log: GrowthLog, going: Growth, step: Step, wanted: Phase) -> None:
    async with _answered():
        await log.append(step)
    if log.state.under_way is not going or going.phase < wanted:
        why = log.state.aborted.get(going.token, "")
        raise TopicsError(f"it was given up meanwhile: {why or 'by somebody else'}; nothing has changed")


async def _drain(settings: Settings, going: Growth) -> None:
    """Wait until all who need the order are done with what is in the pair now."""
    async with admin(settings) as client:
        await _done(settings, client, _READERS, going.topic, going.old)
        await _done(settings, client, (_NOTIFIER,), DELIVERIES_OF[going.topic], going.old)


async def _done(settings: Settings, client: Any, groups: Iterable[str], topic: str, count: int) -> None:
    ends = await end_offsets(settings, [(topic, number) for number in range(count)])
    for group in groups:
        while True:
            done = await committed_offsets(settings, client, group)
            ours = {at: offset for at, offset in done.items() if at[0] == topic}
            # A group that has never been there has no order to lose.
            if not ours or all(ours.get(at, 0) >= upto for at, upto in ends.items()):
                break
            await asyncio.sleep(_POLL_S)


async def _widen(settings: Settings, name: str, count: int) -> None:
    names = Names(settings)
    async with admin(settings) as client:
        for _ in range(int(_ANSWER_S / 0.1)):
            (found,) = await client.describe_topics([names.kafka(name)])
            leaders = [part["leader"] for part in found["partitions"]]
            if len(leaders) < count:
                with suppress(KafkaError):  # somebody else may be faster
                    await client.create_partitions({names.kafka(name): NewPartitions(count)})
            elif min(leaders) >= 0:
                return
            await asyncio.sleep(0.1)
    raise TopicsError(f"{name} did not get {count} partitions within {_ANSWER_S:.0f} s; run the same again")


def _have_owners(groups: dict[str, dict[str, Any]], going: Growth) -> bool:
    for group, topic in (("fanout", going.topic), (_NOTIFIER, DELIVERIES_OF[going.topic])):
        known = groups.get(group)
        if known is None or not known["members"]:
            continue
        parts = known["partitions"]
        names = [f"{topic}/{number}" for number in range(going.old, going.new)]
        if not all(name in parts and parts[name]["member"] for name in names):
            return False
    return True


async def _beat(log: GrowthLog, going: Growth, done: asyncio.Event) -> None:
    while not done.is_set():
        with suppress(KafkaError, KafkaAwayError, OSError, TimeoutError):
            await log.append(Beat(going.token))
        with suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), _BEAT_S)


@asynccontextmanager
async def _answered() -> "AsyncIterator[None]":
    """Raises KafkaAwayError where Kafka says nothing for long."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise KafkaAwayError(
            f"Kafka did not answer: {error!r}; run the same again, or after {_LEFT_S:.0f} s a gateway ends it"
        ) from None
