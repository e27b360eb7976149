"""`fanfare user`, `token`, `guild` and `channel`: make and list people, guilds and channels from a shell.

These write to the database; running gateways pass on what happens in a guild. The stores are those in
the settings, or else what `fanfare up` runs in FANFARE_HOME.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import SecretStr

from fanfare.embedded.errors import UpError
from fanfare.environment import load_settings
from fanfare.ids import ClockSkewError
from fanfare.model import Channel, Guild, User
from fanfare.presence.barrier import barrier
from fanfare.presence.client import Redis, connect
from fanfare.presence.errors import RedisError
from fanfare.presence.snowflake_leases import SnowflakeLease, unleased
from fanfare.rights import RightsError
from fanfare.settings import Settings
from fanfare.store import Change, NameTakenError, NotFoundError, Store, StoreUnavailableError
from fanfare.tokens import Tokens

__all__ = ["channel_app", "guild_app", "token", "user_app"]

user_app = typer.Typer(help="People and bots.", no_args_is_help=True)
guild_app = typer.Typer(help="Guilds and their members.", no_args_is_help=True)
channel_app = typer.Typer(help="Channels of guilds.", no_args_is_help=True)

# How long a change waits until the gateways have passed it on; without a gateway it is passed on later.
_BARRIER_S: Final = 3.0
_NAME_LENGTH: Final = 100
_NOT_ONE_WORD: Final = "a name has 1 to 100 characters, and none of them is a control character"

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Tool:
    """What a command works with."""

    store: Store
    next_id: Callable[[], int]
    redis: Redis | None
    """None: Redis is away."""

    async def passed_on(self, change: Change[T]) -> T:
        """Wait for a change to reach everybody, and say so where it did not."""
        if change.changed and not await self._reached(change.guild_id, change.version):
            _note("no gateway has passed this on yet: connected clients hear of it when one does")
        return change.value

    async def _reached(self, guild_id: int, version: int) -> bool:
        if self.redis is None:
            return False
        try:
            await barrier(self.redis, guild_id, version, _BARRIER_S)
        except (TimeoutError, RedisError, OSError):
            return False
        return True

    async def user(self, name: str) -> User:
        """The user of that name or id."""
        found = await self.store.user_by_name(name)
        if found is None and name.isdecimal():
            found = await self.store.user(_number(name))
        if found is None:
            raise UpError(f"there is no user {name!r}: `fanfare user list` shows all")
        return found

    async def guild(self, name: str) -> int:
        """The guild of that name or id."""
        after, found = 0, []
        while page := await self.store.all_guilds(after):
            found += [guild.id for guild in page if name in {guild.name, str(guild.id)}]
            after = page[-1].id
        if len(found) > 1:
            raise UpError(
                f"{len(found)} guilds are called {name!r}: give the id of one, see `fanfare guild list`"
            )
        if not found:
            raise UpError(f"there is no guild {name!r}: `fanfare guild list` shows all")
        return found[0]


@user_app.command("create")
def user_create(
    name: str,
    bot: Annotated[bool, typer.Option("--bot", help="A bot instead of a person.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a user and print the token."""
    _check(name)
    settings = _settings(secret=True)

    async def work(tool: _Tool) -> User:
        return await tool.store.create_user(tool.next_id(), name, bot)

    user = _run(settings, work)
    _show_user(user, _tokens(settings).issue(user.id), as_json=as_json)


_INTENTS: Final = {"members": 1 << 1, "presences": 1 << 8, "content": 1 << 15}


