"""One connection to Redis on which many wait for their answers at a time.

redis-py takes a connection out of its pool for each command, and keeps it from other commands until the answer is
there. That takes some hundred calls in Python around packing and parsing, which hiredis does. Here commands are written
as they come, and the answers, which Redis gives in the same order, go to the calls that wait for them. Connecting,
logging in, trying again, transactions and all else stay redis-py's.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from weakref import WeakSet

import hiredis
from prometheus_client import Gauge
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    DataError,
    InvalidResponse,
    MasterDownError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError
from typing_extensions import override

from fanfare.presence.redis_internals import error_of, forget, transport_of
from fanfare.tasks import end, retrieve
from fanfare.telemetry.metrics import REGISTRY

__all__ = ["MultiplexedRedis"]

_Command = tuple[Any, ...]

_LOOK_S: Final = 0.5
# The most bytes that wait for a Redis that takes nothing: about the bound on what waits for Kafka.
_UNSENT_BYTES: Final = 16 * 1024 * 1024
# Commands that wait, or that change the connection for everybody. They need a connection of their own.
_UNFIT: Final = frozenset(
    {
        "AUTH", "BLMOVE", "BLMPOP", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZMPOP", "BZPOPMAX", "BZPOPMIN", "CLIENT CACHING",
        "CLIENT REPLY", "CLIENT TRACKING", "DEBUG SLEEP", "DISCARD", "EXEC", "HELLO", "MONITOR", "MULTI", "PSUBSCRIBE",
        "PSYNC", "QUIT", "RESET", "SCRIPT DEBUG", "SELECT", "SSUBSCRIBE", "SUBSCRIBE", "SYNC", "WAIT", "WAITAOF",
        "WATCH",
    }
)  # fmt: skip
_OF_TWO_WORDS: Final = frozenset(name.partition(" ")[0] for name in _UNFIT if " " in name)
_MAY_BLOCK: Final = frozenset({"XREAD", "XREADGROUP"})
# How many words follow an option of these; what follows STREAMS are names, whatever they say.
_VALUES: Final = {"GROUP": 2, "COUNT": 1}
# There is no whole answer yet.
_MISSING: Final = object()


class _Call:
    """Commands that were written together, and their answers so far."""

    __slots__ = ("answers", "count", "done", "since")

    def __init__(self, count: int, done: "asyncio.Future[list[Any]]", since: float) -> None:
        self.count = count
        self.done = done
        self.since = since
        self.answers: list[Any] = []


class _SharedConnection(asyncio.Protocol):
    """A connection that redis-py has set up, from then on."""

    def __init__(self, connection: Any, *, may_block: bool = False) -> None:
        """Args: connection: redis-py's, logged in, with nothing under way; may_block: only one task uses it."""
        self._connection = connection
        self._may_block = may_block
        self._transport = transport_of(connection)
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=error_of(connection),
            notEnoughData=_MISSING,
        )
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_Call] = deque()
        self._heard = 0.0
        self._looking: asyncio.TimerHandle | None = None
        self.closed = self._transport.is_closing()
        self._transport.set_protocol(self)
        _open.add(self)

    @property
    def unsent_bytes(self) -> int:
        """What waits to be written."""
        return 0 if self.closed else self._transport.get_write_buffer_size()

    async def ask(self, commands: Sequence[_Command]) -> list[Any]:
        """Write commands, at least one, and wait for their answers; an error that Redis answers is an answer, too.

        Raises:
            redis.ConnectionError: the connection was lost; the commands may have been carried out or not.
            redis.TimeoutError: no answer came, or too much waits to be sent.
            redis.DataError: a command cannot be sent: it has an argument of a type that Redis has no form for, or it
                would let everybody else wait.

        """
        if self.closed:
            raise RedisConnectionError("the connection was closed")
        # Pack before the call joins the queue: a call that cannot be packed must not get the answers of the next one.
        packed = _packed_all(commands, may_block=self._may_block)
        if self._transport.get_write_buffer_size() + len(packed) > _UNSENT_BYTES and self._calls:
            raise RedisTimeoutError(f"{_UNSENT_BYTES} bytes wait for Redis already: it takes no more")
        call = _Call(len(commands), self._loop.create_future(), self._loop.time())
        self._calls.append(call)
        if self._looking is None:
            self._looking = self._loop.call_later(_LOOK_S, self._look)
        self._transport.write(packed)
        try:
            return await call.done
        except asyncio.CancelledError:
            if len(self._calls) == 1 and self._calls[0] is call:
                # As redis-py does: the next call shall not wait behind an answer that nobody wants.
                self.close(RedisConnectionError("the call was cancelled"))
            raise

    def close(self, why: RedisError) -> None:
        """Close the connection; each call that still waits gets the error."""
        self.closed = True
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._transport.abort()
        forget(self._connection)
        calls, self._calls = self._calls, deque()
        for call in calls:
            if not call.done.done():
                call.done.set_exception(why)

    @override
    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _MISSING:
                if not isinstance(answer, hiredis.PushNotification):  # the server's own news
                    self._answered(answer)
        except (InvalidResponse, IndexError) as error:
            self.close(RedisConnectionError(f"what came is no answer to what was asked: {error!r}"))

    def _answered(self, answer: Any) -> None:
        if isinstance(answer, RedisError):
            if isinstance(answer, RedisConnectionError):  # as when it still loads its data
                self.close(answer)
                return
            if _is_no_primary(answer):
                # Such a server keeps the connection open; a new connection goes to the primary.
                self.close(RedisConnectionError(f"it is no primary any more: {answer}"))
                return
        call = self._calls[0]
        call.answers.append(answer)
        if len(call.answers) == call.count:
            self._calls.popleft()
            if not call.done.done():
                call.done.set_result(call.answers)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.close(RedisConnectionError(f"Redis closed the connection: {exc!r}"))

    def _look(self) -> None:
        """Give the connection up if a call waits and nothing comes."""
        self._looking = None
        if not self._calls:
            return
        limit_s: float | None = self._connection.socket_timeout
        if limit_s is not None and self._loop.time() - max(self._heard, self._calls[0].since) > limit_s:
            self.close(RedisTimeoutError(f"Redis has not answered for {limit_s:.0f} s"))
        else:
            self._looking = self._loop.call_later(_LOOK_S, self._look)


