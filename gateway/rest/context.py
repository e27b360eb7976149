"""What the resources share, and one request as they see it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from fanfare.constants import MESSAGE_FILES_BYTES
from fanfare.files.store import FileStore
from fanfare.model import Guild, Member, User
from fanfare.permissions import NONE, TIMED_OUT, base, timed_out
from fanfare.presence.client import Redis
from fanfare.settings import Settings
from fanfare.store import Change, Store
from gateway.accounts import Accounts
from gateway.ingress.access import Place
from gateway.ingress.errors import ApiError, FormError, forbidden, not_in_direct
from gateway.ingress.forms import Form, body_of
from gateway.ingress.ingress import Ingress
from gateway.ingress.interfaces import Guilds, Ids
from gateway.rest.multipart import Body, Uploads, read_parts
from gateway.statuses.assembly import UserStatuses

__all__ = ["Call", "Handler", "RestContext", "Route", "empty", "json_body", "reply"]

_MAX_ID: Final = 1 << 63

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class RestContext:
    """The parts of the gateway that REST uses."""

    settings: Settings
    redis: Redis
    store: Store
    guilds: Guilds
    ingress: Ingress
    ids: Ids
    accounts: Accounts
    files: FileStore
    uploads: Uploads
    statuses: UserStatuses


class Call:
    """One request with a valid token."""

    __slots__ = ("context", "request", "user")

    def __init__(self, context: RestContext, request: web.Request, user: User) -> None:
        self.context = context
        self.request = request
        self.user = user

    def id(self, name: str) -> int:
        """An id in the path. Raises: FormError: it is none."""
        value = int(self.request.match_info[name])
        if value >= _MAX_ID:
            raise FormError.at(f"{name}_id", "NUMBER_TYPE_COERCE", f'Value "{value}" is not snowflake.')
        return value

    def asks(self, name: str) -> bool:
        """Whether the query says yes to something."""
        return self.request.query.get(name, "").lower() in {"true", "1"}

    def query(self) -> Form:
        """The query, read like a form; call its `check()`."""
        return Form(self.request.query)

    async def body(self, most: int = 0) -> Any:
        """The JSON in the body, {} where there is none.

        Args:
            most: bytes that it may have; 0: as many as those of other requests.

        Raises:
            ApiError: 50109, it is not JSON.
            FormError: it comes with files.

        """
        if self.request.content_type.startswith("multipart/"):
            return (await read_parts(self.request, most=self.request.client_max_size)).said
        request = self.request.clone(client_max_size=most) if most else self.request
        raw = await request.read()
        return body_of(raw) if raw.strip() else {}

    @asynccontextmanager
    async def with_files(self, may: Callable[[], Awaitable[None]], *, whose: int = 0) -> AsyncIterator[Body]:
        """The body and the files that it brings; room in memory is kept for them until the end of the block.

        Args:
            may: raises ApiError where the user must not send files. It is asked before any is read.
            whose: to whom they count, where that is not the user.

        Raises:
            ApiError: as `read_parts`; 503, there is no room now.

        """
        request = self.request
        if not request.content_type.startswith("multipart/"):
            yield Body(await self.body(), ())
            return
        refusal = None
        try:
            await may()
        except ApiError as error:
            refusal = error
        most = request.client_max_size
        size = request.content_length if request.content_length is not None else MESSAGE_FILES_BYTES + most
        if size > MESSAGE_FILES_BYTES + most:
            raise web.HTTPRequestEntityTooLarge(MESSAGE_FILES_BYTES + most, size)
        with self.context.uploads.room(whose or self.user.id, size):
            of_file = self.context.settings.file_bytes
            yield await read_parts(request, most=most, of_file=of_file, refusal=refusal)

    async def form(self, most: int = 0) -> Form:
        """The body, to read fields from; call its `check()`. Args: most: as of `body`."""
        return Form(await self.body(most))

    async def guild(self, needed: int = NONE) -> tuple[Guild, Member]:
        """The guild in the path, if the user is in it and has these permissions. Raises: ApiError."""
        guild, member = await self.context.ingress.access.guild(self.user, self.id("guild"))
        held = base(guild, member)
        if timed_out(guild, member, datetime.now(UTC)):
            held &= TIMED_OUT
        if held & needed != needed:
            raise forbidden()
        return guild, member

    async def guild_place(self) -> tuple[Place, Guild]:
        """The channel, or thread, of a guild in the path. Raises: ApiError."""
        place = await self.context.ingress.access.place(self.user, self.id("channel"))
        if place.guild is None:
            raise not_in_direct()
        return place, place.guild

    async def applied(self, change: Change[Any]) -> None:
        """Wait until a change has come to everybody concerned. Raises: ApiError: 504."""
        await self.context.ingress.applied.here(change)

    async def told(self, change: Change[Any]) -> None:
        """The same for a guild that is gone. Raises as `applied`."""
        await self.context.ingress.applied.everywhere(change)


Handler = Callable[[Call], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint."""

    method: str
    path: str
    """After the prefix with the version; ids are `{name}`."""
    handler: Handler


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return json_body(_encode(value), status, headers)


def json_body(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that is JSON already. The type has no charset: half of the client libraries choke on one."""
    return web.Response(
        body=body, status=status, headers={"Content-Type": "application/json"} | (headers or {})
    )


def empty() -> web.Response:
    """204."""
    return web.Response(status=204)
