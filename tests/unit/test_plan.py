"""What the fan-out decides."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from fanfare.constants import NONCE_WINDOW_S, SNOWFLAKE_EPOCH_MS
from fanfare.record import FENCE, INBOXES, Position, Record
from fanfare.retries import is_late
from fanout.plan import SOURCE, Decision, decide, delivery_headers, first_key

MADE_MS = SNOWFLAKE_EPOCH_MS + 1_000_000
WINDOW_MS = int(NONCE_WINDOW_S * 1000)
MESSAGE_ID = 1_000_000 << 22


def message(nonce: str = "n", offset: int = 5, author: int = 9) -> Record:
    return Record(
        type="MESSAGE_CREATE",
        id=MESSAGE_ID,
        author=author,
        nonce=nonce,
        source=Position("chat.events", 1, offset),
    )


def test_the_first_position_is_delivered() -> None:
    assert decide(message(), MADE_MS, message().position) is Decision.DELIVER


def test_a_send_that_stands_elsewhere_is_dropped() -> None:
    assert decide(message(), MADE_MS, Position("chat.events", 1, 4)) is Decision.REPEATED


def test_the_end_of_the_window_is_inside() -> None:
    assert decide(message(), MADE_MS + WINDOW_MS, message().position) is Decision.DELIVER
    assert decide(message(), MADE_MS + WINDOW_MS + 1, message().position) is Decision.LATE


def test_d4_a_message_without_a_nonce_is_never_late() -> None:
    plain = Record(type="MESSAGE_CREATE", id=message().id, channel=5, author=3, source=message().position)
    assert decide(plain, MADE_MS + 10 * WINDOW_MS, None) is Decision.DELIVER


def test_only_new_messages_are_late() -> None:
    change = Record(type="GUILD_UPDATE", id=1, author=3, nonce="7", source=Position("guild.events", 0, 1))
    assert decide(change, MADE_MS + 10 * WINDOW_MS, change.position) is Decision.DELIVER
    assert not is_late(Record(type="MESSAGE_UPDATE", id=1), MADE_MS)


def test_fences_pass() -> None:
    fence = Record(
        type=FENCE, audience=INBOXES, inboxes=("a.1",), fence="f", source=Position("location.events", 0, 0)
    )
    assert first_key(fence) is None
    assert decide(fence, 2**60, None) is Decision.DELIVER


def test_senders_do_not_share_nonces() -> None:
    assert first_key(message(author=1)) != first_key(message(author=2))


def test_headers_go_on_as_they_are() -> None:
    headers = [("v", b"1"), ("colour", b"\xff"), (SOURCE, b"forged/0/0")]
    assert delivery_headers(headers, Position("chat.events", 1, 5)) == [
        ("v", b"1"),
        ("colour", b"\xff"),
        (SOURCE, b"chat.events/1/5"),
    ]


SENDS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "a", "b"])), max_size=20)


def deliver(sends: Sequence[tuple[int, str]], first: dict[str, Position], begin: int) -> list[int]:
    """The offsets that are delivered of a log, from `begin` on; `first` is what Redis keeps."""
    found = []
    for offset in range(begin, len(sends)):
        author, nonce = sends[offset]
        record = message(nonce, offset, author)
        key = first_key(record)
        standing = first.setdefault(key, record.position) if key is not None else None
        if decide(record, MADE_MS, standing) is Decision.DELIVER:
            found.append(offset)
    return found


@given(SENDS, st.data())
def test_each_send_once_however_often_the_log_is_read(
    sends: list[tuple[int, str]], data: st.DataObject
) -> None:
    first: dict[str, Position] = {}
    delivered = deliver(sends, first, 0)
    named = [sends[offset] for offset in delivered if sends[offset][1]]
    assert len(named) == len(set(named))
    assert {send for send in sends if send[1]} == set(named)
    begin = data.draw(st.integers(0, len(sends)))
    assert deliver(sends, first, begin) == [offset for offset in delivered if offset >= begin]
