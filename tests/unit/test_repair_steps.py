"""A repair, step by step: what is wished for in which order, and what becomes of each answer."""

from types import SimpleNamespace

import pytest

from fanfare.model import User
from fanfare.presence.inboxes import InboxGoneError
from fanfare.record import FENCE, INBOXES, Position, Record
from gateway.delivery.progress import Progress
from gateway.delivery.session import Session
from gateway.recovery.path import Hop, Moved
from gateway.recovery.repair_rules import LEAP, SafeOffsets
from gateway.sessions import repair_steps as steps
from tests.unit.by_hand import ByHand

LINK = object()
SAFE = {"chat.deliveries/0": 10, "chat.deliveries/1": 20}
F = {"chat.events/0": 105, "chat.events/1": 205}
USER = User(id=7, username="u")


def session(key: str, *, link: object = LINK, hops: list[Hop] | None = None, version: int = 0) -> Session:
    made = Session(key, key, USER, 0, hops or [Hop("n.1")], version)
    made.link = link
    return made


def message(partition: int, offset: int, guild: int = 1) -> Record:
    return Record(type="MESSAGE_CREATE", guild=guild, source=Position("chat.events", partition, offset))


def fence(partition: int, name: str = "fence") -> Record:
    offset = F[f"chat.events/{partition}"]
    source = Position("chat.events", partition, offset)
    return Record(type=FENCE, audience=INBOXES, fence=name, inboxes=("n.2",), source=source)


class World:
    """A node that has lost the inbox n.1 at s = 50, and its repair."""

    def __init__(self, *sessions: Session) -> None:
        self.progress = Progress("n.1", 50)
        self.progress.high = {"chat.events/0": 100, "chat.events/1": 200}
        self.progress.newest = {"g:1": 40}
        self.safe = SafeOffsets(SAFE)
        self.node = SimpleNamespace(
            progress=self.progress, sessions={session.key: session for session in sessions}
        )
        self.hand = ByHand(steps.repair(self.node, self.safe))
        self.tracked = SafeOffsets(SAFE)
        """Those of a node that has lost nothing."""

    def up_to_reading(self, *, inbox: str = "n.2", first_s: int = 1_000_000_000) -> steps.CreateInbox:
        """Answer everything up to the first wish for deliveries."""
        hand = self.hand
        made = hand.answer(steps.CreateInbox, (inbox, first_s))
        hand.answer(steps.RegisterAll(inbox))
        while isinstance(hand.wish, steps.RewriteMoves):
            hand.answer(hand.wish, [True] * len(hand.wish.moves))
        hand.answer(steps.SendFence(frozenset({inbox})), ("fence", F))
        hand.answer(steps.Scopes, {"g:1", "u:7"})
        return made

    def deliver(self, partition: int, *records: tuple[int, Record]) -> list[int]:
        """Answer the wish for deliveries; `s` of what is dispatched."""
        self.hand.answer(steps.NextDeliveries, (f"chat.deliveries/{partition}", records))
        dispatched = self.hand.wish.entries
        for entry in dispatched:
            self.progress.take(entry)
        self.hand.answer(steps.Dispatch)
        return [entry.s for entry in dispatched]


def test_what_was_missed_is_dispatched_below_the_next_inbox_and_what_is_above_the_fence_is_left_to_it():
    world = World()
    made = world.up_to_reading()
    assert made == steps.CreateInbox(50 + LEAP, {"g:1": 40})
    assert world.progress.inbox == "n.2"
    world.hand.expect(steps.NextDeliveries(SAFE))
    seen, missed, others = message(0, 100), message(0, 101), message(0, 102, guild=2)
    assert world.deliver(
        0, (10, seen), (11, missed), (12, others), (13, fence(0)), (14, message(0, 106))
    ) == [51]
    world.hand.expect(steps.NextDeliveries({"chat.deliveries/0": 14, "chat.deliveries/1": 20}))
    assert world.deliver(1, (20, fence(1, "of somebody else")), (21, fence(1))) == []
    world.hand.answer(steps.CheckWhole)
    newest = {"g:1": 51}
    world.hand.answer(steps.OpenUp("n.2", F, newest))
    assert world.hand.wish is None
    assert (world.progress.s, world.progress.cut, world.progress.high) == (1_000_000_000, F, F)
    assert world.safe.offsets == {"chat.deliveries/0": 14, "chat.deliveries/1": 22}


