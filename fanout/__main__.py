"""`python -m fanout`: a member of the group `fanout`. Start as many as there are partitions to share."""

from fanfare.bus.consumer import Consumer
from fanfare.bus.growth import GrowthLog
from fanfare.bus.producer import Producer
from fanfare.bus.topics import DELIVERIES_OF
from fanfare.presence.bury import told_by
from fanfare.presence.client import connect
from fanfare.presence.loss_token import LossToken
from fanfare.service import Service, State, run
from fanfare.telemetry.tracing import traced
from fanout.budget import Budget
from fanout.worker import FanOut

# Every partition may have a batch under way.
UNACKNOWLEDGED_BYTES = 32 * 1024 * 1024


async def main(service: Service) -> None:
    """Work until told to stop."""
    settings = service.settings
    loss = LossToken()
    redis = connect(settings, client_name=service.name, connected=loss.connected)
    producer = Producer(settings, topics=DELIVERIES_OF.values(), limit_bytes=UNACKNOWLEDGED_BYTES)
    growth = GrowthLog(settings)
    fanout = FanOut(redis, loss, producer)
    rate = settings.fanout_budget
    handle = traced(service.traces, "fan-out", fanout.handle)
    budget = Budget(rate, handle) if rate else None
    consumer = Consumer(
        settings,
        "fanout",
        DELIVERIES_OF,
        budget.handle if budget else handle,
        batch_records=budget.batch_records if budget else None,
        told_to_bury=told_by(redis),
        growth=growth,
    )
    service.ready = lambda: consumer.joined and producer.available
    service.problem = lambda: consumer.problem() or producer.problem or growth.problem
    service.facts = lambda: consumer.facts() | ({"budget": rate} if rate else {})
    try:
        if await service.until_stopped(producer.start()) and await service.until_stopped(growth.start()):
            service.state = State.RUNNING
            await consumer.run(service.stopping)
    finally:
        await producer.stop()
        await growth.close()
        await redis.aclose()


if __name__ == "__main__":
    run("fanout", main)
