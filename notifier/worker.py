"""The notifier's work: a batch of deliveries in, one append per inbox out.

A batch is done when every inbox said `ok` or `gone`. Until then it comes again, whole: what stands in an
inbox already is dropped there, by position.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from prometheus_client import Counter, Histogram

from fanfare.bus.consumer import Incoming, PoisonError, TopicPartition
from fanfare.bus.outage import Backoff
from fanfare.constants import EPOCH_HOLD_S
from fanfare.presence import keys
from fanfare.presence.client import MultiplexedRedis
from fanfare.presence.epoch import ensure, set_at_ms
from fanfare.presence.errors import NoScriptError, RedisError
from fanfare.presence.inboxes import APPEND, append
from fanfare.presence.scripts import Script
from fanfare.record import BadRecordError, Record
from fanfare.telemetry import logs
from fanfare.telemetry.logs import Action
from fanfare.telemetry.metrics import REGISTRY, SIZE_BUCKETS
from notifier.route import Presence, Wanted, applied, recipients, route, wanted

__all__ = ["ConnectedAnewError", "EpochError", "Notifier"]

APPENDED: Final = Counter("fanfare_inbox_entries", "Entries appended to inboxes.", registry=REGISTRY)
APPENDS: Final = Counter(
    "fanfare_inbox_appends",
    "Append calls, one per inbox and batch, by answer.",
    ["answer"],
    registry=REGISTRY,
)
REPEATED: Final = Counter(
    "fanfare_inbox_repeated",
    "Entries not appended, because they stood in the inbox already.",
    registry=REGISTRY,
)
NOBODY: Final = Counter("fanfare_unrouted_records", "Records that no inbox was to get.", registry=REGISTRY)
HOLDS: Final = Counter(
    "fanfare_notifier_holds", "Tries put off because Redis may have been emptied.", registry=REGISTRY
)
INBOXES_PER_BATCH: Final = Histogram(
    "fanfare_inboxes_per_batch", "Inboxes that a batch went to.", buckets=SIZE_BUCKETS, registry=REGISTRY
)
_APPLIED: Final = Script("applied")


class EpochError(ConnectionError):
    """Redis was emptied a moment ago: records wait for the time of a lease, in which nodes register again."""


class ConnectedAnewError(ConnectionError):
    """What was looked up may be another server's than what was appended to, which knows of other inboxes."""

    def __init__(self) -> None:
        super().__init__("connected to Redis anew between looking up and appending: both are done again")


class _Found(NamedTuple):
    """What a look-up found."""

    presence: Presence
    registrations: dict[str, list[tuple[str, str]]]
    """Per inbox the (key, field) of each registration seen."""


