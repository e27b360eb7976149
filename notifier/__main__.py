"""`python -m notifier`: a member of the group `notifier`. Start as many as there are partitions to share."""

from fanfare.bus.consumer import Consumer, Incoming, TopicPartition
from fanfare.bus.growth import GrowthLog
from fanfare.bus.topics import DELIVERIES_OF, LOCATION_DELIVERIES
from fanfare.presence.bury import told_by
from fanfare.presence.client import connect
from fanfare.service import Service, State, run
from fanfare.telemetry.tracing import traced
from notifier.location import LocationNotifier
from notifier.worker import Notifier


async def main(service: Service) -> None:
    """Work until told to stop."""
    redis = connect(service.settings, client_name=service.name)
    notifier = Notifier(redis)
    locations = LocationNotifier(redis)

    async def handle(partition: TopicPartition, batch: list[Incoming]) -> None:
        if partition.topic == LOCATION_DELIVERIES:
            await locations.handle(partition, batch)
            # Fences go through all partitions, and into inboxes.
            batch = [incoming for incoming in batch if incoming.record.fence]
        if batch:
            await notifier.handle(partition, batch)

    growth = GrowthLog(service.settings)
    consumer = Consumer(
        service.settings,
        "notifier",
        DELIVERIES_OF.values(),
        traced(service.traces, "notify", handle),
        told_to_bury=told_by(redis),
        growth=growth,
    )
    service.ready = lambda: consumer.joined and notifier.settled
    service.problem = lambda: consumer.problem() or growth.problem
    service.facts = consumer.facts
    _ = service.supervise(notifier.settle(), "epoch")
    service.state = State.RUNNING
    try:
        if await service.until_stopped(growth.start()):
            await consumer.run(service.stopping)
    finally:
        await growth.close()
        await redis.aclose()


if __name__ == "__main__":
    run("notifier", main)
