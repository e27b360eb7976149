"""A session's history is a path through inboxes, cut at fences."""

from hypothesis import given
from hypothesis import strategies as st

from fanfare.constants import EARLY_NUMBERS
from fanfare.presence.inboxes import InboxEntry
from fanfare.record import FENCE, INBOXES, Record
from gateway.recovery.path import Hop, above, path, reaches, segment, split_at, unregistered

PARTITIONS = ("a/0", "a/1", "b/0")


def entry(s: int, partition: str, offset: int, **fields) -> InboxEntry:
    topic, number = partition.split("/")
    fields = {"type": "X", "guild": 1} | fields
    return InboxEntry(s, Record(source=(topic, int(number), offset), **fields))


def marker(s: int, text: str) -> InboxEntry:
    return InboxEntry(s, None, text)


def at(found) -> list[tuple[str, int]]:
    return [("{}/{}".format(*each.record.position[:2]), each.record.position.offset) for each in found]


def test_a_client_is_on_the_last_hop_not_above_it():
    hops = [Hop("a", 0), Hop("b", 10), Hop("c", 20)]
    assert path(hops, 9) == hops
    assert path(hops, 10) == hops[1:]
    assert path(hops, 10**9) == hops[2:]
    assert path(hops[1:], 9) is None


def test_a_client_within_the_early_part_is_on_its_hop():
    hops = [Hop("a"), Hop("b", 10 + EARLY_NUMBERS, {}, since=4)]
    assert path(hops, 9) == hops
    assert path(hops, 10) == path(hops, 11 + EARLY_NUMBERS) == hops[1:]
    assert hops[1].after(10) == hops[1].after(9 + EARLY_NUMBERS) == 4, (
        "the early part is read from its beginning"
    )
    assert hops[1].after(11 + EARLY_NUMBERS) == 11 + EARLY_NUMBERS


def test_a_fence_lies_below_what_comes_after_it():
    assert not above(("a", 0, 5), {"a/0": 5})
    assert above(("a", 0, 6), {"a/0": 5})
    assert above(("a", 1, 0), {"a/0": 5}), "a partition without a fence has nothing below it"


def test_an_inbox_reaches_back_to_an_entry_that_it_has():
    kept = [entry(5, "a/0", 1), entry(6, "a/0", 2)]
    assert reaches(kept, {"g:1": 6}, ["g:1"], 5)
    assert reaches(kept, {"g:1": 6}, ["g:1"], 4), "the number just below an entry: nothing can be missing"
    assert not reaches(kept, {"g:1": 6}, ["g:1"], 3)
    assert not reaches([], {"g:1": 6}, ["g:1"], 4)


def test_quiet_guilds_are_not_punished_for_a_busy_node():
    newest = {"g:1": 4, "g:2": 900, "u:7": 3}
    assert reaches([entry(800, "a/0", 1)], newest, ["g:1", "u:7", "g:3"], 4)
    assert not reaches([entry(800, "a/0", 1)], newest, ["g:1", "g:2"], 4)


def test_a_history_leaves_an_inbox_at_the_marker():
    kept = [
        entry(3, "a/0", 5),
        entry(4, "a/0", 7),
        entry(5, "a/1", 3, guild=2),
        marker(6, "MOVED x:0"),
        entry(7, "a/0", 8),
    ]
    assert split_at({"a/0": 6, "a/1": 2}, kept, ["g:1", "u:9"], 6) == {"a/0": 7, "a/1": 2}, (
        "what is not for the session does not come by in its next inbox"
    )


def test_leaving_a_scope_breaks_the_path_from_there_on():
    kept = [marker(3, "START"), marker(5, "UNREG g:1 u:7"), marker(6, "RAISE")]
    assert unregistered(kept, ["g:1"], 4)
    assert unregistered(kept, ["g:2", "u:7"], 4)
    assert not unregistered(kept, ["g:11", "u:"], 4)
    assert not unregistered(kept, ["g:1"], 5)


def test_markers_and_fences_are_not_dispatched():
    kept = [
        marker(1, "START"),
        entry(2, "a/0", 1, type=FENCE, audience=INBOXES, fence="f", inboxes=("x",)),
        entry(3, "a/0", 2),
    ]
    assert at(segment(kept, Hop("x"), after=0, upto=9, next_f=None, cut={})) == [("a/0", 2)]


