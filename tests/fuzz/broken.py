"""Requests that are broken somewhere: a good one, and something done to it."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from hypothesis import strategies as st

from tests.fuzz.doors import BODIES, EDIT, LARGE, OPS, REST

__all__ = ["Case", "Frame", "cases", "edits", "frames", "places"]

_MULTIPART: Final = "multipart/form-data; boundary=x"


@dataclass(frozen=True)
class Case:
    """One REST request, with words in capitals in the place of ids."""

    method: str
    route: str
    path: str
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """A name may come twice."""
    then: tuple[bytes, ...] = ()
    """Further bodies for the same path, one after the other."""


@dataclass(frozen=True)
class Frame:
    """One message over a socket."""

    data: bytes
    op: int
    """What it began as."""
    identified: bool
    binary: bool = False


# Numbers, strings and nestings that have broken programs of this kind.
_NASTY: Final[list[Any]] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    5,
    9,
    17,
    1.5,
    1e308,
    -0.0,
    255,
    256,
    4096,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    (1 << 53) - 1,
    1 << 53,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
    1 << 64,
    1 << 100,
    -(1 << 63),
    -(1 << 63) - 1,
    float("nan"),
    float("inf"),
    10**400,
    "",
    " ",
    "\0",
    "a\0b",
    "0",
    "-1",
    "1.5",
    "1e5",
    "+1",
    " 1",
    "1 ",
    "\u0663",
    "\u0e51",
    "\U0001d7d9",
    "\u00b2",
    "0x10",
    "007",
    "9" * 19,
    "9" * 20,
    "99999999999999999999",
    str((1 << 63) - 1),
    str(1 << 63),
    "null",
    "true",
    "undefined",
    "x" * 100,
    "x" * 101,
    "x" * 2000,
    "x" * 2001,
    "x" * 5000,
    "\U0001f701" * 2000,
    "\u00e9" * 4001,
    "\ud800",
    "a\udfffb",
    "\u202e\u200b\ufdfd",
    "z\u0351\u036b\u0343" * 50,
    "\u2028",
    "<@99999999999999999999>",
    "<@&99999999999999999999>",
    "<@\u0663\u0663\u0663>",
    "<@1> " * 300,
    "<@-1>",
    "<#99999999999999999999>",
    "<:a:99999999999999999999>",
    "@everyone",
    "@here",
    "<@!ME>",
    "javascript:alert(1)",
    "data:text/html,x",
    "http://",
    "https://",
    "//x",
    "ftp://x",
    "http://[::1",
    "attachment://x",
    "https://" + "x" * 3000,
    "2026-13-45T99:99:99Z",
    "9999999999999999999-01-01T00:00:00Z",
    "%s%n{}{0}",
    "'; DROP TABLE x; --",
    [],
    [None],
    [[]],
    [{}],
    {},
    {"": ""},
    {"id": {}},
    {"type": 2},
    {"type": 17},
    {"type": "1"},
    {"type": 99, "components": [{}]},
    ["1"] * 300,
    [0] * 3000,
    [{}] * 200,
    {str(key): key for key in range(300)},
]


def _deep(depth: int, kind: str) -> Any:
    found: Any = None
    for _ in range(depth):
        found = [found] if kind == "list" else {"components" if kind == "row" else "a": found}
    return found


_NASTY += [_deep(depth, kind) for depth in (3, 50, 200) for kind in ("list", "object")]
_NASTY.append(_deep(100, "row"))
_RAW: Final = [
    b"",
    b" ",
    b"{",
    b"[",
    b"}",
    b'{"content":',
    b'{"content":"x"',
    b"nul",
    b"NaN",
    b"Infinity",
    b"-",
    b"1e",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'{"content":"\xff"}',
    b'{"content":"x","content":["y"]}',
    b'{"a":1}{"b":2}',
    b"[" * 1000,
    b"[" * 900 + b"]" * 900,
    b'{"a":' * 1000,
    b'{"content":"\\ud800"}',
    b"{'content': 'x'}",
    b'{"content":"x",}',
    b"\0",
    b'"x"',
    b"1" * 5000,
    b"1e400",
    b'{"flags":1e400}',
    b'{"content":"\\u0000"}',
    b"[1]",
    b"null",
    b"true",
    b"0",
]
_PATHS: Final = [
    "0",
    "1",
    "-1",
    "00",
    "9" * 19,
    "9" * 20,
    "9" * 21,
    str(1 << 63),
    str((1 << 63) - 1),
    "@me",
    "abc",
    "%00",
    "%2e%2e",
    "..",
    "\u0663",
    "1.5",
    "1e3",
    "%F0%9F%94%A5",
    "",
    "null",
    "{guild}",
    "1;2",
    "1%2F2",
    "MESSAGE",
    "CHANNEL",
    "GUILD",
    "ME",
    "ROLE",
]
# Names of the fields of a body with parts.
_NAMES: Final = [
    b"payload_json",
    b"content",
    b"embeds[0]",
    b"files[0]",
    b"",
    b"." * 3000,
    b"a.b.c",
    b"_errors",
    b"n" * 65,
    b"[" * 3000,
    b"\xff",
    b"\xc3\xa9",
    b"\xed\xa0\x80",
    b"\x01",
    b'\\"',
    b"%00",
    b"a; filename=b",
]
_HEADERS: Final[list[list[tuple[str, str]]]] = [
    [("X-Audit-Log-Reason", reason)] for reason in ("x" * 600, "%F0%9F", "%", "a%00b", "\xe9")
]
_HEADERS += [
    [("Content-Encoding", one)] for one in ("gzip", "deflate", "br", "zstd", "nonsense", "identity", "")
]
_HEADERS += [
    [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")],
    [("Content-Encoding", "identity, gzip")],
    [("Expect", "foo")],
    [("Expect", "foo"), ("Expect", "bar")],
    [("Expect", "100-continue, foo")],
    [("Transfer-Encoding", "foo")],
    [("Transfer-Encoding", "gzip")],
    [("Transfer-Encoding", "identity")],
    [("Content-Type", "application/json")],
    [("Range", "bytes=9-1"), ("If-None-Match", "*")],
    [("X-Forwarded-For", "x"), ("X-Forwarded-For", "1.2.3.4, ::1, \xe9")],
    [("Cookie", "a=" + "b" * 4000)],
    [("Accept", "text/html;q=nonsense"), ("Accept-Encoding", "gzip;q=0")],
    [("Host", "example.org")],
]
# In the place of a good one. An address that sends thousands of wrong ones is kept out, so they are few.
_AUTHORIZATIONS: Final = [
    "",
    "Bot",
    "Bot ",
    "TOKEN",
    "bot TOKEN",
    "Bot  TOKEN",
    "Bearer TOKEN",
    "Bot TOKEN ",
    "Bot TOKENx",
    "Bot \xe9",
    "Bot " + "." * 3000,
    "Bot \xb2.\xb2.\xb2",
    "Basic TOKEN",
]
_FIELD: Final = b'--x\r\nContent-Disposition: form-data; name="content"\r\n\r\nwords'
_PARTS: Final = [
    b'--x\r\nContent-Disposition: form-data; name="payload_json"\r\n\r\n%b\r\n--x--\r\n',
    _FIELD + b'\r\n--x\r\nContent-Disposition: form-data; name="payload_json"\r\n\r\n%b\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="files[0]"; filename="a.png"\r\n\r\n%b\r\n--x--\r\n',
    b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n%b\r\n--y--\r\n--x--\r\n",
    b"--x\r\nno colon\r\n\r\n%b\r\n--x--\r\n",
    b"--x\r\nX-Long: " + b"y" * 9000 + b"\r\n\r\n%b\r\n--x--\r\n",
    b'--x\r\nContent-Disposition: form-data; name="payload_json"\r\nContent-Encoding: gzip\r\n\r\n%b\r\n--x--\r\n',
    b"--x\r\n\r\n%b",
    b"%b",
    b"--x--\r\n%b",
    b"--x\r\n%b",
]
_KINDS: Final = [
    "application/json",
    "application/json; charset=utf-16",
    "application/json; charset=nonsense",
    "text/plain",
    "",
    "x",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "x" * 200,
    "application/x-www-form-urlencoded",
    "multipart/mixed; boundary=x",
]
_QUERIES: Final = ["limit", "before", "after", "around", "query", "with_counts", "unknown", "v"]

_values: Final = st.one_of(
    st.sampled_from(_NASTY),
    st.integers(),
    st.text(max_size=12),
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 70_000) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "type", "name", "components", "url", "content", "x"]),
                inner,
                max_size=3,
            )
        ),
        max_leaves=6,
    ),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a JSON value."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*at, key))


def _changed(value: Any, at: tuple[Any, ...], how: str, junk: Any) -> Any:
    """The value with something done to one place of it."""
    if not at:
        return junk
    whole = copy.deepcopy(value)
    holder = whole
    for key in at[:-1]:
        holder = holder[key]
    key = at[-1]
    match how:
        case "put":
            holder[key] = junk
        case "wrap":
            holder[key] = [holder[key]]
        case "many":
            holder[key] = [holder[key]] * 30
        case "drop":
            del holder[key]
        case _ if isinstance(holder, dict):
            holder[str(junk)[:40] if isinstance(junk, str) else "unknown"] = holder[key]
        case _:
            holder.append(junk)
    return whole


@st.composite
def _json(draw: st.DrawFn, good: list[Any]) -> bytes:
    """A good body with up to three places changed, or something that is no body at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(_RAW) | st.binary(max_size=20))
    value = draw(st.sampled_from(good))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.sampled_from(list(places(value))))
        how = draw(st.sampled_from(["put", "put", "put", "put", "wrap", "many", "drop", "add"]))
        value = _changed(value, at, how, draw(_values))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _parts(draw: st.DrawFn, body: bytes) -> bytes:
    """A body with parts, one of which may hold the body."""
    if draw(st.booleans()):
        return draw(st.sampled_from(_PARTS)).replace(b"%b", body)
    names = draw(st.lists(st.sampled_from(_NAMES) | st.binary(max_size=8), min_size=1, max_size=3))
    line = b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    values = [body if name == b"payload_json" else draw(st.binary(max_size=8)) for name in names]
    return b"".join(line % (name, value) for name, value in zip(names, values, strict=True)) + b"--x--\r\n"


