"""Commands that applications register. An application is a bot, with the bot's id, and sees no other's."""

from typing import Any, Final

from aiohttp import web

from fanfare.store.commands import Command
from fanfare.store.errors import NameTakenError
from gateway.ingress.errors import ApiError, FormError, missing_access
from gateway.ingress.forms import Form, forms_of
from gateway.interactions.definitions import MAX_COMMANDS, check_number, read_command
from gateway.interactions.objects import command_json
from gateway.rest.context import Call, Route, empty, reply

__all__ = ["ROUTES"]

_MOST: Final = sum(MAX_COMMANDS.values())


async def _list(call: Call) -> web.Response:
    application, guild = await _whose(call)
    return reply([_json(one) for one in await call.context.store.commands([application], [guild])])


async def _replace(call: Call) -> web.Response:
    application, guild = await _whose(call)
    forms = forms_of(await call.body(), _MOST)
    bodies = [read_command(form) for form in forms]
    if wrong := {str(at): form.errors for at, form in enumerate(forms) if form.errors}:
        raise FormError(wrong)
    check_number(bodies)
    if len({(one["type"], one["name"]) for one in bodies}) < len(bodies):
        said = {"code": "APPLICATION_COMMANDS_DUPLICATE_NAME", "message": "Command names must be unique."}
        raise FormError({"_errors": [said]})
    made = await call.context.store.replace_commands(application, guild, bodies, call.context.ids.next_id)
    return reply([_json(one) for one in made])


async def _create(call: Call) -> web.Response:
    application, guild = await _whose(call)
    form = await call.form()
    body = read_command(form)
    form.check()
    most = MAX_COMMANDS[body["type"]]
    made = await call.context.store.put_command(application, guild, body, call.context.ids.next_id, most)
    if made is None:
        raise ApiError(400, 30032, f"Maximum number of application commands reached ({most})")
    command, new = made
    return reply(_json(command), 201 if new else 200)


async def _get(call: Call) -> web.Response:
    return reply(_json(await _one(call)))


async def _change(call: Call) -> web.Response:
    command = await _one(call)
    form: Form = await call.form()
    body = read_command(form, command.body)
    form.check()
    try:
        changed = await call.context.store.change_command(command, body, call.context.ids.next_id)
    except NameTakenError:
        said = "Application command names must be unique"
        raise FormError.at("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", said) from None
    return reply(_json(changed))


async def _delete(call: Call) -> web.Response:
    await call.context.store.delete_command((await _one(call)).id)
    return empty()


async def _index(call: Call) -> web.Response:
    """What a user may call in a guild, for clients that show it."""
    guild, _ = await call.guild()
    bots = [member.user for member in guild.members.values() if member.user.bot]
    commands = await call.context.store.commands([bot.id for bot in bots], [guild.id, 0])
    named: list[Any] = [{"id": str(bot.id), "name": bot.username, "icon": None} for bot in bots]
    return reply({"applications": named, "application_commands": [_json(one) for one in commands]})


async def _whose(call: Call) -> tuple[int, int]:
    """The application and guild of the path; the guild 0 where there is none. Raises: ApiError."""
    application = call.id("application")
    if application != call.user.id:
        raise missing_access()
    if "guild" not in call.request.match_info:
        return application, 0
    guild, _ = await call.guild()
    return application, guild.id


async def _one(call: Call) -> Command:
    application, guild = await _whose(call)
    found = await call.context.store.command(call.id("command"))
    if found is None or (found.application_id, found.guild_id) != (application, guild):
        raise ApiError(404, 10063, "Unknown application command")
    return found


def _json(command: Command) -> Any:
    return command_json(command.body, command.id, command.application_id, command.guild_id, command.version)


_PLACES: Final = (
    "/applications/{application}/commands",
    "/applications/{application}/guilds/{guild}/commands",
)

ROUTES: Final = [
    *(
        Route(method, place + path, handler)
        for place in _PLACES
        for method, path, handler in (
            ("GET", "", _list),
            ("PUT", "", _replace),
            ("POST", "", _create),
            ("GET", "/{command}", _get),
            ("PATCH", "/{command}", _change),
            ("DELETE", "/{command}", _delete),
        )
    ),
    Route("GET", "/guilds/{guild}/application-command-index", _index),
]
