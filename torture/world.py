"""The guilds, channels and people of a run."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from fanfare.model import Channel, Overwrite
from fanfare.permissions import P
from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.tokens import Tokens

__all__ = ["EPOCH_MS", "Person", "World", "make_world"]

EPOCH_MS = 1_420_070_400_000
# In the guild that is changed.
_GUESTS = 8


@dataclass(frozen=True)
class Person:
    """A user with a token."""

    id: int
    token: str


@dataclass
class World:
    """Who is there, and who may see what."""

    people: list[Person] = field(default_factory=list)
    few: list[Person] = field(default_factory=list)
    """Those in the small guild, for channels with much in them."""
    audience: dict[int, frozenset[int]] = field(default_factory=dict)
    """Users who may see a channel."""
    direct: set[int] = field(default_factory=set)
    flood: int = 0
    """The channel of the small guild."""
    busy: int = 0
    """A guild that is changed all the time."""
    busy_people: list[Person] = field(default_factory=list)
    """Those who are in it, at first; its owner comes first."""
    busy_lobby: int = 0
    """A channel of it that stays."""
    changing: int = 0
    """A channel of the large guild in which messages are changed; it is no part of `audience`."""

    def channels_of(self, user: int) -> list[int]:
        """Where a user may write."""
        return [
            channel for channel, users in self.audience.items() if user in users and channel != self.flood
        ]


async def make_world(settings: Settings, people: int, rng: Random) -> World:
    """Make three guilds and some direct conversations.

    One guild is large, with public channels and one that only half of the people may see; one is small; one is changed.
    """
    tokens = Tokens(settings.secret.get_secret_value())
    next_id = _ids(rng)
    world = World()
    store = await Store.connect(settings)
    try:
        users = [await store.create_user(next_id(), f"torture{next_id()}", False) for _ in range(people)]
        world.people = [Person(user.id, tokens.issue(user.id)) for user in users]
        guild = await store.create_guild(next_id, users[0], "torture", ["one", "two", "three", "changing"])
        for user in users[1:]:
            await store.add_member(guild.guild_id, user)
        everybody = frozenset(user.id for user in users)
        *channels, world.changing = guild.value.channels
        world.audience = dict.fromkeys(channels, everybody)
        insiders = {user.id for user in rng.sample(users[1:], people // 2)} | {users[0].id}
        view = int(P.VIEW_CHANNEL)
        secret = Channel(
            id=next_id(),
            guild_id=guild.guild_id,
            name="secret",
            position=9,
            overwrites=(
                Overwrite(guild.guild_id, 0, 0, view),
                *(Overwrite(user, 1, view, 0) for user in sorted(insiders)),
            ),
        )
        await store.create_channel(secret)
        world.audience[secret.id] = frozenset(insiders)
        few = rng.sample(users, min(6, people))
        small = await store.create_guild(next_id, few[0], "flood", ["flood"])
        for user in few[1:]:
            await store.add_member(small.guild_id, user)
        world.few = [person for person in world.people if person.id in {user.id for user in few}]
        (world.flood,) = small.value.channels
        world.audience[world.flood] = frozenset(user.id for user in few)
        guests = world.people[:_GUESTS]
        busy = await store.create_guild(next_id, users[0], "busy", ["lobby"])
        for user in users[1:_GUESTS]:
            await store.add_member(busy.guild_id, user)
        world.busy, world.busy_people, (world.busy_lobby,) = busy.guild_id, guests, busy.value.channels
        shuffled = rng.sample(users, people)
        for one, other in list(zip(shuffled[::2], shuffled[1::2], strict=False))[:6]:
            channel = await store.dm(next_id(), one.id, other.id)
            world.audience[channel.id] = frozenset({one.id, other.id})
            world.direct.add(channel.id)
    finally:
        await store.close()
    return world


def _ids(rng: Random) -> Callable[[], int]:
    counter = itertools.count(rng.randrange(1 << 21))
    return lambda: (int(time.time() * 1000) - EPOCH_MS << 22) | next(counter) % (1 << 22)
