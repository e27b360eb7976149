"""Record format 1 and the entries of inboxes, to the byte: what one version writes, the next one has to read.

During an update processes of two versions work side by side, and Kafka keeps records for days. Change an expectation
here only together with a new format number and a reader of the old one.
"""

import msgspec

from fanfare.record import CHANNEL, FENCE, GUILD, INBOXES, Record

PAYLOAD = b'{"content":"hello","embeds":[],"attachments":[],"components":[],"id":"7"}'
MESSAGE = Record(
    type="MESSAGE_CREATE",
    id=7,
    at=1_795_740_000_123,
    audience=CHANNEL,
    guild=1,
    channel=2,
    author=3,
    nonce="n-1",
    permission=1024,
    users=(4, 5),
    mentions=(6,),
    gated=(1, 63),
    version=8,
    source=("chat.events", 3, 42),
    payload=PAYLOAD,
)
HEADERS = [
    ("v", b"1"),
    ("type", b"MESSAGE_CREATE"),
    ("id", b"7"),
    ("at", b"1795740000123"),
    ("guild", b"1"),
    ("channel", b"2"),
    ("author", b"3"),
    ("permission", b"1024"),
    ("version", b"8"),
    ("audience", b"channel"),
    ("nonce", b"n-1"),
    ("users", b"4,5"),
    ("mentions", b"6"),
    ("gated", b"1-63"),
    ("source", b"chat.events/3/42"),
]
CHANGE_HEADERS = [
    ("v", b"1"),
    ("type", b"GUILD_UPDATE"),
    ("version", b"8"),
    ("audience", b"guild"),
    ("before", b'{"name":"\xc3\xb6"}'),
]
# Without `before`, which came later.
OLD_ENTRY = (
    bytes.fromhex(
        "dc0012ae4d4553534147455f43524541544507cf000001a21a71df7ba76368616e6e656c010203a36e2d31cd0400"
        "920405910692013f08a090a093ab636861742e6576656e7473032ac449"
    )
    + PAYLOAD
)
ENTRY = b"\xdc\x00\x13" + OLD_ENTRY[3:] + b"\xc4\x00"
FENCES = Record(type=FENCE, audience=INBOXES, fence="f1", inboxes=("a.1", "b.2"))
FENCE_HEADERS = [
    ("v", b"1"),
    ("type", b"FENCE"),
    ("audience", b"inboxes"),
    ("fence", b"f1"),
    ("inboxes", b"a.1,b.2"),
]


def test_headers_in_kafka():
    assert MESSAGE.headers() == HEADERS
    assert Record.from_kafka(HEADERS, PAYLOAD) == MESSAGE
    assert FENCES.headers() == FENCE_HEADERS
    assert Record.from_kafka(FENCE_HEADERS, b"") == FENCES
    change = Record(type="GUILD_UPDATE", audience=GUILD, version=8, before='{"name":"ö"}'.encode())
    assert change.headers() == CHANGE_HEADERS
    assert Record.from_kafka(CHANGE_HEADERS, b"") == Record.unpack(change.pack()) == change


def test_entries_in_inboxes():
    assert MESSAGE.pack().hex() == ENTRY.hex()
    assert Record.unpack(ENTRY) == Record.unpack(OLD_ENTRY) == MESSAGE


def test_a_newer_version_may_add_headers():
    assert Record.from_kafka([*HEADERS, ("colour", b"blue")], PAYLOAD) == MESSAGE


def test_entries_of_other_versions():
    """Fields are only ever added at the end: an older entry lacks some, a newer one has more."""
    fields = msgspec.msgpack.decode(MESSAGE.pack())
    assert Record.unpack(msgspec.msgpack.encode([*fields, "more"])) == MESSAGE
    assert Record.unpack(msgspec.msgpack.encode(["TYPING_START", 9])) == Record(type="TYPING_START", id=9)
