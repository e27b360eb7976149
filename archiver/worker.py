"""The archiver's shell: a consumer for each sink, in a group of its own."""

from collections.abc import Sequence
from typing import Final

from archiver.files import Remover
from archiver.geofences import GeofenceSink
from archiver.postgres import PostgresSink
from archiver.recent import Trimmer
from archiver.sinks import Sink
from fanfare.bus.consumer import Consumer
from fanfare.bus.growth import GrowthLog
from fanfare.errors import FatalError
from fanfare.files.store import FileStore
from fanfare.presence.bury import told_by
from fanfare.presence.client import connect
from fanfare.service import Service, State
from fanfare.settings import Settings
from fanfare.store import Store
from fanfare.store.database import Database
from fanfare.tasks import end, together
from fanfare.telemetry.tracing import traced

__all__ = ["main"]

# Nobody waits for a row: what is not in the table yet is in Redis. A transaction costs what a hundred rows do.
_GATHER_MS: Final = 200


async def main(service: Service) -> None:
    """Archive until told to stop."""
    redis = connect(service.settings, client_name=service.name)
    database = await Database.connect(service.settings)
    trimmer = Trimmer(redis)
    growth = GrowthLog(service.settings)
    sinks: list[Sink] = [
        PostgresSink(database, service.settings, trimmer, growth),
        GeofenceSink(Store(database), service.settings.near_m),
        *_others(service.settings),
    ]
    consumers = [
        Consumer(
            service.settings,
            sink.group,
            sink.topics,
            traced(service.traces, "archive", sink.handle),
            gather_ms=_GATHER_MS,
            told_to_bury=told_by(redis),
            safe=sink.safe,
            before_commit=sink.flush,
            growth=growth,
        )
        for sink in sinks
    ]
    service.ready = lambda: all(consumer.joined for consumer in consumers)
    service.problem = lambda: next((why for each in consumers if (why := each.problem())), growth.problem)
    service.facts = lambda: _facts(consumers)
    remover = Remover(database, FileStore(service.settings))
    tasks = [service.supervise(trimmer.run(), "trim recent messages")]
    tasks.append(service.supervise(remover.run(), "remove files"))
    tasks += [service.supervise(sink.run(), f"upkeep of {sink.group}") for sink in sinks]
    service.state = State.RUNNING
    try:
        if await service.until_stopped(growth.start()):
            await together(*(consumer.run(service.stopping) for consumer in consumers))
    finally:
        await growth.close()
        await end(tasks)
        await database.close()
        await redis.aclose()


def _facts(consumers: Sequence[Consumer]) -> dict[str, object]:
    """Those of the first one, as any worker has them, and all by their groups."""
    first, *others = (consumer.facts() for consumer in consumers)
    return first | {"others": others} if others else first


def _others(settings: Settings) -> list[Sink]:
    if settings.parquet is None:
        return []
    try:
        from archiver.parquet import ParquetSink  # noqa: PLC0415 - pyarrow is there only where this is wanted

        return [ParquetSink(settings)]
    except ImportError as error:
        raise FatalError(
            f"FANFARE_PARQUET is set, and pyarrow is not installed: install fanfare[parquet] ({error})"
        ) from None
    except OSError as error:
        raise FatalError(f"FANFARE_PARQUET: the folder cannot be used: {error}") from None
