"""A RESUME and an IDENTIFY, step by step: what is wished for in which order, and what becomes of each answer."""

from types import SimpleNamespace

import pytest

from fanfare.constants import EARLY_NUMBERS, FENCE_TIMEOUT_S
from fanfare.model import User
from fanfare.presence.inboxes import InboxEntry, InboxGoneError, InboxState
from fanfare.record import FENCE, INBOXES, USERS, Position, Record
from gateway.delivery.progress import Progress
from gateway.delivery.ring import Event, Ring
from gateway.delivery.session import Session
from gateway.protocol.codes import CloseCode
from gateway.protocol.frames import Dispatch
from gateway.recovery.crossing import LastS
from gateway.recovery.path import Hop, Moved
from gateway.recovery.path_store import MovesGoneError
from gateway.recovery.registered import Missing
from gateway.recovery.tail import ReadBetween
from gateway.sessions import identify_steps
from gateway.sessions import resume_steps as steps
from gateway.sessions import session_wishes as wishes
from gateway.sessions.outcomes import EndError, InvalidSessionError
from tests.unit.by_hand import ByHand

OWN, OTHER, TOKEN = "b.1", "a.1", "token"
KEY, USER = "key", User(id=7, username="u")
NEWEST = {"g:1": 1000, "u:7": 1000}
T = 200_000
BASE = T - EARLY_NUMBERS


def message(offset: int, guild: int = 1, **fields) -> Record:
    source = Position("chat.events", 0, offset)
    return Record(**{"type": "MESSAGE_CREATE", "guild": guild, "source": source} | fields)


def entry(s: int, offset: int, **fields) -> InboxEntry:
    return InboxEntry(s, message(offset, **fields))


JOINS = {"type": "GUILD_MEMBER_ADD", "users": (7,), "guild": 1}


class World:
    """The node b, whose inbox is at s = 100, with events 60 to 100 in the ring; and a RESUME of a client there."""

    def __init__(self, *, seq: int = 80, known: Session | None = None, first: str = OWN) -> None:
        self.progress = Progress(OWN, 100)
        self.ring = Ring(1 << 20, 59)
        for s in range(60, 101, 10):
            self.came(s, s)
        self.sessions = {KEY: known} if known is not None else {}
        self.resuming: set[str] = set()
        self.token = TOKEN
        self.ready = True
        self.revoked = False
        self.link = SimpleNamespace(open=True)
        self.made: Session | None = None
        resume = steps.Resume(self, self.link, key=KEY, inbox=first, seq=seq, make=self.make)
        self.hand = ByHand(resume.steps())

    def stands(self, _session: Session) -> bool:
        return not self.revoked

    def came(self, s: int, offset: int, **fields) -> None:
        """An event comes by the own inbox."""
        self.progress.take(entry(s, offset, **fields))
        self.ring.append(Event(Dispatch(s, message(offset, **fields)), None))

    def make(self, hops: list[Hop], version: int) -> Session:
        self.made = session(hops, version)
        return self.made

    def begin(self, moved: Moved | None = None) -> None:
        """Up to where the moves are known."""
        self.hand.answer(wishes.UntilWhole)
        self.hand.answer(steps.ReadMoves, moved)
        self.hand.answer(wishes.CheckWhole)

    def enter(self, *, asked: bool = True, ahead: bool = False) -> None:
        """From there to where the session is registered."""
        self.hand.answer(steps.Turn)
        self.hand.within(steps.WAIT_S)
        self.made.guilds = {1}
        self.hand.answer(wishes.Enter(self.made), wishes.Entered(asked, ahead))

    def walk(self, *inboxes: tuple[str, list[InboxEntry] | None], **state) -> None:
        """Walk the path; None: the entries are known already."""
        for inbox, entries in inboxes:
            self.hand.answer(steps.State(inbox), at(**state))
            if entries is not None:
                self.hand.answer(ReadBetween, entries)
        self.hand.answer(wishes.CheckWhole)

    def ends(self, error: type[BaseException], match: str | None, act, *args) -> None:
        """The next answer ends it; what was registered is taken back."""
        act(*args)
        if isinstance(self.hand.wish, wishes.Leave):
            with pytest.raises(error, match=match):
                self.hand.answer(wishes.Leave(self.made))
        else:
            pytest.fail(f"it goes on: {self.hand.wish}")
        assert self.resuming == set()


