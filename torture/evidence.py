"""What the stores say after a run: the log, the history that REST and PostgreSQL tell, and a message's trail."""

import asyncio
from collections.abc import Iterable
from typing import Any

import aiohttp
import asyncpg
from redis.exceptions import RedisError

from fanfare.bus.read_since import read_since
from fanfare.presence import keys
from fanfare.record import Record
from fanfare.settings import Settings
from torture.check import Entry
from torture.client import Rest, RestError
from torture.history import History
from torture.system import System
from torture.world import World

__all__ = ["database_ids", "read_log", "rest_ids", "trail"]

_EVENTS = "chat.events"
_DELIVERIES = "chat.deliveries"
_NEW = "MESSAGE_CREATE"


async def read_log(settings: Settings, since_ms: int) -> list[Entry]:
    """All new messages that Kafka appended since then. Raises: KafkaError: Kafka is away."""
    found = []
    async for batch in read_since(settings, _EVENTS, since_ms):
        for incoming in batch:
            record = incoming.record
            if record.type == _NEW:
                position = record.position
                found.append(
                    Entry(
                        record.id,
                        record.nonce,
                        record.author,
                        record.channel,
                        position.partition,
                        position.offset,
                        incoming.appended_ms,
                    )
                )
    return found


async def rest_ids(system: System, world: World, after: int) -> dict[int, list[int]]:
    """Ids of the messages in each channel above an id, as REST tells them to somebody who may read them.

    Raises:
        RestError, aiohttp.ClientError: it does not answer.

    """
    tokens = {person.id: person.token for person in world.people}

    async def channel_ids(channel: int, users: frozenset[int]) -> tuple[int, list[int]]:
        found: list[int] = []
        async with Rest(system.run["api"], tokens[min(users)]) as rest:
            before: dict[str, int] = {}
            while page := await rest.messages(channel, limit=100, **before):
                found += [ident for message in page if (ident := int(message["id"])) > after]
                before = {"before": int(page[-1]["id"])}
                if before["before"] <= after:
                    break
        return channel, found

    return dict(await asyncio.gather(*(channel_ids(*each) for each in world.audience.items())))


async def database_ids(settings: Settings, channels: Iterable[int], after: int) -> dict[int, list[int]]:
    """The same from PostgreSQL. Raises: OSError, asyncpg.PostgresError: it is away."""
    connection = await asyncpg.connect(settings.postgres.get_secret_value())
    try:
        rows = await connection.fetch(
            "SELECT channel_id, id FROM messages WHERE id > $1 AND channel_id = ANY($2::bigint[])",
            after,
            list(channels),
        )
    finally:
        await connection.close()
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row["channel_id"], []).append(row["id"])
    return found


async def trail(system: System, history: History, message: int, since_ms: int) -> list[str]:
    """Where a message went, as far as it can still be found."""
    lines = []
    for topic in (_EVENTS, _DELIVERIES):
        try:
            async for batch in read_since(system.settings, topic, since_ms):
                lines += [
                    f"{topic}: source {incoming.record.position}, offset {incoming.offset}, appended "
                    f"{incoming.appended_ms} ms, nonce {incoming.record.nonce}"
                    for incoming in batch
                    if incoming.record.id == message
                ]
        except Exception as error:  # noqa: BLE001 - a trail is told as far as it goes
            lines.append(f"{topic}: cannot be read: {error!r}")
    lines += await _inboxes(system, message)
    got = [
        f"{session.name} at {session.at[at]:.3f}, s {session.s[at]}"
        for session in history.sessions.values()
        for at, ident in enumerate(session.ids)
        if ident == message
    ]
    lines.append(f"sessions that got it: {len(got)}: {'; '.join(got[:8])}")
    return lines


async def _inboxes(system: System, message: int) -> list[str]:
    lines = []
    redis = system.redis()
    try:
        async for key in redis.scan_iter("inbox:*"):
            name = key.decode()
            if name.endswith(":at"):
                continue
            rows: Any = await redis.xrange(name)
            for entry, fields in rows:
                packed = fields.get(b"e")
                if packed is not None and Record.unpack(packed).id == message:
                    lines.append(f"{name}: s {entry.decode()}")
        fields_at: Any = await redis.get(keys.epoch())
        lines.append(f"epoch {fields_at!r}")
    except (RedisError, OSError) as error:
        lines.append(f"inboxes cannot be read: {error!r}")
    finally:
        await redis.aclose()
    return lines


Errors = (RestError, aiohttp.ClientError, OSError, asyncpg.PostgresError, TimeoutError)
