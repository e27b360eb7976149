"""What the Lua scripts of inboxes do, in Python. tests/integration/test_append_twin.py compares the two."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fanfare.constants import S_EPOCH_MS, S_SHIFT
from fanfare.presence.inboxes import InboxEntry, InboxGoneError
from fanfare.record import Record
from gateway.recovery.path import Moved


@dataclass
class Inbox:
    """The stream and the `at` hash of an inbox."""

    s: int
    token: str
    open: bool
    newest: dict[str, int] = field(default_factory=dict)
    high: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    entries: list[InboxEntry] = field(default_factory=list)
    expires: int = 0

    def copy(self) -> "Inbox":
        return Inbox(
            self.s,
            self.token,
            self.open,
            dict(self.newest),
            dict(self.high),
            dict(self.cut),
            list(self.entries),
            self.expires,
        )


def create(now_ms: int, *, floor: int, token: str, is_open: bool, newest: Mapping[str, int]) -> Inbox:
    """create.lua."""
    s = max(floor + 1, _clock(now_ms))
    return Inbox(s, token, is_open, dict(newest), entries=[InboxEntry(s, None, "START")])


def append(inbox: Inbox, records: Sequence[Record], now_ms: int, cap: int, *, check: bool = True) -> int:
    """append.lua; answers the number appended. `check` off is a planted bug."""
    floor = _clock(now_ms)
    appended = 0
    for record in records:
        topic, partition, offset = record.position
        name = f"{topic}/{partition}"
        if check and offset <= inbox.high.get(name, -1):
            continue
        inbox.s = max(inbox.s + 1, floor)
        inbox.entries.append(InboxEntry(inbox.s, record))
        inbox.high[name] = offset
        for scope in record.scopes():
            inbox.newest[scope] = inbox.s
        appended += 1
    del inbox.entries[: max(0, len(inbox.entries) - cap)]
    return appended


def mark(inbox: Inbox, marker: str, now_ms: int) -> int:
    """mark.lua; answers the marker's `s`."""
    inbox.s = max(inbox.s + 1, _clock(now_ms))
    inbox.entries.append(InboxEntry(inbox.s, None, marker))
    return inbox.s


def raise_above(inbox: Inbox, floor: int, gap: int, now_ms: int) -> int:
    """raise.lua; answers the filler's `s`."""
    inbox.s = max(inbox.s + 1, floor + 1, _clock(now_ms)) + gap
    inbox.entries.append(InboxEntry(inbox.s, None, "RAISE"))
    return inbox.s


def unregister(inbox: Inbox, scopes: Iterable[str], now_ms: int) -> None:
    """The marker of unregister.lua."""
    scopes = list(scopes)
    if not scopes:
        return
    inbox.s = max(inbox.s + 1, _clock(now_ms))
    inbox.entries.append(InboxEntry(inbox.s, None, " ".join(["UNREG", *scopes])))
    for scope in scopes:
        inbox.newest[scope] = inbox.s


def open_up(
    inboxes: Mapping[str, Inbox], name: str, cut: Mapping[str, int], newest: Mapping[str, int]
) -> None:
    """open.lua, and what the product makes of its answer."""
    inbox = inboxes.get(name)
    if inbox is None:
        raise InboxGoneError(name)
    inbox.cut = dict(cut)
    for scope, s in newest.items():
        inbox.newest[scope] = max(s, inbox.newest.get(scope, 0))
    inbox.open = True


def move(moves: dict[str, Moved], session: str, expected: int, moved: Moved, *, check: bool = True) -> bool:
    """move.lua, for one session. `check` off is a planted bug."""
    there = moves.get(session)
    if check and (there.version if there is not None else 0) != expected:
        return False
    moves[session] = moved
    return True


def move_after_loss(moves: dict[str, Moved], session: str, known: int, moved: Moved) -> bool:
    """move_after_loss.lua."""
    there = moves.get(session)
    if there is not None and there.version > known:
        return False
    moves[session] = moved
    return True


def _clock(now_ms: int) -> int:
    return (now_ms - S_EPOCH_MS) << S_SHIFT