def session(hops: list[Hop] | None = None, version: int = 0, *, link: object = None) -> Session:
    made = Session(KEY, "id", USER, 0, hops or [Hop(OWN)], version)
    made.link = link
    made.guilds = {1}
    return made


def at(**fields) -> InboxState:
    known = {"s": 100, "token": TOKEN, "open": True, "newest": NEWEST, "high": {}, "cut": {}}
    return InboxState(**known | fields)


# Before it is known where the session is


def test_a_node_that_is_being_repaired_for_too_long_asks_to_come_again():
    world = World()
    with pytest.raises(EndError, match="Redis is away"):
        world.hand.fail(wishes.UntilWhole, TimeoutError())


def test_one_resume_of_a_session_at_a_time():
    world = World()
    world.resuming.add(KEY)
    with pytest.raises(EndError, match="already"):
        world.hand.answer(wishes.UntilWhole)
    assert world.resuming == {KEY}, "the other one is still under way"


def test_a_session_whose_moves_are_gone_cannot_be_resumed():
    world = World(known=session(version=2))
    world.hand.answer(wishes.UntilWhole)
    with pytest.raises(InvalidSessionError, match="moves"):
        world.hand.fail(steps.ReadMoves(KEY, 2), MovesGoneError(KEY))
    assert world.resuming == set()


def test_what_is_known_of_moves_counts_only_while_nothing_was_lost():
    world = World()
    world.hand.answer(wishes.UntilWhole)
    world.hand.answer(steps.ReadMoves(KEY, 0), None)
    with pytest.raises(EndError, match="lost"):
        world.hand.fail(wishes.CheckWhole, InboxGoneError(OWN))


def test_a_client_cannot_name_what_the_node_has_not_sent():
    world = World(seq=101)
    world.hand.answer(wishes.UntilWhole)
    world.hand.answer(steps.ReadMoves, None)
    with pytest.raises(InvalidSessionError, match="too high"):
        world.hand.answer(wishes.CheckWhole)


def test_a_client_that_is_before_its_path_is_told():
    world = World(seq=80)
    world.hand.answer(wishes.UntilWhole)
    world.hand.answer(steps.ReadMoves, Moved(1, [Hop(OWN, 90)]))
    with pytest.raises(InvalidSessionError, match="path"):
        world.hand.answer(wishes.CheckWhole)


# From the ring


def test_from_the_ring_the_session_is_taken_over_before_its_client_hears_anything():
    known = session([Hop(OWN, 50, {"chat.events/0": 40})], 3, link=object())
    world = World(seq=80, known=known)
    world.begin(Moved(3, known.hops))
    world.hand.answer(steps.WriteMoves(KEY, 3, Moved(4, known.hops)), True)
    assert known.version == 4
    world.hand.answer(wishes.Close(known, "resumed on another connection"))
    assert known.skip == {"chat.events/0": 40}
    assert known.announce == (world.ring.end, 100)
    cursor = world.ring.after(80)
    world.hand.answer(steps.Rewind(known, cursor))
    world.hand.answer(steps.Attach(known, world.link, cursor))
    assert world.hand.result == ("ring", known)
    assert world.resuming == set()


def test_memory_may_know_of_a_move_that_redis_has_lost():
    known = session([Hop(OWN)], 3)
    world = World(known=known)
    world.begin(Moved(2, [Hop(OTHER)]))
    world.hand.expect(steps.WriteMoves(KEY, 3, Moved(4, [Hop(OWN)])))


def test_whoever_writes_the_moves_first_has_the_session():
    known = session()
    world = World(known=known)
    world.begin()
    with pytest.raises(EndError, match="faster"):
        world.hand.answer(steps.WriteMoves, False)
    assert known.version == 0


@pytest.mark.parametrize("change", ["another session", "the ring", "the link", "the inbox", "a repair"])
def test_what_has_changed_while_the_moves_were_written_is_seen(change):
    world = World(seq=59, known=session())
    world.begin()
    match change:
        case "another session":
            world.sessions[KEY] = session()
        case "the ring":
            world.ring.clear(100)
        case "the link":
            world.link.open = False
        case "the inbox":
            world.progress.begin("b.2")
        case "a repair":
            world.ready = False
    with pytest.raises(EndError) as end:
        world.hand.answer(steps.WriteMoves, True)
    assert end.value.code is CloseCode.UNKNOWN_ERROR


