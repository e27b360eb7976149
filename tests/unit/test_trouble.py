"""Every error of the libraries that we reach stores by: what it says, and that none of them makes a record poison."""

import asyncio
import inspect
from collections.abc import Iterator
from types import ModuleType

import aiokafka.errors
import asyncpg.exceptions
import pytest
import redis.exceptions

from fanfare.bus import batches
from fanfare.bus.batches import BatchRunner, Incoming, TopicPartition
from fanfare.bus.producer import NotHandedOverError, UnknownTopicError
from fanfare.diagnosis import trouble_of
from fanfare.presence.snowflake_leases import NoWorkerNumberError
from fanfare.store.errors import StoreUnavailableError
from fanfare.telemetry import logs
from fanfare.trouble import PASSES, Trouble
from tests.unit.test_batches import PARTITION, Letters, message

# SQLSTATEs of these classes are about a statement of ours, and redis-py's are about how we call it.
_CODE = {
    "redis": {
        "RedisError", "ResponseError", "DataError", "PubSubError", "ExecAbortError", "NoSuchFieldsetError", "LockError",
        "LockNotOwnedError", "InvalidPipelineStack", "ChildDeadlockedError", "IncorrectPolicyType",
    },
    "aiokafka": {"IllegalStateError", "IllegalArgumentError", "IllegalOperation"},
}  # fmt: skip


def _errors(module: ModuleType) -> Iterator[Exception]:
    for _, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, Exception) and not issubclass(found, Warning) and found.__module__ != "builtins":
            yield found.__new__(found)


EVERY = [
    pytest.param(library, error, id=f"{library}-{type(error).__name__}")
    for library, module in (
        ("aiokafka", aiokafka.errors), ("redis", redis.exceptions), ("asyncpg", asyncpg.exceptions)
    )
    for error in _errors(module)
]  # fmt: skip


@pytest.mark.parametrize(("library", "error"), EVERY)
def test_e1_every_error_of_the_libraries_has_its_kind(library: str, error: Exception) -> None:
    """One that is new in a library has to be looked at: here it would be taken for an error of our own code."""
    found = trouble_of(error)
    if library != "asyncpg":
        assert (found is Trouble.CODE) == (type(error).__name__ in _CODE[library])
    else:
        state = getattr(error, "sqlstate", None) or ""
        about_statements = state[:2] in {
            "03", "09", "0B", "0F", "0Z", "10", "20", "21", "22", "23", "24", "26", "27", "2B", "2D", "2F", "34", "38",
            "39", "3B", "42", "44", "72", "P0",
        }  # fmt: skip
        if found is Trouble.CODE and state:
            assert about_statements
        assert not (state[:2] in {"08", "40", "53", "55", "57", "58"} and found not in PASSES)


@pytest.mark.parametrize(("library", "error"), EVERY)
async def test_e1_no_error_of_the_libraries_makes_a_record_poison(
    library: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches.Backoff, "wait", lambda _: asyncio.sleep(0))
    letters, done = Letters(), []
    failing = [error, error]

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        if failing:
            raise failing.pop()
        done.extend(each.offset for each in batch)

    error.args = ("what it says",)
    runner = BatchRunner("g", handle, letters, logs.get("test"))  # type: ignore[arg-type]
    await runner.run(PARTITION, [message(offset) for offset in range(3)])
    assert (done, letters.written) == ([0, 1, 2], [])


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (redis.exceptions.NoPermissionError("NOPERM"), Trouble.RIGHT),
        (redis.exceptions.ReadOnlyError("x"), Trouble.READ_ONLY),
        (redis.exceptions.BusyLoadingError("x"), Trouble.AWAY),
        (redis.exceptions.OutOfMemoryError("x"), Trouble.FULL),
        (redis.exceptions.MasterDownError("x"), Trouble.AWAY),
        (redis.exceptions.ClusterDownError("x"), Trouble.AWAY),
        (redis.exceptions.MovedError("1 127.0.0.1:1"), Trouble.REFUSED),
        (redis.exceptions.ResponseError("MISCONF Redis cannot write"), Trouble.FULL),
        (redis.exceptions.ResponseError("NOREPLICAS Not enough good replicas"), Trouble.AWAY),
        (redis.exceptions.ResponseError("BUSY Redis is busy running a script"), Trouble.AWAY),
        (redis.exceptions.ResponseError("ACL failure in script: User default has no rights"), Trouble.RIGHT),
        (redis.exceptions.ResponseError("user_script:3: attempt to index a nil value"), Trouble.CODE),
        (aiokafka.errors.TopicAuthorizationFailedError(), Trouble.RIGHT),
        (aiokafka.errors.MessageSizeTooLargeError(), Trouble.TOO_LARGE),
        (aiokafka.errors.UnknownTopicOrPartitionError(), Trouble.MISSING),
        (aiokafka.errors.NotEnoughReplicasError(), Trouble.AWAY),
        (aiokafka.errors.PolicyViolationError(), Trouble.REFUSED),
        (asyncpg.InsufficientPrivilegeError("x"), Trouble.RIGHT),
        (asyncpg.InvalidPasswordError("x"), Trouble.RIGHT),
        (asyncpg.UndefinedTableError("x"), Trouble.MISSING),
        (asyncpg.ReadOnlySQLTransactionError("x"), Trouble.READ_ONLY),
        (asyncpg.DiskFullError("x"), Trouble.FULL),
        (asyncpg.TooManyConnectionsError("x"), Trouble.FULL),
        (asyncpg.DeadlockDetectedError("x"), Trouble.AWAY),
        (asyncpg.UniqueViolationError("x"), Trouble.CODE),
        (NotHandedOverError("full"), Trouble.AWAY),
        (UnknownTopicError("x"), Trouble.MISSING),
        (NoWorkerNumberError("x"), Trouble.AWAY),
        (StoreUnavailableError("x"), Trouble.AWAY),
        (StoreUnavailableError("x", Trouble.READ_ONLY), Trouble.READ_ONLY),
        (OSError("x"), Trouble.AWAY),
        (TypeError("x"), Trouble.CODE),
        (KeyError("x"), Trouble.CODE),
    ],
    ids=lambda value: value.value if isinstance(value, Trouble) else type(value).__name__,
)
def test_e1_what_an_error_says(error: Exception, trouble: Trouble) -> None:
    assert trouble_of(error) is trouble


def test_an_error_that_says_nothing_is_that_which_it_was_raised_from() -> None:
    error = RuntimeError("no look-up")
    error.__cause__ = redis.exceptions.NoPermissionError("NOPERM")
    assert trouble_of(error) is Trouble.RIGHT


def test_a_chain_of_causes_that_never_ends_is_given_up() -> None:
    error: Exception = redis.exceptions.NoPermissionError("NOPERM")
    for _ in range(20):
        above = RuntimeError("because of that")
        above.__cause__ = error
        error = above
    assert trouble_of(error) is Trouble.CODE
