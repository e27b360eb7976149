"""Who may use the commands of an application in a guild: set by the guild's people, read by its bot, too."""

from typing import Final

from aiohttp import web

from fanfare.model import Guild
from fanfare.payloads import Json
from fanfare.permissions import P
from gateway.ingress.errors import ApiError
from gateway.interactions.permitted import permissions_in
from gateway.rest.context import Call, Route, reply

__all__ = ["ROUTES"]

_PATH: Final = "/applications/{application}/guilds/{guild}/commands"


async def _all(call: Call) -> web.Response:
    application, guild = await _whose(call)
    said = await call.context.store.command_permissions(guild.id, application)
    return reply([_shown(application, guild, target, found) for target, found in said.items()])


async def _get(call: Call) -> web.Response:
    application, guild = await _whose(call)
    target = await _target(call, application, guild)
    said = await call.context.store.command_permissions(guild.id, application)
    if target not in said:
        raise ApiError(404, 10066, "Unknown application command permissions")
    return reply(_shown(application, guild, target, said[target]))


async def _put(call: Call) -> web.Response:
    if call.user.bot:
        raise ApiError(403, 20001, "Bots cannot use this endpoint")
    application, guild = await _whose(call)
    target = await _target(call, application, guild)
    found = permissions_in(await call.form(), guild)
    change = await call.context.store.put_command_permissions(
        guild.id, application, target, found, by=call.user.id
    )
    await call.applied(change)
    return reply(_shown(application, guild, target, found))


async def _whose(call: Call) -> tuple[int, Guild]:
    """The application and the guild in the path. Raises: ApiError: the user is neither it nor may say who uses it."""
    application = call.id("application")
    own = application == call.user.id
    guild, _ = await call.guild(0 if own else int(P.MANAGE_GUILD))
    bot = await call.context.guilds.member(guild.id, application)
    if bot is None or not bot.user.bot:
        raise ApiError(404, 10002, "Unknown Application")
    return application, guild


async def _target(call: Call, application: int, guild: Guild) -> int:
    """The command in the path, or the application. Raises: ApiError: there is no such command here."""
    target = call.id("command")
    if target != application:
        command = await call.context.store.command(target)
        if command is None or command.application_id != application or command.guild_id not in (0, guild.id):
            raise ApiError(404, 10063, "Unknown application command")
    return target


def _shown(application: int, guild: Guild, target: int, permissions: list[Json]) -> Json:
    return {
        "id": str(target),
        "application_id": str(application),
        "guild_id": str(guild.id),
        "permissions": permissions,
    }


ROUTES: Final = [
    Route("GET", _PATH + "/permissions", _all),
    Route("GET", _PATH + "/{command}/permissions", _get),
    Route("PUT", _PATH + "/{command}/permissions", _put),
]
