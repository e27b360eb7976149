"""The application: prefixes, who is asking, errors in the protocol's form, CORS, metrics and the request log."""

import math
import re
import time
from functools import partial
from typing import Final
from urllib.parse import unquote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler as AiohttpHandler
from prometheus_client import Counter, Histogram

from fanfare.constants import BODY_S
from fanfare.files.paths import PATTERN
from fanfare.files.store import FilesUnavailableError
from fanfare.model import User
from fanfare.store.changes import REASON
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import LATENCY_BUCKETS, REGISTRY
from fanfare.tokens import BadTokenError
from gateway.ingress.access import refusing
from gateway.ingress.errors import (
    ApiError,
    FormError,
    RateLimitedError,
    RefusedError,
    not_found,
    unauthorized,
)
from gateway.rest import (
    absent,
    application,
    audit_log,
    bans,
    channels,
    command_permissions,
    commands,
    emojis,
    gateway_url,
    guilds,
    interactions,
    invites,
    members,
    messages,
    pins,
    pruning,
    reactions,
    roles,
    search,
    thread_members,
    threads,
    users,
    webhooks,
)
from gateway.rest.attachments import serve
from gateway.rest.context import Call, Handler, RestContext, Route, reply
from gateway.rest.pictures import EMOJI, ICON, serve_picture
from gateway.rest.protocol import CORS
from gateway.rest.server import identified, invalid

__all__ = ["ROUTES", "make_app"]

PREFIXES: Final = ("/api/v10", "/api/v9", "/api")
MAX_BODY_BYTES: Final = 256 * 1024
# The time limit of all requests but sends, which have their own bounds.
_ANSWER_S: Final = 10.0
# A body with files has to come, and then to be stored.
_FILES_S: Final = BODY_S + 30.0

_MODULES: Final = (
    absent,
    application,
    audit_log,
    bans,
    channels,
    command_permissions,
    commands,
    emojis,
    gateway_url,
    guilds,
    interactions,
    invites,
    members,
    messages,
    pins,
    pruning,
    reactions,
    roles,
    search,
    thread_members,
    threads,
    users,
    webhooks,
)
ROUTES: Final = [route for module in _MODULES for route in module.ROUTES]
"""Every route, without the prefix."""
_NOBODY: Final = User(id=0, username="")
# What stands in a path. Not \d, which takes the digits of every script.
_NAMED: Final = re.compile(r"\{([a-z]+)\}")
_ID: Final = "[0-9]{1,20}"
_TEXTS: Final = {
    "emoji": "[^/]{1,100}",
    "code": "[A-Za-z0-9]{2,32}",
    "token": "[A-Za-z0-9_.-]{1,128}",
}
_REASON_LENGTH: Final = 512
_OPEN: Final = frozenset({"/gateway", *(route.path for route in ROUTES if "{token}" in route.path)})
"""What needs no token of a user."""

_PREFLIGHT: Final = CORS | {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Audit-Log-Reason",
    "Access-Control-Max-Age": "86400",
}

REQUESTS: Final = Counter(
    "fanfare_rest_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY
)
SECONDS: Final = Histogram(
    "fanfare_rest_seconds",
    "From a request to its answer.",
    ["method", "route"],
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)

_log = logs.get("rest")


def make_app(context: RestContext) -> web.Application:
    """The application, ready to be served."""
    app = web.Application(middlewares=[_outermost], client_max_size=MAX_BODY_BYTES)
    for prefix in PREFIXES:
        for route in ROUTES:
            app.router.add_route(
                route.method, prefix + _pattern(route.path), _bound(context, route), name=None
            )
    app.router.add_get(PATTERN, partial(serve, context.files))
    for pattern in (EMOJI, ICON):
        app.router.add_get(pattern, partial(serve_picture, context.files))
    app.router.add_route("*", r"/api/{version:v(?!9/|10/)[0-9]+}/{rest:.*}", _wrong_version)
    return app


def _pattern(path: str) -> str:
    return _NAMED.sub(lambda found: f"{{{found[1]}:{_TEXTS.get(found[1], _ID)}}}", path)