class Notifier:
    """Handles batches of `*.deliveries`."""

    def __init__(self, redis: MultiplexedRedis) -> None:
        """Args: redis: the primary."""
        self._redis = redis
        self._epoch: bytes | None = None
        self._log = logs.get("notifier")

    @property
    def settled(self) -> bool:
        """Whether an epoch is known that is old enough for all nodes to have registered."""
        return self._epoch is not None

    async def settle(self) -> None:
        """Watch the epoch: set one where there is none, and note when it is old enough."""
        backoff = Backoff()
        while True:
            try:
                await self._look_up(Wanted([], []))
            except (EpochError, RedisError):
                await backoff.wait()
            else:
                backoff = Backoff()
                await asyncio.sleep(EPOCH_HOLD_S)

    async def handle(self, partition: TopicPartition, batch: Sequence[Incoming]) -> None:
        """Append a batch to every inbox that it is for; returns when each of them said `ok` or `gone`.

        Raises:
            EpochError: Redis was emptied; the batch must wait, and be looked up again.
            ConnectedAnewError: the batch must be looked up again.
            PoisonError: a record has an audience that we do not know.
            RedisError: Redis is away.

        """
        records = [incoming.record for incoming in batch]
        generation = self._redis.generation
        found = await self._look_up(wanted(records))
        try:
            routes = route(records, found.presence)
        except BadRecordError as error:
            raise PoisonError(_unknown(records), str(error)) from error
        await self._append(routes, found.registrations)
        if self._redis.generation != generation:
            # Another connection was used, as for very many commands each time. If who is where is the same for the
            # primary of now, nobody was left out.
            again = await self._look_up(wanted(records))
            if route(records, again.presence) != routes:
                raise ConnectedAnewError
        if versions := applied(records):
            await self._raise_applied(versions)
        INBOXES_PER_BATCH.observe(len(routes))
        NOBODY.inc(len(records) - len({id(record) for each in routes.values() for record in each}))
        self._log.debug(
            "batch appended",
            action=Action.APPEND,
            partition=str(partition),
            records=len(batch),
            inboxes=len(routes),
        )

    async def _look_up(self, whose: Wanted) -> _Found:
        """The inboxes where guilds and users are registered now."""
        guild_keys = [keys.guild_nodes(guild) for guild in whose.guilds]
        user_keys = [keys.user_sessions(user) for user in whose.users]
        pipe: Any = self._redis.pipeline(transaction=False)
        # Changes nothing, and only a primary takes it: a server that was demoted a moment ago would answer what was.
        pipe.hdel(keys.guild_nodes(0), "-")
        for key in (*guild_keys, *user_keys):
            pipe.hkeys(key)
        # Read last: if Redis is emptied between two of these commands, the epoch shows it.
        pipe.get(keys.epoch())
        pipe.time()
        _, *answers, epoch, time = await pipe.execute()
        await self._check(epoch, int(time[0]) * 1000 + int(time[1]) // 1000)
        registrations: dict[str, list[tuple[str, str]]] = {}
        names: list[list[str]] = []
        for key, fields in zip((*guild_keys, *user_keys), answers, strict=True):
            inboxes = []
            for raw in fields:
                field = raw.decode()
                inbox = field.rpartition("@")[2]  # guilds: the inbox; users: session@inbox
                inboxes.append(inbox)
                registrations.setdefault(inbox, []).append((key, field))
            names.append(inboxes)
        count = len(guild_keys)
        presence = Presence(
            dict(zip(whose.guilds, names[:count], strict=True)),
            dict(zip(whose.users, names[count:], strict=True)),
        )
        return _Found(presence, registrations)

    async def _check(self, epoch: bytes | None, now_ms: int) -> None:
        """Hold while nodes may not have registered again since Redis was emptied."""
        if epoch is not None and epoch == self._epoch:
            return
        if epoch is None:
            await ensure(self._redis)
            self._hold("there is no epoch")
        elif now_ms - set_at_ms(epoch) < EPOCH_HOLD_S * 1000:
            self._hold("the epoch is younger than that")
        else:
            self._epoch = epoch
            self._log.info("epoch", action=Action.EPOCH, epoch=epoch.decode())

    def _hold(self, why: str) -> None:
        HOLDS.inc()
        self._epoch = None
        raise EpochError(f"Redis was emptied, nodes need up to {EPOCH_HOLD_S:.0f} s to register again: {why}")

    async def _append(
        self, routes: dict[str, list[Record]], registrations: dict[str, list[tuple[str, str]]]
    ) -> None:
        """One call per inbox, all in one pipeline."""
        packed: dict[int, bytes] = {}  # each record packed once, however many inboxes it goes to
        entries = {
            inbox: [
                (record, packed.get(id(record)) or packed.setdefault(id(record), record.pack()))
                for record in records
            ]
            for inbox, records in routes.items()
        }
        while entries:
            pipe: Any = self._redis.pipeline(transaction=False)
            for inbox, batch in entries.items():
                append(pipe, inbox, batch)
            answers = await pipe.execute(raise_on_error=False)
            failed = [answer for answer in answers if isinstance(answer, Exception)]
            if unexpected := next((error for error in failed if not isinstance(error, NoScriptError)), None):
                raise unexpected
            gone = []
            for (inbox, batch), answer in zip(list(entries.items()), answers, strict=True):
                if isinstance(answer, NoScriptError):
                    continue
                status, epoch, count = answer
                if epoch != self._epoch:
                    self._hold("the epoch changed")
                APPENDS.labels(status.decode()).inc()
                if status == b"gone":
                    gone.append(inbox)
                else:
                    APPENDED.inc(count)
                    REPEATED.inc(len(batch) - count)
                del entries[inbox]
            if gone:
                await self._forget(gone, registrations)
            if failed:
                await APPEND.load(self._redis)

    async def _forget(self, gone: Sequence[str], registrations: dict[str, list[tuple[str, str]]]) -> None:
        """Remove the registrations of inboxes that do not exist any more; no inbox's name is used twice."""
        pipe: Any = self._redis.pipeline(transaction=False)
        for inbox in gone:
            self._log.info("inbox gone", action=Action.INBOX_GONE, inbox=inbox)
            for key, field in registrations.get(inbox, ()):
                pipe.hdel(key, field)
        await pipe.execute()

    async def _raise_applied(self, versions: dict[int, int]) -> None:
        """Let calls go on that wait at the barrier of a guild."""
        for guild, version in versions.items():
            await _APPLIED.run(self._redis, [keys.applied(guild)], [version])


def _unknown(records: Sequence[Record]) -> Record:
    """The first record whose audience we do not know."""
    nowhere = Presence({}, {})
    for record in records:
        try:
            recipients(record, nowhere)
        except BadRecordError:
            return record
    raise AssertionError("every audience is known")
