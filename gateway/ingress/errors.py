"""What a request can be answered with instead of its result, the same over REST and over the socket.

ApiError                any answer with a Discord code and an HTTP status
├── FormError           400, 50035: which fields of the body are wrong, nested by key
├── RefusedError        503: not done and never will be; try again after `retry_after`
├── UnknownOutcomeError 504: it will happen once or never; the same nonce asks again
└── RateLimitedError    429: try again after `retry_after`
"""

from collections.abc import Mapping
from typing import Any, Final

__all__ = [
    "ApiError",
    "FormError",
    "RateLimitedError",
    "RefusedError",
    "UnknownOutcomeError",
    "archived",
    "empty_message",
    "forbidden",
    "missing_access",
    "not_found",
    "not_in_direct",
    "unauthorized",
    "unknown_channel",
    "unknown_emoji",
    "unknown_guild",
    "unknown_member",
    "unknown_message",
    "unknown_user",
]

# Advice to clients when a store is away; a broker is replaced as leader within about 5 s.
RETRY_AFTER_S: Final = 1.0


class ApiError(Exception):
    """A request is not answered with its result."""

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        errors: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        """An error in the terms of REST.

        Args:
            status: of HTTP.
            code: Discord's, 0 where it has none.
            message: what is wrong, for people.
            errors: for 50035, per field.
            retry_after: seconds after which the same request may succeed.

        """
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.retry_after = retry_after

    def rest(self) -> dict[str, Any]:
        """The body of the REST answer."""
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.errors is not None:
            body["errors"] = self.errors
        if self.retry_after is not None:
            body["retry_after"] = self.retry_after
        return body

    def socket(self) -> dict[str, Any]:
        """The `error` of op 129. Its code is the HTTP status where Discord has none, so that they differ."""
        return self.rest() | {"code": self.code or self.status}


class FormError(ApiError):
    """The body of the request is wrong; `errors` says where."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        """Args: errors: nested by key, each leaf `{"_errors": [{"code", "message"}]}`."""
        super().__init__(400, 50035, "Invalid Form Body", errors=errors)

    @classmethod
    def at(cls, key: str, code: str, message: str) -> "FormError":
        """One field is wrong; `key` may be a dotted path."""
        errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
        for part in reversed(key.split(".")):
            errors = {part: errors}
        return cls(errors)


class RefusedError(ApiError):
    """Not done, and never will be: a store is known to be away or has too much to do."""

    def __init__(self, why: str, retry_after: float = RETRY_AFTER_S) -> None:
        """Args: why: what is away, for people; retry_after: seconds."""
        super().__init__(503, 0, f"503: Service Unavailable ({why})", retry_after=retry_after)


class UnknownOutcomeError(ApiError):
    """Handed over and not acknowledged in time: it will happen once or never."""

    def __init__(self, why: str) -> None:
        """Args: why: what is not known, for people."""
        super().__init__(504, 0, f"504: Gateway Timeout ({why})")


class RateLimitedError(ApiError):
    """Too many requests."""

    def __init__(
        self,
        retry_after: float,
        limit: int,
        bucket: str,
        *,
        code: int = 0,
        message: str = "You are being rate limited.",
    ) -> None:
        """Args: retry_after: seconds; limit: requests per window; bucket: names what is limited."""
        super().__init__(429, code, message, retry_after=round(retry_after, 3))
        self.limit = limit
        self.bucket = bucket


def not_found() -> ApiError:
    """There is no such route."""
    return ApiError(404, 0, "404: Not Found")


def unauthorized() -> ApiError:
    """There is no valid token."""
    return ApiError(401, 0, "401: Unauthorized")


def unknown_channel() -> ApiError:
    """There is no such channel."""
    return ApiError(404, 10003, "Unknown Channel")


def archived() -> ApiError:
    """What is in an archived thread stays as it is."""
    return ApiError(400, 50083, "Thread is archived")


def unknown_guild() -> ApiError:
    """There is no such guild."""
    return ApiError(404, 10004, "Unknown Guild")


def unknown_member() -> ApiError:
    """The user is not in the guild."""
    return ApiError(404, 10007, "Unknown Member")


def not_in_direct() -> ApiError:
    """This can be done in channels of guilds only."""
    return ApiError(403, 50003, "Cannot execute action on a DM channel")


def unknown_message() -> ApiError:
    """There is no such message in the channel."""
    return ApiError(404, 10008, "Unknown Message")


def unknown_emoji(status: int = 404) -> ApiError:
    """There is no such emoji."""
    return ApiError(status, 10014, "Unknown Emoji")


def unknown_user() -> ApiError:
    """There is no such user."""
    return ApiError(404, 10013, "Unknown User")


def missing_access() -> ApiError:
    """The user may not see this."""
    return ApiError(403, 50001, "Missing Access")


def forbidden() -> ApiError:
    """The user may see this and not do that to it."""
    return ApiError(403, 50013, "Missing Permissions")


def empty_message() -> ApiError:
    """A message needs a content or an embed."""
    return ApiError(400, 50006, "Cannot send an empty message")