def _bound(context: RestContext, route: Route) -> AiohttpHandler:
    """The route's handler with all that is around it."""
    handler: Handler = route.handler

    async def handle(request: web.Request) -> web.Response:
        request["route"] = route.path
        async with refusing(_FILES_S if request.content_type.startswith("multipart/") else _ANSWER_S):
            if route.path in _OPEN:
                return await handler(Call(context, request, _NOBODY))
            try:
                holder = await context.accounts.admit(request.headers.get("Authorization", ""))
            except BadTokenError:
                invalid(request)
                raise unauthorized() from None
            user = await context.guilds.user(holder.user)
            if user is None:
                raise unauthorized()
            identified(request)
            # Of this request: each runs in a task of its own connection, one after the other.
            REASON.set(_reason(request))
            return await handler(Call(context, request, user))

    return handle


def _reason(request: web.Request) -> str:
    """Why somebody does this, for the audit log. Raises: FormError: it is too long."""
    reason = unquote(request.headers.get("X-Audit-Log-Reason", ""), errors="replace").replace("\0", "")
    if len(reason) > _REASON_LENGTH:
        said = f"Must be {_REASON_LENGTH} or fewer in length."
        raise FormError.at("reason", "BASE_TYPE_MAX_LENGTH", said)
    return reason


async def _wrong_version(_: web.Request) -> web.Response:
    raise ApiError(400, 50041, "Invalid API version provided.")


@web.middleware
async def _outermost(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    """Every answer, good or bad, in the protocol's form."""
    started = time.perf_counter()
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=_PREFLIGHT)
    try:
        response = await _answered(request, handler)
    except (ConnectionError, HttpProcessingError, web.RequestPayloadError) as error:
        # No fault of ours: the client has gone, or was cut, in the middle of its body, or its body cannot be read.
        _log.debug("a body did not come whole", action=Action.REQUEST, method=request.method, why=repr(error))
        response = _error(ApiError(400, 0, "400: Bad Request (the body did not come whole)"))
        response.force_close()
    except Exception as error:  # noqa: BLE001 - the client gets an answer, the log the reason
        _log.error("a request failed", action=Action.REQUEST_FAILED, method=request.method, exc_info=error)
        response = _error(ApiError(500, 0, "500: Internal Server Error"))
    if "own" not in request:
        response.headers.update(CORS)
    route = request.get("route", "unknown")
    seconds = time.perf_counter() - started
    REQUESTS.labels(request.method, route, response.status).inc()
    SECONDS.labels(request.method, route).observe(seconds)
    say = _log.warning if response.status >= 500 else _log.debug
    say(
        "request",
        action=Action.REQUEST,
        method=request.method,
        route=route,
        status=response.status,
        ms=round(seconds * 1000, 1),
    )
    return response


async def _answered(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    """The answer, if it can be made: an error is an answer, too."""
    try:
        _require_plain(request)
        return await handler(request)
    except ApiError as error:
        return _error(error)
    except FilesUnavailableError as error:
        return _error(RefusedError(f"the store of files is away: {error}"))
    except web.HTTPException as error:
        answer = _error(_translated(error))
        if allowed := error.headers.get("Allow"):
            answer.headers["Allow"] = allowed
        return answer


def _require_plain(request: web.Request) -> None:
    """Bodies are small: one that is compressed can only be large. Raises: ApiError."""
    if any(one.strip().lower() != "identity" for one in request.headers.getall("Content-Encoding", ())):
        raise ApiError(415, 0, "415: Unsupported Media Type (send the body without Content-Encoding)")


def _error(error: ApiError) -> web.Response:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        # Whole seconds, rounded up (RFC 9110, section 10.2.3): the fraction is in the body.
        headers = {
            "Retry-After": str(max(1, math.ceil(error.retry_after))),
            "X-RateLimit-Reset-After": f"{error.retry_after:.3f}",
            "Via": "1.1 fanfare",
        }
    if isinstance(error, RateLimitedError):
        headers |= {
            "X-RateLimit-Limit": str(error.limit),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": f"{time.time() + (error.retry_after or 0):.3f}",
            "X-RateLimit-Bucket": error.bucket,
            "X-RateLimit-Scope": "user",
        }
        return reply(error.rest() | {"global": False}, error.status, headers)
    return reply(error.rest(), error.status, headers)


def _translated(error: web.HTTPException) -> ApiError:
    if error.status == 404:
        return not_found()
    if error.status == 413:
        return ApiError(413, 40005, "Request entity too large")
    if error.status == 405:
        return ApiError(405, 0, "405: Method Not Allowed")
    return ApiError(error.status, 0, f"{error.status}: {error.reason}")