_open: WeakSet[_SharedConnection] = WeakSet()
_UNSENT: Final = Gauge(
    "fanfare_redis_unsent_bytes", "Bytes that wait to be sent to Redis.", registry=REGISTRY
)
_UNSENT.set_function(lambda: sum(line.unsent_bytes for line in list(_open)))


class MultiplexedRedis(Redis):
    """redis-py's client; its commands, and pipelines that are no transactions, go over one connection.

    A command that fails for want of a connection goes redis-py's own way, which tries again.
    """

    _line: _SharedConnection | None = None
    _opening: "asyncio.Task[_SharedConnection] | None" = None
    ended = False
    """It was closed."""
    generation = 0
    """Grows each time that another connection is used: it may lead to another server."""
    may_block = False
    """It belongs to one task, which may let it wait."""

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            (answer,) = await self.ask([args])
        except (RedisConnectionError, RedisTimeoutError):
            if self.ended:
                raise
            calling: Any = super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            return await self.own_way(calling)
        found = _understood(self.response_callbacks, args, options, answer)
        if isinstance(found, Exception):
            raise found
        return found

    @override
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _MultiplexedPipeline(self, transaction, shard_hint)

    async def ask(self, commands: Sequence[_Command]) -> list[Any]:
        """The answers to commands as they come from Redis; an error that Redis answers is an answer, too.

        Raises:
            redis.ConnectionError: there is no connection, or it was lost meanwhile.
            redis.TimeoutError: no answer came.

        """
        if self.ended:
            raise RedisConnectionError("the client was closed")
        if not commands:
            return []
        line = self._line
        if line is None or line.closed:
            line = await self._open()
        return await line.ask(commands)

    async def own_way(self, calling: Awaitable[Any]) -> Any:
        """What redis-py does by itself, over connections of its pool.

        Raises:
            redis.ConnectionError: the server is no primary any more. Its connections are dropped: new ones go to the
                primary.

        """
        self.generation += 1
        try:
            found = await calling
        except RedisError as error:
            if not _is_no_primary(error):
                raise
            await self.connection_pool.disconnect()
            raise RedisConnectionError(f"it is no primary any more: {error}") from error
        if isinstance(found, list) and any(map(_is_no_primary, found)):
            await self.connection_pool.disconnect()
            raise RedisConnectionError("it is no primary any more")
        return found

    def drop(self) -> None:
        """Give the connection up, which may be to the wrong server; the next call makes another one."""
        if self._line is not None:
            self._line.close(RedisConnectionError("the connection was given up"))

    async def _open(self) -> _SharedConnection:
        """Connect; calls that come meanwhile share the connection."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._connect(), name="redis line")
            self._opening.add_done_callback(retrieve)
        opening = self._opening
        await asyncio.wait((opening,))
        if opening.cancelled():
            raise RedisConnectionError("the client was closed")
        return opening.result()

    async def _connect(self) -> _SharedConnection:
        try:
            # Connections of the pool may lead to the same server as the lost line, which may be no primary any more.
            await self.connection_pool.disconnect(inuse_connections=False)
            connection: Any = self.connection_pool.make_connection()  # type: ignore[no-untyped-call]
            await connection.connect_check_health()
            self.generation += 1
            self._line = _SharedConnection(connection, may_block=self.may_block)
            return self._line
        finally:
            self._opening = None

    @override
    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        self.ended = True
        if self._opening is not None:
            await end((self._opening,))
        if self._line is not None:
            self._line.close(RedisConnectionError("the client was closed"))
        await super().aclose(close_connection_pool)


class _MultiplexedPipeline(Pipeline):
    """A pipeline of that client."""

    def __init__(self, client: MultiplexedRedis, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    @override
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack: Any = self.command_stack
        if self.is_transaction or self.explicit_transaction or self.watching or self.scripts or not stack:
            return await self._own_way(raise_on_error=raise_on_error)
        try:
            answers = await self._client.ask([args for args, _ in stack])
        except (RedisConnectionError, RedisTimeoutError):
            if self._client.ended:
                raise
            return await self._own_way(raise_on_error=raise_on_error)
        self.command_stack = []
        understood = [
            _understood(self.response_callbacks, args, options, answer)
            for (args, options), answer in zip(stack, answers, strict=True)
        ]
        if raise_on_error:
            self.raise_first_error(stack, understood)
        return understood

    async def _own_way(self, *, raise_on_error: bool) -> list[Any]:
        found: list[Any] = await self._client.own_way(super().execute(raise_on_error))
        return found


def _is_no_primary(answer: Any) -> bool:
    """Whether an answer says that the server was demoted or lost its replicas: another may be primary now."""
    return isinstance(answer, ReadOnlyError | MasterDownError) or (
        isinstance(answer, ResponseError) and str(answer).startswith("NOREPLICAS")
    )


def _understood(callbacks: Mapping[Any, Any], args: _Command, options: Mapping[str, Any], answer: Any) -> Any:
    """An answer in the form in which redis-py returns it."""
    understand = callbacks.get(args[0])
    if understand is None or isinstance(answer, Exception):
        return answer
    # `keys` is for redis-py's own cache.
    return understand(answer, **{name: value for name, value in options.items() if name != "keys"})


def _packed_all(commands: Sequence[_Command], *, may_block: bool) -> bytes:
    """Commands in Redis's form, one behind the other. Raises as `_packed`."""
    if len(commands) == 1:  # most often, and a generator costs as much as the packing
        return _packed(commands[0], may_block=may_block)
    return b"".join([_packed(command, may_block=may_block) for command in commands])


