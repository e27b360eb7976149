"""What users do with reactions: each is checked, goes through Kafka and is noted in Redis.

The record of one user's reaction has a nonce made of what it changes and of the place in the log of what was there
before. So when two nodes take the same reaction at once, the fan-out lets one of the two records through, and a client
that counts what it is told counts right.
"""

import time
from functools import partial

import msgspec

from fanfare import payloads
from fanfare.emoji import Emoji
from fanfare.model import User
from fanfare.payloads import Json
from fanfare.permissions import P
from fanfare.presence.client import Pipeline
from gateway.ingress import reactions
from gateway.ingress.access import Access, Place, refusing
from gateway.ingress.errors import ApiError, not_in_direct, unknown_emoji
from gateway.ingress.history import History
from gateway.ingress.interfaces import Guilds
from gateway.ingress.limits import RateLimits
from gateway.ingress.message_payloads import where
from gateway.ingress.reaction_state import EVERYBODY, MAX_KINDS
from gateway.ingress.reactions import Seen
from gateway.ingress.records import PREPARE_S, answer_by, record_of
from gateway.ingress.sends import Sends

__all__ = ["Reacting"]


_encode = msgspec.json.Encoder().encode


class _Author(msgspec.Struct):
    id: str


class _Message(msgspec.Struct):
    author: _Author


_message = msgspec.json.Decoder(_Message)


