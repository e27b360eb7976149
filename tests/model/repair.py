"""A node that has lost its inbox: the next generation, and what was missed from the deliveries."""

from collections.abc import Generator

from gateway.recovery.repair_rules import Replay, first_floor, move_to, passed, raised_newest
from tests.model.bugs import Bug
from tests.model.node import Node, Session
from tests.model.starts import send_fence
from tests.model.world import SCOPES, SOURCES, Step, deliveries_of

__all__ = ["repair"]


def repair(node: Node) -> Step:
    """Begin the next inbox without a gap for live sessions; away ones are forgotten."""
    node.ready = False
    node.safe.lost()
    node.queue.clear()
    for session in list(node.sessions.values()):
        if session.skip is not None or session.replay:
            node.close(session)
    for session in [session for session in node.sessions.values() if session.link is None]:
        del node.sessions[session.key]
    while not (yield from _attempt(node)):
        pass
    node.ready = True


def _attempt(node: Node) -> Generator[str, None, bool]:
    sim, redis, kafka = node.sim, node.sim.redis, node.sim.kafka
    yield from node.create(first_floor(node.s), is_open=False)
    yield "repair: begun"
    for scope, name in sorted(node.registrations()):
        while redis.down:
            yield "repair: Redis is away"
        redis.add(scope, name)
        yield "repair: registered"
    for session in list(node.sessions.values()):
        yield from _move(node, session)
    first_s = redis.stored.inboxes[node.inbox].s if node.inbox in redis.stored.inboxes else None
    if first_s is None or redis.token != node.token:
        return False
    before = dict(node.newest)
    fence, f = yield from send_fence(sim, [node.inbox])
    safe = _safe(node)
    if passed(safe, kafka.beginnings):
        _tell_all(node)
        safe = {name: max(offset, kafka.beginnings.get(name, 0)) for name, offset in safe.items()}
    replay = Replay(
        fence=fence,
        f=f,
        safe=safe,
        high=node.high,
        last_s=node.s,
        first_s=first_s,
        scopes={scope for session in node.sessions.values() for scope in SCOPES[session.user]},
    )
    yield from _replay(node, replay)
    yield "repair: replayed"
    while redis.down:
        yield "repair: Redis is away"
    node.high = replay.high
    inbox = redis.stored.inboxes.get(node.inbox)
    if inbox is None or redis.token != node.token:
        return False
    inbox.cut, node.cut = replay.cut, replay.cut
    if Bug.NEWEST_NOT_RAISED not in sim.bugs:
        for scope, s in raised_newest(before, node.newest).items():
            inbox.newest[scope] = max(s, inbox.newest.get(scope, 0))
    inbox.open = True
    node.s = first_s
    node.safe.replayed(replay.reached)
    return True


def _replay(node: Node, replay: Replay) -> Step:
    """Read every deliveries partition up to the fence."""
    kafka = node.sim.kafka
    at = replay.reached
    while not replay.done:
        for partition in at:
            if not replay.wants(partition):
                continue
            log = kafka.deliveries[partition]
            upto = len(log) if not kafka.down else at[partition]
            for offset in range(at[partition], upto):
                entry = replay.take(partition, offset, log[offset].record)
                at[partition] = offset + 1
                if entry is not None:
                    node.take(entry, replayed=True)
                if not replay.wants(partition) or node.sim.random.random() < 0.2:
                    break
            yield "repair: replay"
        node.settle()


def _move(node: Node, session: Session) -> Step:
    """Write the hop of a live session, unless it lives elsewhere."""
    redis, bugs = node.sim.redis, node.sim.bugs
    if Bug.HOPS_NOT_REWRITTEN in bugs:
        return
    while True:
        yield "repair: read moves"
        if redis.down:
            continue
        known = redis.stored.moved.get(session.key)
        move = move_to(node.inbox, session.hops, session.version, known)
        if move is None:
            node.close(session)
            node.sessions.pop(session.key, None)
            return
        yield "repair: write move"
        now = redis.stored.moved.get(session.key)
        if not redis.down and (now.version if now is not None else 0) == move.expected:
            redis.stored.moved[session.key] = move.moved
            session.version, session.hops = move.moved.version, move.moved.hops
            return


def _safe(node: Node) -> dict[str, int]:
    """Where to begin to read."""
    if Bug.SAFE_BY_TIME not in node.sim.bugs:
        return node.safe.offsets
    since = node.good_at - 15
    logs = {
        deliveries_of(name): [one.at for one in node.sim.kafka.deliveries[deliveries_of(name)]]
        for name in SOURCES
    }
    return {
        name: next((offset for offset, at in enumerate(times) if at >= since), len(times))
        for name, times in logs.items()
    }


def _tell_all(node: Node) -> None:
    """Retention has passed what was missed: every session is told that it is not whole."""
    for session in list(node.sessions.values()):
        node.sim.invalidate(session.link, "retention")
        node.sessions.pop(session.key, None)
