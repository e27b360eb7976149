"""What an error of any store says: which kind of trouble it is. Pure."""

from collections.abc import Iterator
from typing import Final

import asyncpg

from fanfare.bus.errors import kafka_trouble
from fanfare.presence.errors import redis_trouble
from fanfare.trouble import Trouble

__all__ = ["trouble_of"]

# By class; the class that is nearest to that of the error counts.
_CLASSES: Final[dict[type[BaseException], Trouble]] = {
    OSError: Trouble.AWAY,  # ConnectionError and TimeoutError are kinds of it
    # PostgreSQL, by classes of SQLSTATE: all others are about our statements.
    asyncpg.PostgresError: Trouble.CODE,
    asyncpg.InterfaceError: Trouble.AWAY,  # the connection or the pool was closed
    asyncpg.InternalClientError: Trouble.AWAY,  # ended by the server while something was asked
    asyncpg.FatalPostgresError: Trouble.AWAY,
    asyncpg.PostgresConnectionError: Trouble.AWAY,
    asyncpg.OperatorInterventionError: Trouble.AWAY,  # it starts, or is shut down
    asyncpg.TransactionRollbackError: Trouble.AWAY,  # deadlock, serialization
    asyncpg.ObjectNotInPrerequisiteStateError: Trouble.AWAY,  # locked
    asyncpg.InvalidTransactionStateError: Trouble.AWAY,  # it was idle for too long, or broke off
    asyncpg.PostgresSystemError: Trouble.FULL,
    asyncpg.InsufficientResourcesError: Trouble.FULL,
    asyncpg.ReadOnlySQLTransactionError: Trouble.READ_ONLY,
    asyncpg.InsufficientPrivilegeError: Trouble.RIGHT,
    asyncpg.InvalidAuthorizationSpecificationError: Trouble.RIGHT,
    asyncpg.InvalidRoleSpecificationError: Trouble.RIGHT,
    asyncpg.InvalidGrantorError: Trouble.RIGHT,
    asyncpg.UndefinedTableError: Trouble.MISSING,
    asyncpg.UndefinedColumnError: Trouble.MISSING,
    asyncpg.UndefinedFunctionError: Trouble.MISSING,
    asyncpg.UndefinedObjectError: Trouble.MISSING,
    asyncpg.InvalidSchemaNameError: Trouble.MISSING,
    asyncpg.InvalidCatalogNameError: Trouble.MISSING,
    asyncpg.WrongObjectTypeError: Trouble.MISSING,
    asyncpg.ProgramLimitExceededError: Trouble.TOO_LARGE,
    asyncpg.FeatureNotSupportedError: Trouble.REFUSED,
    asyncpg.ConfigFileError: Trouble.REFUSED,
    asyncpg.FDWError: Trouble.REFUSED,
    asyncpg.InternalServerError: Trouble.REFUSED,
    # A table was changed since the statement was prepared: the next try prepares it again.
    asyncpg.OutdatedSchemaCacheError: Trouble.AWAY,
    asyncpg.InvalidCachedStatementError: Trouble.AWAY,
    asyncpg.ClientConfigurationError: Trouble.REFUSED,
    asyncpg.UnsupportedServerFeatureError: Trouble.REFUSED,
    asyncpg.UnsupportedClientFeatureError: Trouble.REFUSED,
}
_CAUSES: Final = 8


def trouble_of(error: BaseException) -> Trouble:
    """What an error says; an error that is known nowhere is one of our own code.

    An error of ours says it by an attribute `trouble`. If it has none, and was raised because of another error, that
    error says it.
    """
    for each in _causes(error):
        said = getattr(each, "trouble", None)
        if isinstance(said, Trouble):
            return said
        for find in (kafka_trouble, redis_trouble, _other_trouble):
            if (found := find(each)) is not None:
                return found
    return Trouble.CODE


def _other_trouble(error: BaseException) -> Trouble | None:
    """By its class, if it is one of PostgreSQL's or of the system's."""
    return next((_CLASSES[kind] for kind in type(error).__mro__ if kind in _CLASSES), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    each: BaseException | None = error
    for _ in range(_CAUSES):
        if each is None:
            return
        yield each
        each = each.__cause__
