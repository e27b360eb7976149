"""The checker finds each broken promise in a hand-made history, and nothing in a good one."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from torture.check import Entry, Facts, Verdict, check, missing
from torture.history import Attempt, FaultTimes, History, Link, Outcome, SessionLog

MADE_MS = 1_800_000_000_000
OPEN, SECRET, DIRECT = 70, 71, 72
ANNA, BEN, CARL = 1, 2, 3


def ident(number: int) -> int:
    """A snowflake of `MADE_MS` and `number` ms."""
    return (MADE_MS - 1_420_070_400_000 + number) << 22


@dataclass
class Story:
    """A history with ten messages in one partition, and two sessions that got them all."""

    history: History = field(default_factory=History)
    log: list[Entry] = field(default_factory=list)
    rest: dict[int, list[int]] | None = None

    def __post_init__(self) -> None:
        for number in range(10):
            channel = (OPEN, OPEN, OPEN, SECRET, DIRECT)[number % 5]
            self.send(number, channel)
        for name, user in (("anna", ANNA), ("ben", BEN)):
            session = SessionLog(name, user, ready=0.5, links=[Link(0.4, "gateway.1", live=0.5)])
            self.history.began(session)
            for entry in self.log:
                self.history.got(session, entry.id, 100 + entry.offset, 1.0 + entry.offset + 0.01)

    def send(self, number: int, channel: int = OPEN, outcome: Outcome = Outcome.ACCEPTED) -> None:
        """A message that stands in the log."""
        self.try_to_send(number, channel, outcome)
        self.log.append(
            Entry(ident(number), f"n{number}", CARL, channel, 0, len(self.log), MADE_MS + number + 5)
        )

    def try_to_send(self, number: int, channel: int = OPEN, outcome: Outcome = Outcome.ACCEPTED) -> None:
        """A try."""
        began = 0.99 + number
        known = ident(number) if outcome is Outcome.ACCEPTED else 0
        self.history.attempt(
            Attempt(f"n{number}", CARL, channel, "REST", began, began + 0.01, outcome, known)
        )

    def session(self, name: str) -> SessionLog:
        return self.history.sessions[name]

    def drop(self, name: str, at: int) -> None:
        """A session did not get the reception at this index."""
        session = self.session(name)
        del session.ids[at], session.s[at], session.at[at]

    @property
    def facts(self) -> Facts:
        audience = {OPEN: {ANNA, BEN, CARL}, SECRET: {ANNA, BEN, CARL}, DIRECT: {ANNA, BEN}}
        return Facts(
            self.log,
            {k: frozenset(v) for k, v in audience.items()},
            frozenset({DIRECT}),
            self.rest,
            self.rest,
        )

    def check(self) -> Verdict:
        return check(self.history, self.facts)


def kinds(verdict: Verdict) -> set[str]:
    return {violation.kind for violation in verdict.violations}


def test_a_good_history_is_clean() -> None:
    story = Story()
    verdict = story.check()
    assert verdict.clean
    assert (verdict.accepted, verdict.delivered, verdict.sessions) == (10, 20, 2)
    assert (verdict.lost, verdict.doubled, verdict.reordered, verdict.told) == (0, 0, 0, 0)
    assert verdict.gap_s == pytest.approx(0.01)
    assert missing(story.history, story.facts) == 0


def test_a_message_that_a_session_never_got_is_lost() -> None:
    story = Story()
    story.drop("anna", 4)
    verdict = story.check()
    assert kinds(verdict) == {"lost"}
    assert verdict.lost == 1
    assert f"chat.events/0/{4}" in verdict.violations[0].text
    assert missing(story.history, story.facts) == 1


def test_the_last_message_can_be_lost_too() -> None:
    story = Story()
    story.drop("ben", 9)
    assert story.check().lost == 1


def test_what_began_before_ready_is_owed_only_after_the_first_reception() -> None:
    story = Story()
    story.session("anna").ready = 5.5
    for _ in range(4):
        story.drop("anna", 0)
    assert story.check().clean
    story.drop("anna", 1)
    assert story.check().lost == 1


def test_a_session_that_was_told_is_owed_what_came_before_its_last_reception() -> None:
    story = Story()
    session = story.session("anna")
    session.end, session.ended, session.said = "told", 6.0, "INVALID_SESSION"
    for _ in range(4):
        story.drop("anna", 6)
    verdict = story.check()
    assert kinds(verdict) == {"told"}
    assert (verdict.told, verdict.lost) == (1, 0)
    story.drop("anna", 2)
    assert kinds(story.check()) == {"told", "lost"}


def test_an_away_session_may_be_told_where_the_fault_allows_it() -> None:
    story = Story()
    session = story.session("anna")
    session.end, session.ended = "told", 6.0
    session.links = [Link(0.4, closed=4.0, live=0.5), Link(5.9)]
    story.history.fault(FaultTimes("redis-empty", 4.5, observed=4.6, healed=5.0, tells_away=True))
    assert story.check().clean
    session.links = [Link(0.4, closed=5.5, live=0.5), Link(5.9)]
    assert kinds(story.check()) == {"told"}, "it was live when the fault came"
    story.history.faults[0].settled = 5.6
    assert story.check().clean, "away while the node made itself whole"
    session.links = [Link(0.4, closed=4.0, live=0.5), Link(4.3, closed=6.0)]
    assert story.check().clean, "it was on its way back when the fault came, and not there yet"
    session.links = [Link(0.4, closed=4.0, live=0.5), Link(4.1, live=4.3, closed=6.0)]
    assert kinds(story.check()) == {"told"}, "it was back when the fault came"


def test_a_message_that_comes_twice_is_doubled() -> None:
    story = Story()
    story.history.got(story.session("ben"), ident(3), 200, 12.0)
    verdict = story.check()
    assert kinds(verdict) == {"doubled"}
    assert verdict.doubled == 1


def test_a_repeated_send_is_doubled_if_it_comes_through() -> None:
    story = Story()
    again = replace_entry(story.log[3], ident(50), 10)
    story.log.append(again)
    assert story.check().clean, "dropped, as it has to be"
    story.history.got(story.session("ben"), again.id, 200, 12.0)
    verdict = story.check()
    assert verdict.doubled == 1
    assert not verdict.clean


def replace_entry(entry: Entry, new_id: int, offset: int) -> Entry:
    return entry._replace(id=new_id, offset=offset)


def test_the_same_message_twice_in_the_log_is_one() -> None:
    story = Story()
    story.log.append(story.log[3]._replace(offset=10))
    assert story.check().clean


def test_an_order_other_than_kafkas_is_reordered() -> None:
    story = Story()
    ids = story.session("anna").ids
    ids[0], ids[1] = ids[1], ids[0]
    verdict = story.check()
    assert kinds(verdict) == {"reordered"}
    assert verdict.reordered == 1


def test_where_a_topic_grows_a_channel_goes_on_at_low_offsets_of_another_partition() -> None:
    story = Story()
    story.log[5:] = [entry._replace(partition=4, offset=entry.offset - 5) for entry in story.log[5:]]
    assert story.check().clean
    ids = story.session("anna").ids
    ids[4], ids[6] = ids[6], ids[4]
    assert kinds(story.check()) == {"reordered"}


def test_different_channels_have_no_order() -> None:
    story = Story()
    ids = story.session("anna").ids
    ids[2], ids[3] = ids[3], ids[2]
    assert story.check().clean


def test_who_may_not_see_a_channel_must_not_get_it() -> None:
    story = Story()
    story.session("ben").user = CARL
    for at in (9, 4):
        story.drop("ben", at)
    assert story.check().clean
    story.history.got(story.session("ben"), ident(4), 200, 12.0)
    assert kinds(story.check()) == {"stranger"}


def test_intents_hide_direct_messages() -> None:
    story = Story()
    story.session("ben").direct = False
    assert kinds(story.check()) == {"stranger"}
    for at in (9, 4):
        story.drop("ben", at)
    assert story.check().clean


def test_s_must_not_fall() -> None:
    story = Story()
    story.session("anna").s[5] = 3
    assert kinds(story.check()) == {"s"}


def test_what_is_not_in_the_log_must_not_come() -> None:
    story = Story()
    story.history.got(story.session("anna"), ident(77), 200, 12.0)
    assert kinds(story.check()) == {"phantom"}


def test_an_accepted_message_stands_in_the_log() -> None:
    story = Story()
    story.try_to_send(20)
    verdict = story.check()
    assert kinds(verdict) == {"lost"}


def test_a_retry_is_answered_with_the_id_that_stands() -> None:
    story = Story()
    story.history.attempt(Attempt("n3", CARL, SECRET, "REST", 4.5, 4.6, Outcome.ACCEPTED, ident(3)))
    assert story.check().clean
    story.history.attempt(Attempt("n3", CARL, SECRET, "REST", 4.7, 4.8, Outcome.ACCEPTED, ident(30)))
    assert "doubled" in kinds(story.check())


def test_the_answer_must_be_the_id_that_won() -> None:
    story = Story()
    story.log[3] = story.log[3]._replace(id=ident(33))
    assert "id" in kinds(story.check())


def test_a_refused_message_never_appears() -> None:
    story = Story()
    story.try_to_send(20, outcome=Outcome.REFUSED)
    verdict = story.check()
    assert verdict.clean
    assert verdict.refused == 1
    story.log.append(Entry(ident(20), "n20", CARL, OPEN, 0, 10, MADE_MS + 20))
    assert "refused" in kinds(story.check())


def test_an_unknown_message_appears_once_or_never() -> None:
    story = Story()
    story.try_to_send(20, outcome=Outcome.UNKNOWN)
    verdict = story.check()
    assert verdict.clean
    assert verdict.unknown == 1
    story.log.append(Entry(ident(20), "n20", CARL, OPEN, 0, 10, MADE_MS + 20))
    verdict = story.check()
    assert verdict.lost == 2, "it stands, so both are owed it"
    for name in ("anna", "ben"):
        story.history.got(story.session(name), ident(20), 200, 30.0)
    assert story.check().clean


def test_what_kafka_took_too_late_is_dropped_for_all() -> None:
    story = Story()
    story.try_to_send(20, outcome=Outcome.UNKNOWN)
    story.log.append(Entry(ident(20), "n20", CARL, OPEN, 0, 10, MADE_MS + 20 + 300_001))
    assert story.check().clean


@pytest.mark.parametrize("change", [lambda ids: ids.pop(), lambda ids: ids.append(ident(90))])
def test_stored_history_equals_what_stands(change: Callable[[list[int]], object]) -> None:
    story = Story()
    story.rest = {
        channel: [entry.id for entry in story.log if entry.channel == channel]
        for channel in (OPEN, SECRET, DIRECT)
    }
    assert story.check().clean
    change(story.rest[OPEN])
    assert kinds(story.check()) == {"history"}


def test_what_was_sent_before_is_not_asked_of_the_stores() -> None:
    story = Story()
    story.rest = {OPEN: [], SECRET: [], DIRECT: []}
    facts = replace(story.facts, after=ident(9))
    assert check(story.history, facts).clean
    assert kinds(check(story.history, replace(facts, after=ident(8)))) == {"history"}


def test_protocol_errors_are_violations() -> None:
    story = Story()
    story.session("anna").broken = "HELLO twice"
    assert kinds(story.check()) == {"protocol"}


def test_a_run_that_shows_nothing_fails() -> None:
    verdict = check(History(), Facts([], {}))
    assert [violation.kind for violation in verdict.violations] == ["empty", "empty", "empty"]


def test_a_fault_that_nobody_saw_fails() -> None:
    story = Story()
    story.history.fault(FaultTimes("kill-gateway", 3.0))
    assert kinds(story.check()) == {"unobserved"}


def test_delays_are_measured_from_the_connection_and_outages_from_their_end() -> None:
    story = Story()
    story.session("anna").at[9] = 17.0  # accepted at 10.0
    assert story.check().gap_s == pytest.approx(7.0)
    story.session("anna").links.append(Link(15.0))
    assert story.check().gap_s == pytest.approx(2.0)
    story.history.fault(FaultTimes("kafka-down", 9.0, observed=9.1, healed=16.5, outage=True))
    verdict = story.check()
    assert verdict.gap_s == pytest.approx(0.5)
    assert verdict.recovery_s == pytest.approx(0.5)


def test_the_longest_gap_is_told_for_each_fault() -> None:
    story = Story()
    story.session("anna").at[4] += 0.7  # due at 5.0
    story.session("anna").at[9] = 17.0  # due at 10.0
    for began, ended in ((4.5, 5.2), (5.5, 8.5), (5.6, 5.65), (16.0, 17.5)):
        story.history.fault(FaultTimes("roll-out", began, observed=ended, healed=ended))
    story.history.fault(FaultTimes("roll-out", 17.8, observed=17.9))  # not over yet
    assert story.check().gaps_s == [0.71, 0.71, 0.0, 7.0, 0.0]


def test_sessions_of_a_stopped_node_are_excused() -> None:
    story = Story()
    story.session("anna").at[9] = 17.0
    times = FaultTimes("stop-gateway", 9.5, observed=9.6, healed=16.9, nodes=frozenset({"gateway.1"}))
    story.history.fault(times)
    assert story.check().gap_s == pytest.approx(0.1)
    story.history.faults[0] = replace(times, nodes=frozenset({"gateway.2"}))
    assert story.check().gap_s == pytest.approx(7.0)


def test_examples_are_limited() -> None:
    story = Story()
    for _ in range(8):
        story.drop("anna", 0)
    story.session("anna").ready = 0.5
    verdict = story.check()
    assert verdict.lost == 8
    assert (len(verdict.violations), verdict.more) == (5, 3)