def test_the_ends_of_a_segment():
    kept = [entry(s, "a/0", s) for s in range(1, 8)]
    found = segment(kept, Hop("x", 0, {"a/0": 2}), after=1, upto=6, next_f={"a/0": 5}, cut={"a/0": 3})
    assert at(found) == [("a/0", 4), ("a/0", 5)]
    assert at(segment(kept, Hop("x"), after=4, upto=6, next_f=None, cut={})) == [("a/0", 5), ("a/0", 6)]


def test_the_early_part_has_numbers_of_its_own():
    t = 100 + EARLY_NUMBERS
    hop = Hop("x", t, {"a/0": 2, "a/1": 9}, since=3)
    kept = [
        entry(3, "a/0", 3),
        entry(4, "a/1", 9),
        entry(5, "a/0", 4),
        entry(6, "a/0", 5, type=FENCE, audience=INBOXES, fence="f", inboxes=("x",)),
        entry(7, "a/1", 10),
        entry(t + 1, "a/0", 6),
    ]

    def owed(after):
        return [(each.s - 100, each.record.position.offset) for each in segment(
            kept, hop, after=after, upto=t + 9, next_f=None, cut={}
        )]  # fmt: skip

    assert owed(hop.base) == [(1, 4), (2, 10), (EARLY_NUMBERS + 1, 6)]
    assert owed(hop.base + 1) == [(2, 10), (EARLY_NUMBERS + 1, 6)]
    assert owed(t) == [(EARLY_NUMBERS + 1, 6)]


@st.composite
def histories(draw):
    """Hops and inboxes as the writers make them: every partition in order, and a fence in each at every hop.

    An inbox may hold more than its part: the old one goes on receiving after the fence, the new one gets what the
    writers still had when it was registered. Up to the fence all is in the old one; all above the fence is in the
    new one, some of it before that was raised to T.
    """
    logs = dict.fromkeys(PARTITIONS, 0)
    hops, inboxes, truth = [Hop("0", 0, {})], [[]], []
    s = 0

    def write(inbox, partition, offset):
        nonlocal s
        s += draw(st.integers(1, 3))
        inboxes[inbox].append(entry(s, partition, offset))

    def events(targets):
        for partition in draw(st.lists(st.sampled_from(PARTITIONS), max_size=6)):
            truth.append((partition, logs[partition]))
            for target in targets:
                write(target, partition, logs[partition])
            logs[partition] += 1

    events([0])
    for hop in range(1, draw(st.integers(1, 4))):
        inboxes.append([])
        since = s
        events([hop - 1, hop])  # registered for both
        f = dict(logs)
        logs = {partition: offset + 1 for partition, offset in logs.items()}
        events([hop - 1, hop])  # before the old one has shown the fence
        s += draw(st.integers(1, 3)) + EARLY_NUMBERS
        hops.append(Hop(str(hop), s, f, since))
        events([hop - 1, hop])
    return hops, inboxes, truth


def walk(hops, inboxes, s):
    """What a client at `s` is owed: (s, position) of each."""
    found = []
    hops = path(hops, s)
    for hop, following in zip(hops, [*hops[1:], Hop("", 2**53, None)], strict=True):
        after = max(s, hop.base)
        kept = [each for each in inboxes[int(hop.inbox)] if each.s > hop.after(after)]
        part = segment(kept, hop, after=after, upto=following.base, next_f=following.f, cut={})
        found += [(each.s, *position) for each in part for position in at([each])]
    return found


@given(histories())
def test_walking_the_path_yields_each_event_once_and_in_order(history):
    hops, inboxes, truth = history
    found = walk(hops, inboxes, 0)
    assert sorted(each[1:] for each in found) == sorted(truth)
    for partition in PARTITIONS:
        offsets = [offset for _, name, offset in found if name == partition]
        assert offsets == sorted(offsets)
    assert [s for s, *_ in found] == sorted(s for s, *_ in found)


@given(histories(), st.data())
def test_wherever_a_client_stopped_it_is_owed_the_rest(history, data):
    hops, inboxes, _ = history
    found = walk(hops, inboxes, 0)
    stops = sorted({0, *(s for s, *_ in found), *(hop.t for hop in hops)})
    stop = data.draw(st.sampled_from(stops))
    assert [each for each in found if each[0] <= stop] + walk(hops, inboxes, stop) == found
