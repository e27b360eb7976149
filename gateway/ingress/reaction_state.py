"""The reactions to messages, from the two places that know of them: the database, and Redis for the newest. Pure.

Redis has what the database may not have yet: of one user's emoji on a message whether it is there, and of a whole
message, or of an emoji on it, that all were taken away. It wins, because it is read first: whatever leaves it stands
in the database by then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from fanfare.emoji import Emoji
from fanfare.payloads import Json
from fanfare.store.reactions import Apart, Counted

__all__ = ["EVERYBODY", "MAX_KINDS", "Kind", "Newest", "field_of", "kinds"]

MAX_KINDS: Final = 20
"""Different emojis on a message."""
EVERYBODY: Final = 0


def field_of(message: int, user: int, emoji: str) -> str:
    """Where Redis notes it; EVERYBODY and no emoji: all of them were taken away."""
    return f"{message}:{user}:{emoji}"


class _Known(NamedTuple):
    offset: int
    present: bool


class Kind(NamedTuple):
    """One emoji among the reactions to a message."""

    emoji: str
    number: int
    me: bool

    def json(self) -> Json:
        """As clients see it."""
        return {
            "emoji": Emoji.of_key(self.emoji).json(),
            "count": self.number,
            "count_details": {"burst": 0, "normal": self.number},
            "me": self.me,
            "me_burst": False,
            "burst_colors": [],
        }


@dataclass(slots=True)
class Newest:
    """What Redis knows of some messages."""

    single: dict[tuple[int, str, int], _Known] = field(default_factory=dict)
    """By message, emoji and user."""
    cleared: dict[tuple[int, str], int] = field(default_factory=dict)
    """By message and emoji, empty for all of them: where in the log it stands."""

    @classmethod
    def read(cls, found: Mapping[bytes, bytes], messages: Iterable[int]) -> "Newest":
        """What a hash of `fanfare.presence.keys.reactions` says of these messages."""
        wanted, newest = set(messages), cls()
        for name, value in found.items():
            message, user, emoji = name.decode().split(":", 2)
            if int(message) not in wanted:
                continue
            offset, _, present = value.decode().partition(":")
            if int(user) == EVERYBODY:
                newest.cleared[int(message), emoji] = int(offset)
            else:
                newest.single[int(message), emoji, int(user)] = _Known(int(offset), present == "1")
        return newest

    def apart(self) -> list[Apart]:
        """The rows of the database that do not count."""
        single = [Apart(message, emoji, user, 0) for message, emoji, user in self.single]
        return single + [
            Apart(message, emoji, EVERYBODY, at) for (message, emoji), at in self.cleared.items()
        ]

    def place(self, message: int, emoji: str, user: int) -> int:
        """Where in the log the newest stands that Redis knows of a user's emoji; -1: it knows nothing."""
        known = self.single.get((message, emoji, user))
        return max(self._cleared(message, emoji), known.offset if known is not None else -1)

    def present(self) -> list[tuple[int, str, int, int]]:
        """The reactions that are there: message, emoji, user and place in the log."""
        return [
            (message, emoji, user, known.offset)
            for (message, emoji, user), known in self.single.items()
            if known.present and known.offset > self._cleared(message, emoji)
        ]

    def _cleared(self, message: int, emoji: str) -> int:
        return max(self.cleared.get((message, ""), -1), self.cleared.get((message, emoji), -1))


def kinds(newest: Newest, stored: Iterable[Counted], me: int) -> dict[int, list[Kind]]:
    """The reactions to each message, the oldest emoji first.

    Args:
        newest: what Redis knows.
        stored: what the database counts without `newest.apart()`.
        me: who asks.

    """
    found: dict[tuple[int, str], tuple[int, Kind]] = {
        (row.message_id, row.emoji): (row.first, Kind(row.emoji, row.number, row.me))
        for row in stored
        if row.number
    }
    for message, emoji, user, offset in newest.present():
        first, kind = found.get((message, emoji), (offset, Kind(emoji, 0, me=False)))
        more = Kind(emoji, kind.number + 1, kind.me or user == me)
        found[message, emoji] = (min(first, offset), more)
    answer: dict[int, list[tuple[int, Kind]]] = {}
    for (message, _), one in found.items():
        answer.setdefault(message, []).append(one)
    return {message: [kind for _, kind in sorted(ones)] for message, ones in answer.items()}
