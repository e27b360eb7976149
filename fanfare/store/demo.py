"""The demo: a guild with channels, people and a bot, made once, to try Fanfare with."""

import time
from dataclasses import dataclass
from typing import Final

from fanfare.ids import snowflake_ms
from fanfare.model import User
from fanfare.presence.snowflake_leases import unleased
from fanfare.settings import Settings
from fanfare.store.errors import NameTakenError
from fanfare.store.store import Store
from fanfare.tokens import Tokens

__all__ = ["Demo", "DemoUser", "make_demo"]

_GUILD: Final = "Demo"
_CHANNELS: Final = ("general", "random", "alerts")
_PEOPLE: Final = ("alice", "bob", "carol")
_BOT: Final = "fanfare-bot"
_DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class DemoUser:
    """Somebody of the demo; the token is the same at every start, until it is revoked."""

    id: int
    token: str


@dataclass(frozen=True, slots=True)
class Demo:
    """What there is to try."""

    guild_id: int
    channel_id: int
    users: dict[str, DemoUser]
    bot: DemoUser


async def make_demo(settings: Settings) -> Demo:
    """Make the demo if it was never made, and tell what it is. Needs PostgreSQL and the secret, nothing else.

    What people have changed or deleted since stays so. Alice owns the guild.

    Raises:
        StoreUnavailableError: PostgreSQL is away.

    """
    store = await Store.connect(settings)
    try:
        ids = await _reserved(store)
        if _DONE not in ids:
            await _make(store, ids)
        guild = await store.guild(ids[_GUILD])
        generations = {name: await store.token_generation(ids[name]) for name in (*_PEOPLE, _BOT)}
    finally:
        await store.close()
    channels = guild.channels if guild else {}
    tokens = Tokens(settings.secret.get_secret_value())

    def person(name: str) -> DemoUser:
        ident = ids[name]
        return DemoUser(ident, tokens.issue(ident, snowflake_ms(ident) // 1000, generation=generations[name]))

    general = ids[_CHANNELS[0]]
    return Demo(
        guild_id=ids[_GUILD],
        channel_id=general if general in channels else next(iter(channels), general),
        users={name: person(name) for name in _PEOPLE},
        bot=person(_BOT),
    )


async def _reserved(store: Store) -> dict[str, int]:
    """The ids of the demo's things, chosen by the process that comes first."""
    snowflakes = unleased()
    async with store.database.transaction() as connection:
        await connection.executemany(
            "INSERT INTO demo (name, id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(name, snowflakes.next(time.time() * 1000)) for name in (_GUILD, *_CHANNELS, *_PEOPLE, _BOT)],
        )
        return {row["name"]: row["id"] for row in await connection.fetch("SELECT name, id FROM demo")}


async def _make(store: Store, ids: dict[str, int]) -> None:
    """Make what is missing; another process may be at it too, or have died at it."""
    # The lock lives as long as this transaction, whose connection does nothing else.
    async with store.database.transaction() as connection:
        await connection.execute("LOCK TABLE demo IN SHARE ROW EXCLUSIVE MODE")
        users = [await _user(store, ids[name], name, bot=name == _BOT) for name in (*_PEOPLE, _BOT)]
        if await store.guild(ids[_GUILD]) is None:
            numbers = iter([ids[_GUILD], *(ids[name] for name in _CHANNELS)])
            await store.create_guild(lambda: next(numbers), users[0], _GUILD, _CHANNELS)
        for user in users[1:]:
            await store.add_member(ids[_GUILD], user)
        await connection.execute("INSERT INTO demo (name, id) VALUES ($1, 1) ON CONFLICT DO NOTHING", _DONE)


async def _user(store: Store, ident: int, name: str, *, bot: bool) -> User:
    if found := await store.user(ident):
        return found
    try:
        return await store.create_user(ident, name, bot)
    except NameTakenError:  # by a person of that name, in a database that was there before the demo
        return await store.create_user(ident, f"{name}-{ident}", bot)