def test_a_token_that_was_revoked_meanwhile_ends_it():
    world = World(known=session())
    world.begin()
    world.revoked = True
    with pytest.raises(EndError) as end:
        world.hand.answer(steps.WriteMoves, True)
    assert end.value.code is CloseCode.AUTHENTICATION_FAILED


@pytest.mark.parametrize(
    ("seq", "known", "moved"),
    [
        (58, session(), None),  # the ring does not reach that far
        (80, session([Hop(OWN)], 1), Moved(2, [Hop(OWN)])),  # memory is older than Redis
        (BASE + 5, session([Hop(OTHER), Hop(OWN, T, {}, 60)], 1), None),  # within the early part
        (80, None, None),
    ],
)
def test_what_the_ring_and_memory_do_not_have_is_read_from_the_inbox(seq, known, moved):
    world = World(seq=seq, known=known)
    world.progress.s = T
    world.begin(moved)
    world.enter()
    world.hand.expect(ReadBetween)


# From the own inbox


def test_from_the_own_inbox_up_to_what_the_node_has_taken():
    world = World(seq=55)
    world.begin()
    world.hand.expect(steps.Turn(OWN, 55))
    world.enter()
    entries = [entry(50, 50), entry(55, 55), entry(57, 57), entry(70, 70), entry(110, 110)]
    world.hand.answer(ReadBetween(OWN, 55, None), entries)
    world.walk((OWN, None))
    moves = world.hand.answer(steps.WriteMoves, True)
    assert moves == steps.WriteMoves(KEY, 0, Moved(1, [Hop(OWN)]))
    world.hand.answer(steps.Keep(world.made))
    cursor = world.ring.after(100)
    replay = world.hand.answer(steps.Replay, True)
    assert [one.s for one in replay.owed] == [57, 70]
    assert (replay.early, replay.since, replay.f) == ((), cursor, {})
    assert [record.source.offset for record in replay.unread] == [110]
    assert (world.made.skip, world.made.announce) == (None, (world.ring.end, 100))
    world.hand.answer(steps.Attach(world.made, world.link, cursor))
    assert world.hand.result == ("stream", world.made)


def test_what_was_sent_of_another_inbox_is_left_out_of_the_ring():
    f = {"chat.events/0": 66}
    world = World(seq=58)
    world.begin(Moved(1, [Hop(OWN, 50, f)]))
    world.enter()
    world.hand.answer(ReadBetween, [entry(58, 58), entry(60, 60), entry(70, 70), entry(100, 100)])
    world.walk((OWN, None))
    world.hand.answer(steps.WriteMoves, True)
    world.hand.answer(steps.Keep)
    assert [one.s for one in world.hand.wish.owed] == [70, 100]
    world.hand.answer(steps.Replay, True)
    assert world.made.skip == f


def reading(**kind) -> World:
    world = World(seq=55, **kind)
    world.begin()
    world.enter()
    return world


def test_an_inbox_that_does_not_reach_back_makes_the_client_told():
    world = reading()
    world.hand.answer(ReadBetween, [entry(90, 90)])
    world.ends(InvalidSessionError, "reach", world.hand.answer, steps.State, at())


def test_an_inbox_that_stopped_receiving_a_guild_makes_the_client_told():
    world = reading()
    world.hand.answer(ReadBetween, [entry(55, 55), InboxEntry(60, None, "UNREG g:1")])
    world.ends(InvalidSessionError, "unregistered", world.hand.answer, steps.State, at())


def test_an_inbox_of_another_token_may_lack_anything():
    world = reading()
    world.hand.answer(ReadBetween, [entry(55, 55)])
    world.hand.answer(steps.State, at(token="older"))
    world.ends(InvalidSessionError, "whole", world.hand.answer, wishes.CheckWhole)


def test_what_is_lost_while_it_is_read_makes_the_client_come_again():
    world = reading()
    world.hand.answer(ReadBetween, [entry(55, 55)])
    world.hand.answer(steps.State, at())
    world.ends(EndError, "lost", world.hand.fail, wishes.CheckWhole, InboxGoneError(OWN))