_bodies: Final = {door: _json(good) for door, good in BODIES.items()}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A broken REST request."""
    method, route = draw(st.sampled_from(REST))
    path = route
    for name in [part[1:-1] for part in route.split("/") if part.startswith("{")]:
        odd = draw(st.integers(0, 6)) == 0
        path = path.replace("{" + name + "}", draw(st.sampled_from(_PATHS)) if odd else f"<{name}>")
    if method == "GET" or draw(st.integers(0, 9)) == 0:
        asked = draw(st.lists(st.tuples(st.sampled_from(_QUERIES), st.sampled_from(_NASTY)), max_size=3))
        path += "?" + "&".join(f"{key}={_quoted(value)}" for key, value in asked)
    body = draw(_bodies.get((method, route), st.sampled_from(_RAW)))
    headers = [("Content-Type", "application/json")]
    match draw(st.integers(0, 23)):
        case 0 | 1 | 2:
            headers = [("Content-Type", _MULTIPART)]
            body = draw(_parts(body))
        case 3 | 4:
            headers = [("Content-Type", draw(st.sampled_from(_KINDS)))]
        case 5 | 6 | 7:
            headers += draw(st.sampled_from(_HEADERS))
        case 8:
            if draw(st.booleans()):
                headers.append(("Authorization", draw(st.sampled_from(_AUTHORIZATIONS))))
    return Case(method, route, path, body, headers)


@st.composite
def edits(draw: st.DrawFn) -> Case:
    """Edits of one message, one after the other: large ones, and broken ones."""
    large = st.sampled_from(LARGE).map(lambda body: json.dumps(body, ensure_ascii=False).encode())
    first, *then = draw(st.lists(large | _bodies[EDIT], min_size=2, max_size=3))
    path = EDIT[1].format(channel="<channel>", message="<edited>")
    return Case(*EDIT, path, first, [("Content-Type", "application/json")], tuple(then))


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(f"%{byte:02X}" for byte in text[:300].encode("utf-8", "surrogatepass"))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """A broken message over a socket."""
    op = draw(st.sampled_from(sorted(OPS)))
    identified = draw(st.booleans()) or op >= 128
    match draw(st.integers(0, 9)):
        case 0:
            data = draw(st.sampled_from(_RAW) | st.binary(max_size=20))
        case 1:
            data = draw(_json([{"op": op, "d": OPS[op]}]))
        case _:
            data = b'{"op":%d,"d":%b}' % (op, draw(_frames[op]))
    return Frame(data, op, identified, draw(st.integers(0, 5)) == 0)


_frames: Final = {op: _json([d]) for op, d in OPS.items()}
