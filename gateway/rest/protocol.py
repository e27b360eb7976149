"""One connection to REST: aiohttp's protocol, and what is no HTTP is answered in Discord's form, too."""

from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from gateway.ingress.errors import ApiError
from gateway.rest.context import reply

__all__ = ["CORS", "RestProtocol"]

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "X-RateLimit-Reset-After, X-RateLimit-Bucket, X-RateLimit-Scope",
}


class RestProtocol(RequestHandler):
    """One connection."""

    __slots__ = ()

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, and close. Nothing of it is logged: it is not from a client."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer has gone out already")
        phrase = HTTPStatus(status).phrase
        response = reply(ApiError(status, 0, f"{status}: {phrase}").rest(), status, CORS)
        response.force_close()
        return response