@pytest.mark.parametrize(
    ("present", "error"), [(OWN, EndError), ("b.2", InvalidSessionError), ("", InvalidSessionError)]
)
def test_an_inbox_that_is_not_open_is_being_repaired_or_never_will_be(present, error):
    world = reading()
    world.hand.answer(ReadBetween, [entry(55, 55)])
    world.hand.answer(steps.State, at(open=False))
    world.ends(error, "repaired", world.hand.answer, steps.Lease("b"), present)


def test_a_ring_that_has_moved_on_meanwhile_makes_the_client_come_again():
    world = reading()
    world.hand.answer(ReadBetween, [entry(55, 55), entry(70, 70)])
    world.walk((OWN, None))
    world.ring.clear(120)
    world.ends(EndError, "too slow", world.hand.answer, steps.WriteMoves, True)


def test_a_client_within_the_early_part_is_not_resumed_below_t():
    """What came early has other numbers in the ring than its client knows."""
    world = World(seq=BASE + 1)
    world.progress.s = T
    world.begin(Moved(1, [Hop(OWN, T, {}, 60)]))
    world.enter()
    world.hand.answer(ReadBetween(OWN, 60, None), [entry(60, 60), entry(90, 90)])
    world.walk((OWN, None))
    world.ends(EndError, "too slow", world.hand.answer, steps.WriteMoves, True)


def test_who_cannot_be_told_what_it_may_see_is_forgotten_and_told():
    world = reading()
    world.hand.answer(ReadBetween, [entry(55, 55), entry(70, 70)])
    world.walk((OWN, None))
    world.hand.answer(steps.WriteMoves, True)
    world.hand.answer(steps.Keep)
    world.hand.answer(steps.Replay, False)
    world.ends(InvalidSessionError, "rights", world.hand.answer, wishes.Forget(world.made))


def test_a_guild_that_is_ahead_of_the_inbox_makes_the_client_come_again():
    world = World(seq=55)
    world.begin()
    world.hand.answer(steps.Turn)
    world.hand.within(steps.WAIT_S)
    world.ends(EndError, "changing", world.hand.answer, wishes.Enter, wishes.Entered(asked=True, ahead=True))


def test_a_guild_that_was_joined_on_the_way_needs_the_database():
    world = World(seq=55)
    world.begin()
    world.enter(asked=False)
    world.hand.answer(ReadBetween, [entry(55, 55), entry(57, 57, **JOINS)])
    world.hand.answer(steps.State, at())
    world.ends(EndError, "database", world.hand.answer, wishes.CheckWhole)


@pytest.mark.parametrize("error", [TimeoutError(), OSError(), KeyboardInterrupt()])
def test_whatever_goes_wrong_what_was_registered_is_taken_back(error):
    world = World(seq=55)
    world.begin()
    world.hand.answer(steps.Turn)
    world.hand.within(steps.WAIT_S)
    world.ends(type(error), None, world.hand.fail, wishes.Enter, error)


def test_a_client_that_has_gone_while_it_waited_for_its_turn_is_not_registered():
    world = World(seq=55)
    world.begin()
    world.link.open = False
    with pytest.raises(EndError, match="lost"):
        world.hand.answer(steps.Turn)


# From another node's inbox


def adopting(*, seq: int = 40, moved: Moved | None = None) -> World:
    world = World(seq=seq, first=OTHER)
    world.begin(moved)
    world.enter()
    world.hand.answer(LastS(OTHER), 90)
    world.hand.within(FENCE_TIMEOUT_S)
    world.hand.answer(steps.Cross(OWN, OTHER, world.made), SimpleNamespace(since=70, f={"chat.events/0": 75}))
    return world


def fenced(s: int, offset: int) -> InboxEntry:
    return entry(s, offset, type=FENCE, audience=INBOXES, fence="f", inboxes=(OWN, OTHER))


THEIRS = [entry(40, 40), entry(50, 50), fenced(60, 75), entry(70, 78), entry(85, 80, guild=2)]


def departed(world: World, entries: list[InboxEntry] | None = None) -> None:
    """From the crossing to the walk's end; the own inbox is raised to T."""
    first = 40
    world.hand.answer(steps.ReadUntil(OTHER, first, {"chat.events/0": 75}))
    world.hand.answer(steps.Registrations(OTHER, world.made), Missing(False, frozenset()))
    world.hand.answer(steps.Depart, (88, T))
    world.hand.answer(steps.ReadMarked(OTHER, first, 88), THEIRS if entries is None else entries)
    world.walk((OTHER, None))


