"""Fan-outs and notifiers: the owner of a partition, and zombies that do not know yet that they lost it."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fanfare.record import Record
from fanfare.retries import is_late
from fanout.plan import Decision, decide, first_key
from notifier.route import Presence, route, wanted
from tests.model import append as script
from tests.model.bugs import Bug
from tests.model.world import WINDOW, Appended, Step, deliveries_of

if TYPE_CHECKING:
    from tests.model.simulation import Simulation


@dataclass
class Worker:
    """A member of the group, at work on one partition."""

    partition: str
    position: int
    steps: Step | None = None
    owner: bool = True
    life: int = -1
    """Ticks that it still has; -1 for no end."""
    stalled: int = 0


def fan_out(sim: "Simulation", me: Worker) -> Step:
    """Events in, deliveries out: in order, the same partition, the first position of a nonce."""
    kafka, redis = sim.kafka, sim.redis
    log, out = kafka.events[me.partition], kafka.deliveries[deliveries_of(me.partition)]
    token = ""
    while True:
        yield "fan-out: fetch"
        if redis.down or kafka.down:
            continue
        batch = log[me.position : me.position + sim.random.randint(1, 4)]
        if not batch:
            continue
        if token != redis.token and Bug.FIRST_NOT_REFILLED not in sim.bugs:
            for one in log[: me.position]:
                if one.at >= sim.t - 2 * WINDOW and not is_late(one.record, one.at_ms):
                    _claim(sim, one)
            token = redis.token
        plan = [one for one in batch if _decide(sim, one) is Decision.DELIVER]
        for one in plan:
            yield "fan-out: produce"
            while kafka.down:
                yield "fan-out: Kafka is away"
            out.append(Appended(one.record, sim.t))
        me.position += len(batch)
        if me.owner and sim.random.random() < 0.4:
            kafka.commit(me.partition, me.position)


def _claim(sim: "Simulation", one: Appended) -> None:
    key = first_key(one.record)
    if key is not None:
        sim.redis.stored.first.setdefault(key, (one.record.position, sim.t + 2 * WINDOW))


def _decide(sim: "Simulation", one: Appended) -> Decision:
    record, key = one.record, first_key(one.record)
    _claim(sim, one)
    standing = sim.redis.stored.first[key][0] if key is not None else None
    if record.fence:
        return Decision.DELIVER
    if Bug.ANY_POSITION in sim.bugs:
        standing = record.position
    at_ms = one.at_ms
    if Bug.NO_LATE_RULE in sim.bugs:
        at_ms = 0
    return decide(record, at_ms, standing)


def notify(sim: "Simulation", me: Worker) -> Step:
    """Deliveries in, one append per inbox out; a batch comes again until every inbox said ok or gone."""
    kafka, redis = sim.kafka, sim.redis
    log = kafka.deliveries[me.partition]
    while True:
        yield "notifier: fetch"
        if redis.down or kafka.down:
            continue
        batch = [one.record for one in log[me.position : me.position + sim.random.randint(1, 4)]]
        if not batch:
            continue
        if Bug.COMMIT_FIRST in sim.bugs and me.owner:
            kafka.commit(me.partition, me.position + len(batch))
        while True:
            yield "notifier: look up"
            if redis.down:
                continue
            presence = _look_up(sim, batch)
            yield "notifier: append"
            if not redis.down and (yield from _append(sim, route(batch, presence))):
                break
        me.position += len(batch)
        if me.owner and sim.random.random() < 0.5:
            kafka.commit(me.partition, me.position)


def _look_up(sim: "Simulation", batch: list[Record]) -> Presence:
    whose = wanted(batch)
    return Presence(
        {guild: _inboxes(sim, f"g:{guild}") for guild in whose.guilds},
        {user: _inboxes(sim, f"u:{user}") for user in whose.users},
    )


def _inboxes(sim: "Simulation", scope: str) -> list[str]:
    if Bug.CACHED_PRESENCE not in sim.bugs:
        return sim.redis.inboxes_of(scope)
    if scope not in sim.cache or sim.random.random() < 0.1:
        sim.cache[scope] = sim.redis.inboxes_of(scope)
    return sim.cache[scope]


def _append(sim: "Simulation", routes: dict[str, list[Record]]) -> Generator[str, None, bool]:
    """One pipeline of scripts; False if a reply was not had."""
    redis = sim.redis
    complete = True
    for inbox, records in routes.items():
        yield "notifier: next inbox"
        if redis.down:
            return False
        there = redis.stored.inboxes.get(inbox)
        outcome = sim.random.random() if sim.faulty else 0.0
        if there is None:
            redis.forget(inbox)
        elif outcome < 0.94:  # applied; the reply may be lost
            check = Bug.POSITION_UNCHECKED not in sim.bugs
            script.append(there, records, redis.now_ms, sim.cap, check=check)
            complete = complete and outcome < 0.9
        else:
            complete = False
            if Bug.PARTIAL_BATCH in sim.bugs:
                some = [record for record in records if sim.random.random() < 0.5]
                script.append(there, some, redis.now_ms, sim.cap)
    return complete
