"""A node that has lost its inbox: what the product's repair wishes for, done over the model's stores."""

from collections.abc import Generator
from typing import Any

from fanfare.presence.inboxes import InboxGoneError
from gateway.recovery.crossing import LastS, SendFence
from gateway.recovery.repair_rules import SafeOffsets
from gateway.recovery.wishes import nothing_at_once
from gateway.sessions import repair_steps as steps
from gateway.sessions.session_wishes import CheckWhole, Close, Forget
from tests.model import append as script
from tests.model.bugs import Bug
from tests.model.drive import drive
from tests.model.node import Node
from tests.model.starts import send_fence
from tests.model.world import SCOPES, SOURCES, Step, deliveries_of

__all__ = ["repair", "safe_offsets", "track"]


def safe_offsets(node: Node) -> SafeOffsets:
    """Those of a node that starts now."""
    kind = _SafeByTime if Bug.SAFE_BY_TIME in node.sim.bugs else SafeOffsets
    safe = kind(_ends(node))
    safe.node = node
    return safe


class _SafeByTime(SafeOffsets):
    """The planted bug: what was delivered shortly before the last good read is safe."""

    node: Node

    @property
    def offsets(self) -> dict[str, int]:
        since = self.node.good_at - 15
        logs = {
            deliveries_of(name): [one.at for one in self.node.sim.kafka.deliveries[deliveries_of(name)]]
            for name in SOURCES
        }
        return {
            name: next((offset for offset, at in enumerate(times) if at >= since), len(times))
            for name, times in logs.items()
        }


def repair(node: Node) -> Step:
    """Begin the next inbox without a gap for live sessions; away ones are forgotten."""
    node.ready = False
    node.queue.clear()
    yield from drive(
        steps.repair(node, node.safe), lambda wish: _do(node, wish), lambda wish: _ask(node, wish)
    )
    node.ready = True


def track(node: Node) -> Step:
    """Follow what becomes safe, all the time."""
    while True:
        yield "safe: begin"
        try:
            yield from drive(steps.track(node, node.safe), nothing_at_once, lambda wish: _ask(node, wish))
        except (InboxGoneError, steps.StoreAwayError):
            continue


def _do(node: Node, wish: Any) -> Any:
    match wish:
        case steps.Dispatch(entries):
            for entry in entries:
                node.take(entry)
            node.settle()
        case Forget(session):
            node.forget(session)
        case Close(session, _):
            node.close(session)
        case steps.Scopes():
            return {scope for session in node.sessions.values() for scope in SCOPES[session.user.id]}
        case steps.GiveUp():
            for session in list(node.sessions.values()):
                node.sim.invalidate(session.link, "retention")
                node.forget(session)
            node.ring.clear(node.s)
        case _:
            raise NotImplementedError(wish)
    return None


def _ask(node: Node, wish: Any) -> Generator[str, None, Any]:
    sim, redis = node.sim, node.sim.redis
    match wish:
        case steps.CreateInbox(floor, newest):
            yield "node: create"
            _reach_redis(node)
            return node.create(floor, newest, is_open=False)
        case steps.RegisterAll(_):
            for scope, name in sorted(node.registrations()):
                yield "repair: register"
                while redis.down:
                    yield "repair: Redis is away"
                redis.add(scope, name)
        case steps.RewriteMoves(moves):
            return (yield from _rewrite(node, moves))
        case SendFence(inboxes):
            return (yield from send_fence(sim, inboxes))
        case steps.NextDeliveries(starts):
            return (yield from _next_deliveries(node, starts))
        case steps.Committed():
            yield "safe: committed"
            if sim.kafka.down:
                raise steps.StoreAwayError("Kafka is away")
            return {name: offset for name, offset in sim.kafka.committed.items() if "deliveries" in name}
        case LastS(inbox):
            yield "safe: end"
            _reach_redis(node)
            if inbox not in redis.stored.inboxes:
                raise InboxGoneError(inbox)
            return redis.stored.inboxes[inbox].s
        case steps.ReadSome():
            yield "safe: wait"
        case CheckWhole():
            yield "repair: replayed"
            _reach_redis(node)
            if redis.token != node.token and Bug.NO_TOKEN not in sim.bugs:
                raise InboxGoneError(node.inbox)
        case steps.OpenUp(inbox, cut, newest):
            yield "repair: open"
            _reach_redis(node)
            raised = {} if Bug.NEWEST_NOT_RAISED in sim.bugs else newest
            script.open_up(redis.stored.inboxes, inbox, cut, raised)
        case steps.DeliveryEnds():
            yield "repair: ends"
            while sim.kafka.down:
                yield "repair: Kafka is away"
            return _ends(node)
        case steps.Pause(_):
            yield "repair: wait"
        case _:
            raise NotImplementedError(wish)
    return None


def _reach_redis(node: Node) -> None:
    if node.sim.redis.down:
        raise steps.StoreAwayError("Redis is away")


def _rewrite(node: Node, moves: Any) -> Generator[str, None, list[bool]]:
    written = []
    for key, version, moved in moves:
        yield "repair: write move"
        _reach_redis(node)
        if Bug.HOPS_NOT_REWRITTEN in node.sim.bugs:
            written.append(True)
        else:
            written.append(script.move_after_loss(node.sim.redis.stored.moved, key, version, moved))
    return written


def _next_deliveries(node: Node, starts: dict[str, int]) -> Generator[str, None, Any]:
    """Some records of some partition, as soon as there are any."""
    kafka, random = node.sim.kafka, node.sim.random
    while True:
        yield "repair: replay"
        if kafka.down:
            continue
        if any(kafka.beginnings.get(name, 0) > offset for name, offset in starts.items()):
            raise steps.NotKeptError
        more = [name for name, offset in starts.items() if offset < len(kafka.deliveries[name])]
        if more:
            name = random.choice(more)
            begin = starts[name]
            page = kafka.deliveries[name][begin : begin + random.randint(1, 5)]
            return name, [(offset, one.record) for offset, one in enumerate(page, start=begin)]


def _ends(node: Node) -> dict[str, int]:
    return {deliveries_of(name): len(node.sim.kafka.deliveries[deliveries_of(name)]) for name in SOURCES}