def test_from_another_inbox_its_part_then_the_early_part_then_the_own_inbox():
    world = adopting()
    departed(world)
    world.came(110, 110, guild=2)
    world.progress.s = T
    world.hand.answer(steps.Taken(T))
    # Their part ends where their node stops sending: after the fence came offset 78 for the session.
    hop = Hop(OWN, T, {"chat.events/0": 78}, 70)
    world.hand.answer(steps.WriteMoves(KEY, 0, Moved(1, [Hop(OTHER), hop])), True)
    world.hand.answer(steps.Keep(world.made))
    replay = world.hand.answer(steps.Replay, True)
    assert [one.s for one in replay.owed] == [50, 70]
    numbers = [(s, world.ring[index].dispatch.s) for s, index in replay.early]
    assert numbers == [(BASE + 1, 80), (BASE + 2, 90), (BASE + 3, 100), (BASE + 4, 110)]
    assert (replay.since, replay.f, replay.unread) == (world.ring.after(70), hop.f, ())
    cursor = world.ring.end
    assert (world.made.skip, world.made.announce) == (hop.f, (cursor, T))
    world.hand.answer(steps.Attach(world.made, world.link, cursor))
    assert world.hand.result == ("adopted", world.made)
    assert (world.made.version, world.made.hops) == (1, [Hop(OTHER), hop])


def test_over_several_inboxes_each_part_ends_where_the_next_begins():
    hops = [Hop("x.1"), Hop(OTHER, 30 + EARLY_NUMBERS, {"chat.events/0": 44}, 20)]
    world = World(seq=25, first="x.1")
    world.begin(Moved(2, hops))
    world.hand.expect(steps.Turn(OTHER, 20))
    world.enter()
    world.hand.answer(LastS, 70_000)
    world.hand.within(FENCE_TIMEOUT_S)
    world.hand.answer(steps.Cross, SimpleNamespace(since=70, f={"chat.events/0": 75}))
    world.hand.answer(steps.ReadUntil)
    world.hand.answer(steps.Registrations, Missing(False, frozenset()))
    world.hand.answer(steps.Depart, (69_000, T))
    theirs = [entry(20, 20), entry(22, 45), entry(66_000, 47), fenced(68_000, 75)]
    world.hand.answer(steps.ReadMarked(OTHER, 20, 69_000), theirs)
    world.hand.answer(steps.State("x.1"), at())
    oldest = [entry(25, 25), entry(28, 44), entry(29, 45)]
    world.hand.answer(ReadBetween("x.1", 25, 30), oldest)
    world.hand.answer(steps.State(OTHER), at())
    world.hand.answer(wishes.CheckWhole)
    world.progress.s = T
    world.hand.answer(steps.Taken)
    written = world.hand.answer(steps.WriteMoves, True)
    assert written.moved.hops == [*hops, Hop(OWN, T, {"chat.events/0": 75}, 70)]
    world.hand.answer(steps.Keep)
    assert [(one.s, one.record.source.offset) for one in world.hand.wish.owed] == [
        (28, 44),
        (31, 45),
        (66_000, 47),
    ]


def test_a_client_cannot_raise_the_own_inbox_as_high_as_it_likes():
    world = World(seq=91, first=OTHER)
    world.begin()
    world.enter()
    world.ends(InvalidSessionError, "too high", world.hand.answer, LastS, 90)


def test_an_inbox_that_is_gone_makes_the_client_told():
    world = World(first=OTHER)
    world.begin()
    world.enter()
    world.ends(InvalidSessionError, "gone", world.hand.fail, LastS, InboxGoneError(OTHER))


def test_a_session_whose_registration_is_gone_may_have_missed_anything():
    world = adopting()
    world.hand.answer(steps.ReadUntil)
    gone = Missing(True, frozenset())
    world.ends(InvalidSessionError, "registration", world.hand.answer, steps.Registrations, gone)


@pytest.mark.parametrize("noted", [None, [1, 2]])
def test_so_it_is_with_a_guild_that_its_client_has_been_shown(noted):
    world = adopting()
    world.hand.answer(steps.ReadUntil)
    world.hand.answer(steps.Registrations, Missing(False, frozenset({1})))
    world.ends(InvalidSessionError, "guild", world.hand.answer, steps.NotedGuilds, noted)