def _packed(command: _Command, *, may_block: bool) -> bytes:
    """A command in Redis's form; its name may be of several words.

    Raises:
        redis.DataError: it must not go over a shared connection, or has no form.

    """
    name = command[0] if command else ""
    if not isinstance(name, str | bytes):
        raise DataError("a command needs a name")
    named, harmless = _named(name, may_block=may_block)
    words = (*named, *command[1:])
    if not harmless:
        _check_fit(words)
    try:
        packed: bytes = hiredis.pack_command(words)
    except (TypeError, UnicodeEncodeError, ValueError) as error:
        said = _text(words[0])
        raise DataError(f"{said} has an argument that Redis has no form for: {error}") from error
    return packed


# The same few names come all the time.
@lru_cache(maxsize=512)
def _named(name: str | bytes, *, may_block: bool) -> tuple[tuple[str | bytes, ...], bool]:
    """The words of a command's name, and whether any command that begins with them may share a connection.

    Args:
        name: the first argument of the command.
        may_block: nobody else waits for the connection.

    """
    words: tuple[str | bytes, ...] = tuple(name.split())
    if not words:
        raise DataError("a command needs a name")
    questionable = _UNFIT | _OF_TWO_WORDS if may_block else _UNFIT | _OF_TWO_WORDS | _MAY_BLOCK
    return words, _text(words[0]) not in questionable


def _check_fit(words: Sequence[Any]) -> None:
    """Raises DataError if a command must not go over a shared connection."""
    said = _text(words[0])
    if said in _OF_TWO_WORDS and len(words) > 1:
        said = f"{said} {_text(words[1])}"
    if said in _UNFIT or (said in _MAY_BLOCK and _blocks(words[1:])):
        raise DataError(f"{said} needs a connection of its own: everybody else would wait for it")


def _text(word: Any) -> str:
    """A word of a command as Redis understands it, in capitals."""
    return (str(word, "latin-1") if isinstance(word, bytes | bytearray | memoryview) else str(word)).upper()


def _blocks(options: Sequence[Any]) -> bool:
    """Whether a read of streams may wait for entries."""
    at = 0
    while at < len(options) and (word := _text(options[at])) != "STREAMS":
        if word == "BLOCK":
            return True
        at += 1 + _VALUES.get(word, 0)
    return False
