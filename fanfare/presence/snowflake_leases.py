"""Snowflake worker numbers, leased in Redis so that no two processes make ids with the same one."""

import asyncio
import contextlib
import random
import secrets
import time
from typing import Any, Final, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fanfare.clock import now_s
from fanfare.constants import WORKER_LEASE_S
from fanfare.diagnosis import trouble_of
from fanfare.ids import Snowflakes
from fanfare.presence import keys
from fanfare.tasks import end
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.trouble import PASSES, Trouble

__all__ = ["NoWorkerNumberError", "SnowflakeLease", "unleased"]

_NUMBERS: Final = 1008
# A tool that makes an id or two takes one of these numbers at random if it cannot lease one.
_UNLEASED: Final = range(_NUMBERS, 1024)
# Renewed often, because a Redis that was emptied may lease our number to another process until we notice.
_RENEW_S: Final = 1.0
_RETRY_S: Final = 0.2
# We stop trusting the lease this long before it ends in Redis.
_MARGIN_S: Final = 2.0

# Renew what is ours, take it again where it is gone: 1 if it is ours now.
_KEEP: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class NoWorkerNumberError(Exception):
    """No id can be made now: the lease of a worker number could not be taken or renewed. Is Redis away?"""

    retry_after_s = 1.0
    trouble = Trouble.AWAY


def unleased() -> Snowflakes:
    """Ids without Redis, for tools: where two use it in the same millisecond, the ids may be the same."""
    return Snowflakes(random.choice(_UNLEASED))  # noqa: S311 (is no secret)


class SnowflakeLease:
    """This process's worker number, and the ids made with it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._name = secrets.token_hex(16)
        self._number: int | None = None
        self._until_s = 0.0
        self._why = ""
        self._refused = False
        self._snowflakes = Snowflakes(0)
        self._task: asyncio.Task[None] | None = None
        self._log = logs.get("worker")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def number(self) -> int | None:
        """The number held; None if there is none, or the lease could not be renewed in time."""
        return self._number if time.monotonic() < self._until_s else None

    @property
    def problem(self) -> str:
        """Why no id can be made, or soon none will be though Redis is there, for people; or ''."""
        if self._task is not None and self._task.done():
            return "the worker number is renewed no more, as the task that does it has ended: restart the process"
        if self._refused:
            return f"the worker number cannot be renewed {self._why}"
        return "" if self.number is not None else f"no worker number is leased {self._why}".strip()

    async def start(self) -> None:
        """Lease a number and keep it until `close`. While Redis is away it goes on trying; see `number`."""
        with contextlib.suppress(RedisError, OSError):
            await self._keep()
        self._task = asyncio.create_task(self._renew(), name="worker number")

    async def close(self) -> None:
        """Stop renewing and give the number back."""
        if self._task is not None:
            await end((self._task,))
            self._task = None
        number, self._number = self._number, None
        self._until_s = 0.0
        if number is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._eval(_RELEASE, number)

    def next_id(self) -> int:
        """The next id.

        Raises:
            NoWorkerNumberError: there is no number, or its lease was not renewed in time.
            ClockSkewError: this clock is too far off the Redis server's.

        """
        if time.monotonic() >= self._until_s:
            raise NoWorkerNumberError(
                "no id can be made: the lease of a worker number was not renewed; is Redis away?"
            )
        return self._snowflakes.next(now_s() * 1000)

    def observe(self, snowflake: int) -> None:
        """Take note of an id made elsewhere: later ones of ours are above it."""
        self._snowflakes.observe(snowflake)

    async def _renew(self) -> None:
        away = False
        while True:
            await asyncio.sleep(_RETRY_S if away else _RENEW_S)
            try:
                await self._keep()
            except (RedisError, OSError) as error:
                self._why = f"({error!r})"
                self._refused = trouble_of(error) not in PASSES
                if not away:
                    say = self._log.error if self._refused else self._log.warning
                    say("the worker number was not renewed", action=Action.LEASE, error=repr(error))
                away = True
            else:
                if away:
                    self._log.info("the worker number is renewed", action=Action.LEASE, number=self._number)
                away = False
                self._refused = False
                self._why = "" if self._number is not None else "(all are taken)"

    async def _keep(self) -> None:
        """Renew the number, or lease another one, and compare clocks."""
        sent_s, sent_ms = time.monotonic(), now_s() * 1000
        seconds, microseconds = await self._redis.time()
        middle_ms = (sent_ms + now_s() * 1000) / 2
        self._snowflakes.skew(middle_ms, seconds * 1000 + microseconds / 1000)
        sent_s = time.monotonic()
        if self._number is not None and await self._eval(_KEEP, self._number):
            self._until_s = sent_s + WORKER_LEASE_S - _MARGIN_S
            return
        self._until_s = 0.0
        first = random.randrange(_NUMBERS)  # noqa: S311 (spreads the search, is no secret)
        for step in range(_NUMBERS):
            number = (first + step) % _NUMBERS
            sent_s = time.monotonic()
            if await self._redis.set(keys.worker(number), self._name, nx=True, px=int(WORKER_LEASE_S * 1000)):
                self._number = number
                self._snowflakes.move(number)
                self._until_s = sent_s + WORKER_LEASE_S - _MARGIN_S
                return
        self._number = None
        self._log.error("all worker numbers are taken", action=Action.LEASE)

    async def _eval(self, script: str, number: int) -> bool:
        call: Any = self._redis.eval(
            script, 1, keys.worker(number), self._name, str(int(WORKER_LEASE_S * 1000))
        )
        return bool(await call)
