"""REST with a token, as a client sees it."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from torture.client.wire import ProtocolError

__all__ = ["Rest", "RestError"]

_PAGE: Final = 100
# Answers come within 5 s whatever happens; this only ends what hangs.
_TIMEOUT_S: Final = 30.0


class RestError(Exception):
    """The server answered with an error."""

    def __init__(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        """Args: body: its JSON; headers: names in lower case."""
        super().__init__(f"{status}: {body}")
        self.status = status
        self.code = int(body.get("code", 0))
        self.body = body
        self.headers = headers


class Rest:
    """One user's REST; an asynchronous context manager."""

    def __init__(self, api: str, token: str, *, bot: bool = True, tls: SSLContext | None = None) -> None:
        """Prepare it.

        Args:
            api: base URL with the version.
            token: of the user.
            bot: whether the token is sent as `Bot TOKEN`.
            tls: whom to trust, where it is not whom the system trusts.

        """
        self._tls = tls or True
        self._api = api.rstrip("/")
        self._headers = {"Authorization": f"Bot {token}" if bot else token}
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        self._http = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def request(
        self, method: str, path: str, body: Any = None, *, query: dict[str, str] | None = None
    ) -> Any:
        """One request.

        Returns:
            The JSON of the answer; None for 204.

        Raises:
            RestError: the server answered with an error.
            ProtocolError: the answer is not in the form that libraries rely on.

        """
        assert self._http is not None, "use `async with`"
        async with self._http.request(
            method, self._api + path, json=body, params=query, ssl=self._tls
        ) as answer:
            if answer.status == HTTPStatus.NO_CONTENT:
                return None
            if answer.headers.get("Content-Type") != "application/json":
                kind = answer.headers.get("Content-Type")
                raise ProtocolError(f"{method} {path} answered {answer.status} with Content-Type {kind!r}")
            found = await answer.json()
            if answer.status >= HTTPStatus.BAD_REQUEST:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                raise RestError(answer.status, found, headers)
            return found

    async def send(self, channel: int | str, content: str, nonce: str | None = None, **fields: Any) -> Any:
        """Send a message; with a nonce, the same again is the same message. Raises as `request`."""
        body = {"content": content, **fields}
        if nonce is not None:
            body |= {"nonce": nonce, "enforce_nonce": True}
        return await self.request("POST", f"/channels/{channel}/messages", body)

    async def messages(self, channel: int | str, **query: int | str) -> list[Any]:
        """A page of a channel's messages, newest first. Raises as `request`."""
        named = {name: str(value) for name, value in query.items()}
        found: list[Any] = await self.request("GET", f"/channels/{channel}/messages", query=named)
        return found

    async def history(self, channel: int | str) -> AsyncIterator[Any]:
        """All messages of a channel, newest first. Raises as `request`."""
        page = await self.messages(channel, limit=_PAGE)
        while page:
            for message in page:
                yield message
            page = await self.messages(channel, limit=_PAGE, before=page[-1]["id"])
