"""What an error says: something is away, forbidden, missing, full, or our own code is wrong. Pure.

None of these says anything against a record: whatever comes, a worker holds its partition until it is mended. Only a
record that cannot be read or makes no sense is set aside, and that is said by a `PoisonError` where it is judged.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import asyncpg
import redis.exceptions as redis
from aiokafka import errors as kafka

__all__ = ["ONE_RECORD", "PASSES", "Trouble", "trouble_of"]


class Trouble(StrEnum):
    """Kinds of trouble: the values of the label `reason` of `fanfare_held_partitions`."""

    AWAY = "away"
    """It does not answer, or has no primary, leader or coordinator now."""
    RIGHT = "right"
    """We are not allowed to, or not let in."""
    MISSING = "missing"
    """A topic, table, column, schema or database is not there."""
    READ_ONLY = "read_only"
    """It takes no writes now."""
    FULL = "full"
    """Its memory or disk is full, or it has too many connections."""
    TOO_LARGE = "too_large"
    """A limit of a topic or a table is below the size of a record."""
    REFUSED = "refused"
    """It says that it, or what it holds, is not as it has to be: a setting, a version, a cluster, corrupt data."""
    CODE = "code"
    """An error of our own code."""


# One record of a batch can be the cause; then the others must not have to wait to find out.
ONE_RECORD: Final = frozenset({Trouble.TOO_LARGE, Trouble.CODE})
# Such trouble passes by itself in the life of a healthy system.
PASSES: Final = frozenset({Trouble.AWAY, Trouble.READ_ONLY, Trouble.FULL})

# By class; the class that is nearest to that of the error counts.
_CLASSES: Final[dict[type[BaseException], Trouble]] = {
    OSError: Trouble.AWAY,  # ConnectionError and TimeoutError are kinds of it
    # Kafka: what is retriable is away, and all others not named here are refusals.
    kafka.KafkaTimeoutError: Trouble.AWAY,
    kafka.KafkaUnavailableError: Trouble.AWAY,
    kafka.BrokerNotAvailableError: Trouble.AWAY,
    kafka.ReplicaNotAvailableError: Trouble.AWAY,
    kafka.QuotaViolationError: Trouble.AWAY,
    kafka.ProducerClosed: Trouble.AWAY,
    kafka.IllegalGenerationError: Trouble.AWAY,
    kafka.UnknownMemberIdError: Trouble.AWAY,
    kafka.RebalanceInProgressError: Trouble.AWAY,
    kafka.CommitFailedError: Trouble.AWAY,
    kafka.StaleLeaderEpochCodeError: Trouble.AWAY,
    kafka.ReassignmentInProgress: Trouble.AWAY,
    kafka.FetchSessionIdNotFound: Trouble.AWAY,
    kafka.InvalidFetchSessionEpoch: Trouble.AWAY,
    kafka.OperationNotAttempted: Trouble.AWAY,
    kafka.AuthenticationFailedError: Trouble.RIGHT,
    kafka.AuthenticationMethodNotSupported: Trouble.RIGHT,
    kafka.TopicAuthorizationFailedError: Trouble.RIGHT,
    kafka.GroupAuthorizationFailedError: Trouble.RIGHT,
    kafka.ClusterAuthorizationFailedError: Trouble.RIGHT,
    kafka.TransactionalIdAuthorizationFailed: Trouble.RIGHT,
    kafka.UnsupportedSaslMechanismError: Trouble.RIGHT,
    kafka.IllegalSaslStateError: Trouble.RIGHT,
    kafka.SaslAuthenticationFailed: Trouble.RIGHT,
    kafka.SecurityDisabled: Trouble.RIGHT,
    kafka.DelegationTokenAuthDisabled: Trouble.RIGHT,
    kafka.DelegationTokenNotFound: Trouble.RIGHT,
    kafka.DelegationTokenOwnerMismatch: Trouble.RIGHT,
    kafka.DelegationTokenRequestNotAllowed: Trouble.RIGHT,
    kafka.DelegationTokenAuthorizationFailed: Trouble.RIGHT,
    kafka.DelegationTokenExpired: Trouble.RIGHT,
    kafka.InvalidPrincipalType: Trouble.RIGHT,
    kafka.UnknownTopicOrPartitionError: Trouble.MISSING,
    kafka.InvalidTopicError: Trouble.MISSING,
    kafka.GroupIdNotFound: Trouble.MISSING,
    kafka.ListenerNotFound: Trouble.MISSING,
    kafka.KafkaStorageError: Trouble.FULL,
    kafka.LogDirNotFound: Trouble.FULL,
    kafka.MessageSizeTooLargeError: Trouble.TOO_LARGE,
    kafka.RecordListTooLargeError: Trouble.TOO_LARGE,
    kafka.RecordTooLargeError: Trouble.TOO_LARGE,
    kafka.IllegalStateError: Trouble.CODE,
    kafka.IllegalArgumentError: Trouble.CODE,
    kafka.IllegalOperation: Trouble.CODE,
    kafka.ConsumerStoppedError: Trouble.AWAY,
    # Redis: a ResponseError without a class of its own is what a command or a script of ours was told.
    redis.RedisError: Trouble.CODE,
    redis.ConnectionError: Trouble.AWAY,
    redis.TimeoutError: Trouble.AWAY,
    redis.InvalidResponse: Trouble.AWAY,
    redis.BusyLoadingError: Trouble.AWAY,
    redis.NoScriptError: Trouble.AWAY,
    redis.WatchError: Trouble.AWAY,
    redis.TryAgainError: Trouble.AWAY,
    redis.MasterDownError: Trouble.AWAY,
    redis.ClusterDownError: Trouble.AWAY,
    redis.AuthenticationError: Trouble.RIGHT,
    redis.AuthorizationError: Trouble.RIGHT,
    redis.AuthenticationWrongNumberOfArgsError: Trouble.RIGHT,
    redis.ExternalAuthProviderError: Trouble.RIGHT,
    redis.NoPermissionError: Trouble.RIGHT,
    redis.ReadOnlyError: Trouble.READ_ONLY,
    redis.OutOfMemoryError: Trouble.FULL,
    redis.MaxConnectionsError: Trouble.FULL,
    redis.RedisClusterException: Trouble.REFUSED,
    redis.ClusterError: Trouble.REFUSED,
    redis.AskError: Trouble.REFUSED,
    redis.MovedError: Trouble.REFUSED,
    redis.ClusterCrossSlotError: Trouble.REFUSED,
    redis.ModuleError: Trouble.REFUSED,
    redis.InvalidPipelineStack: Trouble.CODE,
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
_CAUSES: Final = 8


def trouble_of(error: BaseException) -> Trouble:
    """What an error says; an error that is known nowhere is one of our own code.

    An error of ours says it by an attribute `trouble`. If it is raised because of another one, and says nothing, the
    other one does.
    """
    for each in _causes(error):
        said = getattr(each, "trouble", None)
        if isinstance(said, Trouble):
            return said
        if isinstance(each, redis.ResponseError) and (coded := _coded(str(each))) is not None:
            return coded
        for kind in type(each).__mro__:
            found = _CLASSES.get(kind)
            if found is not None:
                return found
            if kind is kafka.KafkaError:
                return Trouble.AWAY if getattr(each, "retriable", False) else Trouble.REFUSED
    return Trouble.CODE


def _coded(text: str) -> Trouble | None:
    """By the code at the beginning of an answer of Redis."""
    if text.startswith(_SCRIPT_RIGHT):
        return Trouble.RIGHT
    return _REDIS_CODES.get(text.partition(" ")[0])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    each: BaseException | None = error
    for _ in range(_CAUSES):
        if each is None:
            return
        yield each
        each = each.__cause__
