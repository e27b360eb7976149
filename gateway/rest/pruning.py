"""Removing the members of a guild who have been away for long."""

from typing import Final

from aiohttp import web

from fanfare.permissions import P
from fanfare.rights import MAX_ROLES
from fanfare.store.pruning import PRUNED_AT_ONCE
from gateway.ingress.forms import Form
from gateway.rest.context import Call, Route, reply
from gateway.rest.fields import refuse_others

__all__ = ["ROUTES"]

_NEEDED: Final = P.MANAGE_GUILD | P.KICK_MEMBERS
_ROUNDS: Final = 20


async def _count(call: Call) -> web.Response:
    query = call.query()
    days, roles = _asked(query)
    query.check()
    guild, _ = await call.guild(_NEEDED)
    return reply({"pruned": await call.context.store.prunable(guild.id, days, roles)})


async def _prune(call: Call) -> web.Response:
    form = await call.form()
    days, roles = _asked(form)
    counts = form.boolean("compute_prune_count")
    refuse_others(form, {"days", "include_roles", "compute_prune_count", "reason"})
    form.check()
    guild, _ = await call.guild(_NEEDED)
    pruned = 0
    for _ in range(_ROUNDS):
        change = await call.context.store.prune(guild.id, days, roles, by=call.user.id)
        pruned += change.value
        if change.changed:
            await call.applied(change)
        if change.value < PRUNED_AT_ONCE:
            break
    return reply({"pruned": None if counts is False else pruned})


def _asked(form: Form) -> tuple[int, list[int]]:
    """The days, and the roles that count as none."""
    days, listed = form.integer("days", least=1, most=30), form.raw("include_roles")
    if isinstance(listed, str):
        listed = [one for one in listed.split(",") if one]  # in a query
    asked = Form({"include_roles": listed})
    roles = asked.snowflakes("include_roles", most=MAX_ROLES) or []
    form.errors |= asked.errors
    return 7 if days is None else days, roles


_PRUNE: Final = "/guilds/{guild}/prune"

ROUTES: Final = [Route("GET", _PRUNE, _count), Route("POST", _PRUNE, _prune)]
