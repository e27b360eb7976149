"""Emojis of guilds."""

import re
from contextlib import suppress
from typing import Final

from aiohttp import web

from fanfare import payloads
from fanfare.files.store import FilesUnavailableError
from fanfare.model import CustomEmoji
from fanfare.permissions import P, base
from fanfare.store import NotFoundError
from gateway.ingress.errors import forbidden, unknown_emoji
from gateway.ingress.forms import Form
from gateway.ingress.picture_heads import kind_of
from gateway.ingress.pictures import BODY_BYTES, picture
from gateway.rest.context import Call, Route, empty, reply
from gateway.rest.fields import refuse_others
from gateway.rest.pictures import emoji_path

__all__ = ["ROUTES"]

_NAME: Final = re.compile(r"[A-Za-z0-9_]{2,32}")


async def _list(call: Call) -> web.Response:
    guild, _ = await call.guild()
    return reply(await _shown(call, guild.id, list(guild.emojis.values())))


async def _get(call: Call) -> web.Response:
    guild, _ = await call.guild()
    emoji = guild.emojis.get(call.id("picture"))
    if emoji is None:
        raise unknown_emoji()
    return reply((await _shown(call, guild.id, [emoji]))[0])


async def _create(call: Call) -> web.Response:
    form = await call.form(BODY_BYTES)
    guild, member = await call.guild()
    # Before the picture is kept; whether there may be one more is decided with the change itself.
    if not base(guild, member) & (P.CREATE_GUILD_EXPRESSIONS | P.MANAGE_GUILD_EXPRESSIONS):
        raise forbidden()
    name, content = _name(form, required=True), picture(form, "image", required=True)
    _refuse_roles(form, {"name", "image", "roles"})
    form.check()
    assert content is not None
    emoji = CustomEmoji(call.context.ids.next_id(), name or "", kind_of(content) == "gif")
    await call.context.files.put(emoji_path(emoji.id), content)
    try:
        change = await call.context.store.create_emoji(guild.id, emoji, by=call.user.id)
    except BaseException:
        await _drop(call, emoji.id)
        raise
    await call.applied(change)
    return reply((await _shown(call, guild.id, [emoji]))[0], 201)


async def _rename(call: Call) -> web.Response:
    form = await call.form()
    guild, _ = await call.guild()
    name = _name(form)
    _refuse_roles(form, {"name", "roles"})
    form.check()
    emoji = guild.emojis.get(call.id("picture"))
    if emoji is None:
        raise unknown_emoji()
    try:
        change = await call.context.store.rename_emoji(
            guild.id, emoji.id, name or emoji.name, by=call.user.id
        )
    except NotFoundError:
        raise unknown_emoji() from None
    await call.applied(change)
    return reply((await _shown(call, guild.id, [change.value]))[0])


async def _delete(call: Call) -> web.Response:
    guild, _ = await call.guild()
    try:
        change = await call.context.store.delete_emoji(guild.id, call.id("picture"), by=call.user.id)
    except NotFoundError:
        raise unknown_emoji() from None
    await call.applied(change)
    await _drop(call, change.value.id)
    return empty()


async def _shown(call: Call, guild_id: int, emojis: list[CustomEmoji]) -> list[payloads.Json]:
    """Emojis as REST shows them: with whoever made each."""
    found = [payloads.emoji(one) for one in emojis]
    makers = await call.context.store.emoji_makers(guild_id)
    users = await call.context.guilds.users(list(dict.fromkeys(makers.values())))
    for one, shown in zip(emojis, found, strict=True):
        if (user := users.get(makers.get(one.id, 0))) is not None:
            shown["user"] = payloads.user(user)
    return found


async def _drop(call: Call, ident: int) -> None:
    with suppress(FilesUnavailableError):
        await call.context.files.remove(emoji_path(ident))


def _name(form: Form, *, required: bool = False) -> str | None:
    name = form.text("name", longest=32, required=required)
    if name is not None and not _NAME.fullmatch(name):
        form.fail("name", "STRING_TYPE_REGEX", "Must be 2 to 32 letters, digits and underscores.")
    return name


def _refuse_roles(form: Form, known: set[str]) -> None:
    refuse_others(form, known)
    form.refuse("roles", "Emojis for some roles only are not supported here.")


_EMOJIS: Final = "/guilds/{guild}/emojis"

ROUTES: Final = [
    Route("GET", _EMOJIS, _list),
    Route("POST", _EMOJIS, _create),
    Route("GET", _EMOJIS + "/{picture}", _get),
    Route("PATCH", _EMOJIS + "/{picture}", _rename),
    Route("DELETE", _EMOJIS + "/{picture}", _delete),
]
