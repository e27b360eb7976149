"""What aiokafka's errors say, and the names of those that other packages catch. Pure."""

from typing import Final

from aiokafka import errors
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, TopicAuthorizationFailedError

from fanfare.trouble import Trouble

__all__ = ["IncompatibleBrokerVersion", "KafkaError", "TopicAuthorizationFailedError", "kafka_trouble"]

# By class; the class that is nearest to that of the error counts.
_CLASSES: Final[dict[type[BaseException], Trouble]] = {
    errors.KafkaTimeoutError: Trouble.AWAY,
    errors.KafkaUnavailableError: Trouble.AWAY,
    errors.BrokerNotAvailableError: Trouble.AWAY,
    errors.ReplicaNotAvailableError: Trouble.AWAY,
    errors.QuotaViolationError: Trouble.AWAY,
    errors.ProducerClosed: Trouble.AWAY,
    errors.IllegalGenerationError: Trouble.AWAY,
    errors.UnknownMemberIdError: Trouble.AWAY,
    errors.RebalanceInProgressError: Trouble.AWAY,
    errors.CommitFailedError: Trouble.AWAY,
    errors.StaleLeaderEpochCodeError: Trouble.AWAY,
    errors.ReassignmentInProgress: Trouble.AWAY,
    errors.FetchSessionIdNotFound: Trouble.AWAY,
    errors.InvalidFetchSessionEpoch: Trouble.AWAY,
    errors.OperationNotAttempted: Trouble.AWAY,
    errors.AuthenticationFailedError: Trouble.RIGHT,
    errors.AuthenticationMethodNotSupported: Trouble.RIGHT,
    errors.TopicAuthorizationFailedError: Trouble.RIGHT,
    errors.GroupAuthorizationFailedError: Trouble.RIGHT,
    errors.ClusterAuthorizationFailedError: Trouble.RIGHT,
    errors.TransactionalIdAuthorizationFailed: Trouble.RIGHT,
    errors.UnsupportedSaslMechanismError: Trouble.RIGHT,
    errors.IllegalSaslStateError: Trouble.RIGHT,
    errors.SaslAuthenticationFailed: Trouble.RIGHT,
    errors.SecurityDisabled: Trouble.RIGHT,
    errors.DelegationTokenAuthDisabled: Trouble.RIGHT,
    errors.DelegationTokenNotFound: Trouble.RIGHT,
    errors.DelegationTokenOwnerMismatch: Trouble.RIGHT,
    errors.DelegationTokenRequestNotAllowed: Trouble.RIGHT,
    errors.DelegationTokenAuthorizationFailed: Trouble.RIGHT,
    errors.DelegationTokenExpired: Trouble.RIGHT,
    errors.InvalidPrincipalType: Trouble.RIGHT,
    errors.UnknownTopicOrPartitionError: Trouble.MISSING,
    errors.InvalidTopicError: Trouble.MISSING,
    errors.GroupIdNotFound: Trouble.MISSING,
    errors.ListenerNotFound: Trouble.MISSING,
    errors.KafkaStorageError: Trouble.FULL,
    errors.LogDirNotFound: Trouble.FULL,
    errors.MessageSizeTooLargeError: Trouble.TOO_LARGE,
    errors.RecordListTooLargeError: Trouble.TOO_LARGE,
    errors.RecordTooLargeError: Trouble.TOO_LARGE,
    errors.IllegalStateError: Trouble.CODE,
    errors.IllegalArgumentError: Trouble.CODE,
    errors.IllegalOperation: Trouble.CODE,
    errors.ConsumerStoppedError: Trouble.AWAY,
}


def kafka_trouble(error: BaseException) -> Trouble | None:
    """What an error of Kafka's says; None for all others. What has no class here is away if it can be retried."""
    for kind in type(error).__mro__:
        if (found := _CLASSES.get(kind)) is not None:
            return found
        if kind is KafkaError:
            return Trouble.AWAY if getattr(error, "retriable", False) else Trouble.REFUSED
    return None