def test_offsets_that_were_waiting_to_be_read_up_to_say_nothing_any_more():
    world = World()
    world.safe.probe({"chat.deliveries/0": 99}, 40)
    ByHand(steps.repair(world.node, world.safe))
    assert not world.safe.probing


def test_sessions_that_are_away_are_forgotten_and_those_that_catch_up_go_on():
    away, catching = session("away", link=None), session("catching")
    catching.cursor, catching.skip, catching.replay = 3, {"chat.events/0": 99}, [b"frame"]
    world = World(away, catching)
    world.hand.answer(steps.Forget(away))
    del world.node.sessions["away"]
    world.up_to_reading()
    assert catching.link is LINK
    assert catching.replay == [b"frame"]


def test_each_live_session_moves_with_the_t_and_f_of_its_last_hop():
    moved = session("moved", hops=[Hop("m.1"), Hop("n.1", 30, {"chat.events/0": 9}, 12)], version=4)
    world = World(session("here"), moved)
    world.hand.answer(steps.CreateInbox, ("n.2", 10**9))
    world.hand.answer(steps.RegisterAll)
    hop = Hop("n.2", 30, {"chat.events/0": 9})
    wish = steps.RewriteMoves([("here", 0, Moved(1, [Hop("n.2")])), ("moved", 4, Moved(5, [hop]))])
    world.hand.answer(wish, [True, True])
    assert (moved.version, moved.hops) == (5, [hop])
    world.hand.expect(steps.SendFence)


def test_a_session_that_lives_elsewhere_is_closed():
    here, elsewhere = session("here"), session("elsewhere", version=2)
    world = World(here, elsewhere)
    world.hand.answer(steps.CreateInbox, ("n.2", 10**9))
    world.hand.answer(steps.RegisterAll)
    world.hand.answer(steps.RewriteMoves, [True, False])
    assert world.hand.answer(steps.Close).session is elsewhere
    world.hand.answer(steps.Forget(elsewhere))
    assert (here.version, elsewhere.version) == (1, 2)
    world.hand.expect(steps.SendFence)


def test_many_sessions_move_in_pages():
    world = World(*(session(str(number)) for number in range(1200)))
    world.hand.answer(steps.CreateInbox, ("n.2", 10**9))
    world.hand.answer(steps.RegisterAll)
    pages = []
    while isinstance(world.hand.wish, steps.RewriteMoves):
        pages.append(len(world.hand.wish.moves))
        world.hand.answer(steps.RewriteMoves, [True] * pages[-1])
    assert pages == [500, 500, 200]


@pytest.mark.parametrize("at", [steps.CheckWhole, steps.OpenUp])
def test_what_is_lost_once_more_is_repaired_from_what_was_dispatched(at):
    world = World()
    world.up_to_reading()
    assert world.deliver(0, (10, message(0, 101)), (11, fence(0))) == [51]
    assert world.deliver(1, (20, fence(1))) == []
    if at is steps.OpenUp:
        world.hand.answer(steps.CheckWhole)
    world.hand.fail(at, InboxGoneError("n.2"))
    made = world.up_to_reading(inbox="n.3")
    assert made.floor == 51 + LEAP
    world.hand.expect(steps.NextDeliveries(SAFE))
    assert world.deliver(0, (10, message(0, 101)), (11, message(0, 102))) == [52]


@pytest.mark.parametrize("at", range(7))
def test_a_store_that_is_away_makes_it_begin_again(at):
    world = World(session("here"))
    hand = world.hand
    answers = [
        (steps.CreateInbox, ("n.2", 10**9)),
        (steps.RegisterAll, None),
        (steps.RewriteMoves, [True]),
        (steps.SendFence, ("fence", F)),
        (steps.NextDeliveries, ("chat.deliveries/0", [(10, fence(0))])),
        (steps.CheckWhole, None),
        (steps.OpenUp, None),
    ]
    for wish, answer in answers[:at]:
        hand.answer(wish, answer)
        if wish is steps.SendFence:
            hand.answer(steps.Scopes, set())
        if wish is steps.NextDeliveries:
            hand.answer(steps.Dispatch)
            hand.answer(wish, ("chat.deliveries/1", [(20, fence(1))]))
            hand.answer(steps.Dispatch)
    hand.fail(answers[at][0], steps.StoreAwayError("away"))
    hand.answer(steps.Pause)
    hand.expect(steps.CreateInbox)
    assert world.safe.offsets == SAFE


