"""Who asks for live location, and what for."""

import hmac
from typing import Any, Final

from aiohttp import web

from fanfare.location.entity import Entity
from fanfare.model import User
from fanfare.tokens import BadTokenError
from gateway.ingress.errors import FormError, missing_access, unauthorized
from gateway.ingress.forms import body_of
from gateway.location.assembly import Location
from gateway.location.streams import Streams
from gateway.rest.context import RestContext
from gateway.rest.server import identified, invalid

__all__ = ["Doors", "body_in", "id_in", "read_body"]

_MAX_ID: Final = 1 << 63


class Doors:
    """Who asks, and what for."""

    def __init__(self, context: RestContext, location: Location) -> None:
        self.context = context
        self.location = location
        self.store = context.store
        self.streams = Streams(location.watching)

    async def end(self, _: web.Application) -> None:
        """The node stops."""
        self.streams.end()

    def is_admin(self, request: web.Request) -> bool:
        """Whether an app asks. Raises: ApiError: it says so, with a wrong key."""
        given = request.headers.get("Authorization", "")
        if not given.startswith("Admin "):
            return False
        key = self.context.settings.admin_key.get_secret_value()
        if not key or not hmac.compare_digest(given.encode(), f"Admin {key}".encode()):
            invalid(request)
            raise unauthorized()
        identified(request)
        return True

    def admit(self, request: web.Request) -> None:
        """Raises: ApiError: it is no app that asks."""
        if not self.is_admin(request):
            invalid(request)
            raise unauthorized()

    async def user(self, request: web.Request, token: str | None = None) -> User:
        """The user who asks. Raises: ApiError: there is no valid token."""
        given = request.headers.get("Authorization", "") if token is None else token
        try:
            holder = await self.context.accounts.admit(given)
        except BadTokenError:
            invalid(request)
            raise unauthorized() from None
        user = await self.context.guilds.user(holder.user)
        if user is None:
            raise unauthorized()
        identified(request)
        return user

    async def admit_or_user(self, request: web.Request) -> User | None:
        """The user who asks; None: an app does. Raises: ApiError."""
        return None if self.is_admin(request) else await self.user(request)

    async def entity(self, request: web.Request) -> Entity:
        """The entity in the path. Raises: ApiError."""
        return await self.location.entity(id_in(request))

    async def may_watch(self, entity: Entity, user: User) -> None:
        """Raises: ApiError: a user may not see where an entity is."""
        if not entity.may_watch(user.id, await self.roles(entity, user)):
            raise missing_access()

    async def roles(self, entity: Entity, user: User) -> tuple[int, ...]:
        """The roles of a user that count for an entity."""
        if not entity.roles:
            return ()
        member = await self.context.guilds.member(entity.guild_id, user.id)
        return tuple(member.roles) if member is not None else ()


async def body_in(request: web.Request) -> Any:
    """The JSON in the body, {} where there is none. Raises: ApiError: 50109."""
    raw = await request.read()
    return body_of(raw) if raw.strip() else {}


async def read_body(request: web.Request, most: int) -> bytes:
    """The body, up to so many bytes. Raises: HTTPRequestEntityTooLarge."""
    if (request.content_length or 0) > most:
        raise web.HTTPRequestEntityTooLarge(most, request.content_length or 0)
    return await request.clone(client_max_size=most).read()


def id_in(request: web.Request, field: str = "entity_id") -> int:
    """The id in the path. Raises: FormError: it is none."""
    ident = int(request.match_info["id"])
    if ident >= _MAX_ID:
        raise FormError.at(field, "NUMBER_TYPE_COERCE", f'Value "{ident}" is not snowflake.')
    return ident
