"""Asks a running system for a sample: Kafka, Redis, PostgreSQL, and the internal server of each process.

One collector keeps its connections, so that asking every second costs little. What does not answer is left out of the
sample, which says why; it is asked again in the next one.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any, Final, Generic, Self, TypedDict, TypeVar
from urllib.parse import urlencode

import msgspec

from fanfare import probe
from fanfare.bus.errors import KafkaError
from fanfare.bus.groups import GroupReader
from fanfare.clock import now_s
from fanfare.observe.sample import WANTED, Group, Kafka, Postgres, Process, Redis, Sample, group_of, measured
from fanfare.presence.client import connect
from fanfare.presence.errors import RedisError
from fanfare.settings import Settings, SettingsError
from fanfare.store.database import Database
from fanfare.store.errors import StoreUnavailableError

__all__ = ["Collector", "Endpoint"]

_ANSWER_S: Final = 2.0
_MOST: Final = 35
"""Processes that are asked for one sample."""
_STORES_S: Final = 1.5
"""For so long what Redis and PostgreSQL said of themselves is not asked again."""
_SAMPLE: Final = "/sample?" + urlencode([("name", name) for name in WANTED])
_ABOUT_POSTGRES: Final = """
    SELECT numbackends, xact_commit, tup_inserted, pg_database_size(datid)
    FROM pg_stat_database WHERE datname = current_database()"""
_T = TypeVar("_T")


class Endpoint(TypedDict, total=False):
    """A process to ask; `state.json` of `fanfare up` holds such."""

    name: str
    role: str
    pid: int | None
    state: str
    internal: str
    """`http://HOST:PORT` of its internal server; '' for a store."""


class Collector:
    """`async with Collector(settings, processes) as collector`, then `sample` as often as wanted."""

    def __init__(
        self, settings: Settings, processes: Callable[[], Sequence[Endpoint]], *, stores: bool = True
    ) -> None:
        """Make one; connects to nothing yet.

        Args:
            settings: with the addresses of the stores.
            processes: asked for each sample, because processes come and go.
            stores: whether Redis and PostgreSQL are asked; without them a sample costs less.

        """
        self._processes = processes
        self._lines: dict[str, probe.Line] = {}
        self._asked: dict[str, tuple[Endpoint, Process]] = {}
        """What was known of each when it was asked last, and what it said."""
        self._kafka = _Kept("kafka", lambda: _kafka(settings))
        self._redis = _Kept("redis", lambda: _redis(settings), fresh_s=_STORES_S, wanted=stores)
        self._postgres = _Kept("postgres", lambda: _postgres(settings), fresh_s=_STORES_S, wanted=stores)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._forget([])
        for kept in (self._kafka, self._redis, self._postgres):
            await kept.close()

    async def sample(self) -> Sample:
        """The system as it is now; takes 2 s at the most, which it needs only where something does not answer.

        Of more than 35 processes, 35 are asked: those that were asked longest ago. New ones, and those of which the
        supervisor says something else than before, are always asked.
        """
        problems: dict[str, str] = {}
        endpoints = [endpoint for endpoint in self._processes() if endpoint.get("internal")]
        self._forget(endpoints)
        async with asyncio.TaskGroup() as group:
            kafka = group.create_task(self._kafka.ask(problems))
            redis = group.create_task(self._redis.ask(problems))
            postgres = group.create_task(self._postgres.ask(problems))
            processes = group.create_task(self._ask(endpoints))
        cluster, groups = kafka.result() or (None, {})
        return Sample(
            at_s=time.monotonic(),
            time=now_s(),
            processes=processes.result(),
            groups=groups,
            kafka=cluster,
            redis=redis.result(),
            postgres=postgres.result(),
            problems=problems,
        )

    async def _ask(self, endpoints: Sequence[Endpoint]) -> tuple[Process, ...]:
        """What each process says of itself."""
        turn = self._turn({endpoint["internal"]: endpoint for endpoint in endpoints})
        for internal in turn.keys() - self._lines.keys():
            self._lines[internal] = probe.Line(internal)
        at_s = time.monotonic()
        answers = await probe.ask_all([self._lines[internal] for internal in turn], _SAMPLE)
        for (internal, endpoint), answer in zip(turn.items(), answers, strict=True):
            said = answer[1] if answer is not None and answer[0] == HTTPStatus.OK else b""
            self._asked[internal] = endpoint, _process_of(endpoint, said, at_s)
        return tuple(self._asked[endpoint["internal"]][1] for endpoint in endpoints)

    def _turn(self, endpoints: dict[str, Endpoint]) -> dict[str, Endpoint]:
        """Those that are asked now."""
        as_before = [
            internal for internal, endpoint in endpoints.items() if self._as_before(internal, endpoint)
        ]
        as_before.sort(key=lambda internal: self._asked[internal][1].at_s)
        left = set(as_before[max(0, _MOST - len(endpoints) + len(as_before)) :])
        return {internal: endpoint for internal, endpoint in endpoints.items() if internal not in left}

    def _as_before(self, internal: str, endpoint: Endpoint) -> bool:
        return internal in self._asked and self._asked[internal][0] == endpoint

    def _forget(self, endpoints: Sequence[Endpoint]) -> None:
        """Hang up on processes that are gone."""
        for gone in self._lines.keys() - {endpoint["internal"] for endpoint in endpoints}:
            self._lines.pop(gone).close()
            self._asked.pop(gone, None)


class _Said(msgspec.Struct):
    """What a process answers."""

    status: dict[str, Any]
    samples: list[tuple[str, dict[str, str], float]]


_SAID: Final = msgspec.json.Decoder(_Said)


def _process_of(endpoint: Endpoint, answer: bytes, at_s: float) -> Process:
    """A process. Args: answer: what it says; b"": nothing. at_s: when it was asked."""
    known: dict[str, Any] = {
        "name": endpoint.get("name") or endpoint["internal"].removeprefix("http://"),
        "role": endpoint.get("role", ""),
        "pid": endpoint.get("pid"),
        "state": endpoint.get("state", ""),
        "at_s": at_s,
    }
    try:
        said = _SAID.decode(answer)
    except msgspec.DecodeError:
        return Process(
            **known | {"state": known["state"] if known["state"] not in {"", "running"} else "no answer"}
        )
    status = said.status
    known |= {name: status[name] for name in ("state", "ready", "why") if name in status}
    # Where nobody supervises it, it says itself what it is.
    known |= {name: known[name] or status.get(name) for name in ("role", "pid")}
    if not endpoint.get("name") and status.get("name", known["role"]) != known["role"]:
        known["name"] = status["name"]
    return Process(**known | measured(said.samples))


_Ask = Callable[[], Awaitable[_T]]


class _Kept(Generic[_T]):
    """A store's connections, kept until one fails, and then made anew."""

    def __init__(
        self,
        name: str,
        opened: Callable[[], AbstractAsyncContextManager[_Ask[_T]]],
        *,
        fresh_s: float = 0.0,
        wanted: bool = True,
    ) -> None:
        """Args: fresh_s: for so long an answer is not asked for again."""
        self._name = name
        self._opened = opened
        self._fresh_s = fresh_s
        self._wanted = wanted
        self._said: tuple[float, _T] | None = None
        self._stack = AsyncExitStack()
        self._ask: _Ask[_T] | None = None

    async def ask(self, problems: dict[str, str]) -> _T | None:
        """What the store says of itself; None without an answer, of which `problems` then says why."""
        if not self._wanted:
            return None
        now = time.monotonic()
        if self._said is not None and now - self._said[0] < self._fresh_s:
            return self._said[1]
        try:
            async with asyncio.timeout(_ANSWER_S):
                if self._ask is None:
                    self._ask = await self._stack.enter_async_context(self._opened())
                self._said = now, await self._ask()
                return self._said[1]
        except TimeoutError:
            problems[self._name] = f"no answer in {_ANSWER_S:.0f} s"
        except (OSError, KafkaError, RedisError, StoreUnavailableError, SettingsError) as error:
            problems[self._name] = str(error) or repr(error)
        await self.close()
        return None

    async def close(self) -> None:
        """Disconnect."""
        self._ask = self._said = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()