def test_where_retention_has_passed_everybody_is_told_and_reading_begins_at_the_ends():
    world = World()
    world.up_to_reading()
    world.hand.fail(steps.NextDeliveries, steps.NotKeptError())
    world.hand.answer(steps.GiveUp)
    ends = {"chat.deliveries/0": 99, "chat.deliveries/1": 98}
    world.hand.answer(steps.DeliveryEnds, ends)
    world.up_to_reading(inbox="n.3")
    world.hand.expect(steps.NextDeliveries(ends))


def test_more_than_there_are_numbers_makes_it_begin_again_further_up():
    world = World()
    world.up_to_reading(first_s=52)
    records = [(10, message(0, 101)), (11, message(0, 102))]
    world.hand.answer(steps.NextDeliveries, ("chat.deliveries/0", records))
    world.hand.answer(steps.Pause)
    world.hand.expect(steps.CreateInbox)


def test_what_was_committed_is_safe_when_the_node_has_read_to_the_end_and_nothing_was_lost():
    world = World()
    hand = ByHand(steps.track(world.node, world.tracked))
    hand.answer(steps.Committed, {"chat.deliveries/0": 15})
    hand.answer(steps.LastS("n.1"), 60)
    hand.answer(steps.ReadSome)
    world.progress.s = 60
    hand.answer(steps.ReadSome)
    assert world.tracked.offsets == SAFE, "whether something was lost shows only now"
    hand.answer(steps.CheckWhole)
    assert hand.wish is None
    assert world.tracked.offsets == {"chat.deliveries/0": 15, "chat.deliveries/1": 20}


def test_nothing_is_safe_after_a_loss():
    world = World()
    hand = ByHand(steps.track(world.node, world.tracked))
    hand.answer(steps.Committed, {"chat.deliveries/0": 15})
    hand.answer(steps.LastS, 50)
    with pytest.raises(InboxGoneError):
        hand.fail(steps.CheckWhole, InboxGoneError("n.1"))
    assert world.tracked.offsets == SAFE


def test_a_repair_that_begins_meanwhile_ends_the_waiting():
    world = World()
    hand = ByHand(steps.track(world.node, world.tracked))
    hand.answer(steps.Committed, {"chat.deliveries/0": 15})
    hand.answer(steps.LastS, 60)
    world.tracked.lost()
    hand.answer(steps.ReadSome)
    hand.answer(steps.CheckWhole)
    assert hand.wish is None
    assert world.tracked.offsets == SAFE


def test_nothing_becomes_safe_in_the_middle_of_a_repair():
    """Once the model ran the gateway's own steps, it lost an event by this.

    Redis was rolled back. What the notifiers had committed was fetched, and then the end of the old inbox, which the
    rolled back Redis still had, and which was below what the node had read. By then the repair had taken the new
    token, so all seemed whole, and the deliveries were read from behind what had been lost.
    """
    world = World()
    hand = ByHand(steps.track(world.node, world.tracked))
    hand.answer(steps.Committed, {"chat.deliveries/0": 15})
    world.tracked.lost()
    hand.answer(steps.LastS, 40)
    hand.answer(steps.CheckWhole)
    assert hand.wish is None
    assert world.tracked.offsets == SAFE


def test_after_a_repair_offsets_become_safe_again():
    world = World()
    world.tracked.lost()
    world.tracked.replayed({"chat.deliveries/0": 12})
    world.tracked.probe({"chat.deliveries/0": 15}, 40)
    assert world.tracked.probing
    world.tracked.settle(40)
    assert world.tracked.offsets["chat.deliveries/0"] == 15


def test_safe_offsets_never_fall():
    safe = SafeOffsets({"chat.deliveries/0": 10})
    safe.probe({"chat.deliveries/0": 5}, 1)
    safe.settle(1)
    assert safe.offsets == {"chat.deliveries/0": 10}
