"""One connection to Redis on which many wait for their answers at a time.

redis-py takes a connection out of its pool for each command, and nobody else may have it before the answer is there:
some hundred calls in Python around packing and parsing, which hiredis does. Here commands are written as they come, and
the answers, which Redis gives in the same order, go to those who wait. Connecting, logging in, trying again,
transactions and all else stay redis-py's.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import hiredis
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from typing_extensions import override

from fanfare.tasks import end, retrieve

__all__ = ["LineRedis"]

_Command = tuple[Any, ...]

_LOOK_S: Final = 0.5
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


class _Line(asyncio.Protocol):
    """A connection that redis-py has set up, from then on."""

    def __init__(self, connection: Any) -> None:
        """Args: connection: redis-py's, logged in; nothing is under way on it."""
        self._connection = connection
        # redis-py gives neither away; its parser knows which error is of which class.
        self._transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=connection._parser.parse_error,  # noqa: SLF001
            notEnoughData=_MISSING,
        )
        self._loop = asyncio.get_running_loop()
        self._calls: deque[_Call] = deque()
        self._heard = 0.0
        self._looking: asyncio.TimerHandle | None = None
        self.closed = self._transport.is_closing()
        self._transport.set_protocol(self)

    async def ask(self, commands: Sequence[_Command]) -> list[Any]:
        """Write commands, at least one, and wait for their answers; an error of Redis is one of them.

        Raises:
            redis.ConnectionError: the connection was lost; they may have been carried out or not.
            redis.TimeoutError: so did no answer come.

        """
        if self.closed:
            raise RedisConnectionError("the connection was closed")
        call = _Call(len(commands), self._loop.create_future(), self._loop.time())
        self._calls.append(call)
        if self._looking is None:
            self._looking = self._loop.call_later(_LOOK_S, self._look)
        self._transport.write(b"".join(map(_packed, commands)))
        try:
            return await call.done
        except asyncio.CancelledError:
            if len(self._calls) == 1 and self._calls[0] is call:
                # As redis-py does: whoever comes next shall not wait for an answer that nobody wants.
                self.close(RedisConnectionError("the call was cancelled"))
            raise

    def close(self, why: RedisError) -> None:
        """Close the connection; who still waits gets the error."""
        self.closed = True
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._transport.abort()
        self._connection._close()  # noqa: SLF001 - else it complains when it is deleted
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
        if isinstance(answer, RedisConnectionError):  # as when it still loads its data
            self.close(answer)
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
        """Give the connection up where somebody waits and nothing comes."""
        self._looking = None
        if not self._calls:
            return
        limit_s: float | None = self._connection.socket_timeout
        if limit_s is not None and self._loop.time() - max(self._heard, self._calls[0].since) > limit_s:
            self.close(RedisTimeoutError(f"Redis has not answered for {limit_s:.0f} s"))
        else:
            self._looking = self._loop.call_later(_LOOK_S, self._look)


class LineRedis(Redis):
    """redis-py's client; its commands, and pipelines that are no transactions, go over one line.

    What fails for want of a connection goes redis-py's own way, which tries again.
    """

    _line: _Line | None = None
    _opening: "asyncio.Task[_Line] | None" = None
    ended = False
    """It was closed."""

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            (answer,) = await self.ask([args])
        except (RedisConnectionError, RedisTimeoutError):
            if self.ended:
                raise
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        found = _understood(self.response_callbacks, args, options, answer)
        if isinstance(found, Exception):
            raise found
        return found

    @override
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _LinePipeline(self, transaction, shard_hint)

    async def ask(self, commands: Sequence[_Command]) -> list[Any]:
        """The answers to commands as they come from Redis; an error of Redis is one of them.

        Raises:
            redis.ConnectionError: there is no connection, or it was lost meanwhile.
            redis.TimeoutError: no answer came.

        """
        if self.ended:
            raise RedisConnectionError("the client was closed")
        line = self._line
        if line is None or line.closed:
            line = await self._open()
        return await line.ask(commands)

    async def _open(self) -> _Line:
        """Connect, once for all who come meanwhile."""
        if self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._connect(), name="redis line")
            self._opening.add_done_callback(retrieve)
        opening = self._opening
        await asyncio.wait((opening,))
        if opening.cancelled():
            raise RedisConnectionError("the client was closed")
        return opening.result()

    async def _connect(self) -> _Line:
        try:
            connection: Any = self.connection_pool.make_connection()  # type: ignore[no-untyped-call]
            await connection.connect_check_health()
            self._line = _Line(connection)
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


class _LinePipeline(Pipeline):
    """A pipeline of that client."""

    def __init__(self, client: LineRedis, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    @override
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack: Any = self.command_stack
        if self.is_transaction or self.explicit_transaction or self.watching or self.scripts or not stack:
            return await super().execute(raise_on_error)
        try:
            answers = await self._client.ask([args for args, _ in stack])
        except (RedisConnectionError, RedisTimeoutError):
            if self._client.ended:
                raise
            return await super().execute(raise_on_error)
        self.command_stack = []
        found = [
            _understood(self.response_callbacks, args, options, answer)
            for (args, options), answer in zip(stack, answers, strict=True)
        ]
        if raise_on_error:
            self.raise_first_error(stack, found)
        return found


def _understood(callbacks: Mapping[Any, Any], args: _Command, options: Mapping[str, Any], answer: Any) -> Any:
    """An answer in the form in which redis-py returns it."""
    understand = callbacks.get(args[0])
    if understand is None or isinstance(answer, Exception):
        return answer
    # `keys` is for redis-py's own cache.
    return understand(answer, **{name: value for name, value in options.items() if name != "keys"})


def _packed(command: _Command) -> bytes:
    """A command in Redis's form; its name may be of several words."""
    packed: bytes = hiredis.pack_command((*command[0].split(), *command[1:]))
    return packed
