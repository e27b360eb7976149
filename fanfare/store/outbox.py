"""The relay: takes changes of guilds and entities from the outbox to Kafka, one relay at a time in the whole cluster.

Every gateway runs one. The gateway that holds the lock produces the rows in order, and deletes each when Kafka has
acknowledged it. A row may be produced twice (a relay dies in between, or loses its connection while another one takes
over); the fan-out lets only the first through, by author and nonce. Order holds even then: each relay produces in
order, so of two events the first copy of the earlier one comes first.

What goes to the app's topic passes no fan-out. So a relay that has just taken over, or does not know what became of a
row, first looks for what stands there already.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from fanfare.bus.errors import KafkaError
from fanfare.bus.outage import Backoff
from fanfare.bus.producer import NotHandedOverError
from fanfare.bus.topics import APP_EVENTS, GUILD_EVENTS, LOCATION_EVENTS
from fanfare.location.entity import ENTITY
from fanfare.location.happenings import APP_EVENT
from fanfare.record import Position, Record
from fanfare.store.changes import CHANNEL_NAME
from fanfare.store.database import Connection, Row, dial, own_number, translated
from fanfare.store.errors import StoreUnavailableError
from fanfare.store.store import Store
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.trouble import Trouble

__all__ = ["Poster", "Standing", "relay"]

_LOCK: Final = 0x66616E_0002
_BATCH: Final = 200
# A change that no NOTIFY told of is found after this; a gateway that waits for the lock tries again after this.
_POLL_S: Final = 1.0
# The server ends a relay that says nothing this long (its process hangs), and with it its lock.
_SILENCE_S: Final = 15
# How often a relay that waits for Kafka says something.
_PING_S: Final = 3.0
# Topics have the brokers' clock, and rows the gateways'.
_CLOCKS_APART_MS: Final = 60_000
# A connection that lasted this long was a good one: the next outage is a new one.
_STEADY_S: Final = 10.0


class Poster(Protocol):
    """What the relay needs of fanfare.bus.producer.Producer."""

    def post(self, topic: str, record: Record, *, key: int) -> asyncio.Future[Position]:
        """Hand a record over. Raises NotHandedOverError where Kafka is away."""
        ...


Standing = Callable[[int], Awaitable[set[str]]]
"""The nonces of what the app's topic has since a time, in ms since 1970. Raises KafkaError."""


async def relay(store: Store, producer: Poster, stopping: asyncio.Event, standing: Standing) -> None:
    """Relay until told to stop. Outages of PostgreSQL and Kafka are waited out."""
    log = logs.get("relay")
    backoff = Backoff()
    while not stopping.is_set():
        started_s = time.monotonic()
        try:
            connection = await dial(store.database.url)
            try:
                await _relay(connection, producer, stopping, standing)
            finally:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=1)
        except StoreUnavailableError as error:
            if backoff.first():
                log.error("guild changes wait for PostgreSQL", action=Action.DATABASE_AWAY, why=str(error))  # noqa: TRY400
            await _wait(stopping, backoff)
        if time.monotonic() - started_s > _STEADY_S:
            backoff = Backoff()


async def _relay(
    connection: Connection, producer: Poster, stopping: asyncio.Event, standing: Standing
) -> None:
    """Relay over one connection, until it breaks."""
    log = logs.get("relay")
    woken = asyncio.Event()
    refusals = Backoff()
    async with translated():
        if await connection.fetchval("SHOW transaction_read_only") == "on":
            # Else each try would produce the same rows again, and not be able to delete them.
            raise StoreUnavailableError("sessions of PostgreSQL are read-only", Trouble.READ_ONLY)
        await connection.execute(f"SET idle_session_timeout = '{_SILENCE_S}s'")
        lock = await own_number(connection, _LOCK)
        channel = await connection.fetchval(f"SELECT {CHANNEL_NAME}")
        await connection.add_listener(channel, lambda *_: woken.set())
        connection.add_termination_listener(lambda _: woken.set())
        while not stopping.is_set() and not await connection.fetchval(
            "SELECT pg_try_advisory_lock($1)", lock
        ):
            await _first(stopping, timeout_s=_POLL_S)
        if not stopping.is_set():
            log.info("relaying guild changes", action=Action.RELAY)
        sure = False
        while not stopping.is_set():
            woken.clear()
            rows = await _waiting(connection, "outbox")
            why = await _produce(connection, producer, "outbox", rows)
            app = await _waiting(connection, "app_outbox")
            if why is None and app:
                try:
                    app = app if sure else await _without_those(connection, app, standing)
                    why = await _produce(connection, producer, "app_outbox", app)
                except KafkaError as error:
                    why = repr(error)
                sure = why is None
            if why is not None:
                if refusals.first():
                    log.warning("guild changes wait for Kafka", action=Action.KAFKA_AWAY, why=why)
                await _wait(stopping, refusals)
            elif len(rows) < _BATCH and len(app) < _BATCH:
                refusals = Backoff()
                await _first(stopping, woken, timeout_s=_POLL_S)


async def _waiting(connection: Connection, table: str) -> list[Row]:
    return list(await connection.fetch(f"SELECT id, record FROM {table} ORDER BY id LIMIT $1", _BATCH))  # noqa: S608 - ours


async def _without_those(connection: Connection, rows: list[Row], standing: Standing) -> list[Row]:
    """The rows without those that Kafka has already, which are deleted. Raises KafkaError."""
    records = {row["id"]: Record.unpack(row["record"]) for row in rows}
    there = await standing(min(record.at for record in records.values()) - _CLOCKS_APART_MS)
    done = [ident for ident, record in records.items() if record.nonce in there]
    await connection.execute("DELETE FROM app_outbox WHERE id = ANY($1::bigint[])", done)
    return [row for row in rows if row["id"] not in done]


async def _produce(connection: Connection, producer: Poster, table: str, rows: list[Row]) -> str | None:
    """Produce rows in order and delete those that Kafka acknowledged; why not all of them, or None."""
    posted: list[tuple[int, asyncio.Future[Position]]] = []
    why = None
    for row in rows:
        record = Record.unpack(row["record"])
        try:
            posted.append((row["id"], _post(producer, record)))
        except NotHandedOverError as error:
            why = str(error)
            break
    waiting = {done for _, done in posted}
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=_PING_S)
        if waiting:
            await connection.execute("SELECT 1")
    relayed = [ident for ident, done in posted if not done.cancelled() and done.exception() is None]
    if relayed:
        await connection.execute(f"DELETE FROM {table} WHERE id = ANY($1::bigint[])", relayed)  # noqa: S608 - ours
    failed = [done for _, done in posted if done.cancelled() or done.exception() is not None]
    return repr(failed[0]) if failed else why


def _post(producer: Poster, record: Record) -> "asyncio.Future[Position]":
    if record.type == ENTITY:
        return producer.post(LOCATION_EVENTS, record, key=record.channel)
    if record.type == APP_EVENT:
        return producer.post(APP_EVENTS, record, key=record.channel)
    return producer.post(GUILD_EVENTS, record, key=record.guild)


async def _wait(stopping: asyncio.Event, backoff: Backoff) -> None:
    """Wait as long as the backoff says, not longer than until stopping."""
    waited = asyncio.ensure_future(backoff.wait())
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((waited, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waited.cancel()
        stopped.cancel()


async def _first(*events: asyncio.Event, timeout_s: float) -> None:
    """Wait until one of the events is set, or for the time."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
