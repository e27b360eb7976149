"""The statuses of users and who is in which voice channel, in Redis.

Each node notes there what its own sessions say, so what a node has noted is known when it dies, and another one takes
it back. A change in a guild that somebody watches stands in a list until it was told.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from fanfare.clock import now_s
from fanfare.presence import keys
from fanfare.presence.client import Redis
from fanfare.presence.errors import RedisError
from fanfare.presence.scripts import Script

__all__ = ["Change", "Noted", "Statuses", "Voice", "online_in", "voice_in"]

_PUT: Final = Script("status_put")
_PUT_VOICE: Final = Script("voice_put")
_MOVE_VOICE: Final = Script("voice_move")
_TOLD: Final = Script("status_told")
_WATCHED_S: Final = 3600
"""How long a guild counts as watched after a node has said so."""
_SESSION_S: Final = 86_400
_BATCH: Final = 200


class Change(NamedTuple):
    """Something that has to be told in a guild: the status of a user, or that the user was or is in a voice channel."""

    guild: int
    user: int
    channel: int = 0
    """Of a voice state; 0: it is a status."""

    @property
    def name(self) -> str:
        """How it stands in Redis."""
        if self.channel:
            return f"v {self.guild} {self.user} {self.channel}"
        return f"p {self.guild} {self.user}"

    @classmethod
    def named(cls, name: bytes) -> "Change":
        """The change of that name."""
        return cls(*map(int, name.split()[1:]))


class Noted(NamedTuple):
    """What a node notes of a user."""

    user: int
    value: bytes
    """Rank, ranks by kind of client, and activities, as `status_put.lua` has them; empty: no session is left."""
    guilds: tuple[int, ...]


class Voice(NamedTuple):
    """A user in a voice channel."""

    channel: int
    state: bytes
    """JSON."""


class Statuses:
    """The commands of one node."""

    def __init__(self, redis: Redis, node: str) -> None:
        """Args: redis: the primary; node: whose name the notes stand under."""
        self._redis = redis
        self._node = node

    async def put(self, noted: Sequence[Noted], *, node: str = "") -> list[Change]:
        """Note what the sessions of a node, this one or one that has died, make of statuses; returns what to tell.

        Raises:
            RedisError: Redis is away; some of it may be noted.

        """
        found = []
        now = int(now_s() * 1000)
        for start in range(0, len(noted), _BATCH):
            batch = noted[start : start + _BATCH]
            await _PUT.load(self._redis)
            async with self._redis.pipeline(transaction=False) as pipe:
                for one in batch:
                    head = [keys.all_begin_with(), node or self._node, one.user, one.value, now]
                    _PUT.queue(pipe, [], [*head, *one.guilds])
                answers = await pipe.execute()
            for one, told in zip(batch, answers, strict=True):
                found += [Change(int(guild), one.user) for guild in told]
        return found

    async def put_voice(
        self, guild: int, user: int, session: str, voice: Voice | None, *, node: str = ""
    ) -> list[Change]:
        """Note where a user is; returns what to tell.

        Args:
            guild: which.
            user: whose state it is.
            session: who says so. With None for the state, only what this session has said is taken back; `*`: what any
                has said; empty: what any of the node has said.
            voice: the state; None: in no channel.
            node: a node that has died; empty: this one.

        Raises:
            RedisError: Redis is away; it may be noted.

        """
        channel, state = voice or Voice(0, b"")
        args = [keys.all_begin_with(), node or self._node, guild, user, session, channel, state]
        was = int(await _PUT_VOICE.run(self._redis, [], [*args, int(now_s() * 1000)]))
        if was < 0:
            return []
        return [Change(guild, user, one) for one in dict.fromkeys((was, channel)) if one]

    async def move_voice(self, guild: int, user: int, channel: int) -> list[Change] | None:
        """Put a user into another voice channel, or into none (0); what to tell.

        None: the user is in no channel. Raises RedisError: Redis is away; it may be noted.
        """
        while True:
            stands: Any = await self._redis.hget(keys.status_voice(guild), str(user))
            if stands is None:
                return None
            node, session, was, state = stands.split(b" ", 3)
            said = msgspec.json.decode(state) | {"channel_id": str(channel)}
            moved = b" ".join((node, session, b"%d" % channel, msgspec.json.encode(said)))
            args = [
                keys.all_begin_with(),
                guild,
                user,
                stands,
                node,
                was,
                channel,
                moved,
                int(now_s() * 1000),
            ]
            if await _MOVE_VOICE.run(self._redis, [], args):
                return [Change(guild, user, one) for one in dict.fromkeys((int(was), channel)) if one]

    async def voice(self, guild: int, user: int) -> Voice | None:
        """In which voice channel a user is. Raises RedisError."""
        found: Any = await self._redis.hget(keys.status_voice(guild), str(user))
        return voice_in(found or b"")

    async def watch(self, guilds: Iterable[int]) -> None:
        """Somebody here wants to be told of statuses in these guilds, for the next hour. Raises RedisError."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for guild in guilds:
                _ = pipe.set(keys.status_watched(guild), "1", ex=_WATCHED_S)
            await pipe.execute()

    async def of_guild(self, guild: int) -> dict[int, bytes]:
        """The JSON of the status of each member who is not offline. Raises RedisError."""
        found: Any = await self._redis.hgetall(keys.status_guild(guild))
        return {int(user): status for user, status in found.items()}

    async def of_members(self, guild: int, users: Sequence[int]) -> dict[int, bytes]:
        """The same for some members. Raises RedisError."""
        if not users:
            return {}
        found: Any = await self._redis.hmget(keys.status_guild(guild), [str(user) for user in users])
        return {user: status for user, status in zip(users, found, strict=True) if status}

    async def voices(self, guild: int) -> dict[int, Voice]:
        """Who is in a voice channel. Raises RedisError."""
        found: Any = await self._redis.hgetall(keys.status_voice(guild))
        return {int(user): _voice(value) for user, value in found.items()}

    async def now(self, changes: Sequence[Change]) -> list[bytes]:
        """What is true now of what has changed, empty for offline and in no channel. Raises RedisError."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for change in changes:
                _ = pipe.hget(_hash(change), str(change.user))
            return [value or b"" for value in await pipe.execute()]

    async def settle(self, told: Sequence[tuple[Change, bytes]]) -> list[Change]:
        """Note what was told of changes; returns those that have to be told again. Raises RedisError."""
        await _TOLD.load(self._redis)
        async with self._redis.pipeline(transaction=False) as pipe:
            for change, value in told:
                args = [change.user, value, change.name, int(now_s() * 1000)]
                _TOLD.queue(pipe, [_hash(change), keys.status_untold()], args)
            settled = await pipe.execute()
        return [change for (change, _), done in zip(told, settled, strict=True) if not done]

    async def untold(self, older_than_s: float, limit: int) -> list[Change]:
        """Take over changes that their node should have told long ago. Raises RedisError."""
        now = now_s()
        names: Any = await self._redis.zrange(
            keys.status_untold(), 0, int((now - older_than_s) * 1000), byscore=True, offset=0, num=limit
        )
        if names:
            await self._redis.zadd(keys.status_untold(), {name: int(now * 1000) for name in names}, xx=True)
        return [Change.named(name) for name in names]

    async def noted(self) -> int:
        """Of how many users this node has noted a status. Raises RedisError."""
        return int(await self._redis.hlen(keys.status_node(self._node)))

    async def bury(self) -> list[Change]:
        """Take back what nodes that have died had noted; returns what to tell. Raises RedisError."""
        names: Any = await self._redis.smembers(keys.status_nodes())
        nodes = [name.decode() for name in names]
        if not nodes:
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            for node in nodes:
                _ = pipe.exists(keys.lease(node))
            alive = await pipe.execute()
        found = []
        for node, lives in zip(nodes, alive, strict=True):
            if not lives and node != self._node:
                found += await self._bury(node)
        return found

    async def _bury(self, node: str) -> list[Change]:
        users: Any = await self._redis.hkeys(keys.status_node(node))
        found = await self.put([Noted(int(user), b"", ()) for user in users], node=node)
        pairs: Any = await self._redis.hkeys(keys.status_voices_of(node))
        for pair in pairs:
            guild, user = map(int, pair.split())
            found += await self.put_voice(guild, user, "", None, node=node)
        await self._redis.srem(keys.status_nodes(), node)
        return found

    async def keep(self, sessions: Iterable[tuple[str, bytes]]) -> None:
        """Note what sessions have set their statuses to, for whoever goes on with them. Raises RedisError."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for session, value in sessions:
                _ = pipe.set(keys.status_session(session), value, ex=_SESSION_S)
            await pipe.execute()

    async def kept(self, sessions: Sequence[str]) -> list[bytes | None]:
        """What was noted of sessions; None for each of which nothing was. Raises RedisError."""
        found: Any = await self._redis.mget([keys.status_session(session) for session in sessions])
        return list(found)


async def online_in(redis: Redis, guilds: Sequence[int]) -> dict[int, int]:
    """How many members of guilds are not offline; 0 for each while Redis is away."""
    try:
        async with redis.pipeline(transaction=False) as pipe:
            for guild in guilds:
                _ = pipe.hlen(keys.status_guild(guild))
            found = await pipe.execute()
    except (RedisError, OSError):
        found = [0] * len(guilds)
    return dict(zip(guilds, found, strict=True))


def _hash(change: Change) -> str:
    return keys.status_voice(change.guild) if change.channel else keys.status_guild(change.guild)


def _voice(value: bytes) -> Voice:
    _, _, channel, state = value.split(b" ", 3)
    return Voice(int(channel), state)


def voice_in(value: bytes) -> Voice | None:
    """The voice state in what `Statuses.now` has of it; None: in no channel."""
    return _voice(value) if value else None
