"""`python -m notifier`: a member of the group `notifier`. Start as many as there are partitions to share."""

from fanfare.bus.consumer import Consumer
from fanfare.bus.topics import DELIVERIES_OF
from fanfare.presence.bury import told_by
from fanfare.presence.client import connect
from fanfare.service import Service, State, run
from fanfare.telemetry.tracing import traced
from notifier.worker import Notifier


async def main(service: Service) -> None:
    """Work until told to stop."""
    redis = connect(service.settings, client_name=service.name)
    notifier = Notifier(redis)
    consumer = Consumer(
        service.settings,
        "notifier",
        DELIVERIES_OF.values(),
        traced(service.traces, "notify", notifier.handle),
        told_to_bury=told_by(redis),
    )
    service.ready = lambda: consumer.joined and notifier.settled
    service.problem = consumer.problem
    service.facts = consumer.facts
    _ = service.supervise(notifier.settle(), "epoch")
    service.state = State.RUNNING
    try:
        await consumer.run(service.stopping)
    finally:
        await redis.aclose()


if __name__ == "__main__":
    run("notifier", main)