@asynccontextmanager
async def _kafka(settings: Settings) -> AsyncIterator[_Ask[tuple[Kafka, dict[str, Group]]]]:
    async with GroupReader(settings) as reader:

        async def ask() -> tuple[Kafka, dict[str, Group]]:
            groups, cluster = await asyncio.gather(reader.groups(), reader.cluster())
            return Kafka(**cluster), {name: group_of(name, facts) for name, facts in groups.items()}

        yield ask


@asynccontextmanager
async def _redis(settings: Settings) -> AsyncIterator[_Ask[Redis]]:
    client = connect(settings, client_name="fanfare-observe")

    async def ask() -> Redis:
        info = await client.info("memory", "clients", "stats")
        return Redis(
            memory_bytes=int(info["used_memory"]),
            most_bytes=int(info["maxmemory"]),
            clients=int(info["connected_clients"]),
            commands=int(info["total_commands_processed"]),
            at_s=time.monotonic(),
        )

    try:
        yield ask
    finally:
        await client.aclose()


@asynccontextmanager
async def _postgres(settings: Settings) -> AsyncIterator[_Ask[Postgres]]:
    database = await Database.connect(settings)

    async def ask() -> Postgres:
        row: Any = await database.row(_ABOUT_POSTGRES)
        connections, commits, rows, stored_bytes = map(int, row)
        return Postgres(connections, commits, rows, stored_bytes, at_s=time.monotonic())

    try:
        yield ask
    finally:
        await database.close()