@user_app.command("intents")
def user_intents(
    name: str,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="members, presences or content; may be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which privileged intents a bot must not ask for: without --without, it may ask for all."""
    unknown = set(without or ()) - _INTENTS.keys()
    if unknown:
        raise UpError(f"there is no intent {', '.join(sorted(unknown))}: say {', '.join(_INTENTS)}")
    denied = sum(_INTENTS[one] for one in set(without or ()))

    async def work(tool: _Tool) -> User:
        user = await tool.user(name)
        await tool.store.deny_intents(user.id, denied)
        return user

    user = _run(_settings(), work)
    left = [one for one, bit in _INTENTS.items() if not bit & denied]
    if as_json:
        _print_json({"id": str(user.id), "name": user.username, "intents": left})
    else:
        print(f"{user.username} may ask for: {', '.join(left) or 'none of the privileged intents'}")


@user_app.command("list")
def user_list(as_json: AsJson = False) -> None:
    """List all users."""

    async def work(tool: _Tool) -> list[User]:
        found: list[User] = []
        while page := await tool.store.all_users(found[-1].id if found else 0):
            found += page
        return found

    users = _run(_settings(), work)
    if as_json:
        _print_json([{"id": str(u.id), "name": u.username, "bot": u.bot} for u in users])
        return
    for user in users:
        print(f"{user.id}  {user.username}{'  (bot)' if user.bot else ''}")


def token(
    words: Annotated[list[str], typer.Argument(metavar="[revoke] NAME", help="Name or id of a user.")],
    as_json: AsJson = False,
) -> None:
    """Print a new token of a user, or revoke all that the user has: `fanfare token revoke NAME`."""
    match words:
        case [name]:
            _issue(name, as_json=as_json)
        case ["revoke", name]:
            _revoke(name, as_json=as_json)
        case _:
            raise UpError("say `fanfare token NAME` or `fanfare token revoke NAME`")


def _issue(name: str, *, as_json: bool) -> None:
    settings = _settings(secret=True)

    async def work(tool: _Tool) -> tuple[User, int]:
        user = await tool.user(name)
        return user, await tool.store.token_generation(user.id)

    user, generation = _run(settings, work)
    issued = _tokens(settings).issue(user.id, generation=generation)
    if as_json:
        _show_user(user, issued, as_json=True)
    else:
        print(issued)


def _revoke(name: str, *, as_json: bool) -> None:
    async def work(tool: _Tool) -> User:
        user = await tool.user(name)
        await tool.store.revoke_tokens(user.id)
        return user

    user = _run(_settings(), work)
    if as_json:
        _print_json({"id": str(user.id), "name": user.username})
    else:
        print(f"all tokens of {user.username} are void now; `fanfare token {name}` prints a new one")


@guild_app.command("create")
def guild_create(
    name: str,
    owner: Annotated[str, typer.Option(help="Name or id of the user who owns it.")],
    as_json: AsJson = False,
) -> None:
    """Make a guild with a channel #general."""
    _check(name)

    async def work(tool: _Tool) -> Guild:
        change = await tool.store.create_guild(tool.next_id, await tool.user(owner), name)
        return await tool.passed_on(change)

    guild = _run(_settings(), work)
    channel = next(iter(guild.channels))
    if as_json:
        _print_json({"id": str(guild.id), "name": guild.name, "channel_id": str(channel)})
    else:
        print(f"guild {guild.name}: {guild.id}, channel general: {channel}")


@guild_app.command("add")
def guild_add(guild: str, user: str) -> None:
    """Make a user (name or id) a member of a guild (name or id)."""

    async def work(tool: _Tool) -> bool:
        change = await tool.store.add_member(await tool.guild(guild), await tool.user(user))
        await tool.passed_on(change)
        return change.changed

    print(f"{user} is in {guild}" if _run(_settings(), work) else f"{user} was in {guild} already")


@guild_app.command("list")
def guild_list(as_json: AsJson = False) -> None:
    """List all guilds and their channels."""

    async def work(tool: _Tool) -> list[Guild]:
        after, found = 0, []
        while page := await tool.store.all_guilds(after):
            found += [guild for each in page if (guild := await tool.store.guild(each.id))]
            after = page[-1].id
        return found

    guilds = _run(_settings(), work)
    if as_json:
        _print_json(
            [
                {
                    "id": str(g.id),
                    "name": g.name,
                    "owner_id": str(g.owner_id),
                    "members": g.member_count,
                    "channels": [{"id": str(c.id), "name": c.name} for c in g.channels.values()],
                }
                for g in guilds
            ]
        )
        return
    for guild in guilds:
        print(f"{guild.id}  {guild.name}  ({guild.member_count} members)")
        for channel in guild.channels.values():
            print(f"    {channel.id}  #{channel.name}")


@channel_app.command("create")
def channel_create(guild: str, name: str, as_json: AsJson = False) -> None:
    """Make a text channel in a guild (name or id)."""
    _check(name)

    async def work(tool: _Tool) -> Channel:
        guild_id = await tool.guild(guild)
        found = await tool.store.guild(guild_id)
        position = len(found.channels) if found else 0
        channel = Channel(id=tool.next_id(), guild_id=guild_id, name=name, position=position)
        return await tool.passed_on(await tool.store.create_channel(channel))

    channel = _run(_settings(), work)
    if as_json:
        _print_json({"id": str(channel.id), "name": channel.name, "guild_id": str(channel.guild_id)})
    else:
        print(f"channel {channel.name}: {channel.id}")


def _settings(*, secret: bool = False) -> Settings:
    """The settings, completed by what `fanfare up` wrote into its folder."""
    settings = load_settings()
    found: dict[str, Any] = {}
    run_file = settings.home.expanduser() / "run.json"
    try:
        run = json.loads(run_file.read_text("utf-8"))
    except FileNotFoundError:
        run = {}
    except (OSError, ValueError) as error:
        raise UpError(f"{run_file} cannot be read ({error}): start `fanfare up` again") from None
    for name in ("postgres", "redis"):
        if not getattr(settings, name).get_secret_value():
            found[name] = SecretStr(run.get(name, ""))
    if not settings.postgres.get_secret_value() and not run.get("postgres"):
        raise UpError("fanfare is not running here: start `fanfare up`, or set FANFARE_POSTGRES")
    if secret and not settings.secret.get_secret_value():
        found["secret"] = SecretStr(_secret(settings.home.expanduser() / "secret"))
    return settings.model_copy(update=found)


def _secret(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise UpError(f"{path} cannot be read: start `fanfare up` first, or set FANFARE_SECRET") from None


def _tokens(settings: Settings) -> Tokens:
    return Tokens(settings.secret.get_secret_value())


def _run(settings: Settings, work: Callable[[_Tool], Awaitable[T]]) -> T:
    """Do the work of a command; what people can put right becomes one line."""

    async def main() -> T:
        async with _tool(settings) as tool:
            return await work(tool)

    try:
        return asyncio.run(main())
    except (NameTakenError, NotFoundError, RightsError, StoreUnavailableError, ClockSkewError) as error:
        raise UpError(str(error)) from None


@asynccontextmanager
async def _tool(settings: Settings) -> AsyncIterator[_Tool]:
    store = await Store.connect(settings)
    redis = connect(settings, client_name="fanfare-cli") if settings.redis.get_secret_value() else None
    try:
        if redis is not None:
            async with SnowflakeLease(redis) as worker:
                if worker.number is not None:
                    yield _Tool(store, worker.next_id, redis)
                    return
        snowflakes = unleased()
        yield _Tool(store, lambda: snowflakes.next(time.time() * 1000), None)
    finally:
        await store.close()
        if redis is not None:
            await redis.aclose()


def _check(name: str) -> None:
    if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable():
        raise UpError(_NOT_ONE_WORD)


def _number(text: str) -> int:
    return min(int(text[:20]), 2**63 - 1)


def _show_user(user: User, issued: str, *, as_json: bool) -> None:
    if as_json:
        _print_json({"id": str(user.id), "name": user.username, "bot": user.bot, "token": issued})
    else:
        print(f"{'bot' if user.bot else 'user'} {user.username}: {user.id}")
        print(f"token: {issued}")


def _print_json(value: object) -> None:
    print(json.dumps(value))


def _note(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")
