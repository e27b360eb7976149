"""How a gateway learns of revoked tokens: of all when it connects, and of each further one when it is committed.

By LISTEN and not by a record through Kafka, because a user who only uses REST has no inbox on a node, and because what
PostgreSQL says here is the truth itself: a node that starts or comes back reads it there, whatever it has missed.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import asyncpg

from fanfare.bus.outage import Backoff
from fanfare.store.database import Connection, dial, translated
from fanfare.store.errors import StoreUnavailableError
from fanfare.store.store import Store
from fanfare.store.users import REVOKED_CHANNEL
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action

__all__ = ["follow"]

# After this, and the time of one statement, a dead connection that nobody closed is noticed.
_PING_S: Final = 1.0
_PAGE: Final = 10_000
# A connection that lasted this long was a good one: the next outage is a new one.
_STEADY_S: Final = 10.0


async def follow(store: Store, learn: Callable[[int, int], None], caught_up: Callable[[], None]) -> None:
    """Follow for ever; outages of PostgreSQL are waited out.

    Args:
        store: where the users are.
        learn: takes a user and the generation of tokens that counts; may be told the same again, or an older one.
        caught_up: called whenever all that was committed before has been learnt.

    """
    log = logs.get("revocations")
    backoff = Backoff()
    while True:
        started_s = time.monotonic()
        try:
            connection = await dial(store.database.url)
            try:
                await _follow(connection, learn, caught_up)
            finally:
                with contextlib.suppress(Exception):
                    await connection.close(timeout=1)
        except (StoreUnavailableError, asyncpg.PostgresError) as error:
            # While a right or a column is missing, nobody is let in; it is logged, and may be mended.
            if time.monotonic() - started_s > _STEADY_S:
                backoff = Backoff()
            if backoff.first():
                say = log.warning if isinstance(error, StoreUnavailableError) else log.error
                say(
                    "the database cannot be asked which tokens are revoked",
                    action=Action.DATABASE_AWAY,
                    why=str(error),
                )
            await backoff.wait()


async def _follow(
    connection: Connection, learn: Callable[[int, int], None], caught_up: Callable[[], None]
) -> None:
    """Follow over one connection, until it breaks."""

    def told(_connection: Connection, _pid: int, _channel: str, payload: str) -> None:
        user, _, generation = payload.partition(" ")
        learn(int(user), int(generation))

    lost = asyncio.Event()
    async with translated():
        connection.add_termination_listener(lambda _: lost.set())
        # Before they are read: what is committed meanwhile comes both ways.
        await connection.add_listener(await connection.fetchval(f"SELECT {REVOKED_CHANNEL}"), told)
        after = 0
        while rows := await connection.fetch(
            "SELECT id, token_generation FROM users WHERE token_generation > 0 AND id > $1 ORDER BY id LIMIT $2",
            after,
            _PAGE,
        ):
            for row in rows:
                learn(row["id"], row["token_generation"])
            after = rows[-1]["id"]
        caught_up()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), _PING_S)
            await connection.execute("SELECT 1")
