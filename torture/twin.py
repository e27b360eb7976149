"""What a client makes of the events of one channel, and how that is compared with what REST says. Pure.

The twin is as simple as a client can be: it takes what it is told, in the order in which it is told.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = ["Message", "Twin", "differences", "of_rest"]

_EXAMPLES: Final = 3


class Message(NamedTuple):
    """A message as one sees it."""

    content: str
    pinned: bool
    reactions: tuple[tuple[str, int], ...]
    """Emojis, and how many have reacted with each."""


@dataclass
class _Known:
    content: str
    pinned: bool
    reactions: dict[str, set[str]] = field(default_factory=dict)
    gone: bool = False


class Twin:
    """What one session knows of the messages that came while it lasted."""

    def __init__(self, channel: int) -> None:
        self._channel = str(channel)
        self._known: dict[str, _Known] = {}

    def take(self, name: str, d: Mapping[str, Any]) -> bool:
        """Take an event; whether it is one of the channel."""
        if d.get("channel_id") != self._channel:
            return False
        if name == "MESSAGE_CREATE":
            self._known[d["id"]] = _Known(d["content"], d["pinned"])
            return True
        known = self._known.get(d.get("message_id") or d.get("id", ""))
        if known is None:
            return True
        if name == "MESSAGE_UPDATE":
            known.content, known.pinned = d["content"], d["pinned"]
        elif name == "MESSAGE_DELETE":
            known.gone = True
        elif name == "MESSAGE_REACTION_ADD":
            known.reactions.setdefault(d["emoji"]["name"], set()).add(d["user_id"])
        elif name == "MESSAGE_REACTION_REMOVE":
            known.reactions.get(d["emoji"]["name"], set()).discard(d["user_id"])
        elif name == "MESSAGE_REACTION_REMOVE_ALL":
            known.reactions.clear()
        return True

    def messages(self) -> dict[str, Message | None]:
        """What it knows; None for a message that was deleted."""
        return {
            ident: None if known.gone else Message(known.content, known.pinned, _counted(known.reactions))
            for ident, known in self._known.items()
        }


def of_rest(message: Mapping[str, Any]) -> Message:
    """A message as REST tells it."""
    reactions = {one["emoji"]["name"]: one["count"] for one in message.get("reactions", ())}
    return Message(message["content"], message["pinned"], tuple(sorted(reactions.items())))


def differences(
    mine: Mapping[str, Message | None], truth: Mapping[str, Message], *, content: bool
) -> list[str]:
    """Where a client's messages differ from those that REST tells. Args: content: the client is told what is said."""
    found = []
    for ident, message in mine.items():
        other = truth.get(ident)
        if message is not None and other is not None and not content:
            message, other = message._replace(content=""), other._replace(content="")  # noqa: PLW2901
        if message != other:
            found.append(f"{ident} is {message}, and REST says {other}")
    return found[:_EXAMPLES]


def _counted(reactions: Mapping[str, set[str]]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((emoji, len(users)) for emoji, users in reactions.items() if users))
