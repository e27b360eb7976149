"""What was read of another node's inbox."""

from fanfare.presence.inboxes import InboxEntry
from fanfare.record import FENCE
from gateway.recovery import other_inboxes
from gateway.recovery.other_inboxes import Tail, Tails
from tests.unit.gateway_world import Log


def inbox(monkeypatch, entries):
    """An inbox with these entries; the `s` behind which each was read from."""
    asked = []

    async def read(_redis, _inbox, after, **_):
        asked.append(after)
        return [entry for entry in entries if entry.s > after]

    async def read_between(_redis, _inbox, first, last, **_):
        return [entry for entry in entries if first <= entry.s <= last]

    async def oldest_s(_redis, _inbox):
        return entries[0].s

    for name, fake in {"read": read, "read_between": read_between, "oldest_s": oldest_s}.items():
        monkeypatch.setattr(other_inboxes.inboxes, name, fake)
    return asked


def entries():
    log = Log()
    made = []
    for s in range(10, 30):
        # Every other one is a fence.
        record = log.message(str(s)) if s % 2 else log.record(FENCE, fence="f")
        made.append(InboxEntry(s, record))
    return made


async def test_of_fences_only_the_first_of_all_is_shown(monkeypatch):
    inbox(monkeypatch, entries())
    tail = Tail(None, None, "x.1", 12)
    await tail.upto(29)
    # The oldest says that the inbox reaches that far, whatever it is.
    assert [entry.s for entry in tail.entries(12, 20)] == [12, 13, 15, 17, 19]
    assert [entry.s for entry in tail.entries(13, 20)] == [13, 15, 17, 19]
    await tail.until(10, {})
    assert [entry.s for entry in tail.entries(10, 14)] == [10, 11, 13]
    assert tail.entries(30, 40) == []


async def test_what_was_read_is_kept_while_anybody_comes_from_any_inbox(monkeypatch):
    asked = inbox(monkeypatch, entries())
    kept = Tails(None, None)
    with kept.of("y.1", 1):
        for _ in range(2):
            with kept.of("x.1", 12) as tail:
                await tail.upto(29)
    assert len(asked) == 1
    with kept.of("x.1", 12) as tail:
        await tail.upto(29)
    assert len(asked) == 2
