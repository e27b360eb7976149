"""`fanfare up --autoscale`: the autoscaler inside of the process that it asks to scale."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from functools import partial

from fanfare.autoscale.decide import Aim
from fanfare.autoscale.loop import ROLES, Look, autoscale
from fanfare.embedded.errors import UpError
from fanfare.embedded.fleet import Fleet
from fanfare.embedded.output import Output
from fanfare.observe.collect import Collector
from fanfare.settings import Settings
from fanfare.tasks import end

__all__ = ["autoscaling"]


@asynccontextmanager
async def autoscaling(
    settings: Settings, fleet: Fleet, roles: Collection[str], output: Output
) -> AsyncIterator[None]:
    """Give each group the workers that it needs, until the block ends."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say is said when it is asked

    async def act(look: Look) -> None:
        role, members = look.group.name, len(look.group.members)
        if fleet.count(role) != members:
            output.say(f"{role} is not scaled: it has {fleet.count(role)} processes, of which {members} work")
            return
        try:
            await fleet.scale({role: look.decision.workers})
        except UpError as error:
            output.say(f"{role} is not scaled: {error}")

    def say(line: str) -> None:
        output.say(f"autoscale {line}")

    async with Collector(settings, list, stores=False) as collector:
        known = [role for role in ROLES if role in roles]
        task = asyncio.create_task(autoscale(collector, Aim(), known, act, say), name="autoscale")
        task.add_done_callback(partial(_ended, output))
        try:
            yield
        finally:
            await end((task,))


def _ended(output: Output, task: "asyncio.Task[None]") -> None:
    """Say it where the autoscaler died; what runs goes on."""
    if not task.cancelled() and (error := task.exception()) is not None:
        output.say(f"autoscale ended: {error!r}")
