"""What redis-py's errors say, and the names of those that other packages catch. Pure."""

from typing import Final

from redis import exceptions
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    NoPermissionError,
    NoScriptError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fanfare.trouble import Trouble

__all__ = [
    "AuthenticationError",
    "AuthenticationWrongNumberOfArgsError",
    "NoPermissionError",
    "NoScriptError",
    "RedisConnectionError",
    "RedisError",
    "RedisTimeoutError",
    "ResponseError",
    "redis_trouble",
]

# By class; the class that is nearest to that of the error counts.
_CLASSES: Final[dict[type[BaseException], Trouble]] = {
    # A ResponseError without a class of its own is what a command or a script of ours was told.
    exceptions.RedisError: Trouble.CODE,
    exceptions.ConnectionError: Trouble.AWAY,
    exceptions.TimeoutError: Trouble.AWAY,
    exceptions.InvalidResponse: Trouble.AWAY,
    exceptions.BusyLoadingError: Trouble.AWAY,
    exceptions.NoScriptError: Trouble.AWAY,
    exceptions.WatchError: Trouble.AWAY,
    exceptions.TryAgainError: Trouble.AWAY,
    exceptions.MasterDownError: Trouble.AWAY,
    exceptions.ClusterDownError: Trouble.AWAY,
    exceptions.AuthenticationError: Trouble.RIGHT,
    exceptions.AuthorizationError: Trouble.RIGHT,
    exceptions.AuthenticationWrongNumberOfArgsError: Trouble.RIGHT,
    exceptions.ExternalAuthProviderError: Trouble.RIGHT,
    exceptions.NoPermissionError: Trouble.RIGHT,
    exceptions.ReadOnlyError: Trouble.READ_ONLY,
    exceptions.OutOfMemoryError: Trouble.FULL,
    exceptions.MaxConnectionsError: Trouble.FULL,
    exceptions.RedisClusterException: Trouble.REFUSED,
    exceptions.ClusterError: Trouble.REFUSED,
    exceptions.AskError: Trouble.REFUSED,
    exceptions.MovedError: Trouble.REFUSED,
    exceptions.ClusterCrossSlotError: Trouble.REFUSED,
    exceptions.ModuleError: Trouble.REFUSED,
    exceptions.InvalidPipelineStack: Trouble.CODE,
}
# What redis-py has no classes for; these are Redis's codes, which stand first in the text of its answers.
_REDIS_CODES: Final = {
    "LOADING": Trouble.AWAY,
    "MASTERDOWN": Trouble.AWAY,
    "NOREPLICAS": Trouble.AWAY,
    "UNKILLABLE": Trouble.AWAY,
    "BUSY": Trouble.AWAY,
    "CLUSTERDOWN": Trouble.AWAY,
    "FAILOVER": Trouble.AWAY,
    "READONLY": Trouble.READ_ONLY,
    "MISCONF": Trouble.FULL,
    "OOM": Trouble.FULL,
    "NOPERM": Trouble.RIGHT,
    "NOAUTH": Trouble.RIGHT,
    "WRONGPASS": Trouble.RIGHT,
    "EXECABORT": Trouble.REFUSED,
}
# What Redis says inside of a script that called a command without the right to it; it has no code.
_SCRIPT_RIGHT: Final = "ACL failure in script"


def redis_trouble(error: BaseException) -> Trouble | None:
    """What an error of Redis's says; None for all others."""
    if isinstance(error, ResponseError) and (coded := _coded(str(error))) is not None:
        return coded
    return next((_CLASSES[kind] for kind in type(error).__mro__ if kind in _CLASSES), None)


def _coded(text: str) -> Trouble | None:
    """By the code at the beginning of an answer of Redis."""
    if text.startswith(_SCRIPT_RIGHT):
        return Trouble.RIGHT
    return _REDIS_CODES.get(text.partition(" ")[0])