def test_but_not_with_a_guild_that_was_joined_while_nobody_was_there():
    world = adopting()
    world.hand.answer(steps.ReadUntil)
    world.hand.answer(steps.Registrations, Missing(False, frozenset({1})))
    world.hand.answer(steps.NotedGuilds(OTHER, world.made), [2])
    world.hand.expect(steps.Depart)


@pytest.mark.parametrize("change", [*range(3)])
def test_what_changes_before_the_hop_is_written_leaves_the_session_where_it_was(change):
    world = adopting()
    departed(world)
    match change:
        case 0:
            world.link.open = False
        case 1:
            world.came(110, 110, **JOINS)
        case 2:
            world.came(110, 110)
            world.ring.clear(120)  # it cannot be told whether a guild was joined
    world.progress.s = T
    world.ends(EndError, "reconnect and resume", world.hand.answer, steps.Taken)


def test_the_slower_one_of_two_nodes_gives_up_before_any_frame():
    world = adopting()
    departed(world)
    world.progress.s = T
    world.hand.answer(steps.Taken)
    world.ends(EndError, "faster", world.hand.answer, steps.WriteMoves, False)


@pytest.mark.parametrize("change", ["the link", "the ring"])
def test_once_the_hop_is_written_the_session_is_kept_whatever_comes(change):
    world = adopting()
    departed(world)
    world.progress.s = T
    world.hand.answer(steps.Taken)
    world.hand.answer(steps.WriteMoves, True)
    if change == "the link":
        world.link.open = False
    else:
        world.ring.clear(120)
    world.ends(EndError, "reconnect and resume", world.hand.answer, steps.Keep(world.made))


def test_more_early_events_than_numbers_make_the_client_come_again(monkeypatch):
    monkeypatch.setattr(steps, "EARLY_NUMBERS", 3)
    world = adopting()
    departed(world)
    world.progress.s = T
    world.hand.answer(steps.Taken)
    world.hand.answer(steps.WriteMoves, True)
    world.ends(EndError, "too much", world.hand.answer, steps.Keep)


def test_a_direct_conversation_is_of_the_session_too():
    world = adopting()
    dm = entry(86, 82, type="MESSAGE_CREATE", guild=0, audience=USERS, users=(7,))
    departed(world, [*THEIRS, dm])
    world.progress.s = T
    world.hand.answer(steps.Taken)
    assert world.hand.wish.moved.hops[-1].f == {"chat.events/0": 82}


# IDENTIFY


class Beginning(World):
    """An IDENTIFY at the same node."""

    def __init__(self) -> None:
        super().__init__()
        self.hand = ByHand(identify_steps.identify(self, self.link, lambda inbox: self.make([Hop(inbox)], 0)))


def test_a_session_begins_when_redis_has_it():
    world = Beginning()
    world.hand.answer(wishes.UntilWhole)
    world.hand.within(steps.WAIT_S)
    world.hand.answer(wishes.Enter(world.made), wishes.Entered(asked=True, ahead=False))
    world.hand.answer(identify_steps.Begin(world.made, world.link))
    assert world.hand.result is world.made
    assert world.made.hops == [Hop(OWN)]


@pytest.mark.parametrize("change", ["the link", "the inbox", "the token"])
def test_a_start_that_is_overtaken_ends_without_a_frame(change):
    world = Beginning()
    world.hand.answer(wishes.UntilWhole)
    world.hand.within(steps.WAIT_S)
    match change:
        case "the link":
            world.link.open = False
        case "the inbox":
            world.progress.begin("b.2")
        case "the token":
            world.revoked = True
    world.ends(EndError, None, world.hand.answer, wishes.Enter, wishes.Entered(asked=True, ahead=False))


def test_stores_that_are_away_for_too_long_make_the_client_come_again():
    world = Beginning()
    world.hand.answer(wishes.UntilWhole)
    world.hand.within(steps.WAIT_S)
    world.ends(EndError, "away", world.hand.fail, wishes.Enter, TimeoutError())


def test_no_start_begins_while_the_inbox_is_repaired_for_too_long():
    world = Beginning()
    with pytest.raises(EndError, match="away"):
        world.hand.fail(wishes.UntilWhole, TimeoutError())


def test_steps_that_are_dropped_ask_for_nothing():
    """When the process ends nobody answers any more."""
    world = Beginning()
    world.hand.answer(wishes.UntilWhole)
    world.hand.within(steps.WAIT_S)
    world.hand.drop()