class Reacting:
    """Reactions, added and taken away."""

    def __init__(
        self,
        *,
        access: Access,
        guilds: Guilds,
        history: History,
        seen: Seen,
        sends: Sends,
        limits: RateLimits,
    ) -> None:
        """Prepare.

        Args:
            access: who may do what where.
            guilds: what this node knows.
            history: messages as they can be read.
            seen: reactions as they can be read.
            sends: what is on its way.
            limits: how many reactions this node takes.

        """
        self.seen = seen
        self._access = access
        self._guilds = guilds
        self._history = history
        self._sends = sends
        self._limits = limits

    async def add(self, user: User, channel_id: int, message_id: int, emoji: Emoji) -> None:
        """React to a message; nothing happens if it is there already.

        Raises:
            ApiError: 50013, 10008; 30010: there are too many emojis on the message.
            RefusedError, UnknownOutcomeError: as for a message.

        """
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place, author = await self._message(user, channel_id, message_id)
            emoji = _named(place, emoji)
            self._limits.take(user.id, channel_id, time.monotonic())
            mine = await self.seen.mine(channel_id, message_id, emoji.key, user.id)
            if mine.present:
                return
            if emoji.key not in {kind.emoji for kind in mine.kinds}:
                place.require(P.ADD_REACTIONS)
                _check_known(place, emoji)
                if len(mine.kinds) >= MAX_KINDS:
                    said = f"Maximum number of reactions reached ({MAX_KINDS})"
                    raise ApiError(400, 30010, said)
        payload = _one(place, message_id, user.id, emoji)
        if place.member is not None:
            payload["member"] = payloads.member(place.member)
        payload["message_author_id"] = author
        await self._tell(
            place, "MESSAGE_REACTION_ADD", message_id, user.id, emoji, payload, mine.place, deadline
        )

    async def remove(self, user: User, channel_id: int, message_id: int, emoji: Emoji, whose: int) -> None:
        """Take somebody's reaction away; nothing happens if it is not there. Raises as `add`."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place, _ = await self._message(user, channel_id, message_id, moderates=whose != user.id)
            emoji = _named(place, emoji)
            self._limits.take(user.id, channel_id, time.monotonic())
            mine = await self.seen.mine(channel_id, message_id, emoji.key, whose)
            if not mine.present:
                return
        payload = _one(place, message_id, whose, emoji)
        await self._tell(
            place, "MESSAGE_REACTION_REMOVE", message_id, whose, emoji, payload, mine.place, deadline
        )

    async def clear(self, user: User, channel_id: int, message_id: int, emoji: Emoji | None = None) -> None:
        """Take all reactions away, or all of one emoji. Raises as `add`."""
        deadline = answer_by()
        async with refusing(PREPARE_S):
            place, _ = await self._message(user, channel_id, message_id, moderates=True)
            emoji = _named(place, emoji) if emoji is not None else None
            self._limits.take(user.id, channel_id, time.monotonic())
        payload = _place(place, message_id)
        name = "MESSAGE_REACTION_REMOVE_ALL"
        if emoji is not None:
            name = "MESSAGE_REACTION_REMOVE_EMOJI"
            payload["emoji"] = emoji.json()
        record = record_of(place, name, self._sends.next_id(), user.id, _encode(payload))
        key = emoji.key if emoji is not None else ""
        note = partial(
            _note, channel=channel_id, message=message_id, user=EVERYBODY, emoji=key, present=False
        )
        await self._sends.produce(record, note, deadline)

    async def users(
        self, user: User, channel_id: int, message_id: int, emoji: Emoji, *, after: int, limit: int
    ) -> list[User]:
        """Those who reacted with an emoji. Raises as `add`."""
        async with refusing(PREPARE_S):
            place, _ = await self._message(user, channel_id, message_id, reads=True)
            emoji = _named(place, emoji)
            ids = await self.seen.users(channel_id, message_id, emoji.key, after=after, limit=limit)
            known = await self._guilds.users(ids)
        return [known[ident] for ident in ids if ident in known]

    async def _message(
        self, user: User, channel_id: int, message_id: int, *, moderates: bool = False, reads: bool = False
    ) -> tuple[Place, str]:
        """The place of a message that somebody may read, or react to, and its author's id."""
        place = await self._access.place(user, channel_id)
        place.require_messages() if reads else place.require_open()
        place.require(P.READ_MESSAGE_HISTORY)
        if moderates:
            if place.guild is None:
                raise not_in_direct()
            place.require(P.MANAGE_MESSAGES)
        body = await self._history.stored(channel_id, message_id)
        return place, _message.decode(body).author.id

    async def _tell(
        self,
        place: Place,
        name: str,
        message_id: int,
        whose: int,
        emoji: Emoji,
        payload: Json,
        before: int,
        deadline: float,
    ) -> None:
        added = name == "MESSAGE_REACTION_ADD"
        nonce = f"r{message_id}{'+' if added else '-'}{emoji.key}.{before}"
        ident = self._sends.next_id()
        record = record_of(place, name, ident, whose, _encode(payload), nonce=nonce)
        channel = place.channel.id
        note = partial(_note, channel=channel, message=message_id, user=whose, emoji=emoji.key, present=added)
        await self._sends.produce(record, note, deadline)


def _note(
    pipe: Pipeline, offset: int, *, channel: int, message: int, user: int, emoji: str, present: bool
) -> None:
    reactions.put(pipe, channel, message, user, emoji, present=present, offset=offset)


def _named(place: Place, emoji: Emoji) -> Emoji:
    """An emoji by its right name, whatever it is called by who reacts with it."""
    own = place.guild.emojis.get(emoji.id) if place.guild is not None else None
    return Emoji(own.name, own.id) if own is not None else emoji


def _check_known(place: Place, emoji: Emoji) -> None:
    """Raises: ApiError: 10014, nobody has reacted with it yet, and it is no emoji of this guild."""
    if emoji.id and (place.guild is None or emoji.id not in place.guild.emojis):
        raise unknown_emoji(400)


def _place(place: Place, message_id: int) -> Json:
    return where(place.channel) | {"message_id": str(message_id)}


def _one(place: Place, message_id: int, user_id: int, emoji: Emoji) -> Json:
    return _place(place, message_id) | {
        "user_id": str(user_id),
        "emoji": emoji.json(),
        "type": 0,
        "burst": False,
    }
