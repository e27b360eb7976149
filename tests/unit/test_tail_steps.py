"""Reading another node's inbox, step by step."""

import pytest

from fanfare.presence.inboxes import InboxEntry, InboxGoneError
from fanfare.record import FENCE, Position, Record
from gateway.recovery.crossing import LastS
from gateway.recovery.tail import OldestS, ReadBetween, ReadOn, Seen, read_to, read_until
from tests.unit.by_hand import ByHand

INBOX = "a.1"


def entry(s: int, partition: int = 0, *, fence: str = "") -> InboxEntry:
    record = Record(
        type=FENCE if fence else "MESSAGE_CREATE", fence=fence, source=Position("t", partition, s)
    )
    return InboxEntry(s, record)


def test_it_is_read_until_the_fence_has_shown_up_in_every_partition():
    seen = Seen(INBOX, 10)
    hand = ByHand(read_until(seen, 10, {"t/0": 12, "t/1": 13}))
    hand.answer(ReadOn(INBOX, 9), [entry(10), entry(12, fence="f")])
    hand.answer(ReadOn(INBOX, 12), [entry(14, 1)])
    hand.answer(OldestS(INBOX), 5)
    assert hand.wish is None
    assert [one.s for one in seen.between(10, 20)] == [10, 14]


def test_what_another_session_wants_from_further_back_is_read_too():
    seen = Seen(INBOX, 10)
    seen.add([entry(10), entry(12)])
    hand = ByHand(read_until(seen, 5, {"t/0": 12}))
    hand.answer(ReadBetween(INBOX, 5, 9), [entry(7)])
    assert hand.wish is None
    assert [one.s for one in seen.between(5, 11)] == [7, 10]
    assert ByHand(read_until(seen, 6, {"t/0": 12})).wish is None, "nobody reads it again"


def test_it_is_read_to_an_entry():
    seen = Seen(INBOX, 10)
    hand = ByHand(read_to(seen, 12))
    hand.answer(ReadOn(INBOX, 9), [entry(10)])
    hand.answer(ReadOn(INBOX, 10), [entry(12), entry(15)])
    hand.answer(OldestS(INBOX), 10)
    assert hand.wish is None
    assert seen.last == 15


def test_an_inbox_that_brings_nothing_may_be_gone():
    hand = ByHand(read_to(Seen(INBOX, 10), 12))
    hand.answer(ReadOn, [])
    hand.answer(LastS(INBOX), 9)
    hand.answer(ReadOn(INBOX, 9), [])
    with pytest.raises(InboxGoneError):
        hand.fail(LastS(INBOX), InboxGoneError(INBOX))


def test_an_inbox_that_was_trimmed_between_two_pages_has_lost_what_was_between():
    seen = Seen(INBOX, 10)
    hand = ByHand(read_to(seen, 30))
    hand.answer(ReadOn, [entry(10)])
    hand.answer(ReadOn, [entry(25)])
    with pytest.raises(InboxGoneError):
        hand.answer(OldestS, 25)
